/**
 * Programs as JSON: `[[code, jt, jf, k], ...]`, or objects with these four keys.
 *
 * JSON.parse says neither where an error is nor whether a number is the field's, so this reads the text itself; the
 * grammar has no nesting beyond the two levels.
 */
import type { Span } from "../base/source-text.ts";
import type { Instruction } from "../program/instruction.ts";
import type { Assembly } from "./assemble.ts";
import { Problems, quote } from "./problems.ts";
import { type Field, inField, Scanner } from "./scanner.ts";

const FIELDS: readonly Field[] = ["code", "jt", "jf", "k"];

/** @throws {BpfError} `bad-text` */
export function readJson(source: string): Assembly {
  const problems = new Problems(source);
  const scanner = new Scanner(problems);
  const instructions: Instruction[] = [];
  const spans: Span[] = [];
  const item = () => {
    const { start } = scanner.token;
    const fields = readFields(scanner, instructions.length);
    if (fields === undefined) return false;
    instructions.push(Object.freeze(fields));
    spans.push({ start, end: scanner.lastEnd });
    return true;
  };
  // A structural error ends the reading: what follows has lost its frame.
  if (readList(scanner, "[", "]", item) && scanner.token.kind !== "end") {
    scanner.expected("the end of the text", "unexpected-text");
  }
  if (instructions.length === 0 && problems.count === 0) {
    problems.add("empty-program", "the list has no instruction", { start: 0, end: source.length });
  }
  problems.throwIfAny();
  return { instructions, spans };
}

/** `open item, item close`; false after a structural error. */
function readList(scanner: Scanner, open: string, close: string, item: () => boolean): boolean {
  if (!scanner.skip(open)) return scanner.expected(quote(open));
  if (scanner.skip(close)) return true;
  do {
    if (!item()) return false;
  } while (scanner.skip(","));
  return scanner.skip(close) || scanner.expected(`"," or ${quote(close)}`);
}

function readFields(scanner: Scanner, index: number): Instruction | undefined {
  const { start } = scanner.token;
  const { problems } = scanner;
  const values = new Map<Field, number>();
  let count = 0;
  let whole: boolean;
  if (scanner.at("[")) {
    whole = readList(scanner, "[", "]", () => readValue(scanner, FIELDS[count++], values));
    if (whole && count !== FIELDS.length) {
      const place = { start, end: scanner.lastEnd };
      problems.add("field-count", `an instruction is four numbers, [code, jt, jf, k], not ${count}`, place, { index });
    }
  } else if (scanner.at("{")) {
    whole = readList(scanner, "{", "}", () => readMember(scanner, values));
    const missing = FIELDS.filter((field) => !values.has(field));
    if (whole && missing.length > 0) {
      const place = { start, end: scanner.lastEnd };
      problems.add("field-count", `an instruction has code, jt, jf and k; ${missing.join(", ")} missing`, place, {
        index,
      });
    }
  } else {
    scanner.expected("[code, jt, jf, k]");
    return undefined;
  }
  if (!whole) return undefined;
  const [code = 0, jt = 0, jf = 0, k = 0] = FIELDS.map((field) => values.get(field));
  return { code, jt, jf, k };
}

function readMember(scanner: Scanner, values: Map<Field, number>): boolean {
  const { kind, text, start, end } = scanner.token;
  if (kind !== "string") return scanner.expected('"code", "jt", "jf" or "k"');
  scanner.take();
  const field = FIELDS.find((name) => text === `"${name}"`);
  if (field === undefined) {
    scanner.problems.add("unknown-key", `${quote(text.slice(1, -1))} is no field of an instruction`, { start, end });
  } else if (values.has(field)) {
    scanner.problems.add("duplicate-key", `${field} is given twice`, { start, end });
  }
  return (scanner.skip(":") || scanner.expected('":"')) && readValue(scanner, field, values);
}

/** A number; true unless the text's structure is broken.  Without a field the value is read and dropped. */
function readValue(scanner: Scanner, field: Field | undefined, values: Map<Field, number>): boolean {
  const { start } = scanner.token;
  const minus = scanner.skip("-");
  const { kind, text } = scanner.token;
  if (kind !== "number") return scanner.expected("a number", "bad-number");
  const { end } = scanner.take();
  const digits = `${minus ? "-" : ""}${text}`;
  if (!/^-?(0|[1-9][0-9]*)$/.test(digits) || (scanner.token.kind === "word" && scanner.token.start === end)) {
    scanner.problems.add("bad-number", `${quote(digits)} is no whole JSON number`, { start, end });
    return true;
  }
  if (field === undefined) return true;
  const value = inField(scanner.problems, field, Number(digits), digits, { start, end });
  values.set(field, value ?? 0);
  return true;
}

/** One instruction a line. */
export function writeJson(instructions: readonly Instruction[]): string {
  const lines = instructions.map(({ code, jt, jf, k }) => `  [${code}, ${jt}, ${jf}, ${k}]`);
  return lines.length === 0 ? "[]\n" : `[\n${lines.join(",\n")}\n]\n`;
}
