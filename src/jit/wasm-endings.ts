/**
 * Prints the endings of blocks as WebAssembly: tests, jumps, verdicts.
 */
import type { Condition } from "../isa/semantics.ts";
import type { WasmName } from "../wasm/opcodes.ts";
import type { Ending, Test } from "./ir.ts";
import type { Emitter } from "./wasm-emitter.ts";
import { CELL_BYTES } from "./wasm-interface.ts";

/** The instructions that turn two operands into true or false, and into the opposite. */
const WASM_CONDITION = {
  eq: [["i32.eq"], ["i32.ne"]],
  gt: [["i32.gt_u"], ["i32.le_u"]],
  ge: [["i32.ge_u"], ["i32.lt_u"]],
  set: [["i32.and"], ["i32.and", "i32.eqz"]],
} as const satisfies Record<Condition, readonly [readonly WasmName[], readonly WasmName[]]>;

export function printEnding(e: Emitter, ending: Ending, next: number) {
  switch (ending.end) {
    case "return":
      if (ending.value === "a") e.finish("a");
      else if (ending.value !== 0) e.finishConstant(ending.value);
      return leave(e, next);
    case "jump":
      return jump(e, ending.to, next);
    case "branch": {
      const { test, yes, no } = ending;
      printTest(e, test, yes === next ? "fails" : "holds");
      if (yes === next) return branchTo(e, "br_if", no);
      branchTo(e, "br_if", yes);
      return jump(e, no, next);
    }
    case "decide":
      decide(e, ending);
      return leave(e, next);
    case "search":
      search(e, ending.cases, 0, ending.cases.length);
      return jump(e, ending.no, next);
  }
}

/** Puts a number on the stack that is 0 when the test does not turn out as said. */
function printTest(e: Emitter, test: Test, as: "holds" | "fails"): void {
  const { code } = e;
  switch (test.test) {
    case "compare":
      e.get("a");
      e.operand(test.src, test.k);
      for (const name of WASM_CONDITION[test.cond][as === "holds" ? 0 : 1]) code.op(name);
      return;
    case "probe": {
      const { multiplier, shift, at } = test.table;
      e.get("a");
      code.constant(multiplier);
      code.op("i32.mul");
      code.constant(shift);
      code.op("i32.shr_u");
      code.constant(2);
      code.op("i32.shl");
      code.memory("i32.load", e.variant.workArea + CELL_BYTES + 4 * at);
      e.get("a");
      code.op(as === "holds" ? "i32.eq" : "i32.ne");
      return;
    }
    case "sieve":
      test.places.forEach(({ k, mask, sieve }, i) => {
        e.get("ptr");
        code.memory("i32.load16_u", e.variant.packets + k);
        code.constant(mask);
        code.op("i32.and");
        code.memory("i32.load8_u", e.variant.workArea + CELL_BYTES + 4 * sieve.at);
        if (i > 0) code.op("i32.or");
      });
      if (as === "fails") code.op("i32.eqz");
      return;
    case "captured":
      e.get("len");
      code.constant(test.bytes);
      code.op(as === "holds" ? "i32.ge_u" : "i32.lt_u");
      return;
  }
}

/** One of two verdicts, without a jump: between one and 0 by a mask. */
function decide(e: Emitter, { test, yes, no }: Ending & { end: "decide" }): void {
  const { code } = e;
  if (yes !== 0 && no !== 0) {
    code.constant(yes);
    code.constant(no);
    printTest(e, test, "holds");
    code.op("select");
    e.set("verdict");
    e.count(() => code.constant(1));
    return;
  }
  printTest(e, test, no === 0 ? "holds" : "fails");
  if (test.test === "compare" && test.cond === "set" && no === 0) {
    code.constant(0);
    code.op("i32.ne");
  }
  e.set("hit");
  code.constant(0);
  e.get("hit");
  code.op("i32.sub");
  code.constant(yes | no);
  code.op("i32.and");
  e.set("verdict");
  e.count(() => e.get("hit"));
}

/** Leaves the body, where it does not end by itself. */
function leave(e: Emitter, next: number): void {
  if (next !== -1) e.code.branch("br", e.done);
}

/** Compares down to three keys, then one by one; falls out of the bottom when no key is A. */
function search(e: Emitter, cases: (Ending & { end: "search" })["cases"], from: number, to: number): void {
  const { code } = e;
  if (to - from <= 3) {
    for (const { key, to: goal } of cases.slice(from, to)) {
      e.get("a");
      code.constant(key);
      code.op("i32.eq");
      branchTo(e, "br_if", goal);
    }
    return;
  }
  const middle = (from + to) >>> 1;
  e.get("a");
  code.constant(cases[middle]!.key);
  code.op("i32.lt_u");
  code.open("if");
  search(e, cases, from, middle);
  code.op("else");
  search(e, cases, middle, to);
  code.close();
}

function jump(e: Emitter, to: number, next: number) {
  if (to !== next) branchTo(e, "br", to);
}

function branchTo(e: Emitter, name: "br" | "br_if", to: number): void {
  const label = e.labels.get(to);
  if (label === undefined) throw new Error(`internal: block ${to} has no label`);
  e.code.branch(name, label);
}
