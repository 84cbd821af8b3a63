/**
 * The reader under measurement, in a process of its own so that its peak memory is its own: one line of JSON per round,
 * a round for each line on standard input.  Arguments: FILE and the way to read, `batches` or `packets`.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { createInterface } from "node:readline";
import { readCaptureSync } from "../dist/capture/index.js";

const CHUNK = 1024 * 1024;
const [file, way] = process.argv.slice(2);
const chunk = new Uint8Array(CHUNK);

/** The file in chunks, every one in the same memory. */
function* chunksOf(path) {
  const fd = openSync(path, "r");
  try {
    for (;;) {
      const got = readSync(fd, chunk, 0, CHUNK, null);
      if (got === 0) return;
      yield got === CHUNK ? chunk : chunk.subarray(0, got);
    }
  } finally {
    closeSync(fd);
  }
}

function byBatches() {
  let packets = 0;
  let bytes = 0;
  for (const batch of readCaptureSync(chunksOf(file)).batches()) {
    const { count, table } = batch;
    packets += count;
    for (let i = 0; i < count; i++) bytes += table[2 * i + 1];
  }
  return { packets, bytes };
}

function byPackets() {
  let packets = 0;
  let bytes = 0;
  for (const packet of readCaptureSync(chunksOf(file))) {
    packets++;
    bytes += packet.data.length;
  }
  return { packets, bytes };
}

const read = way === "packets" ? byPackets : byBatches;
for await (const _ of createInterface({ input: process.stdin })) {
  const start = process.hrtime.bigint();
  const { packets, bytes } = read();
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  console.log(JSON.stringify({ packets, bytes, seconds, peakKiB: process.resourceUsage().maxRSS }));
}
