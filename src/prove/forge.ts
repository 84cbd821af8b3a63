/**
 * Forging: a packet that takes a given path through a decision graph.
 *
 * Tests against constants bound each field; the packet gets a number within the bounds.  That is a proposal: fields
 * can overlap and tests can compare two fields, so whoever asks runs the packet to see.
 */
import { type Facts, NO_FACTS } from "../optimize/facts.ts";
import type { Test } from "../optimize/graph.ts";
import { type Value, valueParts } from "../optimize/value.ts";
import { number } from "./evaluate.ts";

/** What holds along a path: tests with their outcomes, and the last value whose load fails there, if one does. */
export interface Path {
  readonly tests: readonly { readonly test: Test; readonly outcome: boolean }[];
  readonly touched: readonly Value[];
  readonly fails: Value | undefined;
}

const LONGEST = 65535;

/** For a number that others count from: an IPv4 header of 20 bytes, so that fields lie apart. */
const CLEAR = 0x45;

/** A packet for the path, or undefined where no proposal can be made. */
export function forge(path: Path): Uint8Array | undefined {
  let facts = NO_FACTS;
  for (const { test, outcome } of path.tests) facts = facts.learned(test, outcome);
  const evaluated = [...path.tests.flatMap(({ test }) => [test.left, test.right]), ...path.touched];
  const length = lengthFor(evaluated, facts);
  if (length === undefined || length > LONGEST) return undefined;
  const packet = new Uint8Array(length);
  const loads = new Set<Value>();
  const anchors = new Set<Value>();
  for (const part of evaluated.flatMap(valueParts)) {
    if (part.op !== "load") continue;
    loads.add(part);
    if (part.anchor !== undefined) for (const inner of valueParts(part.anchor)) anchors.add(inner);
  }
  // What an anchor is made of comes first, then long fields before the short ones inside them.
  const ordered = [...loads].sort((a, b) => depth(a) - depth(b) || sizeOf(b) - sizeOf(a));
  for (const load of ordered) {
    if (load.op !== "load") continue;
    const chosen = choose(load, path, facts, anchors.has(load) ? CLEAR : undefined);
    const anchor = load.anchor === undefined ? 0 : number(load.anchor, packet, new Map());
    if (chosen === undefined || typeof anchor !== "number") continue;
    const at = (anchor + load.k) >>> 0;
    if (at + load.size > packet.length) continue;
    for (let i = 0; i < load.size; i++) packet[at + i] = chosen >>> (8 * (load.size - 1 - i));
  }
  if (path.fails === undefined) return packet;
  const end = endOf(path.fails, packet);
  return end === undefined ? undefined : packet.subarray(0, end - 1);
}

/** The first byte behind the loads of a value, or undefined where it has none that the packet's length decides. */
function endOf(value: Value, packet: Uint8Array): number | undefined {
  let end: number | undefined;
  for (const part of valueParts(value)) {
    if (part.op !== "load") continue;
    const anchor = part.anchor === undefined ? 0 : number(part.anchor, packet, new Map());
    if (typeof anchor !== "number" || anchor + part.k >= 0x80000000) continue;
    end = Math.max(end ?? 0, anchor + part.k + part.size);
  }
  return end;
}

function depth(value: Value): number {
  return value.op === "load" && value.anchor !== undefined ? 1 + Math.max(...valueParts(value.anchor).map(depth)) : 0;
}

function sizeOf(value: Value): number {
  return value.op === "load" ? value.size : 0;
}

/** Captured bytes so that every evaluated load succeeds; undefined when the path's tests leave none. */
function lengthFor(evaluated: readonly Value[], facts: Facts): number | undefined {
  let needed = 0;
  for (const value of evaluated) {
    for (const [key, level] of value.hazards.levels) {
      needed = Math.max(needed, level + (value.hazards.anchors.get(key) ?? 0));
    }
  }
  const wire = evaluated.find((value) => value.root.op === "length");
  if (wire === undefined) return needed;
  const { low, high } = facts.known(wire.root);
  return low > high ? undefined : Math.min(high, Math.max(low, needed));
}

/** A number for a field that the tests of the path allow, like `preferred`, which it is where none speaks of it. */
function choose(load: Value, path: Path, facts: Facts, preferred: number | undefined): number | undefined {
  const about = path.tests.filter(({ test }) => test.left.root === load && test.right.op === "const");
  if (about.length === 0) return preferred;
  const { low, high, ones, zeros } = facts.known(load);
  const within = (n: number) => Math.min(high, Math.max(low, ((n | ones) & ~zeros) >>> 0));
  const proposals = [within(preferred ?? low), low, high, within(low), within(high)];
  for (let n = 0; n < 300; n++) proposals.push(within(low + n), within(Math.imul(n, 0x9e3779b1) >>> 0));
  return proposals.find((n) => about.every(({ test, outcome }) => holds(test, load, n) === outcome)) ?? low;
}

/** The test's outcome when the field under its left side is `n`. */
function holds(test: Test, field: Value, n: number): boolean | undefined {
  return NO_FACTS.learned({ cond: "eq", left: field, right: constantLike(n) }, true).decide(test);
}

/** A constant that exists only for one question. */
function constantLike(k: number): Value {
  return { op: "const", k } as Value;
}
