/**
 * The search for the best program: two ways to lift, several tracks of passes, and what to keep in scratch memory.
 *
 * Within a track a pass whose result costs more is undone.  What can not win any more is not followed.
 */
import type { InstructionSet } from "../isa/instruction-set.ts";
import { BPF_MAXINSNS } from "../isa/limits.ts";
import type { Instruction } from "../program/instruction.ts";
import { expectedSteps, scratchIsWritten } from "./cost.ts";
import { type Draft, draft, type Emitted, type Keeping, layOut, renames, worthKeeping } from "./emit.ts";
import { type Graph, type Node, type Semantics, topological } from "./graph.ts";
import { lift } from "./lift.ts";
import type { Goal, PassReport } from "./optimize.ts";
import type { Pass } from "./pass.ts";
import { TRACKS } from "./tracks.ts";
import type { Value } from "./value.ts";

/** Nodes above which only the cheap tracks run. */
const LARGE = 700;
/** States of the split lift: at first, and for each instruction of the best program so far. */
const SPLIT = { base: 64, each: 4, most: 4000 };
/** How much more than the best of the lift before the first graph of a lift may cost for it to be followed. */
const HOPELESS = 1.5;
/** How much more than the best so far of its lift a graph may cost for scratch memory to be tried. */
const KEEPING = 1.3;
/** Values tried for scratch memory, those that could save most first. */
const MOST_KEPT = 4;

export interface Candidate {
  readonly graph: Graph;
  readonly emitted: Emitted;
  readonly cost: number;
  readonly report: readonly PassReport[];
}

export interface SearchOptions {
  readonly passes: readonly Pass[] | undefined;
  readonly goal: Goal;
  readonly semantics: Semantics;
  readonly budget: number;
  readonly isa: InstructionSet;
}

/** The best that was found, and why a lift was refused. */
export function search(
  input: readonly Instruction[],
  { passes, goal, semantics, budget, isa }: SearchOptions,
): { readonly best: Candidate | undefined; readonly refused: string | undefined } {
  let best: Candidate | undefined;
  let refused: string | undefined;
  for (const joins of ["join", "split"] as const) {
    const { base, each, most } = SPLIT;
    const states = best === undefined ? most : Math.min(most, base + each * best.emitted.instructions.length);
    const lifted = lift(input, {
      joins,
      semantics,
      budget: joins === "split" ? Math.min(budget, states) : budget,
      isa,
    });
    if ("refused" in lifted) {
      refused ??= lifted.refused;
      continue;
    }
    const { graph } = lifted;
    const large = topological(graph.root).length > LARGE;
    const tracks = passes === undefined ? TRACKS[goal].filter((t) => !large || t.large) : [{ passes }];
    const bench = new Workbench(goal);
    const limit = HOPELESS * (best?.cost ?? Number.POSITIVE_INFINITY);
    for (const track of tracks) {
      const candidate = bench.run(graph, track.passes, input.length, limit);
      if (candidate !== undefined && (best === undefined || candidate.cost < best.cost)) best = candidate;
    }
    if (graph.root.params === 0) break; // no join differed: splitting gives the same graph
  }
  return { best, refused };
}

/** What a graph costs; `emitted` is undefined where the machine's memory does not suffice. */
interface Tried {
  readonly emitted: Emitted | undefined;
  readonly cost: number;
}

/** The tracks of one lift.  They often meet, so every pass runs once on a graph and every graph is emitted once. */
class Workbench {
  readonly #goal: Goal;
  readonly #passed = new Map<Pass, Map<Node, Graph>>();
  readonly #tried = new Map<Node, Tried>();
  #leader = Number.POSITIVE_INFINITY;

  constructor(goal: Goal) {
    this.#goal = goal;
  }

  /** Runs a track, undoing what does not pay; gives up where the first pass's graph costs more than `limit`. */
  run(start: Graph, passes: readonly Pass[], length: number, limit: number): Candidate | undefined {
    let graph = start;
    let emitted: Emitted | undefined;
    let cost = Number.POSITIVE_INFINITY;
    let size = length;
    const report: PassReport[] = [];
    for (const pass of passes) {
      const next = this.#pass(pass, graph);
      if (next.root === graph.root && emitted !== undefined) continue;
      const tried = this.#try(next);
      if (report.length === 0 && tried.cost > limit) return undefined;
      const kept = tried.cost <= cost;
      report.push({ pass: pass.name, before: size, after: tried.emitted?.instructions.length ?? size, kept });
      if (!kept) continue;
      graph = next;
      if (tried.emitted === undefined) continue;
      ({ cost, emitted } = tried);
      size = tried.emitted.instructions.length;
    }
    return emitted === undefined ? undefined : { graph, emitted, cost, report };
  }

  #pass(pass: Pass, graph: Graph): Graph {
    const results = this.#passed.get(pass) ?? new Map<Node, Graph>();
    this.#passed.set(pass, results);
    const result = results.get(graph.root) ?? pass.run(graph);
    results.set(graph.root, result);
    return result;
  }

  #try(graph: Graph): Tried {
    let tried = this.#tried.get(graph.root);
    if (tried === undefined) {
      const emitted = this.#emitBest(graph);
      tried = {
        emitted,
        cost: emitted === undefined ? Number.POSITIVE_INFINITY : costOf(emitted.instructions, this.#goal),
      };
      this.#tried.set(graph.root, tried);
      this.#leader = Math.min(this.#leader, tried.cost);
    }
    return tried;
  }

  /** Emits, and tries what is worth a cell of scratch memory. */
  #emitBest(graph: Graph): Emitted | undefined {
    let best: Emitted | undefined;
    let cost = Number.POSITIVE_INFINITY;
    let drawn: Draft | undefined;
    const improve = (keeping: Keeping): boolean => {
      const made = draft(graph, keeping);
      if (made === undefined || weighed(made.length, made.first.steps, this.#goal) >= cost) return false;
      const emitted = layOut(made);
      const next = costOf(emitted.instructions, this.#goal);
      if (next >= cost || !scratchIsWritten(emitted.instructions)) return false;
      best = emitted;
      cost = next;
      drawn = made;
      return true;
    };
    improve({ kept: [], shared: true });
    const shared = !(renames(graph) && improve({ kept: [], shared: false }));
    if (drawn === undefined || cost > KEEPING * this.#leader) return best;
    const kept: Value[] = [];
    for (const value of worthKeeping(drawn).slice(0, MOST_KEPT))
      if (improve({ kept: [...kept, value], shared })) kept.push(value);
    return best;
  }
}

/** By the goal's measure. */
export function costOf(instructions: readonly Instruction[], goal: Goal): number {
  return weighed(instructions.length, expectedSteps(instructions), goal);
}

function weighed(length: number, steps: number, goal: Goal): number {
  if (goal === "speed") return length > BPF_MAXINSNS ? Number.POSITIVE_INFINITY : steps + length / 2 ** 20;
  // Steps never reach 2^20, so they only decide between equal counts.
  return length + steps / 2 ** 20;
}
