/**
 * The oracles on real packets: what filters see on a tap and on UDP, and the interpreter on the same packets.
 * Needs the addon and CAP_SYS_ADMIN; elsewhere it prints the reason and skips.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromHex } from "../src/base/bytes.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { OPCODES } from "../src/isa/opcodes.ts";
import { type NetworkOracle, type Observation, tapOracle, udpOracle } from "../src/kernel/network-oracle.ts";
import { PrivateNetwork } from "../src/kernel/private-network.ts";
import type { PacketBatch } from "../src/program/engine.ts";
import { type Instruction, jump, stmt } from "../src/program/instruction.ts";
import { check, verify } from "../src/verify/verify.ts";
import { announce, withoutPrivilege } from "./kernel-host.ts";

const reason = withoutPrivilege();
announce("kernel network", reason);

function batchOf(packets: readonly Uint8Array[]): PacketBatch {
  const bytes = new Uint8Array(packets.reduce((sum, packet) => sum + packet.length, 0));
  const table = new Uint32Array(2 * packets.length);
  let at = 0;
  packets.forEach((packet, i) => {
    bytes.set(packet, at);
    table.set([at, packet.length], 2 * i);
    at += packet.length;
  });
  return { bytes, table, count: packets.length };
}

const MULTICAST = "01005e000001";
const BROADCAST = "ffffffffffff";
const STRANGER = "020000000001";
const SOURCE = "0200000000fe";
/** UDP 10.0.0.1:1000 to 10.0.0.2:53 with 8 bytes of payload. */
const UDP4 = "4500002400010000401166c70a0000010a00000203e8003500100000" + "0102030405060708";

// biome-ignore format: a table
const FRAMES = [
  //           frame                                        LEN  PROTOCOL PKTTYPE TAG     TPID    PAY_OFFSET (raw)
  ["UDP",      `${STRANGER}${SOURCE}0800${UDP4}`,            50, 0x0800,  3,      0,      0,      42],
  ["broadcast",`${BROADCAST}${SOURCE}0800${UDP4}`,           50, 0x0800,  1,      0,      0,      42],
  ["multicast",`${MULTICAST}${SOURCE}0800${UDP4}`,           50, 0x0800,  2,      0,      0,      42],
  ["VLAN",     `${STRANGER}${SOURCE}810060050800${UDP4}`,    50, 0x0800,  3,      0x6005, 0x8100, 42],
  ["QinQ",     `${STRANGER}${SOURCE}88a800648100002a0800${UDP4}`, 54, 0x8100, 3,  0x64,   0x88a8, 46],
  ["802.3",    `${STRANGER}${SOURCE}0010aaaa03000000`,       20, 4,       3,      0,      0,      0],
  ["no data",  `${STRANGER}${SOURCE}0800`,                   14, 0x0800,  3,      0,      0,      0],
] as const;

describe.skipIf(reason !== undefined)("a private network", () => {
  test("leaves the calling thread where it is, and goes away when closed", () => {
    const before = readlinkSync("/proc/thread-self/ns/net");
    const fds = (): string[] => readdirSync("/proc/self/fd");
    const held = fds().length;
    const network = new PrivateNetwork();
    expect(readlinkSync("/proc/thread-self/ns/net")).toBe(before);
    expect(readlinkSync(`/proc/self/fd/${network.netns}`)).not.toBe(before);
    network.close();
    network.close();
    expect(fds().length).toBe(held);
  });
});

describe.skipIf(reason !== undefined)("what filters see of frames on a tap", () => {
  let raw: NetworkOracle;
  let dgram: NetworkOracle;
  let onRaw: Observation;
  let onDgram: Observation;
  const frames = batchOf(FRAMES.map(([, frame]) => fromHex(frame)));
  beforeAll(() => {
    raw = tapOracle("raw");
    dgram = tapOracle("dgram");
    onRaw = raw.observe(frames);
    onDgram = dgram.observe(frames);
  });
  afterAll(() => {
    raw.close();
    dgram.close();
  });

  const load = (k: number): Instruction[] => [stmt(0x20, k), stmt(0x16)];

  test.each(FRAMES.map((row, i) => [row[0], i] as const))("%s", (_name, i) => {
    const [, , length, protocol, pktType, vlanTag, vlanTpid, payOffset] = FRAMES[i]!;
    const context = onRaw.seen.context!(i);
    expect(onRaw.seen.table[2 * i + 1]).toBe(length);
    expect(context).toMatchObject({ protocol, pktType, vlanTag, vlanTpid, vlanPresent: vlanTpid === 0 ? 0 : 1 });
    expect(context).toMatchObject({ hatype: 1, queue: 1, rxhash: 0, mark: 0, network: 14, mac: 0 });
    expect(onDgram.seen.table[2 * i + 1]).toBe(length - 14);
    expect(onDgram.seen.context!(i)).toMatchObject({ protocol, network: 0, mac: -14 });
    // The same values, asked through the machine itself.
    const one = { ...frames, table: frames.table.slice(2 * i, 2 * i + 2), count: 1 };
    const asked = [0x80, 0xfffff000, 0xfffff004, 0xfffff02c, 0xfffff03c, 0xfffff034].map(
      (k) => raw.verdicts(k === 0x80 ? [stmt(0x80), stmt(0x16)] : load(k), one)[0],
    );
    expect(asked).toEqual([length, protocol, pktType, vlanTag, vlanTpid, payOffset]);
  });

  test("a frame under 14 bytes, and a tag with nothing behind it, reach no filter", () => {
    const short = batchOf([new Uint8Array(13), fromHex(`${STRANGER}${SOURCE}81000005`), fromHex(FRAMES[0][1])]);
    const observation = raw.observe(short);
    expect(observation.lost).toEqual([0, 1]);
    expect(observation.sent.count).toBe(1);
    expect(raw.compare([stmt(0x06, 1)], short, Uint32Array.of(1, 1, 1))).toMatchObject({ unseen: [0, 1], full: 1 });
  });
});

/** xorshift32 */
function bits(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Programs that load much, everywhere: packet, NET and LL areas, ancillary data. */
function loadingProgram(next: () => number): Instruction[] {
  const pick = <T>(list: readonly T[]): T => list[next() % list.length]!;
  const loads = OPCODES.filter(({ does }) => does.kind === "packet" || does.kind === "msh");
  const program: Instruction[] = [];
  const blocks = 1 + (next() % 4);
  for (let i = 0; i < blocks; i++) {
    const k = pick([
      next() % 60,
      (0xfff00000 + (next() % 60)) >>> 0,
      (0xffe00000 + (next() % 60)) >>> 0,
      pick([0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 44, 48, 52, 60].map((n) => 0xfffff000 + n)),
      (0xffffffff - (next() % 20)) >>> 0,
    ]);
    const row = pick(loads);
    program.push(jump(row.code, row.does.kind === "packet" && row.does.at === "abs" && k > 0xfffff03c ? 4 : k, 0, 0));
    if (next() % 2 === 0) program.push(stmt(pick([0x07, 0x87, 0x0c, 0xac, 0x2c, 0x84])));
    if (next() % 3 === 0) program.push(stmt(pick([0x04, 0x54, 0xa4]), next() >>> (next() % 32)));
  }
  program.push(stmt(0x16));
  return program;
}

const PROGRAMS = process.env.CBPF_LONG ? 20_000 : 1_000;

describe.skipIf(reason !== undefined)("the interpreter agrees with the kernel on real packets", () => {
  const next = bits(12345);
  const random = Array.from({ length: 8 }, () =>
    Uint8Array.from({ length: 30 + (next() % 80) }, (_, i) =>
      i < 6 ? 2 : i === 12 ? 8 : i === 13 ? 0 : next() >>> 26,
    ),
  );
  const payloads = [0, 1, 4, 20, 100].map((length) => Uint8Array.from({ length }, () => next() >>> 24));

  // biome-ignore format: a table
  test.each([
    ["tap, raw",          () => tapOracle("raw"),           [...FRAMES.map(([, frame]) => fromHex(frame)), ...random]],
    ["tap, dgram",        () => tapOracle("dgram"),         [...FRAMES.map(([, frame]) => fromHex(frame)), ...random]],
    ["UDP over IPv4",     () => udpOracle(4, 0xdeadbeef),   payloads],
    ["UDP over IPv6",     () => udpOracle(6, 0x12345678),   payloads],
  ] as const)("%s", { timeout: 600_000 }, (_name, open, packets) => {
    const oracle = open();
    try {
      const { sent, seen, lost } = oracle.observe(batchOf(packets));
      expect(lost).toEqual([]);
      let compared = 0;
      const verdicts = new Set<number>();
      for (let i = 0; i < PROGRAMS; i++) {
        const program = loadingProgram(next);
        if (check(program).length > 0) continue;
        const expected = new Uint32Array(seen.count);
        interpreter.load(verify(program)).runBatch(seen, expected);
        const { mismatches, full } = oracle.compare(program, sent, expected);
        if (mismatches.length > 0) expect.fail(`program ${i}: ${JSON.stringify({ program, mismatches })}`);
        for (const verdict of expected) verdicts.add(verdict);
        compared += full;
      }
      console.log(`kernel network: ${oracle.name}: ${compared} verdicts, ${verdicts.size} different`);
      expect(verdicts.size).toBeGreaterThan(200);
    } finally {
      oracle.close();
    }
  });

  test("a mark and a hash reach the filter", () => {
    const oracle = udpOracle(6, 0x12345678);
    try {
      const context = oracle.observe(batchOf([new Uint8Array(40)])).seen.context!(0);
      expect(context).toMatchObject({ mark: 0x12345678, protocol: 0x86dd, hatype: 772, ifindex: 1, pktType: 0 });
      expect(context.rxhash).not.toBe(0);
      expect(context.before.length).toBe(54);
    } finally {
      oracle.close();
    }
  });
});
