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
  const counter = new CoverageCounter(program);
  for (const steps of traces) counter.add(steps);
  return counter;
}

/** Counts runs as they come, for captures that are not held in memory. */
export class CoverageCounter implements Coverage {
  packets = 0;
  matched = 0;
  readonly runs: number[];
  readonly branches: ({ yes: number; no: number } | undefined)[];
  readonly aborts: number[];

  constructor({ instructions, isa }: VerifiedProgram) {
    this.runs = instructions.map(() => 0);
    this.aborts = instructions.map(() => 0);
    this.branches = instructions.map(({ code }) =>
      isa.known(code)?.does.kind === "branch" ? { yes: 0, no: 0 } : undefined,
    );
  }

  /** Counts one packet's run. */
  add(steps: Iterable<CoveredStep>): void {
    this.packets++;
    for (const { index, taken, end } of steps) {
      this.runs[index]!++;
      const branch = this.branches[index];
      if (branch !== undefined) branch[taken ? "yes" : "no"]++;
      if (end === undefined) continue;
      if (end.verdict !== 0) this.matched++;
      if (end.reason !== "return" && end.reason !== "extension") this.aborts[index]!++;
    }
  }
}
