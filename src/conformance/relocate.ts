/**
 * Jumps that still reach their target after instructions were put in, taken out or multiplied.
 */
import { ISA } from "../isa/instruction-set.ts";
import { targets } from "../program/cfg.ts";
import type { Instruction } from "../program/instruction.ts";

/** Longest distance of a conditional jump. */
const MAX_BRANCH = 255;

/**
 * The instruction that stood at `index` of a program of `length` and now stands at `place(index)`.  Targets outside the
 * program stay as far away as they were.  Undefined when a branch can not reach its target any more.
 */
export function relocated(
  insn: Instruction,
  index: number,
  length: number,
  place: (index: number) => number,
): Instruction | undefined {
  const kind = ISA.known(insn.code)?.does.kind;
  if (kind !== "jump" && kind !== "branch") return insn;
  const next = place(index) + 1;
  const distances = targets(insn, index).map((target) =>
    target < length && target > index ? Math.max(0, place(target) - next) : (target - index - 1) >>> 0,
  );
  if (kind === "jump") return { ...insn, k: distances[0]! };
  const [jt, jf] = distances as [number, number];
  return jt > MAX_BRANCH || jf > MAX_BRANCH ? undefined : { ...insn, jt, jf };
}

/**
 * The program without `count` instructions from `start` on.  A jump to one of them goes to the first that is left
 * behind it, or to the last when there is none.
 */
export function removeInstructions(program: readonly Instruction[], start: number, count: number): Instruction[] {
  const last = program.length - count - 1;
  const place = (index: number): number => Math.min(last, index < start ? index : Math.max(start, index - count));
  return program.flatMap((insn, index) =>
    index >= start && index < start + count ? [] : [relocated(insn, index, program.length, place) ?? insn],
  );
}

/** The program with `added` in front of instruction `at`; undefined when that puts a branch out of reach. */
export function insertInstructions(
  program: readonly Instruction[],
  at: number,
  added: readonly Instruction[],
): Instruction[] | undefined {
  const place = (index: number): number => (index < at ? index : index + added.length);
  const moved: Instruction[] = [];
  for (const [index, insn] of program.entries()) {
    if (index === at) moved.push(...added);
    const there = relocated(insn, index, program.length, place);
    if (there === undefined) return undefined;
    moved.push(there);
  }
  if (at === program.length) moved.push(...added);
  return moved;
}
