import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import { OPCODES } from "../src/isa/opcodes.ts";
import { encode } from "../src/program/codec.ts";
import { type Instruction, jump, stmt } from "../src/program/instruction.ts";
import { formatText, parseText, recognise, TEXT_FORMATS, type TextFormat } from "../src/text/formats.ts";

const FORMATS = Object.keys(TEXT_FORMATS) as TextFormat[];
const LONG = process.env.CBPF_LONG === "1";

// ip, as tcpdump -d -y EN10MB ip compiles it.
const IP = [stmt(0x28, 12), jump(0x15, 0x800, 0, 1), stmt(0x06, 262144), stmt(0x06, 0)];

function textError(run: () => unknown): BpfError {
  try {
    run();
  } catch (error) {
    if (error instanceof BpfError) return error;
    throw error;
  }
  throw new Error("expected an error");
}

/** libpcap's compiler leaves numbers in the k of `tax` and `txa`, which -d does not print. */
const asPrinted = (insn: Instruction) => (insn.code === 0x07 || insn.code === 0x87 ? { ...insn, k: 0 } : insn);

describe("what tcpdump prints, recorded", () => {
  const recorded = readFileSync(new URL("./golden/text/tcpdump.txt", import.meta.url), "utf8");
  const programs = recorded.split(/^=== /m).slice(1);

  test.each(programs.map((text) => [text.slice(0, text.indexOf("\n")), text] as const))("%s", (_, text) => {
    const [d, dd, ddd] = text
      .split(/^--- -d+\n/m)
      .slice(1)
      .map((form) => form) as [string, string, string];
    const program = parseText(ddd);
    expect(program.format).toBe("tcpdump-ddd");
    expect(parseText(d)).toMatchObject({ format: "tcpdump-d", instructions: program.instructions });
    expect(parseText(dd)).toMatchObject({ format: "tcpdump-dd", instructions: program.instructions });
    expect(formatText(program.instructions, "tcpdump-d")).toBe(d);
    expect(formatText(program.instructions, "tcpdump-dd")).toBe(dd);
    expect(formatText(program.instructions, "tcpdump-ddd")).toBe(ddd);
  });
});

describe("what the installed tcpdump prints", () => {
  const EXPRESSIONS = [
    "ip",
    "ip6",
    "arp",
    "tcp",
    "udp port 53",
    "host 192.168.1.1",
    "net 10.0.0.0/8 and not net 10.1.0.0/16",
    "portrange 1000-2000",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)",
    "icmp[icmptype] != icmp-echo and icmp[icmptype] != icmp-echoreply",
    "ip6 protochain 6",
    "len >= 100 and less 1000",
    "ip[8] * 3 / 2 % 7 ^ 1 | 2 & 0xff << 1 >> 1 = -ip[9]",
    "src 2001:db8::1 and dst net 2001:db8::/32",
  ];
  const ETHERNET = ["vlan 100 and ip", "ether multicast", "mpls 100", "pppoes and ip", "ether src 00:11:22:33:44:55"];
  const LINK_TYPES = ["EN10MB", "RAW", "LINUX_SLL", "LINUX_SLL2", "IEEE802_11", "IEEE802_11_RADIO", "PPP", "NULL"];
  const installed = spawnSync("tcpdump", ["--version"]).status === 0;

  test.skipIf(!installed)(
    `reads to one program in three forms${installed ? "" : " (skipped: tcpdump is not installed)"}`,
    () => {
      const print = (args: string[]) => spawnSync("tcpdump", args, { encoding: "utf8" });
      let compared = 0;
      for (const linkType of LINK_TYPES) {
        for (const expression of linkType === "EN10MB" ? [...EXPRESSIONS, ...ETHERNET] : EXPRESSIONS) {
          for (const flags of linkType === "EN10MB" ? [[], ["-O"]] : [[]]) {
            const [d, dd, ddd] = ["-d", "-dd", "-ddd"].map((form) =>
              print(["-y", linkType, ...flags, form, expression]),
            );
            if (d!.status !== 0) continue; // not every expression exists for every link type
            const where = `tcpdump -y ${linkType} ${flags.join(" ")} -d ${expression}`;
            const { instructions } = parseText(ddd!.stdout);
            expect(parseText(d!.stdout).instructions, where).toEqual(instructions.map(asPrinted));
            expect(parseText(dd!.stdout).instructions, where).toEqual(instructions);
            expect(formatText(instructions.map(asPrinted), "tcpdump-d"), where).toBe(d!.stdout);
            expect(parseText(formatText(instructions, "tcpdump-d")).instructions, where).toEqual(instructions);
            expect(formatText(instructions, "tcpdump-dd"), where).toBe(dd!.stdout);
            expect(formatText(instructions, "tcpdump-ddd"), where).toBe(ddd!.stdout);
            // tcpdump's messages and stray blanks around a listing are what people paste.
            const pasted = `tcpdump: WARNING: eth0: no address\r\n\n${d!.stdout.replace(/^/gm, "   ")}\n\n`;
            expect(parseText(pasted).instructions, where).toEqual(instructions.map(asPrinted));
            compared++;
          }
        }
      }
      expect(compared).toBeGreaterThan(80);
    },
    120_000,
  );
});

describe("forms as they are found", () => {
  // biome-ignore format: a table
  test.each<[TextFormat, string]>([
    ["asm",         "ldh [12]\njne #0x800, drop\nret #262144\ndrop: ret #0"],
    ["asm",         "; { BPF_STMT } in a comment\n/* 4,1 2 3 4 */ ldh [12]\njne #0x800, drop\nret #262144\ndrop: ret #0"],
    ["tcpdump-d",   "  (000) ldh      [12]\n\n  (001) jeq      #0x800           jt 2\tjf 3\n(002) ret #262144\n(003) ret      #0   "],
    ["tcpdump-d",   "Warning: assuming Ethernet\n(000) ldh [12]\n(001) jeq #0x800 jt 2 jf 3\n(002) ret #262144\n(003) ret #0"],
    ["tcpdump-dd",  "{ 0x28, 0, 0, 0x0000000c },\n{ 0x15, 0, 1, 0x00000800 },\n{ 0x6, 0, 0, 0x00040000 },\n{ 0x6, 0, 0, 0x00000000 },"],
    ["tcpdump-dd",  "{ 0x28,  0,  0, 0x0000000c },\n{ 0x15,  0,  1, 0x00000800 },\n{ 0x06,  0,  0, 0x00040000 },\n{ 0x06,  0,  0, 0000000000 },"], // bpf_asm -c
    ["tcpdump-ddd", "4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0"],
    ["bytecode",    "4,40 0 0 12,21 0 1 2048,6 0 0 262144,6 0 0 0"],
    ["bytecode",    "4,40 0 0 12,21 0 1 2048,6 0 0 262144,6 0 0 0,\n"], // bpf_asm
    ["bytecode",    "'4,40 0 0 12,21 0 1 2048,6 0 0 262144,6 0 0 0'"],
    ["bytecode",    '-A INPUT -m bpf --bytecode "4,40 0 0 12,21 0 1 2048,6 0 0 262144,6 0 0 0" -j DROP'],
    ["bytecode",    "filter parent 1: bpf chain 0 handle 0x1 flowid :1 bytecode '4,40 0 0 12,21 0 1 2048,6 0 0 262144,6 0 0 0'"],
    ["c",           "BPF_STMT(BPF_LD+BPF_H+BPF_ABS, 12), BPF_JUMP(BPF_JMP+BPF_JEQ+BPF_K, 0x800, 0, 1), BPF_STMT(BPF_RET+BPF_K, 262144), BPF_STMT(BPF_RET+BPF_K, 0)"],
    ["c",           `#include <linux/filter.h>
#define BPF_STMT(code, k) \\
  { (unsigned short)(code), 0, 0, k }
/* From the above example: { 1, 2, 3, 4 } */
static int attach(int fd, struct sock_fprog *old)
{
  struct sock_filter code[] = { // ip
    { 0x28, 0, 0, 0x0000000c }, { BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0x0800U },
    { .code = BPF_RET|BPF_K, .k = 1 << 18, },
    BPF_STMT(BPF_RET | BPF_K, (u_int)-1 + 1),
  };
  struct sock_fprog bpf = { 4, code };
  struct sock_fprog prog = { .len = sizeof(code)/sizeof(code[0]), .filter = code };
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &bpf, sizeof(bpf));
}`],
    ["c",           "[]bpf.RawInstruction{\n{Op: 0x28, Jt: 0x0, Jf: 0x0, K: 0xc},\n{Op: 0x15, Jf: 1, K: 0x800},\n{Op: 6, K: 0x40000}, {Op: 6}}"],
    ["hex",         "280000000c000000 1500000100080000 0600000000000400 0600000000000000"],
    ["hex",         "00 28 00 00 00 00 00 0c\n00 15 00 01 00 00 08 00\n00 06 00 00 00 04 00 00\n00 06 00 00 00 00 00 00"],
    ["hex",         "0x28,0x00,0x00,0x00,0x0c,0x00,0x00,0x00, 0x15,0,0".replace(",0,0", ",0x00,0x00,0x01,0x00,0x08,0x00,0x00,0x06,0x00,0x00,0x00,0x00,0x00,0x04,0x00,0x06,0x00,0x00,0x00,0x00,0x00,0x00,0x00")],
    ["hex",         "\\x28\\x00\\x00\\x00\\x0c\\x00\\x00\\x00\\x15\\x00\\x00\\x01\\x00\\x08\\x00\\x00\\x06\\x00\\x00\\x00\\x00\\x00\\x04\\x00\\x06\\x00\\x00\\x00\\x00\\x00\\x00\\x00"],
    ["json",        "[[40,0,0,12],[21,0,1,2048],[6,0,0,262144],[6,0,0,0]]"],
    ["json",        '[{"code":40,"jt":0,"jf":0,"k":12},{"code":21,"jt":0,"jf":1,"k":2048},{"k":262144,"code":6,"jf":0,"jt":0},[6,0,0,0]]'],
  ])("%s: %j", (format, source) => {
    expect(recognise(source)).toBe(format);
    expect(parseText(source)).toMatchObject({ format, instructions: IP });
    expect(parseText(source, { format })).toMatchObject({ format, instructions: IP });
  });

  test.each(["", " \n\t", "§", "tcp port 80 and host 10.0.0.1", "hello, world", "4", "(", "<html></html>"])(
    "no form: %j",
    (source) => {
      expect(recognise(source)).toBeUndefined();
      expect(textError(() => parseText(source)).code).toBe("bad-text");
    },
  );

  test("spans point at the instructions", () => {
    for (const format of FORMATS) {
      const source = formatText(IP, format);
      const { spans } = parseText(source);
      expect(spans, format).toHaveLength(IP.length);
      for (let i = 1; i < spans.length; i++) expect(spans[i]!.start).toBeGreaterThanOrEqual(spans[i - 1]!.end);
      expect(source.slice(spans[1]!.start, spans[1]!.end), format).toMatch(/jne|jeq|0x15|21|BPF_JEQ|^15/);
    }
  });

  test("a format that is none", () => {
    const error = textError(() => formatText(IP, "jsom" as TextFormat));
    expect([error.code, error.message]).toEqual([
      "bad-argument",
      'text format "jsom" is none of asm, tcpdump-d, tcpdump-dd, tcpdump-ddd, bytecode, c, hex, json (did you mean "json"?)',
    ]);
    expect(textError(() => parseText("ret #0", { format: "constructor" as TextFormat })).code).toBe("bad-argument");
    expect(textError(() => parseText(undefined as unknown as string)).code).toBe("bad-argument");
  });
});

describe("writers", () => {
  // biome-ignore format: a table
  test.each<[TextFormat, string]>([
    ["asm",         "    ldh   [12]\n    jne   #0x800, L3\n    ret   #262144\nL3: ret   #0\n"],
    ["tcpdump-ddd", "4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n"],
    ["bytecode",    "4,40 0 0 12,21 0 1 2048,6 0 0 262144,6 0 0 0"],
    ["hex",         "280000000c000000\n1500000100080000\n0600000000000400\n0600000000000000\n"],
    ["json",        "[\n  [40, 0, 0, 12],\n  [21, 0, 1, 2048],\n  [6, 0, 0, 262144],\n  [6, 0, 0, 0]\n]\n"],
    ["c",           "struct sock_filter filter[] = {\n\tBPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),\n\tBPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x800, 0, 1),\n\tBPF_STMT(BPF_RET | BPF_K, 262144),\n\tBPF_STMT(BPF_RET | BPF_K, 0),\n};\n"],
  ])("%s", (format, text) => {
    expect(formatText(IP, format)).toBe(text);
  });

  test("an empty program has a text, and no reader takes it", () => {
    for (const format of FORMATS) {
      const text = formatText([], format);
      expect(textError(() => parseText(text, { format })).code, format).toBe("bad-text");
    }
  });

  test("the C writer names every code of the table", () => {
    for (const { code, name } of OPCODES) {
      const text = formatText([stmt(code)], "c");
      expect(text, name).toMatch(/BPF_(STMT|JUMP)\(BPF_/);
      expect(parseText(text).instructions, name).toEqual([stmt(code)]);
    }
  });
});

// Every form, every program: text and back is the identity.
const known = fc.constantFrom(...OPCODES.map(({ code }) => code));
const byte = fc.oneof(fc.constantFrom(0, 0, 0, 1, 2, 255), fc.integer({ min: 0, max: 255 }));
const constant = fc.oneof(
  fc.constantFrom(0, 0, 1, 12, 0xffffff, 0x1000000, 0x7fffffff, 0x80000000, 0xffffffff, 0xfff00000),
  fc.integer({ min: 0xfffff000, max: 0xfffff050 }),
  fc.integer({ min: 0, max: 0xffffffff }),
);
const raw: fc.Arbitrary<Instruction> = fc.record({
  code: fc.oneof(known, fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 0xffff })),
  jt: byte,
  jf: byte,
  k: constant,
});
/** What a compiler makes: a known code, and only the fields that it uses. */
const plain: fc.Arbitrary<Instruction> = fc
  .tuple(fc.constantFrom(...OPCODES), byte, byte, constant)
  .map(([row, jt, jf, k]) => {
    const branch = row.does.kind === "branch";
    const usesK = /k|L/.test(row.operand.replace(",Lt,Lf", ""));
    return { code: row.code, jt: branch ? jt : 0, jf: branch ? jf : 0, k: usesK ? k : 0 };
  });
const runs = LONG ? 20_000 : 300;

describe.each(FORMATS)("%s", (format) => {
  test.each([
    ["raw", raw],
    ["plain", plain],
  ] as const)("reads back what it wrote: %s programs", (_, insn) => {
    fc.assert(
      fc.property(fc.array(insn, { minLength: 1, maxLength: 24 }), (program) => {
        const text = formatText(program, format);
        expect(parseText(text, { format }).instructions).toEqual(program);
      }),
      { numRuns: runs },
    );
  });

  test("is recognised in what it wrote", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(raw, plain), { minLength: 1, maxLength: 12 }), (program) => {
        const text = formatText(program, format);
        expect(parseText(text), text).toMatchObject({ format, instructions: program });
      }),
      { numRuns: runs },
    );
  });
});

test("hex of either byte order, for programs that end with a return", () => {
  fc.assert(
    fc.property(
      fc.array(plain, { maxLength: 20 }),
      fc.constantFrom("little" as const, "big" as const),
      (program, order) => {
        const whole = [...program, stmt(0x06, 1)];
        const hex = Buffer.from(encode(whole, order)).toString("hex");
        expect(parseText(hex, { format: "hex" }).instructions).toEqual(whole);
        expect(parseText(`${order}-endian: ${hex}`).instructions).toEqual(whole);
      },
    ),
    { numRuns: runs },
  );
});

describe("errors of the foreign forms: rule, message, line, column, caret", () => {
  // biome-ignore format: a table
  test.each<[TextFormat, string, string[], string]>([
    ["tcpdump-d", "(000) ldh [12]\n(001) jeq #0x800 jt 1 jf 3", ["jump-range"],
      "line 2, column 21: jt 1 is outside 2..257, what instruction 1 can reach\n  (001) jeq #0x800 jt 1 jf 3\n                      ^"],
    ["tcpdump-d", "(000) ldh [12]\n(002) ret #0", ["line-order"],
      "line 2, column 2: this is instruction 1 of the text, not 002 (jumps go by number: every line is needed, in order)\n  (002) ret #0\n   ^^^"],
    ["tcpdump-d", "(000) ldq [12]", ["unknown-mnemonic"],
      'line 1, column 7: unknown instruction "ldq" (did you mean "ld"?)\n  (000) ldq [12]\n        ^^^'],
    ["tcpdump-d", "(000) jeq #1 jt 1", ["bad-target"],
      "line 1, column 18: expected jf and an instruction number, found the end of the text\n  (000) jeq #1 jt 1\n                   ^"],
    ["tcpdump-d", "(000) tax 5", ["unexpected-text"],
      'line 1, column 11: expected the end of the line, found "5"\n  (000) tax 5\n            ^'],
    ["tcpdump-d", "ret #0\n(001) tax", ["syntax"],
      'line 1, column 1: expected a line such as "(000) ldh [12]", found "ret"\n  ret #0\n  ^^^'],
    ["tcpdump-dd", "{ 0x28, 0, 0 },", ["field-count"],
      "line 1, column 1: an instruction is four numbers, { code, jt, jf, k }, not 3\n  { 0x28, 0, 0 },\n  ^^^^^^^^^^^^^^"],
    ["tcpdump-dd", "{ 0x28, 0, 256, 0x10000 },\n{ 0x12345, 0, 0, 0x1ffffffff },", ["number-range", "number-range", "number-range"],
      "line 1, column 12: 256 is outside 0..255 of jf\n  { 0x28, 0, 256, 0x10000 },\n             ^^^\n" +
      "line 2, column 3: 0x12345 is outside 0..0xffff of a code\n  { 0x12345, 0, 0, 0x1ffffffff },\n    ^^^^^^^\n" +
      "line 2, column 18: 0x1ffffffff is more than 0xffffffff\n  { 0x12345, 0, 0, 0x1ffffffff },\n                   ^^^^^^^^^^^"],
    ["c", "BPF_STMT(BPF_LD+BPF_ASB, 12)", ["unknown-name"],
      'line 1, column 17: "BPF_ASB" is no constant of linux/filter.h (did you mean "BPF_ABS"?)\n  BPF_STMT(BPF_LD+BPF_ASB, 12)\n                  ^^^^^^^'],
    ["c", "BPF_JUMP(BPF_JMP+BPF_JEQ+BPF_K, ETH_P_IP, 0, 1)", ["unknown-name"],
      'line 1, column 33: "ETH_P_IP" is no constant of linux/filter.h (write its number)\n  BPF_JUMP(BPF_JMP+BPF_JEQ+BPF_K, ETH_P_IP, 0, 1)\n                                  ^^^^^^^^'],
    ["c", "BPF_STMT(0x06)", ["field-count"],
      'line 1, column 14: expected "," and k: BPF_STMT(code, k), found ")"\n  BPF_STMT(0x06)\n               ^'],
    ["c", "struct sock_filter a[] = { { 6, 0, 0, 0 } };\nstruct sock_filter b[] = { { 6, 0, 0, 1 } };", ["several-programs"],
      "line 2, column 28: a second program starts here; a text holds one\n  struct sock_filter b[] = { { 6, 0, 0, 1 } };\n                             ^^^^^^^^^^^^^^"],
    ["tcpdump-ddd", "2\n6 0 0 0", ["bad-count"],
      "line 1, column 1: the text announces 2 instructions and has 1\n  2\n  ^"],
    ["tcpdump-ddd", "1\n6 0 0", ["field-count"],
      "line 2, column 1: an instruction is four numbers, code jt jf k, not 3\n  6 0 0\n  ^^^^^"],
    ["tcpdump-ddd", "6 0 0 0", ["bad-count"],
      "line 1, column 1: the first line is the number of instructions\n  6 0 0 0\n  ^^^^^^^"],
    ["bytecode", "2,6 0 0x1 0,6 0 0 4294967296", ["bad-number", "number-range"],
      'line 1, column 7: "0x1" is no decimal number\n  2,6 0 0x1 0,6 0 0 4294967296\n        ^^^\n' +
      "line 1, column 19: 4294967296 is outside -2147483648..0xffffffff of k\n  2,6 0 0x1 0,6 0 0 4294967296\n                    ^^^^^^^^^^"],
    ["hex", "0600000000000000 06zz", ["bad-number"],
      'line 1, column 18: "06zz" is no hex\n  0600000000000000 06zz\n                   ^^^^'],
    ["hex", "0600000000000000\n0600", ["byte-count"],
      "line 2, column 1: 10 bytes are no whole instructions of 8 bytes\n  0600\n  ^^^^"],
    ["hex", "060000000000000", ["bad-number"],
      "line 1, column 1: 15 hex digits are not whole bytes (two digits a byte)\n  060000000000000\n  ^^^^^^^^^^^^^^^"],
    ["json", "[[1,2,3],[6,0,0,0]]", ["field-count"],
      "line 1, column 2: an instruction is four numbers, [code, jt, jf, k], not 3\n  [[1,2,3],[6,0,0,0]]\n   ^^^^^^^"],
    ["json", "[[6,0,256,0.5]]", ["number-range", "bad-number", "syntax"],
      "line 1, column 7: 256 is outside 0..255 of jf\n  [[6,0,256,0.5]]\n        ^^^\n" +
      'line 1, column 11: "0" is no whole JSON number\n  [[6,0,256,0.5]]\n            ^\n' +
      'line 1, column 12: expected "," or "]", found ".5"\n  [[6,0,256,0.5]]\n             ^^'],
    ["json", '[{"code":6,"jt":0,"jf":0,"q":1}]', ["field-count", "unknown-key"],
      "line 1, column 2: an instruction has code, jt, jf and k; k missing\n" +
      '  [{"code":6,"jt":0,"jf":0,"q":1}]\n   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n' +
      'line 1, column 26: "q" is no field of an instruction\n  [{"code":6,"jt":0,"jf":0,"q":1}]\n                           ^^^'],
    ["json", "[[6,0,0,0],]", ["syntax"],
      'line 1, column 12: expected [code, jt, jf, k], found "]"\n  [[6,0,0,0],]\n             ^'],
  ])("%s: %j", (format, source, rules, message) => {
    const error = textError(() => parseText(source, { format }));
    expect(error.message).toBe(message);
    expect(error.code).toBe("bad-text");
    expect(error.violations.map(({ rule }) => rule)).toEqual(rules);
  });
});
