/**
 * The kernel against `check` and the interpreter: every opcode, and random programs on random packets, all 32 bits of
 * every verdict.  Ordinary runs take a few seconds; CBPF_LONG multiplies the counts by 20.
 * Runs wherever the native addon is built; elsewhere it prints the reason and skips.
 */
import { afterAll, describe, expect, test } from "vitest";
import { contextOf } from "../src/conformance/corpus.ts";
import { beyondUnix } from "../src/conformance/unix-context.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { OPCODES } from "../src/isa/opcodes.ts";
import { type KernelOracle, unixOracle } from "../src/kernel/oracle.ts";
import type { PacketBatch } from "../src/program/engine.ts";
import { type Instruction, jump } from "../src/program/instruction.ts";
import { NO_CONTEXT } from "../src/program/packet-context.ts";
import { estimateAttach } from "../src/verify/estimate.ts";
import { check, verify } from "../src/verify/verify.ts";
import { corpusFiles } from "./corpus-files.ts";
import { announce, withoutAddon } from "./kernel-host.ts";

const reason = withoutAddon();
announce("kernel agreement", reason);
const available = reason === undefined;

const PROGRAMS = process.env.CBPF_LONG ? 400_000 : 20_000;
const SEED = Number(process.env.SEED ?? 1);

/** xorshift32: 32 random bits from a seed that is not 0. */
function bits(seed: number): () => number {
  let state = (seed * 0x9e3779b1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

const EDGES = [0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0x80000001];
const NEGATIVE = [0xfff00000, 0xffe00000, 0xffeffffc, 0xffefffff, 0xffdfffff, 0xffffefff, 0xffffffff, 0xfffff000];
/** RANDOM has no verdict to expect, and CPU would move between runs. */
const REPEATABLE_ANCILLARY = [0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 44, 48, 52, 60].map((n) => 0xfffff000 + n);

function programFrom(next: () => number): Instruction[] {
  const pick = <T>(list: readonly T[]): T => list[next() % list.length]!;
  const length = 1 + (next() % (next() % 8 === 0 ? 60 : 14));
  const program: Instruction[] = [];
  for (let i = 0; i < length - 1; i++) {
    const row = pick(OPCODES);
    const left = length - 2 - i;
    const offset = (): number => (left > 0 ? next() % Math.min(left + 1, 256) : 0);
    let k = next() % 3 === 0 ? pick(EDGES) : next() % 2 === 0 ? next() % 70 : next();
    switch (row.does.kind) {
      case "load-mem":
      case "store-mem":
        k = next() % (next() % 64 === 0 ? 18 : 4);
        break;
      case "packet":
      case "msh":
        k = pick([
          pick(REPEATABLE_ANCILLARY),
          (pick(NEGATIVE) + (next() % 70)) >>> 0,
          ...[1, 2, 3, 4].map(() => next() % 70),
          k,
        ]);
        if (row.does.kind === "packet" && row.does.at === "abs" && (k === 0xfffff024 || k === 0xfffff038)) k = 4;
        break;
      case "alu":
        if (row.does.src === "k" && (row.does.op === "lsh" || row.does.op === "rsh") && next() % 64 !== 0) k %= 32;
        break;
      case "jump":
        k = next() % 64 === 0 ? next() : offset();
        break;
    }
    program.push(jump(row.code, k, offset(), offset()));
  }
  program.push(jump(next() % 2 === 0 ? 0x16 : 0x06, pick([0, 1, 5, 40, 0xffff, 0xffffffff, next()]), 0, 0));
  return program;
}

/** 12 packets of lengths around the interesting ones; some hold netlink attributes. */
function packetsFrom(next: () => number): PacketBatch {
  const lengths = [0, 1, 3, 4, 8, 14, 20, 33, 60, 64, 64, 100];
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  for (let i = 0; i < bytes.length; i++) bytes[i] = next() >>> (next() % 3 === 0 ? 24 : 30);
  const table = new Uint32Array(2 * lengths.length);
  let at = 0;
  for (const [i, length] of lengths.entries()) {
    table.set([at, length], 2 * i);
    at += length;
  }
  return { bytes, table, count: lengths.length, context: () => NO_CONTEXT };
}

describe.skipIf(!available)("the kernel agrees", () => {
  let oracle: KernelOracle;
  if (available) oracle = unixOracle();
  afterAll(() => oracle.close());

  test("with the corpus: acceptance of every Linux program, verdicts where a unix socket can show the packet", () => {
    const engine = oracle.engine();
    let verdicts = 0;
    for (const { name, profile, instructions, rejects, attach, runs } of corpusFiles()) {
      if (profile !== "linux") continue;
      const want = rejects.length > 0 ? "EINVAL" : (attach ?? "ok"); // by the default optmem_max
      const acceptance = oracle.accepts(instructions);
      expect(acceptance.accepted ? "ok" : acceptance.errno, name).toBe(want);
      if (want !== "ok") continue;
      const shown = runs.filter((run) => beyondUnix(run) === undefined && run.context.cpu === undefined);
      if (shown.length === 0) continue;
      for (const run of shown) {
        const batch = { bytes: run.packet, table: Uint32Array.of(0, run.packet.length), count: 1 };
        const result = oracle.compare(instructions, batch, Uint32Array.of(run.verdict));
        expect(result, `${name}, line ${run.line}`).toMatchObject({ mismatches: [], unseen: [] });
        // As an engine the oracle sees all 32 bits or refuses; the longest programs have no room for that.
        if (result.full === 0) continue;
        expect(engine.load(verify(instructions)).run(run.packet, contextOf(run)), `${name}, line ${run.line}`).toBe(
          run.verdict,
        );
      }
      verdicts += shown.length;
    }
    expect(verdicts).toBeGreaterThan(100);
  });

  test("on each of the 65,536 opcodes", { timeout: 120_000 }, () => {
    let accepted = 0;
    const differ: number[] = [];
    for (let code = 0; code < 0x10000; code++) {
      // The store makes M[1] readable, and jt = jf = 0 lets every jump land on the return.
      const program = [jump(0x02, 1, 0, 0), jump(code, 1, 0, 0), jump(0x06, 1, 0, 0), jump(0x06, 1, 0, 0)];
      const kernel = oracle.accepts(program).accepted;
      if (kernel) accepted++;
      if (kernel !== (check(program).length === 0)) differ.push(code);
    }
    expect(differ).toEqual([]);
    expect(accepted).toBe(49);
  });

  test(`on ${PROGRAMS} random programs x 12 packets (rerun with SEED=${SEED})`, { timeout: 900_000 }, () => {
    const next = bits(SEED);
    let compared = 0;
    let refused = 0;
    const started = performance.now();
    for (let i = 0; i < PROGRAMS; i++) {
      const program = programFrom(next);
      const batch = packetsFrom(next);
      const valid = check(program).length === 0;
      const expected = new Uint32Array(batch.count);
      if (valid) interpreter.load(verify(program)).runBatch(batch, expected);
      const result = oracle.compare(program, batch, expected);
      const want = !valid ? "EINVAL" : estimateAttach({ instructions: program }).errno;
      const got = result.acceptance.accepted ? "none" : result.acceptance.errno;
      if (got !== want || result.mismatches.length > 0) {
        expect.fail(`program ${i}: ${JSON.stringify({ program, got, want, mismatches: result.mismatches })}`);
      }
      if (got === "none") compared += result.full;
      else refused++;
    }
    const seconds = (performance.now() - started) / 1000;
    console.log(`kernel agreement: ${compared} verdicts, ${refused} refusals in ${seconds.toFixed(1)} s`);
    expect(refused).toBeGreaterThan(PROGRAMS / 10);
    expect(compared).toBeGreaterThan(PROGRAMS);
  });
});
