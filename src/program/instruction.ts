/**
 * One instruction, raw: the four fields of struct sock_filter.  Any value is representable, known or not.
 */

import { hex } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";

/** `code` u16, `jt` and `jf` u8, `k` u32, all held as non-negative numbers. */
export interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** What users may hand in: an object, or the four fields in order. */
export type InstructionLike = Instruction | readonly [code: number, jt: number, jf: number, k: number];

/** An unconditional instruction: jt = jf = 0. */
export function stmt(code: number, k = 0): Instruction {
  return { code, jt: 0, jf: 0, k: k >>> 0 };
}

/** An instruction with branch offsets, counted from the next instruction. */
export function jump(code: number, k: number, jt: number, jf: number): Instruction {
  return { code, jt, jf, k: k >>> 0 };
}

/**
 * Frozen instructions from what a user handed in.  A negative k down to -2^31 is taken modulo 2^32, as C would.
 *
 * @throws {BpfError} `bad-argument` with the index, for a field that is no integer or outside its range.
 */
export function instructionsFrom(list: Iterable<InstructionLike>): Instruction[] {
  if (list === null || typeof list !== "object" || typeof list[Symbol.iterator] !== "function") {
    throw new BpfError("bad-argument", "a program is a list of instructions");
  }
  const out: Instruction[] = [];
  for (const item of list) out.push(instructionFrom(item, out.length));
  return out;
}

function instructionFrom(item: InstructionLike, index: number): Instruction {
  if (item === null || typeof item !== "object") {
    throw new BpfError("bad-argument", `instruction ${index}: expected {code, jt, jf, k} or four numbers`, { index });
  }
  const fields = Array.isArray(item) ? (item as readonly number[]) : undefined;
  if (fields !== undefined && fields.length !== 4) {
    throw new BpfError("bad-argument", `instruction ${index}: ${fields.length} fields where 4 are needed`, { index });
  }
  const [code, jt, jf, k] = fields ?? [
    (item as Instruction).code,
    (item as Instruction).jt,
    (item as Instruction).jf,
    (item as Instruction).k,
  ];
  inRange("code", code, 0, 0xffff, index);
  inRange("jt", jt, 0, 0xff, index);
  inRange("jf", jf, 0, 0xff, index);
  inRange("k", k, -0x80000000, 0xffffffff, index);
  return Object.freeze({ code: code!, jt: jt!, jf: jf!, k: k! >>> 0 });
}

function inRange(field: string, value: unknown, low: number, high: number, index: number): void {
  if (typeof value === "number" && Number.isInteger(value) && value >= low && value <= high) return;
  throw new BpfError(
    "bad-argument",
    `instruction ${index}: ${field} ${String(value)} is outside ${low}..${hex(high)}`,
    {
      index,
    },
  );
}

/** True when all four fields are equal in every place. */
export function sameInstructions(a: readonly Instruction[], b: readonly Instruction[]): boolean {
  return a.length === b.length && a.every((insn, i) => sameInstruction(insn, b[i]!));
}

function sameInstruction(a: Instruction, b: Instruction): boolean {
  return a.code === b.code && a.jt === b.jt && a.jf === b.jf && a.k === b.k;
}
