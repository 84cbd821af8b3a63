/**
 * Instruction tails: each instruction with what follows it, hash-consed, so that equal endings are one.
 */
import { CODE, type Opcode } from "../isa/opcodes.ts";
import { stepsFrom } from "./cost.ts";
import { hash } from "./hash.ts";

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
  readonly #interned = new Map<number, Tail[]>();
  #count = 0;

  /** Distinct tails made so far. */
  get count(): number {
    return this.#count;
  }

  plain(code: Opcode, k: number, next: Tail | undefined, origin: number): Tail {
    return this.#intern(code, k, next, undefined, origin);
  }

  branch(code: Opcode, k: number, yes: Tail, no: Tail, origin: number): Tail {
    return yes === no ? yes : this.#intern(code, k, yes, no, origin);
  }

  #intern(code: Opcode, k: number, next: Tail | undefined, otherwise: Tail | undefined, origin: number): Tail {
    const key = hash(code, k, next?.id ?? -1, otherwise?.id ?? -1);
    const bucket = this.#interned.get(key);
    for (const tail of bucket ?? []) {
      if (tail.code === code && tail.k === k && tail.next === next && tail.otherwise === otherwise) return tail;
    }
    const steps = stepsFrom(code, next?.steps ?? 0, otherwise?.steps ?? 0);
    const tail = { id: this.#count++, code, k, next, otherwise, origin, steps };
    if (bucket === undefined) this.#interned.set(key, [tail]);
    else bucket.push(tail);
    return tail;
  }
}

export function isReturn(tail: Tail): boolean {
  return tail.code === CODE.ret_k || tail.code === CODE.ret_a;
}
