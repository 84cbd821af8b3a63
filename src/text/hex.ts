/**
 * Programs as hex digits: struct sock_filter arrays, 8 bytes an instruction, in either byte order.
 *
 * The order is found as for raw bytes (program/codec.ts).  `little-endian:` or `big-endian:` in front says it, which
 * the writer does where the detection would err.
 */
import { toHex } from "../base/bytes.ts";
import type { Span } from "../base/source-text.ts";
import { ISA } from "../isa/instruction-set.ts";
import { INSTRUCTION_BYTES } from "../isa/limits.ts";
import { type ByteOrder, decode, detectByteOrder, encode } from "../program/codec.ts";
import type { Instruction } from "../program/instruction.ts";
import type { Assembly, TextOptions } from "./assemble.ts";
import { Problems, quote } from "./problems.ts";

/** What says the byte order. */
export const ORDER_WORD = /^\s*(little|big)-endian:/i;
/** One run of digits, with C's or a shell's mark in front; between runs stand blanks, commas, colons. */
const RUN = /[^\s,:]+/g;
const DIGITS = /^(?:0x|\\x)?([0-9a-f]*)$/i;

/** @throws {BpfError} `bad-text` */
export function readHex(source: string, options: TextOptions = {}): Assembly {
  const problems = new Problems(source);
  const said = ORDER_WORD.exec(source);
  const bytes: number[] = [];
  const starts: number[] = []; // place of each byte's first digit
  RUN.lastIndex = said === null ? 0 : said[0].length;
  for (let run = RUN.exec(source); run !== null; run = RUN.exec(source)) {
    readRun(problems, run[0], run.index, bytes, starts);
  }
  const end = starts.length === 0 ? source.length : starts.at(-1)! + 2;
  if (problems.count === 0 && (bytes.length === 0 || bytes.length % INSTRUCTION_BYTES !== 0)) {
    const extra = bytes.length % INSTRUCTION_BYTES;
    const place = { start: starts[bytes.length - extra] ?? 0, end };
    problems.add("byte-count", `${bytes.length} bytes are no whole instructions of ${INSTRUCTION_BYTES} bytes`, place);
  }
  problems.throwIfAny();
  const byteOrder = said === null ? "auto" : (said[1]!.toLowerCase() as ByteOrder);
  const instructions = decode(Uint8Array.from(bytes), { byteOrder, isa: options.isa ?? ISA });
  return { instructions, spans: instructions.map((_, i) => spanOf(starts, i)) };
}

function readRun(problems: Problems, run: string, at: number, bytes: number[], starts: number[]): void {
  // `\x28\x00` is one run of several marks.
  if (run.includes("\\x")) {
    for (const { 0: piece, index } of run.matchAll(/(?:\\x)?[^\\]+|\\/g))
      readDigits(problems, piece, at + index, bytes, starts);
  } else readDigits(problems, run, at, bytes, starts);
}

function readDigits(problems: Problems, text: string, at: number, bytes: number[], starts: number[]): void {
  const digits = DIGITS.exec(text)?.[1];
  const first = at + text.length - (digits?.length ?? 0);
  if (digits === undefined) {
    problems.add("bad-number", `${quote(text)} is no hex`, { start: at, end: at + text.length });
  } else if (digits.length === 0 || digits.length % 2 !== 0) {
    const message = `${digits.length} hex digits are not whole bytes`;
    problems.add("bad-number", message, { start: at, end: at + text.length }, { hint: "two digits a byte" });
  } else {
    for (let i = 0; i < digits.length; i += 2) {
      bytes.push(Number.parseInt(digits.slice(i, i + 2), 16));
      starts.push(first + i);
    }
  }
}

function spanOf(starts: readonly number[], index: number): Span {
  const from = index * INSTRUCTION_BYTES;
  return { start: starts[from]!, end: starts[from + INSTRUCTION_BYTES - 1]! + 2 };
}

/** One instruction a line, low byte first; the order is said where a reader could not find it. */
export function writeHex(instructions: readonly Instruction[], options: TextOptions = {}): string {
  const bytes = encode(instructions, "little");
  const plain = detectByteOrder(bytes, options.isa ?? ISA) === "little";
  let text = plain ? "" : "little-endian:\n";
  for (let at = 0; at < bytes.length; at += INSTRUCTION_BYTES) {
    text += `${toHex(bytes.subarray(at, at + INSTRUCTION_BYTES))}\n`;
  }
  return text;
}
