/**
 * One share of a conformance run: in this thread, with contestants of its own.
 *
 * A job is data, so that a worker can be given one; what it finds is data as well.
 */
import { readFile } from "node:fs/promises";
import { readCaptureSync } from "../capture/read.ts";
import { Comparison, type Findings } from "../conformance/compare.ts";
import { type CorpusFile, corpusTrial, readCorpusFile } from "../conformance/corpus.ts";
import { exhaustiveTrials, payOffsetTrials } from "../conformance/exhaustive.ts";
import { randomFrame } from "../conformance/frames.ts";
import { type RandomTrialOptions, randomTrial, type Scene } from "../conformance/random-trials.ts";
import { reproduce } from "../conformance/reproduce.ts";
import type { Contestant, Trial } from "../conformance/trial.ts";
import { compileFilter } from "../filter/compile.ts";
import type { Instruction } from "../program/instruction.ts";
import { type ChannelName, openChannel, otherContestants, referenceEngine, weightOf } from "./conform-engines.ts";

export interface Job {
  /** Engines beside the reference, and `--engine-cmd` commands. */
  readonly engines: readonly string[];
  readonly commands: readonly string[];
  readonly channels: readonly ChannelName[];
  /** Corpus files, paths and names. */
  readonly corpus: readonly { readonly path: string; readonly name: string }[];
  /** Capture files whose packets random trials mutate. */
  readonly captures: readonly string[];
  readonly exhaustive: boolean;
  /** Stops at the first disagreement. */
  readonly failFast: boolean;
  readonly seed: number;
  /** Random cases to try in this share, and packets of each random trial. */
  readonly cases: number;
  readonly packets: number;
  /** Date.now() to stop at, absent for no limit. */
  readonly until?: number;
  /** This share takes every `of`-th trial, from `index` on. */
  readonly share: { readonly index: number; readonly of: number };
  /** The one trial to run, of the scene that is named. */
  readonly only?: { readonly trial: number; readonly scene: string };
  readonly cpus: number;
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
/** Frames whose payload offset is compared; some 2% have a cut tag and are dropped in front of every filter. */
const FRAMES = 62_000;
/** Packets taken from one capture file. */
const MAX_CAPTURED = 1000;
/** Real filters, which random trials mutate. */
const EXPRESSIONS: readonly string[] = [
  "tcp port 80",
  "udp dst portrange 1000-2000",
  "src net 10.0.0.0/8 and not arp",
  "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
  "ip6 and (udp port 53 or icmp6)",
  "host 10.0.0.1 or host 10.0.0.2 or host fe80::1",
  "vlan 5 and ip",
  "ether multicast and greater 60",
  "icmp[icmptype] = icmp-echo and ip[8] < 5",
];
/** Trials between two looks at the clock. */
const SLICE = 64;

/** Runs a share; `onProgress` is called now and then with sums so far. */
export async function runJob(job: Job, onProgress: (progress: Progress) => void): Promise<JobResult> {
  const reference = referenceEngine();
  const others = otherContestants(job.engines, job.commands);
  const corpus: CorpusFile[] = [];
  for (const { path, name } of job.corpus) corpus.push(readCorpusFile(await readFile(path, "utf8"), name));
  const captured: Uint8Array[] = [];
  for (const path of job.captures) captured.push(...capturedPackets(await readFile(path)));
  const runner = new Runner(job, reference, others, { corpus, captured }, onProgress);
  try {
    if (job.only === undefined) await runner.fixed();
    for (const name of job.channels) await runner.channel(name);
    // Engines that take any context have a scene of their own, as has the reference when it is alone.
    if (others.length > 0 || job.channels.length === 0) await runner.random("anywhere", "anywhere", undefined);
    return runner.result();
  } finally {
    for (const contestant of others) contestant.close?.();
  }
}

/** Part of the random cases for contexts of every kind, compared with the channels' weights. */
const ANYWHERE_WEIGHT = 1;

class Runner {
  readonly #job: Job;
  readonly #reference: Contestant;
  readonly #others: readonly Contestant[];
  readonly #total: Comparison;
  readonly #onProgress: (progress: Progress) => void;
  readonly #corpus: readonly CorpusFile[];
  readonly #captured: readonly Uint8Array[];
  readonly #filters: readonly (readonly Instruction[])[];
  readonly #contestants = new Map<string, { name: string; version: string }>();
  #shrunk = 0;

  constructor(
    job: Job,
    reference: Contestant,
    others: readonly Contestant[],
    { corpus, captured }: { readonly corpus: readonly CorpusFile[]; readonly captured: readonly Uint8Array[] },
    onProgress: (progress: Progress) => void,
  ) {
    this.#job = job;
    this.#reference = reference;
    this.#others = others;
    this.#corpus = corpus;
    this.#captured = captured;
    this.#filters = EXPRESSIONS.map((expression) => compileFilter(expression).program.instructions);
    this.#onProgress = onProgress;
    this.#total = new Comparison([reference]);
  }

  result(): JobResult {
    return { findings: this.#total.findings(), contestants: [...this.#contestants.values()] };
  }

  /** The corpus and the exhaustive trials, shared out; of the kernel, AF_UNIX takes part. */
  async fixed(): Promise<void> {
    const { exhaustive, channels, seed, cpus } = this.#job;
    if (this.#corpus.length === 0 && !exhaustive) return;
    const unix = channels.includes("unix") ? openChannel("unix", seed, cpus).contestant : undefined;
    const { share } = this.#job;
    await this.#compare(unix, shared(this.#corpus.map(corpusTrial), share));
    if (exhaustive) await this.#compare(unix, shared(exhaustiveTrials(), share));
    unix?.close?.();
  }

  /** Random trials through a channel of the kernel. */
  async channel(name: ChannelName): Promise<void> {
    if (this.#isOver(new Comparison([]))) return;
    if (this.#job.only !== undefined && this.#job.only.scene !== name) return;
    const { seed, cpus, exhaustive, only } = this.#job;
    if (exhaustive && only === undefined && name.startsWith("tap")) await this.#payOffsets(name);
    const { scene, contestant } = openChannel(name, seed, cpus);
    await this.random(name, scene, contestant);
    contestant.close?.();
  }

  /** This share of many frames, and where their payload starts. */
  async #payOffsets(name: ChannelName): Promise<void> {
    const { seed, cpus, share } = this.#job;
    const frames: Uint8Array[] = [];
    for (let n = share.index; n < FRAMES; n += share.of) frames.push(randomFrame(seed, n));
    const { scene, contestant } = openChannel(name, seed, cpus, frames);
    await this.#compare(contestant, typeof scene === "object" ? payOffsetTrials(name, scene.pool) : []);
    contestant.close?.();
  }

  /** This share of a scene's random trials, until enough verdicts were compared. */
  async random(name: ChannelName | "anywhere", scene: Scene, kernel: Contestant | undefined): Promise<void> {
    const { seed, cpus, only, channels, cases, packets, share } = this.#job;
    const settings: RandomTrialOptions = { scene, packets, cpus, filters: this.#filters, captured: this.#captured };
    if (only !== undefined) {
      if (only.scene === name) await this.#compare(kernel, [randomTrial(seed, only.trial, settings)]);
      return;
    }
    const anywhere = this.#others.length > 0 || channels.length === 0 ? ANYWHERE_WEIGHT : 0;
    const sum = channels.reduce((total, channel) => total + weightOf(channel), anywhere);
    const weight = name === "anywhere" ? ANYWHERE_WEIGHT : weightOf(name);
    await this.#compare(kernel, endless(seed, settings, share), (cases * weight) / sum);
  }

  /** Compares trials, up to a number of cases; then makes small what was found. */
  async #compare(
    kernel: Contestant | undefined,
    trials: Iterable<Trial>,
    cases = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const contestants = [this.#reference, ...this.#others, ...(kernel === undefined ? [] : [kernel])];
    const comparison = new Comparison(contestants);
    if (this.#isOver(comparison)) return;
    for (const trial of trials) {
      if (comparison.cases >= cases) break;
      await comparison.run(trial);
      if (this.#isOver(comparison)) break;
    }
    for (const disagreement of comparison.disagreements) {
      const contestant = contestants.find(({ name }) => name === disagreement.contestant)!;
      if (contestant === this.#reference || this.#shrunk++ >= MAX_SHRUNK) continue;
      const authority = contestant === kernel ? kernel : this.#reference;
      disagreement.bpft = await reproduce(disagreement, this.#reference, contestant, authority);
    }
    for (const { name, version } of contestants) this.#contestants.set(name, { name, version });
    this.#total.merge(comparison.findings());
  }

  /** True when no further trial is wanted; looks at the clock and reports progress now and then. */
  #isOver({ cases, disagreed, trials }: Comparison): boolean {
    const { failFast, until } = this.#job;
    if (failFast && this.#total.disagreed + disagreed > 0) return true;
    if (trials % SLICE !== 0) return false;
    this.#onProgress({ cases: this.#total.cases + cases, disagreed: this.#total.disagreed + disagreed });
    return until !== undefined && Date.now() >= until;
  }
}

/** Random trials of a share, without an end. */
function* endless(seed: number, settings: RandomTrialOptions, share: Job["share"]): Generator<Trial> {
  for (let n = share.index; ; n += share.of) yield randomTrial(seed, n, settings);
}

/** Every `of`-th of a list. */
function* shared(trials: Iterable<Trial>, { index, of }: Job["share"]): Generator<Trial> {
  let n = 0;
  for (const trial of trials) if (n++ % of === index) yield trial;
}

/** The packets of a capture file, up to {@link MAX_CAPTURED}. */
function capturedPackets(file: Uint8Array): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (const { data } of readCaptureSync([file])) {
    if (packets.length === MAX_CAPTURED) break;
    packets.push(data.slice());
  }
  return packets;
}
