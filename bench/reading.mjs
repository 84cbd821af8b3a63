/**
 * How fast is reading a capture, and in how much memory?
 *
 *   node bench/reading.mjs [--bytes 300m] [--rounds 7] [--seed 1]
 *
 * Reads one generated pcap of Internet-like packet sizes with libpcap's pcap_next_ex in C and with cbpf/capture, by
 * batches and by packets, in interleaved rounds from page cache, and prints medians.  Every reader runs in a process of
 * its own and warms up with one round.  Needs `npm run build`, gcc and libpcap-dev; without the latter two only our side runs.
 */
import { execFileSync, spawn } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { pcapWriter } from "../dist/capture/index.js";

const { values } = parseArgs({
  options: {
    bytes: { type: "string", default: "300m" },
    rounds: { type: "string", default: "7" },
    seed: { type: "string", default: "1" },
  },
});
const bytes = sizeOf(values.bytes);
const rounds = Number(values.rounds);

const folder = mkdtempSync(join(tmpdir(), "cbpf-reading-"));
try {
  const file = join(folder, "imix.pcap");
  generate(file, bytes, Number(values.seed));
  const here = fileURLToPath(new URL(".", import.meta.url));
  const child = join(here, "reading-child.mjs");
  const readers = [
    start("cbpf/capture, batches", process.execPath, [child, file, "batches"]),
    start("cbpf/capture, packets", process.execPath, [child, file, "packets"]),
  ];
  const peer = buildPeer(here);
  if (peer !== undefined) readers.unshift(start("libpcap pcap_next_ex", peer, [file]));

  for (const reader of readers) await reader.round(); // warm-up, and the file into the page cache
  for (const reader of readers) reader.results.length = 0;
  for (let i = 0; i < rounds; i++) for (const reader of readers) await reader.round();
  for (const reader of readers) reader.end();

  const { packets } = readers[0].results[0];
  const { model } = cpus()[0];
  console.log(`${packets} packets, ${(bytes / 1e6).toFixed(0)} MB, ${rounds} interleaved rounds, medians`);
  console.log(`node ${process.version}, ${cpus().length} x ${model}\n`);
  for (const reader of readers) {
    const seconds = median(reader.results.map((result) => result.seconds));
    const rate = (packets / seconds / 1e6).toFixed(2).padStart(7);
    const peak = reader.results.at(-1).peakKiB;
    const memory = peak === undefined ? "" : `  peak RSS ${(peak / 1024).toFixed(0)} MiB`;
    const speed = `${rate} M packets/s  ${(bytes / seconds / 1e9).toFixed(2)} GB/s`;
    const same = reader.results.every(
      (result) => result.packets === packets && result.bytes === readers[0].results[0].bytes,
    );
    console.log(`${reader.name.padEnd(24)}${speed}${memory}${same ? "" : "  DIFFERENT COUNTS"}`);
    if (!same) process.exitCode = 1;
  }
  if (peer !== undefined) {
    const [theirs, ours] = readers.map((reader) => median(reader.results.map((result) => result.seconds)));
    console.log(`\nbatches against libpcap: ${(theirs / ours).toFixed(2)} times its speed`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** A process that reads the file once for every line it is sent. */
function start(name, command, args) {
  const process_ = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: process_.stdout })[Symbol.asyncIterator]();
  const results = [];
  return {
    name,
    results,
    async round() {
      process_.stdin.write("\n");
      const { value, done } = await lines.next();
      if (done) throw new Error(`${name} ended early`);
      results.push(JSON.parse(value));
    },
    end: () => process_.stdin.end(),
  };
}

/** The C reader, built into bench/.cache; undefined, with the reason printed, where it cannot be built. */
function buildPeer(here) {
  const target = join(here, ".cache", "pcap_read");
  mkdirSync(join(here, ".cache"), { recursive: true });
  try {
    execFileSync("gcc", ["-O2", "-o", target, join(here, "pcap_read.c"), "-lpcap"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    return target;
  } catch (error) {
    console.log(
      `libpcap is left out: ${
        String(error.stderr ?? error.message)
          .trim()
          .split("\n")[0]
      }\n`,
    );
    return undefined;
  }
}

/** Writes about `size` bytes: 64, 594 and 1514-byte frames as 7 : 4 : 1, and every tenth packet cut to 96 bytes. */
function generate(path, size, seed) {
  const fd = openSync(path, "w");
  const writer = pcapWriter({ linktype: 1 });
  const frame = new Uint8Array(1514);
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 8;
  };
  for (let i = 0; i < frame.length; i++) frame[i] = next();
  let written = 0;
  for (let n = 0n; written < size; n++) {
    const roll = next() % 12;
    const length = roll < 7 ? 64 : roll < 11 ? 594 : 1514;
    const captured = next() % 10 === 0 ? Math.min(96, length) : length;
    writer.write({ data: frame.subarray(0, captured), originalLength: length, timestamp: n * 1000n });
    if (writer.pending > 1 << 20) written += writeSync(fd, writer.take());
    else if (written + writer.pending >= size) break;
  }
  writeSync(fd, writer.take());
  closeSync(fd);
}

function sizeOf(text) {
  const match = /^(\d+)([kmg]?)$/i.exec(text);
  if (match === null) throw new Error(`--bytes ${text}: a number with k, m or g was expected`);
  return Number(match[1]) * { "": 1, k: 1e3, m: 1e6, g: 1e9 }[match[2].toLowerCase()];
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
