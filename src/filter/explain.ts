/**
 * What an expression means, for people: in complete form, in words, and on a packet.
 */
import { hex } from "../base/bytes.ts";
import { ancillaryAt } from "../isa/ancillary.ts";
import { SKF_AD_OFF } from "../isa/limits.ts";
import type { PacketContext } from "../program/packet-context.ts";
import type { Node, Qualifiers } from "./ast.ts";
import { compileFilter } from "./compile.ts";
import { evaluate, type Read, type Step } from "./evaluate.ts";
import { formatArithmetic, formatExpression, formatTerm } from "./format.ts";
import type { CompiledFilter, FilterOptions } from "./options.ts";

export interface Explanation {
  /** Fully parenthesised, with every qualifier: what was read. */
  readonly complete: string;
  /** The same in plain words, an indented outline, one line a term. */
  readonly words: string;
  readonly compiled: CompiledFilter;
}

export interface Decision {
  readonly accepted: boolean;
  /** The term that settled it, as it stands in the expression; undefined for an empty expression. */
  readonly decidedBy: string | undefined;
  /** One line for each term that was looked at: what it gave, which bytes it read and what they held. */
  readonly lines: readonly string[];
  readonly steps: readonly Step[];
}

/** Explains an expression; options and errors are those of {@link compileFilter}. */
export function explainFilter(expression: string, options: FilterOptions = {}): Explanation {
  const compiled = compileFilter(expression, options);
  const { ast } = compiled;
  return {
    complete: formatExpression(ast),
    words: ast === undefined ? "every packet" : outline(ast, "").join("\n"),
    compiled,
  };
}

/** Explains what a compiled filter does with one packet: which terms were looked at, and which settled the verdict. */
export function explainPacket(
  expression: string,
  compiled: CompiledFilter,
  packet: Uint8Array,
  context?: PacketContext,
): Decision {
  const { accepted, steps, ended } = evaluate(compiled.predicate, packet, context);
  const text = (node: Node): string => expression.slice(node.start, node.end);
  const lines = steps.map(({ node, outcome, reads }) => {
    const gave = outcome === undefined ? "ends the filter" : outcome ? "true" : "false";
    const why = outcome === undefined && ended === "division" ? "division by zero" : "";
    return [`${text(node)}: ${gave}`, why, unique(reads.map(readText)).join(", ")]
      .filter((part) => part !== "")
      .join("; ");
  });
  if (ended !== undefined && steps.at(-1)?.outcome !== undefined) lines.push("the packet is too short for its headers");
  const last = steps.at(-1);
  return { accepted, decidedBy: last === undefined ? undefined : text(last.node), lines, steps };
}

function readText({ offset, size, value }: Read): string {
  if (offset >= SKF_AD_OFF) return `${ancillaryAt(offset)?.name ?? hex(offset)} = ${value}`;
  const at = size === 1 ? `byte ${offset}` : `bytes ${offset}..${offset + size - 1}`;
  return value === undefined ? `${at} past the end` : `${at} = ${hex(value, 2 * size)}`;
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}

// Words

function outline(node: Node, indent: string): string[] {
  switch (node.kind) {
    case "chain":
      return chainOutline(node, indent);
    case "not":
      return [`${indent}none of:`, ...outline(node.term, `${indent}  `)];
    default:
      return [indent + inWords(node)];
  }
}

/** Runs of one operator become one list; where the operator changes, what came before is one item of the next list. */
function chainOutline({ first, rest }: Node & { kind: "chain" }, indent: string): string[] {
  let lines = outline(first, "");
  let op: "and" | "or" | undefined;
  for (const link of rest) {
    if (link.op !== op) {
      lines = [link.op === "and" ? "all of:" : "any of:", ...lines.map((line) => `  ${line}`)];
      op = link.op;
    }
    for (const line of outline(link.term, "  ")) lines.push(line);
  }
  return lines.map((line) => indent + line);
}

const SIDES: Readonly<Record<string, string>> = {
  src: "source",
  dst: "destination",
  "src or dst": "source or destination",
  "src and dst": "source and destination",
  addr1: "first",
  addr2: "second",
  addr3: "third",
  addr4: "fourth",
  ra: "receiver",
  ta: "transmitter",
};
const TYPE_WORDS: Readonly<Record<string, string>> = {
  host: "address",
  net: "network",
  port: "port",
  portrange: "port in",
  proto: "protocol",
  protochain: "protocol header",
  gateway: "gateway",
};
const ENCAPSULATION_WORDS: Readonly<Record<string, string>> = {
  vlan: "VLAN-tagged",
  mpls: "MPLS-labelled",
  pppoed: "PPPoE discovery",
  pppoes: "PPPoE session",
  geneve: "Geneve tunnelled",
  vxlan: "VXLAN tunnelled",
};

function inWords(node: Exclude<Node, { kind: "chain" | "not" }>): string {
  switch (node.kind) {
    case "protocol":
      return `${protocolInWords(node.proto)} packets`;
    case "id":
      return idInWords(
        node.q,
        formatTerm({ ...node, q: { proto: undefined, dir: undefined, type: undefined } }).replace(
          /^src or dst host /,
          "",
        ),
      );
    case "relation":
      return `packets where ${formatArithmetic(node.left)} ${node.op} ${formatArithmetic(node.right)}`;
    case "cast":
      return `${node.proto === undefined || node.proto === "link" ? "link-layer" : protocolInWords(node.proto)} ${node.what} packets`;
    case "length":
      return `packets of ${node.op === "less" ? "at most" : "at least"} ${node.value} bytes`;
    case "byte":
      return `packets whose byte ${node.offset} ${node.op} ${node.value}${"&|".includes(node.op) ? " is not 0" : ""}`;
    case "direction":
      return `${node.what} packets`;
    case "ifindex":
      return `packets of interface number ${node.value}`;
    case "encapsulation": {
      const which = node.value === undefined ? "" : ` with number ${node.value}`;
      return `${ENCAPSULATION_WORDS[node.what]} packets${which}${node.what === "pppoed" ? "" : "; what follows is looked for inside"}`;
    }
    case "llc":
      return `802.2 frames${node.word === undefined ? "" : ` of type ${node.word}`}`;
    default:
      return `packets with ${formatTerm(node)}`;
  }
}

function idInWords({ proto, dir, type = "host" }: Qualifiers, id: string): string {
  const side = type === "proto" || type === "protochain" || type === "gateway" ? "" : `${SIDES[dir ?? "src or dst"]} `;
  const among =
    proto !== undefined
      ? `${protocolInWords(proto)} `
      : type === "port" || type === "portrange"
        ? "TCP, UDP or SCTP "
        : type === "host" || type === "net"
          ? id.includes(":")
            ? "IPv6 "
            : "IPv4, ARP or RARP "
          : "";
  return `${among}packets with ${side}${TYPE_WORDS[type]} ${id}`;
}

function protocolInWords(proto: string): string {
  const special: Readonly<Record<string, string>> = { ip: "IPv4", ip6: "IPv6", icmp6: "ICMPv6", link: "link-layer" };
  return special[proto] ?? proto.toUpperCase();
}
