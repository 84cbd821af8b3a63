/**
 * The ancillary loads: `ld [k]` with k = SKF_AD_OFF + n asks the socket buffer instead of the packet.
 *
 * Only absolute loads do this, of any size, and the size is ignored: `ldb` of RANDOM gives 32 bits.
 * Source: include/uapi/linux/filter.h (SKF_AD_*), net/core/filter.c, convert_bpf_extensions().
 *
 * Columns:
 *   offset  n; the load's k is SKF_AD_OFF + n
 *   name    the kernel's constant without SKF_AD_
 *   words   what assemblers call it: the first is what the disassembler prints, the last is libpcap's
 *   does    where the value comes from, see {@link AncillaryDoes}
 *   width   bits that can be set in the value, for range reasoning
 *   doc     the value in one line
 */
import { SKF_AD_OFF } from "./limits.ts";

/**
 * Where the value comes from.
 *   field   a field of the packet context
 *   device  a field of the context's device; without a device the program ends with verdict A
 *   nlattr, nlattr-nest, pay-offset, random, xor-x   computed
 */
export type AncillaryDoes =
  | { readonly kind: "field"; readonly field: AncillaryField }
  | { readonly kind: "device"; readonly field: "ifindex" | "hatype" }
  | { readonly kind: "nlattr" | "nlattr-nest" | "pay-offset" | "random" | "xor-x" };

/** Names of context fields behind plain ancillary loads. */
export type AncillaryField =
  | "protocol"
  | "pktType"
  | "mark"
  | "queue"
  | "rxhash"
  | "cpu"
  | "vlanTag"
  | "vlanPresent"
  | "vlanTpid";

export interface AncillaryRow {
  readonly offset: number;
  readonly k: number;
  readonly name: string;
  readonly words: readonly string[];
  readonly does: AncillaryDoes;
  readonly width: number;
  readonly doc: string;
}

function row(
  offset: number,
  name: string,
  words: readonly string[],
  does: AncillaryDoes,
  width: number,
  doc: string,
): AncillaryRow {
  return Object.freeze({ offset, k: SKF_AD_OFF + offset, name, words, does, width, doc });
}

// biome-ignore format: a table
export const ANCILLARY: readonly AncillaryRow[] = Object.freeze([
  //  n  name                words                        does                                        width doc
  row(0,  "PROTOCOL",         ["proto"],                   { kind: "field", field: "protocol" },       16, "EtherType of the packet, 4 or 1 for 802.3 frames"),
  row(4,  "PKTTYPE",          ["type"],                    { kind: "field", field: "pktType" },         3, "0 host, 1 broadcast, 2 multicast, 3 other host, 4 outgoing"),
  row(8,  "IFINDEX",          ["ifidx"],                   { kind: "device", field: "ifindex" },       32, "interface index; without a device the verdict is A"),
  row(12, "NLATTR",           ["nla"],                     { kind: "nlattr" },                         32, "offset of netlink attribute X, searched from offset A; 0 if none"),
  row(16, "NLATTR_NEST",      ["nlan"],                    { kind: "nlattr-nest" },                    32, "the same inside the attribute at offset A"),
  row(20, "MARK",             ["mark"],                    { kind: "field", field: "mark" },           32, "packet mark"),
  row(24, "QUEUE",            ["queue"],                   { kind: "field", field: "queue" },          16, "recorded receive queue + 1; 0 if none"),
  row(28, "HATYPE",           ["hatype"],                  { kind: "device", field: "hatype" },        16, "ARPHRD type of the device; without a device the verdict is A"),
  row(32, "RXHASH",           ["rxhash"],                  { kind: "field", field: "rxhash" },         32, "stored flow hash; 0 if none"),
  row(36, "CPU",              ["cpu"],                     { kind: "field", field: "cpu" },            32, "number of the CPU that runs the filter"),
  row(40, "ALU_XOR_X",        ["xor_x"],                   { kind: "xor-x" },                          32, "A ^ X"),
  row(44, "VLAN_TAG",         ["vlan_tci"],                { kind: "field", field: "vlanTag" },        16, "VLAN TCI from metadata, with PCP and DEI; 0 if none"),
  row(48, "VLAN_TAG_PRESENT", ["vlan_avail", "vlan_pr", "vlanp"], { kind: "field", field: "vlanPresent" },     1, "1 when VLAN metadata is present"),
  row(52, "PAY_OFFSET",       ["poff"],                    { kind: "pay-offset" },                     32, "offset of the payload, by the flow dissector; 0 if unknown"),
  row(56, "RANDOM",           ["rand", "random"],          { kind: "random" },                         32, "32 random bits"),
  row(60, "VLAN_TPID",        ["vlan_tpid"],               { kind: "field", field: "vlanTpid" },       16, "VLAN EtherType from metadata; 0 if none"),
]);

const BY_K: ReadonlyMap<number, AncillaryRow> = new Map(ANCILLARY.map((r) => [r.k, r]));

/** The row of an absolute load's k, or undefined when k names no ancillary value. */
export function ancillaryAt(k: number): AncillaryRow | undefined {
  return BY_K.get(k);
}

/** True for every k that an absolute load can not use as a packet offset, known or not. */
export function isAncillaryOffset(k: number): boolean {
  return k >= SKF_AD_OFF;
}
