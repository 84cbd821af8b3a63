/**
 * Leaves loaded bytes as they lie in memory where nobody minds.
 *
 * A load from a packet is big-endian and the machine is not.  Instead of swapping every loaded value, the constants
 * that it is compared and masked with are swapped once, here.  That is sound for a web of definitions of A, that is
 * definitions that share a use, when all of them are loads of one size, and every use is `jeq #k`, `jset #k` or a
 * bitwise operation with a constant.  Where uses are `jgt #k` and `jge #k` too, 16-bit loads are spread, which keeps
 * both their order and their bits; for 32 bits there is nothing cheaper than to swap them.
 */
import type { AluOp } from "../isa/semantics.ts";
import { type Block, endingReadsA, type Op, type Order, successors } from "./ir.ts";

/** Operations with a constant that work bit by bit, and so in any byte order. */
const BITWISE: ReadonlySet<AluOp> = new Set<AluOp>(["and", "or", "xor"]);

export function foldByteOrder(blocks: readonly Block[]): void {
  const webs = new Webs(blocks.length);
  const live = liveA(blocks);
  const webAt: number[][] = []; // the web of A in front of each operation, and of the ending
  blocks.forEach(({ ops, ending }, number) => {
    let current = number; // webs 0..n-1 are A at the entry of each block
    const at: number[] = [];
    for (const op of ops) {
      at.push(current);
      current = webs.step(op, current);
    }
    at.push(current);
    webAt.push(at);
    if (ending.end === "return" && ending.value === "a") webs.spoil(current);
    if (ending.end === "branch" && ending.test.test === "compare") {
      const { src, cond, k } = ending.test;
      if (src === "x") webs.spoil(current);
      else webs.fits(current, k);
      if (cond === "gt" || cond === "ge") webs.ranks(current);
    }
    for (const to of successors(ending)) if (live[to]) webs.join(current, to);
  });
  blocks.forEach(({ ops, ending }, number) => {
    const at = webAt[number]!;
    ops.forEach((op, i) => {
      const { size, order } = webs.form(at[i + 1]!);
      if (order === "host") return;
      if (op.op === "load" || op.op === "load-index") op.order = order;
      else if (op.op === "constant" && op.dst === "a") op.value = ordered(op.value, size, order);
      else if (op.op === "alu") op.k = ordered(op.k, size, order);
    });
    const { size, order } = webs.form(at[ops.length]!);
    if (ending.end === "branch" && ending.test.test === "compare") {
      ending.test.k = ordered(ending.test.k, size, order);
    }
  });
}

/** What is in A when a load of `size` bytes in this order finds a value; of a constant, the bits that it can find. */
export function ordered(value: number, size: 1 | 2 | 4, order: Order): number {
  if (size === 1 || order === "host") return value;
  return order === "memory" ? swap(value, size) : (((value & 0xff00) << 16) | (value & 0xff)) >>> 0;
}

/** The other way: what lies in A in this order, as it lies in memory. */
export function inMemory(value: number, size: 2 | 4, order: Order): number {
  if (order === "spread") return (value << 8) | (value >>> 24);
  return order === "memory" ? value : swap(value, size);
}

/** A u16 or u32 with its bytes reversed. */
function swap(value: number, size: 2 | 4): number {
  if (size === 2) return ((value & 0xff) << 8) | ((value >>> 8) & 0xff);
  return (((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}

/** For each block: may A be read there before it is written?  Edges lead forward, so one pass backward settles it. */
export function liveA(blocks: readonly Block[]): boolean[] {
  const live = blocks.map(() => false);
  for (let number = blocks.length - 1; number >= 0; number--) {
    const { ops, ending } = blocks[number]!;
    let here = endingReadsA(ending) || successors(ending).some((to) => live[to]);
    for (let i = ops.length - 1; i >= 0; i--) {
      const { reads, writes } = effectOnA(ops[i]!);
      here = reads || (here && !writes);
    }
    live[number] = here;
  }
  return live;
}

function effectOnA(op: Op): { reads: boolean; writes: boolean } {
  switch (op.op) {
    case "constant":
    case "length":
    case "load-cell":
    case "far":
      return { reads: false, writes: op.dst === "a" };
    case "load":
    case "load-index":
    case "field":
      return { reads: false, writes: true };
    case "move":
      return { reads: op.dst === "x", writes: op.dst === "a" };
    case "store-cell":
      return { reads: op.src === "a", writes: false };
    case "alu":
    case "neg":
    case "ancillary":
    case "device":
    case "extension":
      return { reads: true, writes: true };
    case "check":
    case "msh":
    case "divisor":
      return { reads: false, writes: false };
  }
}

/** Sets of definitions of A that share uses, joined as they are found. */
class Webs {
  readonly #parent: number[];
  /** Size of the loads in a web; 0 none yet, -1 the web keeps host order. */
  readonly #size: number[];
  /** True when values of the web are asked for greater or less. */
  readonly #ranked: boolean[];
  /** Largest constant that a web must be able to hold. */
  readonly #constant: number[];

  constructor(count: number) {
    this.#parent = Array.from({ length: count }, (_, i) => i);
    this.#size = new Array<number>(count).fill(0);
    this.#ranked = new Array<boolean>(count).fill(false);
    this.#constant = new Array<number>(count).fill(0);
  }

  /** The web of A behind an operation, given the one in front. */
  step(op: Op, current: number): number {
    const { reads, writes } = effectOnA(op);
    if (op.op === "alu" && op.src === "k" && BITWISE.has(op.alu)) {
      // `and` may name bits that a 16-bit value does not have; the others would set them
      if (op.alu !== "and") this.fits(current, op.k);
      return current;
    }
    if (reads) this.spoil(current);
    if (!writes) return current;
    if (op.op === "load" || op.op === "load-index") return this.#new(op.size === 1 ? -1 : op.size);
    if (op.op !== "constant") return this.#new(-1);
    const web = this.#new(0);
    this.fits(web, op.value);
    return web;
  }

  spoil(web: number): void {
    this.#size[this.#root(web)] = -1;
  }

  ranks(web: number): void {
    this.#ranked[this.#root(web)] = true;
  }

  /** Notes a constant that the web is tested against: beyond 16 bits it has no swapped form for 16-bit loads. */
  fits(web: number, constant: number): void {
    const root = this.#root(web);
    this.#constant[root] = Math.max(this.#constant[root]!, constant);
  }

  join(a: number, b: number): void {
    const [from, to] = [this.#root(a), this.#root(b)];
    if (from === to) return;
    const [s, t] = [this.#size[from]!, this.#size[to]!];
    this.#parent[from] = to;
    this.#size[to] = s === t || s === 0 ? t : t === 0 ? s : -1;
    this.#ranked[to] ||= this.#ranked[from]!;
    this.#constant[to] = Math.max(this.#constant[from]!, this.#constant[to]!);
  }

  /** How the web's values lie in A, and the size of the loads in it. */
  form(web: number): { readonly size: 2 | 4; readonly order: Order } {
    const root = this.#root(web);
    const ranked = this.#ranked[root]!;
    if (this.#size[root] === 4) return { size: 4, order: ranked ? "host" : "memory" };
    const fits = this.#size[root] === 2 && this.#constant[root]! <= 0xffff;
    return { size: 2, order: !fits ? "host" : ranked ? "spread" : "memory" };
  }

  #new(size: number): number {
    this.#size.push(size);
    this.#ranked.push(false);
    this.#constant.push(0);
    return this.#parent.push(this.#parent.length) - 1;
  }

  #root(web: number): number {
    let at = web;
    while (this.#parent[at] !== at) {
      this.#parent[at] = this.#parent[this.#parent[at]!]!;
      at = this.#parent[at]!;
    }
    return at;
  }
}
