/**
 * The WebAssembly instructions this package emits: one row each, read by the encoder and by the printer.
 *
 * Source: WebAssembly Core Specification 1.0, section 5.4 (binary format of instructions); `memory.fill` and the
 * saturating truncation are of 2.0, with a prefix byte.
 *
 * Columns: the byte (or prefix and sub-opcode) and the immediates that follow it.
 */

/** Immediates: `label` and `local` and `func` are u32, `memarg` is alignment and offset, `block` a block type. */
export type Immediate = "none" | "label" | "local" | "func" | "i32" | "f64" | "memarg" | "block" | "memory";

interface Row {
  readonly code: number;
  readonly immediate: Immediate;
}

function row(code: number, immediate: Immediate = "none"): Row {
  return Object.freeze({ code, immediate });
}

/** A two-byte instruction: 0xfc and its sub-opcode. */
export const PREFIX = 0xfc;

// biome-ignore format: a table
export const WASM = Object.freeze({
  "unreachable":         row(0x00),
  "block":               row(0x02, "block"),
  "loop":                row(0x03, "block"),
  "if":                  row(0x04, "block"),
  "else":                row(0x05),
  "end":                 row(0x0b),
  "br":                  row(0x0c, "label"),
  "br_if":               row(0x0d, "label"),
  "return":              row(0x0f),
  "call":                row(0x10, "func"),
  "drop":                row(0x1a),
  "select":              row(0x1b),
  "local.get":           row(0x20, "local"),
  "local.set":           row(0x21, "local"),
  "local.tee":           row(0x22, "local"),
  "i32.load":            row(0x28, "memarg"),
  "i32.load8_u":         row(0x2d, "memarg"),
  "i32.load16_u":        row(0x2f, "memarg"),
  "i32.store":           row(0x36, "memarg"),
  "i32.store8":          row(0x3a, "memarg"),
  "i32.const":           row(0x41, "i32"),
  "f64.const":           row(0x44, "f64"),
  "i32.eqz":             row(0x45),
  "i32.eq":              row(0x46),
  "i32.ne":              row(0x47),
  "i32.lt_u":            row(0x49),
  "i32.gt_u":            row(0x4b),
  "i32.le_u":            row(0x4d),
  "i32.ge_u":            row(0x4f),
  "f64.lt":              row(0x63),
  "i32.add":             row(0x6a),
  "i32.sub":             row(0x6b),
  "i32.mul":             row(0x6c),
  "i32.div_u":           row(0x6e),
  "i32.rem_u":           row(0x70),
  "i32.and":             row(0x71),
  "i32.or":              row(0x72),
  "i32.xor":             row(0x73),
  "i32.shl":             row(0x74),
  "i32.shr_u":           row(0x76),
  "i32.rotl":            row(0x77),
  "i32.trunc_sat_f64_u": row(0xfc03),
  "memory.fill":         row(0xfc0b, "memory"),
});

export type WasmName = keyof typeof WASM;

/** Value types, section 5.3.1. */
export const VALUE_TYPE = Object.freeze({ i32: 0x7f, f64: 0x7c });
export type ValueType = keyof typeof VALUE_TYPE;

/** The block type of a block that leaves nothing on the stack. */
export const EMPTY_BLOCK = 0x40;
