/**
 * How long does counting the packets of a 1 GB capture take, next to tcpdump?
 *
 *   npm run bench:run [-- --rounds 7 --bytes 1000000000 --expressions ip,tcp80]
 *
 * Whole commands, start-up included, with the file in the page cache: `tcpdump -r FILE --count EXPR`, and `cbpf run
 * --count EXPR FILE` with one thread and with two, in interleaved rounds.  A ratio is the median of the rounds' ratios.
 * Counts must be equal.  Peak memory is the kernel's ru_maxrss of the whole process.  The capture has the packets of
 * packets.mjs and is kept in bench/.cache.  tcpdump older than 4.99 has no --count: it writes to /dev/null instead.
 */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, renameSync, statSync, writeSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { benchExpression, SHARED } from "./bench-filters.mjs";
import { median } from "./lanes.mjs";
import { DEFAULT_SEED, packetSet } from "./packets.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    bytes: { type: "string", default: "1000000000" },
    expressions: { type: "string" },
  },
});
const ROUNDS = Number(options.rounds);
const BYTES = Number(options.bytes);
/** Packets generated at a time. */
const SET = 500_000;

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const CBPF = here("../dist/bin/main.js");
const TIME = "/usr/bin/time";

const EXPRESSIONS = { ip: "ip", "tcp port 80": "tcp port 80", "100 hosts": hundredHosts() };

/** The list of ../shared, which matches some packets, or one that matches none. */
function hundredHosts() {
  if (SHARED !== undefined) return benchExpression("hosts100");
  return Array.from({ length: 100 }, (_, i) => `host 192.0.2.${i}`).join(" or ");
}

/** The capture's path; it is written once. */
function captureFile() {
  const path = here(`.cache/run-${BYTES}.pcap`);
  if (existsSync(path)) return path;
  mkdirSync(here(".cache"), { recursive: true });
  const fd = openSync(`${path}.part`, "w");
  const header = new DataView(new ArrayBuffer(24));
  header.setUint32(0, 0xa1b2c3d4, true);
  header.setUint16(4, 2, true);
  header.setUint16(6, 4, true);
  header.setUint32(16, 262_144, true);
  header.setUint32(20, 1, true);
  let written = writeSync(fd, header);
  let microseconds = 0;
  for (let seed = DEFAULT_SEED; written < BYTES; seed++) {
    const { bytes, table, count } = packetSet(SET, seed);
    const out = new Uint8Array(bytes.length + 16 * count);
    const view = new DataView(out.buffer);
    let at = 0;
    for (let i = 0; i < count && written + at < BYTES; i++) {
      const length = table[2 * i + 1];
      microseconds += 1 + (i % 7);
      view.setUint32(at, 1_800_000_000 + Math.floor(microseconds / 1e6), true);
      view.setUint32(at + 4, microseconds % 1e6, true);
      view.setUint32(at + 8, length, true);
      view.setUint32(at + 12, length, true);
      out.set(bytes.subarray(table[2 * i], table[2 * i] + length), at + 16);
      at += 16 + length;
    }
    for (let from = 0; from < at; ) from += writeSync(fd, out, from, at - from);
    written += at;
  }
  closeSync(fd);
  renameSync(`${path}.part`, path);
  return path;
}

/** Without what makes Node read every certificate of the system at its start, which is no part of the command. */
const { NODE_EXTRA_CA_CERTS: _, ...ENVIRONMENT } = process.env;

/** Runs a command; its wall time in ms, peak memory in MiB and what it counted. */
function timed(command, ...args) {
  const measured = existsSync(TIME) ? [TIME, "-f", "peak %M", command, ...args] : [command, ...args];
  const start = process.hrtime.bigint();
  const run = spawnSync(measured[0], measured.slice(1), { encoding: "utf8", env: ENVIRONMENT });
  const ms = Number(process.hrtime.bigint() - start) / 1e6;
  if (run.error !== undefined || run.status > 1) throw new Error(`${command} ${args.join(" ")}: ${run.stderr}`);
  const count = /^(\d+)/m.exec(run.stdout)?.[1];
  return { ms, mib: Number(/^peak (\d+)/m.exec(run.stderr)?.[1]) / 1024, count };
}

const version = spawnSync("tcpdump", ["--version"], { encoding: "utf8" });
if (version.error !== undefined) {
  console.log("bench:run: skipped, there is no tcpdump");
  process.exit(0);
}
const counts = /\[--count\]/.test(spawnSync("tcpdump", ["--help"], { encoding: "utf8" }).stderr ?? "");

const file = captureFile();
const node = (...args) => timed(process.execPath, CBPF, "run", "--count", ...args);
const COMMANDS = {
  tcpdump: (expression) => timed("tcpdump", "-r", file, ...(counts ? ["--count"] : ["-w", "/dev/null"]), expression),
  cbpf: (expression) => node(expression, file),
  "cbpf -j 2": (expression) => node("--jobs", "2", expression, file),
};

const wanted = options.expressions?.split(",") ?? Object.keys(EXPRESSIONS);

console.log(`${version.stdout.split("\n").slice(0, 2).join(", ")}; node ${process.version}`);
console.log(
  `${cpus().length} x ${cpus()[0].model}, load ${loadavg()[0].toFixed(2)}; ${statSync(file).size} bytes, ${ROUNDS} rounds\n`,
);
console.log(
  `${"".padEnd(12)}${Object.keys(COMMANDS)
    .map((name) => name.padStart(22))
    .join("")}   tcpdump/cbpf  cbpf/-j 2`,
);

for (const name of wanted) {
  const samples = Object.fromEntries(Object.keys(COMMANDS).map((command) => [command, []]));
  for (let round = 0; round < ROUNDS; round++) {
    spawnSync("cat", [file], { stdio: "ignore" }); // into the page cache, which may have dropped it meanwhile
    for (const [command, run] of Object.entries(COMMANDS)) samples[command].push(run(EXPRESSIONS[name]));
  }
  const found = new Set(Object.values(samples).flatMap((list) => list.map(({ count }) => count)));
  const columns = Object.values(samples).map((list) => {
    const mib = Math.max(...list.map((sample) => sample.mib));
    return `${median(list.map(({ ms }) => ms)).toFixed(0)} ms ${mib.toFixed(0).padStart(4)} MiB`.padStart(22);
  });
  const ratio = (a, b) => median(samples[a].map(({ ms }, i) => ms / samples[b][i].ms)).toFixed(2);
  const same = !counts || found.size === 1;
  console.log(
    `${name.padEnd(12)}${columns.join("")}${ratio("tcpdump", "cbpf").padStart(15)}${ratio("cbpf", "cbpf -j 2").padStart(11)}` +
      (same ? "" : `   DIFFERENT COUNTS: ${[...found].join(", ")}`),
  );
  if (!same) process.exitCode = 1;
}
