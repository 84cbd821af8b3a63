/**
 * What the compiler makes of a few programs, stage by stage, in test/golden/jit/NAME.STAGE.txt.
 * `UPDATE_GOLDEN=1 npx vitest run test/jit-golden.test.ts` writes the files anew; read the difference before committing.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { dump, STAGES } from "../src/jit/inspect.ts";
import { assemble } from "../src/text/assemble.ts";
import { verify } from "../src/verify/verify.ts";

const FOLDER = fileURLToPath(new URL("golden/jit", import.meta.url));

const HOSTS = [10, 20, 30, 40, 50, 60, 70].map((n) => `0x0a0000${n.toString(16).padStart(2, "0")}`);
const MORE_HOSTS = ["0x0a000080", "0x0a000090", "0x0a0000a0"];

const PROGRAMS: Record<string, string> = {
  // `tcp port 80` over IPv4, as tcpdump compiles it
  tcp80: `
          ldh  [12]
          jeq  #0x800, ip, drop
    ip:   ldb  [23]
          jeq  #6, tcp, drop
    tcp:  ldh  [20]
          jset #0x1fff, drop, first
    first: ldxb 4*([14]&0xf)
          ldh  [x + 14]
          jeq  #80, keep, dst
    dst:  ldh  [x + 16]
          jeq  #80, keep, drop
    keep: ret  #262144
    drop: ret  #0`,
  // an EtherType that is no length: two bytes, spread
  type: `
          ldh  [12]
          jge  #0x600, keep, drop
    keep: ret  #262144
    drop: ret  #0`,
  // a host list: a hash of seven keys in memory order
  hosts: `
          ldh  [12]
          jeq  #0x800, ip, drop
    ip:   ld   [26]
          ${HOSTS.map((host) => `jeq #${host}, keep`).join("\n")}
    drop: ret  #0
    keep: ret  #-1`,
  // ten hosts at either end: a sieve of both addresses, and behind it two hashes
  pairs: `
          ldh  [12]
          jeq  #0x800, ip, drop
    ip:   ld   [26]
          ${[...HOSTS, ...MORE_HOSTS].map((host) => `jeq #${host}, keep`).join("\n")}
          ld   [30]
          ${[...HOSTS, ...MORE_HOSTS].map((host) => `jeq #${host}, keep`).join("\n")}
    drop: ret  #0
    keep: ret  #-1`,
  // everything that leaves the fast path: a device exit, NET data, a computed offset that may wrap, division
  slow: `
          ld   #ifidx
          st   M[1]
          ld   [0xfff00000]
          tax
          ldh  [x + 4]
          div  x
          ldx  M[1]
          add  x
          jgt  #1000, big, small
    big:  ld   #poff
          ret  a
    small: ld  #len
          ret  a`,
};

describe.each(Object.entries(PROGRAMS))("%s", (name, source) => {
  const program = verify(assemble(source));
  test.each(STAGES)("%s", (stage) => {
    const path = `${FOLDER}/${name}.${stage}.txt`;
    const text = dump(program, stage);
    if (process.env.UPDATE_GOLDEN === "1") {
      mkdirSync(FOLDER, { recursive: true });
      writeFileSync(path, text);
    }
    expect(existsSync(path), `${path} is missing; UPDATE_GOLDEN=1 writes it`).toBe(true);
    expect(text).toBe(readFileSync(path, "utf8"));
  });
});

test("the stages print what runs, not what was meant: an unknown stage and a loop are refused", () => {
  const program = verify(assemble("ret #1"));
  expect(() => dump(program, "asm" as never)).toThrow(expect.objectContaining({ code: "bad-argument" }));
  const loop = verify(
    [
      { code: 0x05, jt: 0, jf: 0, k: 0xffffffff },
      { code: 0x06, jt: 0, jf: 0, k: 1 },
    ],
    {
      profile: "libpcap",
    },
  );
  expect(() => dump(loop, "wat")).toThrow(expect.objectContaining({ code: "unsupported" }));
});
