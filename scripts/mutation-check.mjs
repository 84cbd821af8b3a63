// Does the conformance suite notice?  Breaks the interpreter in one place at a time and runs the CI slice of `cbpf conform`
// against the kernel; every mutant has to be caught.
//
//   npm run build && node scripts/mutation-check.mjs [--only REGEXP] [--without-corpus]
//
// With --only, mutants whose file or description fits; the check that the interpreter itself agrees is left out then.
//
// A mutant is a text replacement in one place of a source file.  It is compiled into a copy of dist in a
// temporary folder; the repository is not touched.  Exit status 1 when a mutant survives.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ts from "typescript";
import { MUTANTS, mutated, ROOT } from "./mutants.mjs";

const CASES = 300_000;

const only = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1] : undefined;
const corpus = process.argv.includes("--without-corpus") ? [] : [join(ROOT, "test/corpus")];

if (!existsSync(join(ROOT, "dist/cli/main.js"))) {
  console.error("mutation-check: there is no dist; npm run build makes it");
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "cbpf-mutants-"));
let survivors = 0;
try {
  for (const name of ["node_modules", "package.json"]) symlinkSync(join(ROOT, name), join(folder, name));
  for (const name of ["dist", "build/Release", "prebuilds"]) {
    if (existsSync(join(ROOT, name))) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  const chosen = MUTANTS.filter(([file, what]) => new RegExp(only ?? "").test(`${file} ${what}`));
  for (const mutant of chosen) mutated(mutant); // a mutant that does not fit is found before any is run
  if (only === undefined) {
    const untouched = conform();
    if (untouched.disagreement !== undefined)
      throw new Error(`the interpreter as it is fails: ${untouched.disagreement}`);
    console.log(`as it is: ${untouched.summary}\n`);
  }
  for (const [number, mutant] of chosen.entries()) {
    const [, what] = mutant;
    const { disagreement, seconds } = tried(mutant);
    if (disagreement === undefined) survivors++;
    const caught = disagreement === undefined ? "SURVIVED" : `caught by ${disagreement}`;
    console.log(`${String(number + 1).padStart(3)}  ${what.padEnd(52)} ${caught} (${seconds.toFixed(1)} s)`);
  }
  console.log(`\n${chosen.length - survivors} of ${chosen.length} mutants caught`);
} finally {
  rmSync(folder, { recursive: true });
}
process.exitCode = survivors === 0 ? 0 : 1;

/** Runs the slice with one mutant in place. */
function tried(mutant) {
  const [file] = mutant;
  const target = join(folder, file.replace(/^src/, "dist").replace(/\.ts$/, ".js"));
  const before = readFileSync(target);
  const { outputText } = ts.transpileModule(mutated(mutant), {
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      rewriteRelativeImportExtensions: true,
      verbatimModuleSyntax: true,
    },
  });
  writeFileSync(target, outputText);
  try {
    return conform();
  } finally {
    writeFileSync(target, before);
  }
}

/** The CI slice, up to its first disagreement: what that was, or undefined when there is none. */
function conform() {
  const report = join(folder, "report.json");
  rmSync(report, { force: true });
  const words = [
    "--engines",
    "interpreter,kernel",
    "--cases",
    String(CASES),
    "--fail-fast",
    "--exhaustive",
    "--report",
    report,
    ...corpus,
  ];
  const started = performance.now();
  const { status, stderr } = spawnSync(process.execPath, [join(folder, "dist/cli/main.js"), "conform", ...words], {
    encoding: "utf8",
  });
  const seconds = (performance.now() - started) / 1000;
  if (status !== 0 && status !== 1) throw new Error(`the suite does not run: ${stderr}`);
  // A mutant that makes the engine throw leaves no report; it is caught as well.
  if (!existsSync(report))
    return { disagreement: `an exception: ${stderr.split("\n").find((l) => /Error/.test(l))}`, seconds };
  const { disagreements, cases } = JSON.parse(readFileSync(report, "utf8"));
  const [first] = disagreements;
  return {
    seconds,
    summary: `${cases} cases, no disagreement, ${seconds.toFixed(1)} s`,
    disagreement: first && `${first.contestant}, ${first.origin}: ${first.got} for ${first.expected}`,
  };
}
