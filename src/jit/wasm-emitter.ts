/**
 * A WebAssembly function that is being printed: its code, and its locals by name.
 */
import type { Register } from "../isa/opcodes.ts";
import { FunctionBody } from "../wasm/encoder.ts";
import type { ValueType } from "../wasm/opcodes.ts";
import type { Lowered } from "./ir.ts";
import { type BATCH_PARAMETERS, type Import, importsOf, type RUN_PARAMETERS, type Variant } from "./wasm-interface.ts";

/** A local of a compiled function. */
export type Name =
  | (typeof RUN_PARAMETERS)[number]
  | (typeof BATCH_PARAMETERS)[number]
  | "verdict"
  | "matched"
  | "offset"
  | "hit"
  /** Address of the last table entry that a round can begin with. */
  | "last"
  | "slow"
  | Register
  | `m${number}`;

/** Declared where they are no parameters; V8 drops those that nothing uses. */
const OWN_LOCALS = ["verdict", "ptr", "len", "matched", "wire", "a", "x", "offset", "hit", "last"] as const;

export class Emitter {
  readonly lowered: Lowered;
  readonly variant: Variant;
  readonly imports: readonly Import[];
  readonly code: FunctionBody;
  /** Labels of the blocks that are jumped to. */
  readonly labels = new Map<number, number>();
  /** The label behind the body: whoever jumps there is done with the packet. */
  done = 0;
  readonly #locals = new Map<Name, number>();

  /** Types of the locals that are no parameters. */
  readonly locals: readonly ValueType[];

  constructor(lowered: Lowered, variant: Variant, parameters: readonly Name[]) {
    this.lowered = lowered;
    this.variant = variant;
    this.imports = importsOf(lowered);
    this.code = new FunctionBody(128 + 12 * lowered.instructions);
    for (const name of parameters) this.#locals.set(name, this.#locals.size);
    const ints: readonly Name[] = [...OWN_LOCALS.filter((name) => !this.#locals.has(name)), ...this.cells()];
    for (const name of ints) this.#locals.set(name, this.#locals.size);
    this.#locals.set("slow", this.#locals.size);
    this.locals = [...ints.map(() => "i32" as const), "f64"];
  }

  get(name: Name): void {
    this.code.index("local.get", this.#local(name));
  }

  set(name: Name): void {
    this.code.index("local.set", this.#local(name));
  }

  tee(name: Name): void {
    this.code.index("local.tee", this.#local(name));
  }

  #local(name: Name): number {
    const index = this.#locals.get(name);
    if (index === undefined) throw new Error(`internal: no local ${name}`);
    return index;
  }

  clear(names: readonly Name[]): void {
    for (const name of names) {
      this.code.constant(0);
      this.set(name);
    }
  }

  step(name: Name, by: Name | number): void {
    this.get(name);
    if (typeof by === "number") this.code.constant(by);
    else this.get(by);
    this.code.op("i32.add");
    this.set(name);
  }

  call(name: Import): void {
    this.code.index("call", this.imports.indexOf(name));
  }

  /** Scratch cells that are locals; a user's code finds them in memory instead. */
  cells(): Name[] {
    const { cells, extensions } = this.lowered;
    return extensions.length > 0 ? [] : cells.map((cell): Name => `m${cell}`);
  }

  operand(src: "k" | Register, k: number): void {
    if (src === "k") this.code.constant(k);
    else this.get(src);
  }

  /** Ends the packet with verdict 0 when the value on the stack is not 0. */
  fail(): void {
    this.code.branch("br_if", this.done);
  }

  /** Packet number, offset and length: what every import is told. */
  packet(): void {
    this.get("number");
    this.get("ptr");
    this.get("len");
  }

  swap(size: 1 | 2 | 4) {
    const code = this.code;
    if (size === 1) return;
    this.set("offset");
    if (size === 2) {
      this.get("offset");
      code.constant(8);
      code.op("i32.shr_u");
      this.get("offset");
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
      this.get("offset");
      code.constant(turn);
      code.op("i32.rotl");
      code.constant(mask);
      code.op("i32.and");
    }
    code.op("i32.or");
  }

  /** 1 when the verdict is not 0. */
  matches(): void {
    this.get("verdict");
    this.code.constant(0);
    this.code.op("i32.ne");
  }

  /** Makes A or what is on the stack the verdict. */
  finish(value: "a" | "stack"): void {
    if (value === "a") this.get("a");
    this.set("verdict");
    this.count(() => this.matches());
  }

  finishConstant(verdict: number): void {
    this.code.constant(verdict);
    this.set("verdict");
    this.count(() => this.code.constant(1));
  }

  /** Adds to the matches of a batch what is put on the stack. */
  count(put: () => void): void {
    if (this.variant.output === "run") return;
    this.get("matched");
    put();
    this.code.op("i32.add");
    this.set("matched");
  }
}
