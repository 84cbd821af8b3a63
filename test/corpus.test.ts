// The corpus itself: it can be read, it leaves nothing out, and the verifier says what it says.
// What engines make of its runs is in engines.test.ts.
import { describe, expect, test } from "vitest";
import { readCorpusFile } from "../src/conformance/corpus.ts";
import { readBytes, readContext, writeBytes, writeContext } from "../src/conformance/packet-text.ts";
import { ANCILLARY } from "../src/isa/ancillary.ts";
import { OPCODES } from "../src/isa/opcodes.ts";
import { estimateAttach } from "../src/verify/estimate.ts";
import { RULES } from "../src/verify/rules.ts";
import { check } from "../src/verify/verify.ts";
import { corpusFiles } from "./corpus-files.ts";

const FILES = corpusFiles();

describe("nothing is left out", () => {
  const named = new Map(FILES.map((file) => [file.name.split("/")[1], file]));

  test.each(OPCODES.map((row) => [row.name, row.code] as const))("opcode %s has a file with runs", (name, code) => {
    const file = named.get(name);
    expect(file?.instructions.map((insn) => insn.code)).toContain(code);
    expect(file?.runs.length).toBeGreaterThan(0);
  });

  test.each(ANCILLARY.map((row) => [row.name, row.k] as const))("ancillary %s has a file with runs", (name, k) => {
    const file = named.get(name);
    expect(file?.instructions).toContainEqual({ code: 0x20, jt: 0, jf: 0, k });
    expect(file?.runs.length).toBeGreaterThan(0);
  });

  test.each(RULES.flatMap(({ id, profiles }) => profiles.map((profile) => [profile, id] as const)))(
    "rule %s %s is broken by a file",
    (profile, id) => {
      const breakers = FILES.filter((file) => file.profile === profile && file.rejects.some(({ rule }) => rule === id));
      expect(breakers.length).toBeGreaterThan(0);
    },
  );
});

describe("the verifier agrees", () => {
  test.each(FILES.map((file) => [file.name, file] as const))("%s", (_name, { instructions, profile, rejects }) => {
    const found = check(instructions, { profile }).map(({ rule, index }) => ({ rule, index }));
    const wanted = rejects.map(({ rule, index }) => ({ rule, index }));
    const order = (a: { rule: string; index?: number | undefined }, b: typeof a) =>
      (a.index ?? -1) - (b.index ?? -1) || a.rule.localeCompare(b.rule);
    expect(found.sort(order)).toEqual(wanted.sort(order));
  });
});

describe("the attach estimate agrees", () => {
  const charged = FILES.filter(({ charge, attach }) => charge !== undefined || attach !== undefined);
  test.each(charged.map((file) => [file.name, file] as const))("%s", (_name, { instructions, charge, attach }) => {
    const estimate = estimateAttach({ instructions });
    if (charge !== undefined) expect(estimate.charge).toBe(charge);
    if (attach !== undefined) expect(estimate.errno === "none" ? "ok" : estimate.errno).toBe(attach);
  });
});

describe("reading", () => {
  test("a whole file", () => {
    const text = [
      "; Two words of prose,",
      "; and more: with a colon.",
      "; source: here",
      "; source: there",
      "    ldb [1]   ; times: 3",
      "    ret a",
      "; run: 00 07 {len=60 rand=1,2} => 7",
      "; run: => 0x10",
      "; charge: 12",
      "; attach: ok",
    ].join("\n");
    const file = readCorpusFile(text, "x/y");
    expect(file.title).toBe("Two words of prose,\nand more: with a colon.");
    expect(file.sources).toEqual(["here", "there"]);
    expect(file.instructions).toEqual([
      { code: 0x30, jt: 0, jf: 0, k: 1 },
      { code: 0x30, jt: 0, jf: 0, k: 1 },
      { code: 0x30, jt: 0, jf: 0, k: 1 },
      { code: 0x16, jt: 0, jf: 0, k: 0 },
    ]);
    expect(file.runs).toEqual([
      { packet: Uint8Array.of(0, 7), context: { length: 60, random: [1, 2] }, verdict: 7, line: 7 },
      { packet: new Uint8Array(0), context: {}, verdict: 16, line: 8 },
    ]);
    expect(file).toMatchObject({ name: "x/y", profile: "linux", charge: 12, attach: "ok", rejects: [] });
  });

  test("times moves jumps over the copies, both arms and ja", () => {
    const text = "; source: s\n; charge: 0\njeq #1, far, near\nnear: ja far\nld #0 ; times: 40\nfar: ret #0";
    const { instructions } = readCorpusFile(text, "x");
    expect(instructions.length).toBe(43);
    expect(instructions[0]).toEqual({ code: 0x15, jt: 41, jf: 0, k: 1 });
    expect(instructions[1]).toEqual({ code: 0x05, jt: 0, jf: 0, k: 40 });
  });

  test.each([
    ["ret #0\n; run: => 0", /names its "; source:"/],
    ["; source: s\nret #0", /has a run, a reject, a charge or an attach/],
    ["; source: s\nret #0\n; rejct: shift-count", /line 3, column 1: unknown directive "rejct"/],
    ["; source: s\nret #0\n; run: 0 => 0", /1 hex digits are not whole bytes/],
    ["; source: s\nret #0\n; run: 00 -> 0", /a run is/],
    ["; source: s\nret #0\n; run: 00 {ttl=1} => 0", /"ttl=1" is none of proto=N/],
    ["; source: s\nret #0\n; run: 00 => 0x100000000", /a verdict/],
    ["; source: s\nret #0\n; run: 00*9999999999 => 0", /a count/],
    ["; source: s\nret #0\n; run: 0011*3 => 0", /one byte is repeated/],
    ["; source: s\n; profile: bsd\nret #0\n; run: => 0", /neither "linux" nor "libpcap"/],
    ["; source: s\n; times: 3\nret #0\n; run: => 0", /stands behind an instruction/],
    ["; source: s\nret #0 ; times: 5000\n; run: => 0", /times: "5000"/],
    ["; source: s\nret #0\n; attach: EPERM", /none of "ok"/],
    ["; source: s\n; charge: 1\n; charge: 2\nret #0", /given twice/],
    ["; source: s\nlod #0\n; run: => 0", /lod/],
  ])("%j is refused", (text, message) => {
    expect(() => readCorpusFile(text, "x")).toThrow(message);
  });

  test.each(["", "00", "00 01 02", "00*5", "ff*60 00 01", "00 00 00 00"])("bytes %j are written as read", (text) => {
    expect(writeBytes(readBytes(text))).toBe(text);
  });

  test("a context is written as read", () => {
    const text =
      "proto=0x800 type=4 ifidx=2 mark=0xffffffff queue=1 hatype=0x304 rxhash=7 cpu=1 vlan_tci=0xfff " +
      "vlan_avail=1 vlan_tpid=0x8100 len=0x3c net=-20 mac=-34 before=0a0b rand=1,0x7b linear=no";
    expect(writeContext(readContext(text)).split(" ").sort()).toEqual(text.split(" ").sort());
    expect(writeContext(readContext("proto=0 net=0"))).toBe("");
  });
});
