/**
 * Packet loads off the fast path: NET and LL areas, offsets past 2^31 and data in front of byte 0.
 *
 * Source: net/core/filter.c, bpf_internal_load_pointer_neg_helper() and bpf_skb_load_helper_*(); measured on 6.18.
 */
import { SKF_LL_OFF, SKF_NET_OFF } from "../isa/limits.ts";
import type { PacketContext } from "./packet-context.ts";

/** What a failed load gives instead of a value, which is never negative. */
export const LOAD_FAILED = -1;

/**
 * A big-endian load of 1, 2 or 4 bytes at any u32 offset, as a u32, or {@link LOAD_FAILED}.
 *
 * The bytes are `packet[start..start + length)`; `offset` is relative to `start`.  0..0x7fffffff is a plain offset,
 * 0xfff00000 and up counts from the network header, 0xffe00000 and up from the MAC header, all else fails.
 */
export function loadPacket(
  packet: Uint8Array,
  start: number,
  length: number,
  context: PacketContext,
  offset: number,
  size: 1 | 2 | 4,
): number {
  const at = realOffset(offset >>> 0, context);
  return at === undefined ? LOAD_FAILED : loadAt(packet, start, length, context.before, at, size);
}

/** The offset relative to byte 0 that a u32 offset means, or undefined where there is nothing. */
export function realOffset(offset: number, context: PacketContext): number | undefined {
  if (offset < 0x80000000) return offset;
  if (offset >= SKF_NET_OFF) return offset - SKF_NET_OFF + context.network;
  if (offset >= SKF_LL_OFF && context.mac !== undefined) return offset - SKF_LL_OFF + context.mac;
  return undefined;
}

/** A load at a position relative to byte 0, which may be negative and may span byte 0. */
export function loadAt(
  packet: Uint8Array,
  start: number,
  length: number,
  before: Uint8Array,
  at: number,
  size: 1 | 2 | 4,
): number {
  if (at + size > length || at < -before.length) return LOAD_FAILED;
  let value = 0;
  for (let i = at; i < at + size; i++) {
    const byte = i < 0 ? before[before.length + i]! : packet[start + i]!;
    value = value * 256 + byte;
  }
  return value;
}
