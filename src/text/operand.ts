/**
 * Operands, read and printed: `#k`, `[k]`, `[x + k]`, `M[k]`, `4*([k]&0xf)`, `#len`, `x`, `a`, and ancillary words.
 *
 * A form is called what the opcode table's operand column calls it, so that mnemonic and form together are the key of
 * a row.  bpf_asm's text and tcpdump's listings share it; they differ in how numbers and names are printed.
 */
import type { Span } from "../base/source-text.ts";
import type { OpcodeRow } from "../isa/opcodes.ts";
import { didYouMean, quote } from "./problems.ts";
import { inField, numberValue, type Scanner } from "./scanner.ts";
import { LENGTH_WORDS, operandForm, type Vocabulary } from "./vocabulary.ts";

export interface Operand extends Span {
  /** A form of the operand column, or "k" for a bare number. */
  readonly form: string;
  readonly k: number;
}

/**
 * The operand at the scanner, or undefined after reporting what is wrong with it.
 *
 * @param wanted  The forms that the mnemonic takes, for messages.
 */
export function readOperand(scanner: Scanner, words: Vocabulary, wanted: string): Operand | undefined {
  const { start } = scanner.token;
  const found = readForm(scanner, words, wanted);
  return found && { form: found[0], k: found[1], start, end: scanner.lastEnd };
}

type Form = readonly [form: string, k: number] | undefined;

function readForm(scanner: Scanner, words: Vocabulary, wanted: string): Form {
  if (scanner.token.newline) return fail(scanner, wanted);
  if (scanner.skip("#")) {
    if (scanner.token.kind === "word") return readName(scanner, words);
    const k = readK(scanner);
    return k === undefined ? undefined : ["#k", k];
  }
  if (scanner.skip("%")) {
    if (!scanner.at("x") && !scanner.at("a")) return fail(scanner, '"x" or "a" after "%"');
    return [scanner.take().text.toLowerCase(), 0];
  }
  if (scanner.skip("[")) return readBracket(scanner, words);
  if (scanner.at("m") && scanner.ahead.text === "[") {
    scanner.take();
    scanner.take();
    const k = readK(scanner);
    return k === undefined || !close(scanner, "]") ? undefined : ["M[k]", k];
  }
  if (scanner.at("x") || scanner.at("a")) return [scanner.take().text.toLowerCase(), 0];
  if (scanner.token.kind === "word") return readName(scanner, words);
  if (scanner.token.kind === "number" && scanner.ahead.text === "*") return readHeaderLength(scanner);
  if (atNumber(scanner)) {
    const k = readK(scanner);
    return k === undefined ? undefined : ["k", k];
  }
  return fail(scanner, wanted);
}

/** After `[`: an offset, X and an offset, or libpcap's `[vlan_tci]`. */
function readBracket(scanner: Scanner, words: Vocabulary): Form {
  const percent = scanner.skip("%");
  if (scanner.skip("x")) {
    if (scanner.skip("]")) return ["[x + k]", 0];
    const plus = scanner.skip("+"); // libpcap prints `[x + -4]`
    if (!plus && !scanner.at("-")) return fail(scanner, '"+" and an offset, or "]"');
    const k = readK(scanner);
    return k === undefined || !close(scanner, "]") ? undefined : ["[x + k]", k];
  }
  if (percent) return fail(scanner, '"x" after "%"');
  const found = scanner.token.kind === "word" ? readName(scanner, words) : readOffset(scanner);
  return found === undefined || !close(scanner, "]") ? undefined : found;
}

function readOffset(scanner: Scanner): Form {
  const k = readK(scanner);
  return k === undefined ? undefined : ["[k]", k];
}

/** `4*([k]&0xf)`: the multiplier and the mask are part of the instruction and can be no others. */
function readHeaderLength(scanner: Scanner): Form {
  if (!readExactly(scanner, 4, "the multiplier")) return undefined;
  if (!close(scanner, "*") || !close(scanner, "(") || !close(scanner, "[")) return undefined;
  const k = readK(scanner);
  if (k === undefined || !close(scanner, "]") || !close(scanner, "&")) return undefined;
  if (!readExactly(scanner, 0xf, "the mask")) return undefined;
  return close(scanner, ")") ? ["4*([k]&0xf)", k] : undefined;
}

function readExactly(scanner: Scanner, wanted: number, what: string): boolean {
  const { kind, text, start, end, newline } = scanner.token;
  if (kind !== "number" || newline) return scanner.expected(what);
  scanner.take();
  if (numberValue(text) === wanted) return true;
  scanner.problems.add("bad-operand", `${what} of 4*([k]&0xf) is ${wanted === 4 ? "4" : "0xf"}, not ${text}`, {
    start,
    end,
  });
  return false;
}

function readName(scanner: Scanner, words: Vocabulary): Form {
  const { text, start, end } = scanner.take();
  if (LENGTH_WORDS.includes(text.toLowerCase())) return ["#len", 0];
  const k = words.ancillary(text);
  if (k !== undefined) return ["[k]", k];
  scanner.problems.add(
    "unknown-name",
    `${quote(text)} is no ancillary value`,
    { start, end },
    {
      hint: scanner.problems.full ? undefined : (didYouMean(text, words.operandWords()) ?? numberHint(text)),
    },
  );
  return undefined;
}

function numberHint(text: string): string | undefined {
  return /^[0-9a-f]+$/i.test(text) && text.length <= 8 ? `hexadecimal numbers are written 0x${text}` : undefined;
}

/** True at a number or the sign of one. */
export function atNumber(scanner: Scanner): boolean {
  return scanner.token.kind === "number" || ((scanner.at("-") || scanner.at("+")) && scanner.ahead.kind === "number");
}

/** A number for k with an optional sign, modulo 2^32; undefined after reporting. */
export function readK(scanner: Scanner): number | undefined {
  return readNumber(scanner, "k");
}

/** A number for a field, with an optional sign; undefined after reporting. */
export function readNumber(scanner: Scanner, field: "code" | "jt" | "jf" | "k"): number | undefined {
  if (!atNumber(scanner) || scanner.token.newline) {
    const { text } = scanner.token;
    const hint = !scanner.token.newline && scanner.token.kind === "word" ? numberHint(text) : undefined;
    scanner.expected("a number", "bad-number", hint);
    return undefined;
  }
  const { start } = scanner.token;
  const sign = scanner.at("-") ? -1 : 1;
  if (scanner.token.kind !== "number") scanner.take();
  const { text, end } = scanner.take();
  const value = numberValue(text);
  if (value === undefined) {
    scanner.problems.add("bad-number", `${quote(text)} is no decimal, 0x, 0b or octal number`, { start, end });
    return undefined;
  }
  return inField(scanner.problems, field, sign * value, `${sign < 0 ? "-" : ""}${text}`, { start, end });
}

function close(scanner: Scanner, mark: string): boolean {
  if (scanner.token.newline || !scanner.skip(mark)) return scanner.expected(quote(mark));
  return true;
}

function fail(scanner: Scanner, what: string): undefined {
  scanner.expected(what, "bad-operand");
  return undefined;
}

/** The operand forms of a mnemonic as a message lists them: `#k, [k] or M[k]`. */
export function listForms(forms: ReadonlyMap<string, unknown>): string {
  const all = [...forms.keys()];
  const last = all.pop()!;
  return all.length === 0 ? last : `${all.join(", ")} or ${last}`;
}

/** True for rows whose constant is a bit pattern, which listings print in hex: immediates, masks, comparisons. */
export function printsHex({ does }: OpcodeRow): boolean {
  if (does.kind === "alu") return does.op === "and" || does.op === "or" || does.op === "xor";
  return does.kind === "imm" || does.kind === "branch";
}

/** The row's operand without labels, with `number` in the place of k. */
export function printOperand(row: OpcodeRow, number: string): string {
  return operandForm(row).replace("k", () => number);
}
