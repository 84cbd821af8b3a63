/**
 * Optimizing: lift a program, rewrite its decision graph, emit it again, keep the best.
 *
 * Several tracks of passes are tried, and within a track a pass whose result costs more is undone.  The result is
 * never worse than the input by the goal's measure; where nothing is better it is the input itself.
 */
import { BpfError } from "../base/errors.ts";
import type { Span } from "../base/source-text.ts";
import { type InstructionSet, ISA } from "../isa/instruction-set.ts";
import { BPF_MAXINSNS } from "../isa/limits.ts";
import type { VerifiedProgram } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import { expectedSteps, scratchIsWritten } from "./cost.ts";
import { type Draft, draft, type Emitted, type Keeping, layOut, renames, worthKeeping } from "./emit.ts";
import { type Graph, type Node, type Semantics, topological } from "./graph.ts";
import { lift } from "./lift.ts";
import type { Pass } from "./pass.ts";
import { TRACKS } from "./tracks.ts";
import type { Value } from "./value.ts";

/**
 * What to make small.
 *   size      instructions
 *   speed     instructions executed, estimated without a profile; the program may grow
 *   balanced  instructions, and of equally short programs the one that executes fewer
 */
export type Goal = "size" | "speed" | "balanced";

export interface OptimizeOptions {
  /** The passes to run, in order, instead of the goal's own tracks. */
  readonly passes?: readonly Pass[];
  /** Default "balanced". */
  readonly goal?: Goal;
  /** Default "strict". */
  readonly semantics?: Semantics;
  /** Source spans of the instructions; the result then has spans too. */
  readonly spans?: readonly (Span | undefined)[];
  /** The instruction set of a plain list of instructions; a verified program brings its own. */
  readonly isa?: InstructionSet;
  /** Most decisions to lift; a program with more comes back unchanged.  Default 20,000. */
  readonly budget?: number;
}

/** What one pass did on the track that won. */
export interface PassReport {
  readonly pass: string;
  /** Instructions before and after it, if the graph had been emitted there. */
  readonly before: number;
  readonly after: number;
  /** False when its result cost more and was undone. */
  readonly kept: boolean;
}

export interface Optimized {
  readonly instructions: readonly Instruction[];
  readonly report: readonly PassReport[];
  /** Why the input came back as it was; undefined when it did not. */
  readonly unchanged: string | undefined;
  /** For each instruction the span of the one it came from; undefined when no spans were given. */
  readonly spans: readonly (Span | undefined)[] | undefined;
  /** The graph that was emitted; undefined when the input came back. */
  readonly graph: Graph | undefined;
}

/** Nodes above which only the cheap tracks run. */
const LARGE = 700;

/**
 * An equivalent program, smaller or shorter where one was found.
 *
 * With `semantics: "strict"` the verdict is the same 32-bit number on every packet and context, truncated packets
 * included.  With "libpcap" a load that does not matter for complete packets may be dropped or done later or earlier,
 * which changes verdicts only on packets that end inside what the program looks at.
 *
 * The result is not verified again here: `verify` is the caller's, and accepts the result whenever it accepted the
 * input under the "linux" profile.
 *
 * @throws {BpfError} `bad-argument` for an unknown goal or semantics.
 */
export function optimize(program: VerifiedProgram | readonly Instruction[], options: OptimizeOptions = {}): Optimized {
  const { goal = "balanced", semantics = "strict", spans, budget = 20_000 } = options;
  const input: readonly Instruction[] = "instructions" in program ? program.instructions : program;
  const isa = options.isa ?? ("instructions" in program ? program.isa : ISA);
  expectOneOf("goal", goal, ["size", "speed", "balanced"]);
  expectOneOf("semantics", semantics, ["strict", "libpcap"]);
  const unchanged = (reason: string): Optimized => ({
    instructions: input,
    report: [],
    unchanged: reason,
    spans,
    graph: undefined,
  });

  let best: Candidate | undefined;
  let refused: string | undefined;
  for (const joins of ["join", "split"] as const) {
    const lifted = lift(input, { joins, semantics, budget: joins === "split" ? Math.min(budget, 4000) : budget, isa });
    if ("refused" in lifted) {
      refused ??= lifted.refused;
      continue;
    }
    const large = topological(lifted.graph.root).length > LARGE;
    const tracks =
      options.passes === undefined ? TRACKS[goal].filter((t) => !large || t.large) : [{ passes: options.passes }];
    const bench = new Workbench(goal);
    const limit = HOPELESS * (best?.cost ?? Number.POSITIVE_INFINITY);
    for (const track of tracks) {
      const candidate = bench.run(lifted.graph, track.passes, input.length, limit);
      if (candidate !== undefined && (best === undefined || candidate.cost < best.cost)) best = candidate;
    }
    if (lifted.graph.root.params === 0) break; // no join differed: splitting gives the same graph
  }
  if (best === undefined) return unchanged(refused ?? "scratch memory does not suffice");
  const own = costOf(input, goal);
  if (best.cost >= own) return unchanged("nothing smaller was found");
  const { instructions, origins } = best.emitted;
  return {
    instructions,
    report: best.report,
    unchanged: undefined,
    spans: spans === undefined ? undefined : origins.map((index) => spans[index]),
    graph: best.graph,
  };
}

interface Candidate {
  readonly graph: Graph;
  readonly emitted: Emitted;
  readonly cost: number;
  readonly report: readonly PassReport[];
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

/** How much more than the best of the lift before the first graph of a lift may cost for it to be followed. */
const HOPELESS = 1.5;
/** How much more than the best so far of its lift a graph may cost for scratch memory to be tried. */
const KEEPING = 1.3;
/** Values tried for scratch memory, those that could save most first. */
const MOST_KEPT = 4;

function costOf(instructions: readonly Instruction[], goal: Goal): number {
  return weighed(instructions.length, expectedSteps(instructions), goal);
}

function weighed(length: number, steps: number, goal: Goal): number {
  if (goal === "speed") return length > BPF_MAXINSNS ? Number.POSITIVE_INFINITY : steps + length / 2 ** 20;
  // Steps never reach 2^20, so they only decide between equal counts.
  return length + steps / 2 ** 20;
}

function expectOneOf(what: string, given: string, allowed: readonly string[]): void {
  if (allowed.includes(given)) return;
  throw new BpfError("bad-argument", `${what} ${JSON.stringify(given)} is none of ${allowed.join(", ")}`);
}
