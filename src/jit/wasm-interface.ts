/**
 * What a compiled function and its host agree on: variants, parameters, imports, the work area.
 */
import type { FunctionType } from "../wasm/encoder.ts";
import type { ValueType } from "../wasm/opcodes.ts";
import { goesFar, type Lowered } from "./ir.ts";

/** What a batch writes: nothing, a u32 verdict a packet, bit i for a match, or the numbers of the matching packets. */
export type Output = "count" | "verdicts" | "bitmap" | "indices";

export interface Variant {
  /** One packet, or a batch with this output. */
  readonly output: Output | "run";
  /** The memory is a shared one. */
  readonly shared: boolean;
  /** Byte address of 16 scratch cells (for user code) and, behind them, the tables. */
  readonly workArea: number;
  /** Byte address that packet offsets count from: part of every load's constant. */
  readonly packets: number;
  /** Touches packets ahead of time: pays when they do not fit the caches. */
  readonly prefetch: boolean;
}

/** Bytes of scratch cells in front of the tables in a work area. */
export const CELL_BYTES = 64;
/** Functions that the code imports.  They give a u32 or, for "failed" and "goes on", -1: 33 bits fit an f64. */
export const IMPORTS = Object.freeze({
  /** (packet number, offset, length, offset, size): a load through the shared slow path. */
  far: functionType(["i32", "i32", "i32", "i32", "i32"], ["f64"]),
  /** (packet number, offset, length, row, a, x): an ancillary value. */
  ancillary: functionType(["i32", "i32", "i32", "i32", "i32", "i32"], ["i32"]),
  /** (packet number, offset, length, number, a, x): a user's instruction. */
  extension: functionType(["i32", "i32", "i32", "i32", "i32", "i32"], ["f64"]),
  /** A and X behind a user's instruction. */
  a: functionType([], ["i32"]),
  x: functionType([], ["i32"]),
});
export type Import = keyof typeof IMPORTS;

export function functionType(params: readonly ValueType[], results: readonly ValueType[]): FunctionType {
  return Object.freeze({ params, results });
}

/** Parameters of `run`, in order; all i32.  `meta` is the address of a metadata record. */
export const RUN_PARAMETERS = Object.freeze(["ptr", "len", "wire", "meta", "number"] as const);
/**
 * Parameters of `batch`.  `number` is the first packet; `table`, `lengths` and `meta` are the addresses of its entries,
 * the last two with a step in bytes to the next packet's; `tableEnd` is behind the last packet's entry, and `out` is
 * the address of the output.
 */
export const BATCH_PARAMETERS = Object.freeze([
  "number",
  "table",
  "tableEnd",
  "lengths",
  "lengthStep",
  "meta",
  "metaStep",
  "out",
] as const);

/** The imports that a program's code needs, in the order of their function numbers. */
export function importsOf({ blocks }: Lowered): Import[] {
  const needed = new Set<Import>();
  for (const { ops } of blocks) {
    for (const op of ops) {
      if (goesFar(op)) needed.add("far");
      if (op.op === "ancillary") needed.add("ancillary");
      if (op.op === "extension") for (const name of ["extension", "a", "x"] as const) needed.add(name);
    }
  }
  return (Object.keys(IMPORTS) as Import[]).filter((name) => needed.has(name));
}
