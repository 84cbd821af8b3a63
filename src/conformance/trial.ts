/**
 * What is tried, and who tries it: trials, contestants and their judgements.
 *
 * A trial is one program and the packets it runs on.  A contestant is anything that can say whether it takes a program
 * and what its verdicts are: an engine of this package, the kernel, a program of somebody else.  The first contestant
 * of a comparison is the reference; the others are compared with it.
 */
import { BpfError } from "../base/errors.ts";
import { ISA } from "../isa/instruction-set.ts";
import type { Engine, Filter, ProfileName, VerifiedProgram } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import { type AttachEstimate, estimateAttach } from "../verify/estimate.ts";
import { check, verify } from "../verify/verify.ts";
import { type ContextFields, contextFrom } from "./packet-text.ts";

/** A packet and what a filter can know beside its bytes. */
export interface Sample {
  readonly packet: Uint8Array;
  readonly context: ContextFields;
}

export interface Trial {
  /** Groups trials in reports: "corpus", "alu", "random" ... */
  readonly category: string;
  /** Says how to get this trial again: "seed 7, trial 123", "corpus alu/add_k". */
  readonly origin: string;
  /** Whose rules the program is checked by. */
  readonly profile: ProfileName;
  readonly instructions: readonly Instruction[];
  readonly samples: readonly Sample[];
  /** What the verdicts must be, where that is known without an engine: the corpus. */
  readonly expected?: readonly number[];
}

/** Why a contestant gave no verdict; skips are counted by this text. */
export type SkipReason = string;

export interface Judgement {
  /** Whether the program is valid. */
  readonly accepted: boolean;
  /** What attaching it says, from those who know: "ok", "EINVAL", "ENOMEM". */
  readonly attach?: string;
  /** One entry a sample: a verdict (u32), or why there is none.  Empty for a program that is not accepted. */
  readonly verdicts: readonly (number | SkipReason)[];
}

/** No opinion on the program at all. */
export interface Abstention {
  readonly skip: SkipReason;
}

/** The contestant broke: it died, or did not answer.  That is a disagreement. */
export interface Failure {
  readonly failed: string;
}

export type Answer = Judgement | Abstention | Failure;

export interface Contestant {
  readonly name: string;
  /** Printed in reports: a version, a kernel release. */
  readonly version: string;
  /**
   * What the contestant says to a trial.  `expected` is the reference's judgement: who can only confirm a verdict
   * repeats it when it holds, and gives what it saw when it does not.
   */
  judge(trial: Trial, expected: Judgement | undefined): Answer | Promise<Answer>;
  /** Gives back what the contestant holds. */
  close?(): void;
}

/** The verdicts of a filter on the samples of a trial, or how it broke. */
export type Asking<F extends Filter = Filter> = (filter: F, trial: Trial) => Judgement["verdicts"] | Failure;

export interface LocalOptions<F extends Filter = Filter> {
  /** Default the engine's name. */
  readonly name?: string;
  readonly version?: string;
  /** Default {@link Filter.run}, one sample after the other. */
  readonly ask?: Asking<F>;
  /** net.core.optmem_max of the kernel that takes part, for the prediction of ENOMEM. */
  readonly optmemMax?: number;
}

/** An engine of this package, with the package's own verifier in front of it. */
export function localContestant<F extends Filter>(engine: Engine<F>, options: LocalOptions<F> = {}): Contestant {
  const { name = engine.name, version = "", ask = runEach, optmemMax } = options;
  const estimate = optmemMax === undefined ? {} : { optmemMax };
  return {
    name,
    version,
    judge(trial) {
      const { instructions, profile } = trial;
      if (check(instructions, { profile, isa: ISA }).length > 0) {
        return { accepted: false, ...(profile === "linux" ? { attach: "EINVAL" } : {}), verdicts: [] };
      }
      const program = verify(instructions, { profile, isa: ISA });
      const filter = loaded(engine, program);
      if (typeof filter === "string") return { skip: filter };
      const verdicts = ask(filter, trial);
      if ("failed" in verdicts) return verdicts;
      if (profile !== "linux") return { accepted: true, verdicts };
      return { accepted: true, attach: attachOf(estimateAttach(program, estimate)), verdicts };
    },
  };
}

function runEach(filter: Filter, { samples }: Trial): number[] {
  return samples.map(({ packet, context }) => filter.run(packet, contextFrom(context)));
}

/** The program in the engine, or why an engine with limits of its own does not take it. */
function loaded<F extends Filter>(engine: Engine<F>, program: VerifiedProgram): F | SkipReason {
  try {
    return engine.load(program);
  } catch (error) {
    if (error instanceof BpfError && error.code === "unsupported") return "a program that the engine does not support";
    throw error;
  }
}

function attachOf({ errno }: AttachEstimate): string {
  return errno === "none" ? "ok" : errno;
}
