/**
 * Lowers a verified program to the blocks that both printers read.
 *
 * The steps, in order: one block for each reachable basic block; empty blocks are jumped over and equal returns
 * become one; loaded bytes stay in memory order where no use minds; runs of equality tests become one lookup, and long
 * chains of them get a shortcut; bounds checks go where the dataflow needs them; a branch between two verdicts becomes
 * a decision.
 */
import { BpfError } from "../base/errors.ts";
import { ANCILLARY } from "../isa/ancillary.ts";
import { U32_MAX } from "../isa/limits.ts";
import type { Register } from "../isa/opcodes.ts";
import { controlFlow, targets } from "../program/cfg.ts";
import type { VerifiedProgram } from "../program/engine.ts";
import { placeChecks } from "./bounds.ts";
import { foldByteOrder } from "./byte-order.ts";
import { mergeEqualityTests } from "./equality-tests.ts";
import {
  type Block,
  type Comparison,
  type Ending,
  type ExtensionCall,
  type Lowered,
  type Op,
  redirect,
  successors,
} from "./ir.ts";
import { addShortcuts } from "./shortcuts.ts";
import { Tables } from "./tables.ts";

/**
 * @throws {BpfError} `unsupported` for a program with a backward jump, which only the "libpcap" profile loads: blocks
 *   with forward edges have no loop.
 */
export function lower(program: VerifiedProgram): Lowered {
  const extensions: ExtensionCall[] = [];
  let blocks = jumpOverEmptyBlocks(translate(program, extensions));
  foldByteOrder(blocks);
  const tables = new Tables();
  mergeEqualityTests(blocks, tables);
  blocks = addShortcuts(withoutUnreachable(blocks), tables);
  placeChecks(blocks);
  decideReturns(blocks);
  blocks = withoutUnreachable(blocks);
  const cells = new Set<number>();
  for (const { ops } of blocks) {
    for (const op of ops) if (op.op === "load-cell" || op.op === "store-cell") cells.add(op.cell);
  }
  return {
    blocks,
    instructions: program.instructions.length,
    constants: tables.constants(),
    extensions,
    cells: [...cells].sort((a, b) => a - b),
    clearsCells: program.profile !== "linux" || extensions.length > 0,
  };
}

/** One block a basic block; block numbers are those of the control-flow graph. */
function translate(program: VerifiedProgram, extensions: ExtensionCall[]): Block[] {
  const { instructions, isa } = program;
  const graph = controlFlow(instructions, isa);
  return graph.blocks.map(({ start, end, reachable }, number): Block => {
    const ops: Op[] = [];
    let ending: Ending = { end: "return", value: 0 };
    if (!reachable) return { start, ops, ending };
    for (let i = start; i < end; i++) translateOne(program, i, ops, extensions);
    const last = instructions[end - 1]!;
    const does = isa.known(last.code)?.does;
    const to = targets(last, end - 1, isa).map((t) => graph.blockOf[t]!);
    if (to.some((t) => t <= number)) {
      throw new BpfError("unsupported", `instruction ${end - 1}: compiled code has no backward jumps`, {
        index: end - 1,
      });
    }
    if (does?.kind === "return") ending = { end: "return", value: does.src === "a" ? "a" : last.k };
    else if (does?.kind === "branch") {
      ending = branch({ test: "compare", cond: does.cond, src: does.src, k: last.k }, to[0]!, to[1]!);
    } else ending = { end: "jump", to: to[0]! };
    return { start, ops, ending };
  });
}

/** A branch, or a jump where the answer is known. */
function branch(test: Comparison, yes: number, no: number): Ending {
  const { cond, src, k } = test;
  if (yes === no || (src === "k" && cond === "ge" && k === 0)) return { end: "jump", to: yes };
  if (src === "k" && ((cond === "gt" && k === U32_MAX) || (cond === "set" && k === 0))) return { end: "jump", to: no };
  return { end: "branch", test, yes, no };
}

/** Appends the operations of instruction `index`; jumps and returns have none. */
function translateOne({ instructions, isa }: VerifiedProgram, index: number, ops: Op[], calls: ExtensionCall[]): void {
  const instruction = instructions[index]!;
  const { code, k } = instruction;
  const row = isa.row(code);
  if (row === undefined) throw new Error(`internal: no row for code ${code}`);
  if ("run" in row) {
    ops.push({ op: "extension", number: calls.push({ run: row.run.bind(row), instruction }) - 1 });
    return;
  }
  const { does } = row;
  switch (does.kind) {
    case "imm":
      ops.push({ op: "constant", dst: does.dst, value: k });
      break;
    case "packet": {
      const custom = does.at === "abs" ? isa.ancillaryExtensions.get(k) : undefined;
      if (custom !== undefined) {
        const run: ExtensionCall["run"] = (state) => {
          state.a = custom.read(state);
          return undefined;
        };
        ops.push({ op: "extension", number: calls.push({ run, instruction }) - 1 });
      } else if (does.at === "ind") {
        ops.push({ op: "load-index", k, size: does.size, order: "host", near: false, enough: false });
      } else {
        ops.push(ancillary(k) ?? packetLoad(k, does.size, "a"));
      }
      break;
    }
    case "msh":
      ops.push(packetLoad(k, 1, "x"));
      break;
    case "length":
      ops.push({ op: "length", dst: does.dst });
      break;
    case "load-mem":
      ops.push({ op: "load-cell", dst: does.dst, cell: k });
      break;
    case "store-mem":
      ops.push({ op: "store-cell", src: does.src, cell: k });
      break;
    case "alu":
      if (does.src === "x" && (does.op === "div" || does.op === "mod")) ops.push({ op: "divisor" });
      ops.push({ op: "alu", alu: does.op, src: does.src, k });
      break;
    case "neg":
      ops.push({ op: "neg" });
      break;
    case "move":
      ops.push({ op: "move", dst: does.dst });
      break;
    case "jump":
    case "branch":
    case "return":
      break;
  }
}

function packetLoad(k: number, size: 1 | 2 | 4, dst: Register): Op {
  if (k >= 0x80000000) return { op: "far", k, size, dst };
  return dst === "x" ? { op: "msh", k } : { op: "load", k, size, order: "host" };
}

/** The kernel's ancillary load of an absolute k; undefined for an offset into the packet. */
function ancillary(k: number): Op | undefined {
  const number = ANCILLARY.findIndex((row) => row.k === k);
  if (number < 0) return undefined;
  const { does } = ANCILLARY[number]!;
  switch (does.kind) {
    case "field":
      return { op: "field", field: does.field };
    case "device":
      return { op: "device", field: does.field };
    case "xor-x":
      return { op: "alu", alu: "xor", src: "x", k: 0 };
    default:
      return { op: "ancillary", row: number };
  }
}

/** Edges to an empty block with one way out go there at once; equal constant returns become the last of them. */
function jumpOverEmptyBlocks(blocks: Block[]): Block[] {
  const lastReturn = new Map<number, number>();
  blocks.forEach(({ ops, ending }, number) => {
    if (ops.length === 0 && ending.end === "return" && ending.value !== "a") lastReturn.set(ending.value, number);
  });
  const goesTo = blocks.map((_block, number) => number);
  for (let number = blocks.length - 1; number >= 0; number--) {
    const { ops, ending } = blocks[number]!;
    redirect(ending, (to) => goesTo[to]!);
    if (ending.end === "branch" && ending.yes === ending.no) {
      blocks[number]!.ending = { end: "jump", to: ending.yes };
    }
    const now = blocks[number]!.ending;
    if (ops.length > 0) continue;
    if (now.end === "jump") goesTo[number] = now.to;
    else if (now.end === "return" && now.value !== "a") goesTo[number] = lastReturn.get(now.value)!;
  }
  return withoutUnreachable(blocks);
}

/** A branch between two constant returns becomes a decision, which the processor need not predict. */
function decideReturns(blocks: readonly Block[]): void {
  const verdictOf = (number: number): number | undefined => {
    const { ops, ending } = blocks[number]!;
    return ops.length === 0 && ending.end === "return" && ending.value !== "a" ? ending.value : undefined;
  };
  for (const block of blocks) {
    if (block.ending.end !== "branch") continue;
    const [yes, no] = [verdictOf(block.ending.yes), verdictOf(block.ending.no)];
    if (yes === undefined || no === undefined) continue;
    block.ending = yes === no ? { end: "return", value: yes } : { end: "decide", test: block.ending.test, yes, no };
  }
}

/** The blocks that the entry reaches, renumbered, in the same order. */
function withoutUnreachable(blocks: readonly Block[]): Block[] {
  const reached = blocks.map(() => false);
  reached[0] = true;
  blocks.forEach((block, number) => {
    if (reached[number]) for (const to of successors(block.ending)) reached[to] = true;
  });
  const renumbered: number[] = [];
  let count = 0;
  for (const isReached of reached) renumbered.push(isReached ? count++ : -1);
  const kept = blocks.filter((_block, number) => reached[number]);
  for (const { ending } of kept) redirect(ending, (to) => renumbered[to]!);
  return kept;
}
