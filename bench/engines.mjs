/**
 * How fast is each engine, next to what others do, and what does the optimizer give each of them?
 *
 *   npm run build && node bench/engines.mjs [--set hot|cold] [--rounds N] [--filters a,b,c] [--best] [--record]
 *     [--json FILE]
 *
 * --best takes the best round instead of the median, which says more on a machine that others use too; --record writes
 * bench/record/DATE-nodeMAJOR-CPU.md, --json every sample.  Filters are those of bench-filters.mjs, packet sets those of
 * packets.mjs.  Engines run in turns, round by round; a figure is the median of the rounds, a ratio the median of the
 * rounds' ratios.  Every engine's verdicts are hashed and must be equal.  `gcc` and `clang` are the program translated
 * to C, -O3 -march=native, in a batch loop on huge pages; the `p` forms prefetch eight packets ahead.
 *
 * The filters' programs are libpcap's, behind its optimizer.  The last table puts beside each what `compile` makes of
 * the same expression, in the same rounds.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { compile } from "../dist/vm/compile.js";
import { ALL_10, ALL_FILTERS, benchExpression, benchFilter, SHARED, SMALL_8 } from "./bench-filters.mjs";
import { geometricMean, median, ourLane, race, ratio, rivalLane } from "./lanes.mjs";
import { arenaOf, OURS, ourEngines } from "./our-engines.mjs";
import { COLD_PACKETS, HOT_PACKETS, packetSet } from "./packets.mjs";
import { machine, Table, writeRecord } from "./record.mjs";
import { buildRivals, LEFT_OUT, RIVALS, VERSIONS } from "./rivals.mjs";

const { values: options } = parseArgs({
  options: {
    set: { type: "string" },
    rounds: { type: "string", default: "7" },
    filters: { type: "string" },
    packets: { type: "string" },
    best: { type: "boolean", default: false },
    record: { type: "boolean", default: false },
    json: { type: "string" },
  },
});

if (SHARED === undefined) {
  console.log("no ../shared folder (CBPF_SHARED): there are no filters to measure");
  process.exit(0);
}

const FILTERS = options.filters?.split(",") ?? ALL_FILTERS;
/** Packets of a set for filters that are slow in some engine: the whole cold set would take minutes. */
const LIMITS = {
  hot: { alu4000: 500 },
  cold: { hosts100: 300_000, acl1000: 300_000, alu4000: 4_000 },
};
/** Rounds, and nanoseconds of one sample; short ones fit between two turns of other processes. */
const PACE = { rounds: Number(options.rounds), span: options.best ? 3e5 : 15e6 };

const ENGINES = [...OURS, ...RIVALS];
/** Engines that run our program of an expression as well. */
const COMPARED = ["wasm batch", "js match", "interpreter", "bpf_filter", "gcc"].filter((name) =>
  ENGINES.includes(name),
);
/** Name, in the rivals, of our program of a filter's expression. */
const oursOf = (name) => `${name}_ours`;

const programs = new Map(FILTERS.map((name) => [name, benchFilter(name)]));
for (const name of FILTERS) {
  if (benchExpression(name) !== "") programs.set(oursOf(name), compile(benchExpression(name)).toJSON());
}
const rivals = buildRivals(programs);

/** Every table so far, for the record. */
const tables = [];
function newTable(title, columns) {
  const table = new Table(title, columns);
  tables.push(table);
  return table;
}

/** Every filter on a packet set; returns filter to lane to samples.  A lane of our program is named as `oursOf` does. */
async function measure(which) {
  const size = which === "hot" ? HOT_PACKETS : Number(options.packets ?? COLD_PACKETS);
  const set = packetSet(size);
  const arena = arenaOf(set);
  const out = new Uint32Array(size);
  const running = await rivals.start(set);
  const table = newTable(`${which}: ns a packet`, ENGINES);
  const results = {};
  for (const name of FILTERS) {
    const count = Math.min(size, LIMITS[which][name] ?? size);
    const lanes = await lanesOf(name, ENGINES, (engine) => engine);
    if (programs.has(oursOf(name))) lanes.push(...(await lanesOf(oursOf(name), COMPARED, oursOf)));
    results[name] = await race(lanes, count, { ...PACE, hot: which === "hot" });
    table.add(
      name,
      ENGINES.map((engine) => nanoseconds(results[name][engine])),
    );

    /** The lanes of a program, for the engines that take it. */
    async function lanesOf(program, engines, label) {
      const ours = ourEngines(`${which} ${program}`, programs.get(program), arena, set, count, out);
      const found = [];
      for (const engine of engines) {
        const lane = RIVALS.includes(engine)
          ? await rivalLane(label(engine), running, engine, program, count)
          : engine in ours
            ? ourLane(label(engine), ours[engine], count)
            : { none: "more instructions than it takes" };
        if ("none" in lane) leftOut.add(`${engine} does not run ${program}: ${lane.none}`);
        else found.push(lane);
      }
      return found;
    }
  }
  running.stop();
  return results;
}

function nanoseconds(samples) {
  if (samples === undefined) return "-";
  const ns = options.best ? Math.min(...samples) : median(samples);
  return ns >= 100 ? ns.toFixed(0) : ns.toFixed(2);
}

/** The geometric means over small-8 and all-10, of those filters that have both lanes. */
function means(results, above, below) {
  return [SMALL_8, ALL_10]
    .map((names) => names.filter((name) => results[name]?.[above] !== undefined && results[name][below] !== undefined))
    .map((names) => geometricMean(names.map((name) => ratio(results[name][above], results[name][below], options.best))))
    .map((mean) => (Number.isNaN(mean) ? "-" : mean.toFixed(2)))
    .join(" / ");
}

/** Each engine of ours against each rival. */
function reportRivals(which, results) {
  const table = newTable(`${which}: rival's time / engine's time, geometric mean of small-8 / all-10`, RIVALS);
  for (const engine of OURS)
    table.add(
      engine,
      RIVALS.map((rival) => means(results, rival, engine)),
    );
  const { hosts100 } = results;
  if (hosts100 === undefined) return;
  const list = RIVALS.map((rival) => ratio(hosts100[rival], hosts100["wasm batch"], options.best).toFixed(1));
  table.add("wasm batch, hosts100", list);
}

/** Each engine with libpcap's program of an expression against the same engine with ours. */
function reportOptimizers(which, results) {
  const table = newTable(`${which}: time of libpcap's optimised program / of compile(expression)`, COMPARED);
  for (const name of FILTERS) {
    if (!programs.has(oursOf(name))) continue;
    const lengths = `${name}, ${programs.get(name).length}:${programs.get(oursOf(name)).length}`;
    table.add(
      lengths,
      COMPARED.map((engine) => {
        const [theirs, ours] = [results[name][engine], results[name][oursOf(engine)]];
        return theirs === undefined || ours === undefined ? "-" : ratio(theirs, ours, options.best).toFixed(2);
      }),
    );
  }
  table.add(
    "small-8 / all-10",
    COMPARED.map((engine) => means(results, engine, oursOf(engine))),
  );
}

/** What has no figure, and why. */
const leftOut = new Set(LEFT_OUT);
const facts = { ...machine(), rounds: `${PACE.rounds}, ${options.best ? "best" : "median"}` };
console.log([...Object.entries(facts).map(([name, value]) => `${name} ${value}`), ...VERSIONS].join("\n"));
const samples = {};
for (const which of options.set === undefined ? ["hot", "cold"] : [options.set]) {
  samples[which] = await measure(which);
  if (RIVALS.length > 0) reportRivals(which, samples[which]);
  reportOptimizers(which, samples[which]);
}
console.log(`\n${[...leftOut].join("\n")}`);
if (options.record) console.log(`\nwritten: ${writeRecord("Engines", facts, [...VERSIONS, ...leftOut], tables)}`);
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ about: facts, samples })}\n`);
