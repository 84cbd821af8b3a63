/**
 * Which instructions and branches of a program a set of packets exercises.
 *
 * The runs come in as traces, step by step, so that this file needs no engine.
 */
import type { VerifiedProgram } from "../program/engine.ts";

/** What coverage reads of a trace's step. */
export interface CoveredStep {
  readonly index: number;
  readonly taken?: boolean;
  readonly end?: { readonly verdict: number; readonly reason: string };
}

export interface Coverage {
  /** Packets seen, and how many of them had a verdict other than 0. */
  readonly packets: number;
  readonly matched: number;
  /** How often each instruction ran. */
  readonly runs: readonly number[];
  /** For each conditional jump, how often it went either way; undefined for other instructions. */
  readonly branches: readonly ({ readonly yes: number; readonly no: number } | undefined)[];
  /** How often a run ended at each instruction other than by a return: failed loads, zero divisors, missing devices. */
  readonly aborts: readonly number[];
}

/**
 * Counts what the runs exercise.
 *
 * @example
 * ```ts
 * import { coverage, Program } from "cbpf";
 * const program = Program.parse("ldb [0]\njeq #1, yes, no\nyes: ret #-1\nno: ret #0");
 * const packets = [Uint8Array.of(1), Uint8Array.of(2), new Uint8Array(0)];
 * console.log(coverage(program.verified, packets.map((p) => program.trace(p))).runs); // [3, 2, 1, 1]
 * ```
 */
export function coverage(program: VerifiedProgram, traces: Iterable<Iterable<CoveredStep>>): Coverage {
  const { instructions, isa } = program;
  const runs = instructions.map(() => 0);
  const aborts = instructions.map(() => 0);
  const branches = instructions.map(({ code }) =>
    isa.known(code)?.does.kind === "branch" ? { yes: 0, no: 0 } : undefined,
  );
  let packets = 0;
  let matched = 0;
  for (const steps of traces) {
    packets++;
    for (const step of steps) {
      runs[step.index]!++;
      const branch = branches[step.index];
      if (branch !== undefined) branch[step.taken ? "yes" : "no"]++;
      if (step.end === undefined) continue;
      if (step.end.verdict !== 0) matched++;
      if (step.end.reason !== "return" && step.end.reason !== "extension") aborts[step.index]!++;
    }
  }
  return { packets, matched, runs, branches, aborts };
}
