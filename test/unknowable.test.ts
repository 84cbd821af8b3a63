/** What a user-space filter on UDP cannot know, program by program. */
import { describe, expect, test } from "vitest";
import { type UdpPoint, type UnknowableOptions, unknowableBytes } from "../src/analyze/unknowable.ts";
import { Program } from "../src/vm/program.ts";

const ENDS = "\nyes: ret #-1\nno: ret #0";

function found(source: string, point: UdpPoint = "udp4", options: UnknowableOptions = {}): string[] {
  const { verified } = Program.parse(source);
  return unknowableBytes(verified, point, options).map(({ index, what }) => `${index} ${what.join(", ")}`);
}

describe("loads at fixed places", () => {
  // biome-ignore format: a table
  test.each([
    // what           load                          jump             unknown over IPv4                  over IPv6
    ["source port",   "ldh [0]",                    "jeq #53",       [],                                []],
    ["length",        "ldh [4]",                    "jgt #20",       [],                                []],
    ["UDP checksum",  "ldh [6]",                    "jeq #0",        ["0 UDP checksum"],                ["0 UDP checksum"]],
    ["payload",       "ld [8]",                     "jeq #1",        [],                                []],
    ["across",        "ld [4]",                     "jeq #1",        ["0 UDP checksum"],                ["0 UDP checksum"]],
    ["upper half",    "ld [4]\nrsh #16",            "jeq #1",        [],                                []],
    ["lower half",    "ld [4]\nand #0xffff",        "jeq #1",        ["0 UDP checksum"],                ["0 UDP checksum"]],
    ["version",       "ldb [0xfff00000]\nand #0xf0", "jeq #0x60",    [],                                []],
    ["TOS",           "ldb [0xfff00001]",           "jeq #0",        ["0 traffic class"],               ["0 traffic class"]],
    ["fragment",      "ldh [0xfff00006]",           "jset #0x1fff",  [],                                ["0 hop limit"]],
    ["flags",         "ldh [0xfff00006]",           "jset #0x4000",  ["0 don't fragment"],              []],
    ["protocol",      "ldb [0xfff00009]",           "jeq #17",       [],                                []],
    ["MAC",           "ldb [0xffe00000]",           "jeq #2",        ["0 whether there is a MAC header, destination MAC"],
                                                                                                        ["0 whether there is a MAC header, destination MAC"]],
    ["EtherType",     "ldh [0xffe0000c]",           "jeq #0x800",    ["0 whether there is a MAC header"], ["0 whether there is a MAC header"]],
    ["interface",     "ld ifidx",                   "jeq #2",        ["0 IFINDEX"],                     ["0 IFINDEX"]],
    ["protocol word", "ld proto",                   "jeq #0x800",    [],                                []],
    ["random",        "ld rand\nand #3",            "jeq #0",        ["0 RANDOM"],                      ["0 RANDOM"]],
    ["payload place", "ld poff",                    "jeq #8",        [],                                []],
    ["attributes",    "ldx #1\nld #8\nld nla",      "jeq #0",        ["2 NLATTR"],                      ["2 NLATTR"]],
    ["the length",    "ld #len",                    "jgt #100",      [],                                []],
  ] as const)("%s", (_what, load, jump, over4, over6) => {
    const source = `${load}\n${jump}, yes, no${ENDS}`;
    expect(found(source, "udp4")).toEqual(over4);
    expect(found(source, "udp6")).toEqual(over6);
  });
});

describe("what reaches the verdict", () => {
  // biome-ignore format: a table
  test.each([
    ["a value that is overwritten",       "ldh [6]\nldh [0]\nret a",                                  []],
    ["a value that is returned",          "ldh [6]\nret a",                                           ["0 UDP checksum"]],
    ["through scratch memory",            "ldh [6]\nst M[3]\nldh [0]\nld M[3]\nret a",                ["0 UDP checksum"]],
    ["through X and a sum",               "ldh [6]\ntax\nldh [0]\nadd x\nret a",                      ["0 UDP checksum"]],
    ["as an address",                     "ldh [6]\nand #7\ntax\nldb [x + 8]\nldb [0]\nret a",        ["0 UDP checksum"]],
    ["as a divisor",                      "ldh [6]\ntax\nld #8\ndiv x\nldb [0]\nret a",               ["0 UDP checksum"]],
    ["a divisor that is known",           "ldh [0]\ntax\nld #8\ndiv x\nldb [0]\nret a",               []],
    ["both ways lead to one place",       "ldh [6]\njeq #1, same, same\nsame: ret #-1",               []],
    ["masked away",                       "ldh [6]\nand #0\nret a",                                   []],
    ["set for sure",                      "ldb [6]\nor #0xff\nret a",                                 []],
    ["code that nothing reaches",         "ja end\nldh [6]\nret a\nend: ret #1",                      []],
    ["a branch that cannot be taken",     "ldb [0]\njgt #255, odd, even\nodd: ldh [6]\nret a\neven: ret #1", []],
    ["either of two loads",               "ldb [0]\njeq #1, p, q\np: ldb [6]\nja end\nq: ldb [0xfff00008]\nend: ret a",
                                                                                                      ["2 UDP checksum", "4 hop limit"]],
    ["an index that stays in the payload", "ldxb 4*([8]&0xf)\nldb [x + 8]\nret a",                    []],
    ["an index that may meet it",         "ldxb 4*([8]&0xf)\nldb [x + 4]\nret a",                     ["1 UDP checksum"]],
    ["any index at all",                  "ld [8]\ntax\nldb [x + 0]\nret a",
      ["2 whether there is a MAC header, UDP checksum, destination MAC, source MAC, traffic class, identification, don't fragment, hop limit, header checksum, destination"]],
    ["an index that wraps",               "ldx #0xfff00000\nldb [x + 8]\nret a",                      ["1 hop limit"]],
    ["a low bit in a sum",                "ldh [6]\nand #1\nadd #2\nrsh #1\nret a",                   ["0 UDP checksum"]],
    ["a high bit in a product",           "ldh [6]\nand #0x8000\nmul #2\nand #0xffff\nret a",         ["0 UDP checksum"]],
    ["shifted out",                       "ldh [6]\nlsh #16\nand #0xffff\nret a",                     []],
  ] as const)("%s", (_what, source, expected) => {
    expect(found(source)).toEqual(expected);
  });
});

test("what the caller knows is not reported", () => {
  const hop = `ldb [0xfff00008]\njgt #63, yes, no${ENDS}`;
  expect(found(hop, "udp4", { fields: ["hop limit"] })).toEqual([]);
  expect(found(`ld mark\nret a`, "udp4", { ancillary: ["MARK"] })).toEqual([]);
  expect(found(`ldh [0xffe0000c]\nret a`, "udp4", { macHeader: true })).toEqual([]);
  expect(found(`ld [0xfff00010]\nret a`, "udp4")).toEqual(["0 destination"]);
  expect(found(`ld [0xfff00010]\nret a`, "udp4", { fields: ["destination"] })).toEqual([]);
});
