/**
 * Threads that filter ranges.
 */
import { Worker } from "node:worker_threads";
import type { CaptureRange, RangeResult } from "./shards.ts";

/** What a thread is told: every thread hears of every range, and the first to claim it filters it. */
export interface RangeOffer {
  readonly number: number;
  readonly range: CaptureRange;
  /** One number that all threads see: 0 until somebody has claimed the range. */
  readonly claim: Int32Array;
}

/** What a thread answers for a range that it claimed. */
export interface RangeAnswer {
  readonly number: number;
  readonly result: RangeResult;
}

/** True for the one thread that may filter the range. */
export function claims({ claim }: RangeOffer): boolean {
  return Atomics.exchange(claim, 0, 1) === 0;
}

type RangeFilter = (range: CaptureRange) => RangeResult;

interface Task {
  readonly offer: RangeOffer;
  resolve(result: RangeResult): void;
  reject(error: unknown): void;
}

/** A number of threads, started at once; a range goes to the first that has time. */
export class RangePool {
  /** How many filter ranges, the calling one included where it does. */
  threads: number;
  readonly #workers: Worker[] = [];
  #own: RangeFilter | undefined;
  #ownIsScheduled = false;
  /** By number: ranges that nobody has answered. */
  readonly #tasks = new Map<number, Task>();
  /** Those of them that this thread has not looked at. */
  readonly #unseen: Task[] = [];
  #count = 0;
  /** Why nothing is filtered any more. */
  #failure: Error | undefined;

  /**
   * @param workers  Threads to start; there are fewer where the host gives no more.
   * @param script   What a thread runs: it takes offers and gives answers.
   */
  constructor(workers: number, script = new URL("./shard-worker.js", import.meta.url)) {
    while (this.#workers.length < workers) {
      const worker = startWorker(script);
      if (worker === undefined) break;
      worker.on("message", ({ number, result }: RangeAnswer) => this.#task(number)?.resolve(result));
      worker.on("error", (error: Error) => this.#fail(error));
      worker.on("exit", () => this.#fail(new Error("a thread that filters ranges has stopped")));
      this.#workers.push(worker);
    }
    this.threads = this.#workers.length;
  }

  /** The calling thread, which has nothing else to do, filters ranges as well. */
  join(filterRange: RangeFilter): void {
    this.#own = filterRange;
    this.threads++;
  }

  run(range: CaptureRange): Promise<RangeResult> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const number = this.#count++;
      const offer: RangeOffer = { number, range, claim: new Int32Array(new SharedArrayBuffer(4)) };
      const task = { offer, resolve, reject };
      this.#tasks.set(number, task);
      for (const worker of this.#workers) worker.postMessage(offer);
      if (this.#own === undefined) return;
      this.#unseen.push(task);
      this.#scheduleOwn();
    });
  }

  /** Ends the threads; nothing is filtered any more, on the calling one either. */
  async stop(): Promise<void> {
    this.#fail(new Error("the threads that filter ranges were told to stop"));
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  /** One range a turn of the event loop, in which the workers' answers come in. */
  #scheduleOwn(): void {
    if (this.#ownIsScheduled || this.#unseen.length === 0) return;
    this.#ownIsScheduled = true;
    setImmediate(() => {
      this.#ownIsScheduled = false;
      this.#runOne();
      this.#scheduleOwn();
    });
  }

  #runOne(): void {
    let task = this.#unseen.shift();
    while (task !== undefined && !claims(task.offer)) task = this.#unseen.shift();
    if (task === undefined) return;
    this.#tasks.delete(task.offer.number);
    try {
      task.resolve(this.#own!(task.offer.range));
    } catch (error) {
      task.reject(error);
    }
  }

  /** The range of a number, which is answered now. */
  #task(number: number): Task | undefined {
    const task = this.#tasks.get(number);
    this.#tasks.delete(number);
    return task;
  }

  /** No range is filtered any more: a thread is gone, and with it what it had claimed, or all are told to stop. */
  #fail(failure: Error): void {
    this.#failure ??= failure;
    for (const { reject } of this.#tasks.values()) reject(this.#failure);
    this.#tasks.clear();
    this.#unseen.length = 0;
  }
}

/** A thread; undefined where the host gives no more of them. */
function startWorker(script: URL): Worker | undefined {
  try {
    return new Worker(script);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_WORKER_INIT_FAILED") return undefined;
    throw error;
  }
}
