/**
 * SKF_AD_NLATTR and SKF_AD_NLATTR_NEST: searching a netlink message for an attribute.
 *
 * An attribute is `u16 len, u16 type` in host byte order and its payload; len counts the 4-byte header, and the next
 * attribute starts at len rounded up to 4.  The answer is an offset from byte 0 of the packet, 0 for none.
 * Source: net/core/filter.c, bpf_skb_get_nlattr() and _nest(); lib/nlattr.c, nla_find().
 */
import { HOST_LITTLE_ENDIAN, readU16BE, readU16LE } from "../base/bytes.ts";
import type { PacketContext } from "./packet-context.ts";

const NLA_HDRLEN = 4;
const NLA_TYPE_MASK = 0x3fff;
const readU16 = HOST_LITTLE_ENDIAN ? readU16LE : readU16BE;

/** NLATTR: offset of the first attribute of type `x` at or behind offset `a`, both u32. */
export function nlattr(
  packet: Uint8Array,
  start: number,
  length: number,
  context: PacketContext,
  a: number,
  x: number,
): number {
  if (!hasHeader(length, context, a)) return 0;
  return walk(packet, start, a, length - a, x);
}

/** NLATTR_NEST: the same among the attributes inside the attribute at offset `a`. */
export function nlattrNest(
  packet: Uint8Array,
  start: number,
  length: number,
  context: PacketContext,
  a: number,
  x: number,
): number {
  if (!hasHeader(length, context, a)) return 0;
  const nested = readU16(packet, start + a);
  if (nested > length - a) return 0;
  return walk(packet, start, a + NLA_HDRLEN, nested - NLA_HDRLEN, x);
}

/** True when the header of an attribute can stand at offset `a`; the kernel looks into linear packets alone. */
function hasHeader(length: number, context: PacketContext, a: number): boolean {
  return context.linear && length >= NLA_HDRLEN && a <= length - NLA_HDRLEN;
}

function walk(packet: Uint8Array, start: number, from: number, bytes: number, type: number): number {
  let at = from;
  let rest = bytes;
  while (rest >= NLA_HDRLEN) {
    const len = readU16(packet, start + at);
    if (len < NLA_HDRLEN || len > rest) return 0;
    if ((readU16(packet, start + at + 2) & NLA_TYPE_MASK) === type) return at;
    const step = (len + 3) & ~3;
    at += step;
    rest -= step;
  }
  return 0;
}
