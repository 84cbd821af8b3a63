/**
 * Places bounds checks: as few as the dataflow allows, and each for as much as is sure to be needed.
 *
 * Forward, a block knows the fewest captured bytes that every way to it has proved.  Backward, it knows how many
 * every way on to a verdict other than 0 will load: a packet shorter than that ends with verdict 0 either way, so one
 * early check stands for all.  Only what somebody else can see (a device exit, RANDOM, a user's instruction) may not
 * be skipped by failing early.  Upper bounds of A, X and M tell which indexed loads cannot wrap.
 */
import { ANCILLARY } from "../isa/ancillary.ts";
import { BPF_MEMWORDS, U32_MAX } from "../isa/limits.ts";
import { type Block, type Op, successors } from "./ir.ts";

export function placeChecks(blocks: readonly Block[]): void {
  markNearLoads(blocks);
  const needs = bytesNeeded(blocks);
  const proved = blocks.map(() => Number.POSITIVE_INFINITY);
  proved[0] = 0;
  blocks.forEach((block, number) => {
    let known = proved[number]!;
    const ops: Op[] = [];
    block.ops.forEach((op, i) => {
      const loads = bytesLoaded(op);
      if (op.op === "load-index") {
        op.enough = known >= op.size;
      } else if (loads > known) {
        const need = needs[number]![i]!;
        known = Number.isFinite(need) ? Math.max(loads, need) : loads;
        ops.push({ op: "check", bytes: known });
      }
      known = Math.max(known, loads);
      ops.push(op);
    });
    block.ops = ops;
    const { ending } = block;
    const asked = ending.end === "branch" && ending.test.test === "captured" ? ending.test.bytes : 0;
    if (ending.end === "branch" && asked > 0 && asked <= known) block.ending = { end: "jump", to: ending.yes };
    for (const to of successors(block.ending)) {
      const there = ending.end === "branch" && to === ending.yes ? Math.max(known, asked) : known;
      proved[to] = Math.min(proved[to]!, there);
    }
  });
}

/** Captured bytes that an operation needs for sure, 0 when it loads nothing at a known place. */
export function bytesLoaded(op: Op): number {
  if (op.op === "msh") return op.k + 1;
  if (op.op === "load") return op.k + op.size;
  return op.op === "load-index" && op.near ? op.k + op.size : 0;
}

/** For each operation: the captured bytes without which no way from there gives a verdict other than 0. */
function bytesNeeded(blocks: readonly Block[]): number[][] {
  const atEntry = blocks.map(() => 0);
  const out: number[][] = blocks.map(() => []);
  for (let number = blocks.length - 1; number >= 0; number--) {
    const { ops, ending } = blocks[number]!;
    let need = Math.min(...successors(ending).map((to) => atEntry[to]!));
    if (ending.end === "return") need = ending.value === 0 ? Number.POSITIVE_INFINITY : 0;
    const needs = new Array<number>(ops.length);
    for (let i = ops.length - 1; i >= 0; i--) {
      need = isSeenOutside(ops[i]!) ? 0 : Math.max(need, bytesLoaded(ops[i]!));
      needs[i] = need;
    }
    atEntry[number] = need;
    out[number] = needs;
  }
  return out;
}

/** True for what a packet that is too short later must still do. */
function isSeenOutside(op: Op): boolean {
  if (op.op === "device" || op.op === "extension") return true;
  return op.op === "ancillary" && ANCILLARY[op.row]!.does.kind === "random";
}

/** Upper bounds of A, X and M[0..15]. */
type Bounds = Float64Array;
const A = 0;
const X = 1;
const M = 2;

/** Marks the indexed loads whose X + k stays below 2^31. */
function markNearLoads(blocks: readonly Block[]): void {
  if (!blocks.some(({ ops }) => ops.some((op) => op.op === "load-index"))) return;
  const bounds = blocks.map((): Bounds => new Float64Array(M + BPF_MEMWORDS));
  blocks.forEach(({ ops, ending }, number) => {
    const b = bounds[number]!;
    for (const op of ops) {
      if (op.op === "load-index") op.near = b[X]! + op.k < 0x80000000;
      step(op, b);
    }
    for (const to of successors(ending)) {
      const there = bounds[to]!;
      for (let i = 0; i < there.length; i++) there[i] = Math.max(there[i]!, b[i]!);
    }
  });
}

function step(op: Op, b: Bounds): void {
  switch (op.op) {
    case "constant":
      b[op.dst === "a" ? A : X] = op.value;
      break;
    case "load":
    case "load-index":
      b[A] = 2 ** (8 * op.size) - 1;
      break;
    case "msh":
      b[X] = 60;
      break;
    case "far":
      b[op.dst === "a" ? A : X] = op.dst === "a" ? 2 ** (8 * op.size) - 1 : 60;
      break;
    case "length":
      b[op.dst === "a" ? A : X] = U32_MAX;
      break;
    case "field":
    case "device":
    case "ancillary":
    case "neg":
      b[A] = U32_MAX;
      break;
    case "extension":
      b.fill(U32_MAX);
      break;
    case "load-cell":
      b[op.dst === "a" ? A : X] = b[M + op.cell]!;
      break;
    case "store-cell":
      b[M + op.cell] = b[op.src === "a" ? A : X]!;
      break;
    case "alu":
      b[A] = aluBound(op, b);
      break;
    case "move":
      b[op.dst === "a" ? A : X] = b[op.dst === "a" ? X : A]!;
      break;
    case "check":
    case "divisor":
      break;
  }
}

function aluBound(op: Op & { op: "alu" }, b: Bounds): number {
  const a = b[A]!;
  const other = op.src === "k" ? op.k : b[X]!;
  const kept = (bound: number): number => Math.min(bound, U32_MAX);
  switch (op.alu) {
    case "and":
      return Math.min(a, other);
    case "add":
      return kept(a + other);
    case "mul":
      return kept(a * other);
    case "lsh":
      return op.src === "k" && op.k < 32 ? kept(a * 2 ** op.k) : U32_MAX;
    case "rsh":
      return op.src === "k" && op.k < 32 ? Math.floor(a / 2 ** op.k) : a;
    case "div":
    case "mod":
      return a;
    case "or":
    case "xor":
      return kept(2 ** Math.ceil(Math.log2(Math.max(a, other) + 1)) - 1);
    case "sub":
      return U32_MAX;
  }
}
