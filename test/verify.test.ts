import { describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import { ISA } from "../src/isa/instruction-set.ts";
import { CODE } from "../src/isa/opcodes.ts";
import { type Instruction, jump, stmt } from "../src/program/instruction.ts";
import { estimateAttach } from "../src/verify/estimate.ts";
import { libpcapAccepts, RULES } from "../src/verify/rules.ts";
import { check, verify } from "../src/verify/verify.ts";

const RET = stmt(CODE.ret_k, 1);
const rules = (program: Instruction[], profile: "linux" | "libpcap" = "linux"): string[] =>
  check(program, { profile }).map(({ rule, index }) => `${index ?? "-"} ${rule}`);

describe("Linux's rules", () => {
  // biome-ignore format: a table
  test.each<[string, Instruction[], string[]]>([
    ["the empty program",              [],                                                      ["- program-length"]],
    ["4096 instructions",              Array(4096).fill(RET),                                   []],
    ["4097 instructions",              Array(4097).fill(RET),                                   ["- program-length"]],
    ["neg with the X bit",             [stmt(0x8c), RET],                                       ["0 unknown-opcode"]],
    ["an upper code byte",             [stmt(0x106)],                                           ["0 unknown-opcode"]],
    ["div #0",                         [stmt(CODE.div_k, 0), RET],                              ["0 division-by-zero"]],
    ["mod #0, never reached",          [stmt(CODE.ja, 1), stmt(CODE.mod_k, 0), RET],            ["1 division-by-zero"]],
    ["div x with k = 0",               [stmt(CODE.div_x, 0), RET],                              []],
    ["lsh #31",                        [stmt(CODE.lsh_k, 31), RET],                             []],
    ["rsh #32",                        [stmt(CODE.rsh_k, 32), RET],                             ["0 shift-count"]],
    ["lsh x with k = 99",              [stmt(CODE.lsh_x, 99), RET],                             []],
    ["stx M[15]",                      [stmt(CODE.stx, 15), RET],                               []],
    ["st M[16]",                       [stmt(CODE.st, 16), RET],                                ["0 scratch-index"]],
    ["ja to the last",                 [stmt(CODE.ja, 0), RET],                                 []],
    ["ja behind the last",             [stmt(CODE.ja, 1), RET],                                 ["0 jump-range"]],
    ["ja back, by wrapping",           [stmt(CODE.ja, 0xffffffff), RET],                        ["0 jump-range"]],
    ["a false side never taken",       [jump(CODE.jge_k, 0, 0, 1), RET],                        ["0 jump-range"]],
    ["a jump as the last",             [stmt(CODE.ja, 0)],                                      ["0 jump-range", "0 missing-return"]],
    ["jt on a load",                   [jump(CODE.ld_imm, 1, 200, 200), RET],                   []],
    ["ld [0xfffff03c]",                [stmt(CODE.ldw_abs, 0xfffff03c), RET],                   []],
    ["ldb [0xfffff03c]",               [stmt(CODE.ldb_abs, 0xfffff03c), RET],                   []],
    ["ld [0xfffff040]",                [stmt(CODE.ldw_abs, 0xfffff040), RET],                   ["0 ancillary-offset"]],
    ["ldh [0xfffff001]",               [stmt(CODE.ldh_abs, 0xfffff001), RET],                   ["0 ancillary-offset"]],
    ["ld [0xffffffff]",                [stmt(CODE.ldw_abs, 0xffffffff), RET],                   ["0 ancillary-offset"]],
    ["ld [0xffffefff]",                [stmt(CODE.ldw_abs, 0xffffefff), RET],                   []],
    ["ld [x + 0xfffff001]",            [stmt(CODE.ldw_ind, 0xfffff001), RET],                   []],
    ["ldxb 4*([0xfffff001]&0xf)",      [stmt(CODE.ldxb_msh, 0xfffff001), RET],                  []],
    ["no return at the end",           [stmt(CODE.tax)],                                        ["0 missing-return"]],
    ["ld M[0] at the start",           [stmt(CODE.ld_mem, 0), RET],                             ["0 scratch-uninitialized"]],
    ["ldx M[1] behind st M[0]",        [stmt(CODE.st, 0), stmt(CODE.ldx_mem, 1), RET],          ["1 scratch-uninitialized"]],
    ["one path without a store",       [jump(CODE.jeq_k, 0, 0, 1), stmt(CODE.st, 0), stmt(CODE.ld_mem, 0), RET], ["2 scratch-uninitialized"]],
    ["dead code behind a jump",        [stmt(CODE.ja, 1), stmt(CODE.ld_mem, 7), RET],           []],
    // A safe program that Linux refuses: its state falls through the return (kernel-verified).
    ["a store lost behind a return",   [jump(CODE.jeq_k, 0, 0, 2), stmt(CODE.st, 0), stmt(CODE.ja, 1), stmt(CODE.ret_k, 5), stmt(CODE.ld_mem, 0), RET], ["4 scratch-uninitialized"]],
  ])("%s", (_name, program, want) => {
    expect(rules(program)).toEqual(want);
  });

  test("accept 49 of all 65,536 codes", () => {
    let accepted = 0;
    for (let code = 0; code <= 0xffff; code++) {
      const [violation] = check([stmt(code, 1), RET]).filter(({ rule }) => rule === "unknown-opcode");
      if (violation === undefined) accepted++;
    }
    expect(accepted).toBe(49);
  });

  test("name the place and what is allowed", () => {
    expect(check([stmt(CODE.ld_imm), stmt(CODE.lsh_k, 33), RET])).toEqual([
      { rule: "shift-count", message: "shift count 33 is outside 0..31", index: 1 },
    ]);
    expect(check([stmt(CODE.ja, 9), RET, RET])[0]?.message).toBe("k 9 leaves the program; 0..1 is allowed");
  });
});

describe("libpcap's rules", () => {
  // biome-ignore format: a table
  test.each<[string, Instruction[], string[]]>([
    ["the empty program",        [],                                                    ["- program-empty"]],
    ["5000 instructions",        Array(5000).fill(RET),                                 []],
    ["lsh #33",                  [stmt(CODE.lsh_k, 33), RET],                           []],
    ["ld M[3] unwritten",        [stmt(CODE.ld_mem, 3), RET],                           []],
    ["an unknown ancillary",     [stmt(CODE.ldw_abs, 0xfffff001), RET],                 []],
    ["a backward ja",            [stmt(CODE.tax), stmt(CODE.ja, 0xfffffffe), RET],      []],
    ["a ja in front of the first", [stmt(CODE.ja, 0xfffffffe), RET],                    ["0 jump-target"]],
    ["a mode of 0xe0",           [stmt(0xe0), RET],                                     ["0 invalid-opcode"]],
    ["return X",                 [stmt(0x0e)],                                          ["0 aborts-at-run"]],
    ["div #0",                   [stmt(CODE.div_k, 0), RET],                            ["0 division-by-zero"]],
  ])("%s", (_name, program, want) => {
    expect(rules(program, "libpcap")).toEqual(want);
  });

  test("its validator takes 53,248 codes, 49 of which its interpreter survives", () => {
    const accepted = Array.from({ length: 0x10000 }, (_zero, code) => code).filter(libpcapAccepts);
    expect(accepted).toHaveLength(53248);
    expect(accepted.filter((code) => ISA.row(code) !== undefined)).toHaveLength(49);
  });
});

describe("verify", () => {
  test("throws every violation at once, as text and as data", () => {
    const program = [stmt(CODE.lsh_k, 40), stmt(CODE.ld_mem, 16), stmt(CODE.tax)];
    expect(() => verify(program)).toThrow(BpfError);
    try {
      verify(program);
    } catch (error) {
      const { code, violations, index, message } = error as BpfError;
      expect(code).toBe("invalid-program");
      expect(violations.map((v) => v.rule)).toEqual(["shift-count", "scratch-index", "missing-return"]);
      expect(index).toBe(0);
      expect(message.split("\n")).toHaveLength(3);
    }
  });

  test("freezes what it makes, and takes no part of the caller's array", () => {
    const own = [{ code: CODE.ret_k as number, jt: 0, jf: 0, k: 1 }];
    const program = verify(own);
    own[0]!.k = 2;
    expect(program.instructions[0]!.k).toBe(1);
    expect(Object.isFrozen(program.instructions) && Object.isFrozen(program.instructions[0])).toBe(true);
  });

  test("knows an extended set, and refuses its codes on the plain one", () => {
    const isa = ISA.extend({ code: 0xf0, name: "nop", run: () => undefined });
    expect(verify([stmt(0xf0), RET], { isa }).isa).toBe(isa);
    expect(() => verify([stmt(0xf0), RET])).toThrow("code 0xf0 is none of the 49 known");
  });

  // biome-ignore format: a table
  test.each([
    [[[6, 0, 0]],                       "instruction 0: 3 fields where 4 are needed"],
    [[[6, 0, 0, 1], [0x10000, 0, 0, 0]], "instruction 1: code 65536 is outside 0..0xffff"],
    [[[6, 256, 0, 1]],                  "instruction 0: jt 256 is outside 0..0xff"],
    [[[6, 0, -1, 1]],                   "instruction 0: jf -1 is outside 0..0xff"],
    [[[6, 0, 0, 2 ** 32]],              "instruction 0: k 4294967296 is outside -2147483648..0xffffffff"],
    [[[6, 0, 0, Number.NaN]],           "instruction 0: k NaN is outside -2147483648..0xffffffff"],
    [[null],                            "instruction 0: expected {code, jt, jf, k} or four numbers"],
    [7,                                 "a program is a list of instructions"],
  ])("refuses %j", (program, message) => {
    expect(() => verify(program as never)).toThrow(expect.objectContaining({ code: "bad-argument", message }));
  });

  test("takes a negative k modulo 2^32", () => {
    expect(verify([[CODE.ret_k, 0, 0, -1]]).instructions[0]!.k).toBe(0xffffffff);
  });

  test("every rule has a profile and a line of documentation", () => {
    expect(RULES.every((rule) => rule.profiles.length > 0 && rule.doc !== "")).toBe(true);
    expect(new Set(RULES.map((rule) => rule.id)).size).toBe(RULES.length);
  });
});

describe("what an attach costs", () => {
  const many = (insn: Instruction, n: number): Instruction[] => [...Array(n).fill(insn), RET];

  // Lengths by the formula measured on 6.18; each program ends with `ret #1`, which is 2.
  // biome-ignore format: a table
  test.each<[string, Instruction[], number]>([
    ["ret #1",                  [RET],                                                   3 + 2],
    ["ldb [0]",                 [stmt(CODE.ldb_abs, 0), RET],                            7 + 12 + 2],
    ["ld [4]",                  [stmt(CODE.ldw_abs, 4), RET],                            7 + 14 + 2],
    ["ldh [32768]",             [stmt(CODE.ldh_abs, 32768), RET],                        7 + 16 + 2],
    ["ld [NET]",                [stmt(CODE.ldw_abs, 0xfff00000), RET],                   7 + 8 + 2],
    ["ld [x]",                  [stmt(CODE.ldw_ind, 0), RET],                            7 + 8 + 2],
    ["ld [x + 4]",              [stmt(CODE.ldw_ind, 4), RET],                            7 + 9 + 2],
    ["ldxb 4*([14]&0xf)",       [stmt(CODE.ldxb_msh, 14), RET],                          7 + 19 + 2],
    ["ld PROTOCOL",             [stmt(CODE.ldw_abs, 0xfffff000), RET],                   3 + 2 + 2],
    ["ld MARK",                 [stmt(CODE.ldw_abs, 0xfffff014), RET],                   3 + 1 + 2],
    ["ld CPU",                  [stmt(CODE.ldw_abs, 0xfffff024), RET],                   3 + 4 + 2],
    ["ld VLAN_TAG_PRESENT",     [stmt(CODE.ldw_abs, 0xfffff030), RET],                   3 + 3 + 2],
    ["jeq, false falls through", [jump(CODE.jeq_k, 1, 1, 0), RET, RET],                  3 + 1 + 4],
    ["jeq, true falls through", [jump(CODE.jeq_k, 1, 0, 1), RET, RET],                   3 + 1 + 4],
    ["jset, true falls through", [jump(CODE.jset_k, 1, 0, 1), RET, RET],                 3 + 2 + 4],
    ["jgt with the top bit",    [jump(CODE.jgt_k, 0x80000000, 1, 1), RET, RET],          3 + 3 + 4],
    ["div x",                   [stmt(CODE.div_x), RET],                                 3 + 5 + 2],
  ])("%s", (_name, program, converted) => {
    const estimate = estimateAttach({ instructions: program });
    expect(estimate.converted).toBe(converted);
    expect(estimate.charge).toBe(96 + 8 * converted);
  });

  // Measured on 6.18: how many loads fit, and the errno one beyond.
  // biome-ignore format: a table
  test.each<[number, Instruction, number, string]>([
    [131072, stmt(CODE.ldw_abs, 4),   1168, "ENOMEM"],
    [20480,  stmt(CODE.ldw_abs, 4),   181,  "ENOMEM"],
    [20480,  stmt(CODE.ldxb_msh, 14), 133,  "ENOMEM"],
    [20480,  stmt(CODE.ld_imm, 1),    2542, "ENOMEM"],
  ])("optmem_max %i: %o fits %i times", (optmemMax, insn, n, errno) => {
    expect(estimateAttach({ instructions: many(insn, n) }, { optmemMax }).errno).toBe("none");
    expect(estimateAttach({ instructions: many(insn, n + 1) }, { optmemMax }).errno).toBe(errno);
  });

  // Measured on 6.18: the farthest ja over expanding instructions.
  // biome-ignore format: a table
  test.each<[Instruction, number]>([
    [stmt(CODE.ldw_abs, 4),   2340],
    [stmt(CODE.ldxb_msh, 14), 1724],
    [stmt(CODE.ldw_ind, 4),   3640],
  ])("ja spans %o at most %i times", (insn, n) => {
    const over = (count: number): Instruction[] => [stmt(CODE.ja, count), ...Array(count).fill(insn), RET];
    expect(estimateAttach({ instructions: over(n) }).errno).toBe("ENOMEM");
    const beyond = estimateAttach({ instructions: over(n + 1) });
    expect(beyond.errno).toBe("EINVAL");
    expect(beyond.violations).toMatchObject([{ rule: "conversion-limit", index: 0 }]);
  });

  test("a filter being replaced still counts", () => {
    const program = { instructions: many(stmt(CODE.ldw_abs, 4), 600) };
    const { charge } = estimateAttach(program);
    expect(estimateAttach(program, { charged: charge }).errno).toBe("ENOMEM");
    expect(estimateAttach({ instructions: many(stmt(CODE.ldw_abs, 4), 300) }, { charged: charge / 2 }).errno).toBe(
      "none",
    );
  });
});

test("a message lists a hundred violations and counts the rest; the error carries them all", () => {
  const lines = (n: number): string[] => {
    try {
      verify([...Array<Instruction>(n).fill(stmt(0xffff)), RET]);
    } catch (error) {
      expect((error as BpfError).violations).toHaveLength(n);
      return (error as BpfError).message.split("\n");
    }
    return [];
  };
  expect(lines(101)).toHaveLength(101);
  expect(lines(3000)).toHaveLength(101);
  expect(lines(3000).at(-1)).toBe("and 2900 more");
});
