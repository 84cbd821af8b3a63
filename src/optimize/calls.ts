/**
 * Getting ready for a user's instruction: it sees A, X and every cell, so each place must hold what it held in the
 * input, and a number that only a place has (a call's result, a drawn number) must not be lost on the way.
 */
import { immediate, type Machine, UNAVAILABLE } from "./machine.ts";
import { PLACE_A, PLACE_X, PLACES } from "./places.ts";
import type { Value } from "./value.ts";

type Way = (machine: Machine) => void;

/** Moves between A and X, for a number that would be lost otherwise. */
const ASIDE: readonly Way[] = [(machine) => machine.move(PLACE_A), (machine) => machine.move(PLACE_X)];
/** Each round brings a place nearer, but for moves aside. */
const MOST_ROUNDS = 2 * PLACES;

/**
 * Brings every value into its place: the cells first, always the one that takes fewest instructions, then A and X.
 *
 * @throws {Unavailable} Where no way was found.
 */
export function arrange(machine: Machine, wanted: readonly Value[]): void {
  const isLost = (m: Machine) => wanted.some((value, place) => !m.holds(place, value) && !canMake(m, value));
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const missing = [...wanted.entries()].filter(([place, value]) => !machine.holds(place, value));
    if (missing.length === 0) return;
    const cells = missing.filter(([place]) => place < PLACE_A);
    const ways: Way[] = cells.flatMap(([cell, value]) => [
      through(PLACE_A, cell, value),
      through(PLACE_X, cell, value),
    ]);
    if (cells.length === 0) {
      ways.push((m) => m.leftFirst(wanted[PLACE_A]!, wanted[PLACE_X]!));
      ways.push((m) => m.rightFirst(wanted[PLACE_A]!, wanted[PLACE_X]!));
    }
    const next = cheapest(machine, ways, isLost) ?? cheapest(machine, ASIDE, isLost);
    if (next === undefined) break;
    machine.become(next);
  }
  throw UNAVAILABLE;
}

function through(register: number, cell: number, value: Value): Way {
  return (machine) => {
    if (register === PLACE_A) machine.intoA(value);
    else if (!machine.directlyIntoX(value)) throw UNAVAILABLE;
    machine.store(register, cell, value);
  };
}

function cheapest(from: Machine, ways: readonly Way[], isLost: (machine: Machine) => boolean): Machine | undefined {
  let best: Machine | undefined;
  for (const way of ways) {
    const next = from.tried(way);
    if (next === undefined || isLost(next)) continue;
    if (best === undefined || next.steps.length < best.steps.length) best = next;
  }
  return best;
}

/** True when the value is held, known, or made of what the packet and the places have. */
function canMake(machine: Machine, value: Value, made = new Set<Value>()): boolean {
  if (made.has(value) || immediate(value) !== undefined) return true;
  const isMade =
    machine.places.some((held) => held.includes(value)) || isMadeOf(value, (v) => canMake(machine, v, made));
  if (isMade) made.add(value);
  return isMade;
}

function isMadeOf(value: Value, has: (part: Value) => boolean): boolean {
  switch (value.op) {
    case "param":
    case "random":
    case "result":
      return false;
    case "load":
      return value.anchor === undefined || has(value.anchor);
    default:
      return !("left" in value) || (has(value.left) && has(value.right));
  }
}
