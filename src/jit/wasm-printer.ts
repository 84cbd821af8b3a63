/**
 * Prints lowered programs as WebAssembly functions.
 *
 * The body of a program is the same in both functions.  It reads the packet at offset `ptr`, leaves through the outermost
 * label, and its verdict is in a local that starts as 0: every failed check is one branch.
 *   run    one packet whose offset, length and metadata are parameters
 *   batch  a loop over a table of packets with the body inline: calls between functions are not inlined by V8
 */
import type { Register } from "../isa/opcodes.ts";
import type { AluOp, Condition } from "../isa/semantics.ts";
import { METADATA } from "../program/arena.ts";
import { encodeModule, FunctionBody, type FunctionType } from "../wasm/encoder.ts";
import type { ValueType, WasmName } from "../wasm/opcodes.ts";
import { layOut } from "./control-flow.ts";
import type { Ending, Lowered, Op } from "./ir.ts";

/** What a batch writes: nothing, a u32 verdict a packet, bit i for a match, or the numbers of the matching packets. */
export type Output = "count" | "verdicts" | "bitmap" | "indices";

export interface Variant {
  /** One packet, or a batch with this output. */
  readonly output: Output | "run";
  /** The memory is a shared one. */
  readonly shared: boolean;
  /** Byte address of 16 scratch cells (for user code) and, behind them, the hash tables. */
  readonly workArea: number;
  /** Byte address that packet offsets count from: part of every load's constant. */
  readonly packets: number;
  /** Touches packets ahead of time: pays when they do not fit the caches. */
  readonly prefetch: boolean;
}

/** Bytes of scratch cells in front of the hash tables in a work area. */
export const CELL_BYTES = 64;
/** How many packets ahead a prefetching loop touches. */
const AHEAD = 8;

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

/** The instructions that turn two operands into true or false, and into the opposite. */
const WASM_CONDITION = {
  eq: [["i32.eq"], ["i32.ne"]],
  gt: [["i32.gt_u"], ["i32.le_u"]],
  ge: [["i32.ge_u"], ["i32.lt_u"]],
  set: [["i32.and"], ["i32.and", "i32.eqz"]],
} as const satisfies Record<Condition, readonly [readonly WasmName[], readonly WasmName[]]>;

/** Functions that the code imports.  They give a u32 or, for "failed" and "goes on", -1: 33 bits fit an f64. */
export const IMPORTS = Object.freeze({
  /** (packet number, offset, length, offset, size): a load through the shared slow path. */
  far: type(["i32", "i32", "i32", "i32", "i32"], ["f64"]),
  /** (packet number, offset, length, row, a, x): an ancillary value. */
  ancillary: type(["i32", "i32", "i32", "i32", "i32", "i32"], ["i32"]),
  /** (packet number, offset, length, number, a, x): a user's instruction. */
  extension: type(["i32", "i32", "i32", "i32", "i32", "i32"], ["f64"]),
  /** A and X behind a user's instruction. */
  a: type([], ["i32"]),
  x: type([], ["i32"]),
});
export type Import = keyof typeof IMPORTS;

function type(params: readonly ValueType[], results: readonly ValueType[]): FunctionType {
  return Object.freeze({ params, results });
}

/** Parameters of `run`, in order; all i32.  `meta` is the address of a metadata record. */
const RUN_PARAMETERS = ["ptr", "len", "wire", "meta", "number"] as const;
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

type Name =
  | (typeof RUN_PARAMETERS)[number]
  | (typeof BATCH_PARAMETERS)[number]
  | "verdict"
  | "matched"
  | "offset"
  | "slow"
  | Register
  | `m${number}`;

/** The imports that a program's code needs, in the order of their function numbers. */
export function importsOf({ blocks }: Lowered): Import[] {
  const needed = new Set<Import>();
  for (const { ops } of blocks) {
    for (const op of ops) {
      if (op.op === "far" || (op.op === "load-index" && !op.near)) needed.add("far");
      if (op.op === "ancillary") needed.add("ancillary");
      if (op.op === "extension") for (const name of ["extension", "a", "x"] as const) needed.add(name);
    }
  }
  return (Object.keys(IMPORTS) as Import[]).filter((name) => needed.has(name));
}

/** The module of one function, `run` or `batch`. */
export function printModule(lowered: Lowered, variant: Variant): Uint8Array {
  const imports = importsOf(lowered);
  const printer = new Printer(lowered, variant, imports);
  const name = variant.output === "run" ? "run" : "batch";
  const parameters: readonly Name[] = variant.output === "run" ? RUN_PARAMETERS : BATCH_PARAMETERS;
  const { body, locals } = variant.output === "run" ? printer.run(parameters) : printer.batch(parameters);
  return encodeModule({
    memory: { shared: variant.shared },
    imports: imports.map((i) => ({ name: i, type: IMPORTS[i] })),
    functions: [
      {
        name,
        type: type(
          parameters.map(() => "i32" as const),
          ["i32"],
        ),
        locals,
        body,
      },
    ],
  });
}

interface Printed {
  readonly body: FunctionBody;
  readonly locals: readonly ValueType[];
}

class Printer {
  readonly #lowered: Lowered;
  readonly #variant: Variant;
  readonly #imports: readonly Import[];
  readonly #code: FunctionBody;
  readonly #locals = new Map<Name, number>();
  /** Labels of the blocks that are jumped to. */
  readonly #labels = new Map<number, number>();
  #done = 0;

  constructor(lowered: Lowered, variant: Variant, imports: readonly Import[]) {
    this.#lowered = lowered;
    this.#variant = variant;
    this.#imports = imports;
    this.#code = new FunctionBody(128 + 12 * lowered.instructions);
  }

  run(parameters: readonly Name[]): Printed {
    const locals = this.#declare(parameters, ["verdict"]);
    this.#body();
    this.#get("verdict");
    return { body: this.#code, locals };
  }

  batch(parameters: readonly Name[]): Printed {
    const code = this.#code;
    const locals = this.#declare(parameters, ["verdict", "ptr", "len", "matched", "wire"]);
    const { output, prefetch } = this.#variant;
    const all = code.open("block");
    this.#get("table");
    this.#get("tableEnd");
    code.op("i32.ge_u");
    code.branch("br_if", all);
    const next = code.open("loop");
    this.#get("table");
    code.memory("i32.load", 0);
    this.#set("ptr");
    this.#get("table");
    code.memory("i32.load", 4);
    this.#set("len");
    if (prefetch) {
      this.#get("table");
      code.memory("i32.load", 8 * AHEAD);
      code.memory("i32.load8_u", this.#variant.packets);
      code.op("drop");
    }
    if (this.#uses("length")) {
      this.#get("lengths");
      code.memory("i32.load", 0);
      this.#set("wire");
    }
    this.#clear(["verdict", "a", "x", ...this.#cells()]);
    this.#body();
    this.#put(output);
    this.#step("table", 8);
    if (this.#imports.length > 0 || output === "bitmap" || output === "indices") this.#step("number", 1);
    if (this.#uses("length")) this.#step("lengths", "lengthStep");
    if (this.#uses("field") || this.#uses("device")) this.#step("meta", "metaStep");
    this.#get("table");
    this.#get("tableEnd");
    code.op("i32.lt_u");
    code.branch("br_if", next);
    code.close();
    code.close();
    this.#get("matched");
    return { body: code, locals };
  }

  /** Writes what a batch keeps of the verdict, and counts it. */
  #put(output: Output | "run"): void {
    const code = this.#code;
    if (output === "verdicts") {
      this.#get("out");
      this.#get("verdict");
      code.memory("i32.store", 0);
      this.#step("out", 4);
    }
    if (output === "indices") {
      // written for every packet, kept when it matches: no branch
      this.#get("out");
      this.#get("matched");
      code.constant(2);
      code.op("i32.shl");
      code.op("i32.add");
      this.#get("number");
      code.memory("i32.store", 0);
    }
    if (output === "bitmap") {
      for (const times of ["address", "value"]) {
        this.#get("out");
        this.#get("number");
        code.constant(3);
        code.op("i32.shr_u");
        code.op("i32.add");
        if (times === "value") code.memory("i32.load8_u", 0);
      }
      this.#matches();
      this.#get("number");
      code.constant(7);
      code.op("i32.and");
      code.op("i32.shl");
      code.op("i32.or");
      code.memory("i32.store8", 0);
    }
    this.#get("matched");
    this.#matches();
    code.op("i32.add");
    this.#set("matched");
  }

  /** 1 when the verdict is not 0. */
  #matches(): void {
    this.#get("verdict");
    this.#code.constant(0);
    this.#code.op("i32.ne");
  }

  #step(name: Name, by: Name | number): void {
    this.#get(name);
    if (typeof by === "number") this.#code.constant(by);
    else this.#get(by);
    this.#code.op("i32.add");
    this.#set(name);
  }

  #uses(kind: Op["op"]): boolean {
    return this.#lowered.blocks.some(({ ops }) => ops.some((op) => op.op === kind));
  }

  /** Scratch cells that are locals; a user's code finds them in memory instead. */
  #cells(): Name[] {
    const { cells, extensions } = this.#lowered;
    return extensions.length > 0 ? [] : cells.map((cell): Name => `m${cell}`);
  }

  #declare(parameters: readonly Name[], own: readonly Name[]): ValueType[] {
    for (const name of parameters) this.#locals.set(name, this.#locals.size);
    const ints: readonly Name[] = [...own, "a", "x", "offset", ...this.#cells()];
    for (const name of ints) this.#locals.set(name, this.#locals.size);
    this.#locals.set("slow", this.#locals.size);
    return [...ints.map(() => "i32" as const), "f64"];
  }

  #clear(names: readonly Name[]): void {
    for (const name of names) {
      this.#code.constant(0);
      this.#set(name);
    }
  }

  #get(name: Name): void {
    this.#code.index("local.get", this.#local(name));
  }
  #set(name: Name): void {
    this.#code.index("local.set", this.#local(name));
  }
  #tee(name: Name): void {
    this.#code.index("local.tee", this.#local(name));
  }
  #local(name: Name): number {
    const index = this.#locals.get(name);
    if (index === undefined) throw new Error(`internal: no local ${name}`);
    return index;
  }

  #call(name: Import): void {
    this.#code.index("call", this.#imports.indexOf(name));
  }

  // --- the body ---------------------------------------------------------------------------------------------------

  #body(): void {
    const code = this.#code;
    const { blocks, extensions } = this.#lowered;
    this.#done = code.open("block");
    if (extensions.length > 0) {
      code.constant(this.#variant.workArea);
      code.constant(0);
      code.constant(CELL_BYTES);
      code.memoryFill();
    }
    for (const step of layOut(blocks, () => false)) {
      if (step.step === "open") this.#labels.set(step.label, code.open("block"));
      else if (step.step === "close") code.close();
      else {
        const block = blocks[step.block]!;
        for (const op of block.ops) this.#op(op);
        this.#ending(block.ending, step.next);
      }
    }
    code.close();
  }

  #op(op: Op) {
    const code = this.#code;
    switch (op.op) {
      case "constant":
        code.constant(op.value);
        return this.#set(op.dst);
      case "check":
        this.#get("len");
        code.constant(op.bytes);
        code.op("i32.lt_u");
        return this.#fail();
      case "load":
        this.#get("ptr");
        this.#load(op.size, op.k, op.order);
        return this.#set("a");
      case "msh":
        this.#get("ptr");
        this.#load(1, op.k, "host");
        return this.#setHeaderLength();
      case "load-index":
        return this.#loadIndex(op);
      case "far":
        this.#far(() => code.constant(op.k), op.size);
        if (op.dst === "x") return this.#setHeaderLength();
        return this.#set("a");
      case "length":
        this.#get("wire");
        return this.#set(op.dst);
      case "field":
        this.#get("meta");
        code.memory("i32.load", METADATA[op.field]);
        return this.#set("a");
      case "device":
        return this.#device(op.field);
      case "ancillary":
        this.#packet();
        code.constant(op.row);
        this.#get("a");
        this.#get("x");
        this.#call("ancillary");
        return this.#set("a");
      case "extension":
        return this.#extension(op.number);
      case "load-cell":
        if (this.#lowered.extensions.length === 0) this.#get(`m${op.cell}`);
        else {
          code.constant(0);
          code.memory("i32.load", this.#variant.workArea + 4 * op.cell);
        }
        return this.#set(op.dst);
      case "store-cell":
        if (this.#lowered.extensions.length === 0) {
          this.#get(op.src);
          return this.#set(`m${op.cell}`);
        }
        code.constant(0);
        this.#get(op.src);
        return code.memory("i32.store", this.#variant.workArea + 4 * op.cell);
      case "alu":
        this.#get("a");
        this.#operand(op.src, op.k);
        code.op(WASM_ALU[op.alu]);
        return this.#set("a");
      case "divisor":
        this.#get("x");
        code.op("i32.eqz");
        return this.#fail();
      case "neg":
        code.constant(0);
        this.#get("a");
        code.op("i32.sub");
        return this.#set("a");
      case "move":
        this.#get(op.dst === "a" ? "x" : "a");
        return this.#set(op.dst);
    }
  }

  /** Ends the packet with verdict 0 when the value on the stack is not 0. */
  #fail(): void {
    this.#code.branch("br_if", this.#done);
  }

  /** X = 4 * (the value on the stack & 15). */
  #setHeaderLength(): void {
    this.#code.constant(15);
    this.#code.op("i32.and");
    this.#code.constant(2);
    this.#code.op("i32.shl");
    this.#set("x");
  }

  /** Loads from the address on the stack + k; WebAssembly reads the low byte first. */
  #load(size: 1 | 2 | 4, k: number, order: "host" | "memory"): void {
    const at = this.#variant.packets + k;
    this.#code.memory(size === 1 ? "i32.load8_u" : size === 2 ? "i32.load16_u" : "i32.load", at);
    if (order === "host") this.#swap(size);
  }

  #swap(size: 1 | 2 | 4) {
    const code = this.#code;
    if (size === 1) return;
    this.#set("offset");
    if (size === 2) {
      this.#get("offset");
      code.constant(8);
      code.op("i32.shr_u");
      this.#get("offset");
      code.constant(0xff);
      code.op("i32.and");
      code.constant(8);
      code.op("i32.shl");
      return code.op("i32.or");
    }
    for (const [turn, mask] of [
      [8, 0x00ff00ff],
      [24, 0xff00ff00],
    ] as const) {
      this.#get("offset");
      code.constant(turn);
      code.op("i32.rotl");
      code.constant(mask);
      code.op("i32.and");
    }
    code.op("i32.or");
  }

  #loadIndex(op: Op & { op: "load-index" }) {
    const code = this.#code;
    if (op.near) {
      // X + k stays below 2^31, so the sum with the size does not wrap
      this.#get("x");
      code.constant(op.k + op.size);
      code.op("i32.add");
      this.#get("len");
      code.op("i32.gt_u");
      this.#fail();
      this.#get("ptr");
      this.#get("x");
      code.op("i32.add");
      this.#load(op.size, op.k, op.order);
      return this.#set("a");
    }
    this.#get("x");
    code.constant(op.k);
    code.op("i32.add");
    this.#set("offset");
    this.#isInside(op);
    code.open("if");
    this.#get("ptr");
    this.#get("offset");
    code.op("i32.add");
    this.#load(op.size, 0, op.order);
    this.#set("a");
    code.op("else");
    this.#far(() => this.#get("offset"), op.size);
    if (op.order === "memory") this.#swap(op.size);
    this.#set("a");
    code.close();
  }

  /** 1 when `offset..offset + size` is captured; a captured length is below 2^31. */
  #isInside({ size, enough }: Op & { op: "load-index" }): void {
    const code = this.#code;
    this.#get("offset");
    this.#get("len");
    code.constant(size);
    code.op("i32.sub");
    code.op("i32.le_u");
    if (enough) return;
    this.#get("len");
    code.constant(size);
    code.op("i32.ge_u");
    code.op("i32.and");
  }

  /** Packet number, offset and length: what every import is told. */
  #packet(): void {
    this.#get("number");
    this.#get("ptr");
    this.#get("len");
  }

  #far(offset: () => void, size: number): void {
    const code = this.#code;
    this.#packet();
    offset();
    code.constant(size);
    this.#call("far");
    this.#tee("slow");
    code.f64(0);
    code.op("f64.lt");
    this.#fail();
    this.#get("slow");
    code.op("i32.trunc_sat_f64_u");
  }

  #device(field: "ifindex" | "hatype") {
    const code = this.#code;
    this.#get("meta");
    code.memory("i32.load", METADATA.ifindex);
    code.op("i32.eqz");
    code.open("if");
    this.#get("a");
    this.#set("verdict");
    code.branch("br", this.#done);
    code.close();
    this.#get("meta");
    code.memory("i32.load", METADATA[field]);
    this.#set("a");
  }

  #extension(number: number): void {
    const code = this.#code;
    this.#packet();
    code.constant(number);
    this.#get("a");
    this.#get("x");
    this.#call("extension");
    this.#tee("slow");
    code.f64(0);
    code.op("f64.lt");
    code.op("i32.eqz");
    code.open("if");
    this.#get("slow");
    code.op("i32.trunc_sat_f64_u");
    this.#set("verdict");
    code.branch("br", this.#done);
    code.close();
    for (const register of ["a", "x"] as const) {
      this.#call(register);
      this.#set(register);
    }
  }

  #operand(src: "k" | Register, k: number): void {
    if (src === "k") this.#code.constant(k);
    else this.#get(src);
  }

  // --- endings ----------------------------------------------------------------------------------------------------

  #ending(ending: Ending, next: number) {
    const code = this.#code;
    switch (ending.end) {
      case "return":
        if (ending.value !== 0) {
          if (ending.value === "a") this.#get("a");
          else code.constant(ending.value);
          this.#set("verdict");
        }
        if (next !== -1) code.branch("br", this.#done);
        return;
      case "jump":
        return this.#jump(ending.to, next);
      case "branch": {
        const [holds, fails] = WASM_CONDITION[ending.cond];
        const ops = ending.yes === next ? fails : holds;
        this.#get("a");
        this.#operand(ending.src, ending.k);
        for (const name of ops) code.op(name);
        return this.#branch(ending.yes, ending.no, next);
      }
      case "probe": {
        const { multiplier, shift, at } = ending.table;
        this.#get("a");
        code.constant(multiplier);
        code.op("i32.mul");
        code.constant(shift);
        code.op("i32.shr_u");
        code.constant(2);
        code.op("i32.shl");
        code.memory("i32.load", this.#variant.workArea + CELL_BYTES + 4 * at);
        this.#get("a");
        code.op(ending.yes === next ? "i32.ne" : "i32.eq");
        return this.#branch(ending.yes, ending.no, next);
      }
      case "search":
        this.#search(ending.cases, 0, ending.cases.length);
        return this.#jump(ending.no, next);
    }
  }

  /** Branches on the value on the stack, which says yes, or no when `yes` comes next. */
  #branch(yes: number, no: number, next: number) {
    if (yes === next) return this.#branchTo("br_if", no);
    this.#branchTo("br_if", yes);
    this.#jump(no, next);
  }

  /** Compares down to three keys, then one by one; falls out of the bottom when no key is A. */
  #search(cases: (Ending & { end: "search" })["cases"], from: number, to: number): void {
    const code = this.#code;
    if (to - from <= 3) {
      for (const { key, to: goal } of cases.slice(from, to)) {
        this.#get("a");
        code.constant(key);
        code.op("i32.eq");
        this.#branchTo("br_if", goal);
      }
      return;
    }
    const middle = (from + to) >>> 1;
    this.#get("a");
    code.constant(cases[middle]!.key);
    code.op("i32.lt_u");
    code.open("if");
    this.#search(cases, from, middle);
    code.op("else");
    this.#search(cases, middle, to);
    code.close();
  }

  #jump(to: number, next: number) {
    if (to !== next) this.#branchTo("br", to);
  }

  #branchTo(name: "br" | "br_if", to: number): void {
    const label = this.#labels.get(to);
    if (label === undefined) throw new Error(`internal: block ${to} has no label`);
    this.#code.branch(name, label);
  }
}
