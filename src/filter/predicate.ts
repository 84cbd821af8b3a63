/**
 * What an expression means, without registers and jumps: tests of packet fields, joined by and, or and not.
 *
 * `check` makes predicates, `lower` turns them into instructions, `evaluate` says what they give on a packet.
 * And/or are short-circuit, left to right, and a load past the end of the packet ends the whole filter with
 * verdict 0; so the order of the terms is part of the meaning.
 */
import type { AluOp, Condition } from "../isa/semantics.ts";
import type { Node } from "./ast.ts";

/**
 * A value that is computed once per packet and kept in scratch memory: where a header of variable position begins.
 * One with a definition is computed at the start of the program; the others by an `assign` on the way.
 */
export interface Slot {
  readonly name: string;
  readonly definition?: Predicate;
  /** The slot that the definition reads. */
  readonly after?: Slot | undefined;
}

/**
 * A position in the packet: the value of `slot` + 4 * (byte at slot + `header` & 15) + `offset`, where the first two
 * parts may be missing.  The middle part is the length of the IPv4 header that begins at `header`.
 */
export interface Place {
  readonly slot?: Slot | undefined;
  readonly header?: number | undefined;
  readonly offset: number;
}

export type Value =
  | { readonly kind: "number"; readonly k: number }
  | { readonly kind: "length" }
  | { readonly kind: "ancillary"; readonly k: number }
  | { readonly kind: "slot"; readonly slot: Slot }
  | { readonly kind: "place"; readonly place: Place }
  | { readonly kind: "load"; readonly place: Place; readonly size: 1 | 2 | 4; readonly index?: Value | undefined }
  | { readonly kind: "neg"; readonly operand: Value }
  | { readonly kind: "alu"; readonly op: AluOp; readonly left: Value; readonly right: Value };

export type Predicate =
  | { readonly kind: "test"; readonly value: Value; readonly cond: Condition; readonly operand: number | Value }
  | { readonly kind: "constant"; readonly value: boolean }
  /** Stores a value; true. */
  | { readonly kind: "assign"; readonly slot: Slot; readonly value: Value }
  /** Runs the body for its assignments; true whatever the body gives. */
  | { readonly kind: "effect"; readonly body: Predicate }
  | { readonly kind: "not"; readonly term: Predicate }
  | { readonly kind: "chain"; readonly first: Predicate; readonly rest: readonly PredicateLink[] }
  /** The part of the expression that the term came from. */
  | { readonly kind: "source"; readonly node: Node; readonly term: Predicate };

export interface PredicateLink {
  readonly op: "and" | "or";
  readonly term: Predicate;
}

export const TRUE: Predicate = { kind: "constant", value: true };
export const FALSE: Predicate = { kind: "constant", value: false };

/** All of the terms, in this order; terms that are undefined are left out. */
export function and(...terms: (Predicate | undefined)[]): Predicate {
  return joined("and", terms);
}

/** Any of the terms, in this order. */
export function or(...terms: (Predicate | undefined)[]): Predicate {
  return joined("or", terms);
}

function joined(op: "and" | "or", terms: (Predicate | undefined)[]): Predicate {
  const present = terms.filter((term) => term !== undefined);
  const [first, ...rest] = present;
  if (first === undefined) return op === "and" ? TRUE : FALSE;
  return rest.length === 0 ? first : { kind: "chain", first, rest: rest.map((term) => ({ op, term })) };
}

export function not(term: Predicate): Predicate {
  return { kind: "not", term };
}

export function effect(...terms: Predicate[]): Predicate {
  return { kind: "effect", body: and(...terms) };
}

export function assign(slot: Slot, value: Value): Predicate {
  return { kind: "assign", slot, value };
}

// Values

export function number(k: number): Value {
  return { kind: "number", k: k >>> 0 };
}

export function load(place: Place, size: 1 | 2 | 4, index?: Value): Value {
  return { kind: "load", place, size, index };
}

export function alu(op: AluOp, left: Value, right: Value | number): Value {
  return { kind: "alu", op, left, right: typeof right === "number" ? number(right) : right };
}

/** The place `offset` bytes behind another. */
export function behind(place: Place, offset: number): Place {
  return { ...place, offset: place.offset + offset };
}

// Tests

export function test(value: Value, cond: Condition, operand: number | Value): Predicate {
  return { kind: "test", value, cond, operand: typeof operand === "number" ? operand >>> 0 : operand };
}

/** The field at a place equals k. */
export function equal(place: Place, size: 1 | 2 | 4, k: number): Predicate {
  return test(load(place, size), "eq", k);
}

/** The field at a place, masked, equals k. */
export function masked(place: Place, size: 1 | 2 | 4, mask: number, k: number): Predicate {
  return test(alu("and", load(place, size), mask), "eq", k);
}

/** Bits of the field at a place, any of them set. */
export function bits(place: Place, size: 1 | 2 | 4, mask: number): Predicate {
  return test(load(place, size), "set", mask);
}

/** The bytes at a place are these: compared in words from the end, as libpcap does. */
export function sameBytes(place: Place, bytes: Uint8Array): Predicate {
  const tests: Predicate[] = [];
  for (let end = bytes.length; end > 0; ) {
    const size = end >= 4 ? 4 : end >= 2 ? 2 : 1;
    end -= size;
    let k = 0;
    for (let i = 0; i < size; i++) k = k * 256 + bytes[end + i]!;
    tests.push(equal(behind(place, end), size, k));
  }
  return and(...tests);
}
