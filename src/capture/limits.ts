/**
 * How large a packet and a block may claim to be, so that a damaged length is found before anything is allocated.
 *
 * The bounds are libpcap's: pcap_adjust_snapshot() in pcap-common.c, and INITIAL_MAX_BLOCKSIZE,
 * MAX_BLOCKSIZE_FOR_SNAPLEN and BT_SHB_INSANE_MAX in sf-pcapng.c.  The numbers are those that tcpdump 4.99.3 with
 * libpcap 1.10.3 enforces.
 */
import { maximumPacketOf } from "../link/linktypes.ts";

/** The snaplen that a header's field stands for: 0 and what no int32 holds mean "no limit but the link type's". */
export function effectiveSnaplen(field: number, linktype: number): number {
  return field === 0 || field > 0x7fff_ffff ? maximumPacketOf(linktype) : field;
}

/** Bytes of the largest pcapng block that is read, before an interface of a large link type raises it. */
export const MAXIMUM_BLOCK = 16 * 1024 * 1024;

/** Bytes of the largest Section Header Block. */
export const MAXIMUM_SECTION_HEADER = 1024 * 1024;

/** Bytes of the largest block that can hold a packet of a link type: header, packet, 128 KiB of options, trailer. */
export function maximumBlock(linktype: number): number {
  return Math.max(MAXIMUM_BLOCK, 8 + 20 + maximumPacketOf(linktype) + 131_072 + 4);
}

/** Interfaces that one pcapng section can describe: as many as the obsolete Packet Block can number.  A limit of this reader. */
export const MAXIMUM_INTERFACES = 65_536;

/** Bytes of the longest interface name that is kept.  A limit of this reader, so that names do not fill the memory. */
export const MAXIMUM_NAME = 1024;
