/**
 * A datagram as a filter on its UDP socket sees it, put together again from what the socket tells.
 *
 * Byte 0 is the UDP header; in front of it lie the IP header and a MAC header, which NET and LL loads reach.  What
 * nobody tells (see analyze/unknowable.ts) is taken from {@link UdpHeaderValues}, or is what Linux sends over lo most
 * often.  RFC 768, 791, 8200.
 */
import type { RemoteInfo } from "node:dgram";
import type { HeaderField } from "../analyze/unknowable.ts";
import { writeU16 } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";
import { ATTACH_POINTS, type PacketContext, packetContext } from "../program/packet-context.ts";
import { ipBytes } from "./sockaddr.ts";

/** Header fields that a socket does not tell, for those who know them. */
export interface UdpHeaderValues {
  /** Numeric address that datagrams are sent to, where the socket is bound to all. */
  readonly destination?: string;
  /** TOS or traffic class, a byte. */
  readonly trafficClass?: number;
  /** IPv6 flow label, 20 bits. */
  readonly flowLabel?: number;
  /** IPv4 identification, 16 bits. */
  readonly identification?: number;
  /** IPv4 flag. */
  readonly dontFragment?: boolean;
  /** TTL or hop limit, a byte. */
  readonly hopLimit?: number;
  /** 16 bits. */
  readonly headerChecksum?: number;
  /** 16 bits. */
  readonly udpChecksum?: number;
  /** The MAC header's 12 address bytes, destination first. */
  readonly macAddresses?: Uint8Array;
}

const UDP_HEADER = 8;
const MAC_HEADER = 14;
const IPPROTO_UDP = 17;
const LONGEST_DATAGRAM = 65535;
const V4_MAPPED = "::ffff:";

/** Makes packets and contexts of datagrams, in memory that is used again for each. */
export class UdpHeaders {
  readonly #values: UdpHeaderValues;
  readonly #packet = new Uint8Array(UDP_HEADER + LONGEST_DATAGRAM);
  readonly #kinds: Readonly<Record<4 | 6, { readonly before: Uint8Array; readonly context: PacketContext }>>;

  constructor(values: UdpHeaderValues = {}, context: Partial<PacketContext> = {}) {
    checkValues(values);
    this.#values = values;
    const kind = (family: 4 | 6): { before: Uint8Array; context: PacketContext } => {
      const { network, mac } = family === 4 ? ATTACH_POINTS.udp4 : ATTACH_POINTS.udp6;
      const protocol = family === 4 ? 0x0800 : 0x86dd;
      const before = new Uint8Array(-mac!);
      before.set(values.macAddresses ?? [], 0);
      writeU16(before, MAC_HEADER - 2, protocol, false);
      // A datagram has a device, if nobody knows which: 1, lo.
      const known = { network, mac, before, protocol, ifindex: 1, hatype: 772, ...context };
      return { before, context: packetContext(known) };
    };
    this.#kinds = { 4: kind(4), 6: kind(6) };
  }

  /**
   * The packet of a datagram, and its context.  Both hold until the next call.
   *
   * @param local  Where the datagram arrived; the address may be the wildcard.
   */
  packetOf(
    payload: Uint8Array,
    from: RemoteInfo,
    local: { readonly address: string; readonly port: number },
  ): { readonly packet: Uint8Array; readonly context: PacketContext } {
    const source = unmapped(from.address);
    const family = source.includes(":") ? 6 : 4;
    const { before, context } = this.#kinds[family];
    const length = UDP_HEADER + payload.length;
    const packet = this.#packet.subarray(0, length);
    writeU16(packet, 0, from.port, false);
    writeU16(packet, 2, local.port, false);
    writeU16(packet, 4, length, false);
    writeU16(packet, 6, this.#values.udpChecksum ?? 0, false);
    packet.set(payload, UDP_HEADER);
    const ip = before.subarray(MAC_HEADER);
    const to = this.#destination(local.address, family);
    if (family === 4) this.#writeIpv4(ip, length, ipBytes(source), to);
    else this.#writeIpv6(ip, length, ipBytes(source), to);
    return { packet, context };
  }

  #destination(local: string, family: 4 | 6): Uint8Array {
    const bytes = ipBytes(unmapped(this.#values.destination ?? local));
    const size = family === 4 ? 4 : 16;
    return bytes.length === size ? bytes : new Uint8Array(size); // the wildcard of a dual-stack socket
  }

  #writeIpv4(ip: Uint8Array, length: number, source: Uint8Array, destination: Uint8Array): void {
    const {
      trafficClass = 0,
      identification = 0,
      dontFragment = true,
      hopLimit = 64,
      headerChecksum = 0,
    } = this.#values;
    ip[0] = 0x45;
    ip[1] = trafficClass;
    writeU16(ip, 2, 20 + length, false);
    writeU16(ip, 4, identification, false);
    writeU16(ip, 6, dontFragment ? 0x4000 : 0, false);
    ip[8] = hopLimit;
    ip[9] = IPPROTO_UDP;
    writeU16(ip, 10, headerChecksum, false);
    ip.set(source, 12);
    ip.set(destination, 16);
  }

  #writeIpv6(ip: Uint8Array, length: number, source: Uint8Array, destination: Uint8Array): void {
    const { trafficClass = 0, flowLabel = 0, hopLimit = 64 } = this.#values;
    ip[0] = 0x60 | (trafficClass >> 4);
    ip[1] = ((trafficClass & 15) << 4) | (flowLabel >> 16);
    writeU16(ip, 2, flowLabel & 0xffff, false);
    writeU16(ip, 4, length, false);
    ip[6] = IPPROTO_UDP;
    ip[7] = hopLimit;
    ip.set(source, 8);
    ip.set(destination, 24);
  }
}

/** Fields that are known: given, or told by a socket bound to one address. */
export function knownFields(values: UdpHeaderValues, local: string | undefined): HeaderField[] {
  const macKnown = values.macAddresses !== undefined || (local !== undefined && isLoopback(local));
  const known: [HeaderField, boolean][] = [
    ["destination", values.destination !== undefined || (local !== undefined && !isWildcard(local))],
    ["traffic class", values.trafficClass !== undefined && values.flowLabel !== undefined],
    ["identification", values.identification !== undefined],
    ["don't fragment", values.dontFragment !== undefined],
    ["hop limit", values.hopLimit !== undefined],
    ["header checksum", values.headerChecksum !== undefined],
    ["UDP checksum", values.udpChecksum !== undefined],
    ["destination MAC", macKnown],
    ["source MAC", macKnown],
  ];
  return known.flatMap(([field, is]) => (is ? [field] : []));
}

/** True for an address that only lo delivers to; its MAC addresses are zeros. */
export function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}

/** Without a scope, and an IPv4 address as itself where an IPv6 socket shows it mapped. */
function unmapped(address: string): string {
  const bare = address.split("%")[0]!;
  return bare.startsWith(V4_MAPPED) && bare.includes(".") ? bare.slice(V4_MAPPED.length) : bare;
}

function checkValues(values: UdpHeaderValues): void {
  const ranges: readonly [keyof UdpHeaderValues, number][] = [
    ["trafficClass", 0xff],
    ["flowLabel", 0xfffff],
    ["identification", 0xffff],
    ["hopLimit", 0xff],
    ["headerChecksum", 0xffff],
    ["udpChecksum", 0xffff],
  ];
  for (const [name, most] of ranges) {
    const value = values[name] as number | undefined;
    if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= most)) continue;
    throw new BpfError("bad-argument", `${name} ${value} is no whole number in 0..${most}`);
  }
  if (values.destination !== undefined) ipBytes(values.destination);
  if (values.macAddresses !== undefined && values.macAddresses.length !== 12) {
    throw new BpfError("bad-argument", `macAddresses has ${values.macAddresses.length} bytes, and should have 12`);
  }
}
