/**
 * Packets as a reader hands them out: many at once in a batch, or one by one.
 *
 * A batch has the shape of program/engine.ts's PacketBatch, so an engine runs over it as it is.  The reader reuses one
 * batch: its tables hold until the next step.  A {@link Packet} copies what it needs and views the source's bytes.
 */
import type { Clock } from "./timestamps.ts";

/** Where packets were captured; a pcap file has exactly one. */
export interface CaptureInterface {
  /** Index in its section, from 0. */
  readonly id: number;
  /** LINKTYPE_* number; see linktypes.ts for names. */
  readonly linktype: number;
  /** Bytes kept of a packet at most. */
  readonly snaplen: number;
  /** if_name, when it has at most 1024 bytes. */
  readonly name?: string;
  /** Bits of frame check sequence at the end of each packet, where the file says so. */
  readonly fcsBits?: number;
  /** The if_tsresol byte: n for 10^-n seconds, 0x80 | n for 2^-n.  6 and 9 for pcap files. */
  readonly timestampResolution: number;
  /** if_tsoffset, in seconds. */
  readonly timestampOffset: bigint;
  /** Nanoseconds for a packet's two timestamp words. */
  readonly clock: Clock;
}

/** What stands in front of the packets: of a pcap file, or of the current section of a pcapng file. */
export interface CaptureHeader {
  readonly format: "pcap" | "pcapng";
  readonly version: { readonly major: number; readonly minor: number };
  readonly littleEndian: boolean;
  /** The interfaces known so far. */
  readonly interfaces: readonly CaptureInterface[];
}

/** One packet. */
export class Packet {
  /** From 1, counted over the whole file. */
  readonly number: number;
  /** The captured bytes: a view of the source's chunk, or own memory where a packet lies across two chunks. */
  readonly data: Uint8Array;
  /** Bytes the packet had on the wire. */
  readonly originalLength: number;
  readonly interface: CaptureInterface;
  private readonly high: number;
  private readonly low: number;

  constructor(
    number: number,
    data: Uint8Array,
    originalLength: number,
    captureInterface: CaptureInterface,
    high: number,
    low: number,
  ) {
    this.number = number;
    this.data = data;
    this.originalLength = originalLength;
    this.interface = captureInterface;
    this.high = high;
    this.low = low;
  }

  /** Nanoseconds since 1970-01-01 00:00 UTC.  A Simple Packet Block has no time: its count is 0. */
  get timestamp(): bigint {
    return this.interface.clock(this.high, this.low);
  }

  /** Index of the interface in its section, from 0; 0 in pcap files. */
  get interfaceId(): number {
    return this.interface.id;
  }

  /** LINKTYPE_* number of the interface. */
  get linktype(): number {
    return this.interface.linktype;
  }
}

/**
 * Memory that a file is read into and whose packets are listed there: an arena of program/arena.ts, which compiled
 * filters run over without a copy, or anything of its shape.
 */
export interface PacketMemory {
  /** Packet bytes. */
  readonly bytes: Uint8Array;
  /** For packet i: offset in `bytes` at 2i, captured length in bytes at 2i + 1. */
  readonly table: Uint32Array;
  /** Length on the wire of packet i; absent where it is not kept. */
  readonly lengths?: Uint32Array;
  /** Number of packets. */
  count: number;
  /** Makes room for at least so many bytes; contents stay, and `bytes`, `table` and `lengths` may be others then. */
  reserve(room: { readonly bytes: number }): void;
}

/** Packets of one section and one link type, in one piece of memory. */
export class CaptureBatch {
  /** Holds every packet of the batch; a window of the source, or what the source reads into. */
  bytes: Uint8Array = new Uint8Array(0);
  /** For packet i: offset in `bytes` at 2i, captured length in bytes at 2i + 1. */
  table: Uint32Array;
  /** Length on the wire of packet i. */
  lengths: Uint32Array;
  /** Timestamp words of packet i as they stand in the file; {@link timestamp} makes nanoseconds of them. */
  readonly timeHigh: Uint32Array;
  readonly timeLow: Uint32Array;
  /** Index in `interfaces` of packet i. */
  readonly interfaceIds: Uint32Array;
  /** The section's interfaces. */
  interfaces: readonly CaptureInterface[] = [];
  /** Number of packets. */
  count = 0;
  /** Number of packet 0, from 1. */
  firstNumber = 1;
  /** LINKTYPE_* number of every packet in the batch. */
  linktype = 0;
  /** What the file is read into, when the source says so: it holds the same packets, listed in the same table. */
  readonly memory: PacketMemory | undefined;
  /** Packets that fit. */
  readonly capacity: number;

  /**
   * @param capacity  Packets that fit.
   * @param memory    Whose table is filled; at most as many packets fit as there.
   */
  constructor(capacity: number, memory?: PacketMemory) {
    this.memory = memory;
    this.capacity = memory === undefined ? capacity : Math.min(capacity, memory.table.length >> 1);
    this.table = memory?.table ?? new Uint32Array(2 * capacity);
    this.lengths = memory?.lengths ?? new Uint32Array(capacity);
    this.timeHigh = new Uint32Array(capacity);
    this.timeLow = new Uint32Array(capacity);
    this.interfaceIds = new Uint32Array(capacity);
  }

  /** Captured bytes of packet i, 0 <= i < count, as a view. */
  data(i: number): Uint8Array {
    const { bytes, table } = this;
    return new Uint8Array(bytes.buffer, bytes.byteOffset + table[2 * i]!, table[2 * i + 1]!);
  }

  /** Nanoseconds since 1970-01-01 00:00 UTC of packet i. */
  timestamp(i: number): bigint {
    return this.interfaces[this.interfaceIds[i]!]!.clock(this.timeHigh[i]!, this.timeLow[i]!);
  }

  /** Cuts the captured bytes of every packet to `snaplen`; lengths on the wire stay. */
  cut(snaplen: number): void {
    const { table, count } = this;
    for (let i = 1; i < 2 * count; i += 2) table[i] = Math.min(table[i]!, snaplen);
  }

  /** Packet i as an object that outlives the batch (its bytes live as long as the source leaves them alone). */
  packet(i: number): Packet {
    return new Packet(
      this.firstNumber + i,
      this.data(i),
      this.lengths[i]!,
      this.interfaces[this.interfaceIds[i]!]!,
      this.timeHigh[i]!,
      this.timeLow[i]!,
    );
  }
}
