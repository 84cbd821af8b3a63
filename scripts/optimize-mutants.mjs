// Do the tests notice a wrong optimizer?  Breaks it in one place at a time and runs the optimizer's tests; every mutant
// has to be caught.
//
//   node scripts/optimize-mutants.mjs [--only REGEXP]
//
// A mutant is a text replacement in one place of a source file.  It is made in a copy in a temporary folder; the
// repository is not touched.  Exit status 1 when a mutant survives.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

// file, what is wrong, the text, and what stands there instead
// biome-ignore format: a table
const MUTANTS = [
  // Values
  ["value.ts",    "and folds to the value when masks overlap",         "if (kept === left.bits) return left;", "if (kept !== 0) return left;"],
  ["value.ts",    "an address forgets what was added to its anchor",   "offset = (offset + anchor.right.k) >>> 0;", "offset = offset >>> 0;"],
  ["value.ts",    "division by 8 is a shift by 4",                     'this.alu("rsh", left, this.constant(log2(k)))', 'this.alu("rsh", left, this.constant(log2(k) + 1))'],
  ["value.ts",    "the low byte of a halfword is its first byte",      "left.k + left.size - 1, 1, left.since)", "left.k, 1, left.since)"],
  ["value.ts",    "two shifts do not add up",                          "sum > 31 ? this.constant(0)", "sum > 32 ? this.constant(0)"],
  ["value.ts",    "a shifted value has the bits of the unshifted",     "[Math.min(U32_MAX, left.max * 2 ** k), (left.bits << k) >>> 0]", "[left.max, left.bits]"],
  // Hazards
  ["hazards.ts",  "a long load is implied by a shorter one",           "if ((shown.levels.get(key) ?? -1) >= level) continue;", "if (shown.levels.has(key)) continue;"],
  ["hazards.ts",  "what one path requires counts for both",            "if (other !== undefined) levels.set(key, Math.min(level, other));", "levels.set(key, Math.max(level, other ?? 0));"],
  ["value.ts",    "a division by X has no hazard",                     "hazards: divides ?", "hazards: false ?"],
  // Graph
  ["graph.ts",    "touches are dropped",                               "if (hazards.levels.size === 0 || covers(next.needs, hazards)) return next;", "return next;"],
  ["graph.ts",    "a dropped test drops its load",                     "if (yes === no) return this.touch(left, this.touch(right, yes, origin), origin);", "if (yes === no) return yes;"],
  ["graph.ts",    "v >= k is v > k",                                   'again("gt", left, k - 1)', 'again("gt", left, k)'],
  ["graph.ts",    "v + c == k is v == k + c",                          "(k - constant) >>> 0);", "(k + constant) >>> 0);"],
  ["graph.ts",    "v & m == m is any bit of m",                        "k !== 0 && k === left.bits && isPowerOfTwo(k)", "k !== 0 && k === left.bits"],
  ["graph.ts",    "the largest number is never reached",               "if (k >= left.max) return", "if (k >= left.max - 1) return"],
  ["graph.ts",    "left > right is right > left",                      "return this.test(\"gt\", right, left, no, yes, origin);", "return this.test(\"gt\", right, left, yes, no, origin);"],
  // Facts
  ["facts.ts",    "not greater means less",                            "else high = Math.min(high, k);", "else high = Math.min(high, k - 1);"],
  ["facts.ts",    "one bit of several means all",                      "else if (isPowerOfTwo(k)) ones |= k;\n      else return settled(low, high, zeros, ones, fact.excluded.with(k, 0));", "else ones |= k;"],
  ["facts.ts",    "facts of both paths are kept at a join",            "low: Math.min(a.low, b.low),", "low: Math.max(a.low, b.low),"],
  ["facts.ts",    "exclusions of one path are kept at a join",         "    excluded: a.excluded.common(b.excluded),\n", "    excluded: a.excluded,\n"],
  ["facts.ts",    "adding does not wrap",                              "if (fact.high + k <= 0xffffffff) {", "if (fact.high >= 0) {"],
  ["facts.ts",    "bits shift the wrong way",                          "ones = fact.ones << k;", "ones = fact.ones >>> k;"],
  // Passes
  ["imply.ts",    "decided tests lose their loads",                    "touches = [...touches, value];", ""],
  ["imply.ts",    "the outcome is taken the other way round",          "const next = outcome ? to.yes : to.no;", "const next = outcome ? to.no : to.yes;"],
  ["restrict.ts", "restricting loses loads",                           "if (!covers(facts.proven, value.hazards)) made = nodes.touch(value, made, node.origin);", ""],
  ["chains.ts",   "chains are sorted past loads",                      "if (!harmless && !covers(proven, hazards)) {", "if (false) {"],
  ["switches.ts", "a range ends one early",                            'nodes.test("gt", value, constant(high), node, above, origin)', 'nodes.test("gt", value, constant(high - 1), node, above, origin)'],
  ["switches.ts", "a tree splits one off",                             "nodes.values.constant(low - 1), above, below, origin);\n}", "nodes.values.constant(low), above, below, origin);\n}"],
  ["switches.ts", "a knot with one way out drops its load",            "nodes.touch(value, write(nodes, value, joined(intervals), node.origin), node.origin)", "write(nodes, value, joined(intervals), node.origin)"],
  ["switches.ts", "the largest number has every bit",                  "(fill(value.max) & ~mask)", "(value.max & ~mask)"],
  ["legs.ts",     "legs are joined at the wrong distance",             "nodes.let(param, constant, body, other.origin)", "nodes.let(param, nodes.values.constant(distance + 1), body, other.origin)"],
  ["legs.ts",     "legs are joined without being the same",            "if (rewritten(nodes, node, load.anchor, constant) !== other) continue;", ""],
  ["graph.ts",    "a check for the device stands for a load",          "[needs, { support }, params] = [ALWAYS_SAFE,", "[needs, { support }, params] = [value.hazards,"],
  // Calls of users' instructions
  ["calls.ts",    "a call sees the cells as they are",                 "!machine.holds(place, value));", "place >= PLACE_A && !machine.holds(place, value));"],
  ["graph.ts",    "what fails behind a call counts in front of it",    "join(all, hazards), ALWAYS_SAFE);", "join(all, hazards), next.needs);"],
  ["graph.ts",    "what fails behind a draw counts in front of it",    "needs: ALWAYS_SAFE, support", "needs: next.needs, support"],
  ["lift.ts",     "the packet is the same behind a call",              "since = pc + 1;", ""],
  ["lift.ts",     "paths meet with the packet of the first",           "(state) => state.since === since) ? since : pc", "(state) => state.since === since) ? since : since"],
  ["machine.ts",  "the device is there behind a call on one path",     "this.device = false;", ""],
  ["machine.ts",  "a node without tries left takes X for free",        "return \"left\" in value && (value.op === \"nlattr\" || value.right.op !== \"const\" || needsX(value.left));", "return false;"],
  ["lift.ts",     "a branch on constants goes the other way",          "CONDITION[does.cond](left.k, right.k) ? ways.slice(0, 1) : ways.slice(1)", "CONDITION[does.cond](left.k, right.k) ? ways.slice(1) : ways.slice(0, 1)"],
  ["switches.ts", "a number goes where its neighbour goes",            "if (numbers[middle]! < bound) low = middle + 1;", "if (numbers[middle]! <= bound) low = middle + 1;"],
  ["placement.ts", "the device is there behind a call",                "return { places, device: false };", "return { places, device: state.device };"],
  ["tail.ts",     "calls with other operands are one",                 "(jt << 8) | jf];", "0];"],
  // Lifting and emitting
  ["lift.ts",     "TAX and TXA are the same",                          'places[does.dst === "a" ? A : X] = does.dst === "a" ? x : a;', "places[A] = x;"],
  ["lift.ts",     "paths join without a name",                         "else if (states.every(({ places }) => places[place] === first)) merged.push(first);", "else if (states.length > 0) merged.push(first);"],
  ["lift.ts",     "IFINDEX without a device returns 0",                'else if (kind === "device") wraps.push', "else if (false) wraps.push"],
  ["machine.ts",  "ld A from X when X has something else",             "if (this.holds(PLACE_A, value)) return;", "if (this.places[PLACE_A].length > 0 && value.op === \"load\") return;"],
  ["machine.ts",  "a load counts from the wrong place",                "(k - distance(near, anchor)!) >>> 0", "k"],
  ["machine.ts",  "X is lost while A is made",                         "if (!this.holds(PLACE_X, right)) throw UNAVAILABLE;", ""],
  ["placement.ts", "paths enter behind loads they did not do",         "if (known && satisfies(states[i]!, wanted)) entered[i] = at;", "if (known) entered[i] = at;"],
  ["placement.ts", "one name of a number stands for the others",       "!names.every((name) => state", "!names.some((name) => state"],
  ["placement.ts", "places of one path are believed of both",          "held.filter((value) => other.includes(value))", "[...held]"],
  ["placement.ts", "A and X of one path serve the other",              "if (entered.includes(-1)) {", "if (false) {"],
  ["emit.ts",     "stores are dropped",                                "if ((live & bits) !== 0 || effect) {", "if (((live & bits) !== 0 || effect) && code !== 0x02) {"],
  ["layout.ts",   "a jump one too far",                                "stmt(CODE.ja, instructions.length - place[block.exit.id]!)", "stmt(CODE.ja, instructions.length - place[block.exit.id]! + 1)"],
  ["layout.ts",   "stand-ins out of reach",                            "const REACH = 255;", "const REACH = 270;"],
  ["layout.ts",   "a shared stand-in jumps short",                     "else write(stmt(CODE.ja, instructions.length - place[target.id]!), target.origin);", "else write(stmt(CODE.ja, instructions.length - place[target.id]! - 1), target.origin);"],
];

/** What is run for each mutant until something fails. */
const RUNS = [
  ["test/optimize", "-t", "^(?!libpcap)"],
  ["test/optimize.test.ts", "-t", "^libpcap"],
];

const only = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1] : "";
const chosen = MUTANTS.filter(([file, what]) => new RegExp(only).test(`${file} ${what}`));
const folder = mkdtempSync(join(tmpdir(), "cbpf-mutants-"));
let survivors = 0;
try {
  for (const name of ["src", "test", "package.json", "vitest.config.ts", "tsconfig.json"]) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  for (const mutant of chosen) mutated(mutant); // a mutant that does not fit is found before any is run
  const untouched = firstFailure();
  if (untouched !== undefined) throw new Error(`the tests fail as they are: ${untouched}`);
  for (const [number, mutant] of chosen.entries()) {
    const [file, what] = mutant;
    const target = join(folder, "src/optimize", file);
    const before = readFileSync(target);
    writeFileSync(target, mutated(mutant));
    const failure = firstFailure();
    writeFileSync(target, before);
    if (failure === undefined) survivors++;
    const caught = failure === undefined ? "SURVIVED" : `caught by ${failure}`;
    console.log(`${String(number + 1).padStart(3)}  ${file.padEnd(12)} ${what.padEnd(50)} ${caught}`);
  }
  console.log(`\n${chosen.length - survivors} of ${chosen.length} mutants caught`);
} finally {
  rmSync(folder, { recursive: true });
}
process.exitCode = survivors === 0 ? 0 : 1;

function mutated([file, what, from, to]) {
  const text = readFileSync(join(ROOT, "src/optimize", file), "utf8");
  const parts = text.split(from);
  if (parts.length < 2) throw new Error(`${file}: "${what}" does not fit: ${JSON.stringify(from)} is not there`);
  return parts[0] + to + parts.slice(1).join(from);
}

/** The name of the first test that fails, or undefined; quick tests go first. */
function firstFailure() {
  for (const words of RUNS) {
    const failure = failureOf(["vitest", "run", ...words, "--bail", "1", "--reporter", "json"]);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

function failureOf(words) {
  const run = spawnSync("npx", words, { cwd: folder, encoding: "utf8", timeout: 120_000 });
  if (run.status === 0) return undefined;
  if (run.error !== undefined) return "the time limit";
  const report = run.stdout.slice(run.stdout.indexOf("{"));
  try {
    const tests = JSON.parse(report).testResults.flatMap((file) => file.assertionResults);
    const failed = tests.find((test) => test.status === "failed");
    return failed?.fullName.slice(0, 70) ?? "a crash";
  } catch {
    return "a crash";
  }
}
