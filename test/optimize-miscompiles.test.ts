// Where libpcap's own optimizer, or its generated code, is wrong: the same expressions, right in ours.
//
// The packets are made by hand and the verdicts follow from what is in them.
import { describe, expect, test } from "vitest";
import { compileFilter } from "../src/filter/compile.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { optimize } from "../src/optimize/optimize.ts";
import { check } from "../src/verify/verify.ts";
import { pathPackets } from "./filter/path-packets.ts";
import { Random } from "./filter/random.ts";

type Bytes = readonly number[];

const hex = (text: string): Bytes => [...Buffer.from(text.replaceAll(" ", ""), "hex")];
const be16 = (n: number): Bytes => [n >> 8, n & 255];
const ip4 = (protocol: number, payload: Bytes): Bytes => [
  ...hex("4500"),
  ...be16(20 + payload.length),
  ...hex("0000 0000 40"),
  protocol,
  ...hex("0000 0a000001 0a000002"),
  ...payload,
];
const ip6 = (next: number, payload: Bytes): Bytes => [
  ...hex("60000000"),
  ...be16(payload.length),
  next,
  ...hex(`40 ${"20".repeat(16)} ${"30".repeat(16)}`),
  ...payload,
];
const udp = (port: number, payload: Bytes): Bytes => [
  ...hex("3039"),
  ...be16(port),
  ...be16(8 + payload.length),
  0,
  0,
  ...payload,
];
const tcp = (port: number, flags: number, options: Bytes = []): Bytes => [
  ...hex("3039"),
  ...be16(port),
  ...hex("00000001 00000002"),
  (5 + options.length / 4) << 4,
  flags,
  ...hex("0400 0000 0000"),
  ...options,
];
const ethernet = (type: number, payload: Bytes): Bytes => [
  ...hex("020000000001 020000000002"),
  ...be16(type),
  ...payload,
];
const arp = hex("0001 0800 0604 0001 020000000001 0a000001 000000000000 0a000002");
const pppoe = (payload: Bytes): Bytes => [
  ...hex("11 00 0005"),
  ...be16(2 + payload.length),
  ...hex("0021"),
  ...payload,
];
/** A data frame of 802.11 behind the shortest radiotap header. */
const radiotap = (type: number, payload: Bytes): Bytes => [
  ...hex("00 00 0800 00000000"),
  ...hex("0800 0000 020000000001 020000000002 020000000003 0000"),
  ...hex("aaaa03 000000"),
  ...be16(type),
  ...payload,
];
const vxlan = (vni: number, payload: Bytes): Bytes => udp(4789, [0x08, 0, 0, 0, 0, ...be16(vni), 0, ...payload]);
const geneve = (payload: Bytes): Bytes => udp(6081, [0, 0, 0x65, 0x58, 0, 0, 7, 0, ...payload]);

/** What the outermost header is, and its number. */
const LINKS: readonly (readonly [string, number, (packet: Bytes) => Bytes])[] = [
  ["EN10MB", 1, (packet) => ethernet(0x0800, packet)],
  ["RAW", 101, (packet) => packet],
  ["NULL", 0, (packet) => [2, 0, 0, 0, ...packet]],
];

const made = new Map<string, ReturnType<typeof compiled>>();

/** Our programs for the expression: as generated, and optimized. */
function programs(expression: string, linktype: number): ReturnType<typeof compiled> {
  const key = `${linktype} ${expression}`;
  const known = made.get(key) ?? compiled(expression, linktype);
  made.set(key, known);
  return known;
}

function compiled(expression: string, linktype: number) {
  const plain = compileFilter(expression, { linktype });
  const small = compileFilter(expression, { linktype, optimize: (list) => optimize(list) });
  expect(check(small.instructions)).toEqual([]); // and so no path reads a cell that it did not write
  return { plain, small };
}

/** Fails unless the packet matches as it should, and both programs say the same on all that it begins with. */
function expectVerdict(expression: string, linktype: number, packet: Bytes, matches: boolean): void {
  const { plain, small } = programs(expression, linktype);
  const [before, after] = [interpreter.load(plain.program), interpreter.load(small.program)];
  const bytes = Uint8Array.from(packet);
  expect(after.run(bytes) !== 0, expression).toBe(matches);
  for (let length = 0; length <= bytes.length; length++) {
    expect(after.run(bytes.subarray(0, length)), `${length} bytes`).toBe(before.run(bytes.subarray(0, length)));
  }
  for (const other of pathPackets(plain.instructions, [bytes], 150, new Random(1))) {
    expect(after.run(other), Buffer.from(other).toString("hex")).toBe(before.run(other));
  }
}

// The optimizer drops the stores of the inner offsets (issue #1670).
describe.each(LINKS)("vxlan on %s", (_link, linktype, outer) => {
  const inside = {
    ip: ethernet(0x0800, ip4(6, tcp(80, 2))),
    arp: ethernet(0x0806, arp),
    ip6: ethernet(0x86dd, ip6(6, tcp(80, 2))),
  };
  test.each(["vxlan and ip", "vxlan and arp", "vxlan 7 and ip6"])("%s", (expression) => {
    for (const [kind, payload] of Object.entries(inside)) {
      for (const vni of [7, 8]) {
        const matches = expression.endsWith(` ${kind}`) && (vni === 7 || !expression.includes("7"));
        expectVerdict(expression, linktype, outer(ip4(17, vxlan(vni, payload))), matches);
      }
    }
    expectVerdict(expression, linktype, outer(ip4(17, udp(53, inside.ip))), false);
  });
});

// Already the unoptimized programs read cells that they did not write.
describe("run-time offsets on radiotap", () => {
  const inner = (packet: Bytes) => ethernet(0x0800, packet);
  test.each([
    ["pppoes and tcp port 3389", radiotap(0x8864, pppoe(ip4(6, tcp(3389, 2)))), true],
    ["pppoes and tcp port 3389", radiotap(0x8864, pppoe(ip4(6, tcp(3390, 2)))), false],
    ["pppoes and tcp port 3389", radiotap(0x0800, ip4(6, tcp(3389, 2))), false],
    ["geneve and tcp[13] = 2", radiotap(0x0800, ip4(17, geneve(inner(ip4(6, tcp(80, 2)))))), true],
    ["geneve and tcp[13] = 2", radiotap(0x0800, ip4(17, geneve(inner(ip4(6, tcp(80, 16)))))), false],
    ["geneve and tcp[13] = 2", radiotap(0x0800, ip4(6, tcp(80, 2))), false],
    ["vxlan and tcp[13] = 2", radiotap(0x0800, ip4(17, vxlan(5, inner(ip4(6, tcp(80, 2)))))), true],
    ["vxlan and tcp[13] = 2", radiotap(0x0800, ip4(17, vxlan(5, inner(ip4(6, tcp(80, 18)))))), false],
  ] as const)("%s, %#", (expression, packet, matches) => {
    expectVerdict(expression, 127, packet, matches);
  });
});

// Optimized, libpcap takes these for true on packets that end inside the field, where the generated program drops them.
describe("tautologies", () => {
  test.each(["ip or not ip", "not ip6 or ip6", "arp or not arp", "not ether[12:2] = 5 or ether[12:2] = 5"])(
    "%s needs the field",
    (expression) => {
      const { small } = programs(expression, 1);
      const filter = interpreter.load(small.program);
      const frame = Uint8Array.from(ethernet(0x0800, ip4(6, tcp(80, 2))));
      for (let length = 0; length <= frame.length; length++) {
        expect(filter.run(frame.subarray(0, length)), `${length} bytes`).toBe(length < 14 ? 0 : 262144);
      }
      expectVerdict(expression, 1, [...frame], true);
    },
  );
});

// jset #0xffffffff was always true from 2001 to 2026 (pull request #1742).
test.each([
  ["ether[0:4] & 0xffffffff != 0", hex("00000000 01"), false],
  ["ether[0:4] & 0xffffffff != 0", hex("00000100 01"), true],
  ["ether[0:4] & 0xffffffff = 0", hex("00000000 01"), true],
  ["ether[0:4] & 0xffffffff = 0", hex("80000000 01"), false],
] as const)("all bits at once: %s, %#", (expression, packet, matches) => {
  expectVerdict(expression, 1, packet, matches);
});

// An option behind other options, each index an expression over the last (pflua's test 215): optimized, libpcap's
// program reads four cells that no path has written.
describe("nested TCP options", () => {
  const DEPTH = 3;
  /** True when option `kind` is among the first DEPTH + 1: NOPs are one byte, others say their length. */
  const hasOption = (kind: number): string => {
    const from = (at: string, depth: number): string => {
      const found = `tcp[${at}] = ${kind}`;
      if (depth === DEPTH) return found;
      const behindNop = `(tcp[${at}] = 1 and (${from(`${at} + 1`, depth + 1)}))`;
      const behindOther = `(tcp[${at}] > 1 and (${from(`${at} + tcp[${at} + 1]`, depth + 1)}))`;
      return `${found} or ${behindNop} or ${behindOther}`;
    };
    return from("20", 0);
  };
  const expression = hasOption(8);

  test.each([
    ["first", "080a 00000001 00000002 0101", true],
    ["behind two NOPs", "0101 080a 00000001 00000002", true],
    ["behind SACK permitted and a segment size", "0402 020405b4 080a 00000001 00000002", true],
    ["behind too many", "01010101 080a 00000001 00000002 0101", false],
    ["not there", "020405b4 01010402", false],
    ["a byte that is no option", "020408 08 01010101", false],
  ])("%s", (_name, options, matches) => {
    expectVerdict(expression, 1, ethernet(0x0800, ip4(6, tcp(80, 2, hex(options)))), matches);
  });
});
