/**
 * Packets as a packet socket hands them over: a block of a TPACKET_V3 ring, read in place.
 *
 * The layout is that of include/uapi/linux/if_packet.h: a tpacket_block_desc, then for each packet a tpacket3_hdr, a
 * sockaddr_ll and the bytes, chained by tp_next_offset.  Numbers are in host byte order but sll_protocol.
 */
import { readU16BE, writeU16 } from "../base/bytes.ts";
import type { PacketBatch } from "../program/engine.ts";
import { NO_CONTEXT, type PacketContext } from "../program/packet-context.ts";
import { TP_STATUS_VLAN_TPID_VALID, TP_STATUS_VLAN_VALID } from "./constants.ts";

/** Memory of one block, seen as bytes, u16s and u32s. */
export interface Block {
  readonly bytes: Uint8Array;
  readonly halves: Uint16Array;
  readonly words: Uint32Array;
}

/** A block in `buffer`; offset and size in bytes, multiples of 4. */
export function blockAt(buffer: ArrayBuffer, offset: number, size: number): Block {
  return {
    bytes: new Uint8Array(buffer, offset, size),
    halves: new Uint16Array(buffer, offset, size >> 1),
    words: new Uint32Array(buffer, offset, size >> 2),
  };
}

// Words of tpacket_block_desc.
export const BLOCK_STATUS = 2;
const NUM_PKTS = 3;
const OFFSET_TO_FIRST_PKT = 4;
// Bytes of tpacket3_hdr, and of the sockaddr_ll behind it.
const TP_NEXT_OFFSET = 0;
const TP_SEC = 4;
const TP_NSEC = 8;
const TP_SNAPLEN = 12;
const TP_LEN = 16;
const TP_STATUS = 20;
const TP_MAC = 24;
const TP_NET = 26;
const TP_VLAN_TCI = 32;
const TP_VLAN_TPID = 36;
const SLL_PROTOCOL = 48 + 2;
const SLL_IFINDEX = 48 + 4;
const SLL_HATYPE = 48 + 8;
const SLL_PKTTYPE = 48 + 10;

const ETH_P_8021Q = 0x8100;
const MAC_ADDRESSES = 12;
const VLAN_TAG = 4;

/** An outer VLAN tag that the kernel took out of the bytes. */
export interface VlanTag {
  /** Priority, DEI and VLAN id, 16 bits. */
  readonly tci: number;
  /** 0x8100 or 0x88a8. */
  readonly tpid: number;
}

/** One packet, in memory of its own. */
export interface CapturedPacket {
  readonly data: Uint8Array;
  /** Bytes on the wire. */
  readonly originalLength: number;
  /** Nanoseconds since 1970-01-01 00:00 UTC. */
  readonly timestamp: bigint;
  /** The tag, where it is not in the bytes. */
  readonly vlan?: VlanTag;
}

/** How a batch is read. */
export interface LiveBatchOptions {
  /** Bytes kept of a packet at most. */
  readonly snaplen: number;
  /** Whether VLAN tags are written back into the bytes; only for Ethernet. */
  readonly restoreVlan: boolean;
}

/**
 * The packets of one block, for engines a {@link PacketBatch} and for people {@link data} and {@link packet}.
 *
 * Everything in it is a view that dies with the next step of the capture: the kernel writes there again.  Keep packets
 * with {@link packet}, or all of them with {@link copy}.
 */
export class LiveBatch implements PacketBatch {
  bytes: Uint8Array = new Uint8Array(0);
  /** For packet i: offset in `bytes` at 2i, captured length in bytes at 2i + 1. */
  table = new Uint32Array(0);
  /** Length on the wire of packet i, a tag put back included. */
  lengths = new Uint32Array(0);
  count = 0;
  /** Where the tpacket3_hdr of packet i is. */
  #headers = new Uint32Array(0);
  #block: Block;
  readonly #options: LiveBatchOptions;
  readonly #context: LiveContext;

  constructor(options: LiveBatchOptions, block: Block = blockAt(new ArrayBuffer(0), 0, 0)) {
    this.#options = options;
    this.#block = block;
    this.#context = new LiveContext(this);
  }

  /** Shows the packets of a block, but for the first `skip`.  Returns how many the block holds. */
  load(block: Block, skip: number): number {
    const { bytes, halves, words } = block;
    const { snaplen, restoreVlan } = this.#options;
    const total = words[NUM_PKTS]!;
    if (this.lengths.length < total) this.#grow(total);
    const { table, lengths } = this;
    const headers = this.#headers;
    let at = words[OFFSET_TO_FIRST_PKT]!;
    let count = 0;
    for (let i = 0; i < total; i++) {
      const word = at >>> 2;
      if (i >= skip) {
        let offset = at + halves[(at + TP_MAC) >>> 1]!;
        let captured = words[word + TP_SNAPLEN / 4]!;
        let length = words[word + TP_LEN / 4]!;
        if (restoreVlan && captured >= MAC_ADDRESSES && (words[word + TP_STATUS / 4]! & TP_STATUS_VLAN_VALID) !== 0) {
          offset -= VLAN_TAG;
          captured += VLAN_TAG;
          length += VLAN_TAG;
          putBackTag(bytes, offset, vlanOf(block, at));
        }
        table[2 * count] = offset;
        table[2 * count + 1] = Math.min(captured, snaplen);
        lengths[count] = length;
        headers[count] = at;
        count++;
      }
      at += words[word + TP_NEXT_OFFSET / 4]!;
    }
    this.bytes = bytes;
    this.#block = block;
    this.count = count;
    return total;
  }

  /** Forgets the packets, whose memory goes back to the kernel. */
  clear(): void {
    this.count = 0;
  }

  /** Captured bytes of packet i, 0 <= i < count, as a view. */
  data(i: number): Uint8Array {
    const offset = this.table[2 * i]!;
    return this.bytes.subarray(offset, offset + this.table[2 * i + 1]!);
  }

  /** Nanoseconds since 1970-01-01 00:00 UTC of packet i. */
  timestamp(i: number): bigint {
    return BigInt(this.#word(i, TP_SEC)) * 1_000_000_000n + BigInt(this.#word(i, TP_NSEC));
  }

  /** The outer VLAN tag of packet i, where it is not in the bytes. */
  vlan(i: number): VlanTag | undefined {
    if (this.#restored(i) || (this.#word(i, TP_STATUS) & TP_STATUS_VLAN_VALID) === 0) return undefined;
    return vlanOf(this.#block, this.#headers[i]!);
  }

  /** SKF_AD_PKTTYPE of packet i: 0 host, 1 broadcast, 2 multicast, 3 other host, 4 outgoing. */
  pktType(i: number): number {
    return this.bytes[this.#headers[i]! + SLL_PKTTYPE]!;
  }

  /** Interface index of packet i. */
  ifindex(i: number): number {
    return this.#word(i, SLL_IFINDEX);
  }

  /** ARPHRD_* type of the device of packet i. */
  hatype(i: number): number {
    return this.#block.halves[(this.#headers[i]! + SLL_HATYPE) >>> 1]!;
  }

  /** EtherType of packet i as the kernel's SKF_AD_PROTOCOL; that of a tag that is in the bytes, where it is the first. */
  protocol(i: number): number {
    if (this.#restored(i)) return vlanOf(this.#block, this.#headers[i]!).tpid;
    return readU16BE(this.bytes, this.#headers[i]! + SLL_PROTOCOL);
  }

  /** Position of the network header of packet i. */
  network(i: number): number {
    const half = (this.#headers[i]! + TP_MAC) >>> 1;
    const { halves } = this.#block;
    return halves[half + (TP_NET - TP_MAC) / 2]! - halves[half]! + (this.#restored(i) ? VLAN_TAG : 0);
  }

  /**
   * What the kernel's filter knew of packet i beside its bytes, but for what a packet socket does not tell: mark, queue,
   * hash and CPU are 0.  One object, which shows another packet after the next call.
   */
  context(i: number): PacketContext {
    this.#context.index = i;
    return this.#context;
  }

  /** Packet i in memory of its own. */
  packet(i: number): CapturedPacket {
    const vlan = this.vlan(i);
    const packet = { data: this.data(i).slice(), originalLength: this.lengths[i]!, timestamp: this.timestamp(i) };
    return vlan === undefined ? packet : { ...packet, vlan };
  }

  /** The same packets in memory of their own, which nothing takes away. */
  copy(): LiveBatch {
    const end = this.count === 0 ? 0 : this.table[2 * this.count - 2]! + this.table[2 * this.count - 1]!;
    const memory = new ArrayBuffer((end + 3) & ~3);
    new Uint8Array(memory).set(this.bytes.subarray(0, end));
    const copy = new LiveBatch(this.#options, blockAt(memory, 0, memory.byteLength));
    copy.bytes = copy.#block.bytes;
    copy.count = this.count;
    copy.table = this.table.slice(0, 2 * this.count);
    copy.lengths = this.lengths.slice(0, this.count);
    copy.#headers = this.#headers.slice(0, this.count);
    return copy;
  }

  #grow(count: number): void {
    this.table = new Uint32Array(2 * count);
    this.lengths = new Uint32Array(count);
    this.#headers = new Uint32Array(count);
  }

  #word(i: number, at: number): number {
    return this.#block.words[(this.#headers[i]! + at) >>> 2]!;
  }

  /** True where the tag of packet i was put back: its bytes then begin in front of tp_mac. */
  #restored(i: number): boolean {
    const header = this.#headers[i]!;
    return this.table[2 * i]! < header + this.#block.halves[(header + TP_MAC) >>> 1]!;
  }
}

function vlanOf({ words, halves }: Block, header: number): VlanTag {
  const known = (words[(header + TP_STATUS) >>> 2]! & TP_STATUS_VLAN_TPID_VALID) !== 0;
  return {
    tci: words[(header + TP_VLAN_TCI) >>> 2]! & 0xffff,
    tpid: known ? halves[(header + TP_VLAN_TPID) >>> 1]! : ETH_P_8021Q, // kernels before 3.14 knew no other
  };
}

/** Moves the MAC addresses 4 bytes down, to `offset`, and writes the tag behind them. */
function putBackTag(bytes: Uint8Array, offset: number, { tci, tpid }: VlanTag): void {
  bytes.copyWithin(offset, offset + VLAN_TAG, offset + VLAN_TAG + MAC_ADDRESSES);
  writeU16(bytes, offset + MAC_ADDRESSES, tpid, false);
  writeU16(bytes, offset + MAC_ADDRESSES + 2, tci, false);
}

/** The context of the packet at `index`, read when it is asked for: most programs ask for nothing. */
class LiveContext implements PacketContext {
  index = 0;
  readonly before = NO_CONTEXT.before;
  readonly mac = 0;
  readonly linear = true;
  readonly mark = 0;
  readonly queue = 0;
  readonly rxhash = 0;
  readonly cpu = 0;
  readonly random = NO_CONTEXT.random;
  readonly #batch: LiveBatch;

  constructor(batch: LiveBatch) {
    this.#batch = batch;
  }

  get length(): number {
    return this.#batch.lengths[this.index]!;
  }
  get network(): number {
    return this.#batch.network(this.index);
  }
  get protocol(): number {
    return this.#batch.protocol(this.index);
  }
  get pktType(): number {
    return this.#batch.pktType(this.index);
  }
  get ifindex(): number {
    return this.#batch.ifindex(this.index);
  }
  get hatype(): number {
    return this.#batch.hatype(this.index);
  }
  get vlanTag(): number {
    return this.#batch.vlan(this.index)?.tci ?? 0;
  }
  get vlanPresent(): number {
    return this.#batch.vlan(this.index) === undefined ? 0 : 1;
  }
  get vlanTpid(): number {
    return this.#batch.vlan(this.index)?.tpid ?? 0;
  }
}
