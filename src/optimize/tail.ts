/**
 * Instruction tails: each instruction with what follows it, hash-consed, so that equal endings are one.
 */
import { CODE } from "../isa/opcodes.ts";
import type { Instruction } from "../program/instruction.ts";
import { stepsFrom } from "./cost.ts";
import { Interner } from "./interner.ts";

export interface Tail {
  readonly id: number;
  /** The instruction; the distances of a branch are not known yet. */
  readonly instruction: Instruction;
  /** What follows; of a branch where the condition holds. */
  readonly next: Tail | undefined;
  /** Of a branch: what follows where the condition does not hold. */
  readonly otherwise: Tail | undefined;
  readonly origin: number;
  /** Instructions that an average packet executes from here on: see cost.ts. */
  readonly steps: number;
}

export class Tails {
  readonly #interned = new Interner<Tail>();

  /** Distinct tails made so far. */
  get count(): number {
    return this.#interned.count;
  }

  plain(instruction: Instruction, next: Tail | undefined, origin: number): Tail {
    return this.#intern(instruction, next, undefined, origin);
  }

  branch(instruction: Instruction, yes: Tail, no: Tail, origin: number): Tail {
    return yes === no ? yes : this.#intern(instruction, yes, no, origin);
  }

  #intern(instruction: Instruction, next: Tail | undefined, otherwise: Tail | undefined, origin: number): Tail {
    const { code, jt, jf, k } = instruction;
    const [to, or, operands] = [next?.id ?? -1, otherwise?.id ?? -1, (jt << 8) | jf];
    const known = this.#interned.find(code, k, to, or, operands);
    if (known !== undefined) return known;
    const steps = stepsFrom(code, next?.steps ?? 0, otherwise?.steps ?? 0);
    const tail = { id: this.count, instruction, next, otherwise, origin, steps };
    return this.#interned.add(code, k, to, or, operands, tail);
  }
}

export function isReturn({ instruction: { code } }: Tail): boolean {
  return code === CODE.ret_k || code === CODE.ret_a;
}
