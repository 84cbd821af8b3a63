// What analyze says of small programs, worked out by hand.
import { describe, expect, test } from "vitest";
import { analyze } from "../src/analyze/analyze.ts";
import { CoverageCounter, coverage } from "../src/analyze/coverage.ts";
import type { ProfileName } from "../src/program/engine.ts";
import { Program } from "../src/vm/program.ts";
import { VirtualMachine } from "../src/vm/virtual-machine.ts";

const program = (text: string, profile: ProfileName = "linux"): Program => Program.parse(text, { profile });
const analysis = (text: string, profile?: ProfileName) => analyze(program(text, profile).verified);

describe("reachable and dead code, paths", () => {
  // biome-ignore format: a table
  test.each<[string, string, number[], number, number]>([
    ["straight",                       "ld #1\ntax\nret a",                                              [],     3, 3],
    ["one instruction",                "ret #0",                                                         [],     1, 1],
    ["arms of one length",             "ldh [0]\njeq #1, y, n\ny: ret #1\nn: ret #0",                    [],     3, 3],
    ["arms of different lengths",      "ldh [0]\njeq #1, n\ntax\ntxa\nneg\nn: ret a",                    [],     3, 6],
    ["code behind ja",                 "ja e\nst M[0]\ntax\ne: ret #7",                                  [1, 2], 2, 2],
    ["code behind ret",                "ret #5\nret #6",                                                 [1],    1, 1],
    ["both arms pass over one",        "jeq #1, e, e\nret #1\ne: ret #2",                                [1],    2, 2],
    ["a long way dead, a short alive", "ja e\ntax\ntax\ntax\nja f\ne: ret #0\nf: ret #1",                [1, 2, 3, 4, 6], 2, 2],
  ])("%s", (_name, text, dead, shortest, longest) => {
    const { length, dead: found, shortestPath, longestPath } = analysis(text);
    expect(found).toEqual(dead);
    expect([shortestPath, longestPath]).toEqual([shortest, longest]);
    expect(length).toBe(text.split("\n").length);
  });

  test("a diamond has four blocks, entered from where its jumps lead", () => {
    const { graph } = analysis("ldh [0]\njeq #1, y, n\ny: tax\nja e\nn: neg\ne: ret a");
    expect(graph.blocks.map(({ start, end, predecessors }) => [start, end, predecessors])).toEqual([
      [0, 2, []],
      [2, 4, [0]],
      [4, 5, [0]],
      [5, 6, [1, 2]],
    ]);
    expect(graph.blocks[0]!.successors).toEqual([
      { to: 1, when: "true" },
      { to: 2, when: "false" },
    ]);
    expect(graph.blockOf).toEqual([0, 0, 1, 1, 2, 3]);
  });

  test("loops have no longest path, and a program that cannot return no shortest", () => {
    const loop = analysis("jeq #1, out\nja -2\nout: ret #0", "libpcap");
    expect([loop.shortestPath, loop.longestPath]).toEqual([2, undefined]);
    const forever = analysis("ja -1\nret #0", "libpcap");
    expect([forever.shortestPath, forever.longestPath, forever.dead]).toEqual([
      Number.POSITIVE_INFINITY,
      undefined,
      [1],
    ]);
    expect(forever.verdicts).toEqual([]);
  });
});

describe("what is read, kept and returned", () => {
  const loads = (text: string) => analysis(`${text}\nret a`).touches;

  // biome-ignore format: a table
  test.each<[string, ReturnType<typeof loads>]>([
    ["ld [20]",              [{ area: "packet",  from: 20,     size: 4, dynamic: false }]],
    ["ldh [12]",             [{ area: "packet",  from: 12,     size: 2, dynamic: false }]],
    ["ldxb 4*([14]&0xf)",    [{ area: "packet",  from: 14,     size: 1, dynamic: false }]],
    ["ldb [x + 16]",         [{ area: "packet",  from: 16,     size: 1, dynamic: true }]],
    ["ldh [x + -4]",         [{ area: "packet",  from: -4,     size: 2, dynamic: true }]],
    ["ldb [0xfff00009]",     [{ area: "network", from: 9,      size: 1, dynamic: false }]],
    ["ld [x + 0xfff00010]",  [{ area: "network", from: 16,     size: 4, dynamic: true }]],
    ["ldh [0xffe0000c]",     [{ area: "mac",     from: 12,     size: 2, dynamic: false }]],
    ["ldxb 4*([0xfffff000]&0xf)", [{ area: "network", from: 0xff000, size: 1, dynamic: false }]],
    ["ldb [0x7fffffff]",     [{ area: "packet",  from: 0x7fffffff, size: 1, dynamic: false }]],
    ["ldb [0x80000000]",     []], // fails on every packet
    ["ldb [0xffdfffff]",     []],
    ["ld #len",              []],
    ["ld #proto",            []],
  ])("%s", (text, want) => {
    expect(loads(text)).toEqual(want);
  });

  test("loads are listed once, by area and then by position, and dead ones not at all", () => {
    const text = "ldb [23]\nldb [0xffe00000]\nldh [12]\nldb [0xfff00000]\nldb [23]\nja e\nldb [99]\ne: ret a";
    expect(analysis(text).touches.map(({ area, from }) => `${area} ${from}`)).toEqual([
      "packet 12",
      "packet 23",
      "network 0",
      "mac 0",
    ]);
  });

  test("scratch cells, ancillary loads and verdicts of reachable code, in order", () => {
    const text = [
      "      ld #mark",
      "      st M[9]",
      "      ldx M[9]",
      "      stx M[2]",
      "      ldb #vlan_tci",
      "      jeq #1, a, b",
      "a:    ret #0x40000",
      "b:    ld #proto",
      "      jeq #2, c, d",
      "c:    ret a",
      "d:    ret #0",
      "      st M[15]",
      "      ret #77",
    ].join("\n");
    const { scratch, ancillary, verdicts, dead } = analysis(text);
    expect(scratch).toEqual([2, 9]);
    expect(ancillary.map(({ name }) => name)).toEqual(["PROTOCOL", "MARK", "VLAN_TAG"]);
    expect(verdicts).toEqual([0, 0x40000, "A"]);
    expect(dead).toEqual([11, 12]);
  });

  test("the attach is estimated for what a kernel takes, and for nothing else", () => {
    expect(analysis("ret #0").attach).toMatchObject({ converted: 5, charge: 136, errno: "none" });
    const small = analyze(program("ldh [12]\nret a").verified, { optmemMax: 200 });
    expect(small.attach).toMatchObject({ converted: 22, charge: 272, errno: "ENOMEM" }); // 3 + 4 + 14 + 1
    expect(analysis("ret #0", "libpcap").attach).toBeUndefined();
    const vm = new VirtualMachine()
      .registerOpcode(0xf0, { name: "swap", execute() {} })
      .registerAncillary(64, "tenant", () => 1);
    expect(analyze(vm.parse("swap\nret a").verified).attach).toBeUndefined();
    expect(analyze(vm.parse("ld #tenant\nret a").verified).attach).toBeUndefined();
    expect(analyze(vm.parse("ja e\nswap\ne: ret #0").verified).attach).toBeUndefined(); // dead, and refused all the same
  });
});

describe("where implementations part ways", () => {
  const rules = (text: string, profile?: ProfileName) =>
    analysis(text, profile).divergences.map(({ rule, index, differs }) => [rule, index, ...differs]);
  const others = ["libpcap", "x/net/bpf"];

  // Each row: kernel-semantics.md sections 1.2 and 3.
  // biome-ignore format: a table
  test.each<[string, ProfileName, unknown[][]]>([
    ["ldh [12]\nadd #1\nlsh #31\nret a",      "linux",   []],
    ["ld #1\nlsh x\nret a",                   "linux",   [["shift-by-register", 1, ...others]]],
    ["ld #1\nrsh x\nret a",                   "linux",   [["shift-by-register", 1, ...others]]],
    ["ldb [x + 1]\nret a",                    "linux",   [["indirect-wrap", 0, ...others]]],
    ["ldb [0xfff00000]\nret a",               "linux",   [["negative-offset", 0, ...others]]],
    ["ldxb 4*([0xffe00000]&0xf)\nret a",      "linux",   [["negative-offset", 0, ...others]]],
    ["ldb [0x80000000]\nret a",               "linux",   []], // 0 everywhere
    ["neg\nret a",                            "linux",   [["negate", 0, "x/net/bpf"]]],
    ["ld #len\nret a",                        "linux",   [["length", 0, ...others]]],
    ["ldx #len\nret a",                       "linux",   [["length", 0, ...others]]],
    ["ldb #mark\nret a",                      "linux",   [["ancillary", 0, ...others]]],
    ["ja e\nneg\ne: ret a",                   "linux",   []], // dead
    ["lsh #32\nret a",                        "libpcap", [["shift-by-constant", 0, ...others]]],
    ["ld M[3]\nret a",                        "libpcap", [["scratch-uninitialized", 0, "libpcap"]]],
    ["ldb [0xfffff001]\nret a",               "libpcap", [["negative-offset", 0, ...others], ["ancillary-offset", 0, "libpcap"]]],
  ])("%j %s", (text, profile, want) => {
    expect(rules(text, profile)).toEqual(want);
  });

  test("longer than Linux takes", () => {
    const long = `${"tax\n".repeat(4096)}ret a`;
    expect(rules(long, "libpcap")).toEqual([["program-length", undefined, ...others]]);
  });
});

describe("coverage", () => {
  // 0 ldb [0]   1 jeq #1 -> 2 or 3   2 ret #-1   3 ldx #0   4 div x   5 ret #0
  const covered = program("ldb [0]\njeq #1, yes, no\nyes: ret #-1\nno: ldx #0\ndiv x\nret #0");
  const packets = [Uint8Array.of(1), Uint8Array.of(1, 2), Uint8Array.of(2), new Uint8Array(0)];

  test("counts runs, branches, aborts and matches", () => {
    const found = coverage(
      covered.verified,
      packets.map((packet) => covered.trace(packet)),
    );
    expect(found.runs).toEqual([4, 3, 2, 1, 1, 0]);
    expect(found.branches).toEqual([undefined, { yes: 2, no: 1 }, undefined, undefined, undefined, undefined]);
    expect(found.aborts).toEqual([1, 0, 0, 0, 1, 0]);
    expect([found.packets, found.matched]).toEqual([4, 2]);
  });

  test("a run that IFINDEX ends is an abort, and its verdict A can match", () => {
    const device = program("ld #5\nld #ifidx\nret #0");
    const found = coverage(device.verified, [device.trace(new Uint8Array(4))]);
    expect([found.runs, found.aborts, found.matched]).toEqual([[1, 1, 0], [0, 1, 0], 1]);
  });

  test("the counter takes one run at a time and starts from nothing", () => {
    const counter = new CoverageCounter(covered.verified);
    expect([counter.packets, counter.runs]).toEqual([0, [0, 0, 0, 0, 0, 0]]);
    counter.add(covered.trace(packets[0]!));
    expect([counter.packets, counter.matched, counter.runs]).toEqual([1, 1, [1, 1, 1, 0, 0, 0]]);
  });
});
