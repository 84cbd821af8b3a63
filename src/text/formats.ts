/**
 * The text forms of a program: one table of readers and writers, and how a text is recognised.
 */
import { BpfError } from "../base/errors.ts";
import type { Span } from "../base/source-text.ts";
import { type InstructionSet, ISA } from "../isa/instruction-set.ts";
import type { Instruction } from "../program/instruction.ts";
import { type Assembly, assembleWithSpans, type TextOptions } from "./assemble.ts";
import { readC, writeC, writeCNumbers } from "./c-array.ts";
import { readBytecode, readDecimalLines, writeBytecode, writeDecimalLines } from "./columns.ts";
import { disassemble, disassembleOne } from "./disassemble.ts";
import { ORDER_WORD, readHex, writeHex } from "./hex.ts";
import { readJson, writeJson } from "./json.ts";
import { isNoise, readListing } from "./listing.ts";
import { checkSource, didYouMean, Problems } from "./problems.ts";
import { vocabulary } from "./vocabulary.ts";

interface Format {
  /** One line for help texts. */
  readonly doc: string;
  read(source: string, options: TextOptions): Assembly;
  write(instructions: readonly Instruction[], options: TextOptions): string;
}

/** Every text form, by its name. */
export const TEXT_FORMATS = Object.freeze({
  asm: {
    doc: "the kernel's assembler language (bpf_asm), with labels",
    read: assembleWithSpans,
    write: disassemble,
  },
  "tcpdump-d": {
    doc: "what tcpdump -d prints: (000) ldh [12]",
    read: readListing,
    write: (instructions, { isa }) => instructions.map((insn, i) => `${disassembleOne(insn, i, isa)}\n`).join(""),
  },
  "tcpdump-dd": {
    doc: "what tcpdump -dd prints: { 0x28, 0, 0, 0x0000000c },",
    read: readC,
    write: writeCNumbers,
  },
  "tcpdump-ddd": {
    doc: "what tcpdump -ddd prints: the number of instructions, then code jt jf k in decimal",
    read: readDecimalLines,
    write: writeDecimalLines,
  },
  bytecode: {
    doc: "one line for iptables -m bpf --bytecode and tc: 4,48 0 0 9,...",
    read: readBytecode,
    write: writeBytecode,
  },
  c: {
    doc: "a C array of struct sock_filter, with BPF_STMT and BPF_JUMP",
    read: readC,
    write: writeC,
  },
  hex: {
    doc: "the bytes of struct sock_filter in hex, either byte order",
    read: readHex,
    write: writeHex,
  },
  json: {
    doc: "[[code, jt, jf, k], ...]",
    read: readJson,
    write: writeJson,
  },
} as const satisfies Record<string, Format>);

/** The name of a text form. */
export type TextFormat = keyof typeof TEXT_FORMATS;

export interface ParseTextOptions extends TextOptions {
  /** The form of the text; recognised when absent. */
  readonly format?: TextFormat | undefined;
}

export interface ParsedText {
  readonly instructions: Instruction[];
  /** The form that was given or recognised. */
  readonly format: TextFormat;
  /** Where each instruction stands in the text. */
  readonly spans: Span[];
}

/**
 * The program of a text in any of the forms.
 *
 * The result is not verified.
 *
 * @throws {BpfError} `bad-text` with every error of the text, or for a text of no form; `bad-argument` for an unknown
 *   format or a source that is no string.
 */
export function parseText(source: string, options: ParseTextOptions = {}): ParsedText {
  checkSource(source);
  const format = options.format ?? recognise(source, options);
  if (format === undefined) throw unrecognised(source);
  const { instructions, spans } = formatNamed(format).read(source, options);
  return { instructions, format, spans };
}

/**
 * The program in a text form.  Every form reads back to the same instructions, raw ones included; an empty program
 * has a text, and no reader takes it.
 *
 * @throws {BpfError} `bad-argument` for an unknown format.
 */
export function formatText(
  instructions: readonly Instruction[],
  format: TextFormat = "asm",
  options: TextOptions = {},
): string {
  return formatNamed(format).write(instructions, options);
}

function formatNamed(format: TextFormat): Format {
  if (Object.hasOwn(TEXT_FORMATS, format)) return TEXT_FORMATS[format];
  const names = Object.keys(TEXT_FORMATS);
  const hint = didYouMean(String(format), names);
  throw new BpfError(
    "bad-argument",
    `text format ${JSON.stringify(String(format))} is none of ${names.join(", ")}${hint === undefined ? "" : ` (${hint})`}`,
  );
}

function unrecognised(source: string): BpfError {
  const start = Math.max(0, source.search(/\S/));
  const problems = new Problems(source);
  const empty = source.trim() === "";
  const message = empty
    ? "the text has no instruction"
    : `the text is in none of the forms ${Object.keys(TEXT_FORMATS).join(", ")}`;
  problems.add(empty ? "empty-program" : "unknown-format", message, { start, end: start });
  return problems.error();
}

/**
 * The form of a text, by its first signs; undefined when it looks like none.  A text that is recognised may still have
 * errors: the reader of its form says which.
 */
export function recognise(source: string, options: TextOptions = {}): TextFormat | undefined {
  checkSource(source);
  const text = withoutComments(source);
  const lines = firstLines(text, 2);
  const [first = "", second = ""] = lines;
  if (first === "") return undefined;
  if (/^\[\s*(?:[[{"0-9-]|\]?$)/.test(first)) return "json";
  if (/^\(\s*[0-9]+\s*\)/.test(first)) return "tcpdump-d";
  if (ORDER_WORD.test(first)) return "hex";
  if (/^(?:[^{;]*\bbytecode[\s=]+)?["']?\s*[0-9]+\s*,\s*[0-9]+\s+[0-9]+\s/.test(first)) return "bytecode";
  if (/^[0-9]+$/.test(first) && /^[0-9]+\s+[0-9]+\s/.test(second)) return "tcpdump-ddd";
  if (/[{]|\bBPF_(STMT|JUMP)\b/.test(text)) return isOnlyBraces(text) ? "tcpdump-dd" : "c";
  if (isHex(text)) return "hex";
  return looksAssembled(text, options.isa ?? ISA) ? "asm" : undefined;
}

/** The text with blanks for what is a comment in C or in assembler.  Linear: each comment is searched once. */
function withoutComments(source: string): string {
  let out = "";
  const mark = /\/\*|\/\/|;/g;
  let at = 0;
  for (let found = mark.exec(source); found !== null; found = mark.exec(source)) {
    out += source.slice(at, found.index);
    const block = found[0] === "/*";
    const end = source.indexOf(block ? "*/" : "\n", found.index + found[0].length);
    at = end < 0 ? source.length : block ? end + 2 : end;
    out += " ";
    mark.lastIndex = at;
  }
  return out + source.slice(at);
}

/** The first `count` lines, trimmed, without empty lines, `#` comments and tcpdump's messages. */
function firstLines(text: string, count: number): string[] {
  const lines: string[] = [];
  for (let at = 0; at < text.length && lines.length < count; ) {
    const next = text.indexOf("\n", at);
    const end = next < 0 ? text.length : next;
    const line = text.slice(at, end);
    if (!isNoise(line) && !/^\s*#/.test(line)) lines.push(line.trim());
    at = end + 1;
  }
  return lines;
}

function isOnlyBraces(text: string): boolean {
  return text
    .split("\n")
    .every((line) => isNoise(line) || (/^\s*\{[^{}]*\}[\s,]*$/.test(line) && !/BPF_|=|:/.test(line)));
}

/** Hex digits in pairs, and enough of them for an instruction. */
function isHex(text: string): boolean {
  let digits = 0;
  for (const [run] of text.matchAll(/[^\s,:]+/g)) {
    const plain = run.replace(/0x|\\x/gi, "");
    if (!/^[0-9a-f]*$/i.test(plain)) return false;
    digits += plain.length;
  }
  return digits >= 8;
}

/** Characters of a line that tell whether it is assembler. */
const MAX_LOOK = 200;

/** True when some line starts with an instruction, or with something near one. */
function looksAssembled(text: string, isa: InstructionSet): boolean {
  const words = vocabulary(isa);
  for (const line of firstLines(text, 100)) {
    let start = line.slice(0, MAX_LOOK);
    for (let label = /^[\w.$]+[^\S\n]*:\s*/.exec(start); label !== null; label = /^[\w.$]+[^\S\n]*:\s*/.exec(start)) {
      start = start.slice(label[0].length);
      if (start === "") return true;
    }
    const word = /^[A-Za-z_.][\w.]*/.exec(start)?.[0];
    if (word === undefined) continue;
    if (word === ".word" || words.entry(word) !== undefined) return true;
    if (didYouMean(word, words.mnemonics()) !== undefined) return true;
  }
  return false;
}
