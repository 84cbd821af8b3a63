/**
 * Syntax trees back into text: the expression as it was read, with every parenthesis and every qualifier written out.
 *
 * The text compiles to the same program again.
 */
import type { Arithmetic, FieldValue, Id, Node, Qualifiers } from "./ast.ts";
import { KEYWORDS, OPERATOR_WORDS } from "./tokens.ts";

/** The complete form of an expression; "" for the empty one. */
export function formatExpression(node: Node | undefined): string {
  if (node === undefined) return "";
  if (node.kind === "chain") {
    const { rest } = node;
    let text = "(".repeat(rest.length) + formatExpression(node.first);
    for (const { op, term } of rest) text += ` ${op} ${formatExpression(term)})`;
    return text;
  }
  return node.kind === "not" ? `(not ${formatExpression(node.term)})` : formatTerm(node);
}

/** One term, without operators around it. */
export function formatTerm(node: Exclude<Node, { kind: "chain" | "not" }>): string {
  switch (node.kind) {
    case "protocol":
      return node.proto;
    case "id":
      return formatQualifiers(node.q) + formatId(node.id);
    case "relation":
      return `(${formatArithmetic(node.left)} ${node.op} ${formatArithmetic(node.right)})`;
    case "cast":
      return `${node.proto ?? "link"} ${node.what}`;
    case "length":
      return `${node.op} ${node.value}`;
    case "byte":
      return `byte ${node.offset} ${node.op} ${node.value}`;
    case "direction":
      return node.what;
    case "ifindex":
      return `ifindex ${node.value}`;
    case "encapsulation":
      return node.value === undefined ? node.what : `${node.what} ${node.value}`;
    case "llc":
      return node.word === undefined ? "llc" : `llc ${node.word}`;
    case "wlan-type": {
      const type = node.type === undefined ? "" : `type ${node.type}`;
      return `${type}${node.subtype === undefined ? "" : ` subtype ${node.subtype}`}`.trim();
    }
    case "wlan-direction":
      return `dir ${node.value}`;
    case "pf":
      return `${node.field} ${node.value}`;
    case "signal":
      return node.word;
    case "field":
      return `${node.field} ${formatFieldValues(node.values)}`;
  }
}

function formatFieldValues(values: readonly FieldValue[]): string {
  if (values.length === 1) return `${values[0]!.op === "=" ? "" : `${values[0]!.op} `}${values[0]!.value}`;
  return `(${values.map(({ value }) => value).join(" or ")})`;
}

/** Qualifiers with what is left out filled in, and a blank behind. */
function formatQualifiers({ proto, dir, type }: Qualifiers): string {
  const lone = type === "proto" || type === "protochain" || type === "gateway";
  const words = [proto, lone ? undefined : (dir ?? "src or dst"), type ?? "host"];
  return `${words.filter((word) => word !== undefined).join(" ")} `;
}

function formatId(id: Id): string {
  switch (id.kind) {
    case "name":
      return KEYWORDS.has(id.text) || OPERATOR_WORDS.has(id.text) ? `\\${id.text}` : id.text;
    case "number":
      return String(id.value);
    case "ipv4":
      return id.mask !== undefined ? `${id.text} mask ${id.mask}` : withPrefix(id);
    case "ipv6":
      return withPrefix(id);
    case "mac48":
      return id.text;
    case "mac8":
      return `$${id.value.toString(16).padStart(2, "0")}`;
  }
}

function withPrefix({ text, prefix }: { text: string; prefix?: number }): string {
  return prefix === undefined ? text : `${text}/${prefix}`;
}

/** A value with every operator in parentheses. */
export function formatArithmetic(node: Arithmetic): string {
  switch (node.kind) {
    case "number":
      return String(node.value);
    case "len":
      return "len";
    case "negative":
      return `(- ${formatArithmetic(node.operand)})`;
    case "binary":
      return `(${formatArithmetic(node.left)} ${node.op} ${formatArithmetic(node.right)})`;
    case "index":
      return `${node.proto}[${formatArithmetic(node.offset)}:${node.size}]`;
  }
}
