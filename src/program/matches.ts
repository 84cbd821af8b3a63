/**
 * The matching packets of a batch, from its verdicts.
 */

/** Numbers of the verdicts other than 0 among the first `count`, ascending, into `indices`; returns how many. */
export function indicesOf(verdicts: Uint32Array, count: number, indices: Uint32Array): number {
  let matched = 0;
  for (let i = 0; i < count; i++) if (verdicts[i] !== 0) indices[matched++] = i;
  return matched;
}

/** Bit i % 8 of byte i / 8 of `bitmap` becomes 1 for a verdict other than 0, else 0; returns how many there are. */
export function bitmapOf(verdicts: Uint32Array, count: number, bitmap: Uint8Array): number {
  let matched = 0;
  bitmap.fill(0, 0, Math.ceil(count / 8));
  for (let i = 0; i < count; i++) {
    if (verdicts[i] === 0) continue;
    bitmap[i >> 3]! |= 1 << (i & 7);
    matched++;
  }
  return matched;
}
