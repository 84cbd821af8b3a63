/**
 * The syntax tree of a filter expression.  Every node has the span of text it came from.
 *
 * A chain keeps `a or b and c` flat, as the language reads it: and/or have one precedence and associate to the left.
 */
import type { Span } from "../base/source-text.ts";
import type { ProtocolWord } from "./tokens.ts";

// biome-ignore format: a list of words
export type Direction =
  | "src" | "dst" | "src or dst" | "src and dst"
  | "addr1" | "addr2" | "addr3" | "addr4" | "ra" | "ta";
export type AddressType = "host" | "net" | "port" | "portrange" | "proto" | "protochain" | "gateway";

/** What stands in front of an id; undefined: left out. */
export interface Qualifiers {
  readonly proto: ProtocolWord | undefined;
  readonly dir: Direction | undefined;
  readonly type: AddressType | undefined;
}

export type Id =
  | { readonly kind: "name"; readonly text: string }
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "ipv4"; readonly text: string; readonly prefix?: number; readonly mask?: string }
  | { readonly kind: "ipv6"; readonly text: string; readonly prefix?: number }
  | { readonly kind: "mac48"; readonly text: string }
  | { readonly kind: "mac8"; readonly value: number };

export type NumberOrWord = number | string;
export type Relop = ">" | ">=" | "=" | "<=" | "<" | "!=";
export type ArithmeticOperator = "+" | "-" | "*" | "/" | "%" | "&" | "|" | "^" | "<<" | ">>";

export type Arithmetic = Span & { readonly depth: number } & (
    | { readonly kind: "number"; readonly value: number }
    | { readonly kind: "len" }
    | { readonly kind: "index"; readonly proto: ProtocolWord; readonly offset: Arithmetic; readonly size: number }
    | { readonly kind: "negative"; readonly operand: Arithmetic }
    | {
        readonly kind: "binary";
        readonly op: ArithmeticOperator;
        readonly left: Arithmetic;
        readonly right: Arithmetic;
      }
  );

export type Encapsulation = "vlan" | "mpls" | "pppoed" | "pppoes" | "geneve" | "vxlan";

export type Node = Span &
  (
    | { readonly kind: "chain"; readonly first: Node; readonly rest: readonly ChainLink[] }
    | { readonly kind: "not"; readonly term: Node }
    | { readonly kind: "protocol"; readonly proto: ProtocolWord }
    | { readonly kind: "id"; readonly q: Qualifiers; readonly id: Id; readonly inherited: boolean }
    | { readonly kind: "relation"; readonly op: Relop; readonly left: Arithmetic; readonly right: Arithmetic }
    | { readonly kind: "cast"; readonly what: "broadcast" | "multicast"; readonly proto: ProtocolWord | undefined }
    | { readonly kind: "length"; readonly op: "less" | "greater"; readonly value: number }
    | {
        readonly kind: "byte";
        readonly offset: number;
        readonly op: "&" | "|" | "<" | ">" | "=";
        readonly value: number;
      }
    | { readonly kind: "direction"; readonly what: "inbound" | "outbound" }
    | { readonly kind: "ifindex"; readonly value: number }
    | { readonly kind: "encapsulation"; readonly what: Encapsulation; readonly value: number | undefined }
    | { readonly kind: "llc"; readonly word: string | undefined }
    | {
        readonly kind: "wlan-type";
        readonly type: NumberOrWord | undefined;
        readonly subtype: NumberOrWord | undefined;
      }
    | { readonly kind: "wlan-direction"; readonly value: NumberOrWord }
    | { readonly kind: "pf"; readonly field: string; readonly value: NumberOrWord }
    | { readonly kind: "signal"; readonly word: string }
    | { readonly kind: "field"; readonly field: string; readonly values: readonly FieldValue[] }
  );

/** One more term of a chain. */
export interface ChainLink {
  readonly op: "and" | "or";
  readonly term: Node;
}

/** One of the or-ed values of an ATM or SS7 field. */
export interface FieldValue extends Span {
  readonly op: Relop;
  readonly value: number;
}
