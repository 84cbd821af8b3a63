/**
 * Tokens into a syntax tree, by the grammar of pcap-filter(7).
 *
 * and/or have one precedence and associate to the left.  An id after and/or takes the qualifiers of the term before
 * it.  `%` and `^` have no declared precedence in libpcap's grammar, which makes them take everything to their right.
 * Nesting is bounded, lists are not.
 */
import type { Span } from "../base/source-text.ts";
import type {
  AddressType,
  Arithmetic,
  ArithmeticOperator,
  ChainLink,
  Direction,
  Encapsulation,
  FieldValue,
  Id,
  Node,
  NumberOrWord,
  Qualifiers,
  Relop,
} from "./ast.ts";
import { Fault } from "./fault.ts";
import { lex } from "./lex.ts";
import { PROTOCOL_WORDS, type ProtocolWord, type Token } from "./tokens.ts";

/** Deepest nesting of parentheses, `not`, minus signs and operators in one value. */
export const MAX_DEPTH = 1000;

/** How tight a binary operator binds; `%` and `^` are not here: they have no precedence. */
const PRECEDENCE: Readonly<Record<string, number>> = {
  "|": 1,
  "&": 2,
  "<<": 3,
  ">>": 3,
  "+": 4,
  "-": 4,
  "*": 5,
  "/": 5,
};
const UNARY_MINUS = 6;
const RELOPS = new Set([">", ">=", "=", "<=", "<", "!="]);
const PROTOCOLS: ReadonlySet<string> = new Set(PROTOCOL_WORDS);
const DIRECTIONS = new Set(["src", "dst", "addr1", "addr2", "addr3", "addr4", "ra", "ta"]);
const TYPES = new Set(["host", "net", "port", "portrange"]);
const LONE_TYPES = new Set(["proto", "protochain", "gateway"]);
const ENCAPSULATIONS = new Set(["vlan", "mpls", "pppoed", "pppoes", "geneve", "vxlan"]);
const SIGNALS = new Set([
  "lane",
  "metac",
  "bcc",
  "oam",
  "oamf4",
  "oamf4ec",
  "oamf4sc",
  "sc",
  "ilmic",
  "connectmsg",
  "metaconnect",
  "fisu",
  "lssu",
  "msu",
  "hfisu",
  "hlssu",
  "hmsu",
]);
const FIELDS = new Set(["vpi", "vci", "sio", "opc", "dpc", "sls", "hsio", "hopc", "hdpc", "hsls"]);
const PF_FIELDS = new Set(["on", "rset", "rnr", "srnr", "reason", "action"]);

/** A lone number in parentheses or not, which the context makes an id or arithmetic. */
type Parsed =
  | { readonly type: "number"; readonly value: number; readonly span: Span }
  | { readonly type: "arithmetic"; readonly node: Arithmetic }
  | {
      readonly type: "term";
      readonly node: Node;
      /** Qualifiers that an id after this term inherits. */
      readonly q: Qualifiers | undefined;
      /** True for an id or a list of ids, which may not stand where a term is needed. */
      readonly isId: boolean;
      readonly parenthesised: boolean;
    };

/** What may stand at a place: an id (with these qualifiers, undefined when there are none to inherit), a term, both. */
interface Place {
  readonly id: boolean;
  readonly term: boolean;
  readonly q: Qualifiers | undefined;
  readonly inherited: boolean;
}

/**
 * The tree of an expression; undefined for an empty one.
 *
 * @throws {Fault} `bad-expression` for what is no expression, `limit` for one that nests deeper than {@link MAX_DEPTH}.
 */
export function parse(text: string): Node | undefined {
  const parser = new Parser(lex(text));
  return parser.program();
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  program(): Node | undefined {
    if (this.#peek().kind === "end") return undefined;
    const { node } = this.#chain(this.#termOrId({ id: false, term: true, q: undefined, inherited: false }), true);
    if (this.#peek().kind !== "end") this.#unexpected();
    return node;
  }

  /** `first ((and|or) (term|id))*`. */
  #chain(first: Parsed & { type: "term" }, terms: boolean): Parsed & { type: "term" } {
    const rest: ChainLink[] = [];
    let last = first;
    for (;;) {
      const op = this.#peek();
      if (!this.#isOperator("and") && !this.#isOperator("or")) break;
      this.#at++;
      last = this.#termOrId({ id: true, term: terms, q: last.q, inherited: true });
      rest.push({ op: op.text as "and" | "or", term: last.node });
    }
    if (rest.length === 0) return first;
    const node: Node = { kind: "chain", first: first.node, rest, start: first.node.start, end: last.node.end };
    return { ...last, node, isId: first.isId, parenthesised: false };
  }

  /** A term, or where one may stand an id; numbers are ids here. */
  #termOrId(place: Place): Parsed & { type: "term" } {
    const start = this.#peek();
    const parsed = this.#item(place);
    if (parsed.type === "term") return parsed;
    if (parsed.type === "number" && place.id)
      return this.#id(place, { kind: "number", value: parsed.value }, parsed.span);
    if (parsed.type === "number" && this.#peek().kind === "end") {
      this.#syntax(start, `a lone number is no test: write a qualifier in front of it, as in "port ${parsed.value}"`);
    }
    return this.#unexpected(parsed.type === "arithmetic" ? "a value needs a comparison, as in `len > 100`" : undefined);
  }

  /** Whatever comes next: a term, an id, a number, a value that still needs a comparison. */
  #item(place: Place): Parsed {
    this.#enter();
    const parsed = this.#itemUnbounded(place);
    this.#depth--;
    return parsed;
  }

  #itemUnbounded(place: Place): Parsed {
    const start = this.#peek();
    if (this.#isOperator("not")) {
      this.#at++;
      const { node, q, isId } = this.#termOrId(place);
      return {
        type: "term",
        node: { kind: "not", term: node, start: start.start, end: node.end },
        q,
        isId,
        parenthesised: false,
      };
    }
    if (!place.term) return this.#idItem(place);
    const primary = this.#primary(place);
    if (primary.type === "term") return primary;
    const value = this.#operators(primary, 0);
    const op = this.#peek();
    if (op.kind !== "operator" || !RELOPS.has(op.text)) return value;
    this.#at++;
    const left = arithmetic(value);
    const right = this.#value(0);
    const node: Node = { kind: "relation", op: op.text as Relop, left, right, start: left.start, end: right.end };
    return { type: "term", node, q: undefined, isId: false, parenthesised: false };
  }

  /** Where only an id may stand: behind a head, or in a list of ids. */
  #idItem(place: Place): Parsed {
    const token = this.#peek();
    if (this.#isOperator("(")) return this.#parenthesised(place);
    if (token.kind === "number") {
      this.#at++;
      return { type: "number", value: token.value, span: token };
    }
    return this.#nonNumericId(place) ?? this.#unexpected();
  }

  #parenthesised(place: Place): Parsed {
    const open = this.#next();
    const start = this.#peek();
    let inner = this.#item(place);
    if (inner.type === "number" && (this.#isOperator("and") || this.#isOperator("or"))) {
      if (!place.id) this.#unexpected();
      inner = this.#id(place, { kind: "number", value: inner.value }, inner.span);
    }
    if (inner.type === "term") {
      if (inner.isId && inner.parenthesised) {
        this.#syntax(start, "a list of ids may not begin with another list; leave out the inner parentheses");
      }
      inner = this.#chain(inner, !inner.isId);
    }
    if (!this.#isOperator(")")) this.#unexpected();
    const span = { start: open.start, end: this.#next().end };
    if (inner.type === "number") return { ...inner, span };
    if (inner.type === "arithmetic") return { type: "arithmetic", node: { ...inner.node, ...span } };
    return {
      type: "term",
      node: { ...inner.node, ...span },
      q: inner.isId ? inner.q : place.q,
      isId: inner.isId,
      parenthesised: true,
    };
  }

  /** A term without operators around it, or the first operand of a value. */
  #primary(place: Place): Parsed {
    const token = this.#peek();
    if (this.#isOperator("(")) return this.#parenthesised(place);
    if (token.kind === "number" || this.#isOperator("-") || token.text === "len") return this.#operand();
    if (token.kind === "keyword") return this.#keyword(token);
    if (place.id) {
      const id = this.#nonNumericId(place);
      if (id !== undefined) return id;
    }
    return this.#unexpected(adviceForLoneId(token, this.#tokens[this.#at - 1]));
  }

  #keyword(token: Token): Parsed {
    const word = token.text;
    if (PROTOCOLS.has(word)) {
      if (this.#isOperator("[", 1)) return this.#operand();
      this.#at++;
      return this.#afterProtocol(word as ProtocolWord, token);
    }
    return this.#afterProtocol(undefined, token);
  }

  /** What may follow an optional protocol word: a head with its id, broadcast, an 802.11 type, or nothing. */
  #afterProtocol(proto: ProtocolWord | undefined, start: Token): Parsed {
    const token = this.#peek();
    const word = token.kind === "keyword" ? token.text : "";
    if (DIRECTIONS.has(word) || TYPES.has(word) || LONE_TYPES.has(word)) return this.#head(proto, start);
    if (word === "broadcast" || word === "multicast") {
      this.#at++;
      return this.#term({ kind: "cast", what: word, proto, ...this.#since(start) });
    }
    if (word === "type" || word === "subtype" || word === "dir") return this.#term(this.#wlan(start));
    if (proto !== undefined) {
      return this.#term({ kind: "protocol", proto, start: start.start, end: this.#tokens[this.#at - 1]!.end });
    }
    return this.#term(this.#other(token));
  }

  /** `dir type id`, with dir or type left out. */
  #head(proto: ProtocolWord | undefined, start: Token): Parsed {
    let dir: Direction | undefined;
    let type: AddressType | undefined;
    if (DIRECTIONS.has(this.#peek().text)) dir = this.#direction();
    const word = this.#peek().kind === "keyword" ? this.#peek().text : "";
    if (TYPES.has(word) || (dir === undefined && LONE_TYPES.has(word))) type = this.#next().text as AddressType;
    const q = { proto, dir, type };
    const token = this.#peek();
    const id = this.#termOrId({ id: true, term: false, q, inherited: false });
    if (token.kind === "end") this.#unexpected();
    return { ...id, node: { ...id.node, start: start.start }, isId: false, parenthesised: false };
  }

  #direction(): Direction {
    const word = this.#next().text;
    if (word !== "src" && word !== "dst") return word as Direction;
    if (!this.#isOperator("and") && !this.#isOperator("or")) return word;
    const op = this.#next().text;
    if (this.#peek().text !== (word === "src" ? "dst" : "src")) {
      this.#unexpected(
        `"${word} ${op}" goes on with "${word === "src" ? "dst" : "src"}", or needs an id in front of "${op}"`,
      );
    }
    this.#at++;
    return op === "or" ? "src or dst" : "src and dst";
  }

  #nonNumericId(place: Place): (Parsed & { type: "term" }) | undefined {
    const token = this.#peek();
    switch (token.kind) {
      case "name":
        this.#at++;
        return this.#id(place, { kind: "name", text: token.text }, token);
      case "mac48":
        this.#at++;
        return this.#id(place, { kind: "mac48", text: token.text }, token);
      case "mac8":
        this.#at++;
        return this.#id(place, { kind: "mac8", value: token.value }, token);
      case "ipv4":
      case "ipv6": {
        this.#at++;
        let extra: { prefix?: number; mask?: string } = {};
        if (this.#isOperator("/")) {
          this.#at++;
          extra = { prefix: this.#expect("number", "a prefix length").value };
        } else if (token.kind === "ipv4" && this.#peek().text === "mask" && this.#peek().kind === "keyword") {
          this.#at++;
          extra = { mask: this.#expect("ipv4", "a netmask of at least two octets").text };
        }
        return this.#id(place, { kind: token.kind, text: token.text, ...extra } as Id, this.#since(token));
      }
      default:
        return undefined;
    }
  }

  #id(place: Place, id: Id, span: Span): Parsed & { type: "term" } {
    if (place.q === undefined) {
      const example = id.kind === "number" ? `port ${id.value}` : `host ${"text" in id ? id.text : ""}`;
      throw new Fault(
        "syntax error in filter expression",
        span,
        `the term before has no qualifiers to take over; write them, as in "${example}"`,
      );
    }
    const node: Node = { kind: "id", q: place.q, id, inherited: place.inherited, start: span.start, end: span.end };
    return { type: "term", node, q: place.q, isId: true, parenthesised: false };
  }

  /** Keywords that are whole terms, with their arguments. */
  #other(start: Token): Node {
    const word = start.kind === "keyword" ? start.text : "";
    if (word === "") this.#unexpected();
    this.#at++;
    if (ENCAPSULATIONS.has(word)) {
      const value = word === "pppoed" ? undefined : this.#optionalNumber();
      return { kind: "encapsulation", what: word as Encapsulation, value, ...this.#since(start) };
    }
    if (FIELDS.has(word)) {
      const values = this.#fieldValues();
      return { kind: "field", field: word, values, ...this.#since(start) };
    }
    if (SIGNALS.has(word)) return { kind: "signal", word, ...this.#since(start) };
    if (PF_FIELDS.has(word)) {
      const value = this.#numberOrWord(
        word === "reason" ? "either" : word === "rnr" || word === "srnr" ? "number" : "word",
      );
      return { kind: "pf", field: word, value, ...this.#since(start) };
    }
    switch (word) {
      case "less":
      case "greater": {
        const { value } = this.#expect("number", "a length in bytes");
        return { kind: "length", op: word, value, ...this.#since(start) };
      }
      case "byte": {
        const offset = this.#expect("number", "an offset in bytes").value;
        const op = this.#next();
        if (op.kind !== "operator" || !"&|<>=".includes(op.text)) this.#syntax(op, "one of & | < > =");
        const { value } = this.#expect("number", "a number to compare with");
        return { kind: "byte", offset, op: op.text as "&", value, ...this.#since(start) };
      }
      case "inbound":
      case "outbound":
        return { kind: "direction", what: word, ...this.#since(start) };
      case "ifindex":
        return { kind: "ifindex", value: this.#expect("number", "an interface index").value, ...this.#since(start) };
      case "llc": {
        const next = this.#peek();
        const named = next.kind === "name" || (next.kind === "keyword" && next.text === "rnr");
        return { kind: "llc", word: named ? this.#next().text : undefined, ...this.#since(start) };
      }
      default:
        this.#at--;
        return this.#unexpected();
    }
  }

  #wlan(start: Token): Node {
    const word = this.#next().text;
    if (word === "dir") return { kind: "wlan-direction", value: this.#numberOrWord("either"), ...this.#since(start) };
    if (word === "subtype") {
      return { kind: "wlan-type", type: undefined, subtype: this.#numberOrWord("word"), ...this.#since(start) };
    }
    const type = this.#numberOrWord("either");
    const more = this.#peek().text === "subtype" && this.#peek().kind === "keyword";
    if (more) this.#at++;
    return { kind: "wlan-type", type, subtype: more ? this.#numberOrWord("either") : undefined, ...this.#since(start) };
  }

  #numberOrWord(wanted: "number" | "word" | "either"): NumberOrWord {
    if (wanted !== "word") {
      const number = this.#optionalNumber();
      if (number !== undefined) return number;
    }
    return wanted === "number" ? this.#expect("number", "a number").value : this.#expect("name", "a name").text;
  }

  /** `n`, `relop n`, or numbers or-ed in parentheses. */
  #fieldValues(): FieldValue[] {
    const start = this.#peek();
    if (!this.#isOperator("(")) {
      const op = start.kind === "operator" && RELOPS.has(start.text) ? (this.#next().text as Relop) : "=";
      const { value } = this.#expect("number", "a number");
      return [{ op, value, ...this.#since(start) }];
    }
    const values: FieldValue[] = [];
    do {
      this.#at++;
      const number = this.#expect("number", "a number");
      values.push({ op: "=", value: number.value, start: number.start, end: number.end });
    } while (this.#isOperator("or"));
    if (!this.#isOperator(")")) this.#unexpected("numbers in parentheses are joined by or");
    this.#at++;
    return values;
  }

  /** A number, in any number of parentheses; undefined when none follows. */
  #optionalNumber(): number | undefined {
    let open = 0;
    while (this.#isOperator("(", open)) open++;
    const token = this.#tokens[this.#at + open];
    if (token?.kind !== "number") {
      if (open > 0 && token !== undefined) this.#syntax(token, "a number");
      return undefined;
    }
    this.#at += open + 1;
    for (; open > 0; open--) {
      if (!this.#isOperator(")")) this.#unexpected();
      this.#at++;
    }
    return token.value;
  }

  // Arithmetic

  #value(minimum: number): Arithmetic {
    return arithmetic(this.#operators(this.#operand(), minimum));
  }

  /** The operators behind a first operand that bind tighter than `minimum`. */
  #operators(
    first: Parsed & { type: "number" | "arithmetic" },
    minimum: number,
  ): Parsed & { type: "number" | "arithmetic" } {
    let left = first;
    for (;;) {
      const token = this.#peek();
      if (token.kind !== "operator") return left;
      const free = token.text === "%" || token.text === "^";
      const precedence = PRECEDENCE[token.text];
      if (!free && (precedence === undefined || precedence <= minimum)) return left;
      this.#at++;
      this.#enter();
      const right = this.#value(free ? 0 : precedence!);
      this.#depth--;
      left = { type: "arithmetic", node: this.#binary(token, arithmetic(left), right) };
    }
  }

  #binary(op: Token, left: Arithmetic, right: Arithmetic): Arithmetic {
    if (right.kind === "number") {
      if (op.text === "/" && right.value === 0) throw new Fault("division by zero", right);
      if (op.text === "%" && right.value === 0) throw new Fault("modulus by zero", right);
      if ((op.text === "<<" || op.text === ">>") && right.value > 31)
        throw new Fault("shift by more than 31 bits", right);
    }
    const depth = Math.max(left.depth, right.depth) + 1;
    if (depth > MAX_DEPTH) this.#tooDeep(op);
    return { kind: "binary", op: op.text as ArithmeticOperator, left, right, depth, start: left.start, end: right.end };
  }

  #operand(): Parsed & { type: "number" | "arithmetic" } {
    const token = this.#next();
    if (token.kind === "number") return { type: "number", value: token.value, span: token };
    if (token.kind === "keyword" && token.text === "len") {
      return { type: "arithmetic", node: { kind: "len", depth: 1, start: token.start, end: token.end } };
    }
    if (token.kind === "keyword" && PROTOCOLS.has(token.text) && this.#isOperator("[")) return this.#index(token);
    if (token.kind === "operator" && token.text === "-") {
      this.#enter();
      const operand = this.#value(UNARY_MINUS);
      this.#depth--;
      const depth = operand.depth + 1;
      return { type: "arithmetic", node: { kind: "negative", operand, depth, start: token.start, end: operand.end } };
    }
    if (token.kind === "operator" && token.text === "(") {
      this.#enter();
      const inner = this.#operators(this.#operand(), 0);
      this.#depth--;
      if (!this.#isOperator(")")) this.#unexpected();
      const span = { start: token.start, end: this.#next().end };
      return inner.type === "number" ? { ...inner, span } : { type: "arithmetic", node: { ...inner.node, ...span } };
    }
    this.#at--;
    return this.#unexpected();
  }

  #index(proto: Token): Parsed & { type: "arithmetic" } {
    this.#at++;
    this.#enter();
    const offset = this.#value(0);
    this.#depth--;
    let size = 1;
    if (this.#isOperator(":")) {
      this.#at++;
      const token = this.#expect("number", "a size");
      size = token.value;
      if (size !== 1 && size !== 2 && size !== 4) throw new Fault("data size must be 1, 2, or 4", token);
    }
    if (!this.#isOperator("]")) this.#unexpected();
    const end = this.#next().end;
    const depth = offset.depth + 1;
    return {
      type: "arithmetic",
      node: { kind: "index", proto: proto.text as ProtocolWord, offset, size, depth, start: proto.start, end },
    };
  }

  // Tokens

  #peek(): Token {
    return this.#tokens[this.#at]!;
  }

  #next(): Token {
    const token = this.#tokens[this.#at]!;
    if (token.kind !== "end") this.#at++;
    return token;
  }

  #isOperator(text: string, ahead = 0): boolean {
    const token = this.#tokens[this.#at + ahead];
    return token !== undefined && token.kind === "operator" && token.text === text;
  }

  #expect(kind: Token["kind"], wanted: string): Token {
    const token = this.#peek();
    if (token.kind !== kind) this.#unexpected(`expected ${wanted}`);
    return this.#next();
  }

  #since(start: Span): Span {
    return { start: start.start, end: this.#tokens[this.#at - 1]!.end };
  }

  #term(node: Node): Parsed {
    return { type: "term", node, q: undefined, isId: false, parenthesised: false };
  }

  #enter(): void {
    if (++this.#depth > MAX_DEPTH) this.#tooDeep(this.#peek());
  }

  #tooDeep(span: Span): never {
    throw new Fault(`the expression nests deeper than the limit of ${MAX_DEPTH} levels`, span, undefined, "limit");
  }

  /** The fault for a token that can not stand where it stands. */
  #unexpected(hint?: string): never {
    const token = this.#peek();
    this.#syntax(token, hint ?? adviceFor(this.#tokens, this.#at));
  }

  #syntax(token: Token, hint: string | undefined): never {
    const what = token.kind === "end" ? "the end of the expression" : JSON.stringify(token.text);
    throw new Fault(`can't parse filter expression: syntax error at ${what}`, token, hint);
  }
}

function arithmetic(parsed: Parsed & { type: "number" | "arithmetic" }): Arithmetic {
  if (parsed.type === "arithmetic") return parsed.node;
  return { kind: "number", value: parsed.value, depth: 1, start: parsed.span.start, end: parsed.span.end };
}

/** What to write instead, for mistakes that are often made. */
function adviceFor(tokens: readonly Token[], at: number): string | undefined {
  const token = tokens[at]!;
  const before = tokens[at - 1];
  if (token.kind === "end") return before === undefined ? undefined : `something must follow "${before.text}"`;
  if (before?.kind === "name" && GLUED_MINUS.test(before.text)) return adviceForLoneId(before, undefined);
  if (token.text === ")") return "there is no parenthesis to close here";
  const escaped =
    token.kind === "keyword" && before !== undefined && (before.text === "proto" || before.text === "protochain");
  if (escaped) return `"${token.text}" is a keyword; as a name it is written "\\${token.text}"`;
  return adviceForLoneId(token, before);
}

function adviceForLoneId(token: Token, before: Token | undefined): string | undefined {
  const proto = before?.kind === "keyword" && PROTOCOLS.has(before.text) ? `${before.text} ` : "";
  switch (token.kind) {
    case "number":
      return proto === "" ? undefined : `did you mean "${proto}port ${token.text}"?`;
    case "ipv4":
    case "ipv6":
      return `did you mean "${proto}host ${token.text}"?`;
    case "mac48":
      return `did you mean "ether host ${token.text}"?`;
    case "name":
      if (GLUED_MINUS.test(token.text)) {
        return `"-" can be part of a name; write spaces around it, as in "${token.text.replace(/-/g, " - ")}"`;
      }
      if (KEYWORD_ANY_CASE.has(token.text.toLowerCase()))
        return `keywords are lower case: "${token.text.toLowerCase()}"`;
      if (token.text.startsWith("eth.") || token.text.includes(".")) {
        return "this is the capture filter language, not Wireshark's display filters";
      }
      return `"${token.text}" is no keyword; a name needs a qualifier, as in "host ${token.text}"`;
    default:
      return undefined;
  }
}

/** A word that was meant as a subtraction. */
const GLUED_MINUS = /^(len|length|\d+|tcp|ip|udp)-/;
const KEYWORD_ANY_CASE: ReadonlySet<string> = new Set([...PROTOCOL_WORDS, ...DIRECTIONS, ...TYPES, "and", "or", "not"]);
