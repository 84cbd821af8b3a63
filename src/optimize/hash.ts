/**
 * A hash of a few integers, for stores that give equal things the same object.
 */

/** 30 bits, so that it is a small integer to V8 and its maps need not compare numbers by value. */
export function hash(a: number, b: number, c: number, d = 0, e = 0): number {
  let mixed = Math.imul(a | 0, 0x9e3779b1) ^ (b | 0);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b) ^ (c | 0);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35) ^ (d | 0);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x27d4eb2f) ^ (e | 0);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x9e3779b1);
  return (mixed ^ (mixed >>> 14)) >>> 2;
}
