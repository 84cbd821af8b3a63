/**
 * Turns runs of equality tests on one value into one lookup: a perfect hash where all lead to one place, otherwise a
 * binary search.
 *
 * Host lists compile to such runs: `host A or host B or ...` is a hundred `jeq` in a row, which no compiler is told
 * to keep in order.  A run is a branch `A == k` whose else edge leads to an empty block with another such branch.
 * The blocks passed through may have other ways in; they stay for those.
 */
import { type Block, type Ending, type HashTable, successors } from "./ir.ts";

/** Shorter runs stay branches: a search of five keys saves nothing. */
const SHORTEST_RUN = 6;
/** Slots of the largest table, 16 KiB; a table beyond that leaves the first-level cache. */
const MOST_SLOTS = 4096;
/** Slots of all tables of a program, 48 KiB: what an arena keeps room for. */
export const MOST_CONSTANTS = 12288;
/** Multipliers tried for one table size. */
const TRIES = 400;
/** A test may be copied into several runs; all runs together may be this many times as long as the program. */
const COPIES = 4;

type EqualityTest = Ending & { end: "branch"; cond: "eq"; src: "k" };

/** Rewrites endings in place; returns the slots of all tables. */
export function mergeEqualityTests(blocks: readonly Block[]): Int32Array {
  const tables: HashTable[] = [];
  const wanted = waysIn(blocks);
  let slots = 0;
  let budget = COPIES * blocks.length;
  blocks.forEach((block, number) => {
    if (wanted[number] === 0) return; // swallowed by a run before it
    const run = runFrom(blocks, block, budget);
    if (run === undefined) return;
    budget -= run.keys.size;
    const before = successors(block.ending);
    block.ending = lookup(run, (keys) => {
      const table = perfectHash(keys, slots, MOST_CONSTANTS - slots);
      if (table !== undefined) {
        tables.push(table);
        slots += table.slots.length;
      }
      return table;
    });
    for (const to of successors(block.ending)) wanted[to]!++;
    for (const to of before) release(blocks, wanted, to);
  });
  const constants = new Int32Array(slots);
  for (const { at, slots: own } of tables) constants.set(own, at);
  return constants;
}

interface Run {
  /** Where each key leads; none leads where all other values go. */
  readonly keys: ReadonlyMap<number, number>;
  readonly no: number;
}

function lookup({ keys, no }: Run, hash: (keys: readonly number[]) => HashTable | undefined): Ending {
  const goals = [...new Set(keys.values())];
  if (goals.length === 0) return { end: "jump", to: no };
  const table = goals.length === 1 ? hash([...keys.keys()]) : undefined;
  if (table !== undefined) return { end: "probe", table, yes: goals[0]!, no };
  const cases = [...keys].map(([key, to]) => ({ key, to })).sort((a, b) => a.key - b.key);
  return { end: "search", cases, no };
}

function waysIn(blocks: readonly Block[]): number[] {
  const count = blocks.map((_block, number) => (number === 0 ? 1 : 0));
  for (const { ending } of blocks) for (const to of successors(ending)) count[to]!++;
  return count;
}

/** Takes one way into a block away, and with the last one the block's own edges. */
function release(blocks: readonly Block[], wanted: number[], block: number): void {
  const stack = [block];
  while (stack.length > 0) {
    const number = stack.pop()!;
    if (--wanted[number]! === 0) stack.push(...successors(blocks[number]!.ending));
  }
}

function asEqualityTest(ending: Ending): EqualityTest | undefined {
  return ending.end === "branch" && ending.cond === "eq" && ending.src === "k" ? (ending as EqualityTest) : undefined;
}

/** The run that starts with a block's ending: the first target of each key counts, as in the program. */
function runFrom(blocks: readonly Block[], block: Block, budget: number): Run | undefined {
  let test = asEqualityTest(block.ending);
  if (test === undefined) return undefined;
  const keys = new Map<number, number>();
  let otherwise = 0;
  while (test !== undefined) {
    if (!keys.has(test.k)) keys.set(test.k, test.yes);
    otherwise = test.no;
    const next: Block = blocks[otherwise]!;
    if (next.ops.length > 0 || keys.size >= budget) break;
    test = asEqualityTest(next.ending);
  }
  if (keys.size < SHORTEST_RUN) return undefined;
  return { keys: new Map([...keys].filter(([, to]) => to !== otherwise)), no: otherwise };
}

/** A multiplicative hash without collisions, or undefined when no table of at most `room` slots was found. */
function perfectHash(keys: readonly number[], at: number, room: number): HashTable | undefined {
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
