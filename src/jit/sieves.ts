/**
 * Sieves: whether a packet may have one of some keys, by two of its bytes.
 *
 * A sieve has a byte for each index that bits of two packet bytes can make, and it is 1 where a key has these bits.
 * Values that all find 0 have no key, and their zeros can be or-ed: however many values are asked for, that is one
 * branch, and a load takes the place of a multiplication.  A 1 says nothing, so exact tests follow.
 */
import { inMemory } from "./byte-order.ts";
import type { Op } from "./ir.ts";

/** Fewest bytes of a sieve for each key: at most one value in so many that is no key finds a 1, if all are as likely. */
const BYTES_A_KEY = 64;
const FEWEST_BYTES = 1024;
/** Half of a first-level cache: with more keys than this has room for, more values find a 1. */
const MOST_BYTES = 16384;
/** Most keys: a sixteenth of the largest sieve. */
const MOST_KEYS = 1024;

/**
 * The bytes of a sieve, and which of a packet's it asks for: the index is `(P[k] | P[k + 1] << 8) & (bytes.length - 1)`.
 */
export interface Sifting {
  readonly k: number;
  /** A power of two of them. */
  readonly bytes: Uint8Array;
}

/**
 * A sieve for the keys of a value; undefined where it would let too much through.
 *
 * @param ops  a load at a fixed place, and masks.
 * @param keys  in the byte order of the load.
 */
export function sieveOf(ops: readonly Op[], keys: ReadonlySet<number>): Sifting | undefined {
  const [load, ...masks] = ops;
  if (load?.op !== "load" || load.size === 1 || keys.size > MOST_KEYS) return undefined;
  const { k, size, order } = load;
  const bitsInA = masks.reduce((bits, op) => (op.op === "alu" ? bits & op.k : bits), 0xffffffff);
  const kept = inMemory(bitsInA, size, order);
  const length = Math.min(MOST_BYTES, Math.max(FEWEST_BYTES, 2 ** Math.ceil(Math.log2(keys.size * BYTES_A_KEY))));
  const mask = length - 1;
  let best: { at: number; indices: Set<number> } | undefined;
  // the end of an address tells more hosts apart, its front more networks
  for (const at of size === 4 ? [2, 0] : [0]) {
    if (((kept >>> (8 * at)) & mask) !== mask) continue;
    const indices = new Set([...keys].map((key) => (inMemory(key, size, order) >>> (8 * at)) & mask));
    if (best === undefined || indices.size > best.indices.size) best = { at, indices };
  }
  if (best === undefined) return undefined;
  const bytes = new Uint8Array(length);
  for (const index of best.indices) bytes[index] = 1;
  return { k: k + best.at, bytes };
}
