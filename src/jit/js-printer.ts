/**
 * Prints blocks as JavaScript statements.
 *
 * A, X and M are int32 locals, because V8 keeps those unboxed; verdicts become u32 at the end.
 *
 * Names in the code: b bytes, q a view of them, o offset of the packet, n bytes captured, c context, w length on the
 * wire, a x m0..m15 the machine, y an indexed offset, f a slow result, T the tables, B their bytes, M scratch cells that
 * a user's code can see.
 */
import { BpfError } from "../base/errors.ts";
import type { Register } from "../isa/opcodes.ts";
import type { AluOp, Condition } from "../isa/semantics.ts";
import { layOut } from "./control-flow.ts";
import type { Block, Ending, Lowered, Op, Order, Test } from "./ir.ts";

/** Longest program, in instructions: V8's parser and optimiser slow down out of proportion beyond. */
const MOST_INSTRUCTIONS = 1500;
/** Most nested labels: the parser recurses, and must fit a small stack. */
const MOST_LABELS = 500;

/** `a op b` on int32 operands, as an int32. */
const JS_ALU = {
  add: (a, b) => `${a} + ${b} | 0`,
  sub: (a, b) => `${a} - ${b} | 0`,
  mul: (a, b) => `Math.imul(${a}, ${b})`,
  div: (a, b) => `(${a} >>> 0) / (${b} >>> 0) | 0`,
  mod: (a, b) => `(${a} >>> 0) % (${b} >>> 0) | 0`,
  or: (a, b) => `${a} | ${b}`,
  and: (a, b) => `${a} & ${b}`,
  xor: (a, b) => `${a} ^ ${b}`,
  lsh: (a, b) => `${a} << ${b}`,
  rsh: (a, b) => `${a} >>> ${b} | 0`,
} as const satisfies Record<AluOp, (a: string, b: string) => string>;

/** `a cond b`, and its opposite; for gt and ge the operands are printed unsigned, see {@link UNSIGNED}. */
const JS_CONDITION = {
  eq: [(a, b) => `${a} === ${b}`, (a, b) => `${a} !== ${b}`],
  gt: [(a, b) => `${a} > ${b}`, (a, b) => `${a} <= ${b}`],
  ge: [(a, b) => `${a} >= ${b}`, (a, b) => `${a} < ${b}`],
  set: [(a, b) => `(${a} & ${b}) !== 0`, (a, b) => `(${a} & ${b}) === 0`],
} as const satisfies Record<Condition, readonly [(a: string, b: string) => string, (a: string, b: string) => string]>;

const UNSIGNED: ReadonlySet<Condition> = new Set<Condition>(["gt", "ge"]);

/** The 32-bit word at an index, as an int32. */
export type Word = (at: string, order: Order) => string;

/** How the statements end the packet, and read it. */
interface Style {
  /** Ends it with a verdict, given as an expression. */
  finish(value: string): string;
  readonly word: Word;
}

/** Where a block begins: lines and characters in front of it. */
export interface Place {
  readonly line: number;
  readonly size: number;
}

/** Writes blocks as statements. */
export class Printer {
  /** Characters written. */
  size = 0;
  /** By block, where it begins: scopes that end in front of it are closed, and its own are not open. */
  readonly begins: Place[] = [];
  readonly #lowered: Lowered;
  readonly #style: Style;
  readonly #lines: string[] = [];
  #indent = "";

  constructor(lowered: Lowered, style: Style) {
    this.#lowered = lowered;
    this.#style = style;
  }

  /**
   * All blocks.
   *
   * @throws {BpfError} `unsupported` for a program beyond {@link MOST_INSTRUCTIONS} or {@link MOST_LABELS}.
   */
  print(indent: string): string[] {
    const { blocks, instructions } = this.#lowered;
    if (instructions > MOST_INSTRUCTIONS) {
      throw new BpfError(
        "unsupported",
        `${instructions} instructions are more than JavaScript code takes, ${MOST_INSTRUCTIONS}`,
      );
    }
    const steps = layOut(blocks, isReturn);
    const labels = steps.filter((step) => step.step === "open").length;
    if (labels > MOST_LABELS) {
      throw new BpfError("unsupported", `${labels} labels are more than JavaScript code nests, ${MOST_LABELS}`);
    }
    this.#indent = indent;
    let here: Place = { line: 0, size: 0 };
    for (const step of steps) {
      if (step.step === "open") {
        this.#line(`L${step.label}: {`);
        this.#indent += "  ";
        continue;
      }
      if (step.step === "close") {
        this.#indent = this.#indent.slice(2);
        this.#line("}");
      } else {
        this.begins[step.block] = here;
        const block = blocks[step.block]!;
        for (const op of block.ops) this.#op(op);
        this.#ending(block.ending, step.next);
      }
      here = { line: this.#lines.length, size: this.size };
    }
    return this.#lines;
  }

  /** The statement that ends the packet. */
  #finish(value: string): string {
    return this.#style.finish(value);
  }

  #line(text: string): void {
    this.#lines.push(this.#indent + text);
    this.size += text.length;
  }

  #nested(print: () => void): void {
    this.#indent += "  ";
    print();
    this.#indent = this.#indent.slice(2);
  }

  /** The cell's name: a local, or an element where a user's instruction may look. */
  #cell(cell: number): string {
    return this.#lowered.extensions.length > 0 ? `M[${cell}]` : `m${cell}`;
  }

  #op(op: Op) {
    switch (op.op) {
      case "constant":
        return this.#line(`${op.dst} = ${op.value | 0};`);
      case "check":
        return this.#line(`if (n < ${op.bytes}) ${this.#finish("0")}`);
      case "load":
        return this.#line(`a = ${this.#load("o", op.k, op.size, op.order)};`);
      case "msh":
        return this.#line(`x = (b[${plus("o", op.k)}] & 15) << 2;`);
      case "load-index":
        return this.#loadIndex(op);
      case "far":
        this.#far(`${op.k}`, op.size);
        return this.#line(op.dst === "a" ? "a = f | 0;" : "x = (f & 15) << 2;");
      case "length":
        return this.#line(`${op.dst} = w | 0;`);
      case "field":
        return this.#line(`a = c.${op.field} | 0;`);
      case "device":
        this.#line(`if (c.ifindex === 0) ${this.#finish("a >>> 0")}`);
        return this.#line(`a = c.${op.field} | 0;`);
      case "ancillary":
        return this.#line(`a = ancillary(${op.row}, b, o, n, c, a, x) | 0;`);
      case "extension":
        this.#line(`f = extension(${op.number}, b, o, n, c, a, x);`);
        this.#line(`if (f !== undefined) ${this.#finish("f >>> 0")}`);
        return this.#line("a = S.a | 0; x = S.x | 0;");
      case "load-cell":
        return this.#line(`${op.dst} = ${this.#cell(op.cell)};`);
      case "store-cell":
        return this.#line(`${this.#cell(op.cell)} = ${op.src};`);
      case "alu":
        return this.#line(`a = ${JS_ALU[op.alu]("a", operand(op.src, op.k))};`);
      case "divisor":
        return this.#line(`if (x === 0) ${this.#finish("0")}`);
      case "neg":
        return this.#line("a = -a | 0;");
      case "move":
        return this.#line(op.dst === "a" ? "a = x;" : "x = a;");
    }
  }

  #loadIndex(op: Op & { op: "load-index" }) {
    this.#line(op.k === 0 ? "y = x;" : `y = x + ${op.k | 0} | 0;`);
    const value = this.#load("o + y", 0, op.size, op.order);
    if (op.near) {
      this.#line(`if (y > n - ${op.size}) ${this.#finish("0")}`);
      this.#line(`a = ${value};`);
      return;
    }
    this.#line(`if (y >= 0 && y <= n - ${op.size}) a = ${value};`);
    this.#line("else {");
    this.#nested(() => {
      this.#far("y >>> 0", op.size);
      this.#line(`a = ${reordered("f", op.size, op.order)};`);
    });
    this.#line("}");
  }

  #load(at: string, k: number, size: 1 | 2 | 4, order: Order): string {
    return size === 4 ? this.#style.word(plus(at, k), order) : bytesAt(at, k, size, order);
  }

  #far(offset: string, size: number): void {
    this.#line(`f = far(b, o, n, c, ${offset}, ${size});`);
    this.#line(`if (f < 0) ${this.#finish("0")}`);
  }

  #ending(ending: Ending, next: number) {
    switch (ending.end) {
      case "return":
        return this.#line(this.#finish(verdict(ending.value)));
      case "jump":
        return this.#jump(ending.to, next);
      case "branch": {
        const { yes, no } = ending;
        const [holds, fails] = testOf(ending.test);
        if (yes === next) return this.#line(`if (${fails}) ${this.#goto(no)}`);
        this.#line(`if (${holds}) ${this.#goto(yes)}`);
        return this.#jump(no, next);
      }
      case "decide":
        this.#line(`if (${testOf(ending.test)[0]}) ${this.#finish(verdict(ending.yes))}`);
        return this.#line(this.#finish(verdict(ending.no)));
      case "search":
        this.#search(ending.cases, 0, ending.cases.length);
        return this.#jump(ending.no, next);
    }
  }

  /** Compares down to three keys, then one by one; falls out of the bottom when no key is A. */
  #search(cases: (Ending & { end: "search" })["cases"], from: number, to: number): void {
    if (to - from <= 3) {
      for (const { key, to: goal } of cases.slice(from, to)) this.#line(`if (a === ${key | 0}) ${this.#goto(goal)}`);
      return;
    }
    const middle = (from + to) >>> 1;
    this.#line(`if (a >>> 0 < ${cases[middle]!.key}) {`);
    this.#nested(() => this.#search(cases, from, middle));
    this.#line("} else {");
    this.#nested(() => this.#search(cases, middle, to));
    this.#line("}");
  }

  #jump(to: number, next: number) {
    if (to !== next) this.#line(this.#goto(to));
  }

  #goto(to: number): string {
    const { ops, ending } = this.#lowered.blocks[to]!;
    if (ops.length === 0 && ending.end === "return") return this.#finish(verdict(ending.value));
    return `break L${to};`;
  }
}

/** A test, and its opposite. */
function testOf(test: Test): readonly [holds: string, fails: string] {
  switch (test.test) {
    case "compare": {
      const [holds, fails] = JS_CONDITION[test.cond];
      const unsigned = UNSIGNED.has(test.cond);
      const a = unsigned ? "a >>> 0" : "a";
      const b = !unsigned ? operand(test.src, test.k) : test.src === "x" ? "x >>> 0" : `${test.k}`;
      return [holds(a, b), fails(a, b)];
    }
    case "probe": {
      const { multiplier, shift, at } = test.table;
      const slot = `T[${at === 0 ? "" : `${at} + `}(Math.imul(a, ${multiplier | 0}) >>> ${shift})]`;
      return [`${slot} === a`, `${slot} !== a`];
    }
    case "sieve": {
      const found = test.places.map(({ k, mask, sieve }) => {
        const index = `b[${plus("o", k)}] | (b[${plus("o", k + 1)}] & ${mask >>> 8}) << 8`;
        return `B[${plus(`(${index})`, 4 * sieve.at)}]`;
      });
      const any = `(${found.join(" | ")})`;
      return [`${any} !== 0`, `${any} === 0`];
    }
    case "captured":
      return [`n >= ${test.bytes}`, `n < ${test.bytes}`];
  }
}

/** Such a block is printed wherever somebody jumps to it. */
export function isReturn({ ops, ending }: Block): boolean {
  return ops.length === 0 && ending.end === "return";
}

function verdict(value: number | "a"): string {
  return value === "a" ? "a >>> 0" : `${value}`;
}

function operand(src: "k" | Register, k: number): string {
  return src === "k" ? `${k | 0}` : src;
}

function plus(base: string, k: number): string {
  return k === 0 ? base : `${base} + ${k}`;
}

/** The bytes of b at an index + k, as an int32 of this order. */
export function bytesAt(at: string, k: number, size: 1 | 2 | 4, order: Order): string {
  const bytes = Array.from({ length: size }, (_, i) => `b[${plus(at, k + i)}]`);
  if (order === "memory") bytes.reverse();
  const step = order === "spread" ? 24 : 8;
  return bytes.map((byte, i) => (i === size - 1 ? byte : `${byte} << ${step * (size - 1 - i)}`)).join(" | ");
}

/** A loaded value as an int32 of this order. */
function reordered(value: string, size: 1 | 2 | 4, order: Order): string {
  if (size === 1 || order === "host") return `${value} | 0`;
  if (order === "spread") return `(${value} & 65280) << 16 | ${value} & 255`;
  if (size === 2) return `(${value} & 255) << 8 | ${value} >>> 8`;
  return `${value} << 24 | (${value} & 65280) << 8 | ${value} >>> 8 & 65280 | ${value} >>> 24`;
}
