/**
 * Which instructions and branches of a program a set of packets exercises.
 */
import { trace } from "../interpreter/trace.ts";
import type { VerifiedProgram } from "../program/engine.ts";
import type { PacketContext } from "../program/packet-context.ts";

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

/** Counts what the packets exercise; each comes with its context or without. */
export function coverage(
  program: VerifiedProgram,
  packets: Iterable<Uint8Array | readonly [packet: Uint8Array, context: PacketContext]>,
): Coverage {
  const { instructions, isa } = program;
  const runs = instructions.map(() => 0);
  const aborts = instructions.map(() => 0);
  const branches = instructions.map(({ code }) =>
    isa.known(code)?.does.kind === "branch" ? { yes: 0, no: 0 } : undefined,
  );
  let seen = 0;
  let matched = 0;
  for (const item of packets) {
    const [packet, context] = item instanceof Uint8Array ? [item, undefined] : item;
    seen++;
    for (const step of trace(program, packet, context)) {
      runs[step.index]!++;
      const branch = branches[step.index];
      if (branch !== undefined) branch[step.taken ? "yes" : "no"]++;
      if (step.end === undefined) continue;
      if (step.end.verdict !== 0) matched++;
      if (step.end.reason !== "return" && step.end.reason !== "extension") aborts[step.index]!++;
    }
  }
  return { packets: seen, matched, runs, branches, aborts };
}
