/**
 * How much faster are two threads than one, over packets that they share?
 *
 *   npm run bench:workers [-- --rounds 9 --best --filters tcp80,hosts100 --packets 1000000]
 *
 * The cold set of packets.mjs lies in one shared arena; every filter is the wasm batch.  One worker thread runs over
 * all of it, and two share it, in interleaved rounds, timed from the word "go" to the last answer.  A ratio is the median
 * of the rounds' ratios; with --best, for a machine that others use too, it is that of the best rounds.  Threads wait
 * for the word with Atomics.wait, have run the filter before, and take the next of sixteen parts when they are done with
 * one: a thread that loses its processor for a while leaves more to the other.
 */
import { cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { wasm } from "../dist/jit/wasm-engine.js";
import { Arena, createArena } from "../dist/program/arena.js";
import { verify } from "../dist/verify/verify.js";
import { ALL_10, benchFilter, SHARED } from "./bench-filters.mjs";
import { geometricMean, median, ratio } from "./lanes.mjs";
import { COLD_PACKETS, packetSet } from "./packets.mjs";

/** Words of the control block: rounds begun, threads done, matches found, threads ready, the part to take next. */
const CONTROL = { go: 0, done: 1, matched: 2, ready: 3, next: 4 };
/** Parts of the arena that threads take one by one. */
const PARTS = 16;
/** Threads of each team. */
const TEAMS = [1, 2];
/** Runs before measuring: V8 has moved the code to its better compiler by then. */
const WARM_UP = 6;

if (isMainThread) await main();
else work(workerData);

/** A thread: runs over parts each time the word is given, until none is left. */
function work({ memory, count, program, control }) {
  const parts = Array.from({ length: PARTS }, (_, i) => {
    const [from, to] = [i, i + 1].map((part) => Math.floor((part * count) / PARTS));
    return Arena.attach(memory, { from, to });
  });
  const filter = wasm.load(verify(program));
  for (let i = 0; i < WARM_UP; i++) for (const part of parts) filter.runBatch(part);
  const take = () => Atomics.add(control, CONTROL.next, 1);
  Atomics.add(control, CONTROL.ready, 1);
  Atomics.notify(control, CONTROL.ready);
  for (let round = 0; ; round++) {
    Atomics.wait(control, CONTROL.go, round);
    if (Atomics.load(control, CONTROL.go) < 0) return;
    for (let i = take(); i < PARTS; i = take()) {
      Atomics.add(control, CONTROL.matched, filter.runBatch(parts[i]));
    }
    Atomics.add(control, CONTROL.done, 1);
    Atomics.notify(control, CONTROL.done);
  }
}

/** Threads over the parts of the arena; `run` gives the wall time in ms and the matches of one round. */
function team(memory, count, threads, program) {
  const control = new Int32Array(new SharedArrayBuffer(4 * Object.keys(CONTROL).length));
  const workers = Array.from(
    { length: threads },
    () => new Worker(fileURLToPath(import.meta.url), { workerData: { memory, count, program, control } }),
  );
  const until = (word, value) => {
    for (;;) {
      const now = Atomics.load(control, word);
      if (now === value) return;
      Atomics.wait(control, word, now);
    }
  };
  return {
    async ready() {
      while (Atomics.load(control, CONTROL.ready) < threads) await new Promise((resolve) => setTimeout(resolve, 5));
    },
    run() {
      control[CONTROL.done] = control[CONTROL.matched] = control[CONTROL.next] = 0;
      const start = performance.now();
      Atomics.add(control, CONTROL.go, 1);
      Atomics.notify(control, CONTROL.go);
      until(CONTROL.done, threads);
      return { ms: performance.now() - start, matched: control[CONTROL.matched] };
    },
    async stop() {
      Atomics.store(control, CONTROL.go, -1);
      Atomics.notify(control, CONTROL.go);
      await Promise.all(workers.map((worker) => new Promise((resolve) => worker.on("exit", resolve))));
    },
  };
}

async function main() {
  const { values: options } = parseArgs({
    options: {
      rounds: { type: "string", default: "9" },
      best: { type: "boolean", default: false },
      filters: { type: "string", default: ALL_10.join(",") },
      packets: { type: "string", default: String(COLD_PACKETS) },
    },
  });
  if (SHARED === undefined) {
    console.log("bench:workers: skipped, there is no ../shared folder (CBPF_SHARED) with filters");
    return;
  }
  const rounds = Number(options.rounds);
  const set = packetSet(Number(options.packets));
  console.log(
    `${set.count} packets, ${set.bytes.length} bytes, ${rounds} interleaved rounds, ${options.best ? "best" : "medians"}`,
  );
  console.log(`node ${process.version}, ${cpus().length} x ${cpus()[0].model}, load ${loadavg()[0].toFixed(2)}\n`);
  console.log("filter      one thread  two threads  ratio");
  const ratios = [];
  for (const name of options.filters.split(",")) {
    const arena = createArena({
      bytes: set.bytes.length,
      packets: set.count,
      shared: true,
      users: 1 + PARTS * TEAMS.reduce((sum, threads) => sum + threads),
    });
    arena.bytes.set(set.bytes);
    arena.table.set(set.table);
    arena.count = set.count;
    arena.used = set.bytes.length;
    const program = benchFilter(name);
    const teams = TEAMS.map((threads) => team(arena.memory, set.count, threads, program));
    for (const { ready } of teams) await ready();
    const samples = [];
    for (let i = 0; i < rounds; i++) samples.push(teams.map(({ run }) => run()));
    for (const { stop } of teams) await stop();
    const times = [0, 1].map((i) => samples.map((row) => row[i].ms));
    const gain = ratio(...times, options.best);
    ratios.push(gain);
    const [one, two] = times.map((list) => `${(options.best ? Math.min(...list) : median(list)).toFixed(2)} ms`);
    const same = new Set(samples.flat().map(({ matched }) => matched)).size === 1;
    console.log(
      `${name.padEnd(10)}${one.padStart(12)}${two.padStart(13)}${gain.toFixed(2).padStart(7)}${same ? "" : "  DIFFERENT COUNTS"}`,
    );
    if (!same) process.exitCode = 1;
  }
  console.log(`\ngeometric mean ${geometricMean(ratios).toFixed(2)}`);
}
