/**
 * What the optimizer is measured and proved on: expressions on eight link types, as libpcap compiles them without its
 * own optimizer, and real packets of those link types.
 *
 * The expressions are those of the tests (test/optimize, test/filter/expressions), the packets those of the captures
 * of this repository and of ../shared/captures (or $CBPF_SHARED/captures).
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readCaptureSync } from "../dist/capture/read.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SHARED = process.env.CBPF_SHARED ?? join(ROOT, "../shared");

/** Name, DLT for libpcap, LINKTYPE of captures, files of expressions. */
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

/**
 * Every expression that libpcap accepts, with its programs: `generated`, and `libpcap` behind libpcap's optimizer.
 * Expressions whose programs jump back (protochain) are left out: no optimizer works on those.  A string says why
 * there is no libpcap here.
 */
export function corpus() {
  const compile = libpcapCompiler();
  if (typeof compile === "string") return compile;
  return LINKS.flatMap(([link, dlt, linktype, files]) => {
    const expressions = [...new Set(["optimize/any.txt", ...files].flatMap(lines))];
    const generated = compile(dlt, expressions, 0);
    const optimized = compile(dlt, expressions, 1);
    return expressions.flatMap((expression, i) => {
      if (generated[i] === undefined || generated[i].some(({ code, k }) => code === 0x05 && k > 0x7fffffff)) return [];
      const libpcap = optimized[i] ?? [{ code: 6, jt: 0, jf: 0, k: 0 }]; // "expression rejects all packets"
      return [{ link, linktype, expression, generated: generated[i], libpcap }];
    });
  });
}

/** Real packets by link type, `{ data, length }`, at most `most` of each. */
export function realPackets(most) {
  const byType = new Map();
  for (const folder of [join(SHARED, "captures"), join(ROOT, "test/captures")]) {
    if (!existsSync(folder)) console.log(`no ${folder}`);
    for (const name of existsSync(folder) ? readdirSync(folder).sort() : []) {
      if (/\.pcap(ng)?$/.test(name)) addPackets(byType, join(folder, name));
    }
  }
  for (const [type, list] of byType) {
    const step = Math.max(1, Math.floor(list.length / most));
    byType.set(type, list.filter((_packet, i) => i % step === 0).slice(0, most));
  }
  return byType;
}

/** A few of each file, so that one long capture does not speak for all. */
function addPackets(byType, file) {
  let taken = 0;
  try {
    for (const packet of readCaptureSync(readFileSync(file))) {
      const list = byType.get(packet.linktype) ?? [];
      byType.set(packet.linktype, list);
      if (taken++ % 7 === 0 && taken < 30) list.push({ data: packet.data.slice(), length: packet.originalLength });
    }
  } catch {
    // Some of the captures are damaged on purpose; what stood in front of the damage was taken.
  }
}

function lines(file) {
  const text = readFileSync(join(ROOT, "test", file), "utf8");
  return text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));
}

/**
 * Compiles expressions with libpcap, `(dlt, expressions, optimized)`: instructions, or undefined where it refuses.
 * A string says why there is no libpcap here.
 */
export function libpcapCompiler() {
  const binary = join(mkdtempSync(join(tmpdir(), "cbpf-optimizer-")), "pcap_compile");
  const source = join(ROOT, "test/libpcap/pcap_compile.c");
  const built = spawnSync("gcc", ["-O1", "-o", binary, source, "-lpcap"], { encoding: "utf8" });
  if (built.status !== 0) return `libpcap's compiler can not be built: ${built.error?.message ?? built.stderr}`;
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
