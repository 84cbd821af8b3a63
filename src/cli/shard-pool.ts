/**
 * Ranges on worker threads, results in file order.
 *
 * At most two ranges a worker are under way, so memory does not grow with the file.  A range that reports damage is
 * read on to the end of the file, in one piece: either a cut was wrong, and that puts it right, or the file is
 * damaged, and it says where.
 */
import { Worker } from "node:worker_threads";
import type { CaptureRange, RangeResult } from "./shards.ts";

/** Results of the ranges of one file, in order; the last one may report damage. */
export async function* filterRanges(
  ranges: readonly CaptureRange[],
  jobs: number,
): AsyncGenerator<RangeResult, void, undefined> {
  const workers = Array.from({ length: Math.min(jobs, ranges.length) }, () => new RangeWorker());
  try {
    const underWay: Promise<RangeResult>[] = [];
    let next = 0;
    let packets = 0;
    for (let i = 0; i < ranges.length; i++) {
      while (next < ranges.length && next < i + 2 * workers.length) {
        const promise = leastBusy(workers).run(ranges[next++]!);
        promise.catch(() => {}); // an error is met when its turn comes
        underWay.push(promise);
      }
      const range = ranges[i]!;
      let result = await underWay.shift()!;
      if (result.damage !== undefined && i < ranges.length - 1) {
        result = await leastBusy(workers).run({ ...range, end: ranges.at(-1)!.end });
        i = ranges.length;
      }
      yield renumbered(result, range.first === null ? packets : 0);
      packets += result.packets;
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
  }
}

/** A result whose numbers count from packet 1 of the file. */
function renumbered(result: RangeResult, packets: number): RangeResult {
  if (packets === 0) return result;
  const { picked, damage } = result;
  return {
    ...result,
    ...(picked === undefined ? {} : { picked: picked.map((number) => number + packets) }),
    ...(damage === undefined ? {} : { damage: { ...damage, packet: damage.packet + packets } }),
  };
}

function leastBusy(workers: readonly RangeWorker[]): RangeWorker {
  return workers.reduce((best, worker) => (worker.load < best.load ? worker : best));
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
