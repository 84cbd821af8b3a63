/**
 * Splits a text into words, numbers, strings and single characters, one token ahead, each with its place.
 *
 * All readers but those of plain number columns stand on it.  It is linear in the text whatever the text is: no pattern
 * can run past a token and come back, and comments are found by search.
 */
import type { Span } from "../base/source-text.ts";
import { type Problems, quote } from "./problems.ts";

export interface Token extends Span {
  /** "mark" is a single character, or `<<` and `>>`. */
  readonly kind: "word" | "number" | "string" | "mark" | "end";
  readonly text: string;
  /** True for the first token of a line. */
  readonly newline: boolean;
}

/** What is passed over beside blanks. */
export interface Comments {
  /** Marks that open a comment up to the end of the line. */
  readonly line?: readonly string[];
  /** True when a line that starts with `#` is passed over: a comment, or a line for the C preprocessor. */
  readonly hash?: boolean;
  /** True when `/ *` and `* /` enclose a comment. */
  readonly block?: boolean;
}

const BLANKS = /[^\S\n]+/y;
const TOKEN = /[A-Za-z_.$][\w.$]*|[0-9]\w*|"[^"\n]*"|<<|>>|[\s\S]/uy;
/** A number has no more digits than this in any base; longer ones are out of range without being read. */
const MAX_DIGITS = 80;

export class Scanner {
  readonly source: string;
  readonly problems: Problems;
  readonly #comments: Comments;
  #at = 0;
  #token: Token;
  #ahead: Token | undefined;
  #lastEnd = 0;

  constructor(problems: Problems, comments: Comments = {}) {
    this.source = problems.source;
    this.problems = problems;
    this.#comments = comments;
    this.#token = this.#scan(true);
  }

  /** The token that the reader looks at. */
  get token(): Token {
    return this.#token;
  }

  /** The token after {@link token}. */
  get ahead(): Token {
    this.#ahead ??= this.#scan(false);
    return this.#ahead;
  }

  /** Offset after the last token taken. */
  get lastEnd(): number {
    return this.#lastEnd;
  }

  /** Takes the token and moves to the next one. */
  take(): Token {
    const taken = this.#token;
    this.#lastEnd = taken.end;
    this.#token = this.ahead;
    this.#ahead = undefined;
    return taken;
  }

  /** True when the token is this mark, or this word in either case. */
  at(text: string): boolean {
    const { kind, text: found } = this.#token;
    return found === text || (kind === "word" && found.length === text.length && found.toLowerCase() === text);
  }

  /** Takes the token when it is `text`. */
  skip(text: string): boolean {
    if (!this.at(text)) return false;
    this.take();
    return true;
  }

  /**
   * Goes on after an error, at the first token of the next line.  Where the reader stands there already, it stays,
   * unless it has not moved since `from`: every call makes headway.
   */
  skipLine(from: Token): void {
    if (this.#token === from) this.take();
    while (!this.#token.newline && this.#token.kind !== "end") this.take();
  }

  /**
   * Reports that something else was expected here.  At the end of a line the place is right after the last token:
   * what is missing is missing there.  Always false, so that a reader can `return scanner.expected(...)`.
   */
  expected(what: string, rule = "syntax", hint?: string): false {
    const { kind, newline, text, start, end } = this.#token;
    const place = newline || kind === "end" ? { start: this.#lastEnd, end: this.#lastEnd } : { start, end };
    const found = kind === "end" ? "the end of the text" : newline ? "the end of the line" : quote(text);
    this.problems.add(rule, `expected ${what}, found ${found}`, place, { hint });
    return false;
  }

  #scan(newline: boolean): Token {
    const { source } = this;
    let first = newline;
    for (;;) {
      BLANKS.lastIndex = this.#at;
      if (BLANKS.test(source)) this.#at = BLANKS.lastIndex;
      const start = this.#at;
      if (start >= source.length) return { kind: "end", text: "", start, end: start, newline: true };
      if (source[start] === "\n") {
        first = true;
        this.#at++;
      } else if (this.#comments.block && source.startsWith("/*", start)) {
        const close = source.indexOf("*/", start + 2);
        if (close < 0) this.problems.add("unclosed-comment", "this comment has no end", { start, end: start + 2 });
        this.#at = close < 0 ? source.length : close + 2;
        if (!first && source.slice(start, this.#at).includes("\n")) first = true;
      } else if ((first && this.#comments.hash && source[start] === "#") || this.#atLineComment()) {
        this.#at = this.#lineEnd(start, first && source[start] === "#");
      } else {
        TOKEN.lastIndex = start;
        const text = TOKEN.exec(source)![0];
        this.#at = start + text.length;
        return { kind: kindOf(text), text, start, end: this.#at, newline: first };
      }
    }
  }

  /** The line break that ends a comment; the C preprocessor's lines go on after a backslash. */
  #lineEnd(start: number, continued: boolean): number {
    let end = this.source.indexOf("\n", start);
    while (continued && end > start && /\\\r?$/.test(this.source.slice(end - 2, end)))
      end = this.source.indexOf("\n", end + 1);
    return end < 0 ? this.source.length : end;
  }

  #atLineComment(): boolean {
    return this.#comments.line?.some((mark) => this.source.startsWith(mark, this.#at)) ?? false;
  }
}

function kindOf(text: string): Token["kind"] {
  if (/^[0-9]/.test(text)) return "number";
  if (/^[A-Za-z_.$]/.test(text)) return "word";
  return text.length > 1 && text[0] === '"' ? "string" : "mark";
}

/**
 * The value of a number as assemblers and C write it: decimal, 0x hex, 0b binary, 0 octal.  Undefined for anything
 * else; Infinity for more digits than any field holds.
 */
export function numberValue(text: string): number | undefined {
  if (text.length > MAX_DIGITS) return /^[0-9]/.test(text) ? Number.POSITIVE_INFINITY : undefined;
  if (/^(0x[0-9a-f]+|0b[01]+|0|[1-9][0-9]*)$/i.test(text)) return Number(text);
  return /^0[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined;
}

/** Range of a field, and how it is called in messages. */
const FIELDS = {
  code: [0, 0xffff, "a code", "0..0xffff"],
  jt: [0, 0xff, "jt", "0..255"],
  jf: [0, 0xff, "jf", "0..255"],
  k: [-0x80000000, 0xffffffff, "k", "-2147483648..0xffffffff"],
} as const;

export type Field = keyof typeof FIELDS;

/** The value as the field holds it (k modulo 2^32), or undefined after reporting that it is out of range. */
export function inField(problems: Problems, field: Field, value: number, text: string, span: Span): number | undefined {
  const [low, high, name, range] = FIELDS[field];
  if (value >= low && value <= high) return value >>> 0;
  problems.add("number-range", `${text.length > 40 ? "this number" : text} is outside ${range} of ${name}`, span);
  return undefined;
}
