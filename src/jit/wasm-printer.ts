/**
 * Prints lowered programs as WebAssembly functions.
 *
 * The body of a program is the same in both functions.  It reads the packet at offset `ptr`, leaves through the
 * outermost label, and its verdict is in a local that starts as 0: every failed check is one branch.
 *   run    one packet whose offset, length and metadata are parameters
 *   batch  a loop over a table of packets with the body inline: calls between functions are not inlined by V8
 */
import { encodeModule } from "../wasm/encoder.ts";
import { layOut } from "./control-flow.ts";
import type { Ending, Lowered, Op } from "./ir.ts";
import { Emitter } from "./wasm-emitter.ts";
import { printEnding } from "./wasm-endings.ts";
import {
  BATCH_PARAMETERS,
  CELL_BYTES,
  functionType,
  IMPORTS,
  type Output,
  RUN_PARAMETERS,
  type Variant,
} from "./wasm-interface.ts";
import { printOp } from "./wasm-ops.ts";

/** Most packets of a round: V8's check for interrupts, once a round, is a tenth of one packet of a short program. */
const MOST_A_ROUND = 4;
/** Most operations and endings of a round of several packets. */
const ROUND_SIZE = 192;

/** Bytes of a table entry: offset and length. */
const ENTRY = 8;

/** How many packets ahead a prefetching loop touches. */
const AHEAD = 8;

/** The module of one function, `run` or `batch`. */
export function printModule(lowered: Lowered, variant: Variant): Uint8Array {
  const [name, parameters, print] =
    variant.output === "run" ? (["run", RUN_PARAMETERS, run] as const) : (["batch", BATCH_PARAMETERS, batch] as const);
  const e = new Emitter(lowered, variant, parameters);
  print(e);
  const type = functionType(
    parameters.map(() => "i32" as const),
    ["i32"],
  );
  return encodeModule({
    memory: { shared: variant.shared },
    imports: e.imports.map((i) => ({ name: i, type: IMPORTS[i] })),
    functions: [{ name, type, locals: e.locals, body: e.code }],
  });
}

function run(e: Emitter): void {
  body(e);
  e.get("verdict");
}

function batch(e: Emitter): void {
  const size = e.lowered.blocks.reduce((sum, { ops, ending }) => sum + ops.length + length(ending), 0);
  const packets = Math.min(MOST_A_ROUND, Math.floor(ROUND_SIZE / size));
  if (packets > 1) rounds(e, packets);
  rounds(e, 1);
  e.get("matched");
}

/** In operations: a search compares with each of its keys. */
function length(ending: Ending): number {
  return ending.end === "search" ? ending.cases.length : 1;
}

/** Rounds of so many packets, while the table has them. */
function rounds(e: Emitter, packets: number): void {
  const { code } = e;
  e.get("tableEnd");
  code.constant(-ENTRY * packets);
  code.op("i32.add");
  e.set("last");
  const over = code.open("block");
  e.get("table");
  e.get("last");
  code.op("i32.gt_u");
  code.branch("br_if", over);
  const next = code.open("loop");
  for (let i = 0; i < packets; i++) packet(e, i);
  e.step("table", ENTRY * packets);
  if (e.variant.output === "verdicts") e.step("out", 4 * packets);
  e.get("table");
  e.get("last");
  code.op("i32.le_u");
  code.branch("br_if", next);
  code.close();
  code.close();
}

/** Packet i of a round. */
function packet(e: Emitter, i: number): void {
  const { code } = e;
  const { output, prefetch } = e.variant;
  e.get("table");
  code.memory("i32.load", ENTRY * i);
  e.set("ptr");
  e.get("table");
  code.memory("i32.load", ENTRY * i + 4);
  e.set("len");
  if (prefetch) touchAhead(e, i);
  if (uses(e, "length")) {
    e.get("lengths");
    code.memory("i32.load", 0);
    e.set("wire");
  }
  if (output === "indices") {
    // written for every packet in front of its verdict, kept when it matches: no branch
    e.get("out");
    e.get("matched");
    code.constant(2);
    code.op("i32.shl");
    code.op("i32.add");
    e.get("number");
    code.memory("i32.store", 0);
  }
  e.clear(["verdict", "a", "x", ...e.cells()]);
  body(e);
  put(e, output, i);
  if (e.imports.length > 0 || output === "bitmap" || output === "indices") e.step("number", 1);
  if (uses(e, "length")) e.step("lengths", "lengthStep");
  if (uses(e, "field") || uses(e, "device")) e.step("meta", "metaStep");
}

/** Reads a byte of a later packet, where there is one. */
function touchAhead(e: Emitter, i: number): void {
  const { code } = e;
  const ahead = ENTRY * (i + AHEAD);
  e.get("table");
  code.constant(ahead);
  code.op("i32.add");
  e.get("tableEnd");
  code.op("i32.lt_u");
  code.open("if");
  e.get("table");
  code.memory("i32.load", ahead);
  code.memory("i32.load8_u", e.variant.packets);
  code.op("drop");
  code.close();
}

/** Writes what a batch keeps of the verdict. */
function put(e: Emitter, output: Output | "run", i: number): void {
  const { code } = e;
  if (output === "verdicts") {
    e.get("out");
    e.get("verdict");
    code.memory("i32.store", 4 * i);
  }
  if (output === "bitmap") {
    for (const times of ["address", "value"]) {
      e.get("out");
      e.get("number");
      code.constant(3);
      code.op("i32.shr_u");
      code.op("i32.add");
      if (times === "value") code.memory("i32.load8_u", 0);
    }
    e.matches();
    e.get("number");
    code.constant(7);
    code.op("i32.and");
    code.op("i32.shl");
    code.op("i32.or");
    code.memory("i32.store8", 0);
  }
}

function uses(e: Emitter, kind: Op["op"]): boolean {
  return e.lowered.blocks.some(({ ops }) => ops.some((op) => op.op === kind));
}

function body(e: Emitter): void {
  const { code } = e;
  const { blocks, extensions } = e.lowered;
  e.done = code.open("block");
  if (extensions.length > 0) {
    code.constant(e.variant.workArea);
    code.constant(0);
    code.constant(CELL_BYTES);
    code.memoryFill();
  }
  for (const step of layOut(blocks, () => false)) {
    if (step.step === "open") e.labels.set(step.label, code.open("block"));
    else if (step.step === "close") code.close();
    else {
      const block = blocks[step.block]!;
      for (const op of block.ops) printOp(e, op);
      printEnding(e, block.ending, step.next);
    }
  }
  code.close();
}
