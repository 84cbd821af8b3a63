/**
 * Optimizing: lift a program, rewrite its decision graph, emit it again, keep the best (search.ts).
 *
 * The result is never worse than the input by the goal's measure; where nothing is better it is the input itself.
 */
import { BpfError } from "../base/errors.ts";
import type { Span } from "../base/source-text.ts";
import { type InstructionSet, ISA } from "../isa/instruction-set.ts";
import type { VerifiedProgram } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import type { Graph, Semantics } from "./graph.ts";
import type { Pass } from "./pass.ts";
import { costOf, search } from "./search.ts";

/**
 * What to make small.
 *   size      instructions
 *   speed     instructions executed, estimated without a profile; the program may grow
 *   balanced  instructions, and of equally short programs the one that executes fewer
 */
export type Goal = "size" | "speed" | "balanced";

export interface OptimizeOptions {
  /** The passes to run, in order, instead of the goal's own tracks; with none the program is only made anew. */
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

/**
 * An equivalent program, smaller or shorter where one was found.
 *
 * With `semantics: "strict"` the verdict is the same 32-bit number on every packet, truncated ones included, and in
 * every context whose ancillary values have no more bits than the kernel's.  With "libpcap" a load that does not matter
 * for complete packets may be dropped or done later or earlier, which changes verdicts only on packets that end inside
 * what the program looks at.
 *
 * The result is not verified again here: `verify` is the caller's, and accepts the result whenever it accepted the
 * input under the "linux" profile.  A list of instructions that could not run comes back unchanged.
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

  const { best, refused } = search(input, { passes: options.passes, goal, semantics, budget, isa });
  if (best === undefined) return unchanged(refused ?? "scratch memory does not suffice");
  if (best.cost >= costOf(input, goal)) return unchanged("nothing smaller was found");
  const { instructions, origins } = best.emitted;
  return {
    instructions,
    report: best.report,
    unchanged: undefined,
    spans: spans === undefined ? undefined : origins.map((index) => spans[index]),
    graph: best.graph,
  };
}

function expectOneOf(what: string, given: string, allowed: readonly string[]): void {
  if (allowed.includes(given)) return;
  throw new BpfError("bad-argument", `${what} ${JSON.stringify(given)} is none of ${allowed.join(", ")}`);
}
