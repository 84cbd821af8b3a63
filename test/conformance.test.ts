// The conformance tools themselves, without a kernel: seeds repeat, generated programs are what they claim to be, an
// engine that is wrong is found, and what is found gets small.
import { describe, expect, test } from "vitest";
import { MUTANTS, mutated } from "../scripts/mutants.mjs";
import { Comparison } from "../src/conformance/compare.ts";
import { readCorpusFile } from "../src/conformance/corpus.ts";
import { writeCorpusFile } from "../src/conformance/corpus-write.ts";
import { exhaustiveTrials } from "../src/conformance/exhaustive.ts";
import { randomFrame } from "../src/conformance/frames.ts";
import { generateProgram } from "../src/conformance/generate.ts";
import { nearMiss } from "../src/conformance/near-miss.ts";
import { Random } from "../src/conformance/random.ts";
import { randomTrial } from "../src/conformance/random-trials.ts";
import { insertInstructions, removeInstructions } from "../src/conformance/relocate.ts";
import { count, reportOf, summaryTable } from "../src/conformance/report.ts";
import { reportHtml } from "../src/conformance/report-html.ts";
import { reproduce } from "../src/conformance/reproduce.ts";
import { shrink } from "../src/conformance/shrink.ts";
import { type Contestant, localContestant, type Trial } from "../src/conformance/trial.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { CODE, OPCODES } from "../src/isa/opcodes.ts";
import type { Engine } from "../src/program/engine.ts";
import { type Instruction, jump, stmt } from "../src/program/instruction.ts";
import { check, verify } from "../src/verify/verify.ts";

const SEED = Number(process.env.SEED ?? 1);
const rerun = (n: number): string => `rerun: SEED=${SEED} npx vitest run test/conformance.test.ts, program ${n}`;

describe("random numbers", () => {
  test("follow from the seed and the stream alone", () => {
    const draw = (seed: number, stream: number) =>
      Array.from(
        { length: 8 },
        (
          (r) => () =>
            r.u32()
        )(new Random(seed, stream)),
      );
    expect(draw(7, 3)).toEqual(draw(7, 3));
    expect(draw(7, 4)).not.toEqual(draw(7, 3));
    expect(draw(8, 3)).not.toEqual(draw(7, 3));
  });

  test("stay in their range and reach its ends", () => {
    const random = new Random(SEED);
    const seen = new Set(Array.from({ length: 2000 }, () => random.between(-2, 2)));
    expect([...seen].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
    expect(random.below(0)).toBe(0);
    const bits = Array.from({ length: 4000 }, () => random.u32()).reduce((or, n) => (or | n) >>> 0, 0);
    expect(bits).toBe(0xffff_ffff);
  });
});

describe("generated programs", () => {
  const programs = Array.from({ length: 3000 }, (_, n) => generateProgram(new Random(SEED, n)));

  test("are valid by Linux's rules", () => {
    for (const [n, { instructions }] of programs.entries()) expect(check(instructions), rerun(n)).toEqual([]);
  });

  test("use every opcode", () => {
    const used = new Set(programs.flatMap(({ instructions }) => instructions.map(({ code }) => code)));
    expect(OPCODES.filter(({ code }) => !used.has(code)).map(({ name }) => name)).toEqual([]);
  });

  test("mostly reach their end: few of their verdicts are 0", () => {
    let runs = 0;
    let zero = 0;
    for (let n = 0; n < 1000; n++) {
      const { instructions, samples } = randomTrial(SEED, n, { scene: "unix" });
      if (check(instructions).length > 0) continue;
      const filter = interpreter.load(verify(instructions));
      for (const { packet } of samples) {
        runs++;
        if (filter.run(packet) === 0) zero++;
      }
    }
    expect(runs).toBeGreaterThan(5000);
    expect(zero / runs).toBeLessThan(0.75);
  });

  test("one step off validity are refused by every rule of Linux", () => {
    const rules = new Set<string>();
    let refused = 0;
    for (const [n, { instructions }] of programs.entries()) {
      const broken = check(nearMiss(instructions, new Random(SEED + 1, n)));
      if (broken.length > 0) refused++;
      for (const { rule } of broken) rules.add(rule);
    }
    expect([...rules].sort()).toEqual([
      "ancillary-offset",
      "division-by-zero",
      "jump-range",
      "missing-return",
      "program-length",
      "scratch-index",
      "scratch-uninitialized",
      "shift-count",
      "unknown-opcode",
    ]);
    expect(refused / programs.length).toBeGreaterThan(0.25);
    expect(refused / programs.length).toBeLessThan(0.75);
  });

  test("frames have a header, and follow from the seed", () => {
    for (let n = 0; n < 500; n++) {
      const frame = randomFrame(SEED, n);
      expect(frame.length).toBeGreaterThanOrEqual(14);
      expect(randomFrame(SEED, n)).toEqual(frame);
    }
  });
});

describe("moving instructions", () => {
  const program = [jump(CODE.jeq_k, 1, 1, 2), stmt(CODE.ld_imm, 1), stmt(CODE.ja, 1), stmt(CODE.tax), stmt(CODE.ret_a)];

  test("taking one out lets jumps reach what followed their target", () => {
    expect(removeInstructions(program, 1, 1)).toEqual([
      jump(CODE.jeq_k, 1, 0, 1),
      stmt(CODE.ja, 1),
      stmt(CODE.tax),
      stmt(CODE.ret_a),
    ]);
    expect(removeInstructions(program, 2, 2)).toEqual([
      jump(CODE.jeq_k, 1, 1, 1),
      stmt(CODE.ld_imm, 1),
      stmt(CODE.ret_a),
    ]);
    expect(removeInstructions(program, 4, 1)).toEqual([
      jump(CODE.jeq_k, 1, 1, 2),
      stmt(CODE.ld_imm, 1),
      stmt(CODE.ja, 0),
      stmt(CODE.tax),
    ]);
  });

  test("putting one in lets them reach the same instruction", () => {
    expect(insertInstructions(program, 3, [stmt(CODE.txa)])).toEqual([
      jump(CODE.jeq_k, 1, 1, 3),
      stmt(CODE.ld_imm, 1),
      stmt(CODE.ja, 2),
      stmt(CODE.txa),
      stmt(CODE.tax),
      stmt(CODE.ret_a),
    ]);
    const far = [jump(CODE.jeq_k, 0, 255, 0), ...new Array<Instruction>(256).fill(stmt(CODE.ret_a))];
    expect(insertInstructions(far, 1, [stmt(CODE.tax)])).toBeUndefined();
  });
});

/** The interpreter with a fault: shifts by X of 32 and more give 0, as libpcap's do. */
const faulty: Engine = {
  name: "faulty",
  load(program) {
    const shifts = program.instructions.some(({ code }) => code === CODE.lsh_x);
    const filter = interpreter.load(program);
    const run: typeof filter.run = (packet, context) => {
      const verdict = filter.run(packet, context);
      return shifts && packet.length > 2 ? verdict ^ 1 : verdict;
    };
    return { tier: "faulty", run, runBatch: filter.runBatch };
  },
};

describe("shrinking", () => {
  test("leaves what the failure needs and nothing else", async () => {
    const { instructions } = generateProgram(new Random(SEED, 99));
    const program = [...instructions.slice(0, -1), stmt(CODE.lsh_x), stmt(CODE.ret_a)];
    const packet = new Uint8Array(64).fill(7);
    const small = await shrink(
      program,
      packet,
      (p, bytes) => p.some(({ code }) => code === CODE.lsh_x) && bytes.length > 2,
    );
    expect(small.program).toEqual([stmt(CODE.lsh_x)]);
    expect(small.packet).toEqual(new Uint8Array(3));
  });

  test("gives the case back when it does not fail, and stops when it has asked enough", async () => {
    const program = [stmt(CODE.ld_imm, 5), stmt(CODE.ret_a)];
    const packet = Uint8Array.of(1, 2);
    expect(await shrink(program, packet, () => false)).toEqual({ program, packet, attempts: 1 });
    const { attempts } = await shrink(program, packet, () => true, { maxAttempts: 3 });
    expect(attempts).toBe(3);
  });

  test("repairs jumps: what is left of a valid program is valid", async () => {
    for (let n = 0; n < 30; n++) {
      const { instructions } = generateProgram(new Random(SEED, n));
      const valid = (program: readonly Instruction[]) => check(program).length === 0;
      const small = await shrink(instructions, new Uint8Array(0), valid);
      expect(small.program.length, rerun(n)).toBe(1);
    }
  });
});

describe("comparing", () => {
  const trial: Trial = {
    category: "test",
    origin: "by hand",
    profile: "linux",
    instructions: [stmt(CODE.ldx_imm, 33), stmt(CODE.ld_len), stmt(CODE.lsh_x), stmt(CODE.ret_a)],
    samples: [0, 2, 3, 40].map((length) => ({ packet: new Uint8Array(length), context: {} })),
    expected: [0, 4, 6, 80],
  };

  test("counts who agrees with the reference, and where they differ", async () => {
    const comparison = new Comparison([localContestant(interpreter), localContestant(faulty)]);
    await comparison.run(trial);
    expect(comparison).toMatchObject({ trials: 1, cases: 4, disagreed: 2 });
    const tallies = [...comparison.tallies.values()];
    expect(tallies.map(({ contestant, cases, agreed }) => [contestant, cases, agreed])).toEqual([
      ["interpreter", 4, 4],
      ["faulty", 4, 2],
    ]);
    expect(comparison.disagreements.map(({ sample, expected, got }) => [sample, expected, got])).toEqual([
      [2, "0x6", "0x7"],
      [3, "0x50", "0x51"],
    ]);
  });

  test("holds the reference to what a trial expects", async () => {
    const comparison = new Comparison([localContestant(faulty)]);
    await comparison.run(trial);
    expect(comparison.disagreements.map(({ contestant, sample }) => [contestant, sample])).toEqual([
      ["faulty", 2],
      ["faulty", 3],
    ]);
  });

  const other = (judge: Contestant["judge"]): Contestant => ({ name: "other", version: "1", judge });

  test("a skip is counted by its reason and is no disagreement", async () => {
    const comparison = new Comparison([
      localContestant(interpreter),
      other(() => ({ accepted: true, verdicts: [0, 4, "no such packet", "no such packet"] })),
    ]);
    await comparison.run(trial);
    await new Comparison([localContestant(interpreter), other(() => ({ skip: "never" }))]).run(trial);
    expect(comparison).toMatchObject({ cases: 2, disagreed: 0 });
    expect(comparison.tallies.get("other\0test")!.skipped).toEqual(new Map([["no such packet", 2]]));
  });

  test("another word on the program, another errno, and a death are disagreements", async () => {
    for (const [answer, got] of [
      [{ accepted: false, verdicts: [] }, "refused"],
      [{ accepted: false, attach: "EPERM", verdicts: [] }, "EPERM"],
      [{ failed: "SIGABRT" }, "SIGABRT"],
    ] as const) {
      const comparison = new Comparison([localContestant(interpreter), other(() => answer)]);
      await comparison.run(trial);
      expect(comparison.disagreements.map((d) => d.got)).toEqual([got]);
    }
  });

  test("a program that is too large for the kernel is a skip, when the estimate says so as well", async () => {
    const large = {
      ...trial,
      instructions: [...new Array<Instruction>(1169).fill(stmt(CODE.ldw_abs, 4)), stmt(CODE.ret_a)],
    };
    const { expected: _, ...unknown } = large;
    const enomem = other(() => ({ accepted: false, attach: "ENOMEM", verdicts: [] }));
    const right = new Comparison([localContestant(interpreter), enomem]);
    await right.run(unknown);
    expect(right).toMatchObject({ cases: 0, disagreed: 0 });
    const wrong = new Comparison([localContestant(interpreter, { optmemMax: 1 << 20 }), enomem]);
    await wrong.run(unknown);
    expect(wrong.disagreements.map(({ expected, got }) => [expected, got])).toEqual([["ok", "ENOMEM"]]);
  });

  test("findings of two comparisons add up", async () => {
    const [a, b] = [1, 2].map(() => new Comparison([localContestant(interpreter), localContestant(faulty)]));
    await a!.run(trial);
    await b!.run(trial);
    a!.merge(b!.findings());
    expect(a).toMatchObject({ trials: 2, cases: 8, disagreed: 4 });
    expect(a!.tallies.get("faulty\0test")).toMatchObject({ cases: 8, agreed: 4, programs: 2 });
  });

  test("a disagreement becomes a corpus file that shows it", async () => {
    const [reference, wrong] = [localContestant(interpreter, { version: "1.0" }), localContestant(faulty)];
    const comparison = new Comparison([reference, wrong]);
    await comparison.run(trial);
    const text = await reproduce(comparison.disagreements[0]!, reference, wrong, reference);
    const file = readCorpusFile(text, "found");
    expect(file.instructions.length).toBeLessThanOrEqual(3);
    expect(file.sources).toEqual(["interpreter 1.0; found by by hand"]);
    const [run] = file.runs;
    expect(interpreter.load(verify(file.instructions)).run(run!.packet)).toBe(run!.verdict);
    expect(faulty.load(verify(file.instructions)).run(run!.packet)).not.toBe(run!.verdict);
  });

  test("a disagreement about a program becomes a file with the rules it breaks", async () => {
    const lenient: Contestant = other(() => ({ accepted: true, verdicts: [] }));
    const reference = localContestant(interpreter);
    const comparison = new Comparison([reference, lenient]);
    const { expected: _, ...rest } = trial;
    await comparison.run({ ...rest, instructions: [stmt(CODE.ld_imm, 3), stmt(CODE.lsh_k, 40), stmt(CODE.ret_a)] });
    const text = await reproduce(comparison.disagreements[0]!, reference, lenient, reference);
    expect(readCorpusFile(text, "found").rejects.map(({ rule }) => rule)).toContain("missing-return");
  });
});

describe("corpus files", () => {
  test("are read as they were written", () => {
    for (let n = 0; n < 200; n++) {
      const { instructions, samples } = randomTrial(SEED, n, { scene: "anywhere", packets: 2 });
      if (instructions.length === 0) continue;
      const runs = samples.map((sample, i) => ({ ...sample, verdict: 0xffff_fff0 + i }));
      const text = writeCorpusFile({
        title: "A title\nof two lines",
        source: "here",
        profile: "linux",
        instructions,
        runs,
      });
      const file = readCorpusFile(text, "x");
      expect(file.instructions, text).toEqual(instructions);
      expect(file.runs.map(({ packet, verdict }) => [packet, verdict])).toEqual(runs.map((r) => [r.packet, r.verdict]));
      expect(file.title).toBe("A title\nof two lines");
    }
  });
});

describe("reports", () => {
  async function example() {
    const comparison = new Comparison([localContestant(interpreter, { version: "1" }), localContestant(faulty)]);
    const instructions = [stmt(CODE.ld_len), stmt(CODE.lsh_x), stmt(CODE.ret_a)];
    const samples = [{ packet: new Uint8Array(3), context: {} }];
    await comparison.run({ category: "a<b", origin: "by hand", profile: "linux", instructions, samples });
    comparison.disagreements[0]!.bpft = "; x & y\n    ret #0\n";
    return reportOf(comparison, { about: { kernel: "6.18", node: "v20" }, seconds: 1.5 });
  }

  test("are data", async () => {
    const report = await example();
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    expect(report).toMatchObject({
      contestants: [
        { name: "interpreter", version: "1", reference: true },
        { name: "faulty", version: "", reference: false },
      ],
      cases: 1,
      disagreed: 1,
      disagreements: [
        { contestant: "faulty", category: "a<b", expected: "0x3", got: "0x2", bpft: "; x & y\n    ret #0\n" },
      ],
    });
  });

  test("as a table have a line for each engine and category", async () => {
    expect(summaryTable(await example()).split("\n")).toEqual([
      "engine       category  programs  agreed  cases  agreed  skipped",
      "interpreter  a<b              1       1      1       1        0",
      "faulty       a<b              1       1      1       0        0",
      "",
    ]);
    expect(count(1234567)).toBe("1,234,567");
  });

  test("as a page refer to nothing outside and escape what they show", async () => {
    const page = reportHtml(await example());
    expect(page).toContain("a&lt;b");
    expect(page).toContain("; x &amp; y");
    expect(page).not.toMatch(/<script|src=|href=|@import|url\(|https?:/);
    expect(page.match(/<(table|h1|h2|h3|pre|html|body)[ >]/g)!.length).toBeGreaterThan(8);
  });
});

test("exhaustive trials cover every code, every ancillary offset and every operation", () => {
  const codes = new Set<number>();
  const offsets = new Set<number>();
  const arithmetic = new Set<string>();
  let trials = 0;
  for (const { category, instructions, origin } of exhaustiveTrials()) {
    trials++;
    if (category === "opcodes") codes.add(instructions[0]!.code);
    if (category === "ancillary") for (const { k } of instructions) if (k >= 0xffff_f000) offsets.add(k);
    if (category === "arithmetic") arithmetic.add(origin);
  }
  expect(codes.size).toBe(0x10000);
  expect(offsets.size).toBeGreaterThanOrEqual(0x1000);
  expect(arithmetic.size).toBe(OPCODES.filter(({ does }) => ["alu", "neg", "branch"].includes(does.kind)).length);
  expect(trials).toBeGreaterThan(180_000);
});

test("every mutant of scripts/mutation-check.mjs fits the sources", () => {
  for (const mutant of MUTANTS) expect(() => mutated(mutant), mutant[1]).not.toThrow();
  expect(MUTANTS.length).toBeGreaterThanOrEqual(40);
});
