/**
 * What the writers of both formats share: packets go in, bytes are collected, the caller takes them out in chunks.
 *
 * A writer holds the bytes that were not taken yet, nothing else; take them now and then to keep memory constant.
 */
import { BpfError } from "../base/errors.ts";

/** A packet to write.  A {@link Packet} that was read is one. */
export interface PacketToWrite {
  readonly data: Uint8Array;
  /** Bytes on the wire, u32; the length of `data` by default. */
  readonly originalLength?: number;
  /** Nanoseconds since 1970-01-01 00:00 UTC; 0 by default. */
  readonly timestamp?: bigint;
  /** Number of the interface it was captured on, from 0; 0 by default.  pcap files have only that. */
  readonly interfaceId?: number;
  /** When given, must be the link type of the file or interface it is written to. */
  readonly linktype?: number;
}

export interface CaptureWriter {
  /** Bytes written and not yet taken. */
  readonly pending: number;
  /**
   * Adds a packet.
   *
   * @throws {BpfError} `bad-argument` for what the file cannot hold: a time, a length or a link type.
   */
  write(packet: PacketToWrite): void;
  /** The bytes written since the last call, file header included, in memory of the caller's. */
  take(): Uint8Array;
}

const FIRST_CAPACITY = 64 * 1024;

/** A growing piece of memory that numbers and bytes are appended to. */
export class Output {
  readonly littleEndian: boolean;
  length = 0;
  private bytes = new Uint8Array(FIRST_CAPACITY);
  private view = new DataView(this.bytes.buffer);

  constructor(littleEndian: boolean) {
    this.littleEndian = littleEndian;
  }

  u16(value: number): void {
    const at = this.extend(2); // may move `view`, so it comes first
    this.view.setUint16(at, value, this.littleEndian);
  }

  u32(value: number): void {
    const at = this.extend(4);
    this.view.setUint32(at, value, this.littleEndian);
  }

  i64(value: bigint): void {
    const at = this.extend(8);
    this.view.setBigInt64(at, value, this.littleEndian);
  }

  append(bytes: Uint8Array): void {
    const at = this.extend(bytes.length);
    this.bytes.set(bytes, at);
  }

  /** Appends the 0 to 3 zero bytes that fill `size` up to a multiple of 4. */
  padAfter(size: number): void {
    const from = this.extend(-size & 3);
    this.bytes.fill(0, from, this.length);
  }

  /** A copy of what was appended, which is then forgotten. */
  take(): Uint8Array {
    const taken = this.bytes.slice(0, this.length);
    this.length = 0;
    return taken;
  }

  /** Makes room at the end; returns where it begins. */
  private extend(size: number): number {
    const from = this.length;
    this.length += size;
    if (this.length > this.bytes.length) {
      const grown = new Uint8Array(Math.max(this.length, 2 * this.bytes.length));
      grown.set(this.bytes.subarray(0, from));
      this.bytes = grown;
      this.view = new DataView(grown.buffer);
    }
    return from;
  }
}

/** Refuses a number that is no whole number in 0..max. */
export function checkRange(what: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new BpfError("bad-argument", `${what} ${value} is no whole number in 0..${max}`);
  }
}

/** Refuses a packet that a reader would take for damage; returns its original length. */
export function checkPacket(packet: PacketToWrite, linktype: number, most: number): number {
  const { data, originalLength = data.length } = packet;
  checkRange("original length", originalLength, 0xffff_ffff);
  if (data.length > most) {
    throw new BpfError("bad-argument", `packet of ${data.length} bytes is larger than ${most}, the snaplen written`);
  }
  if (packet.linktype !== undefined && packet.linktype !== linktype) {
    throw new BpfError("bad-argument", `packet of link type ${packet.linktype} in a place for link type ${linktype}`);
  }
  return originalLength;
}
