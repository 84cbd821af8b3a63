/**
 * What a program costs, and whether Linux will see its scratch memory as written.
 */
import { ISA } from "../isa/instruction-set.ts";
import type { Instruction } from "../program/instruction.ts";
import { unwrittenReads } from "../program/scratch.ts";

/** How often a condition is expected to hold, where nothing is known about the packets. */
const LIKELIHOOD = { eq: 0.0625, gt: 0.5, ge: 0.5, set: 0.5 } as const;

/** Instructions that an average packet executes, by guessed likelihoods; a packet long enough for every load. */
export function expectedSteps(instructions: readonly Instruction[]): number {
  const steps = new Float64Array(instructions.length + 1);
  for (let pc = instructions.length - 1; pc >= 0; pc--) {
    const { code, jt, jf, k } = instructions[pc]!;
    const does = ISA.known(code)?.does;
    let rest = steps[pc + 1]!;
    if (does?.kind === "return") rest = 0;
    else if (does?.kind === "jump") rest = steps[pc + 1 + k] ?? 0;
    else if (does?.kind === "branch") {
      const yes = LIKELIHOOD[does.cond];
      rest = yes * steps[pc + 1 + jt]! + (1 - yes) * steps[pc + 1 + jf]!;
    }
    steps[pc] = 1 + rest;
  }
  return steps[0]!;
}

/** True when Linux takes every read of a scratch cell for one of a written cell. */
export function scratchIsWritten(instructions: readonly Instruction[]): boolean {
  for (const _index of unwrittenReads(instructions, ISA)) return false;
  return true;
}
