/**
 * What the scalar operations mean: arithmetic modulo 2^32 and unsigned compares.
 *
 * Each function takes two u32 held as numbers (0..2^32-1) and gives a u32 (ALU) or a boolean (CONDITION).  This is
 * the only place that says it; engines that inline an operation are tested against these.
 * Source: kernel/bpf/core.c, ___bpf_prog_run, the ALU_* and JMP_* labels for 32-bit operations.
 */

export type AluOp = "add" | "sub" | "mul" | "div" | "mod" | "or" | "and" | "xor" | "lsh" | "rsh";
export type Condition = "eq" | "gt" | "ge" | "set";

/**
 * `a op b`.  For `div` and `mod` the caller has made sure that `b` is not 0: a zero divisor ends the program with
 * verdict 0 before any value exists.  `lsh` and `rsh` use the low five bits of `b`.
 */
export const ALU: Readonly<Record<AluOp, (a: number, b: number) => number>> = Object.freeze({
  add: (a, b) => (a + b) >>> 0,
  sub: (a, b) => (a - b) >>> 0,
  mul: (a, b) => Math.imul(a, b) >>> 0, // the double product would lose low bits
  div: (a, b) => Math.trunc(a / b), // exact: the quotient of two u32 rounds correctly in a double
  mod: (a, b) => a % b,
  or: (a, b) => (a | b) >>> 0,
  and: (a, b) => (a & b) >>> 0,
  xor: (a, b) => (a ^ b) >>> 0,
  lsh: (a, b) => (a << b) >>> 0, // JavaScript takes the count modulo 32, as Linux does
  rsh: (a, b) => a >>> b,
});

/** `-a` modulo 2^32. */
export function negate(a: number): number {
  return -a >>> 0;
}

/** `a cond b`, both unsigned. */
export const CONDITION: Readonly<Record<Condition, (a: number, b: number) => boolean>> = Object.freeze({
  eq: (a, b) => a === b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
  set: (a, b) => (a & b) !== 0,
});
