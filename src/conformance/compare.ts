/**
 * Any number of contestants over the same trials: who agrees with the first, who was not asked and why.
 */
import type { Contestant, Judgement, SkipReason, Trial } from "./trial.ts";

/** A case on which a contestant says something else than it should. */
export interface Disagreement {
  readonly contestant: string;
  readonly trial: Trial;
  /** The sample, absent where the disagreement is about the program itself. */
  readonly sample?: number;
  /** What was expected and what came: verdicts in hex, "accepted", "refused", or an errno. */
  readonly expected: string;
  readonly got: string;
  /** The smallest case found, a `.bpft` file; set by who looked for it. */
  bpft?: string;
}

/** Counts of one contestant in one category. */
export interface Tally {
  readonly contestant: string;
  readonly category: string;
  /** Programs judged valid or not, and how many of those as expected. */
  programs: number;
  programsAgreed: number;
  /** Programs that were expected to be refused. */
  refused: number;
  /** Program x packet cases with a verdict, and how many of those as expected. */
  cases: number;
  agreed: number;
  /** Cases without a verdict, by reason. */
  readonly skipped: Map<SkipReason, number>;
}

/** The results of a comparison. */
export interface Findings {
  readonly trials: number;
  readonly cases: number;
  readonly disagreed: number;
  readonly disagreements: readonly Disagreement[];
  readonly tallies: ReadonlyMap<string, Tally>;
}

export interface ComparisonOptions {
  /** Disagreements kept in full; the rest are only counted.  Default 20. */
  readonly keep?: number;
}

export class Comparison {
  readonly contestants: readonly Contestant[];
  readonly tallies = new Map<string, Tally>();
  readonly disagreements: Disagreement[] = [];
  readonly #keep: number;
  #disagreed = 0;
  #cases = 0;
  #trials = 0;

  /** The first contestant is the reference. */
  constructor(contestants: readonly Contestant[], options: ComparisonOptions = {}) {
    this.contestants = contestants;
    this.#keep = options.keep ?? 20;
  }

  /** Number of disagreements, kept or not. */
  get disagreed(): number {
    return this.#disagreed;
  }

  /** Verdicts of the reference that at least one other contestant confirmed or denied; with one contestant, its own. */
  get cases(): number {
    return this.#cases;
  }

  get trials(): number {
    return this.#trials;
  }

  /** Puts a trial to every contestant. */
  async run(trial: Trial): Promise<void> {
    this.#trials++;
    const [reference, ...others] = this.contestants;
    const first = reference!.judge(trial, undefined);
    const judgement = first instanceof Promise ? await first : first;
    if (!("accepted" in judgement)) throw new Error(`internal: the reference has no judgement on ${trial.origin}`);
    let most = this.#checkExpected(reference!, trial, judgement);
    for (const contestant of others) {
      const answer = contestant.judge(trial, judgement);
      const other = answer instanceof Promise ? await answer : answer;
      const tally = this.#tally(contestant, trial);
      if ("skip" in other) {
        count(tally, other.skip, Math.max(1, judgement.verdicts.length));
        continue;
      }
      if ("failed" in other) {
        tally.programs++;
        this.#disagree(contestant.name, trial, describe(judgement, false), other.failed);
        continue;
      }
      const before = tally.cases;
      this.#judge(tally, trial, judgement, other);
      most = Math.max(most, tally.cases - before);
    }
    this.#cases += most;
  }

  /** The reference against what the trial itself expects; returns the number of its verdicts when it is alone. */
  #checkExpected(reference: Contestant, trial: Trial, judgement: Judgement): number {
    const { expected } = trial;
    const tally = this.#tally(reference, trial);
    tally.programs++;
    if (!judgement.accepted) tally.refused++;
    tally.programsAgreed++;
    tally.cases += judgement.verdicts.length;
    for (const [sample, verdict] of judgement.verdicts.entries()) {
      const wanted = expected?.[sample] ?? verdict;
      if (verdict === wanted) tally.agreed++;
      else this.#disagree(reference.name, trial, show(wanted), show(verdict), sample);
    }
    return this.contestants.length === 1 ? judgement.verdicts.length : 0;
  }

  #judge(tally: Tally, trial: Trial, expected: Judgement, got: Judgement): void {
    tally.programs++;
    if (!expected.accepted) tally.refused++;
    const byErrno = expected.attach !== undefined && got.attach !== undefined;
    const agreed = byErrno ? expected.attach === got.attach : expected.accepted === got.accepted;
    if (!agreed) {
      this.#disagree(tally.contestant, trial, describe(expected, byErrno), describe(got, byErrno));
      return;
    }
    tally.programsAgreed++;
    if (!got.accepted) {
      // Valid, and yet refused: for its size.
      if (expected.accepted) count(tally, got.attach ?? "refused", expected.verdicts.length);
      return;
    }
    for (const [sample, verdict] of got.verdicts.entries()) {
      if (typeof verdict === "string") {
        count(tally, verdict, 1);
        continue;
      }
      tally.cases++;
      const wanted = expected.verdicts[sample];
      if (verdict === wanted) tally.agreed++;
      else this.#disagree(tally.contestant, trial, show(wanted), show(verdict), sample);
    }
  }

  /** Adds what another comparison of the same or other contestants found. */
  merge(found: Findings): void {
    this.#trials += found.trials;
    this.#cases += found.cases;
    this.#disagreed += found.disagreed;
    this.disagreements.push(...found.disagreements);
    for (const [key, tally] of found.tallies) {
      const mine = this.tallies.get(key);
      if (mine === undefined) this.tallies.set(key, tally);
      else add(mine, tally);
    }
  }

  /** What was found, as data that another thread can be sent. */
  findings(): Findings {
    const { trials, cases, disagreed, disagreements, tallies } = this;
    return { trials, cases, disagreed, disagreements, tallies };
  }

  #tally({ name }: Contestant, { category }: Trial): Tally {
    const key = `${name}\0${category}`;
    let tally = this.tallies.get(key);
    if (tally === undefined) {
      const counts = { programs: 0, programsAgreed: 0, refused: 0, cases: 0, agreed: 0 };
      tally = { contestant: name, category, ...counts, skipped: new Map() };
      this.tallies.set(key, tally);
    }
    return tally;
  }

  #disagree(contestant: string, trial: Trial, expected: string, got: string, sample?: number): void {
    this.#disagreed++;
    if (this.disagreements.length >= this.#keep) return;
    this.disagreements.push({ contestant, trial, expected, got, ...(sample === undefined ? {} : { sample }) });
  }
}

function add(to: Tally, from: Tally): void {
  for (const key of ["programs", "programsAgreed", "refused", "cases", "agreed"] as const) to[key] += from[key];
  for (const [reason, n] of from.skipped) count(to, reason, n);
}

function count(tally: Tally, reason: SkipReason, n: number): void {
  if (n === 0) return;
  tally.skipped.set(reason, (tally.skipped.get(reason) ?? 0) + n);
}

function describe({ accepted, attach }: Judgement, byErrno: boolean): string {
  return byErrno ? attach! : accepted ? "accepted" : "refused";
}

function show(verdict: number | SkipReason | undefined): string {
  return typeof verdict === "number" ? `0x${verdict.toString(16)}` : (verdict ?? "nothing");
}
