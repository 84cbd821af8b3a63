/**
 * Random numbers that a seed repeats, on every machine and in every version of this package.
 *
 * The generator is sfc32 (Chris Doty-Humphrey, PractRand): four u32 of state, a counter among them.  It is fast and
 * good; it keeps no secrets.
 */

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** Two u32 say which sequence: a run's seed and, say, the number of a case in it. */
  constructor(seed: number, stream = 0) {
    this.#a = seed | 0;
    this.#b = stream | 0;
    this.#c = 0x2545f491;
    for (let i = 0; i < 12; i++) this.u32();
  }

  /** 0..2^32-1. */
  u32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }

  /** 0..n-1; 0 for n = 0. */
  below(n: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * n);
  }

  /** low..high, both ends included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** A number that is small most of the time: 0..limit-1, half of them below limit / 8. */
  small(limit: number): number {
    return this.oneIn(2) ? this.below(limit) : this.below(Math.max(1, limit >> 3));
  }
}
