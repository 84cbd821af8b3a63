/**
 * Socket addresses, and what stands beside them, as the bytes of their C structs: sockaddr_in, sockaddr_in6,
 * sockaddr_ll, sockaddr_nl, tpacket_auxdata, packet_mreq.
 *
 * The family is in host byte order; ports, flow labels and EtherTypes are in network order (ip(7), ipv6(7), packet(7)).
 */
import { isIP, isIPv4 } from "node:net";
import { readU16BE, readU16LE, readU32BE, readU32LE, writeU16, writeU32 } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";
import { HOST_BYTE_ORDER } from "../program/codec.ts";
import { AF_INET, AF_INET6, AF_NETLINK, AF_PACKET } from "./constants.ts";

const LITTLE = HOST_BYTE_ORDER === "little";
const readU16 = LITTLE ? readU16LE : readU16BE;
const readU32 = LITTLE ? readU32LE : readU32BE;

/** A u32 of the host at `at`. */
export function hostU32(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at);
}

/** sockaddr_in or sockaddr_in6 of a numeric address. */
export function inetAddress(address: string, port: number, scope = 0): Uint8Array {
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) {
    throw new BpfError("bad-argument", `port ${port} is outside 0..65535`);
  }
  const bytes = ipBytes(address);
  const out = new Uint8Array(bytes.length === 4 ? 16 : 28);
  writeU16(out, 0, bytes.length === 4 ? AF_INET : AF_INET6, LITTLE);
  writeU16(out, 2, port, false);
  out.set(bytes, bytes.length === 4 ? 4 : 8);
  if (bytes.length === 16) writeU32(out, 24, scope, LITTLE);
  return out;
}

/**
 * The 4 or 16 bytes of a numeric IP address.
 *
 * @throws {BpfError} `bad-argument` for anything else; names are not looked up.
 */
export function ipBytes(address: string): Uint8Array {
  const kind = typeof address === "string" ? isIP(address) : 0;
  if (kind === 4) return Uint8Array.from(address.split("."), Number);
  if (kind !== 6 || address.includes("%")) {
    throw new BpfError("bad-argument", `${JSON.stringify(address)} is no numeric IP address`);
  }
  // isIP has checked the form: at most one "::", groups of up to 4 hex digits, perhaps an IPv4 address at the end.
  const [head = "", tail] = address.split("::");
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  return Uint8Array.from([...front, ...new Array<number>(16 - front.length - back.length).fill(0), ...back]);
}

function groups(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (isIPv4(group)) return group.split(".").map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** Address and port of a sockaddr_in or sockaddr_in6; undefined for another family. */
export function readInetAddress(bytes: Uint8Array): { address: string; port: number } | undefined {
  if (bytes.length < 2) return undefined;
  const family = readU16(bytes, 0);
  if (family === AF_INET && bytes.length >= 8) {
    return { address: bytes.subarray(4, 8).join("."), port: readU16BE(bytes, 2) };
  }
  if (family !== AF_INET6 || bytes.length < 24) return undefined;
  const words = Array.from({ length: 8 }, (_, i) => readU16BE(bytes, 8 + 2 * i).toString(16));
  return { address: new URL(`http://[${words.join(":")}]`).hostname.slice(1, -1), port: readU16BE(bytes, 2) };
}

/** A packet socket's address: what the kernel says of a received packet beside its bytes. */
export interface LinkAddress {
  /** EtherType, or 1 and 4 for 802.3 frames. */
  readonly protocol: number;
  readonly ifindex: number;
  /** ARPHRD_* type of the device. */
  readonly hatype: number;
  /** 0 host, 1 broadcast, 2 multicast, 3 other host, 4 outgoing. */
  readonly pktType: number;
  /** Hardware address of the sender; up to 8 bytes. */
  readonly address: Uint8Array;
}

/** sockaddr_ll for bind (protocol and interface) or send (also the hardware address). */
export function linkAddress(protocol: number, ifindex: number, address: Uint8Array = new Uint8Array(0)): Uint8Array {
  const out = new Uint8Array(20);
  writeU16(out, 0, AF_PACKET, LITTLE);
  writeU16(out, 2, protocol, false);
  writeU32(out, 4, ifindex, LITTLE);
  out[11] = Math.min(8, address.length);
  out.set(address.subarray(0, 8), 12);
  return out;
}

/** The fields of a sockaddr_ll. */
export function readLinkAddress(bytes: Uint8Array): LinkAddress {
  return {
    protocol: readU16BE(bytes, 2),
    ifindex: readU32(bytes, 4) | 0,
    hatype: readU16(bytes, 8),
    pktType: bytes[10]!,
    address: bytes.slice(12, 12 + Math.min(8, bytes[11]!)),
  };
}

/** sockaddr_nl: `port` 0 is the kernel, or for bind "choose one"; `groups` is a mask of multicast groups 1..32. */
export function netlinkAddress(port: number, groupMask: number): Uint8Array {
  const out = new Uint8Array(12);
  writeU16(out, 0, AF_NETLINK, LITTLE);
  writeU32(out, 4, port, LITTLE);
  writeU32(out, 8, groupMask, LITTLE);
  return out;
}

/** The port of a sockaddr_nl. */
export function readNetlinkPort(bytes: Uint8Array): number {
  return readU32(bytes, 4);
}

/** The fields of struct tpacket_auxdata: what a packet socket tells beside the address. */
export interface AuxiliaryData {
  readonly status: number;
  /** Length of the packet before the filter cut it. */
  readonly length: number;
  /** min(verdict, length). */
  readonly snaplen: number;
  readonly mac: number;
  readonly net: number;
  readonly vlanTag: number;
  readonly vlanTpid: number;
}

/** Reads a PACKET_AUXDATA control message. */
export function readAuxiliaryData(bytes: Uint8Array): AuxiliaryData {
  return {
    status: readU32(bytes, 0),
    length: readU32(bytes, 4),
    snaplen: readU32(bytes, 8),
    mac: readU16(bytes, 12),
    net: readU16(bytes, 14),
    vlanTag: readU16(bytes, 16),
    vlanTpid: readU16(bytes, 18),
  };
}

/** struct packet_mreq: interface and kind of membership, without an address. */
export function membershipRequest(ifindex: number, kind: number): Uint8Array {
  const out = new Uint8Array(16);
  writeU32(out, 0, ifindex, LITTLE);
  writeU16(out, 4, kind, LITTLE);
  return out;
}
