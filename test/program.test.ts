import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { BpfError } from "../src/base/errors.ts";
import { CODE, OPCODES } from "../src/isa/opcodes.ts";
import { ProgramBuilder } from "../src/program/builder.ts";
import { controlFlow } from "../src/program/cfg.ts";
import { decode, detectByteOrder, encode, HOST_BYTE_ORDER } from "../src/program/codec.ts";
import { type Instruction, jump, stmt } from "../src/program/instruction.ts";

const anyInstruction = fc.record({
  code: fc.oneof(fc.nat(0xffff), fc.constantFrom(...OPCODES.map((r) => r.code))),
  jt: fc.nat(0xff),
  jf: fc.nat(0xff),
  k: fc.nat(0xffffffff),
});

describe("struct sock_filter", () => {
  // ldh [12]; jeq #0x800, 0, 1; ret #-1; ret #0, as a little-endian and as a big-endian C program lays it out
  const LITTLE = "2800 00 00 0c000000  1500 00 01 00080000  0600 00 00 ffffffff  0600 00 00 00000000";
  const BIG = "0028 00 00 0000000c  0015 00 01 00000800  0006 00 00 ffffffff  0006 00 00 00000000";
  const PROGRAM = [stmt(0x28, 12), jump(0x15, 0x800, 0, 1), stmt(6, 0xffffffff), stmt(6, 0)];
  const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));

  test.each([
    ["little", LITTLE],
    ["big", BIG],
  ] as const)("%s-endian", (byteOrder, text) => {
    expect(decode(bytesOf(text))).toEqual(PROGRAM);
    expect(decode(bytesOf(text), { byteOrder })).toEqual(PROGRAM);
    expect(detectByteOrder(bytesOf(text))).toBe(byteOrder);
    expect(encode(PROGRAM, byteOrder)).toEqual(bytesOf(text));
  });

  test("where the bytes do not tell, the host's order is taken, and an option decides", () => {
    const zero = new Uint8Array(8);
    zero[7] = 1;
    expect(detectByteOrder(zero)).toBe(HOST_BYTE_ORDER);
    expect(decode(zero, { byteOrder: "big" })[0]!.k).toBe(1);
    expect(decode(zero, { byteOrder: "little" })[0]!.k).toBe(0x01000000);
  });

  test("every list of raw instructions survives encode and decode", () => {
    fc.assert(
      fc.property(
        fc.array(anyInstruction),
        fc.constantFrom("little" as const, "big" as const),
        (program, byteOrder) => {
          expect(decode(encode(program, byteOrder), { byteOrder })).toEqual(program);
        },
      ),
    );
  });

  test("a program that ends with a return is recognised in either order", () => {
    const known = anyInstruction.map((insn) => ({ ...insn, code: OPCODES[insn.code % OPCODES.length]!.code }));
    fc.assert(
      fc.property(fc.array(known), fc.constantFrom("little" as const, "big" as const), (body, byteOrder) => {
        expect(detectByteOrder(encode([...body, stmt(CODE.ret_k, 1)], byteOrder))).toBe(byteOrder);
      }),
    );
  });

  test("refuses half an instruction, with the place", () => {
    expect(() => decode(new Uint8Array(21))).toThrow(expect.objectContaining({ code: "bad-bytes", offset: 16 }));
    expect(() => decode("28" as never)).toThrow(expect.objectContaining({ code: "bad-argument" }));
    expect(() => decode(new Uint8Array(8), { byteOrder: "middle" as never })).toThrow("none of");
  });
});

describe("the builder", () => {
  test("resolves labels", () => {
    const built = new ProgramBuilder()
      .op("ldh_abs", 12)
      .branch("jeq_k", 0x800, "ipv4", "drop")
      .label("ipv4")
      .goto("accept")
      .label("drop")
      .op("ret_k", 0)
      .label("accept")
      .op("ret_k", -1)
      .build();
    expect(built).toEqual([stmt(0x28, 12), jump(0x15, 0x800, 0, 1), stmt(5, 1), stmt(6, 0), stmt(6, 0xffffffff)]);
  });

  test("reports every label that does not work out", () => {
    const builder = new ProgramBuilder().label("back").branch("jset_k", 1, "nowhere", "far").goto("back").label("back");
    for (let i = 0; i < 255; i++) builder.op("tax");
    builder.label("far").op("ret_a");
    try {
      builder.build();
      expect.unreachable();
    } catch (error) {
      expect((error as BpfError).violations.map(({ rule, index }) => [rule, index])).toEqual([
        ["duplicate-label", 2],
        ["unknown-label", 0],
        ["label-too-far", 0],
        ["label-behind", 1],
      ]);
    }
  });

  test("refuses names that are no instruction, `constructor` too", () => {
    expect(() => new ProgramBuilder().op("constructor" as never)).toThrow('no instruction is named "constructor"');
  });
});

describe("the control-flow graph", () => {
  const program: Instruction[] = [
    stmt(CODE.ldh_abs, 12), //        0
    jump(CODE.jeq_k, 0x800, 1, 0), // 1 -> 3, 2
    stmt(CODE.ret_k, 0), //           2
    stmt(CODE.ja, 1), //              3 -> 5
    stmt(CODE.tax), //                4 dead
    stmt(CODE.ret_a), //              5
  ];

  test("has blocks, edges and reachability", () => {
    const { blocks, blockOf } = controlFlow(program);
    expect(blocks.map(({ start, end, reachable }) => [start, end, reachable])).toEqual([
      [0, 2, true],
      [2, 3, true],
      [3, 4, true],
      [4, 5, false],
      [5, 6, true],
    ]);
    expect(blockOf).toEqual([0, 0, 1, 2, 3, 4]);
    expect(blocks[0]!.successors).toEqual([
      { to: 2, when: "true" },
      { to: 1, when: "false" },
    ]);
    expect(blocks[2]!.successors).toEqual([{ to: 4, when: "always" }]);
    expect(blocks[4]!.predecessors).toEqual([2, 3]);
  });

  test("exists for any list of instructions", () => {
    fc.assert(
      fc.property(fc.array(anyInstruction, { maxLength: 50 }), (raw) => {
        const { blocks, blockOf } = controlFlow(raw);
        expect(blockOf).toHaveLength(raw.length);
        expect(blocks.reduce((sum, { start, end }) => sum + end - start, 0)).toBe(raw.length);
        for (const { successors } of blocks) for (const { to } of successors) expect(to).toBeLessThan(blocks.length);
      }),
    );
  });

  test("does not take time beyond the program's length", () => {
    const long = Array.from({ length: 4096 }, (_zero, i) => (i < 4095 ? jump(CODE.jeq_k, i, 0, 0) : stmt(CODE.ret_k)));
    expect(controlFlow(long).blocks).toHaveLength(4096);
  });
});
