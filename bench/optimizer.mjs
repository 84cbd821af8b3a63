/**
 * How much smaller than libpcap's own are the programs that the optimizer makes of libpcap's unoptimized ones?
 *
 *   npm run build && node bench/optimizer.mjs [--each]
 *
 * Needs gcc and libpcap-dev.  For each link type: programs; instructions as generated, behind libpcap's optimizer, and
 * behind ours with strict and with libpcap's semantics; on how many programs either of ours is longer than libpcap's;
 * and the mean number of instructions executed on real packets (strict).
 * --each lists the programs on which ours is longer.  The slowest is in CPU time, after a warm-up.
 */
import { trace } from "../dist/interpreter/trace.js";
import { optimize } from "../dist/optimize/optimize.js";
import { packetContext } from "../dist/program/packet-context.js";
import { verify } from "../dist/verify/verify.js";
import { corpus, realPackets } from "./optimizer-corpus.mjs";

/** Packets of each link type that programs are run on. */
const PACKETS = 40;
/** Programs that are not timed, while the engine warms up. */
const WARM_UP = 50;

const entries = corpus();
if (typeof entries === "string") {
  console.log(`bench optimizer: skipped, ${entries}`);
  process.exit(0);
}
const packets = realPackets(PACKETS);
const each = process.argv.includes("--each");
let slowest = { ms: 0, expression: "" };
const rows = new Map();
for (const entry of entries) measure(entry);
print([...rows.values()]);

function measure({ link, linktype, expression, generated, libpcap }) {
  const row = rows.get(link) ?? emptyRow(link);
  rows.set(link, row);
  const before = process.cpuUsage();
  const strict = optimize(generated).instructions;
  const { user, system } = process.cpuUsage(before);
  const ms = (user + system) / 1000;
  if (row.programs > WARM_UP && ms > slowest.ms) slowest = { ms, expression: `${link}: ${expression}` };
  const loose = optimize(generated, { semantics: "libpcap" }).instructions;
  row.programs++;
  row.generated += generated.length;
  row.libpcap += libpcap.length;
  row.strict += strict.length;
  row.loose += loose.length;
  if (strict.length > libpcap.length) row.longer++;
  if (loose.length > libpcap.length) row.longerLoose++;
  if (each && strict.length > libpcap.length) {
    console.log(`${link}: ${expression}: libpcap ${libpcap.length}, strict ${strict.length}, loose ${loose.length}`);
  }
  for (const packet of packets.get(linktype) ?? []) {
    row.runs++;
    row.stepsLibpcap += steps(libpcap, packet);
    row.stepsStrict += steps(strict, packet);
  }
}

function emptyRow(name) {
  const sizes = { programs: 0, generated: 0, libpcap: 0, strict: 0, loose: 0, longer: 0, longerLoose: 0 };
  return { name, ...sizes, runs: 0, stepsLibpcap: 0, stepsStrict: 0 };
}

function print(all) {
  const total = { name: "all" };
  for (const row of all) {
    for (const [key, value] of Object.entries(row)) if (key !== "name") total[key] = (total[key] ?? 0) + value;
  }
  const table = [...all, total].map((row) => ({
    "link type": row.name,
    programs: row.programs,
    generated: row.generated,
    libpcap: row.libpcap,
    strict: row.strict,
    "strict %": percent(row.strict, row.libpcap),
    loose: row.loose,
    "loose %": percent(row.loose, row.libpcap),
    "longer strict/loose": `${row.longer}/${row.longerLoose}`,
    "executed libpcap": mean(row.stepsLibpcap, row.runs),
    "executed strict": mean(row.stepsStrict, row.runs),
  }));
  console.table(table);
  console.log(`slowest: ${slowest.ms.toFixed(1)} ms of CPU time, ${slowest.expression}`);
}

function percent(ours, theirs) {
  return `${(100 * (ours / theirs - 1)).toFixed(1)}`;
}

function mean(sum, count) {
  return count === 0 ? "-" : (sum / count).toFixed(2);
}

/** Instructions that a run executes. */
function steps(program, { data, length }) {
  const verified = verify(program, { profile: "libpcap" });
  let count = 0;
  for (const _step of trace(verified, data, packetContext({ length }))) count++;
  return count;
}
