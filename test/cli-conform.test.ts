// `cbpf conform` as its users call it, with engines that need no kernel.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { ENGINES } from "../src/cli/conform-engines.ts";
import { askBatch } from "../src/cli/conform-ways.ts";
import { readCorpusFile } from "../src/conformance/corpus.ts";
import type { Report } from "../src/conformance/report.ts";
import type { Trial } from "../src/conformance/trial.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { CODE } from "../src/isa/opcodes.ts";
import { status } from "../src/kernel/load.ts";
import type { Filter } from "../src/program/engine.ts";
import { stmt } from "../src/program/instruction.ts";
import { verify } from "../src/verify/verify.ts";
import { cbpf } from "./terminal.ts";

const FOLDER = mkdtempSync(join(tmpdir(), "cbpf-conform-"));
afterAll(() => rmSync(FOLDER, { recursive: true }));
const at = (name: string): string => join(FOLDER, name);

/** An engine that accepts everything and gives every packet the verdict of `expression`, over `packet` and `n`. */
function engine(name: string, expression: string): string {
  writeFileSync(
    at(`${name}.mjs`),
    `import { createInterface } from "node:readline";
     console.log(JSON.stringify({ name: ${JSON.stringify(name)}, version: "1.0" }));
     createInterface({ input: process.stdin }).on("line", (line) => {
       const { id, program, packets } = JSON.parse(line);
       console.log(JSON.stringify({ id, accepted: true, verdicts: packets.map((packet, n) => ${expression}) }));
     });`,
  );
  return `${JSON.stringify(process.execPath)} ${JSON.stringify(at(`${name}.mjs`))}`;
}

const LENGTH = "; The length.\n; source: by hand\n    ld  #len\n    ret a\n; run: 00 01 => 2\n; run: 00*40 => 40\n";
writeFileSync(at("length.bpft"), LENGTH);
const ALONE = ["--engines", "interpreter", "--workers", "1"];

describe("cbpf conform", () => {
  test("runs the corpus and random trials, and reports", async () => {
    const { status, out } = await cbpf([
      "conform",
      ...ALONE,
      "--cases",
      "500",
      "--report",
      at("r.json"),
      at("length.bpft"),
    ]);
    expect(status).toBe(0);
    expect(out).toMatch(
      /^engine +category +programs +agreed +cases +agreed +skipped\ninterpreter +corpus +1 +1 +2 +2 +0\n/,
    );
    expect(out).toMatch(/cases in [\d.]+ s \([\d,]+ a minute\), seed 1: no disagreement\n$/);
    const report = JSON.parse(readFileSync(at("r.json"), "utf8")) as Report;
    expect(report.contestants).toEqual([{ name: "interpreter", version: "reference", reference: true }]);
    expect(report.cases).toBeGreaterThanOrEqual(500);
    expect(report).toMatchObject({ disagreed: 0, about: { seed: "1", node: process.version, workers: "1" } });
  });

  test("the same seed gives the same counts, another seed others", async () => {
    const counts = async (seed: string) => {
      await cbpf(["conform", ...ALONE, "--cases", "400", "--seed", seed, "--report", at("r.json")]);
      return (JSON.parse(readFileSync(at("r.json"), "utf8")) as Report).tallies;
    };
    const first = await counts("7");
    expect(await counts("7")).toEqual(first);
    expect(await counts("8")).not.toEqual(first);
  });

  test("a wrong expectation in the corpus is a disagreement", async () => {
    writeFileSync(at("wrong.bpft"), LENGTH.replace("=> 40", "=> 41"));
    const { status, out } = await cbpf(["conform", ...ALONE, "--cases", "0", at("wrong.bpft")]);
    expect(status).toBe(1);
    expect(out).toContain("interpreter: 0x28, expected 0x29");
    expect(out).toMatch(/seed 1: 1 disagreements\n$/);
  });

  test("an engine that is wrong is shown by the smallest case, with the line that runs it again", async () => {
    const command = engine("long", "packet.bytes.length / 2 > 10 ? 7 : packet.bytes.length / 2");
    const words = [
      "conform",
      ...ALONE,
      "--engine-cmd",
      command,
      "--cases",
      "0",
      "--report",
      at("r.html"),
      at("length.bpft"),
    ];
    const { status, out } = await cbpf(words);
    expect(status).toBe(1);
    expect(out).toContain("long: 0x7, expected 0x28");
    const bpft = out.slice(out.indexOf("    ; long says")).split("\n\n")[0]!;
    const text = bpft
      .split("\n")
      .filter((line) => line.startsWith("    "))
      .map((line) => line.slice(4))
      .join("\n");
    const [run] = readCorpusFile(text, "found").runs;
    expect(run!.packet.length).toBeLessThanOrEqual(11);
    expect(readFileSync(at("r.html"), "utf8")).toContain("long says");
    const random = await cbpf(["conform", ...ALONE, "--engine-cmd", command, "--cases", "300", "--packets", "5"]);
    expect(random.status).toBe(1);
    const rerun = /rerun: cbpf (conform --seed 1 --packets 5 --scene anywhere --trial \d+)/.exec(random.out)![1]!;
    const again = await cbpf([...rerun.split(" "), ...ALONE, "--engine-cmd", command]);
    expect(again.status).toBe(1);
    expect(again.out).toContain(rerun);
  }, 60_000);

  test("stops at the first disagreement, or when time is up", async () => {
    const command = engine("zero", "0");
    const fast = await cbpf(["conform", ...ALONE, "--engine-cmd", command, "--fail-fast", "--cases", "5000"]);
    expect(fast.status).toBe(1);
    expect(fast.out).toMatch(/^[\d,]{1,3} cases in/m);
    const started = Date.now();
    const timed = await cbpf(["conform", ...ALONE, "--time", "1", "--cases", "1000000000"]);
    expect(timed.status).toBe(0);
    expect(Date.now() - started).toBeLessThan(20_000);
  }, 60_000);

  test.each([
    [
      ["--engines", "mine"],
      /--engines mine: expected some of interpreter, js, js-batch, wasm, wasm-batch, wasm-call, kernel/,
    ],
    [["--report", "r.txt"], /--report r.txt: .json or .html/],
    [["--cases", "many"], /--cases many/],
    [["--seed", "-1"], /--seed/],
    [["--engines", "interpreter", "--engine-cmd", "exit 9", "--workers", "1"], /--engine-cmd exit 9/],
  ])("%j is a wrong call", async (words, message) => {
    const { status, err } = await cbpf(["conform", ...words]);
    expect(status).toBeGreaterThanOrEqual(2);
    expect(err).toMatch(message);
  });

  test("a file that is no corpus file is bad input, with the place", async () => {
    writeFileSync(at("bad.bpft"), "; source: x\n; rnu: => 0\nret #0\n");
    const { status, err } = await cbpf(["conform", ...ALONE, "--cases", "0", at("bad.bpft")]);
    expect(status).toBe(3);
    expect(err).toMatch(/line 2, column 1: unknown directive "rnu"/);
  });
});

describe("every way into an engine", () => {
  // byte 0 + MARK + LEN + RANDOM + the first byte of the network header
  const trial: Trial = {
    category: "test",
    origin: "by hand",
    profile: "linux",
    instructions: [
      ...[stmt(CODE.ldb_abs, 0), stmt(CODE.tax)],
      ...[stmt(CODE.ldw_abs, 0xffff_f014), stmt(CODE.add_x), stmt(CODE.tax)],
      ...[stmt(CODE.ld_len), stmt(CODE.add_x), stmt(CODE.tax)],
      ...[stmt(CODE.ldw_abs, 0xffff_f038), stmt(CODE.add_x), stmt(CODE.tax)],
      ...[stmt(CODE.ldb_abs, 0xfff0_0000), stmt(CODE.add_x), stmt(CODE.ret_a)],
    ],
    samples: [
      { packet: Uint8Array.of(1), context: { mark: 20, length: 300, random: [4000] } },
      {
        packet: Uint8Array.of(2, 7),
        context: { mark: 30, random: [5000, 6000], before: Uint8Array.of(9), network: -1 },
      },
      { packet: Uint8Array.of(), context: { mark: 40 } }, // no byte 0
      { packet: Uint8Array.of(3), context: { mark: 50, random: [0xffff_ff00] } }, // wraps
    ],
  };
  const want = [1 + 20 + 300 + 4000 + 1, 2 + 30 + 2 + 5000 + 9, 0, 3 + 50 + 1 + 3 - 0x100 + 2 ** 32];

  test.each(Object.entries(ENGINES))("%s is asked about each packet with its context", (name, contestant) => {
    const { verdicts } = { verdicts: [], ...contestant().judge(trial, undefined) };
    expect(verdicts, name).toEqual(want);
  });

  test("a batch that counts otherwise than its verdicts say has failed", () => {
    const filter = interpreter.load(verify([stmt(CODE.ret_k, 1)]));
    const lying: Filter = {
      tier: "lying",
      run: () => 1,
      runBatch: (batch, verdicts) => filter.runBatch(batch, verdicts) - 1,
    };
    expect(askBatch(filter, trial)).toEqual([1, 1, 1, 1]);
    expect(askBatch(lying, trial)).toEqual({ failed: "runBatch returns 3 for 4 matches" });
  });
});

// AF_UNIX needs no privilege: the built command, run as nobody.
describe("as an ordinary user", () => {
  const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
  const reason = whyNot();
  if (reason !== undefined) console.log(`conform as uid 65534: skipped, ${reason}`);

  function whyNot(): string | undefined {
    if (!status().available) return status().message;
    if (process.getuid?.() !== 0) return "only root can become nobody";
    if (!existsSync(MAIN)) return "there is no dist; npm run build makes it";
    const seen = spawnSync(process.execPath, ["-e", `require("fs").readFileSync(${JSON.stringify(MAIN)})`], {
      uid: 65534,
      gid: 65534,
    });
    if (seen.status !== 0) return "nobody can not read node or dist here";
    accessSync(MAIN, constants.R_OK);
    return undefined;
  }

  test.skipIf(reason !== undefined)(
    "everything on AF_UNIX is compared",
    () => {
      const words = [MAIN, "conform", "--engines", "interpreter,kernel", "--cases", "2000", "--workers", "1"];
      const {
        stdout,
        stderr,
        status: exit,
      } = spawnSync(process.execPath, words, { uid: 65534, gid: 65534, encoding: "utf8" });
      expect(stderr).toContain("without kernel-tap-raw, a private network needs CAP_SYS_ADMIN");
      expect(stdout).toMatch(/^kernel-unix +all +/m);
      expect(stdout).toContain("no disagreement");
      expect(exit).toBe(0);
    },
    60_000,
  );
});
