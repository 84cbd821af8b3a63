/**
 * Constant expressions as C programs write them into filters: `BPF_LD+BPF_W+BPF_ABS`, `SKF_AD_OFF + SKF_AD_MARK`,
 * `(u_int)-1`, `1 << 4`.  Values are taken modulo 2^32, as the u32 they end in.
 *
 * The names are those of linux/filter.h and linux/bpf_common.h; other constants have to be written as numbers.
 */
import { ANCILLARY } from "../isa/ancillary.ts";
import { SKF_AD_OFF, SKF_LL_OFF, SKF_NET_OFF } from "../isa/limits.ts";
import { didYouMean, quote } from "./problems.ts";
import { numberValue, type Scanner } from "./scanner.ts";

/** The parts of a code, include/uapi/linux/bpf_common.h: which names can stand in which bits. */
// biome-ignore format: a table
export const CODE_PARTS = {
  class:   { mask: 0x07, names: { BPF_LD: 0x00, BPF_LDX: 0x01, BPF_ST: 0x02, BPF_STX: 0x03, BPF_ALU: 0x04, BPF_JMP: 0x05, BPF_RET: 0x06, BPF_MISC: 0x07 } },
  size:    { mask: 0x18, names: { BPF_W: 0x00, BPF_H: 0x08, BPF_B: 0x10 } },
  mode:    { mask: 0xe0, names: { BPF_IMM: 0x00, BPF_ABS: 0x20, BPF_IND: 0x40, BPF_MEM: 0x60, BPF_LEN: 0x80, BPF_MSH: 0xa0 } },
  alu:     { mask: 0xf0, names: { BPF_ADD: 0x00, BPF_SUB: 0x10, BPF_MUL: 0x20, BPF_DIV: 0x30, BPF_OR: 0x40, BPF_AND: 0x50, BPF_LSH: 0x60, BPF_RSH: 0x70, BPF_NEG: 0x80, BPF_MOD: 0x90, BPF_XOR: 0xa0 } },
  jump:    { mask: 0xf0, names: { BPF_JA: 0x00, BPF_JEQ: 0x10, BPF_JGT: 0x20, BPF_JGE: 0x30, BPF_JSET: 0x40 } },
  source:  { mask: 0x08, names: { BPF_K: 0x00, BPF_X: 0x08 } },
  result:  { mask: 0x18, names: { BPF_K: 0x00, BPF_X: 0x08, BPF_A: 0x10 } },
  misc:    { mask: 0xf8, names: { BPF_TAX: 0x00, BPF_TXA: 0x80 } },
} as const;

const CONSTANTS: ReadonlyMap<string, number> = new Map<string, number>([
  ...Object.values(CODE_PARTS).flatMap((part) => Object.entries(part.names)),
  ["SKF_AD_OFF", SKF_AD_OFF],
  ["SKF_NET_OFF", SKF_NET_OFF],
  ["SKF_LL_OFF", SKF_LL_OFF],
  ...ANCILLARY.map(({ name, offset }) => [`SKF_AD_${name}`, offset] as const),
]);

/** Types that a cast may name.  Casts are passed over: every value is a u32. */
const TYPE =
  /^(unsigned|signed|int|short|long|char|const|u_?int(8|16|32)?(_t)?|u_char|u_short|u_long|__u(8|16|32)|u(8|16|32)|bpf_u_int32)$/;
/** Parentheses and signs within one another; deeper ones are refused. */
const MAX_DEPTH = 32;

// biome-ignore format: a table
const BINARY: Readonly<Record<string, { level: number; apply: (a: number, b: number) => number }>> = Object.assign(Object.create(null), {
  "|":  { level: 1, apply: (a: number, b: number) => a | b },
  "^":  { level: 2, apply: (a: number, b: number) => a ^ b },
  "&":  { level: 3, apply: (a: number, b: number) => a & b },
  "<<": { level: 4, apply: (a: number, b: number) => a << b },
  ">>": { level: 4, apply: (a: number, b: number) => a >>> b },
  "+":  { level: 5, apply: (a: number, b: number) => a + b },
  "-":  { level: 5, apply: (a: number, b: number) => a - b },
  "*":  { level: 6, apply: (a: number, b: number) => Math.imul(a, b) },
});

/** The value as a u32, or undefined after reporting. */
export function readExpression(scanner: Scanner, level = 1, depth = 0): number | undefined {
  let left = readUnary(scanner, depth);
  for (;;) {
    const operator = scanner.token.kind === "mark" ? BINARY[scanner.token.text] : undefined;
    if (left === undefined || operator === undefined || operator.level < level) return left;
    scanner.take();
    const right = readExpression(scanner, operator.level + 1, depth + 1);
    left = right === undefined ? undefined : operator.apply(left, right) >>> 0;
  }
}

function readUnary(scanner: Scanner, depth: number): number | undefined {
  if (depth > MAX_DEPTH) {
    scanner.problems.add("too-deep", `an expression nests at most ${MAX_DEPTH} levels`, scanner.token);
    return undefined;
  }
  for (const [mark, apply] of [
    ["-", (v: number) => -v],
    ["~", (v: number) => ~v],
    ["+", (v: number) => v],
  ] as const) {
    if (!scanner.skip(mark)) continue;
    const value = readUnary(scanner, depth + 1);
    return value === undefined ? undefined : apply(value) >>> 0;
  }
  if (scanner.skip("(")) {
    if (skipCast(scanner)) return readUnary(scanner, depth + 1);
    const value = readExpression(scanner, 1, depth + 1);
    if (value === undefined) return undefined;
    if (scanner.skip(")")) return value;
    scanner.expected('")"');
    return undefined;
  }
  return readTerm(scanner);
}

/** The rest of `(u_int)`. */
function skipCast(scanner: Scanner): boolean {
  if (scanner.token.kind !== "word" || !TYPE.test(scanner.token.text)) return false;
  while (scanner.token.kind === "word" && TYPE.test(scanner.token.text)) scanner.take();
  return scanner.skip(")");
}

function readTerm(scanner: Scanner): number | undefined {
  const { kind, text, start, end } = scanner.token;
  if (kind !== "number" && kind !== "word") {
    scanner.expected("a number or a constant", "bad-number");
    return undefined;
  }
  scanner.take();
  if (kind === "word") {
    const value = CONSTANTS.get(text);
    if (value !== undefined) return value;
    const hint = scanner.problems.full ? undefined : (didYouMean(text, CONSTANTS.keys()) ?? "write its number");
    scanner.problems.add("unknown-name", `${quote(text)} is no constant of linux/filter.h`, { start, end }, { hint });
    return undefined;
  }
  const value = numberValue(text.length > 80 ? text : text.replace(/[ul]{1,3}$/i, ""));
  if (value === undefined) {
    scanner.problems.add("bad-number", `${quote(text)} is no C integer`, { start, end });
  } else if (value > 0xffffffff) {
    const shown = text.length > 40 ? "this number" : text;
    scanner.problems.add("number-range", `${shown} is more than 0xffffffff`, { start, end });
    return undefined;
  }
  return value;
}
