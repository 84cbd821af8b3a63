/**
 * The search for the best program: two ways to lift, several tracks of passes, and what to keep in scratch memory.
 *
 * Within a track a pass whose result costs more is undone.  What can not win any more is not followed.
 */
import type { InstructionSet } from "../isa/instruction-set.ts";
import { BPF_MAXINSNS } from "../isa/limits.ts";
import type { Instruction } from "../program/instruction.ts";
import { expectedSteps, scratchIsWritten } from "./cost.ts";
import { type Draft, draft, type Emitted, type Keeping, layOut, plainDraft, renames } from "./emit.ts";
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
/** Values tried for scratch memory, those that could save most first. */
const MOST_KEPT = 4;
/** Instructions that cells of their own are taken to save parameters which could share. */
const SHARING_COSTS = 2;

/** Where a user wants no pass: lifting and emitting alone. */
const asLifted: Pass = { name: "lift", run: (graph) => graph };

export interface SearchOptions {
  readonly passes: readonly Pass[] | undefined;
  readonly goal: Goal;
  readonly semantics: Semantics;
  readonly budget: number;
  readonly isa: InstructionSet;
}

export interface Candidate {
  readonly graph: Graph;
  readonly emitted: Emitted;
  readonly cost: number;
  readonly report: readonly PassReport[];
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
    const limit = joins === "split" ? Math.min(budget, states) : budget;
    const lifted = lift(input, { joins, semantics, budget: limit, isa });
    if ("refused" in lifted) {
      refused ??= lifted.refused;
      continue;
    }
    const { graph } = lifted;
    const large = topological(graph.root).length > LARGE;
    const given = passes?.length === 0 ? [asLifted] : passes;
    const tracks = given === undefined ? TRACKS[goal].filter((t) => !large || t.large) : [{ passes: given }];
    const bench = new Workbench(goal);
    const hopeless = HOPELESS * (best?.cost ?? Number.POSITIVE_INFINITY);
    for (const track of tracks) bench.run(graph, track.passes, input.length, hopeless);
    best = bench.best(best);
    if (graph.root.params === 0) break; // no join differed: splitting gives the same graph
  }
  return { best, refused };
}

/** A graph with nothing but parameters in scratch memory, on the track that met it first. */
interface Tried extends Candidate {
  readonly keepable: Draft["keepable"];
}

/** The tracks of one lift.  They often meet, so every pass runs once on a graph and every graph is emitted once. */
class Workbench {
  readonly #goal: Goal;
  readonly #passed = new Map<Pass, Map<Node, Graph>>();
  /** Undefined where the machine's memory does not suffice. */
  readonly #tried = new Map<Node, Tried | undefined>();

  constructor(goal: Goal) {
    this.#goal = goal;
  }

  /** Runs a track, undoing what does not pay; gives up where the first pass's graph costs more than `hopeless`. */
  run(start: Graph, passes: readonly Pass[], length: number, hopeless: number): void {
    let graph = start;
    let current: Tried | undefined;
    let size = length;
    const report: PassReport[] = [];
    for (const pass of passes) {
      const next = this.#pass(pass, graph);
      if (next.root === graph.root && current !== undefined) continue;
      const tried = this.#try(next, pass.name, size, report);
      const after = tried?.emitted.instructions.length ?? size;
      const kept = current === undefined || (tried !== undefined && tried.cost <= current.cost);
      report.push({ pass: pass.name, before: size, after, kept });
      if (!kept) continue;
      if (current === undefined && tried !== undefined && tried.cost > hopeless) return;
      graph = next;
      current = tried;
      size = after;
    }
  }

  /** The best of all graphs, with what is worth a cell of scratch memory; `rival` where none is better. */
  best(rival: Candidate | undefined): Candidate | undefined {
    let best = rival;
    const found = [...this.#tried.values()].filter((tried) => tried !== undefined);
    for (const tried of found.sort((a, b) => a.cost - b.cost)) {
      const values = tried.keepable.slice(0, MOST_KEPT);
      const sharing = renames(tried.graph);
      const saving = values.reduce((sum, { saved }) => sum + saved, sharing ? SHARING_COSTS : 0);
      if (best !== undefined && tried.cost - saving >= best.cost) continue;
      let candidate: Candidate = tried;
      const improve = (keeping: Keeping): boolean => {
        const next = this.#kept(tried, keeping, candidate.cost);
        candidate = next ?? candidate;
        return next !== undefined;
      };
      const shared = !(sharing && improve({ kept: [], shared: false }));
      const kept: Value[] = [];
      for (const { value } of values) if (improve({ kept: [...kept, value], shared })) kept.push(value);
      if (best === undefined || candidate.cost < best.cost) best = candidate;
    }
    return best;
  }

  #pass(pass: Pass, graph: Graph): Graph {
    const results = this.#passed.get(pass) ?? new Map<Node, Graph>();
    this.#passed.set(pass, results);
    const result = results.get(graph.root) ?? pass.run(graph);
    results.set(graph.root, result);
    return result;
  }

  #try(graph: Graph, pass: string, before: number, report: readonly PassReport[]): Tried | undefined {
    if (this.#tried.has(graph.root)) return this.#tried.get(graph.root);
    const made = plainDraft(graph);
    const emitted = made && this.#emit(made);
    let tried: Tried | undefined;
    if (emitted !== undefined) {
      const { length } = emitted.instructions;
      const cost = costOf(emitted.instructions, this.#goal);
      tried = {
        graph,
        keepable: made!.keepable,
        emitted,
        cost,
        report: [...report, { pass, before, after: length, kept: true }],
      };
    }
    this.#tried.set(graph.root, tried);
    return tried;
  }

  /** The program with more in scratch memory, where it costs less than `limit`. */
  #kept({ graph, emitted, report }: Tried, keeping: Keeping, limit: number): Candidate | undefined {
    const made = draft(graph, keeping);
    if (made === undefined || weighed(made.length, made.first.steps, this.#goal) >= limit) return undefined;
    const better = this.#emit(made);
    if (better === undefined) return undefined;
    const cost = costOf(better.instructions, this.#goal);
    if (cost >= limit) return undefined;
    const [before, after] = [emitted.instructions.length, better.instructions.length];
    return { graph, emitted: better, cost, report: [...report, { pass: "scratch-memory", before, after, kept: true }] };
  }

  /** Lays a draft out; undefined where Linux would take a cell for unwritten. */
  #emit(made: Draft): Emitted | undefined {
    const emitted = layOut(made);
    return scratchIsWritten(emitted.instructions) ? emitted : undefined;
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
