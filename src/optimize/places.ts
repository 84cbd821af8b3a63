/**
 * The places that hold numbers while a program runs: M[0]..M[15], A and X, as bit numbers.
 */
import { BPF_MEMWORDS } from "../isa/limits.ts";

export const PLACE_A = BPF_MEMWORDS;
export const PLACE_X = BPF_MEMWORDS + 1;
export const PLACES = BPF_MEMWORDS + 2;
/** A set of all places. */
export const EVERY_PLACE = 2 ** PLACES - 1;

export function placeName(place: number): string {
  return place === PLACE_A ? "A" : place === PLACE_X ? "X" : `M[${place}]`;
}
