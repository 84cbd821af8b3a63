/**
 * Protocols: a bare word (`tcp`, `arp`, `isis`), `proto n`, and the unrolled `protochain n`.
 */
import { ETHERTYPE, NLPID, SAP } from "../link/ethertypes.ts";
import { IP_PROTOCOL } from "../link/ip-protocols.ts";
import type { Context } from "./context.ts";
import { afterExtensions, type Walk, walk4, walk6 } from "./header-walk.ts";
import { network } from "./layers.ts";
import { and, behind, equal, masked, or, type Predicate } from "./predicate.ts";
import type { ProtocolWord } from "./tokens.ts";

/** "The payload of the link layer is protocol P", where P is an EtherType or an 802.2 SAP. */
export function linkProtocol(c: Context, proto: number): Predicate {
  const { layers } = c;
  if (layers.labels > 0) return mplsPayload(c, proto);
  if (layers.link.carries === undefined) {
    c.fail(
      `link-layer type filtering not implemented for ${c.linkName}`,
      "link[offset:size], byte, len, less and greater work on every link type",
    );
  }
  return layers.link.carries(layers, proto, c);
}

/** Behind MPLS there is no type field: the bottom-of-stack bit must be set and the version number is looked at. */
function mplsPayload(c: Context, proto: number): Predicate {
  const version = proto === ETHERTYPE.ip ? 0x40 : proto === ETHERTYPE.ip6 ? 0x60 : undefined;
  if (version === undefined) c.fail("unsupported protocol over mpls", "behind `mpls` only IPv4 and IPv6 can be told");
  return and(masked(network(c.layers, -2), 1, 0x01, 0x01), masked(network(c.layers, 0), 1, 0xf0, version));
}

export function isIPv4(c: Context): Predicate {
  return linkProtocol(c, ETHERTYPE.ip);
}

export function isIPv6(c: Context): Predicate {
  return linkProtocol(c, ETHERTYPE.ip6);
}

/** IPv4, and its protocol field. */
export function overIPv4(c: Context, proto: number): Predicate {
  return and(isIPv4(c), equal(network(c.layers, 9), 1, proto));
}

/** IPv6, and its next header: at once, or behind one fragment header. */
export function overIPv6(c: Context, proto: number): Predicate {
  if (c.scoped) {
    const walk = walk6(c);
    return and(isIPv6(c), afterExtensions(walk), walk.is(proto));
  }
  const next = network(c.layers, 6);
  const behindFragment = and(equal(next, 1, IP_PROTOCOL["ipv6-frag"]), equal(network(c.layers, 40), 1, proto));
  return and(isIPv6(c), or(equal(next, 1, proto), behindFragment));
}

function overIP(c: Context, proto: number): Predicate {
  return or(overIPv4(c, proto), overIPv6(c, proto));
}

/** An OSI network protocol by its identifier. */
function osi(c: Context, nlpid: number): Predicate {
  const { link } = c.layers;
  if (link.osi === "frame relay") return equal(behind(c.layers.header, 2), 2, 0x0300 | nlpid);
  return and(linkProtocol(c, SAP.iso), equal(osiByte(c, link.osi ?? 0), 1, nlpid));
}

function osiByte(c: Context, n: number) {
  return behind(c.layers.payload, c.layers.noSnap + n);
}

/** IS-IS PDU types (ISO/IEC 10589), in the order libpcap tests them. */
const ISIS_TYPES: Readonly<Partial<Record<ProtocolWord, readonly number[]>>> = {
  l1: [26, 24, 18, 15, 17],
  l2: [27, 25, 20, 16, 17],
  iih: [17, 15, 16],
  lsp: [18, 20],
  snp: [27, 26, 24, 25],
  csnp: [24, 25],
  psnp: [26, 27],
};

function isisType(c: Context, type: number): Predicate {
  return and(osi(c, NLPID.isis), equal(osiByte(c, 4), 1, type));
}

/** Words that are one link-layer protocol. */
// biome-ignore format: a table
const LINK_WORDS: Readonly<Partial<Record<ProtocolWord, number>>> = {
  ip: ETHERTYPE.ip, arp: ETHERTYPE.arp, rarp: ETHERTYPE.rarp, ip6: ETHERTYPE.ip6, atalk: ETHERTYPE.atalk,
  aarp: ETHERTYPE.aarp, decnet: ETHERTYPE.decnet, lat: ETHERTYPE.lat, sca: ETHERTYPE.sca, moprc: ETHERTYPE.moprc,
  mopdl: ETHERTYPE.mopdl, iso: SAP.iso, stp: SAP.stp, ipx: SAP.ipx, netbeui: SAP.netbeui,
};

/** Words that are one IP protocol, and the version of IP they are looked for in. */
// biome-ignore format: a table
const IP_WORDS: Readonly<Partial<Record<ProtocolWord, readonly [proto: number, over: "both" | "ip" | "ip6"]>>> = {
  sctp: [IP_PROTOCOL.sctp, "both"], tcp: [IP_PROTOCOL.tcp, "both"], udp: [IP_PROTOCOL.udp, "both"],
  pim: [IP_PROTOCOL.pim, "both"], ah: [IP_PROTOCOL.ah, "both"], esp: [IP_PROTOCOL.esp, "both"],
  icmp: [IP_PROTOCOL.icmp, "ip"], igmp: [IP_PROTOCOL.igmp, "ip"], igrp: [IP_PROTOCOL.igp, "ip"],
  vrrp: [IP_PROTOCOL.vrrp, "ip"], carp: [IP_PROTOCOL.vrrp, "ip"], icmp6: [IP_PROTOCOL["ipv6-icmp"], "ip6"],
};

/** A protocol word that stands alone. */
export function protocolWord(c: Context, word: ProtocolWord): Predicate {
  const link = LINK_WORDS[word];
  if (link !== undefined) return linkProtocol(c, link);
  const ip = IP_WORDS[word];
  if (ip !== undefined) return { both: overIP, ip: overIPv4, ip6: overIPv6 }[ip[1]](c, ip[0]);
  const isis = ISIS_TYPES[word];
  if (isis !== undefined) return or(...isis.map((type) => isisType(c, type)));
  switch (word) {
    case "clnp":
    case "esis":
    case "isis":
      return osi(c, NLPID[word]);
    case "radio":
      return c.fail("'radio' is not a valid protocol type", "radio[offset:size] reads the radio header");
    default:
      return c.fail("link layer applied in wrong context", '"ether" and "link" stand in front of a qualifier or "["');
  }
}

/** `[proto] proto n`. */
export function protoNumber(c: Context, value: number, proto: ProtocolWord | undefined): Predicate {
  switch (proto) {
    case undefined:
    case "ip":
    case "ip6":
      c.atMost("protocol number", value, 255);
      return { any: overIP, ip: overIPv4, ip6: overIPv6 }[proto ?? "any"](c, value);
    case "link":
      c.atMost("EtherType", value, 0xffff);
      return linkProtocol(c, value);
    case "iso":
      c.atMost("ISO protocol number", value, 255);
      return osi(c, value);
    case "isis":
      c.atMost("IS-IS PDU type", value, 255);
      return isisType(c, value);
    default:
      return c.fail(`'${proto}' is not a valid qualifier for 'proto'`, "ip, ip6, ether, iso and isis are");
  }
}

/** `[ip|ip6] protochain n`: a chain of extension headers with n in it, followed for a bounded number of steps. */
export function protochain(c: Context, value: number, proto: ProtocolWord | undefined): Predicate {
  if (proto !== undefined && proto !== "ip" && proto !== "ip6") {
    c.fail(
      `'${proto}' is not a valid qualifier for 'protochain'`,
      "bad protocol applied for 'protochain'; ip and ip6 are allowed",
    );
  }
  c.atMost("protocol number", value, 255);
  if (c.layers.payload.slot !== undefined) c.fail("'protochain' not supported with variable length headers");
  const leg = (isIP: Predicate, walk: Walk) => and(isIP, afterExtensions(walk, value), walk.is(value));
  const v4 = proto === "ip6" ? undefined : leg(isIPv4(c), walk4(c));
  const v6 = proto === "ip" ? undefined : leg(isIPv6(c), walk6(c));
  return or(v4, v6);
}

/** "Not a fragment behind the first": the fragment offset of IPv4 is 0. */
export function firstFragment(c: Context): Predicate {
  return { kind: "not", term: { kind: "test", value: fragmentField(c), cond: "set", operand: 0x1fff } };
}

function fragmentField(c: Context) {
  return { kind: "load", place: network(c.layers, 6), size: 2 } as const;
}
