// The optimizer gives the same verdicts with fewer instructions, and says what it did.
import { describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { emit } from "../src/optimize/emit.ts";
import { showGraph } from "../src/optimize/graph.ts";
import { imply } from "../src/optimize/imply.ts";
import { lift } from "../src/optimize/lift.ts";
import { type Goal, type OptimizeOptions, optimize } from "../src/optimize/optimize.ts";
import type { Pass } from "../src/optimize/pass.ts";
import { type Instruction, jump, stmt } from "../src/program/instruction.ts";
import { packetContext } from "../src/program/packet-context.ts";
import { pathPackets } from "../src/prove/paths.ts";
import { assemble } from "../src/text/assemble.ts";
import { check, verify } from "../src/verify/verify.ts";
import { recordedPrograms } from "./optimize/expressions.ts";
import { randomContext, randomPacket, randomProgram, seeded } from "./optimize/random.ts";

const GOALS: readonly Goal[] = ["size", "balanced", "speed"];
const LONG = process.env.CBPF_LONG !== undefined;
const SEED = Number(process.env.SEED ?? 1);

const asm = (text: string): readonly Instruction[] => assemble(text);

/** Runs both programs; Linux's rules for the result, libpcap's for what libpcap made. */
function runner(program: readonly Instruction[]) {
  const profile = check(program).length === 0 ? "linux" : "libpcap";
  return interpreter.load(verify(program, { profile }));
}

/** The two programs on packets for the first one's paths, and on random ones; says where they differ. */
function differences(a: readonly Instruction[], b: readonly Instruction[], seed: number, count: number): string[] {
  const [one, other] = [runner(a), runner(b)];
  const random = seeded(seed);
  const found: string[] = [];
  const directed = pathPackets(a, 300);
  for (let n = 0; n < count + directed.length && found.length === 0; n++) {
    const packet = directed[n] ?? randomPacket(random, a, 100);
    const context = randomContext(random);
    for (const length of [packet.length, random(packet.length + 1)]) {
      const cut = packet.subarray(0, length);
      const [want, got] = [one.run(cut, context()), other.run(cut, context())];
      if (want !== got) found.push(`${want} became ${got} on ${Buffer.from(cut).toString("hex")}`);
    }
  }
  return found;
}

describe("libpcap's unoptimized programs", () => {
  const programs = recordedPrograms();

  // ours strict, ours with libpcap's semantics; libpcap's own count is in the file
  test.each([
    ["EN10MB", "port 80", 21, 21],
    ["EN10MB", "port 80 or port 443", 25, 23],
    ["EN10MB", "port 80 or port 443 or port 8080 or port 22 or port 53 or port 25", 33, 31],
    ["EN10MB", "(vlan and ip) or ip", 4, 4],
    ["EN10MB", "src port 1025 and tcp", 16, 16],
    ["EN10MB", "src net 10.0.1.0/24 or src net 10.0.2.0/24", 14, 14],
    ["EN10MB", "len >= 1 or len <= 1", 1, 1],
    ["EN10MB", "ip or not ip", 2, 1],
    ["IEEE802_11", "(host 10.0.0.1 or host 10.0.0.2) and tcp", 27, 27],
  ])("%s, %s: at most %i instructions, %i with libpcap's semantics", (link, expression, strict, loose) => {
    const program = programs.find((p) => p.link === link && p.expression === expression)!;
    expect(optimize(program.instructions).instructions.length).toBeLessThanOrEqual(strict);
    const relaxed = optimize(program.instructions, { semantics: "libpcap" });
    expect(relaxed.instructions.length).toBeLessThanOrEqual(loose);
  });

  describe.each(programs.map((p) => [`${p.link}: ${p.expression}`, p] as const))("%s", (_name, program) => {
    test("never more than libpcap's optimizer, with its semantics", () => {
      const { instructions } = optimize(program.instructions, { semantics: "libpcap" });
      expect(instructions.length).toBeLessThanOrEqual(program.libpcap);
    });

    test.each(GOALS)("goal %s: the same verdict on every packet", (goal) => {
      const { instructions } = optimize(program.instructions, { goal });
      expect(differences(program.instructions, instructions, SEED, LONG ? 4000 : 150)).toEqual([]);
      if (check(program.instructions).length === 0) expect(check(instructions)).toEqual([]);
    });
  });
});

describe("random programs", () => {
  test(`keep their verdicts; rerun: SEED=${SEED} npx vitest run test/optimize.test.ts`, { timeout: 3_600_000 }, () => {
    const random = seeded(SEED);
    for (let n = 0; n < (LONG ? 20_000 : 600); n++) {
      const program = randomProgram(random);
      const goal = GOALS[n % 3]!;
      const { instructions } = optimize(program, { goal });
      expect(check(instructions), `program ${n}`).toEqual([]);
      if (goal !== "speed") expect(instructions.length).toBeLessThanOrEqual(program.length);
      expect(differences(program, instructions, SEED + n, 25), `program ${n}: ${JSON.stringify(program)}`).toEqual([]);
    }
  });

  test("hardly ever get smaller when optimized again", () => {
    const random = seeded(SEED + 77);
    let smaller = 0;
    for (let n = 0; n < 100; n++) {
      const once = optimize(randomProgram(random)).instructions;
      if (optimize(once).instructions.length < once.length) smaller++;
    }
    expect(smaller).toBeLessThan(5); // 1 in a hundred
  });
});

describe("strict semantics", () => {
  test.each([
    // name                                   program                                                     strict  libpcap
    ["a dead load can still fail", "ldh [20]; ld #1; ret a", 2, 1],
    ["a shorter dead load is implied", "ldh [20]; ldb [20]; ret #1", 2, 1],
    ["a dead load in front of ret 0 is not needed", "ldh [20]; ret #0", 1, 1],
    ["a load behind the same load", "ldh [20]; ldh [20]; ret a", 2, 2],
    ["a dead division can still end the program", "ldb [0]; tax; ld #8; div x; ret #1", 5, 5],
    ["a dead header length load", "ldxb 4*([3]&0xf); ret #1", 2, 1],
  ])("%s", (_name, text, strict, loose) => {
    const program = asm(text.replaceAll("; ", "\n"));
    expect(optimize(program).instructions.length).toBe(strict);
    expect(optimize(program, { semantics: "libpcap" }).instructions.length).toBe(loose);
    expect(differences(program, optimize(program).instructions, 3, 400)).toEqual([]);
  });

  test("a later test is not moved in front of a load that might fail", () => {
    // [54] = 80 accepts packets of 56 bytes; [54] = 443 only those that have [56] too.
    const program = asm(`
        ldh [54]
        jeq #80, yes, next
  next: ldh [56]
        jeq #80, yes, more
  more: ldh [54]
        jeq #443, yes, no
  yes:  ret #1
  no:   ret #0`);
    const { instructions } = optimize(program);
    const packet = new Uint8Array(56);
    packet.set([443 >> 8, 443 & 255], 54);
    expect(runner(instructions).run(packet)).toBe(0);
    expect(differences(program, instructions, 4, 2000)).toEqual([]);
  });

  test("a dead load stays where one of the paths behind it needs less", () => {
    const program = asm(`
        ldh [20]
        ldb [0]
        jeq #1, far, near
  far:  ldh [30]
        ret #1
  near: ldxb 4*([0]&0xf)
        ldb [x + 5]
        ret #2`);
    const { instructions } = optimize(program);
    expect(runner(instructions).run(new Uint8Array(10))).toBe(0);
    expect(differences(program, instructions, 8, 400)).toEqual([]);
  });

  test.each([
    ["IFINDEX without a device returns A", "ld #5; ld ifidx; ret #100"],
    ["IFINDEX behind a test", "ldb [0]; jeq #1, 0, 1; ret #7; ld ifidx; jeq #2, 0, 1; ret #9; ret #8"],
    ["HATYPE twice", "ld #3; ld hatype; ld #9; ld hatype; ret a"],
    ["a load that fails between two that ask for the device", "ld #1; ld ifidx; ldh [8]; ld ifidx; ret #7"],
  ])("%s", (_name, text) => {
    const program = text.includes("jeq") ? deviceProgram() : asm(text.replaceAll("; ", "\n"));
    const { instructions } = optimize(program);
    for (const ifindex of [0, 1, 2]) {
      const context = packetContext({ ifindex, hatype: 772 });
      for (const packet of [new Uint8Array(0), new Uint8Array([1]), new Uint8Array([2])]) {
        expect(runner(instructions).run(packet, context)).toBe(runner(program).run(packet, context));
      }
    }
  });

  test("RANDOM is drawn as often and in the same order", () => {
    const program = asm("ld rand\nst M[0]\nld rand\nld rand\ntax\nld M[0]\nadd x\nret a");
    const { instructions } = optimize(program);
    const draws = () => {
      let next = 5;
      return packetContext({ random: () => (next = next * 3) });
    };
    const packet = new Uint8Array(0);
    expect(runner(instructions).run(packet, draws())).toBe(runner(program).run(packet, draws()));
    expect(instructions.filter((i) => i.k === 0xfffff038).length).toBe(3);
  });

  test("an absolute load at an offset that names nothing, which libpcap lets in, reads where the interpreter does", () => {
    const program = [stmt(0x30, 0xfffff001), jump(0x15, 9, 0, 1), stmt(0x06, 1), stmt(0x06, 2)];
    const run = (list: readonly Instruction[], packet: Uint8Array) =>
      interpreter.load(verify(list, { profile: "libpcap" })).run(packet);
    const { instructions } = optimize(verify(program, { profile: "libpcap" }));
    for (const packet of [new Uint8Array(60), new Uint8Array(0x100000), new Uint8Array(0x100000).fill(9)]) {
      expect(run(instructions, packet)).toBe(run(program, packet));
    }
  });

  test("an indirect load at an ancillary offset stays a packet load", () => {
    const program = asm("ldx #0xfffff024\nldb [x + 0]\nret a");
    const { instructions } = optimize(program);
    const context = packetContext({ cpu: 77 });
    expect(runner(instructions).run(new Uint8Array(80), context)).toBe(0);
    expect(instructions.some((i) => i.code === 0x50)).toBe(true);
  });

  function deviceProgram(): readonly Instruction[] {
    return [
      stmt(0x30, 0),
      jump(0x15, 1, 0, 1),
      stmt(0x06, 7),
      stmt(0x20, 0xfffff008),
      jump(0x15, 2, 0, 1),
      stmt(0x06, 9),
      stmt(0x16),
    ];
  }
});

describe("programs that once came out wrong", () => {
  test.each([
    [
      // Where the paths meet, A and M[0] are the same number on one of them, which then has both names.
      "two numbers that are one on one of the paths",
      `    ld #len; tax; jne #0, far
           st M[0]; add x; ja last
      far: ldxb 4*([0]&0xf); stx M[0]; jeq #1, both
      last: tax
      both: txa; ldx M[0]; jeq x, no
           ret #1
      no:  ret #0`,
      "00 00 00 00",
      1,
    ],
    [
      "tests of a load that all lead to one place, the other being out of reach",
      `ldb [20]; and #0xf0; jeq #0x10, one, a
       a: ldb [20]; jgt #0xf, b, one
       b: jgt #0x1f, one, two
       one: ret #1
       two: ret #2`,
      "",
      0,
    ],
    [
      "the high bits of a sum whose largest number is even",
      `ldb [0]; tax; ldb [1]; add x; tax; and #0x1fe; jeq #4, yes, next
       next: txa; jeq #9, yes, no
       yes: ret #1
       no: ret #0`,
      "02 03",
      1,
    ],
    [
      "ranges of a sum whose largest number, 765, lacks a bit",
      `ldb [0]; tax; ldb [1]; add x; tax; ldb [2]; add x
       jgt #7, a, no
       a: jgt #11, b, yes
       b: jgt #15, c, no
       c: jgt #19, no, yes
       yes: ret #1
       no: ret #0`,
      "ff 09 00",
      0,
    ],
  ])("%s", (_name, text, packet, verdict) => {
    const program = asm(text.replaceAll("; ", "\n"));
    const bytes = Buffer.from(packet.replaceAll(" ", ""), "hex");
    expect(runner(program).run(bytes)).toBe(verdict);
    for (const goal of GOALS) {
      const { instructions } = optimize(program, { goal });
      expect(runner(instructions).run(bytes), goal).toBe(verdict);
      expect(differences(program, instructions, SEED, 400), goal).toEqual([]);
    }
  });
});

describe("jumps", () => {
  /** `n` tests of one byte each, all to the same far return. */
  const ladder = (n: number): Instruction[] => {
    const list: Instruction[] = [];
    for (let i = 0; i < n; i++) {
      list.push(stmt(0x30, i), jump(0x15, (i % 250) + 1, 0, 1), stmt(0x06, 1000 + (i % 3)));
    }
    return [...list, stmt(0x06, 0)];
  };

  test.each([100, 300, 1200])("a ladder of %i tests keeps its verdicts and its reach", (n) => {
    const program = ladder(n);
    const { instructions } = optimize(program);
    expect(check(instructions)).toEqual([]);
    expect(instructions.length).toBeLessThan(program.length);
    const packet = new Uint8Array(n);
    for (const hit of [0, 1, 99, n - 1]) {
      packet.fill(0);
      packet[hit] = (hit % 250) + 1;
      expect(runner(instructions).run(packet)).toBe(1000 + (hit % 3));
    }
  });

  test.each([
    ["a load and a test", [stmt(0x30, 301), jump(0x15, 7, 0, 1), stmt(0x06, 5), stmt(0x06, 6)]],
    // Returns stay at the end of a program that uses scratch memory.
    ["a cell and a return", [stmt(0x02, 0), stmt(0x30, 301), stmt(0x61, 0), stmt(0x0c), stmt(0x16)]],
  ])("%s out of reach of 300 tests", (_name, far) => {
    const tests = Array.from({ length: 300 }, (_, i) => [
      stmt(0x30, i),
      jump(0x15, (i % 250) + 1, 0, 1),
      stmt(0x05, 3 * (299 - i) + 1), // to what is far, over the return
    ]);
    const program = [...tests.flat(), stmt(0x06, 0), ...far];
    const { instructions } = optimize(program);
    expect(check(instructions)).toEqual([]);
    expect(instructions.length).toBeLessThan(program.length);
    const packet = new Uint8Array(302);
    for (const hit of [0, 1, 44, 45, 46, 99, 170, 171, 172, 173, 298, 299]) {
      for (const last of [7, 8]) {
        packet.fill(0);
        packet[hit] = (hit % 250) + 1;
        packet[301] = last;
        expect(runner(instructions).run(packet)).toBe(runner(program).run(packet));
        expect(runner(program).run(packet)).toBe(far.length === 4 ? last - 2 : last + (hit % 250) + 1);
      }
    }
  });

  test("a program of 4,096 instructions is handled", () => {
    const program = ladder(1365);
    expect(program.length).toBe(4096);
    const { instructions, unchanged } = optimize(program);
    expect(unchanged).toBeUndefined();
    expect(check(instructions)).toEqual([]);
    expect(differences(program, instructions, 9, 20)).toEqual([]);
  });

  // Every operation on two computed values can be made in several ways, and so can its operands.
  test.each([12, 60])("the sum of %i bytes is not tried in every order", (n) => {
    const bytes = Array.from({ length: n }, (_, i) => `ldb [${i + 1}]\nadd x\ntax`).join("\n");
    const program = asm(`ldb [0]\ntax\n${bytes}\ntxa\nret a`);
    const { instructions } = optimize(program);
    expect(instructions.length).toBeLessThan(program.length);
    expect(differences(program, instructions, 3, 50)).toEqual([]);
  });

  test("a sum of products goes through memory", () => {
    const product = (i: number) => `ldb [${2 * i}]\ntax\nldb [${2 * i + 1}]\nmul x\nst M[1]`;
    const terms = Array.from({ length: 24 }, (_, i) => `${product(i)}\nldx M[0]\nadd x\nst M[0]\nst M[2]`);
    const program = asm(`ld #0\nst M[0]\n${terms.join("\n")}\nret a`);
    const { instructions } = optimize(program);
    expect(instructions.length).toBeLessThan(program.length);
    expect(differences(program, instructions, 4, 50)).toEqual([]);
  });

  test("values nested too deeply come back unchanged, with the reason", () => {
    const program = asm(`ldb [0]\n${"tax\nldb [x + 1]\n".repeat(2000)}ret a`);
    const { instructions, unchanged } = optimize(program);
    expect(instructions).toBe(program);
    expect(unchanged).toBe("a value of more than 256 operations");
  });

  test.each(GOALS)("goal %s: paths that part and meet 2,000 times fit a small stack", (goal) => {
    const diamonds = Array.from({ length: 2000 }, (_, i) => [jump(0x45, 1 << (i % 8), 0, 1), stmt(0xa4, i + 1)]);
    const program = [stmt(0x30, 0), ...diamonds.flat(), stmt(0x16)];
    const { instructions } = optimize(program, { goal });
    const [want, got] = [runner(program), runner(instructions)];
    for (let byte = 0; byte < 256; byte++) {
      const packet = Uint8Array.of(byte);
      expect(got.run(packet)).toBe(want.run(packet));
    }
    expect(got.run(new Uint8Array(0))).toBe(0);
  });
});

describe("goals", () => {
  /** `n` constants of one halfword. */
  const list = (n: number): Instruction[] => [
    stmt(0x28, 12),
    ...Array.from({ length: n }, (_, i) => jump(0x15, 7 * i + 3, n - i, i === n - 1 ? 0 : 0)),
    stmt(0x06, 0),
    stmt(0x06, 1),
  ];

  test("speed makes a tree of a long list", () => {
    const program = list(200);
    const fast = optimize(program, { goal: "speed" }).instructions;
    const packet = new Uint8Array(14);
    const steps = (instructions: readonly Instruction[]) => {
      let pc = 0;
      let count = 0;
      const a = (packet[12]! << 8) | packet[13]!;
      for (;;) {
        const { code, jt, jf, k } = instructions[pc]!;
        count++;
        if (code === 0x06) return count;
        if (code === 0x15) pc += a === k ? jt : jf;
        else if (code === 0x25) pc += a > k ? jt : jf;
        else if (code === 0x35) pc += a >= k ? jt : jf;
        else if (code === 0x05) pc += k;
        pc++;
      }
    };
    expect(steps(program)).toBeGreaterThan(200);
    expect(steps(fast)).toBeLessThan(20);
    expect(differences(program, fast, 5, 3000)).toEqual([]);
    expect(optimize(program).instructions.length).toBe(program.length);
  });
});

describe("the interface", () => {
  const port80 = recordedPrograms().find((p) => p.expression === "port 80")!.instructions;

  test("numbers in a row become a range, and its ends are where they were", () => {
    const row = [5, 6, 7, 8, 9];
    const program = asm(`ldb [0]\n${row.map((n) => `jeq #${n}, yes`).join("\n")}\nret #0\nyes: ret #1`);
    const { instructions } = optimize(program);
    expect(instructions.length).toBe(5);
    for (let n = 0; n < 256; n++) expect(runner(instructions).run(new Uint8Array([n]))).toBe(row.includes(n) ? 1 : 0);
  });

  test("reports each pass with the size before and after", () => {
    const { report, instructions } = optimize(port80);
    expect(report[0]).toMatchObject({ pass: "imply", before: port80.length, kept: true });
    expect(report.filter((r) => r.kept).at(-1)!.after).toBe(instructions.length);
  });

  test("keeps the spans of the instructions that were kept", () => {
    const spans = port80.map((_, i) => ({ start: i, end: i + 1 }));
    const result = optimize(port80, { spans });
    expect(result.spans!.length).toBe(result.instructions.length);
    for (const [i, span] of result.spans!.entries()) {
      const { code, k } = result.instructions[i]!;
      if (code === 0x15) expect(port80[span!.start]).toMatchObject({ code, k });
    }
  });

  test("takes passes, and shows the graph", () => {
    const seen: string[] = [];
    const spy: Pass = {
      name: "spy",
      run(graph) {
        seen.push(showGraph(graph));
        return graph;
      },
    };
    const { report } = optimize(port80, { passes: [spy, imply] });
    expect(report.map((r) => r.pass)).toEqual(["spy", "imply"]);
    expect(seen[0]).toContain("n0: if P2[12] == 0x86dd then n1 else n10");
  });

  test("without a pass what nobody reads goes all the same", () => {
    const { instructions, report } = optimize(asm("ldb [0]\nst M[1]\nret a"), { passes: [] });
    expect(instructions).toEqual(asm("ldb [0]\nret a"));
    expect(report).toEqual([{ pass: "lift", before: 3, after: 2, kept: true }]);
  });

  test.each([
    ["a jump back", [stmt(0x05, 0xffffffff), stmt(0x06, 0)], {}, "instruction 0 jumps back"],
    ["a jump too far", [stmt(0x05, 1), stmt(0x06, 0)], {}, "instruction 0 leads out of the program"],
    ["a branch too far", [jump(0x15, 1, 0, 1), stmt(0x06, 0)], {}, "instruction 0 leads out of the program"],
    ["no return at the end", [stmt(0x30, 0)], {}, "instruction 0 leads out of the program"],
    ["a cell too many", [stmt(0x02, 16), stmt(0x06, 1)], {}, "instruction 0 names no cell"],
    ["nothing", [], {}, "there are no instructions"],
    ["more decisions than the budget", port80, { budget: 3 }, "more than 3 decisions"],
    ["nothing to gain", [stmt(0x06, 1)], {}, "nothing smaller was found"],
  ] as const)("%s comes back unchanged, and why", (_name, program, options: OptimizeOptions, reason) => {
    const result = optimize(program, options);
    expect(result.instructions).toBe(program);
    expect(result.unchanged).toBe(reason);
  });

  test.each([
    [{ goal: "small" }, 'goal "small" is none of size, speed, balanced'],
    [{ semantics: "loose" }, 'semantics "loose" is none of strict, libpcap'],
  ])("refuses %o", (options, message) => {
    const wrong = () => optimize(port80, options as unknown as OptimizeOptions);
    expect(wrong).toThrow(BpfError);
    expect(wrong).toThrow(message);
  });
});

describe("lifting and emitting alone", () => {
  // Each of these is spelled another way inside; what comes out must still be the same number.
  test.each([
    "ld [0]; div #8; ret a",
    "ld [0]; div #7; ret a",
    "ld [0]; mod #16; ret a",
    "ld [0]; mul #32; ret a",
    "ld [0]; mul #3; mul #5; ret a",
    "ldh [4]; and #0xff; ret a",
    "ld [4]; and #0xff; ret a",
    "ld [4]; and #0xffff; ret a",
    "ld [0]; lsh #16; lsh #16; ret a",
    "ld [0]; lsh #3; lsh #4; ret a",
    "ld [0]; rsh #20; rsh #12; ret a",
    "ldb [0]; lsh #4; and #0xf0f; ret a",
    "ld [0]; sub #9; add #4; ret a",
    "ld [0]; and #0xff00; and #0xf0; ret a",
    "ldh [0]; rsh #4; jeq #0x123, y, n; y: ret #1; n: ret #0",
    "ldh [0]; rsh #4; jgt #7, y, n; y: ret #1; n: ret #0",
    "ldb [0]; lsh #3; jeq #24, y, n; y: ret #1; n: ret #0",
    "ldb [0]; lsh #3; jgt #29, y, n; y: ret #1; n: ret #0",
    "ldb [0]; lsh #3; jset #0x18, y, n; y: ret #1; n: ret #0",
    "ldb [0]; rsh #3; jset #1, y, n; y: ret #1; n: ret #0",
    "ldb [0]; add #250; jeq #4, y, n; y: ret #1; n: ret #0",
    "ldb [0]; add #250; jgt #4, y, n; y: ret #1; n: ret #0",
    "ldb [0]; add #3; jeq #9, y, n; y: ret #1; n: ret #0",
    "ldb [0]; xor #5; jeq #4, y, n; y: ret #1; n: ret #0",
    "ldb [0]; and #6; jeq #6, y, n; y: ret #1; n: ret #0",
    "ldb [0]; jge #3, y, n; y: ret #1; n: ret #0",
    "ldb [0]; jgt #254, y, n; y: ret #1; n: ret #0",
    "ldb [0]; jgt #255, y, n; y: ret #1; n: ret #0",
    "ldb [0]; jset #0xff, y, n; y: ret #1; n: ret #0",
    "ld [0]; jset #0xffffffff, y, n; y: ret #1; n: ret #0", // always true in libpcap from 2001 to 2026
    "ldb [0]; tax; ldb [1]; jgt x, y, n; y: ret #1; n: ret #0",
    "ldb [0]; tax; ldb [1]; jge x, y, n; y: ret #1; n: ret #0",
    "ldb [0]; tax; ldb [1]; jset x, y, n; y: ret #1; n: ret #0",
    "ldb [0]; tax; ldb [1]; sub x; jeq #0, y, n; y: ret #1; n: ret #0",
    "ldb [0]; tax; ldb [1]; lsh x; ret a",
    "ldb [0]; tax; ldb [1]; div x; ret a",
    "ldb [0]; tax; ldb [1]; mod x; add #1; ret a",
    "ldb [0]; and #3; tax; ldb [x + 2]; tax; ldb [x + 1]; ret a",
    "ldb [0]; and #3; add #4; tax; ldb [x + 2]; ret a",
    "ldx #0xfffffffe; ldb [x + 6]; ret a",
    "ldb [0]; and #3; add #3; tax; ldb [1]; jgt x, a, n; a: ldb [x + 2]; ret a; n: ret #0",
    "ldxb 4*([0]&0xf); txa; ret a",
    "ldb [0]; neg; ret a",
    // Two paths come to one comparison with A and X the other way round.
    "ldb [0]; jeq #1, p, q; p: ldb [1]; tax; ldb [x + 5]; jeq #7, n, r; r: ldb [2]; jeq x, n, s; s: jgt x, y, n; q: ldb [2]; tax; ldb [x + 5]; jeq #9, n, t; t: ldb [1]; jset x, n, u; u: jge x, n, y; y: ret #1; n: ret #0",
  ])("%s", (text) => {
    const program = asm(text.replaceAll("; ", "\n"));
    for (const joins of ["split", "join"] as const) {
      const lifted = lift(program, { joins, semantics: "strict", budget: 100 });
      if ("refused" in lifted) throw new Error(lifted.refused);
      expect(differences(program, emit(imply.run(lifted.graph))!.instructions, 11, 400)).toEqual([]);
    }
  });

  test("paths that hold a test's two numbers in opposite registers", () => {
    // Behind the load one path has A = v and X = 0, the other A = 0 and v in memory: jset takes either order.
    const program = asm(`
            jgt x, byte, first
      first: jgt #185, draw, part
      byte: ldxb 4*([27]&0xf)
      draw: ld #rand
      part: div #30
            jgt #7, half, test
      half: ldh [x + 34]
      test: jge x, word, bits
      word: ld [x + 31]
      bits: jset x, add, end
      add:  add #130
      end:  ret a`);
    for (const joins of ["split", "join"] as const) {
      const lifted = lift(program, { joins, semantics: "strict", budget: 100 });
      if ("refused" in lifted) throw new Error(lifted.refused);
      expect(differences(program, emit(lifted.graph)!.instructions, 11, 400)).toEqual([]);
    }
  });

  test.each(["split", "join"] as const)("%s: the round trip keeps verdicts", (joins) => {
    const random = seeded(SEED + 5);
    for (let n = 0; n < (LONG ? 5000 : 200); n++) {
      const program = randomProgram(random, 25);
      const lifted = lift(program, { joins, semantics: "strict", budget: 5000 });
      if ("refused" in lifted) throw new Error(lifted.refused);
      const emitted = emit(lifted.graph);
      if (emitted === undefined) continue; // 16 cells did not suffice
      expect(differences(program, emitted.instructions, n, 20), JSON.stringify(program)).toEqual([]);
    }
  });
});
