// Proofs say "equal" only of equal programs, and every packet they find is confirmed by the interpreter.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { ISA } from "../src/isa/instruction-set.ts";
import { CODE } from "../src/isa/opcodes.ts";
import { optimize } from "../src/optimize/optimize.ts";
import type { VerifiedProgram } from "../src/program/engine.ts";
import { type Instruction, stmt } from "../src/program/instruction.ts";
import { type Equivalence, verifyEquivalence } from "../src/prove/equivalence.ts";
import { pathPackets } from "../src/prove/paths.ts";
import { solve } from "../src/prove/solve.ts";
import { loadZ3, type SmtSolver } from "../src/prove/solver.ts";
import { assemble } from "../src/text/assemble.ts";
import { verify } from "../src/verify/verify.ts";
import { recordedPrograms } from "./optimize/expressions.ts";
import { randomContext, randomPacket, randomProgram, seeded } from "./optimize/random.ts";

const LONG = process.env.CBPF_LONG !== undefined;
const SEED = Number(process.env.SEED ?? 1);
const TIME_LIMIT = 30_000;

let z3: SmtSolver | undefined;
beforeAll(async () => {
  z3 = await loadZ3();
});
afterAll(() => z3?.close());

const asm = (text: string): VerifiedProgram => verify(assemble(text.replaceAll("; ", "\n")));
const loose = (list: readonly Instruction[]): VerifiedProgram => verify(list, { profile: "libpcap" });

/** Both ways to compare: with the solver, and by paths. */
const WAYS = ["z3", "paths"] as const;
const compare = (way: (typeof WAYS)[number], a: VerifiedProgram, b: VerifiedProgram): Promise<Equivalence> =>
  verifyEquivalence(a, b, { solver: way === "z3" ? z3 : undefined, engine: interpreter, timeLimit: TIME_LIMIT });

/** Fails unless the packet that was found tells the programs apart. */
function expectDifferent(found: Equivalence, a: VerifiedProgram, b: VerifiedProgram): void {
  expect(found.result).toBe("different");
  if (found.result !== "different") return;
  const { packet, context } = found.witness;
  expect(interpreter.load(a).run(packet, context())).not.toBe(interpreter.load(b).run(packet, context()));
}

describe.each(WAYS)("by %s", (way) => {
  test.each([
    [
      "the order of two tests of one field",
      "ldh [12]; jeq #1, y, n; n: jeq #2, y, m; y: ret #1; m: ret #0",
      "ldh [12]; jeq #2, y, n; n: jeq #1, y, m; y: ret #1; m: ret #0",
    ],
    [
      "a range and its parts",
      "ldb [0]; jgt #4, a, n; a: jgt #6, n, y; y: ret #1; n: ret #0",
      "ldb [0]; jeq #5, y, a; a: jeq #6, y, n; y: ret #1; n: ret #0",
    ],
    ["a load that a later one implies", "ldh [4]; ldh [8]; ret #7", "ldh [8]; ret #7"],
    [
      "a mask and a test of bits",
      "ldh [6]; and #0x1fff; jeq #0, y, n; y: ret #1; n: ret #0",
      "ldh [6]; jset #0x1fff, n, y; y: ret #1; n: ret #0",
    ],
    [
      "the header length both ways",
      "ldxb 4*([14]&0xf); ldh [x + 16]; ret a",
      "ldb [14]; and #0xf; lsh #2; tax; ldh [x + 16]; ret a",
    ],
  ])("%s: equal", async (_name, a, b) => {
    expect((await compare(way, asm(a), asm(b))).result).toBe("equal");
  });

  test.each([
    [
      "another constant",
      "ldh [12]; jeq #0x800, y, n; y: ret #1; n: ret #0",
      "ldh [12]; jeq #0x801, y, n; y: ret #1; n: ret #0",
    ],
    ["another verdict", "ldb [3]; jeq #4, y, n; y: ret #1; n: ret #0", "ldb [3]; jeq #4, y, n; y: ret #2; n: ret #0"],
    ["a dropped load, on truncated packets", "ldh [8]; ret #7", "ret #7"],
    ["a shorter load, on truncated packets", "ldh [8]; ret #7", "ldb [8]; ret #7"],
    [
      "one number at the end of a range",
      "ldb [0]; jgt #4, y, n; y: ret #1; n: ret #0",
      "ldb [0]; jgt #5, y, n; y: ret #1; n: ret #0",
    ],
  ])("%s: different, with a packet", async (_name, a, b) => {
    expectDifferent(await compare(way, asm(a), asm(b)), asm(a), asm(b));
  });

  test("optimized programs of libpcap are equal to the unoptimized ones", async () => {
    const results: string[] = [];
    for (const [i, program] of recordedPrograms().entries()) {
      if (!LONG && i % 3 !== 0) continue;
      const a = loose(program.instructions);
      const { result } = await compare(way, a, loose(optimize(a).instructions));
      results.push(result);
      expect(result, `${program.link} ${program.expression}`).not.toBe("different");
    }
    const equal = results.filter((result) => result === "equal").length;
    expect(equal / results.length, results.join()).toBeGreaterThanOrEqual(way === "z3" ? 0.95 : 0.8);
  }, 300_000);
});

describe("by z3 alone", () => {
  test.each([
    [
      "wrapping arithmetic",
      "ldx #0; ld [0]; mul #3; sub #5; ret a",
      "ldx #0; ld [0]; add #0; tax; add x; add x; add #0xfffffffb; ret a",
    ],
    ["shifts modulo 32", "ld [0]; ldx #33; lsh x; ret a", "ld [0]; add #0; lsh #1; ret a"],
    ["an address that wraps", "ldx #0xfffffffe; ldb [x + 6]; ret a", "ldb [4]; ret a"],
    ["XOR with X as an ancillary load", "ld [0]; ldx #7; ld #xor_x; ret a", "ld [0]; xor #7; ret a"],
  ])("%s: equal", async (_name, a, b) => {
    expect((await compare("z3", asm(a.replace("ld #xor_x", "ld xor_x")), asm(b))).result).toBe("equal");
  });

  test.each([
    ["a shift count that is not taken modulo 32", "ld [0]; ldx #33; lsh x; ret a", "ld #0; ret a"],
    ["the NET area", "ld [0xfff00000]; ret #1", "ld [0]; ret #1"],
    ["the device", "ld #5; ld ifidx; ret #9", "ret #9"],
    ["the wire length", "ld #len; ret a", "ld #60; ret a"],
  ])("%s: different, with a packet", async (_name, a, b) => {
    expectDifferent(await compare("z3", asm(a), asm(b)), asm(a), asm(b));
  });

  test(`says nothing false of random programs; rerun: SEED=${SEED}`, async () => {
    const random = seeded(SEED);
    for (let n = 0; n < (LONG ? 400 : 25); n++) {
      const program = randomProgram(random, 12);
      const optimized = verify(optimize(program).instructions);
      const { result } = await compare("z3", verify(program), optimized);
      expect(result, JSON.stringify(program)).not.toBe("different");
      // A change of one constant is found, or is no change.
      const at = random(program.length);
      const changed = program.map((insn, i) =>
        i === at && insn.code === CODE.ret_k ? { ...insn, k: insn.k ^ 1 } : insn,
      );
      const found = await compare("z3", verify(program), verify(changed));
      if (found.result === "different") expectDifferent(found, verify(program), verify(changed));
      else if (found.result === "equal") {
        const runs = [program, changed].map((list) => interpreter.load(verify(list)));
        for (let i = 0; i < 50; i++) {
          const context = randomContext(random);
          const packet = randomPacket(random, program);
          expect(runs[1]!.run(packet, context())).toBe(runs[0]!.run(packet, context()));
        }
      }
    }
  }, 300_000);
});

describe("solving", () => {
  const tcp80 = recordedPrograms().find((p) => p.expression === "port 80")!.instructions;

  test.each(WAYS)("finds a packet that matches, by %s", async (way) => {
    const program = loose(tcp80);
    const solution = await solve([program], { solver: way === "z3" ? z3 : undefined, engine: interpreter });
    expect(solution.result).toBe("packet");
    if (solution.result !== "packet") return;
    expect(interpreter.load(program).run(solution.witness.packet, solution.witness.context())).toBe(262144);
  });

  test("finds a packet for two programs at once, and proves that there is none", async () => {
    const arp = asm("ldh [12]; jeq #0x806, y, n; y: ret #1; n: ret #0");
    const odd = asm("ldb [13]; jset #1, y, n; y: ret #1; n: ret #0");
    const even = asm("ldb [13]; jset #1, n, y; y: ret #1; n: ret #0");
    expect((await solve([arp, even], { solver: z3, engine: interpreter })).result).toBe("packet");
    expect((await solve([arp, odd], { solver: z3, engine: interpreter })).result).toBe("none");
  });

  test("finds the packet for a wanted verdict", async () => {
    const program = asm("ld [0]; mul #3; add #1; ret a");
    const solution = await solve([program], { solver: z3, engine: interpreter, verdict: 100 });
    if (solution.result !== "packet") throw new Error(solution.result);
    expect(interpreter.load(program).run(solution.witness.packet)).toBe(100);
  });

  test("without a solver and an engine it says so", async () => {
    expect(await solve([loose(tcp80)])).toEqual({
      result: "unknown",
      reason: "there is neither a solver nor an engine",
    });
  });
});

describe("limits", () => {
  test("a question that takes too long is unknown", async () => {
    // y * (x / y) + x % y = x, which takes a bit-blasting solver minutes
    const load = "ld [0]; tax; ld [4]; st M[0]; div x";
    const a = asm(`${load}; mul x; st M[1]; ld M[0]; mod x; ldx M[1]; add x; ret a`);
    const b = asm(`${load}; ld M[0]; ret a`);
    const answer = await verifyEquivalence(a, b, { solver: z3, engine: interpreter, timeLimit: 1 });
    expect(answer.result).toBe("unknown");
  });

  test("where the solver does not answer, the paths do, and that is said", async () => {
    const silent: SmtSolver = { name: "silent", run: async () => "unknown", close: () => Promise.resolve() };
    const [a, b] = [asm("ldh [4]; ldh [8]; ret #7"), asm("ldh [8]; ret #7")];
    expect(await verifyEquivalence(a, b, { solver: silent })).toEqual({ result: "equal", by: "paths" });
    expectDifferent(await verifyEquivalence(a, asm("ldh [6]; ret #7"), { solver: silent }), a, asm("ldh [6]; ret #7"));
  });

  test("a program with an extension is refused", async () => {
    const isa = ISA.extend({ code: 0xf0, name: "count", run: () => undefined });
    const program = verify([stmt(0xf0), stmt(CODE.ret_k, 1)], { isa });
    await expect(verifyEquivalence(program, program, { solver: z3 })).rejects.toThrow("instruction 0 is an extension");
  });

  test("threads that have answered end by themselves before they are ended", async () => {
    const threads = ["answered"];
    const ended: number[] = [];
    const em = { PThread: { runningWorkers: threads, terminateAllThreads: () => ended.push(threads.length) } };
    const init = () => Promise.resolve({ Z3: { mk_config: () => 0, mk_context: () => 0 }, em });
    const solver = await loadZ3(() => Promise.resolve({ init }));
    const closed = solver.close();
    setTimeout(() => threads.pop(), 20);
    await closed;
    expect(ended).toEqual([0]);
  });

  test("without the package it says how to get it", async () => {
    await expect(loadZ3(() => Promise.reject(new Error("no such package")))).rejects.toThrow("npm install z3-solver");
  });
});

// The verdicts differ only where the packet ends between two ports, whose place an IPv4 header of any length decides.
test("a load that fails behind a header is found by paths", async () => {
  const head = "ldb [0]; and #0xf0; jeq #0x40, v, n; v: ldxb 4*([0]&0xf); ldh [x + 0]; jeq #80, y, a";
  const both = asm(`${head}; a: ldh [x + 2]; jeq #80, y, b; b: ldh [x + 0]; jeq #443, y, n; y: ret #1; n: ret #0`);
  const one = asm(`${head}; a: jeq #443, y, b; b: ldh [x + 2]; jeq #80, y, n; y: ret #1; n: ret #0`);
  const found = await verifyEquivalence(both, one, { engine: interpreter });
  expectDifferent(found, both, one);
});

test("a path that no packet length passes gets no packet", () => {
  // X is 0: a length that is not above it is not 60, and not unequal to it either
  const program = asm(`
        ld  #len
        jgt x, b, a
    a:  jge #60, c, d
    b:  and #0xffff
    c:  jeq x, d, e
    d:  ldh [x + 30]
    e:  ret a`);
  const filter = interpreter.load(program);
  const verdicts = pathPackets(program.instructions, 100).map((packet) => filter.run(packet));
  expect(verdicts).toContain(0);
  expect(verdicts.some((verdict) => verdict > 0)).toBe(true);
});

test("path packets take every verdict of a filter", () => {
  const program = recordedPrograms().find((p) => p.expression === "port 80")!.instructions;
  const filter = interpreter.load(loose(program));
  const verdicts = pathPackets(program, 500).map((packet) => filter.run(packet));
  expect(new Set(verdicts)).toEqual(new Set([0, 262144]));
  expect(verdicts.filter((verdict) => verdict > 0).length).toBeGreaterThan(3);
});
