/**
 * How long does the optimizer take, and how much memory?  The second half of optimizer.mjs.
 *
 * Times are CPU time of the whole process, which counts what collects garbage on other threads, after a warm-up:
 * medians of five calls.  Memory is what the resident set grows by in a process of its own that optimizes one program.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { compileFilter } from "../dist/filter/compile.js";
import { optimize } from "../dist/optimize/optimize.js";
import { median } from "./lanes.mjs";
import { libpcapCompiler } from "./optimizer-corpus.mjs";
import { shapes } from "./shapes.mjs";

/** Milliseconds that no expression of the corpus should take. */
const LIMIT = 20;
const CALLS = 5;
const HOSTS = 1000;
const SELF = fileURLToPath(import.meta.url);

/** Prints how many programs of the corpus take longer than the limit; they have all been optimized once before. */
export function printCorpusTimes(entries) {
  for (const semantics of ["strict", "libpcap"]) {
    const times = entries.map((entry) => {
      const once = time(entry.generated, { semantics }, 1);
      return { entry, ms: once > LIMIT / 4 ? time(entry.generated, { semantics }, CALLS) : once };
    });
    const { entry, ms } = times.reduce((worst, next) => (next.ms > worst.ms ? next : worst));
    const over = times.filter((t) => t.ms > LIMIT).length;
    const total = times.reduce((sum, t) => sum + t.ms, 0);
    console.log(
      `${semantics}: ${over} of ${times.length} programs take more than ${LIMIT} ms, all of them ${total.toFixed(0)} ms; ` +
        `slowest ${ms.toFixed(1)} ms: ${entry.link}: ${entry.expression}`,
    );
  }
}

/** Prints times and memory of large programs: lists of hosts, and 4096 instructions in several shapes. */
export function printLargeTimes() {
  const rows = Object.entries(large()).map(([name, program]) => {
    const row = { program: name, instructions: program.length };
    for (const semantics of ["strict", "libpcap"]) {
      for (let i = 0; i < CALLS; i++) optimize(program, { semantics });
      row[`${semantics} ms`] = Number(time(program, { semantics }, CALLS).toFixed(0));
      row[`${semantics} to`] = optimize(program, { semantics }).instructions.length;
    }
    const { stdout } = spawnSync(process.execPath, [SELF, name], { encoding: "utf8" });
    return { ...row, "RSS growth MB": Number(stdout) };
  });
  console.table(rows);
}

/** Name to program. */
function large() {
  const hosts = Array.from(
    { length: HOSTS },
    (_, i) => `host 10.${(i * 7919) >> 16}.${((i * 7919) >> 8) & 255}.${i & 255}`,
  );
  const expression = hosts.join(" or ");
  const compile = libpcapCompiler();
  const libpcap = typeof compile === "string" ? undefined : compile(1, [expression], 0)[0];
  return {
    [`${HOSTS} hosts, ours`]: compileFilter(expression, { profile: "libpcap" }).instructions,
    ...(libpcap && { [`${HOSTS} hosts, libpcap's`]: libpcap }),
    ...shapes(4096),
  };
}

/** Median CPU time in milliseconds. */
function time(program, options, calls) {
  const times = Array.from({ length: calls }, () => {
    const before = process.cpuUsage();
    optimize(program, options);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  return median(times);
}

// Called for one program: print by how many megabytes the peak exceeds what was resident before.
if (process.argv[1] === SELF) {
  const program = large()[process.argv[2]];
  const before = process.memoryUsage().rss;
  optimize(program);
  console.log(((process.resourceUsage().maxRSS * 1024 - before) / 1e6).toFixed(0));
}
