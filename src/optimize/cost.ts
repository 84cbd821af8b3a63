/**
 * What a program costs, and whether Linux will see its scratch memory as written.
 */
import { ISA } from "../isa/instruction-set.ts";
import type { Instruction } from "../program/instruction.ts";

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

/**
 * True when every cell is written before it is read by Linux's reckoning, in which the state behind a return is the
 * state in front of it (net/core/filter.c, check_load_and_stores).
 */
export function scratchIsWritten(instructions: readonly Instruction[]): boolean {
  const masks = new Uint16Array(instructions.length).fill(0xffff);
  let written = 0;
  for (const [pc, { code, jt, jf, k }] of instructions.entries()) {
    written &= masks[pc]!;
    const does = ISA.known(code)?.does;
    switch (does?.kind) {
      case "store-mem":
        written |= 1 << k;
        break;
      case "load-mem":
        if ((written & (1 << k)) === 0) return false;
        break;
      case "jump":
        masks[pc + 1 + k]! &= written;
        written = 0xffff;
        break;
      case "branch":
        masks[pc + 1 + jt]! &= written;
        masks[pc + 1 + jf]! &= written;
        written = 0xffff;
    }
  }
  return true;
}
