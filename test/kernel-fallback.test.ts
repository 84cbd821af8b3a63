/**
 * Filters on UDP sockets in user space against the same ones in the kernel, over lo: what listeners get is the same
 * byte for byte, unless the analysis said that it may differ.  CBPF_LONG multiplies the programs by 10.
 * Without the addon only the user-space half runs, and the reason is printed.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { toHex } from "../src/base/bytes.ts";
import { OPCODES } from "../src/isa/opcodes.ts";
import { type FilteredSocket, type FilterSocketOptions, filterSocket } from "../src/kernel/fallback.ts";
import { type Addon, loadAddon } from "../src/kernel/load.ts";
import { type Instruction, jump } from "../src/program/instruction.ts";
import { check } from "../src/verify/verify.ts";
import { Program } from "../src/vm/program.ts";
import { announce, withoutAddon } from "./kernel-host.ts";

const noAddon = withoutAddon();
announce("kernel fallback, kernel half", noAddon);

const PROGRAMS = process.env.CBPF_LONG ? 60_000 : 6_000;
const SEED = Number(process.env.SEED ?? 1);

const open: Socket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
});

async function bound(family: 4 | 6, address?: string): Promise<Socket> {
  const socket = createSocket(family === 4 ? "udp4" : "udp6");
  open.push(socket);
  socket.bind(0, address ?? (family === 4 ? "127.0.0.1" : "::1"));
  await once(socket, "listening");
  return socket;
}

/** Sends to a socket and waits until all of it was judged. */
async function deliver(
  from: Socket,
  to: Socket,
  filter: FilteredSocket,
  payloads: readonly Uint8Array[],
): Promise<void> {
  const { address, port } = to.address();
  for (const payload of payloads) from.send(payload, port, address === "0.0.0.0" ? "127.0.0.1" : address);
  for (let turns = 0; ; turns++) {
    const { passed, dropped = 0 } = filter.counts();
    if (passed + dropped >= payloads.length) return;
    if (turns > 10_000) throw new Error(`${passed} passed and ${dropped} dropped of ${payloads.length}`);
    await turn();
  }
}

const withoutKernel: Addon = new Proxy({} as Addon, {
  get: () => () => -1, // EPERM to everything
});

describe.each(["kernel", "user"] as const)("a filtered socket, mode %s", (mode) => {
  const skipped = mode === "kernel" && noAddon !== undefined;

  test.skipIf(skipped)("drops, cuts and counts", async () => {
    const [server, client] = [await bound(4), await bound(4)];
    const got: [string, number][] = [];
    server.on("message", (message, from) => got.push([toHex(message), from.size]));
    const program = Program.parse(`
            ldb [8]
            jeq #1, whole, next
      next: jeq #2, cut, rest
      rest: jeq #3, empty, none
      whole: ret #-1
      cut:  ret #11
      empty: ret #1
      none: ret #0`);
    const filter = filterSocket(server, program, { mode });
    expect([filter.mode, filter.unknowable]).toEqual([mode, []]);
    const payloads = [1, 2, 3, 4].map((first) => Uint8Array.of(first, 5, 6, 7));
    await deliver(client, server, filter, [...payloads, new Uint8Array(0)]);
    expect(got).toEqual([
      ["01050607", 4],
      ["020506", 3],
      ["", 0],
    ]);
    expect(filter.counts()).toEqual({ passed: 3, dropped: 2 });
    filter.detach();
    client.send(Uint8Array.of(9), server.address().port, "127.0.0.1");
    const [message] = (await once(server, "message")) as [Buffer];
    expect(toHex(message)).toBe("09");
    expect(filter.counts().passed).toBe(3);
  });
});

test("auto takes the kernel, and says why when it does not", async () => {
  const server = await bound(4);
  const program = Program.parse("ldb [8]\nret a");
  const auto = filterSocket(server, program);
  expect(auto.mode).toBe(noAddon === undefined ? "kernel" : "user");
  auto.detach();
  const user = filterSocket(server, program, { addon: withoutKernel });
  expect(user.mode).toBe("user");
  expect(user.reason).toMatch(/EPERM/);
  user.detach();
  expect(() => filterSocket(server, program, { mode: "kernel", addon: withoutKernel })).toThrow(/EPERM/);
  expect(() => filterSocket(server, [])).toThrow(expect.objectContaining({ code: "invalid-program" }));
  expect(() => filterSocket(server, program, { mode: "fast" as "user" })).toThrow(/none of/);
});

test("what nobody tells is reported, and can be given", async () => {
  const server = await bound(4);
  const anywhere = await bound(4, "0.0.0.0");
  const both = await bound(6, "::");
  const uncertain = (socket: Socket, source: string, options: FilterSocketOptions = {}): string[] => {
    const filter = filterSocket(socket, Program.parse(source), { mode: "user", ...options });
    filter.detach();
    return filter.unknowable.flatMap(({ what }) => what);
  };
  const hop = "ldb [0xfff00008]\nret a";
  expect(uncertain(server, hop)).toEqual(["hop limit"]);
  expect(uncertain(server, hop, { headers: { hopLimit: 64 } })).toEqual([]);
  const destination = "ld [0xfff00010]\nret a";
  expect(uncertain(server, destination)).toEqual([]);
  expect(uncertain(anywhere, destination)).toEqual(["destination"]);
  expect(uncertain(anywhere, destination, { headers: { destination: "127.0.0.1" } })).toEqual([]);
  expect(uncertain(server, "ld ifidx\nret a")).toEqual([]);
  expect(uncertain(anywhere, "ld ifidx\nret a")).toEqual(["IFINDEX"]);
  expect(uncertain(anywhere, "ld ifidx\nret a", { context: { ifindex: 1 } })).toEqual([]);
  expect(uncertain(both, hop)).toEqual(["hop limit"]); // of IPv4; IPv6 has the source address there
  expect(() => uncertain(server, hop, { headers: { hopLimit: 256 } })).toThrow(/0\.\.255/);
});

test.skipIf(noAddon !== undefined)("an IPv6 socket that receives over IPv4", async () => {
  const [server, client] = [await bound(6, "::"), await bound(4)];
  // The first byte of the network header, and the source address as IPv4 has it.
  const program = Program.parse(
    "ldb [0xfff00000]\njeq #0x45, next, no\nnext: ld [0xfff0000c]\njeq #0x7f000001, yes, no\nyes: ret #-1\nno: ret #0",
  );
  const got: RemoteInfo[] = [];
  server.on("message", (_message, from) => got.push(from));
  for (const mode of ["kernel", "user"] as const) {
    const filter = filterSocket(server, program, { mode });
    client.send(Uint8Array.of(1), server.address().port, "127.0.0.1");
    while (filter.counts().passed + (filter.counts().dropped ?? 0) < 1) await turn();
    filter.detach();
  }
  expect(got.map(({ address }) => address)).toEqual(["::ffff:127.0.0.1", "::ffff:127.0.0.1"]);
});

/** xorshift32: 32 random bits from a seed that is not 0. */
function bits(seed: number): () => number {
  let state = (seed * 0x9e3779b1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

const AREAS = [0, 0, 0, 0, 0, 8, 8, 8, 0xfff00000, 0xffe00000];
const EDGES = [0, 1, 7, 8, 9, 31, 32, 255, 0xffff, 0x80000000, 0xffffffff, 0xfff00000, 0xffe00000];

const LOADS = OPCODES.filter(({ does }) => does.kind === "packet" || does.kind === "msh");

/** A random program that Linux takes: loads of headers, payload and ancillary values, and what can be done with them. */
function programFrom(next: () => number): Instruction[] {
  const pick = <T>(list: readonly T[]): T => list[next() % list.length]!;
  for (;;) {
    const length = 3 + (next() % 14);
    const program: Instruction[] = [];
    for (let i = 0; i < length - 1; i++) {
      const row = next() % 3 === 0 ? pick(LOADS) : pick(OPCODES);
      const left = length - 2 - i;
      const offset = (): number => (left > 0 ? next() % (left + 1) : 0);
      let k = next() % 2 === 0 ? next() % 70 : next() % 3 === 0 ? next() : pick(EDGES);
      if (row.does.kind === "packet" || row.does.kind === "msh") {
        k = (pick(AREAS) + (next() % 42)) >>> 0;
        if (row.does.kind === "packet" && row.does.at === "abs" && next() % 6 === 0) k = 0xfffff000 + 4 * (next() % 16);
      }
      if (row.does.kind === "load-mem" || row.does.kind === "store-mem") k %= 3;
      if (row.does.kind === "alu" && row.does.src === "k" && (row.does.op === "lsh" || row.does.op === "rsh")) k %= 32;
      if (row.does.kind === "jump") k = offset();
      if (row.does.kind === "return" && next() % 4 !== 0) continue;
      program.push(jump(row.code, k, offset(), offset()));
    }
    program.push(jump(next() % 2 === 0 ? 0x16 : 0x06, pick([0, 1, 8, 9, 12, 30, 0xffffffff]), 0, 0));
    if (check(program).length === 0) return program;
  }
}

function payloadFrom(next: () => number): Uint8Array {
  const size = [0, 1, 2, 4, 10, 33, 60, 700][next() % 8]!;
  return Uint8Array.from({ length: size }, () => next() >>> (next() % 2 === 0 ? 24 : 29));
}

/** Sockets that are filtered at a time. */
const ABREAST = 25;
const PAYLOADS = 4;

describe.skipIf(noAddon !== undefined).each([4, 6] as const)("random programs over IPv%i", (family) => {
  test(`${PROGRAMS} programs: kernel and user space deliver the same bytes`, async () => {
    loadAddon();
    const next = bits(SEED + family);
    const client = await bound(family);
    const servers = await Promise.all(Array.from({ length: ABREAST }, () => bound(family)));
    const inbox: string[][] = servers.map(() => []);
    for (const [s, server] of servers.entries()) server.on("message", (message) => inbox[s]!.push(toHex(message)));

    const run = async (
      programs: readonly Instruction[][],
      payloads: readonly Uint8Array[],
      mode: "kernel" | "user",
    ) => {
      const filters = programs.map((program, s) => filterSocket(servers[s]!, program, { mode }));
      await Promise.all(filters.map((filter, s) => deliver(client, servers[s]!, filter, payloads)));
      for (const filter of filters) filter.detach();
      const messages = inbox.map((list) => list.splice(0));
      return filters.map((filter, s) => ({ uncertain: filter.unknowable.length > 0, messages: messages[s]! }));
    };

    let [certain, differ, delivered] = [0, 0, 0];
    for (let done = 0; done < PROGRAMS; done += ABREAST) {
      const programs = Array.from({ length: ABREAST }, () => programFrom(next));
      const payloads = Array.from({ length: PAYLOADS }, () => payloadFrom(next));
      const inKernel = await run(programs, payloads, "kernel");
      const inUser = await run(programs, payloads, "user");
      for (const [s, { uncertain, messages }] of inUser.entries()) {
        const same = messages.join() === inKernel[s]!.messages.join();
        if (uncertain) {
          if (!same) differ++;
          continue;
        }
        certain++;
        delivered += messages.length;
        if (same) continue;
        const listing = Program.fromInstructions(programs[s]!).toString();
        expect(
          { user: messages, kernel: inKernel[s]!.messages },
          `${listing}\npayloads ${payloads.map((p) => `[${toHex(p)}]`).join(" ")}\nrerun: SEED=${SEED} npx vitest run test/kernel-fallback.test.ts`,
        ).toEqual({ user: inKernel[s]!.messages, kernel: inKernel[s]!.messages });
      }
    }
    // The analysis neither calls everything uncertain nor without reason, and the programs do something.
    expect(certain / PROGRAMS).toBeGreaterThan(5 / 6); // 10,000 programs of both families
    expect(differ).toBeGreaterThan(0);
    expect(delivered).toBeGreaterThan(certain);
  });
});
