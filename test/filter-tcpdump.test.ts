/**
 * The compiler against tcpdump on real packets: for every capture, expressions that suit its link type pick the same
 * packets.  CBPF_LONG=1 takes every expression instead of a few.
 *
 * tcpdump itself says which packets a capture has, so that damaged files mean the same to both.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { HOST_LITTLE_ENDIAN } from "../src/base/bytes.ts";
import { BpfError } from "../src/base/errors.ts";
import { type CompiledFilter, compileFilter } from "../src/filter/index.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { dltOf } from "../src/link/linktypes.ts";
import { packetContext } from "../src/program/packet-context.ts";
import { DIFFERENCES } from "./filter/explained.ts";
import { expressionsOf } from "./filter/expressions.ts";
import { Random } from "./filter/random.ts";

const LONG = process.env.CBPF_LONG === "1";
/** Expressions a capture, where that many suit it; tcpdump is started once for each. */
const EXPRESSIONS = LONG ? Number.POSITIVE_INFINITY : Number(process.env.CBPF_FILTERS ?? 8);

const shared = process.env.CBPF_SHARED ?? fileURLToPath(new URL("../../shared", import.meta.url));
const folders = [join(shared, "captures"), fileURLToPath(new URL("captures", import.meta.url))];
if (!existsSync(folders[0]!))
  console.log("filter-tcpdump: no folder of foreign captures, only the project's own are used");
const captures = folders
  .filter((folder) => existsSync(folder))
  .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
  .filter((path) => /\.pcap(ng)?$/.test(path));

const noTcpdump = spawnSync("tcpdump", ["--version"]).error !== undefined;
if (noTcpdump) console.log("filter-tcpdump: skipped, tcpdump is not there");

/**
 * Differences in explained.ts that real packets show; and shifts by a value, where the engines differ: libpcap's gives 0
 * for counts over 31, Linux takes them modulo 32.
 */
const UNSUITED = /protochain|\\lldp|inbound|outbound|ifindex|ip multicast|<< ip/;

interface Packets {
  readonly linktype: number;
  readonly packets: readonly { readonly data: Buffer; readonly length: number; readonly time: string }[];
  readonly error: string;
}

/** What tcpdump takes from a capture: a filter of its own, unoptimized so that short packets mean the same. */
function tcpdump(path: string, expression: string): Packets {
  const { stdout, stderr } = spawnSync("tcpdump", ["-O", "--nano", "-r", path, "-w", "-", "--", expression], {
    maxBuffer: 2 ** 28,
  });
  const u32 = (at: number) => (HOST_LITTLE_ENDIAN ? stdout.readUInt32LE(at) : stdout.readUInt32BE(at));
  const packets: Packets["packets"][number][] = [];
  if (stdout.length < 24) return { linktype: -1, packets, error: stderr.toString() };
  for (let at = 24; at + 16 <= stdout.length; ) {
    const captured = u32(at + 8);
    packets.push({
      data: stdout.subarray(at + 16, at + 16 + captured),
      length: u32(at + 12),
      time: `${u32(at)}.${u32(at + 4)}`,
    });
    at += 16 + captured;
  }
  return { linktype: u32(20) & 0x0fffffff, packets, error: stderr.toString() };
}

function suiting(linktype: number): { expression: string; compiled: CompiledFilter }[] {
  const found: { expression: string; compiled: CompiledFilter }[] = [];
  for (const expression of expressionsOf("common").filter((text) => !UNSUITED.test(text))) {
    try {
      found.push({ expression, compiled: compileFilter(expression, { linktype }) });
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
    }
  }
  return found;
}

const totals = { captures: 0, compared: 0, explained: 0 };
afterAll(() => console.log("filter-tcpdump:", totals));

describe.skipIf(noTcpdump)("tcpdump", () => {
  test.each(captures.map((path) => [basename(path), path] as const))(
    "%s",
    (name, path) => {
      const all = tcpdump(path, "");
      if (all.linktype < 0 || all.packets.length === 0) {
        console.log(`filter-tcpdump: ${name}: tcpdump reads no packet: ${all.error.trim().split("\n").at(-1)}`);
        return;
      }
      const random = new Random(name.length * 7919);
      const picks = suiting(all.linktype).map((one) => ({ ...one, ours: picked(one.compiled, all) }));
      // Those that say something about this capture first, then others.
      const telling = picks.filter(({ ours }) => ours.length > 0 && ours.length < all.packets.length);
      const others = picks.filter((entry) => !telling.includes(entry));
      const few = [...shuffled(random, telling).slice(0, EXPRESSIONS - 3), ...shuffled(random, others)];
      const chosen = few.slice(0, EXPRESSIONS);
      const key = (list: Packets["packets"]) =>
        list.map(({ data, length, time }) => `${time} ${length} ${data.toString("hex")}`);
      for (const { expression, ours } of chosen) {
        const theirs = tcpdump(path, expression);
        const facts = { dlt: dltOf(all.linktype), expression, packet: undefined, theirs: theirs.error };
        const refused = theirs.linktype < 0;
        if (refused && DIFFERENCES.some((d) => d.kind === "accepts" && d.applies(facts))) {
          totals.explained++;
          continue;
        }
        expect(key(ours), `${expression} on ${name}: ${theirs.error}`).toEqual(key(theirs.packets));
        totals.compared++;
      }
      totals.captures++;
      expect(chosen.length).toBeGreaterThanOrEqual(Math.min(8, picks.length));
    },
    600_000,
  );
});

function picked(compiled: CompiledFilter, { packets }: Packets): Packets["packets"] {
  const filter = interpreter.load(compiled.program);
  return packets.filter(({ data, length }) => filter.run(data, packetContext({ length })) !== 0);
}

function shuffled<T>(random: Random, list: readonly T[]): T[] {
  return list
    .map((item) => [random.u32(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
}
