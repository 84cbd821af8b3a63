/**
 * Worker threads that filter ranges.
 */
import { Worker } from "node:worker_threads";
import type { CaptureRange, RangeResult } from "./shards.ts";

/** Threads started at once; each range goes to the one with the least to do. */
export class RangePool {
  readonly #workers: readonly RangeWorker[];

  constructor(threads: number) {
    this.#workers = Array.from({ length: threads }, () => new RangeWorker());
  }

  run(range: CaptureRange): Promise<RangeResult> {
    return this.#workers.reduce((best, worker) => (worker.load < best.load ? worker : best)).run(range);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop()));
  }
}

/** A thread, and who waits for its answers: it gives them in the order of the questions. */
class RangeWorker {
  readonly #worker = new Worker(new URL("./shard-worker.js", import.meta.url));
  readonly #waiting: { resolve: (result: RangeResult) => void; reject: (error: unknown) => void }[] = [];

  constructor() {
    this.#worker.on("message", (result: RangeResult) => this.#waiting.shift()!.resolve(result));
    this.#worker.on("error", (error) => {
      for (const { reject } of this.#waiting.splice(0)) reject(error);
    });
  }

  get load(): number {
    return this.#waiting.length;
  }

  run(range: CaptureRange): Promise<RangeResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(range);
    });
  }

  stop(): Promise<number> {
    return this.#worker.terminate();
  }
}
