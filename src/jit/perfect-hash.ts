/**
 * Perfect hashes: which of some numbers a value is, in one load.
 */
import type { HashTable } from "./ir.ts";

/** Slots of the largest table, 16 KiB; a table beyond that leaves the first-level cache. */
const MOST_SLOTS = 4096;
/** Multipliers tried for one table size. */
const TRIES = 400;

/** A multiplicative hash without collisions, or undefined when no table of at most `room` slots was found. */
export function perfectHash(keys: readonly number[], at: number, room: number): HashTable | undefined {
  const most = Math.min(MOST_SLOTS, room);
  let state = 1;
  for (let size = powerOfTwo(Math.max(8, (keys.length * keys.length) / 12)); size <= most; size *= 2) {
    const shift = 32 - Math.log2(size);
    const taken = new Int32Array(size);
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // any odd multiplier will do; these repeat
      const multiplier = (state | 1) >>> 0;
      if (isPerfect(keys, multiplier, shift, taken, attempt)) {
        return { multiplier, shift, at, slots: fillSlots(keys, multiplier, shift, size), keys: keys.length };
      }
    }
  }
  return undefined;
}

function isPerfect(
  keys: readonly number[],
  multiplier: number,
  shift: number,
  taken: Int32Array,
  mark: number,
): boolean {
  for (const key of keys) {
    const slot = Math.imul(key, multiplier) >>> shift;
    if (taken[slot] === mark) return false;
    taken[slot] = mark;
  }
  return true;
}

/** Free slots hold the first key: no value but that key is found there, and it is looked for in its own slot. */
function fillSlots(keys: readonly number[], multiplier: number, shift: number, size: number): Int32Array {
  const slots = new Int32Array(size).fill(keys[0]!);
  for (const key of keys) slots[Math.imul(key, multiplier) >>> shift] = key;
  return slots;
}

function powerOfTwo(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(atLeast));
}
