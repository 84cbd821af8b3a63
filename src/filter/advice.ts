/**
 * Warnings about expressions that compile but often mean something else than their writer thinks.
 */
import type { Span } from "../base/source-text.ts";
import type { Arithmetic, Node } from "./ast.ts";
import type { Context } from "./context.ts";
import { outcomes } from "./outcomes.ts";
import type { Predicate } from "./predicate.ts";

/** Adds what there is to say about an expression to the context's warnings. */
export function advise(c: Context, node: Node | undefined, predicate: Predicate): void {
  if (node === undefined) return;
  const whole = { start: node.start, end: node.end };
  adviseOn(c, node);
  const { yes, no } = outcomes(predicate);
  if (!yes) c.warn("rejects-all", "expression rejects all packets", whole);
  else if (!no) c.warn("accepts-all", "expression accepts every packet that is long enough for its loads", whole);
}

/** Advice on one node and what is in it.  Returns the first moving keyword in it. */
function adviseOn(c: Context, node: Node): Node | undefined {
  switch (node.kind) {
    case "chain":
      return adviseOnChain(c, node);
    case "not": {
      const moving = adviseOn(c, node.term);
      if (moving !== undefined) leak(c, moving, node, "not");
      return moving;
    }
    case "encapsulation":
      return node.what === "pppoed" ? undefined : node;
    case "signal":
      return node.word === "lane" ? node : undefined;
    case "id":
      if (node.inherited && node.id.kind === "number" && (node.q.type === undefined || node.q.type === "host")) {
        const octets = [24, 16, 8, 0].map((shift) => (node.id.kind === "number" ? node.id.value >>> shift : 0) & 0xff);
        c.warn(
          "inherited-id",
          `${node.id.value} takes over the qualifiers in front of it and is the host ${octets.join(".")}`,
          node,
        );
      }
      return undefined;
    case "relation":
      precedence(c, node.left);
      precedence(c, node.right);
      return undefined;
    default:
      return undefined;
  }
}

function adviseOnChain(c: Context, node: Node & { kind: "chain" }): Node | undefined {
  let moving = adviseOn(c, node.first);
  let orSeen: Node | undefined;
  for (const { op, term } of node.rest) {
    if (op === "or") {
      orSeen ??= term;
      if (moving !== undefined) leak(c, moving, term, "or");
    } else if (orSeen !== undefined) {
      c.warn(
        "mixed-and-or",
        "and/or have the same precedence: everything before this and is its left side; write parentheses",
        { start: node.start, end: term.end },
      );
    }
    moving = adviseOn(c, term) ?? moving;
  }
  return moving;
}

function leak(c: Context, moving: Node, at: Node, through: "or" | "not"): void {
  if (c.scoped) return;
  const word = moving.kind === "encapsulation" ? moving.what : "lane";
  const where: Span = through === "or" ? at : moving;
  c.warn(
    "moving-keyword",
    `"${word}" moves the decoding position for everything after it, also through "${through}"; put it last, or use scoped mode`,
    where,
  );
}

/** `%` and `^` next to another operator without parentheses. */
function precedence(c: Context, node: Arithmetic): void {
  if (node.kind === "negative") precedence(c, node.operand);
  if (node.kind === "index") precedence(c, node.offset);
  if (node.kind !== "binary") return;
  precedence(c, node.left);
  precedence(c, node.right);
  const { right } = node;
  // A node in parentheses begins before its own first operand.
  if (right.kind !== "binary" || right.start !== right.left.start) return;
  const free = [node.op, right.op].find((op) => op === "%" || op === "^");
  if (free === undefined) return;
  c.warn(
    "free-precedence",
    `"${free}" has no precedence here: this reads as a ${node.op} (b ${right.op} c); write parentheses`,
    node,
  );
}
