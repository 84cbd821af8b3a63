/**
 * Leads most packets past long chains of equality tests in a few steps.
 *
 * Rule lists compile to chains: is the source this, or that, the destination this, the source that?  A packet that
 * passes none of the tests goes through all of them.  In front of such a chain stands one lookup for each value that
 * it tests, among all the keys that any of its tests has: a packet with none of the keys leaves for the chain's end at
 * once, any other goes through the chain as before.  A packet too short for the lookups goes through the chain as
 * well, and fails where the program has it fail.
 */
import { liveA } from "./byte-order.ts";
import type { HashTables } from "./hash-tables.ts";
import { type Block, type Ending, type Op, redirect, type Test } from "./ir.ts";

/** Shorter chains are left alone: the lookups take about as long as so many tests. */
const FEWEST_TESTS = 16;
/** Most different values of a chain: each is a lookup in front of it. */
const MOST_VALUES = 4;

interface Chain {
  /** Numbers of its blocks. */
  readonly links: readonly number[];
  readonly values: readonly Tested[];
  /** Where a packet goes that passes no test. */
  readonly end: number;
}

/** A loaded value, and the keys that a chain compares it with. */
interface Tested {
  readonly ops: readonly Op[];
  /** Captured bytes that the load needs. */
  readonly bytes: number;
  readonly keys: Set<number>;
}

/** A chain, and the test of each of its values. */
interface Shortcut extends Chain {
  readonly tests: readonly Test[];
}

/** The blocks, with shortcuts in front of their chains.  Edges of the given blocks are renumbered in place. */
export function addShortcuts(blocks: Block[], tables: HashTables): Block[] {
  const live = liveA(blocks);
  const linked = new Set<number>();
  const shortcuts = new Map<number, Shortcut>();
  blocks.forEach((_block, number) => {
    if (linked.has(number)) return;
    const chain = chainFrom(blocks, number, linked);
    if (chain === undefined || live[chain.end]) return;
    const tests = chain.values.flatMap(({ keys }) => testAmong([...keys], tables) ?? []);
    if (tests.length < chain.values.length) return; // no table was found
    for (const link of chain.links) linked.add(link);
    shortcuts.set(number, { ...chain, tests });
  });
  return shortcuts.size === 0 ? blocks : withShortcuts(blocks, shortcuts);
}

/** The chain that starts with a block and ends in front of another chain's, if it is worth a shortcut. */
function chainFrom(blocks: readonly Block[], first: number, linked: ReadonlySet<number>): Chain | undefined {
  const values = new Map<string, Tested>();
  const links: number[] = [];
  let tested: Tested | undefined;
  let tests = 0;
  let number = first;
  while (!linked.has(number)) {
    const { ops, ending } = blocks[number]!;
    if (ops.length > 0) tested = testedValue(ops, values);
    const keys = keysOf(ending);
    if (tested === undefined || keys === undefined) break;
    for (const key of keys) tested.keys.add(key);
    tests += keys.length;
    links.push(number);
    number = (ending as Ending & { no: number }).no;
  }
  if (links.length < 2 || tests < FEWEST_TESTS || values.size > MOST_VALUES) return undefined;
  return { links, values: [...values.values()].filter(({ keys }) => keys.size > 0), end: number };
}

/** The value that operations leave in A, when it is bytes of the packet at a fixed place, masked or not. */
function testedValue(ops: readonly Op[], values: Map<string, Tested>): Tested | undefined {
  const [load, ...masks] = ops;
  if (load?.op !== "load" || !masks.every((op) => op.op === "alu" && op.src === "k" && op.alu === "and")) {
    return undefined;
  }
  const name = JSON.stringify(ops);
  const value = values.get(name) ?? { ops, bytes: load.k + load.size, keys: new Set() };
  values.set(name, value);
  return value;
}

/** The keys of an ending that asks for nothing but equality with them. */
function keysOf(ending: Ending): readonly number[] | undefined {
  if (ending.end === "search") return ending.cases.map(({ key }) => key | 0);
  if (ending.end !== "branch") return undefined;
  const { test } = ending;
  if (test.test === "probe") return [...new Set(test.table.slots)];
  return test.test === "compare" && test.cond === "eq" && test.src === "k" ? [test.k | 0] : undefined;
}

function testAmong(keys: readonly number[], tables: HashTables): Test | undefined {
  if (keys.length === 1) return { test: "compare", cond: "eq", src: "k", k: keys[0]! };
  const table = tables.add(keys);
  return table === undefined ? undefined : { test: "probe", table };
}

function withShortcuts(blocks: readonly Block[], shortcuts: ReadonlyMap<number, Shortcut>): Block[] {
  const entries: number[] = []; // of each block: the first block of its shortcut, or its own number
  let count = 0;
  blocks.forEach((_block, number) => {
    entries.push(count);
    const shortcut = shortcuts.get(number);
    count += 1 + (shortcut === undefined ? 0 : 1 + shortcut.values.length);
  });
  return blocks.flatMap((block, number) => {
    redirect(block.ending, (to) => entries[to]!);
    const shortcut = shortcuts.get(number);
    return shortcut === undefined ? [block] : [...lookups(shortcut, block.start, entries), block];
  });
}

/** The blocks in front of a chain: is the packet long enough, and has it any of the keys? */
function lookups({ links, values, tests, end }: Shortcut, start: number, entries: readonly number[]): Block[] {
  const entry = entries[links[0]!]!;
  const chain = entry + 1 + values.length;
  const bytes = Math.max(...values.map((value) => value.bytes));
  const guard: Ending = { end: "branch", test: { test: "captured", bytes }, yes: entry + 1, no: chain };
  return [
    { start, ops: [], ending: guard },
    ...values.map(({ ops }, i): Block => {
      const no = i === values.length - 1 ? entries[end]! : entry + 2 + i;
      return { start, ops: ops.map((op) => ({ ...op })), ending: { end: "branch", test: tests[i]!, yes: chain, no } };
    }),
  ];
}
