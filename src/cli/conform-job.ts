/**
 * One share of a conformance run: in this thread, with contestants of its own.
 *
 * A job is data, so that a worker can be given one; what it finds is data as well.
 */
import { readFile } from "node:fs/promises";
import { Comparison, type Findings } from "../conformance/compare.ts";
import { type CorpusFile, corpusTrial, readCorpusFile } from "../conformance/corpus.ts";
import { exhaustiveTrials } from "../conformance/exhaustive.ts";
import { type RandomTrialOptions, randomTrial, type Scene } from "../conformance/random-trials.ts";
import { reproduce } from "../conformance/reproduce.ts";
import type { Contestant, Trial } from "../conformance/trial.ts";
import { type Channel, type ChannelName, openChannels, otherContestants, referenceEngine } from "./conform-engines.ts";

export interface Job {
  /** Engines beside the reference, and `--engine-cmd` commands. */
  readonly engines: readonly string[];
  readonly commands: readonly string[];
  readonly channels: readonly ChannelName[];
  /** Corpus files, paths and names. */
  readonly corpus: readonly { readonly path: string; readonly name: string }[];
  readonly exhaustive: boolean;
  /** Stops at the first disagreement. */
  readonly failFast: boolean;
  readonly seed: number;
  /** Random cases to try in this share. */
  readonly cases: number;
  /** Date.now() to stop at, absent for no limit. */
  readonly until?: number;
  /** This share takes every `of`-th trial, from `index` on. */
  readonly share: { readonly index: number; readonly of: number };
  /** The one trial to run, of the scene that is named. */
  readonly only?: { readonly trial: number; readonly scene: string };
  readonly cpus: number;
  readonly filters: RandomTrialOptions["filters"];
}

export interface JobResult {
  readonly findings: Findings;
  readonly contestants: readonly { readonly name: string; readonly version: string }[];
}

export interface Progress {
  readonly cases: number;
  readonly disagreed: number;
}

/** Disagreements that are made small; the rest are listed as they are. */
const MAX_SHRUNK = 3;
/** Trials between two looks at the clock. */
const SLICE = 64;

/** Runs a share; `onProgress` is called now and then with sums so far. */
export async function runJob(job: Job, onProgress: (progress: Progress) => void): Promise<JobResult> {
  const reference = referenceEngine();
  const others = otherContestants(job.engines, job.commands);
  const channels = openChannels(job.channels, job.seed, job.cpus);
  const total = new Comparison([reference]);
  const named = new Map<string, Contestant>(
    [reference, ...others, ...channels.map((c) => c.contestant)].map((c) => [c.name, c]),
  );
  try {
    const runner = new Runner(job, total, onProgress);
    const [first] = channels;
    if (job.only === undefined) {
      const fixed = [reference, ...others, ...(first === undefined ? [] : [first.contestant])];
      await runner.corpus(fixed);
      if (job.exhaustive) await runner.trials(fixed, exhaustiveTrials());
    }
    const scenes = scenesOf(channels, others.length > 0 || channels.length === 0);
    for (const { scene, contestants, weight } of scenes) {
      if (job.only !== undefined && nameOf(scene) !== job.only.scene) continue;
      const list = [reference, ...contestants(others)];
      if (job.only !== undefined)
        await runner.trials(list, [randomTrial(job.seed, job.only.trial, { ...options(job), scene })]);
      else await runner.random(list, scene, job.cases * weight);
    }
    for (const disagreement of total.disagreements.slice(0, MAX_SHRUNK)) {
      const contestant = named.get(disagreement.contestant)!;
      if (contestant === reference) continue;
      const authority = contestant.name.startsWith("kernel") ? contestant : reference;
      disagreement.bpft = await reproduce(disagreement, reference, contestant, authority);
    }
    const contestants = [...named.values()].map(({ name, version }) => ({ name, version }));
    return { findings: total.findings(), contestants };
  } finally {
    for (const contestant of named.values()) contestant.close?.();
  }
}

function options({ cpus, filters = [] }: Job): Omit<RandomTrialOptions, "scene"> {
  return { cpus, filters };
}

function nameOf(scene: Scene): string {
  return typeof scene === "object" ? scene.name : scene;
}

interface SceneShare {
  readonly scene: Scene;
  /** Who takes part beside the reference. */
  contestants(others: readonly Contestant[]): Contestant[];
  /** Part of the cases. */
  readonly weight: number;
}

/** Each kernel channel has its scene; engines that take any context get one of their own. */
function scenesOf(channels: readonly Channel[], anywhere: boolean): SceneShare[] {
  const sum = channels.reduce((total, { weight }) => total + weight, 0) + (anywhere ? 1 : 0);
  const shares: SceneShare[] = channels.map(({ scene, contestant, weight }) => ({
    scene,
    contestants: (others) => [...others, contestant],
    weight: weight / sum,
  }));
  if (anywhere) shares.push({ scene: "anywhere", contestants: (others) => [...others], weight: 1 / sum });
  return shares;
}

class Runner {
  readonly #job: Job;
  readonly #total: Comparison;
  readonly #onProgress: (progress: Progress) => void;

  constructor(job: Job, total: Comparison, onProgress: (progress: Progress) => void) {
    this.#job = job;
    this.#total = total;
    this.#onProgress = onProgress;
  }

  /** Corpus files, shared out. */
  async corpus(contestants: readonly Contestant[]): Promise<void> {
    const files: CorpusFile[] = [];
    for (const { path, name } of this.#job.corpus) files.push(readCorpusFile(await readFile(path, "utf8"), name));
    await this.trials(contestants, files.map(corpusTrial));
  }

  /** This share of a list of trials. */
  async trials(contestants: readonly Contestant[], trials: Iterable<Trial>): Promise<void> {
    const { index, of } = this.#job.share;
    const comparison = new Comparison(contestants);
    if (this.#isOver(comparison, 0)) return;
    let n = 0;
    for (const trial of trials) {
      if (this.#job.only === undefined && n++ % of !== index) continue;
      await comparison.run(trial);
      if (this.#isOver(comparison, n)) break;
    }
    this.#total.merge(comparison.findings());
  }

  /** Random trials of a scene until `cases` verdicts were compared. */
  async random(contestants: readonly Contestant[], scene: Scene, cases: number): Promise<void> {
    const { seed, share } = this.#job;
    const comparison = new Comparison(contestants);
    if (this.#isOver(comparison, 0)) return;
    const settings = { ...options(this.#job), scene };
    for (let n = share.index; comparison.cases < cases; n += share.of) {
      await comparison.run(randomTrial(seed, n, settings));
      if (this.#isOver(comparison, n)) break;
    }
    this.#total.merge(comparison.findings());
  }

  /** True when no further trial is wanted; looks at the clock and reports progress now and then. */
  #isOver({ cases, disagreed }: Comparison, n: number): boolean {
    const { failFast, until, share } = this.#job;
    if (failFast && this.#total.disagreed + disagreed > 0) return true;
    if (Math.floor(n / share.of) % SLICE !== 0) return false;
    this.#onProgress({ cases: this.#total.cases + cases, disagreed: this.#total.disagreed + disagreed });
    return until !== undefined && Date.now() >= until;
  }
}
