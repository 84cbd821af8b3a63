import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import { ISA } from "../src/isa/instruction-set.ts";
import { OPCODES } from "../src/isa/opcodes.ts";
import { type Instruction, jump, stmt } from "../src/program/instruction.ts";
import { assemble, assembleWithSpans } from "../src/text/assemble.ts";
import { disassemble, disassembleOne } from "../src/text/disassemble.ts";
import { formatText, parseText } from "../src/text/formats.ts";

const golden = (name: string) => readFileSync(new URL(`./golden/text/${name}`, import.meta.url), "utf8");

const asArrays = (list: readonly Instruction[]) => list.map(({ code, jt, jf, k }) => [code, jt, jf, k]);

/** The error that `run` throws, which has to be a BpfError of a text. */
function textError(run: () => unknown): BpfError {
  try {
    run();
  } catch (error) {
    if (error instanceof BpfError) return error;
    throw error;
  }
  throw new Error("expected an error");
}

describe("assemble", () => {
  test("gives what the kernel's bpf_asm gives, for all of its grammar", () => {
    const expected = golden("bpf_asm.txt")
      .trim()
      .replace(/,$/, "")
      .split(",")
      .slice(1)
      .map((item) => item.split(" ").map(Number));
    expect(asArrays(assemble(golden("bpf_asm.asm")))).toEqual(expected);
  });

  test("the golden source has every row of the table and every ancillary word of bpf_asm", () => {
    const codes = new Set(assemble(golden("bpf_asm.asm")).map(({ code }) => code));
    expect(OPCODES.filter(({ code }) => !codes.has(code))).toEqual([]);
  });

  // The programs of Documentation/networking/filter.rst, codes by hand.
  // biome-ignore format: a table
  test.each([
    ["ldh [12]\njne #0x806, drop\nret #-1\ndrop: ret #0",
      [[0x28, 0, 0, 12], [0x15, 0, 1, 0x806], [0x06, 0, 0, 0xffffffff], [0x06, 0, 0, 0]]],
    ["ldh [12]\njne #0x800, drop\nldb [23]\njneq #1, drop\n  # get a random uint32 number\n  ld rand\n  mod #4\njneq #1, drop\nret #-1\ndrop: ret #0",
      [[0x28, 0, 0, 12], [0x15, 0, 6, 0x800], [0x30, 0, 0, 23], [0x15, 0, 4, 1], [0x20, 0, 0, 0xfffff038], [0x94, 0, 0, 4], [0x15, 0, 1, 1], [0x06, 0, 0, 0xffffffff], [0x06, 0, 0, 0]]],
    ["ld [4]  /* offsetof(struct seccomp_data, arch) */\njne #0xc000003e, bad\nld [0]\njeq #15, good\njeq #231, good\nbad: ret #0\ngood: ret #0x7fff0000",
      [[0x20, 0, 0, 4], [0x15, 0, 3, 0xc000003e], [0x20, 0, 0, 0], [0x15, 2, 0, 15], [0x15, 1, 0, 231], [0x06, 0, 0, 0], [0x06, 0, 0, 0x7fff0000]]],
    // bpf_dbg's disassembly, same document
    ["l0:\tldh [12]\nl1:\tjeq #0x800, l2, l5\nl2:\tldb [23]\nl3:\tjeq #0x1, l4, l5\nl4:\tret #0xffff\nl5:\tret #0",
      [[0x28, 0, 0, 12], [0x15, 0, 3, 0x800], [0x30, 0, 0, 23], [0x15, 0, 1, 1], [0x06, 0, 0, 0xffff], [0x06, 0, 0, 0]]],
  ])("%j", (source, expected) => {
    expect(asArrays(assemble(source))).toEqual(expected);
  });

  // What this assembler takes beyond bpf_asm.
  // biome-ignore format: a table
  test.each([
    ["ld [x+4]",                          [[0x40, 0, 0, 4]]],
    ["ldb [x-1]",                         [[0x50, 0, 0, 0xffffffff]]],
    ["ldh [x]",                           [[0x48, 0, 0, 0]]],
    ["ld [ x + -0x10 ]",                  [[0x40, 0, 0, 0xfffffff0]]],
    ["ld [vlan_tci]",                     [[0x20, 0, 0, 0xfffff02c]]],
    ["ld #pktlen",                        [[0x80, 0, 0, 0]]],
    ["ld m[1] // comment",                [[0x60, 0, 0, 1]]],
    ["jne #1, a, b; x\na: neg\nb: neg",   [[0x15, 1, 0, 1], [0x84, 0, 0, 0], [0x84, 0, 0, 0]]],
    ["jle x, b, a\na: neg\nb: neg",       [[0x2d, 0, 1, 0], [0x84, 0, 0, 0], [0x84, 0, 0, 0]]],
    ["ja 2\nneg\nneg",                    [[0x05, 0, 0, 1], [0x84, 0, 0, 0], [0x84, 0, 0, 0]]],
    ["jeq #1, +7, +255",                  [[0x15, 7, 255, 1]]],
    ["neg\nja -2",                        [[0x84, 0, 0, 0], [0x05, 0, 0, 0xfffffffe]]],
    [".word 0xffff, 255, 0x10, -1",       [[0xffff, 255, 16, 0xffffffff]]],
    ["a: b: neg ja a",                    [[0x84, 0, 0, 0], [0x05, 0, 0, 0xfffffffe]]],
    ["ret: jeq #0, ret, constructor\nconstructor: __proto__: ja __proto__", undefined],
    ["toString: hasOwnProperty: neg\nja toString", [[0x84, 0, 0, 0], [0x05, 0, 0, 0xfffffffe]]],
    ["jeq #0, __proto__\n__proto__: neg", [[0x15, 0, 0, 0], [0x84, 0, 0, 0]]],
    ["\ufeffneg\r\ntax\r\n",              [[0x84, 0, 0, 0], [0x07, 0, 0, 0]]],
  ])("%j", (source, expected) => {
    if (expected === undefined) expect(textError(() => assemble(source)).violations[0]?.rule).toBe("jump-range");
    else expect(asArrays(assemble(source))).toEqual(expected);
  });

  test("reports where each instruction stands", () => {
    const source = "drop: ret #0 ; first\n\n  jeq #1, +0,  +1 ; second\ntax txa";
    const { instructions, spans } = assembleWithSpans(source);
    expect(instructions).toHaveLength(4);
    expect(spans.map(({ start, end }) => source.slice(start, end))).toEqual([
      "ret #0",
      "jeq #1, +0,  +1",
      "tax",
      "txa",
    ]);
  });

  test("results are frozen", () => {
    expect(assemble("neg").every(Object.isFrozen)).toBe(true);
  });
});

describe("errors of assembler text: rule, message, line, column, caret", () => {
  // biome-ignore format: a table
  test.each([
    ["ldd [12]", "unknown-mnemonic",
      'line 1, column 1: unknown instruction "ldd" (did you mean "ld"?)\n  ldd [12]\n  ^^^'],
    ["ldh [12]\n\tjqe #0x800, x", "unknown-mnemonic",
      'line 2, column 2: unknown instruction "jqe" (did you mean "jeq"?)\n   jqe #0x800, x\n   ^^^'],
    ["frobnicate", "unknown-mnemonic",
      'line 1, column 1: unknown instruction "frobnicate"\n  frobnicate\n  ^^^^^^^^^^'],
    ["ldh", "bad-operand",
      "line 1, column 4: expected [k] or [x + k], found the end of the text\n  ldh\n     ^"],
    ["ldh ; why\nret #0", "bad-operand",
      "line 1, column 4: expected [k] or [x + k], found the end of the line\n  ldh ; why\n     ^"],
    ["ldh #5", "bad-operand",
      "line 1, column 5: ldh takes [k] or [x + k]\n  ldh #5\n      ^^"],
    ["ret x", "bad-operand",
      "line 1, column 5: ret takes #k or a\n  ret x\n      ^"],
    ["ld #vlan_tic", "unknown-name",
      'line 1, column 5: "vlan_tic" is no ancillary value (did you mean "vlan_tci"?)\n  ld #vlan_tic\n      ^^^^^^^^'],
    ["and #ff", "unknown-name",
      'line 1, column 6: "ff" is no ancillary value (hexadecimal numbers are written 0xff)\n  and #ff\n       ^^'],
    ["ldh [0x1g]", "bad-number",
      'line 1, column 6: "0x1g" is no decimal, 0x, 0b or octal number\n  ldh [0x1g]\n       ^^^^'],
    ["add #09", "bad-number",
      'line 1, column 6: "09" is no decimal, 0x, 0b or octal number\n  add #09\n       ^^'],
    ["ret #4294967296", "number-range",
      "line 1, column 6: 4294967296 is outside -2147483648..0xffffffff of k\n  ret #4294967296\n       ^^^^^^^^^^"],
    ["ret #-2147483649", "number-range",
      "line 1, column 6: -2147483649 is outside -2147483648..0xffffffff of k\n  ret #-2147483649\n       ^^^^^^^^^^^"],
    ["ldxb 5*([14]&0xf)", "bad-operand",
      "line 1, column 6: the multiplier of 4*([k]&0xf) is 4, not 5\n  ldxb 5*([14]&0xf)\n       ^"],
    ["ldxb 4*([14]&0xff)", "bad-operand",
      "line 1, column 14: the mask of 4*([k]&0xf) is 0xf, not 0xff\n  ldxb 4*([14]&0xff)\n               ^^^^"],
    ["ld [12", "syntax",
      'line 1, column 7: expected "]", found the end of the text\n  ld [12\n        ^'],
    ["jeq #6, acept, drop\naccept: ret #1\ndrop: ret #0", "unknown-label",
      'line 1, column 9: no label "acept" (did you mean "accept"?)\n  jeq #6, acept, drop\n          ^^^^^'],
    ["jeq #6", "syntax",
      'line 1, column 7: expected "," and a label, found the end of the text\n  jeq #6\n        ^'],
    ["here: ret #0\nhere: ret #1", "duplicate-label",
      'line 2, column 1: label "here" is already defined\n  here: ret #1\n  ^^^^'],
    ["ret #0\nend:", "label-at-end",
      'line 2, column 1: no instruction follows label "end"\n  end:\n  ^^^'],
    ["back: neg\njeq #1, back", "jump-range",
      'line 2, column 9: "back" lies 2 instructions back; a conditional jump passes over 0..255\n  jeq #1, back\n          ^^^^'],
    ["ret #0\n/* no end", "unclosed-comment",
      "line 2, column 1: this comment has no end\n  /* no end\n  ^^"],
    ["ret #0 )", "syntax",
      'line 1, column 8: expected an instruction or a label, found ")"\n  ret #0 )\n         ^'],
    ["jeq #1, a,\n+1\na: neg", "bad-target",
      "line 1, column 11: expected a label, found the end of the line\n  jeq #1, a,\n            ^\n" +
      'line 2, column 1: expected an instruction or a label, found "+"\n  +1\n  ^'],
    [".word 0x10000, 0, 0, 0", "number-range",
      "line 1, column 7: 0x10000 is outside 0..0xffff of a code\n  .word 0x10000, 0, 0, 0\n        ^^^^^^^"],
    [".word 1, 2, 3", "syntax",
      'line 1, column 14: expected "," and k, found the end of the text\n  .word 1, 2, 3\n               ^'],
    ["; nothing", "empty-program",
      "line 1, column 1: the text has no instruction\n  ; nothing\n  ^"],
    ["\n\n", "empty-program",
      "line 1, column 1: the text has no instruction\n  \n  ^"],
  ])("%j", (source, rule, message) => {
    const error = textError(() => assemble(source));
    expect(error.code).toBe("bad-text");
    expect(error.message).toBe(message);
    expect(error.violations[0]?.rule).toBe(rule);
  });

  test("a conditional jump over more than 255 instructions", () => {
    const source = `jeq #1, far\n${"neg\n".repeat(256)}far: ret #0`;
    expect(textError(() => assemble(source)).message).toBe(
      'line 1, column 9: "far" is behind the next 256 instructions; a conditional jump passes over 0..255 ' +
        "(jump to a ja on the way)\n  jeq #1, far\n          ^^^",
    );
    expect(assemble(source.replace("neg\n", ""))[0]).toEqual(jump(0x15, 1, 255, 0));
  });

  test("all errors at once, in the order of the text", () => {
    const error = textError(() => assemble("jeq #1, nowhere\nldd [1]\nret #99999999999\ntax tax tay\nret"));
    expect(error.violations.map(({ rule }) => rule)).toEqual([
      "unknown-label",
      "unknown-mnemonic",
      "number-range",
      "unknown-mnemonic",
      "bad-operand",
    ]);
  });

  test("a hundred errors in full, the rest as a number", () => {
    const error = textError(() => assemble("bad\n".repeat(5000)));
    expect(error.violations).toHaveLength(101);
    expect(error.violations[100]).toEqual({ rule: "too-many-errors", message: "and 4900 more errors" });
    expect(error.message.endsWith("\nand 4900 more errors")).toBe(true);
  });

  test("no string", () => {
    expect(textError(() => assemble(5 as unknown as string)).code).toBe("bad-argument");
  });
});

describe("disassemble", () => {
  test("labels, fall-through arms and ancillary words", () => {
    const program = assemble(golden("bpf_asm.asm"));
    expect(assemble(disassemble(program))).toEqual(program);
    const listing = disassemble([
      stmt(0x28, 12),
      jump(0x15, 0x86dd, 0, 3),
      jump(0x45, 1, 0, 2),
      jump(0x25, 9, 1, 0),
      jump(0x1d, 0, 1, 2),
      stmt(0x20, 0xfffff02c),
      stmt(0x06, 0xffffffff),
      stmt(0x16),
    ]);
    expect(listing).toBe(
      [
        "    ldh   [12]",
        "    jne   #0x86dd, L5",
        "    jset  #0x1, L3, L5",
        "L3: jgt   #0x9, L5",
        "    jeq   x, L6, L7",
        "L5: ld    #vlan_tci",
        "L6: ret   #0xffffffff",
        "L7: ret   a",
        "",
      ].join("\n"),
    );
  });

  // What mnemonics can not say.
  // biome-ignore format: a table
  test.each([
    [stmt(0x8c, 0),        ".word 0x8c, 0, 0, 0x0"],
    [stmt(0x87, 5),        ".word 0x87, 0, 0, 0x5 ; txa"],
    [jump(0x20, 4, 1, 0),  ".word 0x20, 1, 0, 0x4 ; ld"],
    [jump(0x1d, 4, 0, 0),  ".word 0x1d, 0, 0, 0x4 ; jeq"],
    [jump(0x05, 0, 0, 9),  ".word 0x05, 0, 9, 0x0 ; ja"],
    [stmt(0xffff, 1),      ".word 0xffff, 0, 0, 0x1"],
    [stmt(0x0e, 0),        ".word 0x0e, 0, 0, 0x0"],
    [jump(0x15, 1, 7, 9),  "jeq   #0x1, +7, +9"],
    [stmt(0x05, 0xffffffff), "L0: ja    L0"],
    [stmt(0x05, 0xfffffffe), "ja    -2"],
    [stmt(0x20, 0xfff00004), "ld    [0xfff00004]"],
    [stmt(0x20, 0xfffff001), "ld    [0xfffff001]"],
    [stmt(0x06, 262144),   "ret   #262144"],
  ] as const)("%j is %j", (insn, text) => {
    expect(disassemble([insn])).toBe(`${text}\n`);
    expect(assemble(text)).toEqual([insn]);
  });

  test("an empty program is an empty text", () => {
    expect(disassemble([])).toBe("");
  });
});

describe("tcpdump's one-line form", () => {
  const lines = golden("bpf-image.txt")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => ({ fields: line.split("|")[0]!.split(" ").map(Number), image: line.split("|")[1]! }));

  test("is bpf_image()'s, character for character, but for ldx #pktlen", () => {
    expect(lines.length).toBeGreaterThan(400);
    for (const { fields, image } of lines) {
      const [code, jt, jf, k, index] = fields as [number, number, number, number, number];
      const expected = code === 0x81 ? "(007) ldx      #pktlen" : image;
      expect(disassembleOne({ code, jt, jf, k }, index), image).toBe(expected);
    }
  });

  // biome-ignore format: a table
  test.each([
    [stmt(0x07, 5),       "(000) tax       ; .word 0x07, 0, 0, 0x5"], // as libpcap compiles it
    [stmt(0x16, 5),       "(000) ret       ; .word 0x16, 0, 0, 0x5"],
    [stmt(0x8c, 5),       "(000) unimp    0x8c ; .word 0x8c, 0, 0, 0x5"],
    [jump(0x55, 9, 1, 2), "(000) unimp    0x55             jt 2\tjf 3 ; .word 0x55, 1, 2, 0x9"],
    [jump(0x28, 9, 1, 2), "(000) ldh      [9] ; .word 0x28, 1, 2, 0x9"],
  ] as const)("%j: fields that libpcap leaves out follow a semicolon", (insn, line) => {
    expect(disassembleOne(insn, 0)).toBe(line);
    expect(parseText(line)).toMatchObject({ format: "tcpdump-d", instructions: [insn] });
  });

  test("bpf_image()'s lines read back to what they were printed from", () => {
    for (const { fields, image } of lines) {
      const [code, jt, jf, k, index] = fields as [number, number, number, number, number];
      const before = Array.from({ length: index }, (_, i) => `(${String(i).padStart(3, "0")}) tax\n`).join("");
      const { instructions } = parseText(before + image, { format: "tcpdump-d" });
      expect(instructions[index], image).toEqual({ code, jt, jf, k });
    }
  });
});

describe("extensions", () => {
  const run = () => undefined;
  const isa = ISA.extend({ code: 0xf0, name: "popcount", mnemonic: "popc", run })
    .extend({ code: 0xf1, name: "jmp", run }) // a second name of bpf_asm
    .extend({ code: 0xf2, name: "not a word", run })
    .extend({ code: 0xf3, name: "unimp", run })
    .extendAncillary({ offset: 64, name: "latency", read: () => 0 })
    .extendAncillary({ offset: 65, name: "x", read: () => 0 })
    .extendAncillary({ offset: 66, name: "LEN", read: () => 0 })
    .extendAncillary({ offset: 67, name: "5 minutes", read: () => 0 });
  const program = [
    stmt(0xf0),
    stmt(0xf0, 7),
    stmt(0xf1, 3),
    stmt(0xf2, 3),
    stmt(0xf3, 3),
    stmt(0x05, 0),
    jump(0xf0, 1, 1, 1),
    stmt(0x20, 0xfffff040),
    stmt(0x20, 0xfffff041),
    stmt(0x20, 0xfffff042),
    stmt(0x28, 0xfffff043),
    stmt(0x06, 1),
  ];

  test("assemble and disassemble, with .word where their names can not be read", () => {
    expect(disassemble(program, { isa })).toBe(
      [
        "    popc",
        "    popc  #7",
        "    jmp   #3",
        "    .word 0xf2, 0, 0, 0x3",
        "    .word 0xf3, 0, 0, 0x3",
        "    ja    L6",
        "L6: .word 0xf0, 1, 1, 0x1",
        "    ld    #latency",
        "    ld    [0xfffff041]",
        "    ld    [0xfffff042]",
        "    ldh   [0xfffff043]",
        "    ret   #1",
        "",
      ].join("\n"),
    );
    expect(assemble(disassemble(program, { isa }), { isa })).toEqual(program);
    expect(assemble("ld latency\nPOPC #0x10\nret #1", { isa })).toEqual([
      stmt(0x20, 0xfffff040),
      stmt(0xf0, 16),
      stmt(0x06, 1),
    ]);
  });

  test("are listed by tcpdump -d's form, and unknown without their set", () => {
    const listing = formatText(program, "tcpdump-d", { isa });
    expect(listing.split("\n").slice(0, 2)).toEqual(["(000) popc     #0", "(001) popc     #7"]);
    expect(parseText(listing, { isa })).toMatchObject({ format: "tcpdump-d", instructions: program });
    expect(textError(() => assemble("popc #1")).violations[0]?.rule).toBe("unknown-mnemonic");
    expect(assemble(disassemble(program))).toEqual(program);
  });
});
