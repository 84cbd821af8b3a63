/**
 * From the decision graph back to instructions.
 *
 * Nodes are placed in topological order (placement.ts).  Then, from the end, steps nobody needs are left out and equal
 * tails become one (tail.ts): that is a draft, and its cost is known.  Laying it out (layout.ts) gives the program.
 */
import { CODE } from "../isa/opcodes.ts";
import { type Instruction, stmt } from "../program/instruction.ts";
import { type Graph, type Node, successors, topological, valuesOf } from "./graph.ts";
import { layout } from "./layout.ts";
import { type Homes, isMove, type State, type Step, Unavailable } from "./machine.ts";
import { Placement } from "./placement.ts";
import { EVERY_PLACE, PLACE_A, PLACE_X, PLACES } from "./places.ts";
import { type Tail, Tails } from "./tail.ts";
import type { Value } from "./value.ts";

export interface Emitted {
  readonly instructions: readonly Instruction[];
  /** For each instruction the index of the one it came from, or -1. */
  readonly origins: readonly number[];
}

/** A program before it is laid out: jumps out of reach and jumps back together still cost instructions. */
export interface Draft {
  readonly first: Tail;
  /** Distinct instructions: the program has at least as many. */
  readonly length: number;
  readonly usesMemory: boolean;
  /** Values with the instructions that keeping each in memory could save at most, those that could save most first. */
  readonly keepable: readonly { readonly value: Value; readonly saved: number }[];
}

/** The program of a graph, or undefined where the machine's 16 cells and two registers do not suffice. */
export function emit(graph: Graph): Emitted | undefined {
  const made = plainDraft(graph);
  return made && layOut(made);
}

/** The draft with nothing but parameters in scratch memory. */
export function plainDraft(graph: Graph): Draft | undefined {
  return draft(graph, { kept: [], shared: true }) ?? draft(graph, { kept: [], shared: false });
}

export function layOut({ first, usesMemory }: Draft): Emitted {
  return layout(first, !usesMemory);
}

/** What goes into scratch memory, beside the parameters. */
export interface Keeping {
  /** Values stored when computed. */
  readonly kept: readonly Value[];
  /** Whether parameters that only rename each other share a cell. */
  readonly shared: boolean;
}

/** As {@link emit}, without the layout. */
export function draft(graph: Graph, keeping: Keeping): Draft | undefined {
  const order = topological(graph.root);
  // A call sees every cell, so what else is put into one has to go again: first try to do without.
  const calls = order.some((node) => node.kind === "call");
  for (const parameters of calls ? [false, true] : [true]) {
    const homes = assignHomes(order, keeping, parameters);
    if (homes === undefined) continue;
    try {
      return written(place(order, graph, homes, calls));
    } catch (reason) {
      if (!(reason instanceof Unavailable)) throw reason;
    }
  }
  return undefined;
}

/** True when parameters are given other parameters' values, and could share their cells. */
export function renames({ root }: Graph): boolean {
  return root.params !== 0 && topological(root).some((node) => node.kind === "let" && node.value.op === "param");
}

/** Placements of the nodes, in their order. */
function place(order: readonly Node[], { nodes }: Graph, homes: Homes, calls: boolean): Placement[] {
  const zero = [nodes.values.constant(0)];
  // Where calls see scratch memory, what it holds at the start has names; elsewhere nobody may read it.
  const cell = (place: number) => (calls ? [nodes.values.result(-1, place)] : []);
  const start: State = {
    places: Array.from({ length: PLACES }, (_, place) => (place < PLACE_A ? cell(place) : zero)),
    device: false,
  };
  const of: Placement[] = new Array(order[0]!.id + 1); // by id
  const placements: Placement[] = new Array(order.length);
  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i]!;
    placements[i] = new Placement(
      node,
      successors(node).map((next) => of[next.id]!),
    );
    of[node.id] = placements[i]!;
  }
  placements[0]!.arrive(undefined, 0, start);
  for (const placement of placements) {
    const state = placement.place(homes);
    for (let edge = 0; edge < placement.next.length; edge++) placement.next[edge]!.arrive(placement, edge, state);
  }
  return placements;
}

/** The instructions of the placed nodes as tails, from the end, without steps whose result no path reads. */
function written(placements: readonly Placement[]): Draft {
  const tails = new Tails();
  let usesMemory = false;
  for (const placement of placements.toReversed()) {
    const { node, steps, branch, next, enters } = placement;
    let live = 0;
    for (let edge = 0; edge < next.length; edge++) live |= next[edge]!.live[enters[edge]!]!;
    let tail: Tail;
    if (branch !== undefined) {
      live |= 1 << PLACE_A;
      if (branch.x !== undefined) live |= 1 << PLACE_X;
      const [first, second] = [next[0]!.tails[enters[0]!]!, next[1]!.tails[enters[1]!]!];
      const [yes, no] = branch.negated ? [second, first] : [first, second];
      tail = tails.branch(stmt(branch.code, branch.k), yes, no, node.origin);
    } else if (node.kind !== "return") {
      tail = next[0]!.tails[enters[0]!]!;
    } else if (node.value.op === "const") {
      tail = tails.plain(stmt(CODE.ret_k, node.value.k), undefined, node.origin);
    } else {
      live |= 1 << PLACE_A;
      tail = tails.plain(stmt(CODE.ret_a), undefined, node.origin);
    }
    placement.live = new Array(steps.length + 1);
    placement.tails = new Array(steps.length + 1);
    placement.live[steps.length] = live;
    placement.tails[steps.length] = tail;
    for (let at = steps.length - 1; at >= placement.entry; at--) {
      const { code, k, reads, writes, effect, call } = steps[at]!;
      if (code !== undefined) {
        const bits = call === undefined ? 1 << writes! : EVERY_PLACE;
        if ((live & bits) !== 0 || effect) {
          live &= ~bits;
          for (const place of reads) live |= 1 << place;
          tail = tails.plain(call?.instruction ?? stmt(code, k), tail, node.origin);
          usesMemory ||= isMemory(code);
        }
      }
      placement.live[at] = live;
      placement.tails[at] = tail;
    }
  }
  const root = placements[0]!;
  return { first: root.tails[root.entry]!, length: tails.count, usesMemory, keepable: keepable(placements) };
}

function keepable(placements: readonly Placement[]): Draft["keepable"] {
  const found = new Map<Value, { times: number; steps: number; fewest: number }>();
  for (const { steps } of placements) {
    for (const [at, step] of steps.entries()) {
      if (!canBeKept(step)) continue;
      const length = stepsBehind(steps, at);
      const entry = found.get(step.value!) ?? { times: 0, steps: 0, fewest: length };
      entry.times++;
      entry.steps += length;
      entry.fewest = Math.min(entry.fewest, length);
      found.set(step.value!, entry);
    }
  }
  return [...found]
    .map(([value, { times, steps, fewest }]) => {
      // One computation and a store stay, and a reload for each of the others.
      return { value, saved: steps - fewest - times };
    })
    .filter(({ saved }) => saved > 0)
    .sort((a, b) => b.saved - a.saved);
}

/** How many of the steps up to one were made for it. */
function stepsBehind(steps: readonly Step[], last: number): number {
  let wanted = 0;
  let count = 0;
  for (let at = last; at >= 0; at--) {
    const { code, reads, writes } = steps[at]!;
    if (code === undefined || (at !== last && (wanted & (1 << writes!)) === 0)) continue;
    wanted &= ~(1 << writes!);
    for (const place of reads) wanted |= 1 << place;
    count++;
  }
  return count;
}

function isMemory(code: number): boolean {
  return code === CODE.st || code === CODE.stx || code === CODE.ld_mem || code === CODE.ldx_mem;
}

/** True for results that a reload may get cheaper than a recomputation. */
function canBeKept({ value, code }: Step): boolean {
  if (value === undefined || code === undefined || isMove(code)) return false;
  if (value.op === "const" || value.op === "length" || value.op === "ancillary" || value.op === "result") return false;
  return value.op !== "load" || value.anchor !== undefined;
}

/** A cell for each kept value, and for each parameter and drawn number where these get any. */
function assignHomes(order: readonly Node[], { kept, shared }: Keeping, parameters: boolean): Homes | undefined {
  const cells = new Map<Value, number>();
  let free = 0;
  const used = new Set<Value>();
  const naming = parameters ? order : [];
  for (const node of naming) for (const value of valuesOf(node)) collectParams(value, used);
  for (const node of naming) {
    if (node.kind !== "let" || !used.has(node.param) || cells.has(node.param)) continue;
    const source = shared && node.value.op === "param" ? cells.get(node.value) : undefined;
    cells.set(node.param, source ?? free++);
  }
  for (const node of naming) if (node.kind === "draw") cells.set(node.value, free++);
  for (const value of kept) if (!cells.has(value)) cells.set(value, free++);
  return free > 16 ? undefined : { cells, free };
}

function collectParams(value: Value, found: Set<Value>): void {
  if (value.params === 0) return;
  if (value.op === "param") found.add(value);
  else if (value.op === "load") collectParams(value.anchor!, found);
  else if ("left" in value) {
    collectParams(value.left, found);
    collectParams(value.right, found);
  }
}
