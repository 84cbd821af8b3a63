/**
 * What both code printers read: a program as blocks with forward edges only.
 *
 * An operation works on A, X, M[] and the packet and falls through; an ending says where the block goes.  Everything
 * that can end the packet with verdict 0 (a short packet, a zero divisor) is an operation of its own, so a printer
 * decides nothing.  Blocks stand in program order, the entry first, and every edge leads to a later block.
 */
import type { AncillaryField } from "../isa/ancillary.ts";
import type { ExtensionOperands, ExtensionRow } from "../isa/instruction-set.ts";
import type { Register } from "../isa/opcodes.ts";
import type { AluOp, Condition } from "../isa/semantics.ts";

/**
 * How loaded bytes lie in A: "host" is the value; "memory" is the value with its bytes reversed, which saves the
 * swap where the value is only tested bit by bit or for equality; "spread" has the first of two bytes in bits 31..24
 * and the second in bits 7..0, which is one rotation away from memory order and greater or less as the value is.
 */
export type Order = "host" | "memory" | "spread";

export type Op =
  /** dst = value */
  | { readonly op: "constant"; readonly dst: Register; value: number }
  /** Verdict 0 unless `bytes` bytes are captured. */
  | { readonly op: "check"; readonly bytes: number }
  /** A = P[k]; a check in front has made sure of the bytes. */
  | { readonly op: "load"; readonly k: number; readonly size: 1 | 2 | 4; order: Order }
  /** X = 4 * (P[k] & 15); checked as well. */
  | { readonly op: "msh"; readonly k: number }
  /**
   * A = P[X + k], checking itself.  `near`: X + k is known to stay below 2^31, so out of range is verdict 0 at once.
   * `enough`: at least `size` bytes are known to be captured.
   */
  | {
      readonly op: "load-index";
      readonly k: number;
      readonly size: 1 | 2 | 4;
      order: Order;
      near: boolean;
      enough: boolean;
    }
  /** A load at k >= 2^31 (NET, LL) into A, or the MSH form into X: the shared slow path. */
  | { readonly op: "far"; readonly k: number; readonly size: 1 | 2 | 4; readonly dst: Register }
  | { readonly op: "length"; readonly dst: Register }
  /** A = a field of the packet context. */
  | { readonly op: "field"; readonly field: AncillaryField }
  /** A = a field of the device; verdict A when there is none. */
  | { readonly op: "device"; readonly field: "ifindex" | "hatype" }
  /** A = ANCILLARY[row], computed by the shared reader. */
  | { readonly op: "ancillary"; readonly row: number }
  /** A user's instruction: reads and writes A, X and M, and may end the packet. */
  | { readonly op: "extension"; readonly number: number }
  | { readonly op: "load-cell"; readonly dst: Register; readonly cell: number }
  | { readonly op: "store-cell"; readonly src: Register; readonly cell: number }
  | { readonly op: "alu"; readonly alu: AluOp; readonly src: "k" | "x"; k: number }
  /** Verdict 0 when X is 0. */
  | { readonly op: "divisor" }
  | { readonly op: "neg" }
  | { readonly op: "move"; readonly dst: Register };

/** Part of {@link Lowered.constants}. */
export interface Table {
  /** Index of the first slot there. */
  readonly at: number;
  readonly slots: Int32Array;
}

/** A table of a perfect hash: `key` is in it exactly when slots[(key * multiplier) >>> shift] is `key`. */
export interface HashTable extends Table {
  readonly multiplier: number;
  readonly shift: number;
  /** How many keys it holds. */
  readonly keys: number;
}

/** Where a sieve is looked into: at byte `(P[k] | P[k + 1] << 8) & mask`. */
export interface SievePlace {
  readonly k: number;
  /** One less than the length of the sieve in bytes; all of P[k] counts. */
  readonly mask: number;
  /** Bytes that are 0 or 1, four to a slot. */
  readonly sieve: Table;
}

/** What a block asks at its end. */
export type Test =
  | Comparison
  /** Is A in the table? */
  | { readonly test: "probe"; readonly table: HashTable }
  /** May the packet have a key: does any of these places find a 1? */
  | { readonly test: "sieve"; readonly places: readonly SievePlace[] }
  /** Are so many bytes captured? */
  | { readonly test: "captured"; readonly bytes: number };

/** Does A stand in this relation to k or X? */
export interface Comparison {
  readonly test: "compare";
  readonly cond: Condition;
  readonly src: "k" | "x";
  k: number;
}

/** Where a block goes.  Targets are block numbers. */
export type Ending =
  | { readonly end: "return"; readonly value: number | "a" }
  | { readonly end: "jump"; to: number }
  | { readonly end: "branch"; readonly test: Test; yes: number; no: number }
  /** A branch between two different verdicts, which needs no jump. */
  | { readonly end: "decide"; readonly test: Test; readonly yes: number; readonly no: number }
  /** A is looked up among keys in ascending unsigned order. */
  | { readonly end: "search"; readonly cases: { readonly key: number; to: number }[]; no: number };

export interface Block {
  /** Index of the first instruction, for people. */
  readonly start: number;
  ops: Op[];
  ending: Ending;
}

export interface ExtensionCall {
  readonly run: ExtensionRow["run"];
  readonly instruction: ExtensionOperands;
}

export interface Lowered {
  readonly blocks: readonly Block[];
  /** Length of the program, in instructions. */
  readonly instructions: number;
  /** Slots of every table, one table behind the other. */
  readonly constants: Int32Array;
  readonly extensions: readonly ExtensionCall[];
  /** Scratch cells in use, ascending. */
  readonly cells: readonly number[];
  /** True when cells may be read unwritten and so start as 0. */
  readonly clearsCells: boolean;
}

/** Block numbers that an ending leads to. */
export function successors(ending: Ending): number[] {
  switch (ending.end) {
    case "return":
    case "decide":
      return [];
    case "jump":
      return [ending.to];
    case "branch":
      return [ending.yes, ending.no];
    case "search":
      return [...new Set(ending.cases.map((c) => c.to)), ending.no];
  }
}

/** Sends every edge through `to`. */
export function redirect(ending: Ending, to: (block: number) => number): void {
  switch (ending.end) {
    case "return":
    case "decide":
      break;
    case "jump":
      ending.to = to(ending.to);
      break;
    case "branch":
      ending.yes = to(ending.yes);
      ending.no = to(ending.no);
      break;
    case "search":
      for (const c of ending.cases) c.to = to(c.to);
      ending.no = to(ending.no);
      break;
  }
}

/** True when an ending reads A. */
export function endingReadsA(ending: Ending): boolean {
  switch (ending.end) {
    case "return":
      return ending.value === "a";
    case "jump":
      return false;
    case "branch":
    case "decide":
      return ending.test.test === "compare" || ending.test.test === "probe";
    case "search":
      return true;
  }
}

/** True for a load that may take the slow path. */
export function goesFar(op: Op): boolean {
  return op.op === "far" || (op.op === "load-index" && !op.near);
}

/** True when the code reads the packet's context. */
export function usesContext({ blocks }: Lowered): boolean {
  const kinds: ReadonlySet<Op["op"]> = new Set<Op["op"]>(["field", "device", "ancillary", "extension"]);
  return blocks.some(({ ops }) => ops.some((op) => kinds.has(op.op) || goesFar(op)));
}

/** True when the code reads the context, or LEN, which a context may set. */
export function asksContext(lowered: Lowered): boolean {
  return usesContext(lowered) || usesLength(lowered);
}

/** True when the code reads LEN. */
export function usesLength({ blocks }: Lowered): boolean {
  return blocks.some(({ ops }) => ops.some((op) => op.op === "length"));
}
