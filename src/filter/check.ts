/**
 * The syntax tree into predicates: link layer, qualifiers and names are settled here, left to right, with the state
 * of the moving keywords carried along.
 *
 * Compatible mode: a moving keyword acts on everything read after it, as in libpcap.  Scoped mode: only on what it is
 * joined to by and.
 */
import { addressed } from "./addressed.ts";
import type { ChainLink, Node } from "./ast.ts";
import type { Context } from "./context.ts";
import { encapsulation } from "./encapsulation.ts";
import { Fault } from "./fault.ts";
import { direction, fieldTerm, ifindex, llcTerm, pfTerm, signal, wlanDirection, wlanType } from "./frames.ts";
import { broadcast, multicast } from "./macs.ts";
import { alu, and, load, not, type Predicate, type PredicateLink, TRUE, test, type Value } from "./predicate.ts";
import { protocolWord } from "./protocols.ts";
import { relation } from "./relation.ts";

/** Most tests that are collected; every test is at least two instructions, so nothing smaller is refused. */
const MAX_TESTS = 200_000;

/** The meaning of an expression; undefined is the empty one, which accepts everything. */
export function check(node: Node | undefined, c: Context): Predicate {
  const { only } = c.layers.link;
  return and(only, node === undefined ? TRUE : checked(c, node));
}

function checked(c: Context, node: Node): Predicate {
  if (node.kind === "chain") return { kind: "source", node, term: chain(c, node.first, node.rest) };
  if (node.kind === "not") {
    const before = c.layers;
    const term = not(checked(c, node.term));
    if (c.scoped) c.layers = before;
    return { kind: "source", node, term };
  }
  const outer = c.span;
  c.span = node;
  const term = primitive(c, node);
  c.span = outer;
  return { kind: "source", node, term };
}

function chain(c: Context, firstNode: Node, links: readonly ChainLink[]): Predicate {
  const entry = c.layers;
  const first = checked(c, firstNode);
  const rest: PredicateLink[] = [];
  let tests = size(first);
  for (const { op, term } of links) {
    if (c.scoped && op === "or") c.layers = entry;
    const predicate = checked(c, term);
    if (c.scoped && op === "or") c.layers = entry;
    rest.push({ op, term: predicate });
    tests += size(predicate);
    if (tests > MAX_TESTS) {
      throw new Fault(
        `the expression needs more than ${2 * MAX_TESTS} instructions, which is the limit before optimisation`,
        term,
        undefined,
        "limit",
      );
    }
  }
  return { kind: "chain", first, rest };
}

function primitive(c: Context, node: Exclude<Node, { kind: "chain" | "not" }>): Predicate {
  switch (node.kind) {
    case "protocol":
      return protocolWord(c, node.proto);
    case "id":
      return addressed(c, node.q, node.id);
    case "relation":
      return relation(c, node.op, node.left, node.right);
    case "cast":
      return node.what === "broadcast" ? broadcast(c, node.proto) : multicast(c, node.proto);
    case "length":
      return node.op === "less"
        ? not(test({ kind: "length" }, "gt", node.value))
        : test({ kind: "length" }, "ge", node.value);
    case "byte":
      return byteTest(c, node);
    case "direction":
      return direction(c, node.what === "outbound");
    case "ifindex":
      return ifindex(c, node.value);
    case "encapsulation":
      return encapsulation(c, node.what, node.value);
    case "llc":
      return llcTerm(c, node.word);
    case "wlan-type":
      return wlanType(c, node.type, node.subtype);
    case "wlan-direction":
      return wlanDirection(c, node.value);
    case "pf":
      return pfTerm(c, node.field, node.value);
    case "signal":
      return signal(c, node.word);
    case "field":
      return fieldTerm(c, node.field, node.values);
  }
}

function byteTest(c: Context, { offset, op, value }: Node & { kind: "byte" }): Predicate {
  const byte: Value = load(c.layers.header, 1, { kind: "number", k: offset });
  switch (op) {
    case "=":
      return test(byte, "eq", value);
    case ">":
      return test(byte, "gt", value);
    case "<":
      return not(test(byte, "ge", value));
    default:
      return not(test(alu(op === "&" ? "and" : "or", byte, value), "eq", 0));
  }
}

/** Number of tests in a predicate. */
function size(predicate: Predicate): number {
  switch (predicate.kind) {
    case "chain": {
      let sum = size(predicate.first);
      for (const { term } of predicate.rest) sum += size(term);
      return sum;
    }
    case "not":
    case "source":
      return size(predicate.term);
    case "effect":
      return size(predicate.body);
    default:
      return 1;
  }
}
