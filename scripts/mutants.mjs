// Single faults for the interpreter and what it shares with the other engines: an operation, a border, a rule each.
// scripts/mutation-check.mjs runs the conformance suite on them; test/conformance.test.ts sees to it that they still fit.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

const INTERPRETER = "src/interpreter/interpreter.ts";
const LOAD = "src/program/packet-load.ts";
const NLATTR = "src/program/nlattr.ts";
const READER = "src/program/ancillary-reader.ts";
const DISSECTOR = "src/program/flow-dissector.ts";
const ANCILLARY = "src/isa/ancillary.ts";
const DECODED = "src/interpreter/decoded.ts";

// file, what is wrong, where to look from, the text, and what stands there instead
// biome-ignore format: a table
export const MUTANTS = [
  // Arithmetic
  [INTERPRETER, "add #k saturates",                         "// add #k",   "a = (a + k) | 0;",                 "a = Math.min(a + k, 0x7fffffff) | 0;"],
  [INTERPRETER, "add x takes X as 31 bits",                 "// add x",    "a = (a + x) | 0;",                 "a = (a + (x & 0x7fffffff)) | 0;"],
  [INTERPRETER, "sub #k the other way round",               "// sub #k",   "a = (a - k) | 0;",                 "a = (k - a) | 0;"],
  [INTERPRETER, "sub x stops at 0",                         "// sub x",    "a = (a - x) | 0;",                 "a = Math.max(0, (a >>> 0) - (x >>> 0)) | 0;"],
  [INTERPRETER, "mul #k as a double",                       "// mul #k",   "a = Math.imul(a, k);",             "a = (a * k) | 0;"],
  [INTERPRETER, "mul x as a double",                        "// mul x",    "a = Math.imul(a, x);",             "a = ((a >>> 0) * (x >>> 0)) | 0;"],
  [INTERPRETER, "div #k signed",                            "// div #k",   "((a >>> 0) / (k >>> 0)) | 0;",     "(a / k) | 0;"],
  [INTERPRETER, "div x signed",                             "// div x",    "((a >>> 0) / (x >>> 0)) | 0;",     "(a / x) | 0;"],
  [INTERPRETER, "mod #k signed",                            "// mod #k",   "((a >>> 0) % (k >>> 0)) | 0;",     "(a % k) | 0;"],
  [INTERPRETER, "mod x with a signed X",                    "// mod x",    "((a >>> 0) % (x >>> 0)) | 0;",     "((a >>> 0) % x) | 0;"],
  [INTERPRETER, "div x by 0 gives A = 0",                   "// div x",    "if (x === 0) break program;",      ""],
  [INTERPRETER, "mod x by 0 gives A = 0",                   "// mod x",    "if (x === 0) break program;",      ""],
  [INTERPRETER, "and #k as 16 bits",                        "0x54: // and #k", "a &= k;",                      "a &= k & 0xffff;"],
  [INTERPRETER, "and x as 31 bits",                         "// and x",    "a &= x;",                          "a &= x & 0x7fffffff;"],
  [INTERPRETER, "or #k is xor",                             "// or #k",    "a |= k;",                          "a ^= k;"],
  [INTERPRETER, "or x as 31 bits",                          "// or x",     "a |= x;",                          "a |= x & 0x7fffffff;"],
  [INTERPRETER, "xor #k is or",                             "// xor #k",   "a ^= k;",                          "a |= k;"],
  [INTERPRETER, "xor x is and not",                         "// xor x",    "a ^= x;",                          "a &= ~x;"],
  [INTERPRETER, "lsh #k off by one at 31",                  "// lsh #k",   "a <<= k;",                         "a <<= k === 31 ? 30 : k;"],
  [INTERPRETER, "lsh x of 32 and more gives 0, as libpcap", "// lsh x",    "a <<= x;",                         "a = x >>> 0 > 31 ? 0 : a << x;"],
  [INTERPRETER, "rsh #k keeps the sign",                    "// rsh #k",   "a = (a >>> k) | 0;",               "a = a >> k;"],
  [INTERPRETER, "rsh x of 32 and more gives 0, as libpcap", "// rsh x",    "a = (a >>> x) | 0;",               "a = x >>> 0 > 31 ? 0 : (a >>> x) | 0;"],
  [INTERPRETER, "neg is not",                               "// neg",      "a = -a | 0;",                      "a = ~a;"],
  // Jumps
  [INTERPRETER, "jeq #k as 31 bits",                        "0x15: //",    "a === k ?",                        "(a & 0x7fffffff) === (k & 0x7fffffff) ?"],
  [INTERPRETER, "jgt #k signed",                            "// jgt #k",   "a >>> 0 > k >>> 0 ?",              "a > k ?"],
  [INTERPRETER, "jge #k is jgt",                            "// jge #k",   "a >>> 0 >= k >>> 0 ?",             "a >>> 0 > k >>> 0 ?"],
  [INTERPRETER, "jset #k misses the top bit",               "0x45: // jset #k", "(a & k) !== 0 ?",             "(a & k) > 0 ?"],
  [INTERPRETER, "jeq x compares with k",                    "// jeq x",    "a === x ?",                        "a === k ?"],
  [INTERPRETER, "jgt x is jge",                             "// jgt x",    "a >>> 0 > x >>> 0 ?",              "a >>> 0 >= x >>> 0 ?"],
  [INTERPRETER, "jge x signed",                             "// jge x",    "a >>> 0 >= x >>> 0 ?",             "a >= x ?"],
  [INTERPRETER, "jset x misses the top bit",                "// jset x",   "(a & x) !== 0 ?",                  "(a & x) > 0 ?"],
  [INTERPRETER, "ja is taken one short",                    "// ja",       "pc = code[(pc + 2) | 0]!;",        "pc = Math.max(pc, code[(pc + 2) | 0]! - FIELDS);"],
  [DECODED,     "the false arm goes where the true one does", "",          "position(no)]",                     "position(yes)]"],
  [DECODED,     "a pair swallows a jump into its middle",   "",            "return insn.code === CODE.jeq_k && insn.jf !== 0 ? undefined : pair?.code;", "return pair?.code;"],
  // Pairs: two instructions run as one
  [INTERPRETER, "ldh [k] and jeq swap the arms",            "0x0b: //",    "code[(pc + 6) | 0]! : code[(pc + 7) | 0]!", "code[(pc + 7) | 0]! : code[(pc + 6) | 0]!"],
  [INTERPRETER, "ldb [k] and jeq compare with 7 bits",       "0x0d: //",    "a === code[(pc + 5) | 0]!",        "a === (code[(pc + 5) | 0]! & 0x7f)"],
  [INTERPRETER, "ld [k] and jeq may read one byte behind",  "0x0e: //",    "length - 4",                       "length - 3"],
  [INTERPRETER, "jeq and jeq compare with the first alone", "0x0f: //",    "a === code[(pc + 5) | 0]!",        "a === k"],
  [INTERPRETER, "and #k and jeq keep A",                    "0x10: //",    "a &= k;\n            pc = a ===",  "pc = (a & k) ==="],
  [INTERPRETER, "ldh [k] and jset miss bit 15",             "0x11: //",    "(a & code[(pc + 5) | 0]!) !== 0",  "(a & code[(pc + 5) | 0]! & 0x7fff) !== 0"],
  [INTERPRETER, "ldh [x + k] and jeq know no areas",        "0x12: {",     "const value = loadPacket(packet, start, length, context, at, 2);", "const value = LOAD_FAILED as number;"],
  // Registers and scratch memory
  [INTERPRETER, "ld #k is 31 bits",                         "// ld #k",    "a = k;",                           "a = k & 0x7fffffff;"],
  [INTERPRETER, "ldx #k is 16 bits",                        "// ldx #k",   "x = k;",                           "x = k & 0xffff;"],
  [INTERPRETER, "tax clears A",                             "// tax",      "x = a;",                           "x = a;\n          a = 0;"],
  [INTERPRETER, "txa clears X",                             "// txa",      "a = x;",                           "a = x;\n          x = 0;"],
  [INTERPRETER, "st wraps at 8 cells",                      "// st M[k]",  "mem[k] = a;",                      "mem[k & 7] = a;"],
  [INTERPRETER, "stx stores A",                             "// stx M[k]", "mem[k] = x;",                      "mem[k] = a;"],
  [INTERPRETER, "ld M[] is 31 bits",                        "// ld M[k]",  "a = mem[k]!;",                     "a = mem[k]! & 0x7fffffff;"],
  [INTERPRETER, "ldx M[] loads A",                          "// ldx M[k]", "x = mem[k]!;",                     "a = mem[k]!;"],
  [INTERPRETER, "ret a as 31 bits",                         "// ret a",    "verdict = a;",                     "verdict = a & 0x7fffffff;"],
  [INTERPRETER, "ret #k as 31 bits",                        "// ret #k",   "verdict = k;",                     "verdict = k & 0x7fffffff;"],
  [INTERPRETER, "ld #len one too long",                     "// ld #len",  "(context.length ?? length)",       "(context.length ?? length - 1)"],
  [INTERPRETER, "ldx #len gives the captured length",       "// ldx #len", "(context.length ?? length)",       "length"],
  // Packet loads and the borders of the packet
  [INTERPRETER, "ldh [k] reaches one byte too far",         "0x28: //",    "length - 2",                       "length - 1"],
  [INTERPRETER, "ldb [k] misses the last byte",             "0x30: //",    "length - 1",                       "length - 2"],
  [INTERPRETER, "ld [k] is little-endian in one byte",      "0x20: //",    "(packet[(start + k + 2) | 0]! << 8) |\n              packet[(start + k + 3) | 0]!", "(packet[(start + k + 3) | 0]! << 8) |\n              packet[(start + k + 2) | 0]!"],
  [INTERPRETER, "ld [x + k] reaches one byte too far",        "0x40: {",     "length - 4",                       "length - 3"],
  [INTERPRETER, "ldb [x + k] is little more than X",        "0x50: {",     "const at = (x + k) | 0;",          "const at = (x + (k & 0xffff)) | 0;"],
  [INTERPRETER, "ldh [x + k] is sign-extended",             "0x48: {",     "(packet[(start + at) | 0]! << 8) |", "((packet[(start + at) | 0]! << 24) >> 16) |"],
  [INTERPRETER, "MSH masks with 7",                         "0xb1: //",    "& 15",                             "& 7"],
  [INTERPRETER, "MSH clobbers A",                           "0xb1: //",    "x = (",                            "a = x = ("],
  // Areas
  [LOAD,        "0x80000000 is a plain offset",              "",   "if (offset < 0x80000000) return offset;",   "if (offset <= 0x80000000) return offset & 0x7fffffff;"],
  [LOAD,        "the NET area starts one late",              "",   "if (offset >= SKF_NET_OFF) return",         "if (offset > SKF_NET_OFF) return"],
  [LOAD,        "the NET area ignores the network header",   "",   "return offset - SKF_NET_OFF + context.network;", "return offset - SKF_NET_OFF;"],
  [LOAD,        "the LL area without a MAC header is byte 0", "",   "if (offset >= SKF_LL_OFF && context.mac !== undefined) return offset - SKF_LL_OFF + context.mac;", "if (offset >= SKF_LL_OFF) return offset - SKF_LL_OFF + (context.mac ?? 0);"],
  [LOAD,        "offsets below the LL area are LL",          "",   "offset >= SKF_LL_OFF &&",                   "offset >= SKF_LL_OFF - 1 &&"],
  [LOAD,        "loads in front of byte 0 fail",             "",   "at < -before.length",                       "at < 0"],
  [LOAD,        "the slow path reads one too far",           "",   "at + size > length",                        "at + size > length + 1"],
  // Ancillary loads
  [READER,      "no device gives 0",                         "",   "context.ifindex === 0;",                    "false;"],
  [INTERPRETER, "no device ends with verdict 0",             "0x08: //",   "verdict = a;",                       "verdict = 0;"],
  [INTERPRETER, "MSH in an area is a byte load",             "0x0a: {",    "x = (value & 15) << 2;",             "x = value;"],
  [READER,      "xor_x is or",                               "",   "return (a ^ x) >>> 0;",                     "return (a | x) >>> 0;"],
  [READER,      "NLATTR gets X for A",                       "",   "nlattr(packet, start, length, context, a >>> 0, x >>> 0)", "nlattr(packet, start, length, context, x >>> 0, a >>> 0)"],
  [READER,      "RANDOM is 31 bits",                         "",   "context.random() >>> 0",                    "context.random() >>> 1"],
  [ANCILLARY,   "PKTTYPE reads the protocol",                "",   '{ kind: "field", field: "pktType" }',       '{ kind: "field", field: "protocol" }'],
  [ANCILLARY,   "VLAN_TAG reads the TPID",                   "",   '{ kind: "field", field: "vlanTag" }',       '{ kind: "field", field: "vlanTpid" }'],
  [ANCILLARY,   "QUEUE reads the mark",                      "",   '{ kind: "field", field: "queue" }',         '{ kind: "field", field: "mark" }'],
  [ANCILLARY,   "HATYPE reads the interface index",          "",   '{ kind: "device", field: "hatype" }',       '{ kind: "device", field: "ifindex" }'],
  [ANCILLARY,   "CPU is 0",                                  "",   '{ kind: "field", field: "cpu" }',           '{ kind: "field", field: "rxhash" }'],
  // Netlink attributes
  [NLATTR,      "the type is compared with its flags",       "",   "(readU16(packet, start + at + 2) & NLA_TYPE_MASK) === type", "readU16(packet, start + at + 2) === type"],
  [NLATTR,      "attributes are not rounded up to 4",        "",   "const step = (len + 3) & ~3;",              "const step = len;"],
  [NLATTR,      "a length of 4 is too short",                "",   "if (len < NLA_HDRLEN || len > rest) return 0;", "if (len <= NLA_HDRLEN || len > rest) return 0;"],
  [NLATTR,      "a length may exceed the rest",              "",   "if (len < NLA_HDRLEN || len > rest) return 0;", "if (len < NLA_HDRLEN) return 0;"],
  [NLATTR,      "a nest may exceed the packet",              "",   "if (nested > length - a) return 0;",        ""],
  [NLATTR,      "a nest is searched from its header",        "",   "a + NLA_HDRLEN, nested - NLA_HDRLEN, x",    "a, nested, x"],
  // The flow dissector
  [DISSECTOR,   "IPv4 options are not counted",              "",   "this.#at += headerBytes;",                  "this.#at += 20;"],
  [DISSECTOR,   "later fragments have a transport header",   "",   "if (this.#fragment && !this.#firstFragment) return th;", ""],
  [DISSECTOR,   "the result is clipped to LEN",              "",   "return th + 8;",                            "return Math.min(th + 8, this.#length);"],
  [DISSECTOR,   "16 further headers are walked",             "",   "headers <= MAX_HEADERS",                    "headers <= MAX_HEADERS + 1"],
  [DISSECTOR,   "extension headers of IPv6 are parsed in IPv4", "",   "if (this.#proto !== 0x86dd) return \"good\";\n        if (!this.#has(2))", "if (!this.#has(2))"],
  [DISSECTOR,   "GRE keys are not counted",                  "",   "bytes += 4;\n      if (!this.#has(bytes)) return \"bad\";", "if (!this.#has(bytes)) return \"bad\";"],
  [DISSECTOR,   "a tag in metadata costs four bytes",        "",   "const inMetadata = !this.#sawVlan && this.#context.vlanPresent !== 0;", "const inMetadata = false;"],
];

/**
 * The source with the text replaced: the first one behind a place that is there once, or the only one in the file.
 *
 * @param {string[]} mutant  A row of {@link MUTANTS}.
 */
export function mutated(mutant) {
  const [file, what, from, find, replace] = mutant;
  const source = readFileSync(`${ROOT}${file}`, "utf8");
  const start = source.indexOf(from);
  const at = source.indexOf(find, start);
  const unique = from === "" ? source.split(find).length === 2 : source.split(from).length === 2;
  if (start < 0 || at < 0 || !unique) throw new Error(`"${what}" does not fit ${file}`);
  return source.slice(0, at) + replace + source.slice(at + find.length);
}
