/** A worker of `cbpf run --jobs`: takes ranges, gives results. */
import { parentPort } from "node:worker_threads";
import { type CaptureRange, rangeFilter } from "./shards.ts";

const filterRange = rangeFilter();
parentPort!.on("message", (range: CaptureRange) => parentPort!.postMessage(filterRange(range)));
