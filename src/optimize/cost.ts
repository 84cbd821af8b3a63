/**
 * What a program costs, and whether Linux will see its scratch memory as written.
 */
import { ISA } from "../isa/instruction-set.ts";
import type { Instruction } from "../program/instruction.ts";
import { unwrittenReads } from "../program/scratch.ts";

/** How often a condition is expected to hold, where nothing is known about the packets. */
const LIKELIHOOD = { eq: 0.0625, gt: 0.5, ge: 0.5, set: 0.5 } as const;

/** By the code of a branch; every other instruction goes on to the next. */
const HOLDS: readonly number[] = Array.from({ length: 256 }, (_, code) => {
  const does = ISA.known(code)?.does;
  return does?.kind === "branch" ? LIKELIHOOD[does.cond] : 1;
});

/**
 * Instructions that an average packet executes from an instruction on, by guessed likelihoods: `yes` of them behind it
 * or behind a branch whose condition holds, `no` behind one whose condition does not.
 */
export function stepsFrom(code: number, yes: number, no: number): number {
  const likelihood = HOLDS[code] ?? 1;
  return 1 + likelihood * yes + (1 - likelihood) * no;
}

/** The same for a whole program, on a packet long enough for every load. */
export function expectedSteps(instructions: readonly Instruction[]): number {
  const steps = new Float64Array(instructions.length + 1);
  for (let pc = instructions.length - 1; pc >= 0; pc--) {
    const { code, jt, jf, k } = instructions[pc]!;
    const does = ISA.known(code)?.does;
    if (does?.kind === "return") steps[pc] = 1;
    else if (does?.kind === "jump") steps[pc] = 1 + (steps[pc + 1 + k] ?? 0);
    else if (does?.kind === "branch") steps[pc] = stepsFrom(code, steps[pc + 1 + jt]!, steps[pc + 1 + jf]!);
    else steps[pc] = 1 + steps[pc + 1]!;
  }
  return steps[0]!;
}

/** True when Linux takes every read of a scratch cell for one of a written cell. */
export function scratchIsWritten(instructions: readonly Instruction[]): boolean {
  for (const _index of unwrittenReads(instructions, ISA)) return false;
  return true;
}
