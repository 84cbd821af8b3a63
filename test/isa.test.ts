import { describe, expect, test } from "vitest";
import { ANCILLARY } from "../src/isa/ancillary.ts";
import { InstructionSet, ISA } from "../src/isa/instruction-set.ts";
import { SKF_AD_OFF } from "../src/isa/limits.ts";
import { CODE, OPCODES, usesK } from "../src/isa/opcodes.ts";
import { ALU, CONDITION, negate } from "../src/isa/semantics.ts";
import { isaDocument } from "./isa-document.ts";

// Values where 32-bit arithmetic, doubles and signed shifts part ways.
const EDGES = [0, 1, 2, 31, 32, 33, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

describe("scalar semantics", () => {
  // biome-ignore format: a table
  test.each([
    // op     a            b            want
    ["add",  0xffff_ffff, 1,           0],
    ["sub",  0,           1,           0xffff_ffff],
    ["mul",  0xffff_ffff, 0xffff_ffff, 1], // a double product would give 0xfffffffe00000000
    ["mul",  0x1_0001,    0x1_0001,    0x2_0001],
    ["div",  0xffff_fffe, 3,           0x5555_5554], // unsigned: -2 / 3 would be 0
    ["mod",  0xffff_fffe, 3,           2],
    ["or",   0x8000_0000, 1,           0x8000_0001],
    ["and",  0xffff_ffff, 0x8000_0000, 0x8000_0000],
    ["xor",  0xffff_ffff, 1,           0xffff_fffe],
    ["lsh",  1,           33,          2],
    ["lsh",  1,           31,          0x8000_0000],
    ["rsh",  0x8000_0000, 31,          1],
    ["rsh",  0x8000_0000, 32,          0x8000_0000],
  ] as const)("%s(%i, %i) is %i", (op, a, b, want) => {
    expect(ALU[op](a, b)).toBe(want);
  });

  test.each(Object.entries(ALU))("%s stays inside u32 and agrees with 64-bit arithmetic", (name, op) => {
    const wide: Record<string, (a: bigint, b: bigint) => bigint> = {
      add: (a, b) => a + b,
      sub: (a, b) => a - b,
      mul: (a, b) => a * b,
      div: (a, b) => a / b,
      mod: (a, b) => a % b,
      or: (a, b) => a | b,
      and: (a, b) => a & b,
      xor: (a, b) => a ^ b,
      lsh: (a, b) => a << (b % 32n),
      rsh: (a, b) => a >> (b % 32n),
    };
    for (const a of EDGES) {
      for (const b of EDGES) {
        if (b === 0 && (name === "div" || name === "mod")) continue; // the engine ends first
        expect(op(a, b), `${name}(${a}, ${b})`).toBe(Number(BigInt.asUintN(32, wide[name]!(BigInt(a), BigInt(b)))));
      }
    }
  });

  test("negate is modulo 2^32", () => {
    expect(EDGES.map(negate)).toEqual(EDGES.map((a) => Number(BigInt.asUintN(32, -BigInt(a)))));
  });

  // biome-ignore format: a table
  test.each([
    ["eq",  0xffff_ffff, 0xffff_ffff, true],
    ["gt",  0x8000_0000, 0x7fff_ffff, true], // unsigned
    ["gt",  1,           1,           false],
    ["ge",  1,           1,           true],
    ["ge",  0x7fff_ffff, 0x8000_0000, false],
    ["set", 0x8000_0000, 0x8000_0000, true],
    ["set", 6,           1,           false],
  ] as const)("%s(%i, %i) is %s", (op, a, b, want) => {
    expect(CONDITION[op](a, b)).toBe(want);
  });
});

describe("the opcode table", () => {
  test("has 49 rows with unique codes and names, all below 0x100", () => {
    expect(OPCODES).toHaveLength(49);
    expect(new Set(OPCODES.map((r) => r.code)).size).toBe(49);
    expect(new Set(OPCODES.map((r) => r.name)).size).toBe(49);
    expect(OPCODES.every((r) => r.code <= 0xff)).toBe(true);
  });

  test("codes follow the bit fields of bpf_common.h", () => {
    const classes = { ld: 0, ldx: 1, st: 2, stx: 3, alu: 4, jmp: 5, ret: 6, misc: 7 };
    const aluOps = {
      add: 0x00,
      sub: 0x10,
      mul: 0x20,
      div: 0x30,
      or: 0x40,
      and: 0x50,
      lsh: 0x60,
      rsh: 0x70,
      mod: 0x90,
      xor: 0xa0,
    };
    const conditions = { eq: 0x10, gt: 0x20, ge: 0x30, set: 0x40 };
    for (const { code, name, does } of OPCODES) {
      const dst = "dst" in does && does.dst === "x" ? classes.ldx : classes.ld;
      const source = "src" in does && does.src === "x" ? 8 : 0;
      const expected = {
        imm: () => dst,
        packet: () =>
          does.kind === "packet" ? (does.at === "abs" ? 0x20 : 0x40) | { 4: 0, 2: 8, 1: 0x10 }[does.size] : 0,
        msh: () => classes.ldx | 0xa0 | 0x10,
        length: () => dst | 0x80,
        "load-mem": () => dst | 0x60,
        "store-mem": () => ("src" in does && does.src === "x" ? classes.stx : classes.st),
        alu: () => (does.kind === "alu" ? classes.alu | aluOps[does.op] | source : 0),
        neg: () => classes.alu | 0x80,
        jump: () => classes.jmp,
        branch: () => (does.kind === "branch" ? classes.jmp | conditions[does.cond] | source : 0),
        return: () => classes.ret | ("src" in does && does.src === "a" ? 0x10 : 0),
        move: () => classes.misc | (does.kind === "move" && does.dst === "a" ? 0x80 : 0),
      }[does.kind]();
      expect(code, name).toBe(expected);
    }
  });

  test("reads and writes say what the row does", () => {
    for (const { name, does, reads, writes, pseudo } of OPCODES) {
      const target =
        "dst" in does ? does.dst.toUpperCase() : ({ alu: "A", neg: "A", "store-mem": "M" }[does.kind as string] ?? "");
      expect(writes, name).toBe(target);
      if ("src" in does && (does.src === "x" || does.src === "a"))
        expect(reads, name).toContain(does.src.toUpperCase());
      expect(pseudo, name).not.toBe("");
    }
  });

  test("rows that ignore k are the ones Linux never looks at", () => {
    const ignored = OPCODES.filter((r) => !usesK(r.does)).map((r) => r.name);
    expect(ignored).toEqual([
      ...["ld_len", "ldx_len", "add_x", "sub_x", "mul_x", "div_x", "mod_x", "or_x", "and_x", "xor_x", "lsh_x", "rsh_x"],
      ...["neg", "jeq_x", "jgt_x", "jge_x", "jset_x", "ret_a", "tax", "txa"],
    ]);
  });

  test("docs/isa.md is generated from it; npm run docs writes it anew", async () => {
    await expect(isaDocument()).toMatchFileSnapshot("../docs/isa.md");
  });
});

describe("ancillary loads", () => {
  test("are 16, at SKF_AD_OFF + 0, 4, ... 60", () => {
    expect(ANCILLARY.map((r) => r.offset)).toEqual(Array.from({ length: 16 }, (_zero, i) => 4 * i));
    expect(ANCILLARY.every((r) => r.k === SKF_AD_OFF + r.offset)).toBe(true);
    expect(new Set(ANCILLARY.flatMap((r) => r.words)).size).toBe(ANCILLARY.flatMap((r) => r.words).length);
  });
});

describe("extending the set", () => {
  const run = (): undefined => undefined;

  test("returns a new set and leaves the old one alone", () => {
    const larger = ISA.extend({ code: 0xf0, name: "popcnt", run });
    expect(larger.row(0xf0)?.name).toBe("popcnt");
    expect(ISA.row(0xf0)).toBeUndefined();
    expect(larger.row(CODE.ret_k)?.name).toBe("ret_k");
    expect(larger).toBeInstanceOf(InstructionSet);
  });

  // biome-ignore format: a table
  test.each([
    [{ code: 0x28,    name: "mine" },               "opcode-taken", 'opcode 0x28 of "mine" is taken by "ldh_abs"'],
    [{ code: 0xf0,    name: "jeq" },                "opcode-taken", 'mnemonic "jeq" of "jeq" is taken by "jeq_k"'],
    [{ code: 0x10000, name: "mine" },               "bad-argument", "opcode 65536 is outside 0..0xffff"],
    [{ code: 1.5,     name: "mine" },               "bad-argument", "opcode 1.5 is outside 0..0xffff"],
  ] as const)("refuses %o", (row, code, message) => {
    expect(() => ISA.extend({ ...row, run })).toThrow(expect.objectContaining({ code, message }));
  });

  test("refuses an ancillary offset or name that is taken", () => {
    const read = (): number => 1;
    expect(() => ISA.extendAncillary({ offset: 4, name: "mine", read })).toThrow(
      'offset 4 of "mine" is taken by "PKTTYPE"',
    );
    expect(() => ISA.extendAncillary({ offset: 64, name: "rand", read })).toThrow('name "rand" is taken');
    expect(() => ISA.extendAncillary({ offset: 0x1000, name: "mine", read })).toThrow("outside 0..0xfff");
    expect(ISA.extendAncillary({ offset: 64, name: "mine", read }).ancillary(SKF_AD_OFF + 64)?.name).toBe("mine");
  });
});
