/**
 * Do all engines agree under other versions of Node as well?
 *
 *   npm run build && node scripts/conform-nodes.mjs [--nodes LIST] [--cases N] [--packets N] [--seed S] [--engines LIST]
 *
 * Runs `cbpf conform` on the corpus and on random cases under this Node and under each version of LIST, by default the
 * last 22 and 24, and prints the counts of each engine.  Other versions are npm packages that hold the binary,
 * installed into bench/.cache/nodes.  --engines is that of `cbpf conform`: by default everybody who can take part.
 * Exit status 1 on any disagreement.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const NODES = join(ROOT, "bench/.cache/nodes");

const { values: options } = parseArgs({
  options: {
    nodes: { type: "string", default: "22.23.3,24.21.0" },
    cases: { type: "string", default: "3000000" },
    packets: { type: "string", default: "32" },
    seed: { type: "string", default: "1" },
    engines: { type: "string" },
  },
});

const own = process.versions.node;
const rows = [];
for (const version of new Set([own, ...options.nodes.split(",")])) {
  rows.push(...conform(version === own ? process.execPath : installed(version)));
}
console.table(rows);
if (rows.some(({ disagreed }) => disagreed > 0)) process.exitCode = 1;

/** The binary of a version. */
function installed(version) {
  const name = `node-${process.platform}-${process.arch}`;
  const folder = join(NODES, version);
  const binary = join(folder, "node_modules", name, "bin/node");
  if (existsSync(binary)) return binary;
  mkdirSync(folder, { recursive: true });
  const words = ["install", "--prefix", folder, "--no-save", "--no-audit", "--no-fund", `${name}@${version}`];
  execFileSync("npm", words, { stdio: "inherit" });
  return binary;
}

/** A row for each engine. */
function conform(node) {
  const report = join(NODES, "report.json");
  mkdirSync(NODES, { recursive: true });
  const { cases, packets, seed, engines } = options;
  const words = ["conform", "--cases", cases, "--packets", packets, "--seed", seed, "--report", report];
  if (engines !== undefined) words.push("--engines", engines);
  const { status, stdout } = spawnSync(node, [join(ROOT, "dist/cli/main.js"), ...words, "test/corpus"], {
    cwd: ROOT,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status === 1) process.stdout.write(stdout); // what disagreed, and how to get it again
  if (status !== 0 && status !== 1) throw new Error(`cbpf conform under ${node} ended with status ${status}`);
  const { contestants, tallies, about, seconds } = JSON.parse(readFileSync(report, "utf8"));
  return contestants.map(({ name }) => {
    const own = tallies.filter(({ contestant }) => contestant === name);
    const sum = (count) => own.reduce((total, tally) => total + count(tally), 0);
    const skips = ({ skipped }) => Object.values(skipped).reduce((total, n) => total + n, 0);
    return {
      node: about.node,
      engine: name,
      programs: sum(({ programs }) => programs),
      cases: sum((tally) => tally.cases),
      disagreed: sum((tally) => tally.cases - tally.agreed + tally.programs - tally.programsAgreed),
      skipped: sum(skips),
      seconds: Math.round(seconds),
    };
  });
}
