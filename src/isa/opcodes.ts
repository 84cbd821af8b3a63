/**
 * The classic BPF instruction set: one row for each of the 49 values of `code` that Linux accepts.
 *
 * Every other module reads this table and none repeats it.  To need a fact that is not here is a reason to add a
 * column, not a second list.
 *
 * Columns:
 *   code      the whole 16-bit code; any other bit set makes it another, unknown instruction
 *   name      unique, an identifier: what golden files, traces and engines call the row
 *   mnemonic  the kernel's assembler word (tools/bpf/bpf_asm); Lt, Lf in the operand are jump labels
 *   operand   operand syntax, with k for the constant; "" when there is none
 *   does      what it does, as a small union that engines and passes can read
 *   reads     registers read:    A, X, M (scratch), P (packet)
 *   writes    registers written: A, X, M
 *   pseudo    the meaning in one line; P[] is the packet, be16/be32 its big-endian loads
 *
 * Set and encodings: McCanne & Jacobson, USENIX 1993; `mod` and `xor` came later.  Legality: chk_code_allowed(),
 * net/core/filter.c, confirmed by a scan of all 65,536 codes on Linux 6.18.
 */
import type { AluOp, Condition } from "./semantics.ts";

export type Register = "a" | "x";

/** What an instruction does.  Where `src` is "k" the constant is used, otherwise k is ignored. */
export type Does =
  | { readonly kind: "imm"; readonly dst: Register }
  | { readonly kind: "packet"; readonly dst: "a"; readonly at: "abs" | "ind"; readonly size: 1 | 2 | 4 }
  | { readonly kind: "msh"; readonly dst: "x" }
  | { readonly kind: "length"; readonly dst: Register }
  | { readonly kind: "load-mem"; readonly dst: Register }
  | { readonly kind: "store-mem"; readonly src: Register }
  | { readonly kind: "alu"; readonly op: AluOp; readonly src: "k" | "x" }
  | { readonly kind: "neg" }
  | { readonly kind: "jump" }
  | { readonly kind: "branch"; readonly cond: Condition; readonly src: "k" | "x" }
  | { readonly kind: "return"; readonly src: "k" | "a" }
  | { readonly kind: "move"; readonly dst: Register };

export interface OpcodeRow<Code extends number = number, Name extends string = string, What extends Does = Does> {
  readonly code: Code;
  readonly name: Name;
  readonly mnemonic: string;
  readonly operand: string;
  readonly does: What;
  readonly reads: string;
  readonly writes: string;
  readonly pseudo: string;
}

function row<const Code extends number, const Name extends string, const What extends Does>(
  code: Code,
  name: Name,
  mnemonic: string,
  operand: string,
  does: What,
  reads: string,
  writes: string,
  pseudo: string,
): OpcodeRow<Code, Name, What> {
  return Object.freeze({ code, name, mnemonic, operand, does: Object.freeze(does), reads, writes, pseudo });
}

// biome-ignore format: a table
export const OPCODES = [
  //  code  name        mnemonic operand         does                                                reads writes pseudo-code
  // Loads into A
  row(0x00, "ld_imm",   "ld",   "#k",            { kind: "imm", dst: "a" },                          "",   "A", "A = k"),
  row(0x20, "ldw_abs",  "ld",   "[k]",           { kind: "packet", dst: "a", at: "abs", size: 4 },   "P",  "A", "A = be32(P[k])"),
  row(0x28, "ldh_abs",  "ldh",  "[k]",           { kind: "packet", dst: "a", at: "abs", size: 2 },   "P",  "A", "A = be16(P[k])"),
  row(0x30, "ldb_abs",  "ldb",  "[k]",           { kind: "packet", dst: "a", at: "abs", size: 1 },   "P",  "A", "A = P[k]"),
  row(0x40, "ldw_ind",  "ld",   "[x + k]",       { kind: "packet", dst: "a", at: "ind", size: 4 },   "XP", "A", "A = be32(P[X + k])"),
  row(0x48, "ldh_ind",  "ldh",  "[x + k]",       { kind: "packet", dst: "a", at: "ind", size: 2 },   "XP", "A", "A = be16(P[X + k])"),
  row(0x50, "ldb_ind",  "ldb",  "[x + k]",       { kind: "packet", dst: "a", at: "ind", size: 1 },   "XP", "A", "A = P[X + k]"),
  row(0x60, "ld_mem",   "ld",   "M[k]",          { kind: "load-mem", dst: "a" },                     "M",  "A", "A = M[k]"),
  row(0x80, "ld_len",   "ld",   "#len",          { kind: "length", dst: "a" },                       "P",  "A", "A = packet length"),
  // Loads into X
  row(0x01, "ldx_imm",  "ldx",  "#k",            { kind: "imm", dst: "x" },                          "",   "X", "X = k"),
  row(0x61, "ldx_mem",  "ldx",  "M[k]",          { kind: "load-mem", dst: "x" },                     "M",  "X", "X = M[k]"),
  row(0x81, "ldx_len",  "ldx",  "#len",          { kind: "length", dst: "x" },                       "P",  "X", "X = packet length"),
  row(0xb1, "ldxb_msh", "ldxb", "4*([k]&0xf)",   { kind: "msh", dst: "x" },                          "P",  "X", "X = 4 * (P[k] & 15)"),
  // Stores
  row(0x02, "st",       "st",   "M[k]",          { kind: "store-mem", src: "a" },                    "A",  "M", "M[k] = A"),
  row(0x03, "stx",      "stx",  "M[k]",          { kind: "store-mem", src: "x" },                    "X",  "M", "M[k] = X"),
  // Arithmetic, modulo 2^32
  row(0x04, "add_k",    "add",  "#k",            { kind: "alu", op: "add", src: "k" },               "A",  "A", "A = A + k"),
  row(0x0c, "add_x",    "add",  "x",             { kind: "alu", op: "add", src: "x" },               "AX", "A", "A = A + X"),
  row(0x14, "sub_k",    "sub",  "#k",            { kind: "alu", op: "sub", src: "k" },               "A",  "A", "A = A - k"),
  row(0x1c, "sub_x",    "sub",  "x",             { kind: "alu", op: "sub", src: "x" },               "AX", "A", "A = A - X"),
  row(0x24, "mul_k",    "mul",  "#k",            { kind: "alu", op: "mul", src: "k" },               "A",  "A", "A = A * k"),
  row(0x2c, "mul_x",    "mul",  "x",             { kind: "alu", op: "mul", src: "x" },               "AX", "A", "A = A * X"),
  row(0x34, "div_k",    "div",  "#k",            { kind: "alu", op: "div", src: "k" },               "A",  "A", "A = A / k; k = 0 is refused"),
  row(0x3c, "div_x",    "div",  "x",             { kind: "alu", op: "div", src: "x" },               "AX", "A", "A = A / X; X = 0 returns 0"),
  row(0x94, "mod_k",    "mod",  "#k",            { kind: "alu", op: "mod", src: "k" },               "A",  "A", "A = A % k; k = 0 is refused"),
  row(0x9c, "mod_x",    "mod",  "x",             { kind: "alu", op: "mod", src: "x" },               "AX", "A", "A = A % X; X = 0 returns 0"),
  row(0x44, "or_k",     "or",   "#k",            { kind: "alu", op: "or",  src: "k" },               "A",  "A", "A = A | k"),
  row(0x4c, "or_x",     "or",   "x",             { kind: "alu", op: "or",  src: "x" },               "AX", "A", "A = A | X"),
  row(0x54, "and_k",    "and",  "#k",            { kind: "alu", op: "and", src: "k" },               "A",  "A", "A = A & k"),
  row(0x5c, "and_x",    "and",  "x",             { kind: "alu", op: "and", src: "x" },               "AX", "A", "A = A & X"),
  row(0xa4, "xor_k",    "xor",  "#k",            { kind: "alu", op: "xor", src: "k" },               "A",  "A", "A = A ^ k"),
  row(0xac, "xor_x",    "xor",  "x",             { kind: "alu", op: "xor", src: "x" },               "AX", "A", "A = A ^ X"),
  row(0x64, "lsh_k",    "lsh",  "#k",            { kind: "alu", op: "lsh", src: "k" },               "A",  "A", "A = A << k; k > 31 is refused"),
  row(0x6c, "lsh_x",    "lsh",  "x",             { kind: "alu", op: "lsh", src: "x" },               "AX", "A", "A = A << (X & 31)"),
  row(0x74, "rsh_k",    "rsh",  "#k",            { kind: "alu", op: "rsh", src: "k" },               "A",  "A", "A = A >> k; k > 31 is refused"),
  row(0x7c, "rsh_x",    "rsh",  "x",             { kind: "alu", op: "rsh", src: "x" },               "AX", "A", "A = A >> (X & 31)"),
  row(0x84, "neg",      "neg",  "",              { kind: "neg" },                                    "A",  "A", "A = -A"),
  // Jumps: forward only, counted from the next instruction
  row(0x05, "ja",       "ja",   "L",             { kind: "jump" },                                   "",   "",  "pc += k"),
  row(0x15, "jeq_k",    "jeq",  "#k,Lt,Lf",      { kind: "branch", cond: "eq",  src: "k" },          "A",  "",  "pc += A == k ? jt : jf"),
  row(0x1d, "jeq_x",    "jeq",  "x,Lt,Lf",       { kind: "branch", cond: "eq",  src: "x" },          "AX", "",  "pc += A == X ? jt : jf"),
  row(0x25, "jgt_k",    "jgt",  "#k,Lt,Lf",      { kind: "branch", cond: "gt",  src: "k" },          "A",  "",  "pc += A > k ? jt : jf"),
  row(0x2d, "jgt_x",    "jgt",  "x,Lt,Lf",       { kind: "branch", cond: "gt",  src: "x" },          "AX", "",  "pc += A > X ? jt : jf"),
  row(0x35, "jge_k",    "jge",  "#k,Lt,Lf",      { kind: "branch", cond: "ge",  src: "k" },          "A",  "",  "pc += A >= k ? jt : jf"),
  row(0x3d, "jge_x",    "jge",  "x,Lt,Lf",       { kind: "branch", cond: "ge",  src: "x" },          "AX", "",  "pc += A >= X ? jt : jf"),
  row(0x45, "jset_k",   "jset", "#k,Lt,Lf",      { kind: "branch", cond: "set", src: "k" },          "A",  "",  "pc += A & k ? jt : jf"),
  row(0x4d, "jset_x",   "jset", "x,Lt,Lf",       { kind: "branch", cond: "set", src: "x" },          "AX", "",  "pc += A & X ? jt : jf"),
  // Returns
  row(0x06, "ret_k",    "ret",  "#k",            { kind: "return", src: "k" },                       "",   "",  "return k"),
  row(0x16, "ret_a",    "ret",  "a",             { kind: "return", src: "a" },                       "A",  "",  "return A"),
  // Register moves
  row(0x07, "tax",      "tax",  "",              { kind: "move", dst: "x" },                         "A",  "X", "X = A"),
  row(0x87, "txa",      "txa",  "",              { kind: "move", dst: "a" },                         "X",  "A", "A = X"),
] as const;

/** Every valid `code`, as a union of literals: 0x00 | 0x01 | ... */
export type Opcode = (typeof OPCODES)[number]["code"];
/** Every row's name, as a union of literals. */
export type OpcodeName = (typeof OPCODES)[number]["name"];

/** The code of each name: `CODE.ldh_abs` is 0x28. */
export const CODE = Object.freeze(Object.fromEntries(OPCODES.map((r) => [r.name, r.code]))) as {
  readonly [Row in (typeof OPCODES)[number] as Row["name"]]: Row["code"];
};

/** True when the instruction's meaning depends on k; Linux ignores k everywhere else. */
export function usesK(does: Does): boolean {
  switch (does.kind) {
    case "alu":
    case "branch":
    case "return":
      return does.src === "k";
    case "length":
    case "neg":
    case "move":
      return false;
    default:
      return true;
  }
}
