/**
 * Comparisons of values, `tcp[13] & 2 != 0`: the value, and the tests that must hold before it may be read.
 *
 * The tests of the whole relation come first, then all of its loads.  As in libpcap, the tests that belong to the
 * right operand of an arithmetic operator are lost; scoped mode keeps them.
 */

import type { AluOp, Condition } from "../isa/semantics.ts";
import { ETHERTYPE } from "../link/ethertypes.ts";
import { IP_PROTOCOL } from "../link/ip-protocols.ts";
import type { Arithmetic, ArithmeticOperator, Relop } from "./ast.ts";
import type { Context } from "./context.ts";
import { afterExtensions, type Walk, walk6 } from "./header-walk.ts";
import { network, transport4 } from "./layers.ts";
import { alu, and, equal, load, not, or, type Predicate, test, type Value } from "./predicate.ts";
import { firstFragment, isIPv4, isIPv6, linkProtocol, protocolWord } from "./protocols.ts";
import type { ProtocolWord } from "./tokens.ts";

// biome-ignore format: a table
const OPERATORS: Readonly<Record<ArithmeticOperator, AluOp>> = {
  "+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod", "&": "and", "|": "or", "^": "xor", "<<": "lsh", ">>": "rsh",
};

/** The three conditions of the machine, and the relations that are one of them turned round. */
// biome-ignore format: a table
export const RELATIONS: Readonly<Record<Relop, readonly [cond: Condition, negated: boolean]>> = {
  "=": ["eq", false], ">": ["gt", false], ">=": ["ge", false], "!=": ["eq", true], "<=": ["gt", true], "<": ["ge", true],
};

export function relation(c: Context, op: Relop, left: Arithmetic, right: Arithmetic): Predicate {
  const overV4 = compared(c, op, left, right, undefined);
  if (!c.scoped || !(mentionsTransport(left) || mentionsTransport(right))) return overV4;
  // The same over IPv6, behind its extension headers.
  const walk = walk6(c);
  return or(overV4, and(isIPv6(c), afterExtensions(walk), compared(c, op, left, right, walk)));
}

function compared(c: Context, op: Relop, left: Arithmetic, right: Arithmetic, walk: Walk | undefined): Predicate {
  const a = operand(c, left, walk);
  const b = operand(c, right, walk);
  const [cond, negated] = RELATIONS[op];
  const comparison = test(a.value, cond, b.value);
  return and(a.guard, b.guard, negated ? not(comparison) : comparison);
}

interface Operand {
  readonly value: Value;
  /** What must hold before the value may be read. */
  readonly guard: Predicate | undefined;
}

function operand(c: Context, node: Arithmetic, walk: Walk | undefined): Operand {
  switch (node.kind) {
    case "number":
      return { value: { kind: "number", k: node.value }, guard: undefined };
    case "len":
      return { value: { kind: "length" }, guard: undefined };
    case "negative": {
      const { value, guard } = operand(c, node.operand, walk);
      return { value: { kind: "neg", operand: value }, guard };
    }
    case "binary": {
      const a = operand(c, node.left, walk);
      const b = operand(c, node.right, walk);
      const value = alu(OPERATORS[node.op], a.value, b.value);
      if (c.scoped)
        return { value, guard: a.guard === undefined && b.guard === undefined ? undefined : and(a.guard, b.guard) };
      if (b.guard !== undefined) {
        c.warn(
          "lost-guard",
          `the value on the right of "${node.op}" is read without a test of its protocol, as libpcap does`,
          node.right,
        );
      }
      return { value, guard: a.guard };
    }
    case "index":
      return index(c, node, walk);
  }
}

const TRANSPORTS: ReadonlySet<ProtocolWord> = new Set([
  "tcp",
  "udp",
  "sctp",
  "icmp",
  "igmp",
  "igrp",
  "pim",
  "vrrp",
  "carp",
]);
const NETWORKS: ReadonlySet<ProtocolWord> = new Set([
  "ip",
  "arp",
  "rarp",
  "atalk",
  "decnet",
  "lat",
  "sca",
  "moprc",
  "mopdl",
  "ip6",
]);
/** Transports that scoped mode also reads behind IPv6. */
// biome-ignore format: a table
const OVER_BOTH: Readonly<Partial<Record<ProtocolWord, number>>> = {
  tcp: IP_PROTOCOL.tcp, udp: IP_PROTOCOL.udp, sctp: IP_PROTOCOL.sctp,
};

function index(c: Context, node: Arithmetic & { kind: "index" }, walk: Walk | undefined): Operand {
  const inner = operand(c, node.offset, walk);
  const size = node.size as 1 | 2 | 4;
  const { proto } = node;
  const { layers } = c;
  if (proto === "radio") {
    if (!layers.link.radio) c.fail("radio information not present in capture", `this link type is ${c.linkName}`);
    return { value: load({ offset: 0 }, size, inner.value), guard: inner.guard };
  }
  if (proto === "link") {
    const present = layers.tunnelled ? layers.present : undefined;
    const guard = present === undefined ? inner.guard : and(inner.guard, present);
    return { value: load(layers.header, size, inner.value), guard };
  }
  if (NETWORKS.has(proto)) {
    return { value: load(network(layers, 0), size, inner.value), guard: and(inner.guard, protocolWord(c, proto)) };
  }
  if (TRANSPORTS.has(proto)) {
    const number = OVER_BOTH[proto];
    if (walk !== undefined && number !== undefined) {
      return { value: load({ slot: walk.at, offset: 0 }, size, inner.value), guard: and(inner.guard, walk.is(number)) };
    }
    const guard = and(isIPv4(c), inner.guard, protocolWord(c, proto), firstFragment(c));
    if (!c.scoped && number !== undefined) {
      c.warn("ipv4-only", `${proto}[...] looks at IPv4 packets only; IPv6 ones never match`, node);
    }
    return { value: load(transport4(layers, 0), size, inner.value), guard };
  }
  if (proto === "icmp6") {
    const guard = and(
      inner.guard,
      linkProtocol(c, ETHERTYPE.ip6),
      equal(network(layers, 6), 1, IP_PROTOCOL["ipv6-icmp"]),
    );
    return { value: load(network(layers, 40), size, inner.value), guard };
  }
  return c.fail(
    "unsupported index operation",
    `${proto}[...] is not known; link, ip, ip6, arp, tcp, udp, icmp and others are`,
  );
}

/** tcp, udp or sctp bytes somewhere in a value.  Values nest at most as deep as the parser allows. */
function mentionsTransport(node: Arithmetic): boolean {
  switch (node.kind) {
    case "index":
      return OVER_BOTH[node.proto] !== undefined || mentionsTransport(node.offset);
    case "negative":
      return mentionsTransport(node.operand);
    case "binary":
      return mentionsTransport(node.left) || mentionsTransport(node.right);
    default:
      return false;
  }
}
