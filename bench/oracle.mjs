/**
 * What does the kernel's verdict cost?
 *
 *   node bench/oracle.mjs [--rounds 15]
 *
 * Times the parts of the oracles in interleaved rounds and prints medians, in microseconds of the clock and of this
 * process's CPU time, which others on the machine disturb less: one packet through each channel, attaching, and a whole
 * comparison of a program on 12 packets.  Needs `npm run build`, the native addon, and
 * root for the tap and UDP rows, which are left out with a word elsewhere.
 */
import { cpus, release } from "node:os";
import { parseArgs } from "node:util";
import { NetworkOracle, status, tapOracle, udpOracle, unixOracle } from "../dist/kernel/index.js";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "15" } } });
const rounds = Number(values.rounds);
if (!status().available) {
  console.log(`bench oracle: skipped, ${status().message}`);
  process.exit(0);
}

const insn = (code, k = 0, jt = 0, jf = 0) => ({ code, jt, jf, k });
/** ldh [12]; jeq #0x800; ldb [23]; jeq #17; ret: five instructions that a typical packet runs through. */
const FILTER = [
  insn(0x28, 12),
  insn(0x15, 0x800, 0, 3),
  insn(0x30, 23),
  insn(0x15, 17, 0, 1),
  insn(0x06, 0xffffffff),
  insn(0x06, 0),
];
const DROP = [insn(0x28, 12), insn(0x06, 0)];
const REFUSED = [insn(0x0e), insn(0x06, 1)];
const COUNT = 1000;

/** `count` frames of 64 bytes, UDP over IPv4. */
function frames(count, length = 64) {
  const bytes = new Uint8Array(count * length);
  const table = new Uint32Array(2 * count);
  for (let i = 0; i < count; i++) {
    bytes.set([2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 8, 0, 0x45], i * length);
    bytes[i * length + 23] = 17;
    table.set([i * length, length], 2 * i);
  }
  return { bytes, table, count };
}

const many = frames(COUNT);
const few = frames(12);
const expected = new Uint32Array(12).fill(0xffffffff);
const unix = unixOracle();
const rows = [
  ["unix pair, delivered", COUNT, () => unix.kept(FILTER, many)],
  ["unix pair, dropped", COUNT, () => unix.kept(DROP, many)],
  ["attach, 6 instructions", 200, () => repeat(200, () => unix.accepts(FILTER))],
  ["attach, refused", 200, () => repeat(200, () => unix.accepts(REFUSED))],
  ["compare, a program x 12 packets", 50, () => repeat(50, () => unix.compare(FILTER, few, expected))],
];
for (const open of [() => tapOracle("raw"), () => udpOracle(4)]) {
  try {
    const oracle = open();
    rows.push([`${oracle.name}, delivered`, COUNT, () => oracle.kept([insn(0x06, 0xffffffff)], many)]);
  } catch (error) {
    console.log(`bench oracle: without ${NetworkOracle.name}, ${error.message}`);
    break;
  }
}

function repeat(times, call) {
  for (let i = 0; i < times; i++) call();
}

const times = rows.map(() => []);
const cpuTimes = rows.map(() => []);
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
for (let round = -2; round < rounds; round++) {
  for (const [i, [, units, run]] of rows.entries()) {
    const start = process.hrtime.bigint();
    const cpu = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(cpu);
    if (round < 0) continue;
    times[i].push(Number(process.hrtime.bigint() - start) / 1000 / units);
    cpuTimes[i].push((user + system) / units);
  }
}
console.log(`${cpus()[0].model}, ${cpus().length} CPUs, Linux ${release()}, Node ${process.version}, ${rounds} rounds`);
for (const [i, [name]] of rows.entries()) {
  const [clock, cpu] = [median(times[i]), median(cpuTimes[i])].map((us) => us.toFixed(2).padStart(8));
  console.log(`${name.padEnd(34)} ${clock} us, CPU ${cpu} us, best ${times[i][0].toFixed(2).padStart(8)} us`);
}
const rate = (us) => ((12 * 60) / us).toFixed(1);
const compared = `${rate(median(times[4]))} million by the clock, ${rate(median(cpuTimes[4]))} by CPU time`;
console.log(`compared verdicts a minute on one thread: ${compared}`);
process.exit(0);
