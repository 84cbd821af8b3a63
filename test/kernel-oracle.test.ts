/**
 * The unix oracle: what the kernel takes, and verdicts seen in three ways on programs whose verdict is known by hand.
 * Runs wherever the native addon is built; elsewhere it prints the reason and skips.
 */
import { afterAll, describe, expect, test } from "vitest";
import { CODE } from "../src/isa/opcodes.ts";
import { type KernelOracle, unixOracle } from "../src/kernel/oracle.ts";
import type { PacketBatch } from "../src/program/engine.ts";
import { type Instruction, jump, stmt } from "../src/program/instruction.ts";
import { announce, withoutAddon } from "./kernel-host.ts";

const reason = withoutAddon();
announce("kernel oracle", reason);
const available = reason === undefined;

/** One packet for each length, filled with 0, 1, 2 ... */
function packets(...lengths: readonly number[]): PacketBatch {
  const table = new Uint32Array(lengths.flatMap((length) => [0, length]));
  const bytes = new Uint8Array(Math.max(0, ...lengths)).map((_, i) => i);
  return { bytes, table, count: lengths.length };
}

const LENGTHS = [0, 1, 2, 3, 14, 64, 1500];

describe.skipIf(!available)("the unix oracle", () => {
  let oracle: KernelOracle;
  if (available) oracle = unixOracle();
  afterAll(() => oracle.close());

  test("takes and refuses programs as the kernel does, errno included", () => {
    expect(oracle.accepts([stmt(CODE.ret_k, 1)])).toEqual({ accepted: true });
    expect(oracle.accepts([])).toEqual({ accepted: false, errno: "EINVAL" });
    expect(oracle.accepts([stmt(CODE.ld_imm, 1)])).toEqual({ accepted: false, errno: "EINVAL" });
    expect(oracle.accepts(new Array(4097).fill(stmt(CODE.ret_k, 1)))).toEqual({ accepted: false, errno: "EINVAL" });
    // 4095 word loads need about 430 KB, more than any default optmem_max.
    const huge = [...new Array<Instruction>(4000).fill(stmt(CODE.ldw_abs, 4)), stmt(CODE.ret_k, 1)];
    expect(oracle.accepts(huge)).toEqual({ accepted: false, errno: "ENOMEM" });
  });

  test("judges a large program as a fresh socket would, though the old one is still charged", () => {
    // 13 eBPF instructions of 8 bytes a load: two of these exceed 128 KiB together, one alone does not.
    const large = [...new Array<Instruction>(150).fill(stmt(CODE.ldw_abs, 4)), stmt(CODE.ret_k, 1)];
    const larger = [...new Array<Instruction>(170).fill(stmt(CODE.ldw_abs, 4)), stmt(CODE.ret_k, 1)];
    expect(oracle.accepts(large)).toEqual({ accepted: true });
    expect(oracle.accepts(larger)).toEqual({ accepted: true });
  });

  test.each([
    // program                                                      verdict of a packet of that length
    ["ret #0", [stmt(CODE.ret_k, 0)], () => 0],
    ["ret #1", [stmt(CODE.ret_k, 1)], () => 1],
    ["ret #-1", [stmt(CODE.ret_k, 0xffffffff)], () => 0xffffffff],
    ["ret len", [stmt(CODE.ld_len), stmt(CODE.ret_a)], (length: number) => length],
    [
      "ret len * c",
      [stmt(CODE.ld_len), stmt(CODE.mul_k, 0x9e3779b1), stmt(CODE.ret_a)],
      (length: number) => Math.imul(length, 0x9e3779b1) >>> 0,
    ],
    [
      "load past the end",
      [stmt(CODE.ldb_abs, 13), stmt(CODE.add_k, 0xdead0000), stmt(CODE.ret_a)],
      (length: number) => (length > 13 ? 0xdead000d : 0),
    ],
    ["division by X = 0", [stmt(CODE.ld_imm, 7), stmt(CODE.div_x), stmt(CODE.ret_k, 9)], () => 0],
    [
      "two returns",
      [stmt(CODE.ld_len), jump(CODE.jgt_k, 2, 0, 1), stmt(CODE.ret_a), stmt(CODE.ret_k, 0x80000000)],
      (length: number) => (length > 2 ? length : 0x80000000),
    ],
    ["no device", [stmt(CODE.ld_imm, 5), stmt(CODE.ldw_abs, 0xfffff008), stmt(CODE.ret_k, 100)], () => 5],
  ] as const)("%s", (_name, program, verdictOf) => {
    const batch = packets(...LENGTHS);
    const verdicts = LENGTHS.map((length) => verdictOf(length));
    expect([...oracle.verdicts(program, batch)]).toEqual(verdicts);
    const comparison = oracle.compare(program, batch, Uint32Array.from(verdicts));
    expect(comparison).toEqual({ acceptance: { accepted: true }, full: 7, truncated: 0, unseen: [], mismatches: [] });
    const kept = LENGTHS.map((length, i) => (verdicts[i] === 0 ? -11 : Math.min(length, verdicts[i]!)));
    expect([...oracle.kept(program, batch)]).toEqual(kept);
  });

  test("a wrong expectation is found on every packet, whatever bit it is wrong in", () => {
    const program = [stmt(CODE.ld_len), stmt(CODE.mul_k, 0x9e3779b1), stmt(CODE.ret_a)];
    const batch = packets(...LENGTHS);
    const right = [...oracle.verdicts(program, batch)];
    for (let bit = 0; bit < 32; bit++) {
      const wrong = Uint32Array.from(right, (verdict) => verdict ^ (1 << bit));
      const { mismatches } = oracle.compare(program, batch, wrong);
      expect(mismatches.map((m) => m.packet).sort((a, b) => a - b)).toEqual(LENGTHS.map((_, i) => i));
      for (const m of mismatches) expect(m.verdict).toBe(right[m.packet]);
    }
    const zero = oracle.compare(program, batch, new Uint32Array(batch.count));
    expect(zero.mismatches.map((m) => m.packet).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("more verdicts than one pass tells apart", () => {
    const lengths = Array.from({ length: 200 }, (_, i) => i);
    const program = [stmt(CODE.ld_len), stmt(CODE.mul_k, 0x01000193), stmt(CODE.ret_a)];
    const expected = Uint32Array.from(lengths, (length) => Math.imul(length, 0x01000193) >>> 0);
    expect(oracle.compare(program, packets(...lengths), expected)).toMatchObject({ full: 200, mismatches: [] });
    expected[150] = 1;
    expect(oracle.compare(program, packets(...lengths), expected).mismatches).toEqual([
      { packet: 150, expected: 1, verdict: Math.imul(150, 0x01000193) >>> 0 },
    ]);
  });

  test("a program too long for an epilogue is compared by delivered length", () => {
    const program = [...new Array<Instruction>(4095).fill(stmt(CODE.ld_len)), stmt(CODE.ret_a)];
    const batch = packets(10, 20);
    expect(oracle.compare(program, batch, Uint32Array.of(10, 20))).toMatchObject({
      full: 0,
      truncated: 2,
      mismatches: [],
    });
    expect(oracle.compare(program, batch, Uint32Array.of(10, 7)).mismatches).toEqual([
      { packet: 1, expected: 7, verdict: undefined, kept: 20 },
    ]);
  });

  test("a refused program is not compared", () => {
    expect(oracle.compare([stmt(0x0e)], packets(4), Uint32Array.of(1))).toEqual({
      acceptance: { accepted: false, errno: "EINVAL" },
      full: 0,
      truncated: 0,
      unseen: [],
      mismatches: [],
    });
  });

  test("the CPU to run on can be chosen", () => {
    const program = [stmt(CODE.ldw_abs, 0xfffff024), stmt(CODE.add_k, 1), stmt(CODE.ret_a)];
    expect([...oracle.verdicts(program, packets(64), 0)]).toEqual([1]);
    expect(() => oracle.verdicts(program, packets(64), 1023)).toThrow(/EINVAL/);
  });

  test("a length on the wire that is not the packet's is refused", () => {
    const batch = { ...packets(64), lengths: Uint32Array.of(100) };
    expect(() => oracle.verdicts([stmt(CODE.ret_k, 1)], batch)).toThrow(/packet 0/);
  });

  test("a closed oracle says so", () => {
    const closed = unixOracle();
    closed.close();
    closed.close();
    expect(() => closed.accepts([stmt(CODE.ret_k, 1)])).toThrow(/closed/);
  });
});
