// What tests have shown about a field decides later ones: programs on two bytes, run on every value of the first.
import { describe, expect, test } from "vitest";
import { batchOf } from "../src/conformance/oracle-contestant.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { CODE } from "../src/isa/opcodes.ts";
import { orderChains } from "../src/optimize/chains.ts";
import { emit } from "../src/optimize/emit.ts";
import { group, groupLoaded, specialise } from "../src/optimize/group.ts";
import { imply } from "../src/optimize/imply.ts";
import { joinLegs } from "../src/optimize/legs.ts";
import { lift } from "../src/optimize/lift.ts";
import { type Goal, optimize } from "../src/optimize/optimize.ts";
import { balance, mergeRanges } from "../src/optimize/switches.ts";
import { type Instruction, jump, stmt } from "../src/program/instruction.ts";
import { assemble } from "../src/text/assemble.ts";
import { check, verify } from "../src/verify/verify.ts";
import { seeded } from "./optimize/random.ts";

const LONG = process.env.CBPF_LONG !== undefined;
const SEED = Number(process.env.SEED ?? 1);
const GOALS: readonly Goal[] = ["size", "balanced", "speed"];
const PASSES = [imply, specialise, group, groupLoaded, orderChains, mergeRanges, joinLegs, balance];
/** Values of the second byte. */
const SECOND = [0, 1, 2, 3, 5, 8, 16, 63, 128, 255];

/** Every packet of two bytes that is tried, and what fits in fewer. */
const PACKETS = batchOf([
  new Uint8Array(0),
  ...Array.from({ length: 256 }, (_, first) => Uint8Array.of(first)),
  ...SECOND.flatMap((second) => Array.from({ length: 256 }, (_, first) => Uint8Array.of(first, second))),
]);

/** By libpcap's rules: what a pass alone leads to can read a cell that Linux takes for unwritten, behind a return. */
function verdicts(program: readonly Instruction[]): Uint32Array {
  const out = new Uint32Array(PACKETS.count);
  interpreter.load(verify(program, { profile: "libpcap" })).runBatch(PACKETS, out);
  return out;
}

/** The first packet with another verdict than wanted, and both verdicts. */
function difference(want: Uint32Array, program: readonly Instruction[]): number[] | undefined {
  const got = verdicts(program);
  const at = want.findIndex((verdict, i) => verdict !== got[i]);
  if (at < 0) return undefined;
  const start = PACKETS.table[2 * at]!;
  return [...PACKETS.bytes.subarray(start, start + PACKETS.table[2 * at + 1]!), want[at]!, got[at]!];
}

/** Checks whole tracks, and each pass alone, where nobody undoes what does not pay. */
function expectSame(program: readonly Instruction[], goals: readonly Goal[]): void {
  const shown = JSON.stringify(program);
  const want = verdicts(program);
  for (const goal of goals) {
    const { instructions } = optimize(program, { goal });
    expect(check(instructions), `${goal}: ${shown}`).toEqual([]);
    expect(difference(want, instructions), `${goal}: ${shown}`).toBeUndefined();
  }
  for (const joins of ["split", "join"] as const) {
    const lifted = lift(program, { joins, semantics: "strict", budget: 5000 });
    if ("refused" in lifted) throw new Error(lifted.refused);
    const graphs = new Map(PASSES.map((pass) => [pass.run(lifted.graph).root, pass.name]));
    for (const [root, pass] of graphs) {
      const emitted = emit({ ...lifted.graph, root });
      if (emitted === undefined) continue; // 16 cells did not suffice
      expect(difference(want, emitted.instructions), `${pass}, ${joins}: ${shown}`).toBeUndefined();
    }
  }
}

type Random = (below: number) => number;
const pick = <T>(random: Random, list: readonly T[]): T => list[random(list.length)]!;
const TESTS = [CODE.jeq_k, CODE.jeq_k, CODE.jgt_k, CODE.jge_k, CODE.jset_k, CODE.jeq_x, CODE.jgt_x];
const MASKS = [1, 2, 3, 6, 7, 8, 12, 15, 16, 0x55, 0x7f, 0x80, 0xc0, 0xf0, 0xfe, 0xff];

/** Loads of two bytes, arithmetic on them and tests against small numbers: what a filter asks of one field. */
function questions(random: Random): Instruction[] {
  const blocks = 3 + random(12);
  const list: Instruction[] = [];
  const starts: number[] = [];
  for (let block = 0; block < blocks; block++) {
    starts.push(list.length);
    if (block === 0 || random(4) > 0) list.push(stmt(CODE.ldb_abs, random(5) === 0 ? 1 : 0));
    if (random(8) === 0) list.push(stmt(CODE.tax), stmt(CODE.ldb_abs, random(2)));
    while (random(3) === 0) list.push(arithmetic(random));
    const mask = random(3) === 0 ? [stmt(CODE.and_k, pick(random, MASKS))] : [];
    // The far ends are placed below.
    list.push(...mask, jump(pick(random, TESTS), random(3) === 0 ? pick(random, MASKS) : random(10), 0, 0));
  }
  const ends = [0, 1, 2, 3].map((verdict) => stmt(CODE.ret_k, verdict));
  const places = [...starts, ...ends.map((_, i) => list.length + i)];
  const choose = (later: number[]) => pick(random, random(6) === 0 ? later : later.slice(0, 5));
  return [...placed(list, choose, places), ...ends];
}

function arithmetic(random: Random): Instruction {
  switch (random(9)) {
    case 0:
      return stmt(CODE.lsh_k, random(5));
    case 1:
      return stmt(CODE.rsh_k, random(5));
    case 2:
      return stmt(CODE.xor_k, pick(random, MASKS));
    case 3:
      return stmt(CODE.or_k, pick(random, MASKS));
    case 4:
      return stmt(CODE.div_k, 1 + random(5));
    case 5:
      return stmt(pick(random, [CODE.mul_k, CODE.mod_k]), 1 + random(5));
    case 6:
      return stmt(CODE.sub_k, random(6));
    default:
      return stmt(CODE.add_k, random(3) === 0 ? 0xffffffff - random(300) : random(20));
  }
}

/** Loads, moves, stores and tests of one against another: on some paths A, X and the cells hold the same number. */
function tangle(random: Random): Instruction[] {
  const list = [stmt(CODE.st, 0), stmt(CODE.stx, 1)];
  const starts: number[] = [];
  for (let block = 3 + random(8); block > 0; block--) {
    starts.push(list.length);
    for (let n = random(4); n > 0; n--) list.push(tangled(random));
    // The far ends are placed below.
    list.push(jump(pick(random, TESTS), random(3) === 0 ? 16 * random(16) : random(20), 0, 0));
  }
  const ends = [stmt(CODE.ret_k, 1), stmt(CODE.ret_k, 0), stmt(CODE.ret_a), stmt(CODE.ret_k, 2)];
  const places = [...starts, ...ends.map((_, i) => list.length + i)];
  return [...placed(list, (later) => pick(random, later.slice(0, 4)), places), ...ends];
}

function tangled(random: Random): Instruction {
  switch (random(6)) {
    case 0:
      return stmt(pick(random, [CODE.ldb_abs, CODE.ldxb_msh]), random(2));
    case 1:
      return stmt(pick(random, [CODE.tax, CODE.txa, CODE.add_x, CODE.ld_len]));
    case 2:
      return stmt(pick(random, [CODE.st, CODE.stx]), random(2));
    case 3:
      return stmt(pick(random, [CODE.ld_mem, CODE.ldx_mem]), random(2));
    case 4:
      return stmt(pick(random, [CODE.ld_imm, CODE.ldx_imm]), random(9));
    default:
      return stmt(CODE.and_k, pick(random, [7, 0xf0, 0xfc, 0xfe, 0x1fe]));
  }
}

/** The instructions with far ends for their branches, chosen among the places behind each. */
function placed(list: readonly Instruction[], choose: (later: number[]) => number, places: number[]): Instruction[] {
  return list.map((insn, at) => {
    if ((insn.code & 7) !== 5) return insn;
    const end = () => choose(places.filter((place) => place > at)) - at - 1;
    return { ...insn, jt: end(), jf: end() };
  });
}

test(`random tangles keep their verdicts; rerun: SEED=${SEED} npx vitest run test/optimize-facts.test.ts`, {
  timeout: 3_600_000,
}, () => {
  const random = seeded(SEED);
  for (let n = 0; n < (LONG ? 30_000 : 300); n++) {
    const program = tangle(random);
    expect(check(program)).toEqual([]);
    expectSame(program, [GOALS[n % 3]!]);
  }
});

test(`random questions keep their answers; rerun: SEED=${SEED} npx vitest run test/optimize-facts.test.ts`, {
  timeout: 3_600_000,
}, () => {
  const random = seeded(SEED);
  for (let n = 0; n < (LONG ? 20_000 : 250); n++) {
    const program = questions(random);
    expect(check(program)).toEqual([]);
    expectSame(program, [GOALS[n % 3]!]);
  }
});

describe("one fact at a time", () => {
  test.each([
    ["the number above which a test was", "ldb [0]; jgt #4, n, a; a: jeq #4, y, n; y: ret #1; n: ret #0"],
    ["the largest number of a field", "ldb [0]; jgt #254, y, n; y: ret #1; n: ret #0"],
    [
      "a number that one of two paths rules out, and another that the other does",
      `ldb [1]; jeq #1, a, b; a: ldb [0]; jeq #5, n, c; b: ldb [0]; jeq #9, n, c;
       c: ldb [0]; jeq #7, w, d; d: jeq #5, y, e; e: jeq #9, z, n; w: ret #3; y: ret #1; z: ret #2; n: ret #0`,
    ],
    [
      "a comparison with another field, decided by what a later test asks",
      `ldb [0]; jeq #5, z, a; a: ldb [1]; and #7; tax; ldb [0]; jgt x, b, n; b: jgt #9, y, w;
       z: ret #2; y: ret #1; w: ret #3; n: ret #0`,
    ],
    [
      "a bit in a shifted field",
      "ldb [0]; jset #4, a, n; a: ldb [0]; lsh #1; and #14; jeq #8, y, n; y: ret #1; n: ret #0",
    ],
  ])("%s", (_name, text) => expectSame(assemble(text.replaceAll("; ", "\n")), GOALS));
});
