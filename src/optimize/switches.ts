/**
 * Switches: a knot of tests on one value is a function from its number to a place, and is written anew.
 *
 * Neighbouring numbers with the same place become a range, prefixes of one length share their mask, and for speed a
 * long list becomes a balanced tree of comparisons with short lists at its leaves.
 */

import { U32_MAX } from "../isa/limits.ts";
import { type Graph, type Node, type Nodes, predecessorCounts, type TestNode, topological } from "./graph.ts";
import type { Pass } from "./pass.ts";
import { fill, type Value } from "./value.ts";

/** From `low` to `high`, both included, the packet goes `to`. */
interface Interval {
  readonly low: number;
  readonly high: number;
  readonly to: Node;
}

/** Leaves of a balanced tree hold at most this many tests. */
const LEAF = 4;

export const mergeRanges: Pass = { name: "merge-ranges", run: (graph) => rewritten(graph, merged) };
export const balance: Pass = { name: "balance", run: (graph) => rewritten(graph, balanced) };

type Write = (nodes: Nodes, value: Value, intervals: readonly Interval[], origin: number) => Node;

function rewritten({ nodes, root }: Graph, write: Write): Graph {
  const counts = predecessorCounts(root);
  const claimed = new Set<Node>();
  const knots = new Map<Node, Set<Node>>();
  const order = topological(root);
  for (const node of order) {
    if (claimed.has(node) || !isOnNumbers(node)) continue;
    const knot = knotOf(node, counts);
    if (knot.size < 2) continue;
    for (const member of knot) claimed.add(member);
    knots.set(node, knot);
  }
  const made = new Map<Node, Node>();
  for (const node of order.reverse()) {
    const knot = knots.get(node);
    if (knot === undefined) {
      if (claimed.has(node)) continue; // reached through its knot only
      made.set(
        node,
        nodes.rebuild(node, (next) => made.get(next)!),
      );
      continue;
    }
    const value = (node as TestNode).left.root;
    const intervals = intervalsOf(node as TestNode, value, knot).map((i) => ({ ...i, to: made.get(i.to)! }));
    // Where every number that gets through goes to one place, nothing else would ask for the value.
    made.set(node, nodes.touch(value, write(nodes, value, joined(intervals), node.origin), node.origin));
  }
  return { nodes, root: made.get(root)! };
}

/** True for tests of a value against numbers, or of a prefix of it: what an interval can say. */
function isOnNumbers(node: Node): node is TestNode {
  if (node.kind !== "test" || node.right.op !== "const") return false;
  const { left, cond } = node;
  if (left.root === left) return cond === "eq" || cond === "gt";
  return cond === "eq" && left.op === "and" && left.left === left.root && isPrefix(prefixOf(left), left.root);
}

function prefixOf(left: Value): number {
  return left.op === "and" && left.right.op === "const" ? left.right.k : U32_MAX;
}

/** True when the mask keeps the high bits of the value. */
function isPrefix(mask: number, value: Value): boolean {
  const rest = restOf(mask, value);
  return (rest & (rest + 1)) === 0;
}

/** Bits of the value outside a mask.  Its largest number need not have them: of the numbers up to 6, 5 has the lowest. */
function restOf(mask: number, value: Value): number {
  return (fill(value.max) & ~mask) >>> 0;
}

/** The tests on the head's value that are reached from it and from nowhere else. */
function knotOf(head: TestNode, counts: Int32Array): Set<Node> {
  const knot = new Set<Node>([head]);
  const arrivals = new Map<Node, number>();
  const queue: TestNode[] = [head];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const to of [next.yes, next.no]) {
      const seen = (arrivals.get(to) ?? 0) + 1;
      arrivals.set(to, seen);
      if (seen !== counts[to.id] || !isOnNumbers(to) || to.left.root !== head.left.root) continue;
      knot.add(to);
      queue.push(to);
    }
  }
  return knot;
}

/** Where each number goes, as intervals: sent through the knot together, and parted at its tests; no list has two owners. */
function intervalsOf(head: TestNode, value: Value, knot: ReadonlySet<Node>): Interval[] {
  const starts = new Set<number>([0]);
  for (const node of knot) {
    const [low, high] = passing(node as TestNode);
    starts.add(low);
    starts.add(high + 1);
  }
  const lows = [...starts].filter((low) => low <= value.max).sort((a, b) => a - b);
  const targets: Node[] = new Array(lows.length);
  // The lows that come to each node, ascending; a node stands in the knot behind those that lead to it.
  const arriving = new Map<Node, number[]>([[head, [...lows]]]);
  const index = new Map(lows.map((low, i) => [low, i]));
  const send = (part: number[], to: Node) => {
    const before = arriving.get(to);
    if (!knot.has(to)) for (const low of part) targets[index.get(low)!] = to;
    else arriving.set(to, before === undefined ? part : [...before, ...part].sort((a, b) => a - b));
  };
  for (const node of knot) {
    const test = node as TestNode;
    const here = arriving.get(test)!;
    const [low, high] = passing(test);
    const from = firstAtLeast(here, low);
    send(here.splice(from, firstAtLeast(here, high + 1) - from), test.yes);
    send(here, test.no);
  }
  return lows.map((low, i) => ({ low, high: (lows[i + 1] ?? value.max + 1) - 1, to: targets[i]! }));
}

/** The numbers for which the test holds: from the first to the second. */
function passing({ cond, left, right }: TestNode): [low: number, high: number] {
  const k = (right as { k: number }).k;
  if (cond === "gt") return [k + 1, left.root.max];
  return [k, k + restOf(prefixOf(left), left.root)];
}

/** Index of the first of ascending numbers that is no less than `bound`. */
function firstAtLeast(numbers: readonly number[], bound: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (numbers[middle]! < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Neighbours that go to the same place made one. */
function joined(intervals: readonly Interval[]): Interval[] {
  const out: Interval[] = [];
  for (const interval of intervals) {
    const last = out.at(-1);
    if (last?.to === interval.to) out[out.length - 1] = { ...last, high: interval.high };
    else out.push(interval);
  }
  return out;
}

/** Lists of numbers first, then ranges, then prefixes by length. */
function merged(nodes: Nodes, value: Value, intervals: readonly Interval[], origin: number): Node {
  const { values } = nodes;
  const rest = commonest(intervals);
  const special = intervals.filter((interval) => interval.to !== rest);
  const constant = (k: number) => values.constant(k);
  if (special.length >= intervals.length - 1 && special.every((i) => i.low !== i.high)) {
    return comparisons(nodes, value, intervals, origin);
  }
  const prefixes = new Map<number, Interval[]>();
  for (const interval of special) {
    const mask = prefixMask(interval, value);
    if (mask === undefined) continue;
    const list = prefixes.get(mask);
    if (list === undefined) prefixes.set(mask, [interval]);
    else list.push(interval);
  }
  let node = rest;
  const masked = new Set<Interval>();
  for (const [mask, list] of [...prefixes].sort(([a], [b]) => a - b)) {
    const ends = list.filter(({ low, high }) => low === 0 || high === value.max).length;
    if (list.length * 2 - ends <= list.length + 1) continue; // two comparisons each are as good as mask and compare
    const left = values.alu("and", value, constant(mask));
    for (const interval of list.toReversed()) {
      node = nodes.test("eq", left, constant(interval.low), interval.to, node, origin);
      masked.add(interval);
    }
  }
  for (const interval of special.filter((i) => i.low !== i.high && !masked.has(i)).reverse()) {
    const { low, high, to } = interval;
    const above = low === 0 ? to : nodes.test("gt", value, constant(low - 1), to, node, origin);
    node = high === value.max ? above : nodes.test("gt", value, constant(high), node, above, origin);
  }
  for (const { low, to } of special.filter((i) => i.low === i.high).reverse()) {
    node = nodes.test("eq", value, constant(low), to, node, origin);
  }
  return node;
}

/** The place that most tests would have to lead to, and so the one to fall through to. */
function commonest(intervals: readonly Interval[]): Node {
  const tests = new Map<Node, number>();
  for (const { low, high, to } of intervals) tests.set(to, (tests.get(to) ?? 0) + (low === high ? 1 : 2));
  return [...tests].reduce((best, next) => (next[1] > best[1] ? next : best))[0];
}

function prefixMask({ low, high }: Interval, value: Value): number | undefined {
  const size = high - low + 1;
  if (size === 1 || (size & (size - 1)) !== 0 || low % size !== 0 || size > value.max) return undefined;
  return restOf(size - 1, value);
}

/** A tree of `gt` comparisons with one interval at each leaf. */
function comparisons(nodes: Nodes, value: Value, intervals: readonly Interval[], origin: number): Node {
  if (intervals.length === 1) return intervals[0]!.to;
  const middle = intervals.length >>> 1;
  const below = comparisons(nodes, value, intervals.slice(0, middle), origin);
  const above = comparisons(nodes, value, intervals.slice(middle), origin);
  return nodes.test("gt", value, nodes.values.constant(intervals[middle]!.low - 1), above, below, origin);
}

/** As {@link merged}, with long lists cut in halves. */
function balanced(nodes: Nodes, value: Value, intervals: readonly Interval[], origin: number): Node {
  if (intervals.length <= 2 * LEAF) return merged(nodes, value, intervals, origin);
  const middle = intervals.length >>> 1;
  const low = intervals[middle]!.low;
  const below = balanced(nodes, value, intervals.slice(0, middle), origin);
  const above = balanced(nodes, value, intervals.slice(middle), origin);
  return nodes.test("gt", value, nodes.values.constant(low - 1), above, below, origin);
}
