/**
 * One line about a packet, and its time: enough to recognise it in a list.  No protocol analyser.
 */
import { readU16BE, toHex } from "../base/bytes.ts";

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [1, "ICMP"],
  [2, "IGMP"],
  [6, "TCP"],
  [17, "UDP"],
  [47, "GRE"],
  [58, "ICMPv6"],
  [89, "OSPF"],
  [132, "SCTP"],
]);

/** Link types whose EtherType stands at a fixed place: [where, bytes in front of the payload]. */
const ETHERTYPE_AT: ReadonlyMap<number, readonly [number, number]> = new Map([
  [1, [12, 14]],
  [113, [14, 16]],
  [276, [0, 20]],
]);

/** `IPv4 TCP 192.0.2.1.443 > 192.0.2.2.50000`, `ARP`, `type 0x88cc`, or the first bytes. */
export function packetLine(packet: Uint8Array, linktype: number): string {
  const [typeAt, payload] = ETHERTYPE_AT.get(linktype) ?? [-1, 0];
  if (typeAt < 0) {
    const version = packet.length > 0 && [12, 101, 228, 229].includes(linktype) ? packet[0]! >> 4 : 0;
    return version === 4 || version === 6 ? internet(packet, version) : firstBytes(packet);
  }
  let at = payload;
  let type = packet.length < typeAt + 2 ? -1 : readU16BE(packet, typeAt);
  let tags = "";
  while ((type === 0x8100 || type === 0x88a8) && packet.length >= at + 4) {
    tags += `VLAN ${readU16BE(packet, at) & 0xfff} `;
    type = readU16BE(packet, at + 2);
    at += 4;
  }
  if (type === 0x0800 || type === 0x86dd) return tags + internet(packet.subarray(at), type === 0x0800 ? 4 : 6);
  if (type === 0x0806) return `${tags}ARP`;
  if (type < 0) return firstBytes(packet);
  return type < 0x600 ? `${tags}802.3, ${type} bytes` : `${tags}type 0x${type.toString(16).padStart(4, "0")}`;
}

function internet(packet: Uint8Array, version: 4 | 6): string {
  const header = version === 4 ? 4 * (packet[0]! & 15) : 40;
  if (packet.length < (version === 4 ? 20 : 40)) return `IPv${version}, cut short`;
  const protocol = packet[version === 4 ? 9 : 6]!;
  const name = PROTOCOLS.get(protocol) ?? `protocol ${protocol}`;
  const laterFragment = version === 4 && (readU16BE(packet, 6) & 0x1fff) !== 0;
  const ports =
    (protocol === 6 || protocol === 17 || protocol === 132) && !laterFragment && packet.length >= header + 4;
  const [from, to] = [0, 1].map((side) => {
    const address = version === 4 ? ipv4(packet, 12 + 4 * side) : ipv6(packet, 8 + 16 * side);
    return ports ? `${address}.${readU16BE(packet, header + 2 * side)}` : address;
  });
  return `IPv${version} ${name} ${from} > ${to}${laterFragment ? ", fragment" : ""}`;
}

function ipv4(packet: Uint8Array, at: number): string {
  return packet.subarray(at, at + 4).join(".");
}

/** RFC 5952: the longest run of zero groups, of two at least, becomes `::`. */
function ipv6(packet: Uint8Array, at: number): string {
  const text = Array.from({ length: 8 }, (_zero, i) => readU16BE(packet, at + 2 * i).toString(16)).join(":");
  const runs = text.match(/\b0(:0)+\b/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), "");
  return longest === "" ? text : text.replace(new RegExp(`(^|:)${longest}(:|$)`), "::");
}

function firstBytes(packet: Uint8Array): string {
  return `${toHex(packet.subarray(0, 16), " ")}${packet.length > 16 ? " ..." : ""}`;
}

/** Nanoseconds since 1970 as UTC, to the microsecond. */
export function timeText(nanoseconds: bigint): string {
  const date = new Date(Number(nanoseconds / 1_000_000n));
  if (Number.isNaN(date.getTime())) return `${nanoseconds} ns`;
  const fraction = String((nanoseconds / 1000n) % 1_000_000n).padStart(6, "0");
  return `${date.toISOString().slice(0, 19).replace("T", " ")}.${fraction}`;
}
