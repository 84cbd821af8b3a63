/**
 * Turns runs of equality tests on one value into one lookup: a perfect hash where all lead to one place, otherwise a
 * binary search.
 *
 * Host lists compile to such runs: `host A or host B or ...` is a hundred `jeq` in a row, which no compiler is told
 * to keep in order.  A run is a branch `A == k` whose else edge leads to an empty block with another such branch.
 * The blocks passed through may have other ways in; they stay for those.
 */

import { type Block, type Comparison, type Ending, successors } from "./ir.ts";
import type { Tables } from "./tables.ts";

/** Shorter runs stay branches: a search of five keys saves nothing. */
const SHORTEST_RUN = 6;
/** A test may be copied into several runs; all runs together may be this many times as long as the program. */
const COPIES = 4;

type EqualityTest = Ending & { end: "branch"; test: Comparison };

/** Rewrites endings in place. */
export function mergeEqualityTests(blocks: readonly Block[], tables: Tables): void {
  const wanted = waysIn(blocks);
  let budget = COPIES * blocks.length;
  blocks.forEach((block, number) => {
    if (wanted[number] === 0) return; // swallowed by a run before it
    const run = runFrom(blocks, block, budget);
    if (run === undefined) return;
    budget -= run.keys.size;
    const before = successors(block.ending);
    block.ending = lookup(run, tables);
    for (const to of successors(block.ending)) wanted[to]!++;
    for (const to of before) release(blocks, wanted, to);
  });
}

interface Run {
  /** Where each key leads; none leads where all other values go. */
  readonly keys: ReadonlyMap<number, number>;
  readonly no: number;
}

function lookup({ keys, no }: Run, tables: Tables): Ending {
  const goals = [...new Set(keys.values())];
  if (goals.length === 0) return { end: "jump", to: no };
  const table = goals.length === 1 ? tables.add([[...keys.keys()]])?.[0] : undefined;
  if (table !== undefined) return { end: "branch", test: { test: "probe", table }, yes: goals[0]!, no };
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
  if (ending.end !== "branch" || ending.test.test !== "compare") return undefined;
  return ending.test.cond === "eq" && ending.test.src === "k" ? (ending as EqualityTest) : undefined;
}

/** The run that starts with a block's ending: the first target of each key counts, as in the program. */
function runFrom(blocks: readonly Block[], block: Block, budget: number): Run | undefined {
  let test = asEqualityTest(block.ending);
  if (test === undefined) return undefined;
  const keys = new Map<number, number>();
  let otherwise = 0;
  while (test !== undefined) {
    if (!keys.has(test.test.k)) keys.set(test.test.k, test.yes);
    otherwise = test.no;
    const next: Block = blocks[otherwise]!;
    if (next.ops.length > 0 || keys.size >= budget) break;
    test = asEqualityTest(next.ending);
  }
  if (keys.size < SHORTEST_RUN) return undefined;
  return { keys: new Map([...keys].filter(([, to]) => to !== otherwise)), no: otherwise };
}
