/**
 * How much smaller than libpcap's own are the programs that the optimizer makes of libpcap's unoptimized ones, and how
 * long does that take?
 *
 *   npm run build && node bench/optimizer.mjs [--each]
 *
 * Needs gcc and libpcap-dev.  For each link type: programs; instructions as generated, behind libpcap's optimizer, and
 * behind ours with strict and with libpcap's semantics; on how many programs either of ours is longer than libpcap's;
 * and the mean number of instructions executed on real packets (strict).
 * For each program on which strict is longer a packet is looked for that is cut off, and on which libpcap's optimizer
 * changed the verdict: a program that short is not the same filter then.  --each lists these programs.
 * Then some lists of ports, and times and memory (optimizer-time.mjs).
 */
import { interpreter } from "../dist/interpreter/interpreter.js";
import { trace } from "../dist/interpreter/trace.js";
import { optimize } from "../dist/optimize/optimize.js";
import { packetContext } from "../dist/program/packet-context.js";
import { comparePaths } from "../dist/prove/paths.js";
import { verify } from "../dist/verify/verify.js";
import { corpus, realPackets } from "./optimizer-corpus.mjs";
import { printCorpusTimes, printLargeTimes } from "./optimizer-time.mjs";

/** Packets of each link type that programs are run on. */
const PACKETS = 40;
/** Milliseconds to look for a packet on which libpcap's optimizer changed the verdict. */
const SEARCH = 10_000;
/** Expressions that grow by the clause in libpcap, and the instructions that ours should not exceed on EN10MB. */
const LISTS = [
  ["port 80 or port 443", 27],
  ["port 80 or port 443 or port 8080 or port 22 or port 53 or port 25", 39],
];

const entries = corpus();
if (typeof entries === "string") {
  console.log(`bench optimizer: skipped, ${entries}`);
  process.exit(0);
}
const packets = realPackets(PACKETS);
const each = process.argv.includes("--each");
const rows = new Map();
const longer = [];
for (const entry of entries) measure(entry);
print([...rows.values()]);
printLonger();
printLists();
printCorpusTimes(entries);
printLargeTimes();

function measure({ link, linktype, expression, generated, libpcap }) {
  const row = rows.get(link) ?? emptyRow(link);
  rows.set(link, row);
  const strict = optimize(generated).instructions;
  const loose = optimize(generated, { semantics: "libpcap" }).instructions;
  row.programs++;
  row.generated += generated.length;
  row.libpcap += libpcap.length;
  row.strict += strict.length;
  row.loose += loose.length;
  if (strict.length > libpcap.length) {
    row.longer++;
    longer.push({ link, expression, generated, libpcap, strict: strict.length, loose: loose.length });
  }
  if (loose.length > libpcap.length) row.longerLoose++;
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
}

/** Says of the programs on which strict is longer, on how many libpcap's own gives a cut packet another verdict. */
function printLonger() {
  let wrong = 0;
  for (const { link, expression, generated, libpcap, strict, loose } of longer) {
    const { found } = comparePaths(generated, libpcap, SEARCH);
    const [want, got] = [generated, libpcap].map((program) => found && verdict(program, found.packet));
    if (want !== got) wrong++;
    if (!each) continue;
    const packet = found === undefined ? "no packet found" : `${want} became ${got} on ${hex(found.packet)}`;
    console.log(`${link}: ${expression}: libpcap ${libpcap.length}, strict ${strict}, loose ${loose}; ${packet}`);
  }
  console.log(`longer in strict: ${longer.length}, of which libpcap's own is wrong on some truncated packet: ${wrong}`);
}

function printLists() {
  for (const [list, most] of LISTS) {
    const { generated, libpcap } = entries.find(({ link, expression }) => link === "EN10MB" && expression === list);
    const { length } = optimize(generated).instructions;
    console.log(`${list}: libpcap ${libpcap.length}, strict ${length}, to be at most ${most}`);
  }
}

function verdict(program, packet) {
  return interpreter.load(verify(program, { profile: "libpcap" })).run(packet);
}

function hex(packet) {
  return Buffer.from(packet).toString("hex");
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
