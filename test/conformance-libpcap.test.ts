// libpcap's bpf_filter through the adapter of examples/: every known divergence from Linux shows, and nothing shows
// that is not known.  Needs a C compiler and libpcap's headers; elsewhere it prints the reason and skips.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { divergences } from "../src/analyze/divergences.ts";
import { commandContestant } from "../src/cli/engine-command.ts";
import { Comparison, type Disagreement } from "../src/conformance/compare.ts";
import { corpusTrial } from "../src/conformance/corpus.ts";
import { randomTrial } from "../src/conformance/random-trials.ts";
import { localContestant, type Trial } from "../src/conformance/trial.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { CODE } from "../src/isa/opcodes.ts";
import { stmt } from "../src/program/instruction.ts";
import { check, verify } from "../src/verify/verify.ts";
import { corpusFiles } from "./corpus-files.ts";

const SOURCE = fileURLToPath(new URL("../examples/libpcap-adapter/adapter.c", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "cbpf-adapter-"));
const ADAPTER = join(folder, "adapter");

const reason = whyNot();
if (reason !== undefined) console.log(`libpcap adapter: skipped, ${reason}`);
afterAll(() => rmSync(folder, { recursive: true }));

function whyNot(): string | undefined {
  const { error, status, stderr } = spawnSync("cc", ["-O1", "-o", ADAPTER, SOURCE, "-lpcap"], { encoding: "utf8" });
  if (error !== undefined) return "no C compiler";
  return status === 0
    ? undefined
    : (stderr.split("\n").find((line) => line.includes("error")) ?? "it does not compile");
}

/**
 * What libpcap does otherwise, by corpus file: the reason, and the files that show it.  The reasons are those of
 * docs/conformance.md, word for word.
 */
const KNOWN: Readonly<Record<string, readonly RegExp[]>> = {
  "codes are checked by class and field": [/^reject\/unknown-opcode/],
  "a constant shift above 31 is taken": [/^reject\/shift-count/],
  "scratch cells are read before they are written": [/^reject\/scratch-(uninitialized|one-arm|falls-through-ret|ja)/],
  "a jump may go back": [/^reject\/jump-range-ja-loop$/],
  "no length is too long": [/^reject\/program-length-4097$/],
  "an unknown ancillary offset is an offset": [/^reject\/ancillary-offset$/],
  "a shift by X above 31 gives 0": [/^alu\/(lsh|rsh)_x$/],
  "X + k does not wrap": [/^load\/ind-(wraps|minus-four)/, /^load\/len-with-ind$/],
  "there are no NET and LL areas": [
    /^load\/(ind-net|ind-ll|ind-top-4096-reached|ind-largest-net|abs-largest-net|net-|ll-|msh-net|msh-ll)/,
    /^programs\/udp-socket$/,
  ],
  "there are no ancillary values": [
    /^ancillary\//,
    /^regress\/0001-/,
    /^programs\/(netlink-attribute|vlan-kernel|sample-one-in-four)$/,
  ],
};

describe.skipIf(reason !== undefined)("libpcap", () => {
  const libpcap = commandContestant(ADAPTER);
  afterAll(() => libpcap.close?.());

  async function disagreements(trials: Iterable<Trial>): Promise<Disagreement[]> {
    const comparison = new Comparison([localContestant(interpreter), libpcap], { keep: 100_000 });
    for (const trial of trials) await comparison.run(trial);
    return comparison.disagreements;
  }

  test("says its name", async () => {
    await libpcap.judge(corpusTrial(corpusFiles()[0]!), undefined);
    expect(libpcap.name).toBe("libpcap");
    expect(libpcap.version).toMatch(/^libpcap version \d/);
  });

  test("differs on the corpus where it is known to, and nowhere else", async () => {
    const files = corpusFiles().filter(({ profile }) => profile === "linux");
    const names = new Set(
      (await disagreements(files.map(corpusTrial))).map(({ trial }) => trial.origin.slice("corpus ".length)),
    );
    for (const [divergence, patterns] of Object.entries(KNOWN)) {
      for (const pattern of patterns) {
        expect(
          [...names].filter((name) => pattern.test(name)),
          `${divergence}: ${pattern}`,
        ).not.toEqual([]);
      }
    }
    const patterns = Object.values(KNOWN).flat();
    expect([...names].filter((name) => !patterns.some((pattern) => pattern.test(name)))).toEqual([]);
  }, 60_000);

  test("every reason stands in docs/conformance.md", () => {
    const page = readFileSync(new URL("../docs/conformance.md", import.meta.url), "utf8")
      .replace(/\s+/g, " ")
      .toLowerCase();
    for (const divergence of Object.keys(KNOWN)) expect(page).toContain(divergence.toLowerCase());
  });

  test("agrees on what its own profile says, but for what C leaves open", async () => {
    // A constant shift above 31, and cells that libpcap 1.10 leaves as they lie on the stack.
    const open = ["programs/libpcap-shift", "programs/libpcap-scratch"];
    const files = corpusFiles().filter(
      ({ name, profile, rejects }) =>
        profile === "libpcap" && rejects.every((r) => r.rule !== "aborts-at-run") && !open.includes(name),
    );
    expect(files.length).toBeGreaterThan(3);
    expect((await disagreements(files.map(corpusTrial))).map(({ trial }) => trial.origin)).toEqual([]);
  });

  // The generator finds divergences on its own, and `analyze` had warned of each.
  test("differs on random programs only where analyze says that it can", async () => {
    const trials = Array.from({ length: 1500 }, (_, n) => randomTrial(1, n, { scene: "unix", packets: 4 }));
    const found = await disagreements(trials);
    const rules = new Set<string>();
    for (const { trial, sample } of found) {
      const valid = check(trial.instructions).length === 0;
      if (!valid || sample === undefined) {
        for (const { rule } of check(trial.instructions)) rules.add(rule);
        continue;
      }
      const program = verify(trial.instructions);
      const warned = divergences(program, new Array<boolean>(program.instructions.length).fill(true));
      const libpcaps = warned.filter(({ differs }) => differs.includes("libpcap"));
      expect(libpcaps.length, trial.origin).toBeGreaterThan(0);
      for (const { rule } of libpcaps) rules.add(rule);
    }
    expect([...rules]).toEqual(
      expect.arrayContaining([
        "shift-by-register",
        "indirect-wrap",
        "negative-offset",
        "ancillary",
        "unknown-opcode",
        "shift-count",
        "scratch-uninitialized",
        "ancillary-offset",
      ]),
    );
  }, 60_000);
});

describe("--engine-cmd", () => {
  const trial: Trial = {
    category: "test",
    origin: "by hand",
    profile: "linux",
    instructions: [stmt(CODE.ld_len), stmt(CODE.ret_a)],
    samples: [{ packet: Uint8Array.of(1, 2), context: { before: Uint8Array.of(9), length: 7 } }],
  };

  /** A program that says hello, and then runs `body` for each line, as `question`. */
  function engine(body: string): string {
    const script = join(folder, `engine-${Math.random().toString(36).slice(2)}.mjs`);
    writeFileSync(
      script,
      `import { createInterface } from "node:readline";
       console.log(JSON.stringify({ name: "mine", version: "0.1" }));
       createInterface({ input: process.stdin }).on("line", (line) => { const question = JSON.parse(line); ${body} });`,
    );
    return `${JSON.stringify(process.execPath)} ${JSON.stringify(script)}`;
  }

  async function judge(body: string, times = 1) {
    const contestant = commandContestant(engine(body));
    try {
      for (let i = 1; i < times; i++) await contestant.judge(trial, undefined);
      return await contestant.judge(trial, undefined);
    } finally {
      contestant.close?.();
    }
  }

  test("sends what docs/conformance.md says, and takes the answer", async () => {
    const answer = await judge(`
      const right = JSON.stringify(question) === ${JSON.stringify(
        JSON.stringify({
          id: 1,
          profile: "linux",
          program: [
            [0x80, 0, 0, 0],
            [0x16, 0, 0, 0],
          ],
          packets: [{ bytes: "0102", context: { length: 7, before: "09" } }],
        }),
      )};
      console.log(JSON.stringify({ id: 1, accepted: true, verdicts: [right ? 7 : line] }));`);
    expect(answer).toEqual({ accepted: true, verdicts: [7] });
  });

  test.each([
    ["console.log(JSON.stringify({ id: question.id, skip: 'not today' }))", { skip: "not today" }],
    ["console.log(JSON.stringify({ id: question.id, accepted: false }))", { accepted: false, verdicts: [] }],
    [
      "console.log(JSON.stringify({ id: question.id, accepted: true, verdicts: ['why'] }))",
      { accepted: true, verdicts: ["why"] },
    ],
  ])("takes %s", async (body, answer) => {
    expect(await judge(body)).toEqual(answer);
  });

  test.each([
    ["process.exit(3)", /ended without an answer \(exit status 3\)/],
    ["process.kill(process.pid, 'SIGABRT')", /ended without an answer \(SIGABRT\)/],
    ["console.log('what?')", /JSON/],
    ["console.log(JSON.stringify({ id: 99, accepted: true, verdicts: [1] }))", /answer 99 to question 1/],
    ["console.log(JSON.stringify({ id: question.id, accepted: true, verdicts: [] }))", /1 verdicts are needed/],
    ["console.log(JSON.stringify({ id: question.id, accepted: true, verdicts: [-1] }))", /-1 is no verdict/],
    ["console.log(JSON.stringify({ id: question.id }))", /"accepted" or "skip"/],
  ])("%s is a failure", async (body, failed) => {
    expect(await judge(body)).toEqual({ failed: expect.stringMatching(failed) });
  });

  test("is started again after it died", async () => {
    const dies =
      "if (question.id === 1) process.exit(1); console.log(JSON.stringify({ id: question.id, accepted: false }))";
    expect(await judge(dies, 2)).toEqual({ accepted: false, verdicts: [] });
  });

  test("a command that is none is a wrong call", async () => {
    await expect(commandContestant("exit 5").judge(trial, undefined)).rejects.toThrow(/--engine-cmd exit 5/);
  });
});
