/**
 * Leads most packets past long chains of equality tests in a few steps.
 *
 * Rule lists compile to chains: is the source this, or that, the destination this, the source that?  A packet that
 * passes none of the tests goes through all of them.  In front of such a chain stands one test of all its values, by
 * sieves, and behind that one test of each value among all its keys, by a hash table: a packet with none of the keys
 * leaves for the chain's end at once, any other goes through the chain as before.  A packet too short for that goes
 * through the chain as well, and fails where the program has it fail.
 */
import { bytesLoaded } from "./bounds.ts";
import { liveA } from "./byte-order.ts";
import { type Block, type Ending, type Op, redirect, type SievePlace, type Test } from "./ir.ts";
import { sieveOf } from "./sieves.ts";
import type { Tables } from "./tables.ts";

/** Shorter chains are left alone: the lookups take about as long as so many tests. */
const FEWEST_TESTS = 16;
/** Most different values of a chain: each is a lookup in front of it. */
const MOST_VALUES = 4;

interface Chain {
  /** Numbers of its blocks. */
  readonly links: readonly number[];
  /** How many keys its blocks compare with, one by one. */
  readonly tests: number;
  readonly values: readonly Tested[];
  /** Where a packet goes that passes no test. */
  readonly end: number;
}

/** A loaded value, and the keys that a chain compares it with. */
interface Tested {
  /** A load at a fixed place, and masks. */
  readonly ops: readonly Op[];
  readonly keys: Set<number>;
}

/** A chain, and what is asked in front of it. */
interface Shortcut extends Chain {
  readonly steps: readonly Step[];
}

interface Step {
  readonly ops: readonly Op[];
  readonly test: Test;
}

/** The blocks, with shortcuts in front of their chains.  Edges of the given blocks are renumbered in place. */
export function addShortcuts(blocks: Block[], tables: Tables): Block[] {
  const live = liveA(blocks);
  const walked = new Set<number>(); // what a chain of these cannot do, a later part of it cannot either
  const shortcuts = new Map<number, Shortcut>();
  blocks.forEach((_block, number) => {
    if (walked.has(number)) return;
    const chain = chainFrom(blocks, number, walked);
    for (const link of chain.links) walked.add(link);
    if (chain.links.length < 2 || chain.tests < FEWEST_TESTS || live[chain.end]) return;
    const steps = stepsPast(chain, tables);
    if (steps.length > 0) shortcuts.set(number, { ...chain, steps });
  });
  return shortcuts.size === 0 ? blocks : withShortcuts(blocks, shortcuts);
}

/** The chain that starts with a block and ends in front of another's, or in front of one value too many. */
function chainFrom(blocks: readonly Block[], first: number, walked: ReadonlySet<number>): Chain {
  const values = new Map<string, Tested>();
  const links: number[] = [];
  let name: string | undefined;
  let tests = 0;
  let number = first;
  while (!walked.has(number)) {
    const { ops, ending } = blocks[number]!;
    const keys = keysOf(ending);
    if (ops.length > 0) name = isFixedValue(ops) ? JSON.stringify(ops) : undefined;
    if (keys === undefined || name === undefined) break;
    const value = values.get(name) ?? { ops: blocks[number]!.ops, keys: new Set() };
    if (!values.has(name) && values.size === MOST_VALUES) break;
    values.set(name, value);
    for (const key of keys) value.keys.add(key);
    tests += keys.length;
    links.push(number);
    number = (ending as Ending & { no: number }).no;
  }
  return { links, tests, values: [...values.values()], end: number };
}

/** True for operations that leave in A bytes of the packet at a fixed place, masked or not. */
function isFixedValue([load, ...masks]: readonly Op[]): boolean {
  return load?.op === "load" && masks.every((op) => op.op === "alu" && op.src === "k" && op.alu === "and");
}

/** The keys of an ending that asks for nothing but equality with them. */
function keysOf(ending: Ending): readonly number[] | undefined {
  if (ending.end === "search") return ending.cases.map(({ key }) => key | 0);
  if (ending.end !== "branch") return undefined;
  const { test } = ending;
  if (test.test === "probe") return [...new Set(test.table.slots)];
  return test.test === "compare" && test.cond === "eq" && test.src === "k" ? [test.k | 0] : undefined;
}

/** A test of all values by sieves, where each has one, and a lookup for each, where the chain is more than that. */
function stepsPast({ links, values }: Chain, tables: Tables): Step[] {
  const lookups = links.length > values.length ? (testsAmong(values, tables) ?? []) : [];
  const places = sievesAmong(values, tables);
  return [
    ...(places === undefined ? [] : [{ ops: [], test: { test: "sieve", places } as const }]),
    ...lookups.map((test, i) => ({ ops: values[i]!.ops, test })),
  ];
}

/** Where each value's keys are sieved; undefined when one of them cannot be, or when there is no room. */
function sievesAmong(values: readonly Tested[], tables: Tables): SievePlace[] | undefined {
  const found = values.map(({ ops, keys }) => sieveOf(ops, keys)).filter((sieve) => sieve !== undefined);
  if (found.length < values.length) return undefined;
  return tables.addSieves(found.map(({ bytes }) => bytes))?.map((sieve, i) => {
    const { k, bytes } = found[i]!;
    return { k, mask: bytes.length - 1, sieve };
  });
}

/** Is a value among its keys?  One key is compared, more are looked up; undefined when there is no room for that. */
function testsAmong(values: readonly Tested[], tables: Tables): Test[] | undefined {
  const many = values.filter(({ keys }) => keys.size > 1);
  const found = tables.add(many.map(({ keys }) => [...keys]));
  return found === undefined
    ? undefined
    : values.map((value): Test => {
        if (value.keys.size === 1) return { test: "compare", cond: "eq", src: "k", k: [...value.keys][0]! };
        return { test: "probe", table: found[many.indexOf(value)]! };
      });
}

function withShortcuts(blocks: readonly Block[], shortcuts: ReadonlyMap<number, Shortcut>): Block[] {
  const entries: number[] = []; // of each block: the first block of its shortcut, or its own number
  let count = 0;
  blocks.forEach((_block, number) => {
    entries.push(count);
    const shortcut = shortcuts.get(number);
    count += 1 + (shortcut === undefined ? 0 : 1 + shortcut.steps.length);
  });
  return blocks.flatMap((block, number) => {
    redirect(block.ending, (to) => entries[to]!);
    const shortcut = shortcuts.get(number);
    return shortcut === undefined ? [block] : [...inFront(shortcut, block.start, entries), block];
  });
}

/** The blocks in front of a chain: is the packet long enough, and may it have any of the keys? */
function inFront({ links, values, steps, end }: Shortcut, start: number, entries: readonly number[]): Block[] {
  const entry = entries[links[0]!]!;
  const chain = entry + 1 + steps.length;
  const bytes = Math.max(...values.map(({ ops }) => Math.max(...ops.map(bytesLoaded))));
  const guard: Ending = { end: "branch", test: { test: "captured", bytes }, yes: entry + 1, no: chain };
  return [
    { start, ops: [], ending: guard },
    ...steps.map(({ ops, test }, i): Block => {
      const none = entries[end]!;
      const next = entry + 2 + i;
      const ending: Ending =
        test.test === "sieve"
          ? { end: "branch", test, yes: next, no: none }
          : { end: "branch", test, yes: chain, no: next === chain ? none : next };
      return { start, ops: ops.map((op) => ({ ...op })), ending };
    }),
  ];
}
