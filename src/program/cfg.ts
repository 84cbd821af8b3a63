/**
 * The control-flow graph of a program: basic blocks in program order and the edges between them.
 *
 * A block is a run of instructions entered only at its first and left only at its last.  Unreachable code has
 * blocks too; `reachable` says which.  Any instruction list has a graph: targets outside the program and unknown
 * codes end a block without a successor.
 */
import { type InstructionSet, ISA } from "../isa/instruction-set.ts";
import type { Instruction } from "./instruction.ts";

/** An edge and why it is taken. */
export interface Edge {
  /** Index of the block it leads to. */
  readonly to: number;
  readonly when: "always" | "true" | "false";
}

export interface Block {
  /** Index of the first instruction. */
  readonly start: number;
  /** Index behind the last instruction. */
  readonly end: number;
  /** At most two, the true edge first. */
  readonly successors: readonly Edge[];
  /** Indices of the blocks that lead here, ascending. */
  readonly predecessors: readonly number[];
  readonly reachable: boolean;
}

export interface ControlFlowGraph {
  readonly blocks: readonly Block[];
  /** The block of each instruction. */
  readonly blockOf: readonly number[];
}

/** Where instruction `index` can go: instruction indices, the true target first; none for a return. */
export function targets(instruction: Instruction, index: number, isa: InstructionSet = ISA): readonly number[] {
  const does = isa.known(instruction.code)?.does;
  switch (does?.kind) {
    case "return":
      return [];
    case "jump":
      return [(index + 1 + instruction.k) % 0x1_0000_0000]; // libpcap lets the sum wrap; Linux refuses such a k
    case "branch":
      return [index + 1 + instruction.jt, index + 1 + instruction.jf];
    default:
      return [index + 1];
  }
}

/** Builds the graph in time linear in the program's length. */
export function controlFlow(instructions: readonly Instruction[], isa: InstructionSet = ISA): ControlFlowGraph {
  const n = instructions.length;
  const leads = instructions.map((insn, i) => targets(insn, i, isa));
  const starts = new Uint8Array(n + 1);
  starts[0] = 1;
  leads.forEach((to, i) => {
    if (to.length === 1 && to[0] === i + 1 && !isBranch(instructions[i]!, isa)) return;
    starts[i + 1] = 1;
    for (const t of to) if (t < n) starts[t] = 1;
  });
  const order: number[] = [];
  const blockOf: number[] = [];
  for (let i = 0; i < n; i++) {
    if (starts[i] === 1) order.push(i);
    blockOf.push(order.length - 1);
  }

  const successors = order.map((_start, b): Edge[] => {
    const last = (order[b + 1] ?? n) - 1;
    const branch = isBranch(instructions[last]!, isa);
    const edges: Edge[] = [];
    leads[last]!.forEach((t, side) => {
      if (t < n) edges.push({ to: blockOf[t]!, when: branch ? (side === 0 ? "true" : "false") : "always" });
    });
    return edges;
  });
  const predecessors = order.map((): number[] => []);
  successors.forEach((edges, b) => {
    for (const { to } of edges) if (predecessors[to]!.at(-1) !== b) predecessors[to]!.push(b);
  });
  const reachable = reach(successors);
  return {
    blockOf,
    blocks: order.map((start, b) => ({
      start,
      end: order[b + 1] ?? n,
      successors: successors[b]!,
      predecessors: predecessors[b]!,
      reachable: reachable[b]!,
    })),
  };
}

function isBranch(instruction: Instruction, isa: InstructionSet): boolean {
  return isa.known(instruction.code)?.does.kind === "branch";
}

function reach(successors: readonly (readonly Edge[])[]): boolean[] {
  const seen = successors.map(() => false);
  const stack = successors.length > 0 ? [0] : [];
  while (stack.length > 0) {
    const b = stack.pop()!;
    if (seen[b]) continue;
    seen[b] = true;
    for (const { to } of successors[b]!) stack.push(to);
  }
  return seen;
}
