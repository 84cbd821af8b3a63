// A user's instruction sees the machine as it was: calls, what they see, their order and the verdict stay the same.
import { describe, expect, test } from "vitest";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { type ExtensionOperands, ISA, type MachineState } from "../src/isa/instruction-set.ts";
import { CODE } from "../src/isa/opcodes.ts";
import { emit } from "../src/optimize/emit.ts";
import { showGraph } from "../src/optimize/graph.ts";
import { imply } from "../src/optimize/imply.ts";
import { lift } from "../src/optimize/lift.ts";
import { type Goal, optimize } from "../src/optimize/optimize.ts";
import { type Instruction, jump, stmt } from "../src/program/instruction.ts";
import type { PacketContext } from "../src/program/packet-context.ts";
import { assemble } from "../src/text/assemble.ts";
import { check, verify } from "../src/verify/verify.ts";
import { VirtualMachine } from "../src/vm/virtual-machine.ts";
import { recordedPrograms } from "./optimize/expressions.ts";
import { randomContext, randomPacket, randomProgram, seeded } from "./optimize/random.ts";

const GOALS: readonly Goal[] = ["size", "balanced", "speed"];
const LONG = process.env.CBPF_LONG !== undefined;
const SEED = Number(process.env.SEED ?? 1);

/** All that a call can see, and the random numbers drawn between calls. */
type Log = string[];

const log: Log = [];
const PEEK = 0xf0;
const SCRAMBLE = 0xf1;
const POKE = 0xf2;
const TENANT = 0xfffff040;

function seen(name: string, state: MachineState, operands?: ExtensionOperands): void {
  const { a, x, mem, packet } = state;
  const { code, jt, jf, k } = operands ?? { code: 0, jt: 0, jf: 0, k: 0 };
  const context = state.context as PacketContext;
  const known = [context.length, context.network, context.mac, context.mark, context.ifindex];
  log.push(`${name} ${[code, jt, jf, k]} ${[a, x]} ${mem} ${Buffer.from(packet).toString("hex")} ${known}`);
}

/** What a call does follows from how often anything was called: a lost or a repeated one shows in all that comes. */
const chance = (below: number): number => seeded(log.length * 7919 + log.at(-1)!.length)(below);

const isa = ISA.extend({ code: PEEK, name: "peek", run: (state, operands) => void seen("peek", state, operands) })
  .extend({
    code: SCRAMBLE,
    name: "scramble",
    run(state, operands) {
      seen("scramble", state, operands);
      const random = seeded(chance(2 ** 31));
      if (random(2) === 0) state.a = random(300);
      if (random(2) === 0) state.x = random(30);
      for (let cell = 0; cell < 4; cell++) if (random(2) === 0) state.mem[cell] = random(70);
      return random(12) === 0 ? random(5) : undefined;
    },
  })
  .extend({
    code: POKE,
    name: "poke",
    run(state, operands) {
      seen("poke", state, operands);
      const random = seeded(chance(2 ** 31));
      if (state.packet.length > 0) state.packet[random(state.packet.length)] = random(9);
      Object.assign(state.context as object, { mark: random(4), ifindex: random(3), network: random(20), length: 99 });
    },
  })
  .extendAncillary({
    offset: TENANT - 0xfffff000,
    name: "tenant",
    read(state) {
      seen("tenant", state);
      return chance(8);
    },
  });

/** The verdict and everything that was seen on the way. */
function observed(program: readonly Instruction[], packet: Uint8Array, context: () => PacketContext): string[] {
  log.length = 0;
  const given = context();
  const { random } = given;
  const logging = { ...given, random: () => random() + 0 * log.push("draw") };
  const verdict = interpreter.load(verify(program, { isa })).run(packet.slice(), logging);
  return [...log, `verdict ${verdict}`];
}

/** Where the runs of two programs differ, on packets of all lengths. */
function differences(a: readonly Instruction[], b: readonly Instruction[], seed: number, count: number): string[] {
  const random = seeded(seed);
  for (let n = 0; n < count; n++) {
    const packet = randomPacket(random, a, 80);
    const context = randomContext(random);
    const [want, got] = [observed(a, packet, context), observed(b, packet, context)];
    const at = want.findIndex((line, i) => line !== got[i]);
    if (at >= 0) return [Buffer.from(packet).toString("hex"), want[at]!, got[at] ?? "nothing"];
  }
  return [];
}

/** A random program with some of its instructions in favour of calls. */
function programWithCalls(random: (below: number) => number, most?: number): Instruction[] {
  for (;;) {
    const program = randomProgram(random, most).map((insn, at, { length }) => {
      const kind = ISA.known(insn.code)!.does.kind;
      if (at === length - 1 || kind === "branch" || kind === "jump" || random(5) > 0) return insn;
      const code = [PEEK, SCRAMBLE, SCRAMBLE, POKE, CODE.ldb_abs][random(5)]!;
      return code === CODE.ldb_abs ? stmt(code, TENANT) : jump(code, random(9), random(3), random(3));
    });
    if (program.some((insn) => isa.isExtension(insn)) && check(program, { isa }).length === 0) return program;
  }
}

/** The program with a call in front of its first accepting return. */
function countingMatches(program: readonly Instruction[]): Instruction[] {
  const place = program.findIndex(({ code, k }) => code === CODE.ret_k && k > 0);
  const out = program.map((insn, at) => {
    const kind = ISA.known(insn.code)!.does.kind;
    const further = (distance: number) => distance + (at < place && at + 1 + distance > place ? 1 : 0);
    if (kind === "branch") return { ...insn, jt: further(insn.jt), jf: further(insn.jf) };
    return kind === "jump" ? { ...insn, k: further(insn.k) } : insn;
  });
  return [...out.slice(0, place), stmt(PEEK, 7), ...out.slice(place)];
}

const asm = (text: string): readonly Instruction[] => assemble(text.replaceAll("; ", "\n"), { isa });

describe("random programs", () => {
  test(`make the same calls and give the same verdicts; rerun: SEED=${SEED} npx vitest run test/optimize-calls.test.ts`, {
    timeout: 3_600_000,
  }, () => {
    const random = seeded(SEED);
    let smaller = 0;
    const programs = LONG ? 20_000 : 400;
    for (let n = 0; n < programs; n++) {
      const program = programWithCalls(random, 30);
      const result = optimize(verify(program, { isa }), { goal: GOALS[n % 3]! });
      if (result.unchanged === undefined) smaller++;
      expect(check(result.instructions, { isa }), `program ${n}`).toEqual([]);
      const found = differences(program, result.instructions, SEED + n, 25);
      expect(found, `program ${n}: ${JSON.stringify(program)}`).toEqual([]);
    }
    expect(smaller / programs).toBeGreaterThan(0.5);
  });

  test.each(["split", "join"] as const)("lifted with %s and emitted, no pass between", (joins) => {
    const random = seeded(SEED + 1);
    let emittedAll = 0;
    for (let n = 0; n < (LONG ? 5000 : 250); n++) {
      const program = programWithCalls(random, 25);
      const lifted = lift(program, { joins, semantics: "strict", budget: 5000, isa });
      if ("refused" in lifted) throw new Error(lifted.refused);
      const emitted = emit(n % 2 === 0 ? lifted.graph : imply.run(lifted.graph));
      if (emitted === undefined) continue;
      emittedAll++;
      if (check(emitted.instructions, { isa }).length > 0) continue; // reads a cell that Linux takes for unwritten
      expect(differences(program, emitted.instructions, SEED + n, 20), JSON.stringify(program)).toEqual([]);
    }
    expect(emittedAll).toBeGreaterThan(100);
  });
});

describe("filters of libpcap that count their matches", () => {
  const programs = recordedPrograms()
    .map(({ link, expression, instructions }) => ({
      name: `${link}: ${expression}`,
      program: countingMatches(instructions),
    }))
    .filter(({ program }) => check(program, { isa }).length === 0);
  const made = new Map<readonly Instruction[], readonly Instruction[]>();
  const optimized = (program: readonly Instruction[]) => {
    const known = made.get(program) ?? optimize(verify(program, { isa })).instructions;
    made.set(program, known);
    return known;
  };

  test.each(programs)("$name", ({ program }) => {
    expect(differences(program, optimized(program), SEED, LONG ? 4000 : 100)).toEqual([]);
  });

  test("are smaller by more than half", () => {
    const sum = (list: readonly number[]) => list.reduce((total, n) => total + n, 0);
    const after = sum(programs.map(({ program }) => optimized(program).length));
    expect(after).toBeLessThan(0.5 * sum(programs.map(({ program }) => program.length)));
  });

  test("a registered instruction and a registered load keep the filter's own savings", () => {
    const vm = new VirtualMachine({ isa }).registerOpcode(0xf8, {
      name: "sample",
      execute: ({ a }) => (a === 9 ? 0 : undefined),
    });
    const program = vm.parse(`
            ld #tenant
            jeq #42, ours, drop
      ours: ldh [12]
            jeq #0x800, ip, drop
      ip:   ldb [23]
            jeq #6, tcp, drop
      tcp:  ldh [12]
            jeq #0x800, again, drop
      again: ldh [20]
            jset #0x1fff, drop, first
      first: ldxb 4*([14]&0xf)
            ldh [x + 14]
            jeq #80, hit, other
      other: ldxb 4*([14]&0xf)
            ldh [x + 14]
            jeq #443, hit, drop
      hit:  sample
            ret #262144
      drop: ret #0`);
    const { instructions } = optimize(program.verified);
    expect(program.length).toBe(19);
    expect(instructions.length).toBe(15);
  });
});

describe("what a call sees", () => {
  test.each([
    ["A that nothing else reads", "ldb [0]; peek; ret #1"],
    ["X that nothing else reads", "ldxb 4*([0]&0xf); peek; ret #1"],
    ["cells that nothing else reads", "ldb [0]; st M[3]; ldb [1]; st M[15]; peek; ret #1"],
    ["a number written over 0 in a cell", "ld #0; st M[2]; scramble; ld M[2]; ret a"],
    ["a load that is dead but for the call", "ldh [30]; ld #1; peek; ld #2; ret a"],
    ["what two calls left", "scramble; peek; scramble; peek; ret a"],
    ["a call's A in a cell behind another load", "scramble; st M[1]; ldb [0]; st M[0]; ld M[1]; peek; ret a"],
    ["A and X exchanged", "ld #0; st M[0]; stx M[1]; scramble; st M[0]; txa; ldx M[0]; peek; ret a"],
    ["cells exchanged", "ld #0; st M[0]; st M[1]; scramble; ld M[0]; ldx M[1]; stx M[0]; st M[1]; peek; ret a"],
    ["a random number kept over a load", "ld rand; st M[4]; ldb [0]; peek; ld rand; ret a"],
    ["packet bytes that a call changes", "ldb [0]; poke; ldb [0]; poke; ldb [0]; ret a"],
    [
      "a test that a call may turn round",
      "ldb [0]; jeq #1, a, n; a: poke; ldb [0]; jeq #1, y, n; y: ret #2; n: ret #3",
    ],
    ["a mark that a call changes", "ld mark; tax; poke; ld mark; add x; peek; ret a"],
    ["the length that a call changes", "ld #len; poke; ld #len; ret a"],
    ["the network header that a call moves", "ld [0xfff00000]; poke; ld [0xfff00000]; ret a"],
    ["the device that a call takes away", "ld ifidx; poke; ld ifidx; poke; ld #5; ld ifidx; ret a"],
    ["the device that has to be there twice", "ld ifidx; poke; ld #0; ld ifidx; ret #7"],
    [
      "the device that two paths to a call have shown",
      "ldb [0]; jeq #1, a, b; a: ld #0; ld ifidx; ldx #1; ja c; b: ld #0; ld ifidx; ldx #2; c: poke; ld #0; ld ifidx; ret #7",
    ],
    ["paths of which one calls", "ldb [0]; jeq #1, a, b; a: poke; b: ldb [0]; jeq #1, y, n; y: ret #2; n: ret #3"],
    ["a call in front of a load that fails", "peek; ldh [60]; ret a"],
    ["a load that fails in front of a call", "ldh [60]; peek; ldh [62]; ret a"],
    ["a call in front of verdict 0", "ldh [40]; peek; ret #0"],
    ["a division that ends the program first", "ldb [0]; tax; ld #8; div x; peek; ret #1"],
    ["a registered load", "ldb [5]; ldx #3; ldb #tenant; jeq #3, y, n; y: ldb #tenant; n: ret a"],
  ])("%s", (_name, text) => {
    const program = asm(text);
    for (const goal of GOALS) {
      const { instructions } = optimize(verify(program, { isa }), { goal });
      expect(check(instructions, { isa })).toEqual([]);
      expect(differences(program, instructions, SEED, 300)).toEqual([]);
    }
  });

  test("equal ends with a call are one, whatever led to them", () => {
    const program = asm("ldb [0]; jeq #1, a, b; a: peek; ret #1; b: ldb [0]; peek; ret #1");
    const { instructions } = optimize(verify(program, { isa }));
    expect(instructions.filter(({ code }) => code === PEEK).length).toBe(1);
    expect(differences(program, instructions, 1, 200)).toEqual([]);
  });

  test("operands are kept, and calls with other operands apart", () => {
    const program = [stmt(CODE.ldb_abs, 0), jump(CODE.jeq_k, 1, 0, 2), jump(PEEK, 5, 1, 2), stmt(CODE.ret_k, 1)];
    program.push(jump(PEEK, 5, 2, 1), stmt(CODE.ret_k, 1));
    const { instructions } = optimize(verify(program, { isa }));
    expect(instructions.filter(({ code }) => code === PEEK).map(({ jt, jf, k }) => [jt, jf, k])).toEqual(
      expect.arrayContaining([
        [1, 2, 5],
        [2, 1, 5],
      ]),
    );
  });

  test("the graph shows a call with what it sees", () => {
    const lifted = lift(asm("ldb [0]; st M[2]; peek; ldb [0]; ret a"), {
      joins: "join",
      semantics: "strict",
      budget: 9,
      isa,
    });
    if ("refused" in lifted) throw new Error(lifted.refused);
    expect(showGraph(lifted.graph)).toBe("n0: call2(M[2] = P1[0], A = P1[0], X = 0), return P1[0]@3");
  });
});

test("draws are as many on a packet that is too short as on any other", () => {
  const program = asm("ldh [20]; ld rand; ldh [22]; ret a");
  const { instructions } = optimize(program);
  expect(differences(program, instructions, 3, 300)).toEqual([]);
});

test("a code of another instruction set is refused, not guessed at", () => {
  const program = [stmt(PEEK), stmt(CODE.ldb_abs, 0), stmt(CODE.ret_k, 1)];
  expect(optimize(program).unchanged).toBe("instruction 0 is in no instruction set that was given");
  expect(optimize(program, { isa }).unchanged).toBe("nothing smaller was found");
});
