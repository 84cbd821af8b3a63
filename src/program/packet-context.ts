/**
 * What a filter can know beside the packet's bytes: its length on the wire, what lies in front of byte 0, where the
 * headers are, and the values behind the ancillary loads.
 *
 * Engines read a context and never write it.  A context is plain data with every field present, so that engines see
 * one object shape.
 */

export interface PacketContext {
  /** LEN: bytes of the packet at the hook, u32.  Undefined: the number of bytes given. */
  readonly length: number | undefined;
  /** Bytes in front of byte 0, its last byte being at offset -1; NET and LL loads reach them. */
  readonly before: Uint8Array;
  /** Position of the network header relative to byte 0; negative when byte 0 lies behind it. */
  readonly network: number;
  /** Position of the MAC header relative to byte 0; undefined when the packet has none (LL loads then fail). */
  readonly mac: number | undefined;
  /** False for a packet that the kernel would hold in pages: NLATTR loads give 0 then. */
  readonly linear: boolean;
  /** SKF_AD_PROTOCOL: the EtherType, as a plain number. */
  readonly protocol: number;
  /** SKF_AD_PKTTYPE: 0 host, 1 broadcast, 2 multicast, 3 other host, 4 outgoing. */
  readonly pktType: number;
  /** SKF_AD_IFINDEX, from 1; 0 means that there is no device, and IFINDEX and HATYPE loads end the program. */
  readonly ifindex: number;
  /** SKF_AD_HATYPE: the device's ARPHRD_* type (1 Ethernet, 772 loopback); read only when there is a device. */
  readonly hatype: number;
  /** SKF_AD_MARK. */
  readonly mark: number;
  /** SKF_AD_QUEUE: the recorded receive queue + 1; 0 for none. */
  readonly queue: number;
  /** SKF_AD_RXHASH; 0 for none. */
  readonly rxhash: number;
  /** SKF_AD_CPU. */
  readonly cpu: number;
  /** SKF_AD_VLAN_TAG: the TCI of a tag held as metadata. */
  readonly vlanTag: number;
  /** SKF_AD_VLAN_TAG_PRESENT: 0 or 1. */
  readonly vlanPresent: number;
  /** SKF_AD_VLAN_TPID: the EtherType of a tag held as metadata. */
  readonly vlanTpid: number;
  /** SKF_AD_RANDOM: the next 32 random bits, a u32.  Give a seeded function to make runs repeatable. */
  random(): number;
}

/** The context of a packet about which nothing is known: no device, no MAC header, network header at byte 0. */
export const NO_CONTEXT: PacketContext = Object.freeze({
  length: undefined,
  before: new Uint8Array(0),
  network: 0,
  mac: undefined,
  linear: true,
  protocol: 0,
  pktType: 0,
  ifindex: 0,
  hatype: 0,
  mark: 0,
  queue: 0,
  rxhash: 0,
  cpu: 0,
  vlanTag: 0,
  vlanPresent: 0,
  vlanTpid: 0,
  random: randomU32,
});

/** A context with some fields given and the rest as in {@link NO_CONTEXT}. */
export function packetContext(fields: Partial<PacketContext> = {}): PacketContext {
  return { ...NO_CONTEXT, ...fields };
}

/** 32 random bits as a u32; not for secrets. */
export function randomU32(): number {
  return (Math.random() * 0x1_0000_0000) >>> 0;
}

/**
 * Where a filter is attached, and so what its byte 0 is.  Positions are relative to byte 0 and hold for packets
 * without options or extension headers.
 *
 * @see kernel: sk_filter_trim_cap() callers; RFC 791, RFC 8200 for the header lengths.
 */
export interface AttachPoint {
  readonly name: string;
  /** What byte 0 is. */
  readonly byteZero: string;
  readonly network: number;
  readonly mac: number | undefined;
  /** Fewest bytes an accepted packet keeps: verdicts 1..n all keep n. */
  readonly minimumKept: number;
}

// biome-ignore format: a table
export const ATTACH_POINTS = Object.freeze({
  //                name                 byte 0                       network       mac             minimum kept
  unix:       point("unix datagram",     "first payload byte",        0,            undefined,      1),
  netlink:    point("netlink",           "nlmsghdr",                  0,            undefined,      1),
  udp4:       point("UDP over IPv4",     "UDP header",                -20,          -34,            8),
  udp6:       point("UDP over IPv6",     "UDP header",                -40,          -54,            8),
  tcp4:       point("TCP over IPv4",     "TCP header",                -20,          -34,            20),
  tcp6:       point("TCP over IPv6",     "TCP header",                -40,          -54,            20),
  raw4:       point("raw IPv4",          "IPv4 header",               0,            -14,            1),
  raw6:       point("raw IPv6",          "header behind IPv6's own",  -40,          -54,            1),
  packet:     point("packet, raw",       "MAC header",                14,           0,              1),
  cooked:     point("packet, datagram",  "network header",            0,            -14,            1),
  tun:        point("packet on a tun",   "network header",            0,            0,              1),
  reuseport4: point("reuseport, IPv4",   "UDP payload",               -28,          -42,            1),
  reuseport6: point("reuseport, IPv6",   "UDP payload",               -48,          -62,            1),
  fanout:     point("packet fanout",     "network header",            0,            -14,            1),
});

function point(
  name: string,
  byteZero: string,
  network: number,
  mac: number | undefined,
  minimumKept: number,
): AttachPoint {
  return Object.freeze({ name, byteZero, network, mac, minimumKept });
}
