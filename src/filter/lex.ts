/**
 * Text into tokens.  The longest match wins, and among equals the more special kind: `1.2.3.4.5` is a name,
 * `tcp-syn` one word, twelve hex digits a MAC address.
 */

import { parseIPv6 } from "./addresses.ts";
import { Fault } from "./fault.ts";
import { KEYWORDS, NAMED_NUMBERS, OPERATOR_WORDS, type Token, type TokenKind } from "./tokens.ts";

const BLANK = /[ \t\r\n]+/y;
const OPERATOR = /&&|\|\||>=|<=|!=|==|<<|>>|[-+*/%:[\]!<>()&|^=]/y;
const HEX6 = "[0-9A-Fa-f]{1,2}";
const MAC48 = new RegExp(
  [":", "-", "\\."].map((by) => `${HEX6}(?:${by}${HEX6}){5}`).join("|") +
    "|[0-9A-Fa-f]{4}\\.[0-9A-Fa-f]{4}\\.[0-9A-Fa-f]{4}|[0-9A-Fa-f]{12}",
  "y",
);
const MAC8 = /\$[0-9A-Fa-f]{1,2}/y;
const NUMBER = /0[xX][0-9A-Fa-f]+|[0-9]+/y;
const DOTTED = /(?:0[xX][0-9A-Fa-f]+|[0-9]+)(?:\.(?:0[xX][0-9A-Fa-f]+|[0-9]+)){1,3}/y;
const COLONED = /[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*/y;
const MAC_FRAGMENT = new RegExp(`${HEX6}:+(?:${HEX6}:+)+`, "y");
const WORD = /[A-Za-z0-9](?:[-_.A-Za-z0-9]*[.A-Za-z0-9])?/y;
const ESCAPED = /\\[^ !()\n\t]+/y;
const SPELLING: Readonly<Record<string, string>> = { "&&": "and", "||": "or", "!": "not", "==": "=" };
/** Longest text of an IPv6 address: eight groups of four with a dotted quad in the last two. */
const IPV6_LENGTH = 45;

/**
 * The tokens of an expression, the last of kind "end".
 *
 * @throws {Fault} for characters and numbers that are nothing.
 */
export function lex(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  for (;;) {
    at += matched(BLANK, text, at).length;
    if (at >= text.length) break;
    const token = tokenAt(text, at);
    tokens.push(token);
    at = token.end;
  }
  tokens.push({ kind: "end", text: "", value: 0, start: text.length, end: text.length });
  return tokens;
}

function tokenAt(text: string, at: number): Token {
  const make = (kind: TokenKind, spelling: string, length: number, value = 0): Token => ({
    kind,
    text: spelling,
    value,
    start: at,
    end: at + length,
  });
  const candidates: [TokenKind | "fragment", string][] = [
    ["mac48", matched(MAC48, text, at)],
    ["ipv4", matched(DOTTED, text, at)],
    ["number", matched(NUMBER, text, at)],
    ["ipv6", ipv6At(text, at)],
    ["fragment", matched(MAC_FRAGMENT, text, at)],
    ["name", matched(WORD, text, at)],
  ];
  const [kind, raw] = candidates.reduce((best, other) => (other[1].length > best[1].length ? other : best));
  if (raw === "") return punctuation(text, at, make);
  switch (kind) {
    case "number":
      return make("number", raw, raw.length, parseNumber(raw, at));
    case "fragment":
      throw new Fault(
        `invalid Ethernet address ${raw}`,
        { start: at, end: at + raw.length },
        "bogus ethernet address: a MAC address has six groups of hex digits, an index [offset:size] one colon",
      );
    case "name": {
      const named = NAMED_NUMBERS.get(raw);
      if (named !== undefined) return make("number", raw, raw.length, named);
      const operator = OPERATOR_WORDS.get(raw);
      if (operator !== undefined) return make("operator", operator, raw.length);
      const keyword = KEYWORDS.get(raw);
      return keyword === undefined ? make("name", raw, raw.length) : make("keyword", keyword, raw.length);
    }
    default:
      return make(kind, raw, raw.length);
  }
}

function punctuation(
  text: string,
  at: number,
  make: (kind: TokenKind, spelling: string, length: number, value?: number) => Token,
): Token {
  const mac8 = matched(MAC8, text, at);
  if (mac8 !== "") return make("mac8", mac8, mac8.length, Number.parseInt(mac8.slice(1), 16));
  const escaped = matched(ESCAPED, text, at);
  if (escaped !== "") return make("name", escaped.slice(1), escaped.length);
  const operator = matched(OPERATOR, text, at);
  if (operator !== "") return make("operator", SPELLING[operator] ?? operator, operator.length);
  const char = String.fromCodePoint(text.codePointAt(at)!);
  throw new Fault(`illegal char ${JSON.stringify(char)}`, { start: at, end: at + char.length });
}

/** What a sticky pattern matches at a place; "" for nothing. */
function matched(pattern: RegExp, text: string, at: number): string {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? "";
}

/** The longest IPv6 address at a place; "" for none. */
function ipv6At(text: string, at: number): string {
  let run = matched(COLONED, text, at).slice(0, IPV6_LENGTH);
  if (run.indexOf(":") === run.lastIndexOf(":")) return "";
  while (run.length > 1 && parseIPv6(run) === undefined) run = run.slice(0, -1);
  return run.length > 1 ? run : "";
}

/** A number in decimal, hex or octal, checked as libpcap checks it. */
function parseNumber(text: string, at: number): number {
  const span = { start: at, end: at + text.length };
  const base = /^0[xX]/.test(text) ? 16 : text.length > 1 && text[0] === "0" ? 8 : 10;
  if (base === 8 && /[89]/.test(text))
    throw new Fault(`number ${text} contains non-octal digit`, span, "a leading 0 means octal");
  const value = Number.parseInt(base === 16 ? text.slice(2) : text, base);
  const name = { 8: "octal", 10: "decimal", 16: "hexadecimal" }[base]!;
  if (value > 0xffffffff) throw new Fault(`${name} number ${text} overflows 32 bits`, span);
  return value;
}
