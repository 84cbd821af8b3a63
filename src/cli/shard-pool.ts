/**
 * Threads that filter ranges.
 */
import { Worker } from "node:worker_threads";
import type { CaptureRange, RangeResult } from "./shards.ts";

/** Ranges that a worker has: one that it filters, and the next, so that it need not wait for an answer. */
const DEPTH = 2;

type RangeFilter = (range: CaptureRange) => RangeResult;

interface Task {
  readonly range: CaptureRange;
  resolve(result: RangeResult): void;
  reject(error: unknown): void;
}

/** A fixed number of threads, started at once; a range goes to the first that has time. */
export class RangePool {
  /** How many filter ranges, the calling one included where it does. */
  threads: number;
  readonly #workers: readonly RangeWorker[];
  #own: RangeFilter | undefined;
  #ownIsScheduled = false;
  readonly #waiting: Task[] = [];

  /** @param script  What a thread runs: it answers each range with its result. */
  constructor(workers: number, script = new URL("./shard-worker.js", import.meta.url)) {
    this.threads = workers;
    this.#workers = Array.from({ length: workers }, () => new RangeWorker(script, () => this.#handOut()));
  }

  /** The calling thread, which has nothing else to do, filters ranges as well. */
  join(filterRange: RangeFilter): void {
    this.#own = filterRange;
    this.threads++;
  }

  run(range: CaptureRange): Promise<RangeResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ range, resolve, reject });
      this.#handOut();
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop()));
  }

  #handOut(): void {
    for (const worker of this.#workers) {
      while (worker.load < DEPTH && this.#waiting.length > 0) worker.run(this.#waiting.shift()!);
    }
    if (this.#own === undefined || this.#ownIsScheduled || this.#waiting.length === 0) return;
    this.#ownIsScheduled = true;
    setImmediate(() => this.#runOne(this.#own!));
  }

  /** One range a turn of the event loop, in which the workers' answers come in. */
  #runOne(filterRange: RangeFilter): void {
    this.#ownIsScheduled = false;
    const task = this.#waiting.shift();
    if (task === undefined) return;
    try {
      task.resolve(filterRange(task.range));
    } catch (error) {
      task.reject(error);
    }
    this.#handOut();
  }
}

/** A thread, and who waits for its answers: it gives them in the order of the questions. */
class RangeWorker {
  readonly #worker: Worker;
  readonly #tasks: Task[] = [];
  /** Why it answers no more. */
  #failure: Error | undefined;

  /** @param answered  Called after each answer. */
  constructor(script: URL, answered: () => void) {
    this.#worker = new Worker(script);
    this.#worker.on("message", (result: RangeResult) => {
      this.#tasks.shift()!.resolve(result);
      answered();
    });
    this.#worker.on("error", (error: Error) => this.#fail(error));
    this.#worker.on("exit", () => this.#fail(new Error("a thread that filters ranges has stopped")));
  }

  get load(): number {
    return this.#tasks.length;
  }

  run(task: Task): void {
    if (this.#failure === undefined) {
      this.#tasks.push(task);
      this.#worker.postMessage(task.range);
    } else task.reject(this.#failure);
  }

  stop(): Promise<number> {
    return this.#worker.terminate();
  }

  #fail(failure: Error): void {
    this.#failure ??= failure;
    for (const { reject } of this.#tasks.splice(0)) reject(this.#failure);
  }
}
