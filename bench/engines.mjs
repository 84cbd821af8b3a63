/**
 * How fast is each engine, and next to what C does?
 *
 *   npm run build && node bench/engines.mjs [--set hot|cold] [--rounds N] [--filters a,b,c] [--best] [--json FILE]
 *
 * --best takes the best round instead of the median, which says more on a machine that others use too; --json keeps
 * every sample.  Filters and packet sets are those of ../shared/bench-filters (see packets.mjs).  Engines run in turns, round by
 * round; a figure is the median of the rounds, a ratio the median of the rounds' ratios.  Every engine's verdicts are
 * hashed and must be equal.  `gcc` and `clang` are the program translated to C, -O3 -march=native, in a batch loop on
 * huge pages; the `p` forms prefetch eight packets ahead.
 */
import { writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { interpreter } from "../dist/interpreter/interpreter.js";
import { js } from "../dist/jit/js-engine.js";
import { wasm } from "../dist/jit/wasm-engine.js";
import { createArena } from "../dist/program/arena.js";
import { verify } from "../dist/verify/verify.js";
import { C_ENGINES, COMPILERS, startC } from "./engines-c.mjs";
import { ALL_10, ALL_FILTERS, benchFilter, COLD_PACKETS, HOT_PACKETS, packetSet, SHARED, SMALL_8 } from "./packets.mjs";

const { values: options } = parseArgs({
  options: {
    set: { type: "string" },
    rounds: { type: "string", default: "7" },
    filters: { type: "string" },
    packets: { type: "string" },
    best: { type: "boolean", default: false },
    json: { type: "string" },
  },
});

if (SHARED === undefined) {
  console.log("no ../shared folder (CBPF_SHARED): there are no filters to measure");
  process.exit(0);
}

const ROUNDS = Number(options.rounds);
const FILTERS = options.filters?.split(",") ?? ALL_FILTERS;
/** Packets of the cold set for filters that are slow in some engine, as in docs: the whole set would take minutes. */
const COLD_LIMIT = { hosts100: 300_000, acl1000: 300_000, alu4000: 4_000 };
const HOT_LIMIT = { alu4000: 500 };
/** Nanoseconds that one measurement should last; short ones fit between two turns of other processes. */
const SPAN = options.best ? 3e5 : 15e6;
/** Milliseconds that an engine of ours runs before it is measured: V8 optimises in the background meanwhile. */
const WARM_UP = 300;

const OURS = ["wasm batch", "wasm call", "js match", "js batch", "interpreter"];
const NAMES = [...OURS, ...C_ENGINES];

/**
 * A loop of its own for each filter, as a program with one filter has: a shared loop would be megamorphic.  The name is in
 * the source because V8 shares what it has learnt between functions of one source.
 */
function matchLoop(name, filter) {
  return new Function(
    "filter",
    `return /* ${name} */ (bytes, table, count, out) => {
      let matched = 0;
      for (let i = 0; i < count; i++) {
        const v = filter.match(bytes, table[2 * i], table[2 * i + 1]);
        out[i] = v;
        if (v !== 0) matched++;
      }
      return matched;
    }`,
  )(filter);
}

function callLoop(name, filter, arena) {
  return new Function(
    "filter",
    "arena",
    `return /* ${name} */ (count, out) => {
      let matched = 0;
      for (let i = 0; i < count; i++) {
        const v = filter.matchAt(arena, i);
        out[i] = v;
        if (v !== 0) matched++;
      }
      return matched;
    }`,
  )(filter, arena);
}

function hashOf(out, count) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < count; i++) hash = Math.imul(hash ^ out[i], 0x01000193);
  return hash >>> 0;
}

/** For each filter, what runs it over `count` packets and leaves the verdicts in `out`. */
function ourEngines(name, arena, set, count, out) {
  const program = verify(benchFilter(name));
  const view = (bytes, table) => ({ bytes, table, count });
  const engines = {};
  const wasmFilter = wasm.load(program);
  engines["wasm batch"] = {
    run: () => {
      arena.count = count;
      return wasmFilter.runBatch(arena, arena.output);
    },
    verdicts: () => arena.output,
  };
  const call = callLoop(name, wasmFilter, arena);
  engines["wasm call"] = { run: () => call(count, out), verdicts: () => out };
  const reference = interpreter.load(program);
  engines.interpreter = { run: () => reference.runBatch(view(set.bytes, set.table), out), verdicts: () => out };
  try {
    const jsFilter = js.load(program);
    const loop = matchLoop(name, jsFilter);
    engines["js match"] = { run: () => loop(set.bytes, set.table, count, out), verdicts: () => out };
    engines["js batch"] = { run: () => jsFilter.runBatch(view(set.bytes, set.table), out), verdicts: () => out };
  } catch (error) {
    if (error.code !== "unsupported") throw error;
  }
  return engines;
}

async function measure(which) {
  const size = which === "hot" ? HOT_PACKETS : Number(options.packets ?? COLD_PACKETS);
  const set = packetSet(size);
  const arena = createArena({ bytes: set.bytes.length, packets: size });
  arena.bytes.set(set.bytes);
  arena.table.set(set.table);
  arena.count = size;
  arena.used = set.bytes.length;
  const out = new Uint32Array(size);
  const c = await startC(set, FILTERS);
  const results = {};
  for (const name of FILTERS) {
    const count = Math.min(size, (which === "hot" ? HOT_LIMIT[name] : COLD_LIMIT[name]) ?? size);
    const engines = ourEngines(name, arena, set, count, out);
    const passes = {};
    const samples = Object.fromEntries(NAMES.map((engine) => [engine, []]));
    let hash;
    // warm up, agree on the verdicts, and see how many passes fill a measurement
    for (const engine of NAMES) {
      let ns;
      let verdicts;
      if (engine in engines) {
        const until = performance.now() + WARM_UP;
        do {
          const start = performance.now();
          engines[engine].run();
          ns = ((performance.now() - start) * 1e6) / count;
        } while (performance.now() < until);
        verdicts = hashOf(engines[engine].verdicts(), count);
      } else if (C_ENGINES.includes(engine)) {
        ({ ns, hash: verdicts } = await c.run(engine, name, count, 2));
      } else continue;
      hash ??= verdicts;
      if (verdicts !== hash) throw new Error(`${engine} disagrees on ${name}`);
      passes[engine] = Math.max(1, Math.round(SPAN / (ns * count)));
    }
    for (let round = 0; round < ROUNDS; round++) {
      for (const engine of NAMES) {
        if (engine in engines) {
          const { run } = engines[engine];
          const start = performance.now();
          for (let i = 0; i < passes[engine]; i++) run();
          samples[engine].push(((performance.now() - start) * 1e6) / (passes[engine] * count));
        } else if (C_ENGINES.includes(engine)) {
          samples[engine].push((await c.run(engine, name, count, passes[engine])).ns);
        }
      }
    }
    results[name] = samples;
    const cells = NAMES.map((engine) => format(settle(samples[engine])).padStart(11));
    if (name === FILTERS[0])
      console.log(`\n${which}: ns a packet\n${"".padEnd(10)}${NAMES.map((n) => n.padStart(11)).join("")}`);
    console.log(`${name.padEnd(10)}${cells.join("")}`);
  }
  c.stop();
  return results;
}

/** What stands for many rounds: the median, or with --best the best of them. */
function settle(list) {
  return options.best && list.length > 0 ? Math.min(...list) : median(list);
}

function median(list) {
  if (list.length === 0) return Number.NaN;
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function format(ns) {
  return Number.isNaN(ns) ? "-" : ns >= 100 ? ns.toFixed(0) : ns.toFixed(2);
}

/** Geometric mean over the filters that both can run of rival time / engine time. */
function speedup(results, names, engine, rival) {
  const logs = names
    .filter((name) => (results[name]?.[engine].length ?? 0) > 0 && results[name][rival].length > 0)
    .map((name) => {
      const { [engine]: ours, [rival]: theirs } = results[name];
      return Math.log(options.best ? settle(theirs) / settle(ours) : median(theirs.map((ns, i) => ns / ours[i])));
    });
  return Math.exp(logs.reduce((sum, x) => sum + x, 0) / logs.length);
}

function report(which, results) {
  console.log(`\n${which}: rival's time / engine's time, geometric mean over small-8 / all-10`);
  const rivals = [...C_ENGINES];
  console.log(`${"".padEnd(12)}${rivals.map((rival) => rival.padStart(15)).join("")}`);
  for (const engine of OURS) {
    const cells = rivals.map((rival) => {
      const [small, all] = [SMALL_8, ALL_10].map((names) => speedup(results, names, engine, rival).toFixed(2));
      return `${small} / ${all}`.padStart(15);
    });
    console.log(`${engine.padEnd(12)}${cells.join("")}`);
  }
  if (results.hosts100 !== undefined) {
    console.log(
      `100-host list, wasm batch vs bpf_filter: ${speedup(results, ["hosts100"], "wasm batch", "bpf_filter").toFixed(0)}x`,
    );
  }
}

console.log(
  `node ${process.version}, ${cpus()[0].model}, ${new Date().toISOString().slice(0, 10)}, rounds ${ROUNDS}, load ${loadavg()[0].toFixed(1)}`,
);
for (const name of ["gcc", "clang"])
  if (!COMPILERS.includes(name)) console.log(`no ${name} here: its column is left out`);
const all = {};
for (const which of options.set === undefined ? ["hot", "cold"] : [options.set]) {
  all[which] = await measure(which);
  report(which, all[which]);
}
if (options.json !== undefined) {
  const about = { node: process.version, cpu: cpus()[0].model, date: new Date().toISOString(), load: loadavg() };
  writeFileSync(options.json, `${JSON.stringify({ about, samples: all })}\n`);
}
