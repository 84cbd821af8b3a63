/**
 * Programs as decimal columns `code jt jf k`: one a line after a line with their number (`tcpdump -ddd`), or all on one
 * line with commas (`iptables -m bpf --bytecode`, tc's `bytecode`, bpf_asm's output).
 */
import type { Span } from "../base/source-text.ts";
import type { Instruction } from "../program/instruction.ts";
import type { Assembly } from "./assemble.ts";
import { isNoise } from "./listing.ts";
import { Problems, quote } from "./problems.ts";
import { inField } from "./scanner.ts";

const FIELD_NAMES = ["code", "jt", "jf", "k"] as const;

/** The output of `tcpdump -ddd`.  @throws {BpfError} `bad-text` */
export function readDecimalLines(source: string): Assembly {
  const pieces = [...split(source, 0, source.length, "\n")].filter(
    ({ start, end }) => !isNoise(source.slice(start, end)),
  );
  return readCounted(source, pieces, "line");
}

/** `4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0`, bare, quoted, or in a rule of iptables-save.  @throws {BpfError} `bad-text` */
export function readBytecode(source: string): Assembly {
  const { start, end } = bytecodePlace(source);
  const pieces = [...split(source, start, end, ",")];
  const last = pieces.at(-1)!;
  // bpf_asm, and `tcpdump -ddd | tr '\n' ','`, end with a comma.
  if (pieces.length > 1 && source.slice(last.start, last.end).trim() === "") pieces.pop();
  return readCounted(source, pieces, "item");
}

/** Where the string is: after the word "bytecode", or within quotes, or the whole text. */
function bytecodePlace(source: string): Span {
  const word = source.indexOf("bytecode");
  let start = word < 0 ? 0 : word + "bytecode".length;
  while (start < source.length && /[\s=]/.test(source[start]!)) start++;
  const quoteMark = source[start];
  if (quoteMark === '"' || quoteMark === "'") {
    const end = source.indexOf(quoteMark, start + 1);
    return { start: start + 1, end: end < 0 ? source.length : end };
  }
  return { start, end: source.length };
}

function* split(source: string, start: number, end: number, mark: string): Generator<Span> {
  for (let at = start; at <= end; ) {
    const next = source.indexOf(mark, at);
    const stop = next < 0 || next > end ? end : next;
    yield { start: at, end: stop };
    at = stop + 1;
  }
}

/** A count, and as many instructions. */
function readCounted(source: string, pieces: readonly Span[], unit: string): Assembly {
  const problems = new Problems(source);
  const instructions: Instruction[] = [];
  const spans: Span[] = [];
  const [first, ...rest] = pieces;
  const head = first === undefined ? [] : fieldsOf(source, first);
  const count = head.length === 1 && /^[0-9]+$/.test(head[0]!.text) ? Number(head[0]!.text) : undefined;
  if (count === undefined) {
    const place = head[0] === undefined ? { start: 0, end: 0 } : { start: head[0].start, end: head.at(-1)!.end };
    problems.add("bad-count", `the first ${unit} is the number of instructions`, place);
  }
  for (const piece of rest) {
    const insn = instructionOf(problems, fieldsOf(source, piece), piece, instructions.length);
    instructions.push(Object.freeze(insn ?? { code: 0, jt: 0, jf: 0, k: 0 }));
    spans.push(piece);
  }
  if (count !== undefined && count !== rest.length) {
    const announced = Number.isSafeInteger(count) ? count : "too many";
    problems.add("bad-count", `the text announces ${announced} instructions and has ${rest.length}`, head[0]!);
  } else if (count === 0) {
    problems.add("empty-program", "the text has no instruction", head[0]!);
  }
  problems.throwIfAny();
  return { instructions, spans };
}

interface Word extends Span {
  readonly text: string;
}

function fieldsOf(source: string, { start, end }: Span): Word[] {
  return Array.from(source.slice(start, end).matchAll(/\S+/g), ({ 0: text, index }) => ({
    text,
    start: start + index,
    end: start + index + text.length,
  }));
}

function instructionOf(problems: Problems, words: Word[], piece: Span, index: number): Instruction | undefined {
  if (words.length !== FIELD_NAMES.length) {
    const place = words.length === 0 ? piece : { start: words[0]!.start, end: words.at(-1)!.end };
    problems.add("field-count", `an instruction is four numbers, code jt jf k, not ${words.length}`, place, { index });
    return undefined;
  }
  const values: (number | undefined)[] = words.map(({ text, start, end }, i) => {
    if (/^-?[0-9]+$/.test(text)) return inField(problems, FIELD_NAMES[i]!, Number(text), text, { start, end });
    problems.add("bad-number", `${quote(text)} is no decimal number`, { start, end }, { index });
    return undefined;
  });
  const [code, jt, jf, k] = values;
  if (code === undefined || jt === undefined || jf === undefined || k === undefined) return undefined;
  return { code, jt, jf, k };
}

export function writeDecimalLines(instructions: readonly Instruction[]): string {
  return [`${instructions.length}`, ...instructions.map(decimals)].map((line) => `${line}\n`).join("");
}

/** On one line, without the trailing comma that iptables takes and does not print. */
export function writeBytecode(instructions: readonly Instruction[]): string {
  return [`${instructions.length}`, ...instructions.map(decimals)].join(",");
}

function decimals({ code, jt, jf, k }: Instruction): string {
  return `${code} ${jt} ${jf} ${k}`;
}
