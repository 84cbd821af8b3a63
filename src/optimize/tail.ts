/**
 * Instruction tails: each instruction with what follows it, hash-consed, so that equal endings are one.
 */
import { CODE, type Opcode } from "../isa/opcodes.ts";
import { stepsFrom } from "./cost.ts";
import { Interner } from "./interner.ts";

export interface Tail {
  readonly id: number;
  readonly code: Opcode;
  readonly k: number;
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

  plain(code: Opcode, k: number, next: Tail | undefined, origin: number): Tail {
    return this.#intern(code, k, next, undefined, origin);
  }

  branch(code: Opcode, k: number, yes: Tail, no: Tail, origin: number): Tail {
    return yes === no ? yes : this.#intern(code, k, yes, no, origin);
  }

  #intern(code: Opcode, k: number, next: Tail | undefined, otherwise: Tail | undefined, origin: number): Tail {
    const [to, or] = [next?.id ?? -1, otherwise?.id ?? -1];
    const known = this.#interned.find(code, k, to, or, 0);
    if (known !== undefined) return known;
    const steps = stepsFrom(code, next?.steps ?? 0, otherwise?.steps ?? 0);
    return this.#interned.add(code, k, to, or, 0, { id: this.count, code, k, next, otherwise, origin, steps });
  }
}

export function isReturn(tail: Tail): boolean {
  return tail.code === CODE.ret_k || tail.code === CODE.ret_a;
}
