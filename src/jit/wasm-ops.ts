/**
 * Prints operations as WebAssembly.
 */
import type { AluOp } from "../isa/semantics.ts";
import { METADATA } from "../program/arena.ts";
import type { WasmName } from "../wasm/opcodes.ts";
import type { Op, Order } from "./ir.ts";
import type { Emitter } from "./wasm-emitter.ts";

const WASM_ALU = {
  add: "i32.add",
  sub: "i32.sub",
  mul: "i32.mul",
  div: "i32.div_u",
  mod: "i32.rem_u",
  or: "i32.or",
  and: "i32.and",
  xor: "i32.xor",
  lsh: "i32.shl", // the count is taken modulo 32 here too
  rsh: "i32.shr_u",
} as const satisfies Record<AluOp, WasmName>;

export function printOp(e: Emitter, op: Op) {
  const { code } = e;
  switch (op.op) {
    case "constant":
      code.constant(op.value);
      return e.set(op.dst);
    case "check":
      e.get("len");
      code.constant(op.bytes);
      code.op("i32.lt_u");
      return e.fail();
    case "load":
      e.get("ptr");
      load(e, op.size, op.k, op.order);
      return e.set("a");
    case "msh":
      e.get("ptr");
      load(e, 1, op.k, "host");
      return setHeaderLength(e);
    case "load-index":
      return loadIndex(e, op);
    case "far":
      far(e, () => code.constant(op.k), op.size);
      if (op.dst === "x") return setHeaderLength(e);
      return e.set("a");
    case "length":
      e.get("wire");
      return e.set(op.dst);
    case "field":
      e.get("meta");
      code.memory("i32.load", METADATA[op.field]);
      return e.set("a");
    case "device":
      return device(e, op.field);
    case "ancillary":
      e.packet();
      code.constant(op.row);
      e.get("a");
      e.get("x");
      e.call("ancillary");
      return e.set("a");
    case "extension":
      return extension(e, op.number);
    case "load-cell":
      if (e.lowered.extensions.length === 0) e.get(`m${op.cell}`);
      else {
        code.constant(0);
        code.memory("i32.load", e.variant.workArea + 4 * op.cell);
      }
      return e.set(op.dst);
    case "store-cell":
      if (e.lowered.extensions.length === 0) {
        e.get(op.src);
        return e.set(`m${op.cell}`);
      }
      code.constant(0);
      e.get(op.src);
      return code.memory("i32.store", e.variant.workArea + 4 * op.cell);
    case "alu":
      e.get("a");
      e.operand(op.src, op.k);
      code.op(WASM_ALU[op.alu]);
      return e.set("a");
    case "divisor":
      e.get("x");
      code.op("i32.eqz");
      return e.fail();
    case "neg":
      code.constant(0);
      e.get("a");
      code.op("i32.sub");
      return e.set("a");
    case "move":
      e.get(op.dst === "a" ? "x" : "a");
      return e.set(op.dst);
  }
}

/** Loads from the address on the stack + k; WebAssembly reads the low byte first. */
function load(e: Emitter, size: 1 | 2 | 4, k: number, order: Order): void {
  const at = e.variant.packets + k;
  e.code.memory(size === 1 ? "i32.load8_u" : size === 2 ? "i32.load16_u" : "i32.load", at);
  if (order === "host") e.swap(size);
  if (order === "spread") spread(e);
}

/** From memory order of two bytes. */
function spread({ code }: Emitter): void {
  code.constant(24);
  code.op("i32.rotl");
}

/** X = 4 * (the value on the stack & 15). */
function setHeaderLength(e: Emitter): void {
  e.code.constant(15);
  e.code.op("i32.and");
  e.code.constant(2);
  e.code.op("i32.shl");
  e.set("x");
}

function loadIndex(e: Emitter, op: Op & { op: "load-index" }) {
  const { code } = e;
  if (op.near) {
    // X + k stays below 2^31, so the sum with the size does not wrap
    e.get("x");
    code.constant(op.k + op.size);
    code.op("i32.add");
    e.get("len");
    code.op("i32.gt_u");
    e.fail();
    e.get("ptr");
    e.get("x");
    code.op("i32.add");
    load(e, op.size, op.k, op.order);
    return e.set("a");
  }
  e.get("x");
  code.constant(op.k);
  code.op("i32.add");
  e.set("offset");
  isInside(e, op);
  code.open("if");
  e.get("ptr");
  e.get("offset");
  code.op("i32.add");
  load(e, op.size, 0, op.order);
  e.set("a");
  code.op("else");
  far(e, () => e.get("offset"), op.size);
  if (op.order !== "host") e.swap(op.size);
  if (op.order === "spread") spread(e);
  e.set("a");
  code.close();
}

/** 1 when `offset..offset + size` is captured; a captured length is below 2^31. */
function isInside(e: Emitter, { size, enough }: Op & { op: "load-index" }): void {
  const { code } = e;
  e.get("offset");
  e.get("len");
  code.constant(size);
  code.op("i32.sub");
  code.op("i32.le_u");
  if (enough) return;
  e.get("len");
  code.constant(size);
  code.op("i32.ge_u");
  code.op("i32.and");
}

function far(e: Emitter, offset: () => void, size: number): void {
  const { code } = e;
  e.packet();
  offset();
  code.constant(size);
  e.call("far");
  e.tee("slow");
  code.f64(0);
  code.op("f64.lt");
  e.fail();
  e.get("slow");
  code.op("i32.trunc_sat_f64_u");
}

function device(e: Emitter, field: "ifindex" | "hatype") {
  const { code } = e;
  e.get("meta");
  code.memory("i32.load", METADATA.ifindex);
  code.op("i32.eqz");
  code.open("if");
  e.finish("a");
  code.branch("br", e.done);
  code.close();
  e.get("meta");
  code.memory("i32.load", METADATA[field]);
  e.set("a");
}

function extension(e: Emitter, number: number): void {
  const { code } = e;
  e.packet();
  code.constant(number);
  e.get("a");
  e.get("x");
  e.call("extension");
  e.tee("slow");
  code.f64(0);
  code.op("f64.lt");
  code.op("i32.eqz");
  code.open("if");
  e.get("slow");
  code.op("i32.trunc_sat_f64_u");
  e.finish("stack");
  code.branch("br", e.done);
  code.close();
  for (const register of ["a", "x"] as const) {
    e.call(register);
    e.set(register);
  }
}
