/**
 * Gives equal things the same object, for things that five integers tell apart.
 */

interface Entry<T> {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly e: number;
  readonly thing: T;
  /** The one before with the same hash. */
  readonly before: Entry<T> | undefined;
}

export class Interner<T> {
  readonly #entries = new Map<number, Entry<T>>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  find(a: number, b: number, c: number, d: number, e: number): T | undefined {
    let entry = this.#entries.get(hash(a, b, c, d, e));
    for (; entry !== undefined; entry = entry.before) {
      if (entry.a === a && entry.b === b && entry.c === c && entry.d === d && entry.e === e) return entry.thing;
    }
    return undefined;
  }

  /** Keeps a thing that {@link find} did not know. */
  add(a: number, b: number, c: number, d: number, e: number, thing: T): T {
    const at = hash(a, b, c, d, e);
    this.#entries.set(at, { a, b, c, d, e, thing, before: this.#entries.get(at) });
    this.#count++;
    return thing;
  }
}

/** 30 bits, so that it is a small integer to V8. */
function hash(a: number, b: number, c: number, d: number, e: number): number {
  let mixed = Math.imul(a, 0x9e3779b1) ^ b;
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b) ^ c;
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35) ^ d;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x27d4eb2f) ^ e;
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x9e3779b1);
  return (mixed ^ (mixed >>> 14)) >>> 2;
}
