/**
 * How much smaller than libpcap's own are the programs that the optimizer makes of libpcap's unoptimized ones?
 *
 *   npm run build && node bench/optimizer.mjs [--each]
 *
 * Needs gcc and libpcap-dev.  For each link type: programs; instructions as generated, behind libpcap's optimizer, and
 * behind ours with strict and with libpcap's semantics; on how many programs either of ours is longer than libpcap's;
 * and the mean number of instructions executed on real packets (strict), where ../shared/captures has that link type.
 * --each lists the programs on which ours is longer.  The slowest is in CPU time, after a warm-up.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readCaptureSync } from "../dist/capture/read.js";
import { trace } from "../dist/interpreter/trace.js";
import { optimize } from "../dist/optimize/optimize.js";
import { packetContext } from "../dist/program/packet-context.js";
import { verify } from "../dist/verify/verify.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SHARED = process.env.CBPF_SHARED ?? join(ROOT, "../shared");
/** Packets of each link type that programs are run on. */
const PACKETS = 40;

/** Name, DLT for libpcap, LINKTYPE of captures, further files of expressions. */
const LINKS = [
  ["EN10MB", 1, 1, ["optimize/ethernet.txt", "filter/expressions/common.txt", "filter/expressions/ethernet.txt"]],
  ["RAW", 12, 101, ["filter/expressions/common.txt"]],
  ["NULL", 0, 0, ["filter/expressions/common.txt"]],
  ["LINUX_SLL", 113, 113, ["filter/expressions/common.txt"]],
  ["LINUX_SLL2", 276, 276, ["filter/expressions/common.txt"]],
  ["PPP", 9, 9, ["filter/expressions/common.txt"]],
  ["IEEE802_11", 105, 105, ["optimize/wlan.txt", "filter/expressions/common.txt"]],
  ["IEEE802_11_RADIO", 127, 127, ["optimize/wlan.txt", "filter/expressions/common.txt"]],
];

const compile = buildLibpcap();
const packets = packetsByLinktype();
const each = process.argv.includes("--each");
let slowest = { ms: 0, expression: "" };
const rows = LINKS.map(([name, dlt, linktype, files]) => measure(name, dlt, packets.get(linktype) ?? [], files));
print(rows);

function measure(name, dlt, sample, files) {
  const row = { name, programs: 0, generated: 0, libpcap: 0, strict: 0, loose: 0, longer: 0, longerLoose: 0 };
  Object.assign(row, { runs: 0, stepsLibpcap: 0, stepsStrict: 0 });
  const expressions = [...new Set(["optimize/any.txt", ...files].flatMap(lines))];
  const generated = compile(dlt, expressions, 0);
  const optimized = compile(dlt, expressions, 1);
  for (const [i, expression] of expressions.entries()) {
    const program = generated[i];
    if (program === undefined || isLoop(program)) continue;
    const libpcap = optimized[i] ?? [{ code: 6, jt: 0, jf: 0, k: 0 }]; // "expression rejects all packets"
    const before = process.cpuUsage();
    const strict = optimize(program).instructions;
    const { user, system } = process.cpuUsage(before);
    const ms = (user + system) / 1000;
    if (row.programs > 50 && ms > slowest.ms) slowest = { ms, expression: `${name}: ${expression}` };
    const loose = optimize(program, { semantics: "libpcap" }).instructions;
    row.programs++;
    row.generated += program.length;
    row.libpcap += libpcap.length;
    row.strict += strict.length;
    row.loose += loose.length;
    if (strict.length > libpcap.length) row.longer++;
    if (loose.length > libpcap.length) row.longerLoose++;
    if (each && strict.length > libpcap.length) {
      console.log(`${name}: ${expression}: libpcap ${libpcap.length}, strict ${strict.length}, loose ${loose.length}`);
    }
    for (const packet of sample) {
      row.runs++;
      row.stepsLibpcap += steps(libpcap, packet);
      row.stepsStrict += steps(strict, packet);
    }
  }
  return row;
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

/** protochain jumps back, which no optimizer works on. */
function isLoop(program) {
  return program.some(({ code, k }) => code === 0x05 && k > 0x7fffffff);
}

function lines(file) {
  const text = readFileSync(join(ROOT, "test", file), "utf8");
  return text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));
}

function packetsByLinktype() {
  const byType = new Map();
  const folder = join(SHARED, "captures");
  if (!existsSync(folder)) console.log(`no ${folder}: nothing is executed`);
  for (const name of existsSync(folder) ? readdirSync(folder).sort() : []) {
    if (!/\.pcap(ng)?$/.test(name)) continue;
    try {
      let taken = 0;
      for (const packet of readCaptureSync(readFileSync(join(folder, name)))) {
        const list = byType.get(packet.linktype) ?? [];
        byType.set(packet.linktype, list);
        // A few of each file, so that one long capture does not speak for all.
        if (taken++ % 7 === 0 && taken < 30) list.push({ data: packet.data.slice(), length: packet.originalLength });
      }
    } catch {
      // Some of the captures are damaged on purpose; what stood in front of the damage was taken.
    }
  }
  for (const [type, list] of byType) {
    const step = Math.max(1, Math.floor(list.length / PACKETS));
    byType.set(
      type,
      list.filter((_packet, i) => i % step === 0),
    );
  }
  return byType;
}

/** Compiles expressions with libpcap: instructions, or undefined where it refuses. */
function buildLibpcap() {
  const binary = join(mkdtempSync(join(tmpdir(), "cbpf-optimizer-")), "pcap_compile");
  const source = join(ROOT, "test/libpcap/pcap_compile.c");
  const built = spawnSync("gcc", ["-O1", "-o", binary, source, "-lpcap"], { encoding: "utf8" });
  if (built.status !== 0) {
    console.log(
      `bench optimizer: skipped, libpcap's compiler can not be built: ${built.error?.message ?? built.stderr}`,
    );
    process.exit(0);
  }
  return (dlt, expressions, optimized) => {
    const input = expressions.map((expression) => `${dlt} 262144 ${optimized} ffffff00 ${expression}\n`).join("");
    const { stdout } = spawnSync(binary, { input, encoding: "utf8", maxBuffer: 2 ** 30 });
    return stdout
      .split("\n")
      .slice(0, expressions.length)
      .map((line) => (line.startsWith("ok ") ? line.slice(3).trim().split(" ").map(instruction) : undefined));
  };
}

function instruction(text) {
  const [code, jt, jf, k] = text.split(",").map(Number);
  return { code, jt, jf, k };
}
