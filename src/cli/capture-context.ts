/**
 * What a capture file says about its packets beyond their bytes: where the headers are and which protocol follows.
 *
 * A file holds no socket buffer, so ancillary values that a device would give (IFINDEX, MARK, ...) stay unset.
 */

import { readU16BE } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";
import type { CaptureBatch } from "../capture/batch.ts";
import { usesContext } from "../jit/ir.ts";
import { lower } from "../jit/lower.ts";
import type { PacketBatch, VerifiedProgram } from "../program/engine.ts";
import { Context } from "../vm/context.ts";

interface Layout {
  readonly linktype: number;
  /** Bytes in front of the network header. */
  readonly network: number;
  readonly mac: number | undefined;
  /** Where the EtherType stands; undefined where the first nibble of the network header tells. */
  readonly protocolAt: number | undefined;
  /** Where a u16 or u8 packet type as in SKF_AD_PKTTYPE stands. */
  readonly pktTypeAt?: number;
}

const LAYOUTS: ReadonlyMap<number, Layout> = new Map(
  [
    { linktype: 1, network: 14, mac: 0, protocolAt: 12 }, // EN10MB
    { linktype: 113, network: 16, mac: undefined, protocolAt: 14, pktTypeAt: 1 }, // LINUX_SLL
    { linktype: 276, network: 20, mac: undefined, protocolAt: 0, pktTypeAt: 10 }, // LINUX_SLL2
    { linktype: 101, network: 0, mac: undefined, protocolAt: undefined }, // RAW
    { linktype: 228, network: 0, mac: undefined, protocolAt: undefined }, // IPV4
    { linktype: 229, network: 0, mac: undefined, protocolAt: undefined }, // IPV6
  ].map((layout): [number, Layout] => [layout.linktype, layout]),
);

/** True when a program may look at more than the packet's own bytes and length. */
export function needsContext(program: VerifiedProgram): boolean {
  try {
    return usesContext(lower(program));
  } catch (error) {
    if (error instanceof BpfError && error.code === "unsupported") return true; // loops: nobody has looked
    throw error;
  }
}

/** A batch whose packets come with what the file says about them. */
export function withContexts(batch: CaptureBatch): PacketBatch {
  const layout = LAYOUTS.get(batch.linktype);
  if (layout === undefined) return batch;
  const context = new Context({ network: layout.network, mac: layout.mac });
  const { bytes, table, count, lengths } = batch;
  return {
    bytes,
    table,
    count,
    lengths,
    context: (i) => {
      const at = table[2 * i]!;
      const length = table[2 * i + 1]!;
      context.length = lengths[i]!;
      context.protocol = protocolOf(layout, bytes, at, length);
      context.pktType = layout.pktTypeAt !== undefined && length > layout.pktTypeAt ? bytes[at + layout.pktTypeAt]! : 0;
      return context;
    },
  };
}

/** As the kernel's eth_type_trans(): a length below 0x600 is an 802.3 frame, 4, or 1 when its payload starts ff ff. */
function protocolOf({ protocolAt, network }: Layout, bytes: Uint8Array, at: number, length: number): number {
  if (protocolAt === undefined) {
    const version = length > 0 ? bytes[at]! >> 4 : 0;
    return version === 4 ? 0x0800 : version === 6 ? 0x86dd : 0;
  }
  if (length < protocolAt + 2) return 0;
  const type = readU16BE(bytes, at + protocolAt);
  if (type >= 0x600 || protocolAt !== 12) return type;
  return length >= network + 2 && readU16BE(bytes, at + network) === 0xffff ? 1 : 4;
}
