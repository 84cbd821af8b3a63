/**
 * Threads that filter ranges.
 */
import { Worker } from "node:worker_threads";
import { type CaptureRange, type RangeResult, rangeFilter } from "./shards.ts";

/** Ranges that a worker has: one that it filters, and the next, so that it need not wait for an answer. */
const DEPTH = 2;

interface Task {
  readonly range: CaptureRange;
  resolve(result: RangeResult): void;
  reject(error: unknown): void;
}

/** A fixed number of threads, started at once; a range goes to the first that has time. */
export class RangePool {
  readonly #workers: readonly RangeWorker[];
  /** Filters ranges on this thread too, which counts as one of them. */
  readonly #own: ((range: CaptureRange) => RangeResult) | undefined;
  #ownIsScheduled = false;
  readonly #waiting: Task[] = [];

  /** @param own  This thread has nothing else to do: it is one of the threads. */
  constructor(threads: number, own: boolean) {
    this.#workers = Array.from({ length: own ? threads - 1 : threads }, () => new RangeWorker(() => this.#handOut()));
    this.#own = own ? rangeFilter() : undefined;
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
  #runOne(filterRange: (range: CaptureRange) => RangeResult): void {
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
  readonly #worker = new Worker(new URL("./shard-worker.js", import.meta.url));
  readonly #tasks: Task[] = [];

  /** @param answered  Called after each answer. */
  constructor(answered: () => void) {
    this.#worker.on("message", (result: RangeResult) => {
      this.#tasks.shift()!.resolve(result);
      answered();
    });
    this.#worker.on("error", (error) => {
      for (const { reject } of this.#tasks.splice(0)) reject(error);
    });
  }

  get load(): number {
    return this.#tasks.length;
  }

  run(task: Task): void {
    this.#tasks.push(task);
    this.#worker.postMessage(task.range);
  }

  stop(): Promise<number> {
    return this.#worker.terminate();
  }
}
