/** `cbpf conform`: do engines and the kernel agree, on the corpus, on everything small, and on random programs? */
import { readdir, stat, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { Worker } from "node:worker_threads";
import { Comparison } from "../conformance/compare.ts";
import { DEFAULT_PACKETS } from "../conformance/random-trials.ts";
import { count, type Report, reportOf, summaryTable } from "../conformance/report.ts";
import { reportHtml } from "../conformance/report-html.ts";
import { type Arguments, type Command, EXIT, UsageError } from "./command.ts";
import { CHANNELS, channelMissing, ENGINES, kernelFacts } from "./conform-engines.ts";
import { type Job, type JobResult, type Progress, runJob } from "./conform-job.ts";
import { styled, type Terminal } from "./terminal.ts";

const DEFAULT_CASES = 300_000;
const ENGINE_NAMES = ["interpreter", ...Object.keys(ENGINES), "kernel", ...CHANNELS.map((name) => `kernel-${name}`)];

export const command: Command = {
  usage: "[--engines LIST] [--cases N] [--seed S] [--time SECONDS] [--report FILE] [CORPUS...]",
  summary: "compare engines and the kernel on the corpus and on random programs",
  details: `Engines: ${ENGINE_NAMES.join(", ")}.  The interpreter is what the others are compared with.
"kernel" is every channel that this user may open.  A CORPUS is a .bpft file or a folder of them.
A program for --engine-cmd answers questions on its standard input; docs/conformance.md says how.
Exit status 0 when all agree, 1 on any disagreement.`,
  options: {
    engines: { type: "string", value: "LIST", help: "who takes part, by commas; default all that can" },
    "engine-cmd": {
      type: "string",
      value: "COMMAND",
      multiple: true,
      help: "a program that takes part; may be repeated",
    },
    cases: { type: "string", value: "N", help: `random program x packet cases, default ${DEFAULT_CASES}` },
    packets: { type: "string", value: "N", help: `packets of each random program, default ${DEFAULT_PACKETS}` },
    seed: { type: "string", value: "S", help: "seed of the random cases, default 1" },
    trial: { type: "string", value: "N", help: "only this random trial, of the --scene" },
    scene: {
      type: "string",
      value: "NAME",
      help: `scene of the --trial: anywhere, ${CHANNELS.join(", ")}; default unix`,
    },
    time: { type: "string", value: "SECONDS", help: "stop after so long" },
    capture: {
      type: "string",
      value: "FILE",
      multiple: true,
      help: "a capture whose packets are mutated; may be repeated",
    },
    exhaustive: { type: "boolean", help: "all opcodes, ancillary offsets, borders and operand pairs as well" },
    "fail-fast": { type: "boolean", help: "stop at the first disagreement" },
    workers: { type: "string", value: "N", help: "threads, default one for each CPU" },
    report: { type: "string", value: "FILE", help: "write a report: .json or .html" },
  },
  positionals: [0, 1000],
  async run(args, terminal) {
    const started = Date.now();
    const job = await jobFrom(args, terminal, started);
    const report = args.text("report");
    if (report !== undefined && !/\.(json|html)$/.test(report))
      throw new UsageError(`--report ${report}: .json or .html`);
    const workers = job.only === undefined ? (args.number("workers", 1, 256) ?? availableParallelism()) : 1;
    const found = await runAll(job, workers, terminal, started);
    const { seed, packets } = job;
    const facts = {
      ...kernelFacts(),
      node: process.version,
      seed: `${seed}`,
      packets: `${packets}`,
      workers: `${workers}`,
    };
    const seconds = (Date.now() - started) / 1000;
    const result = reportOf(found, { about: { date: new Date(started).toISOString(), ...facts }, seconds });
    if (report !== undefined)
      await writeFile(report, report.endsWith(".html") ? reportHtml(result) : `${JSON.stringify(result, null, 2)}\n`);
    await terminal.write(`${summaryTable(result)}\n`);
    await showDisagreements(result, terminal);
    const rate = count(Math.round((result.cases / Math.max(seconds, 0.001)) * 60));
    const verdict =
      result.disagreed === 0
        ? styled(terminal, "green", "no disagreement")
        : styled(terminal, "red", `${count(result.disagreed)} disagreements`);
    await terminal.write(
      `${count(result.cases)} cases in ${seconds.toFixed(1)} s (${rate} a minute), seed ${job.seed}: ${verdict}\n`,
    );
    return result.disagreed === 0 ? EXIT.matched : EXIT.nothing;
  },
};

async function jobFrom(args: Arguments, terminal: Terminal, started: number): Promise<Job> {
  const seconds = args.number("time", 1, 1_000_000);
  const trial = args.number("trial", 0, 0xffff_ffff);
  return {
    ...chosen(args, terminal),
    commands: args.list("engine-cmd"),
    corpus: await corpusPaths(args.positionals),
    captures: args.list("capture"),
    exhaustive: args.flag("exhaustive"),
    failFast: args.flag("fail-fast"),
    seed: args.number("seed", 0, 0xffff_ffff) ?? 1,
    cases: args.number("cases", 0, 1e12) ?? DEFAULT_CASES,
    packets: args.number("packets", 1, 10_000) ?? DEFAULT_PACKETS,
    share: { index: 0, of: 1 },
    cpus: availableParallelism(),
    ...(seconds === undefined ? {} : { until: started + 1000 * seconds }),
    ...(trial === undefined ? {} : { only: { trial, scene: args.text("scene") ?? "unix" } }),
  };
}

/** Engines and channels by name; the kernel is left out with a word where nobody asked for it by name. */
function chosen(args: Arguments, terminal: Terminal): Pick<Job, "engines" | "channels"> {
  const list = args.text("engines")?.split(",");
  for (const name of list ?? []) {
    if (!ENGINE_NAMES.includes(name))
      throw new UsageError(`--engines ${name}: expected some of ${ENGINE_NAMES.join(", ")}`);
  }
  const names = list ?? ENGINE_NAMES;
  const engines = Object.keys(ENGINES).filter((name) => names.includes(name));
  const channels = CHANNELS.filter((name) => {
    const byName = list?.includes(`kernel-${name}`) === true;
    if (!byName && !names.includes("kernel")) return false;
    const missing = channelMissing(name);
    if (missing === undefined) return true;
    if (byName) throw new UsageError(`--engines kernel-${name}: ${missing}`);
    terminal.note(`cbpf conform: without kernel-${name}, ${missing}`);
    return false;
  });
  if (names.includes("kernel") && list !== undefined && channels.length === 0) {
    throw new UsageError(`--engines kernel: ${channelMissing("unix")}`);
  }
  return { engines, channels };
}

async function corpusPaths(given: readonly string[]): Promise<Job["corpus"]> {
  const out: { path: string; name: string }[] = [];
  for (const path of given) {
    if (!(await stat(path)).isDirectory()) {
      out.push({ path, name: path });
      continue;
    }
    const entries = (await readdir(path, { recursive: true })).filter((entry) => entry.endsWith(".bpft"));
    for (const entry of entries.sort()) out.push({ path: join(path, entry), name: relative(".", join(path, entry)) });
  }
  return out;
}

/** The job in shares, one a worker; a single share runs in this thread. */
async function runAll(job: Job, workers: number, terminal: Terminal, started: number): Promise<Comparison> {
  const sums: Progress[] = new Array<Progress>(workers).fill({ cases: 0, disagreed: 0 });
  let shown = 0;
  const onProgress = (index: number, progress: Progress): void => {
    sums[index] = progress;
    if (Date.now() - shown < 200) return;
    shown = Date.now();
    const cases = sums.reduce((sum, p) => sum + p.cases, 0);
    const disagreed = sums.reduce((sum, p) => sum + p.disagreed, 0);
    terminal.progress(
      `${count(cases)} cases, ${count(disagreed)} disagreements, ${((shown - started) / 1000).toFixed(0)} s`,
    );
  };
  const results =
    workers === 1
      ? [await runJob(job, (progress) => onProgress(0, progress))]
      : await inWorkers(job, workers, onProgress);
  const total = new Comparison(
    results[0]!.contestants.map(({ name, version }) => ({ name, version, judge: unreachable })),
  );
  for (const { findings } of results) total.merge(findings);
  return total;
}

/** A share for each worker; with `failFast` the first to find a disagreement ends the others. */
async function inWorkers(
  job: Job,
  count: number,
  onProgress: (index: number, progress: Progress) => void,
): Promise<JobResult[]> {
  const workers = Array.from({ length: count }, (_, index) => {
    const workerData: Job = { ...job, cases: job.cases / count, share: { index, of: count } };
    return new Worker(new URL("./conform-worker.js", import.meta.url), { workerData });
  });
  const results: JobResult[] = []; // by worker: whoever is the first to be done, the rows of a report have one order
  let over = false;
  const ended = workers.map(
    (worker, index) =>
      new Promise<void>((resolve, reject) => {
        worker.on("message", ({ progress, result }: { progress?: Progress; result?: JobResult }) => {
          if (progress !== undefined) onProgress(index, progress);
          if (result === undefined) return;
          results[index] = result;
          if (!job.failFast || result.findings.disagreed === 0) return;
          over = true;
          for (const other of workers) if (other !== worker) void other.terminate();
        });
        worker.on("error", reject);
        worker.on("exit", (status) => {
          if (index in results || over) resolve();
          else reject(new Error(`internal: a worker ended with status ${status} and without a result`));
        });
      }),
  );
  await Promise.all(ended);
  return Object.values(results); // with failFast some workers may have none
}

function unreachable(): never {
  throw new Error("internal: results are merged, not judged");
}

async function showDisagreements({ disagreements, about }: Report, terminal: Terminal): Promise<void> {
  for (const { contestant, origin, expected, got, bpft } of disagreements) {
    await terminal.write(`${styled(terminal, "red", `${contestant}: ${got}, expected ${expected}`)}\n  ${origin}\n`);
    const found = /^(\S+) seed \d+, trial (\d+)$/.exec(origin);
    if (found !== null) {
      const [, scene, trial] = found;
      const packets = about.packets === `${DEFAULT_PACKETS}` ? "" : ` --packets ${about.packets}`;
      await terminal.write(`  rerun: cbpf conform --seed ${about.seed}${packets} --scene ${scene} --trial ${trial}\n`);
    }
    if (bpft !== undefined) await terminal.write(`${bpft.replace(/^/gm, "    ").trimEnd()}\n`);
  }
}
