/**
 * Words of a filter expression: kinds of tokens, the keywords and the named constants of pcap-filter(7).
 *
 * Keywords are case-sensitive.  A keyword with a backslash in front of it is a plain name.
 */
import type { Span } from "../base/source-text.ts";

export type TokenKind =
  | "keyword" //  a reserved word, `text` in its canonical spelling
  | "operator" // `text` in its canonical spelling: "and" for "&&", "=" for "=="
  | "number" //   u32 in `value`
  | "name" //     any other word, or an escaped keyword without its backslash
  | "ipv4" //     2 to 4 numbers joined by dots
  | "ipv6"
  | "mac48" //    six bytes in any of the four spellings
  | "mac8" //     `$x` or `$xx`, the value in `value`
  | "end";

export interface Token extends Span {
  readonly kind: TokenKind;
  readonly text: string;
  readonly value: number;
}

/** Protocol words that may stand alone, in front of a qualifier, or in front of `[`. */
// biome-ignore format: a list of words
export const PROTOCOL_WORDS = [
  "link", "ip", "arp", "rarp", "sctp", "tcp", "udp", "icmp", "igmp", "igrp", "pim", "vrrp", "carp", "atalk", "aarp",
  "decnet", "lat", "sca", "moprc", "mopdl", "ip6", "icmp6", "ah", "esp", "iso", "esis", "isis", "l1", "l2", "iih",
  "lsp", "snp", "csnp", "psnp", "clnp", "stp", "ipx", "netbeui", "radio",
] as const;
export type ProtocolWord = (typeof PROTOCOL_WORDS)[number];

/** Words that are spelled in more than one way, and their canonical spelling. */
// biome-ignore format: a list of words
const SYNONYMS: Readonly<Record<string, string>> = {
  ether: "link", ppp: "link", slip: "link", fddi: "link", tr: "link", wlan: "link",
  "es-is": "esis", "is-is": "isis", length: "len", direction: "dir",
  address1: "addr1", address2: "addr2", address3: "addr3", address4: "addr4",
  ifname: "on", ruleset: "rset", rulenum: "rnr", subrulenum: "srnr", lsu: "lssu", hlsu: "hlssu",
};

// biome-ignore format: a list of words
const OTHER_KEYWORDS = [
  "src", "dst", "host", "net", "mask", "port", "portrange", "proto", "protochain", "gateway", "type", "subtype", "dir",
  "addr1", "addr2", "addr3", "addr4", "ra", "ta", "less", "greater", "byte", "broadcast", "multicast", "len", "inbound",
  "outbound", "ifindex", "vlan", "mpls", "pppoed", "pppoes", "geneve", "vxlan", "llc", "on", "rset", "rnr", "srnr",
  "reason", "action", "lane", "metac", "bcc", "oam", "oamf4", "oamf4ec", "oamf4sc", "sc", "ilmic", "connectmsg",
  "metaconnect", "vpi", "vci", "fisu", "lssu", "msu", "hfisu", "hlssu", "hmsu", "sio", "opc", "dpc", "sls", "hsio",
  "hopc", "hdpc", "hsls",
];

/** The canonical spelling of every keyword. */
export const KEYWORDS: ReadonlyMap<string, string> = new Map([
  ...[...PROTOCOL_WORDS, ...OTHER_KEYWORDS].map((word): [string, string] => [word, word]),
  ...Object.entries(SYNONYMS),
]);

/** Words that are operators. */
export const OPERATOR_WORDS: ReadonlyMap<string, string> = new Map([
  ["and", "and"],
  ["or", "or"],
  ["not", "not"],
]);

/** Named constants: numbers wherever a number may stand.  Values: RFC 792, RFC 793, RFC 3168, IANA ICMPv6 types. */
export const NAMED_NUMBERS: ReadonlyMap<string, number> = new Map(
  // biome-ignore format: a table
  Object.entries({
    icmptype: 0, icmp6type: 0, icmpcode: 1, icmp6code: 1, tcpflags: 13,
    "tcp-fin": 1, "tcp-syn": 2, "tcp-rst": 4, "tcp-push": 8, "tcp-ack": 16, "tcp-urg": 32, "tcp-ece": 64, "tcp-cwr": 128,
    "icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8,
    "icmp-routeradvert": 9, "icmp-routersolicit": 10, "icmp-timxceed": 11, "icmp-paramprob": 12, "icmp-tstamp": 13,
    "icmp-tstampreply": 14, "icmp-ireq": 15, "icmp-ireqreply": 16, "icmp-maskreq": 17, "icmp-maskreply": 18,
    "icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3, "icmp6-parameterproblem": 4,
    "icmp6-echo": 128, "icmp6-echoreply": 129, "icmp6-multicastlistenerquery": 130,
    "icmp6-multicastlistenerreportv1": 131, "icmp6-multicastlistenerdone": 132, "icmp6-routersolicit": 133,
    "icmp6-routeradvert": 134, "icmp6-neighborsolicit": 135, "icmp6-neighboradvert": 136, "icmp6-redirect": 137,
    "icmp6-routerrenum": 138, "icmp6-nodeinformationquery": 139, "icmp6-nodeinformationresponse": 140,
    "icmp6-ineighbordiscoverysolicit": 141, "icmp6-ineighbordiscoveryadvert": 142,
    "icmp6-multicastlistenerreportv2": 143, "icmp6-homeagentdiscoveryrequest": 144,
    "icmp6-homeagentdiscoveryreply": 145, "icmp6-mobileprefixsolicit": 146, "icmp6-mobileprefixadvert": 147,
    "icmp6-certpathsolicit": 148, "icmp6-certpathadvert": 149, "icmp6-multicastrouteradvert": 151,
    "icmp6-multicastroutersolicit": 152, "icmp6-multicastrouterterm": 153,
  }),
);
