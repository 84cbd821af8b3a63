/**
 * The pcapng format: a sequence of blocks, each with its type and length in front and its length again behind.
 *
 * Packets stand in Enhanced, Simple and (obsolete) Packet Blocks and belong to an interface of their section, which
 * gives them link type, snaplen and clock.  A Section Header Block sets the byte order and forgets the interfaces.
 * Other blocks, and options that bear on none of this, are passed over.
 *
 * @see draft-ietf-opsawg-pcapng; libpcap sf-pcapng.c.
 */
import { maximumPacketOf } from "../link/linktypes.ts";
import type { CaptureBatch, CaptureHeader, CaptureInterface } from "./batch.ts";
import { type Decoder, damage, type Window } from "./decoder.ts";
import {
  effectiveSnaplen,
  MAXIMUM_BLOCK,
  MAXIMUM_INTERFACES,
  MAXIMUM_NAME,
  MAXIMUM_SECTION_HEADER,
  maximumBlock,
} from "./limits.ts";
import { refuseResolution, unitClock } from "./timestamps.ts";

/** Block types that are read or written. */
export const BLOCK = {
  sectionHeader: 0x0a0d0d0a, // a palindrome: the same in both byte orders
  interfaceDescription: 1,
  packet: 2,
  simplePacket: 3,
  enhancedPacket: 6,
} as const;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

/** Option codes that are read or written. */
export const OPTION = { end: 0, ifName: 2, ifTsresol: 9, ifFcslen: 13, ifTsoffset: 14 } as const;

/** Bytes of type and length, in front of a block's fields. */
const BLOCK_HEADER = 8;

/** Bytes of a block without fields: type, length, length.  As much shows the byte order of a section header. */
export const SMALLEST_BLOCK = 12;

/** Bytes of fixed fields behind the block header, by kind of packet block. */
const ENHANCED_FIELDS = 20;
const SIMPLE_FIELDS = 4;
const PACKET_FIELDS = 20;

export class PcapngDecoder implements Decoder {
  header: CaptureHeader | undefined;
  wanted = SMALLEST_BLOCK;
  wantedFor = "a block header";
  private littleEndian = true;
  private interfaces: CaptureInterface[] = [];
  /** Bytes that a packet of interface i can have. */
  private packetLimits: number[] = [];
  private maximum = MAXIMUM_BLOCK;

  decode(window: Window, at: number, batch: CaptureBatch): number {
    const { view, end } = window;
    const { capacity } = batch;
    batch.interfaces = this.interfaces;
    this.wanted = 0;
    while (batch.count < capacity) {
      if (end - at < SMALLEST_BLOCK) {
        this.wanted = SMALLEST_BLOCK;
        this.wantedFor = "a block header";
        break;
      }
      const type = view.getUint32(at, this.littleEndian);
      if (type === BLOCK.sectionHeader) {
        if (batch.count > 0) break; // interface numbers start anew: hand out what belongs to the old section
        this.readByteOrder(window, at, batch);
      }
      const size = view.getUint32(at + 4, this.littleEndian);
      this.checkSize(type, size, window, at, batch);
      if (end - at < size) {
        this.wanted = size;
        this.wantedFor = `a block of type ${type}`;
        break;
      }
      if (view.getUint32(at + size - 4, this.littleEndian) !== size) {
        throw this.damaged("block lengths in front and behind differ", window, at, batch);
      }
      if (type === BLOCK.enhancedPacket || type === BLOCK.simplePacket || type === BLOCK.packet) {
        if (!this.readPacket(type, window, at, size, batch)) break;
      } else if (type === BLOCK.interfaceDescription) {
        this.readInterface(window, at, size, batch);
      } else if (type === BLOCK.sectionHeader) {
        this.readSection(window, at, batch);
      }
      at += size;
    }
    return at;
  }

  /** Adds a packet; false when its link type is not the batch's, which must be handed out first. */
  private readPacket(type: number, window: Window, at: number, size: number, batch: CaptureBatch): boolean {
    const { view } = window;
    const { littleEndian } = this;
    const fixed = type === BLOCK.simplePacket ? SIMPLE_FIELDS : type === BLOCK.packet ? PACKET_FIELDS : ENHANCED_FIELDS;
    const room = size - SMALLEST_BLOCK - fixed;
    if (room < 0) throw this.damaged(`packet block of ${size} bytes has no room for its fields`, window, at, batch);

    const fields = at + BLOCK_HEADER;
    let id = 0;
    if (type === BLOCK.enhancedPacket) id = view.getUint32(fields, littleEndian);
    else if (type === BLOCK.packet) id = view.getUint16(fields, littleEndian); // the other half counts drops
    const from = this.interfaces[id];
    if (from === undefined) {
      const known = this.interfaces.length === 0 ? "none is described" : `0..${this.interfaces.length - 1} are`;
      throw this.damaged(`packet of interface ${id}, of which the section says nothing (${known})`, window, at, batch);
    }

    const n = batch.count;
    if (n === 0) batch.linktype = from.linktype;
    else if (batch.linktype !== from.linktype) return false;

    let captured: number;
    if (type === BLOCK.simplePacket) {
      // A Simple Packet Block has no captured length: it is the original one, cut to the interface's snaplen.
      const original = view.getUint32(fields, littleEndian);
      captured = Math.min(original, from.snaplen);
      batch.timeHigh[n] = 0;
      batch.timeLow[n] = 0;
      batch.lengths[n] = original;
    } else {
      captured = view.getUint32(fields + 12, littleEndian);
      batch.timeHigh[n] = view.getUint32(fields + 4, littleEndian);
      batch.timeLow[n] = view.getUint32(fields + 8, littleEndian);
      batch.lengths[n] = view.getUint32(fields + 16, littleEndian);
    }
    const most = this.packetLimits[id]!;
    if (captured > most) {
      throw this.damaged(`captured length ${captured} is larger than ${most}, the interface's most`, window, at, batch);
    }
    if (captured > room) {
      throw this.damaged(`captured length ${captured} does not fit a block of ${size} bytes`, window, at, batch);
    }
    batch.table[2 * n] = fields + fixed;
    batch.table[2 * n + 1] = captured;
    batch.interfaceIds[n] = id;
    batch.count = n + 1;
    return true;
  }

  private checkSize(type: number, size: number, window: Window, at: number, batch: CaptureBatch): void {
    const most = type === BLOCK.sectionHeader ? MAXIMUM_SECTION_HEADER : this.maximum;
    const least = type === BLOCK.sectionHeader ? 28 : SMALLEST_BLOCK;
    if (size < least || size > most || size % 4 !== 0) {
      const allowed = `a multiple of 4 in ${least}..${most}`;
      throw this.damaged(`block of type ${type} with a length of ${size}, which is not ${allowed}`, window, at, batch);
    }
  }

  private readByteOrder(window: Window, at: number, batch: CaptureBatch): void {
    const { view } = window;
    if (view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC) this.littleEndian = true;
    else if (view.getUint32(at + 8, false) === BYTE_ORDER_MAGIC) this.littleEndian = false;
    else throw this.damaged("section header without the byte-order magic 0x1a2b3c4d", window, at + 8, batch);
  }

  private readSection(window: Window, at: number, batch: CaptureBatch): void {
    const major = window.view.getUint16(at + 12, this.littleEndian);
    const minor = window.view.getUint16(at + 14, this.littleEndian);
    // Some writers put 1.2 where they meant 1.0; the format is the same.
    if (major !== 1 || (minor !== 0 && minor !== 2)) {
      throw this.damaged(`pcapng version ${major}.${minor} is neither 1.0 nor 1.2`, window, at + 12, batch);
    }
    // The section length is not used: blocks tell where they end.
    this.interfaces = [];
    this.packetLimits = [];
    this.maximum = MAXIMUM_BLOCK;
    batch.interfaces = this.interfaces;
    this.header = {
      format: "pcapng",
      version: { major, minor },
      littleEndian: this.littleEndian,
      interfaces: this.interfaces,
    };
  }

  private readInterface(window: Window, at: number, size: number, batch: CaptureBatch): void {
    const { view } = window;
    if (size < SMALLEST_BLOCK + 8) {
      throw this.damaged(`interface block of ${size} bytes has no room for its fields`, window, at, batch);
    }
    if (this.interfaces.length === MAXIMUM_INTERFACES) {
      throw this.damaged(`more than ${MAXIMUM_INTERFACES} interfaces in one section`, window, at, batch);
    }
    const linktype = view.getUint16(at + 8, this.littleEndian);
    const options = this.readOptions(window, at + 16, at + size - 4, batch);
    const resolution = options.resolution ?? 6;
    const offset = options.offset ?? 0n;
    const refused = refuseResolution(resolution);
    if (refused !== undefined) throw this.damaged(refused, window, at, batch);
    const snaplen = effectiveSnaplen(view.getUint32(at + 12, this.littleEndian), linktype);
    this.packetLimits.push(Math.min(snaplen, maximumPacketOf(linktype)));
    this.interfaces.push({
      id: this.interfaces.length,
      linktype,
      snaplen,
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.fcsBits === undefined ? {} : { fcsBits: options.fcsBits }),
      timestampResolution: resolution,
      timestampOffset: offset,
      clock: unitClock(resolution, offset),
    });
    this.maximum = Math.max(this.maximum, maximumBlock(linktype));
  }

  /** Reads the options of an interface in `at`..`end`.  A list may end without opt_endofopt. */
  private readOptions(window: Window, at: number, end: number, batch: CaptureBatch) {
    const { view, bytes } = window;
    const found: { name?: string; resolution?: number; fcsBits?: number; offset?: bigint } = {};
    while (end - at >= 4) {
      const code = view.getUint16(at, this.littleEndian);
      const length = view.getUint16(at + 2, this.littleEndian);
      const value = at + 4;
      const next = value + length + (-length & 3);
      if (next > end) throw this.damaged(`option ${code} of ${length} bytes runs past its block`, window, at, batch);
      const mustBe = FIXED_LENGTHS.get(code);
      if (mustBe !== undefined && length !== mustBe) {
        throw this.damaged(`option ${code} with ${length} bytes instead of ${mustBe}`, window, at, batch);
      }
      if (code === OPTION.end) break;
      if (code === OPTION.ifName) {
        if (length <= MAXIMUM_NAME) found.name = fromUtf8(bytes.subarray(value, value + length));
      } else if (code === OPTION.ifTsresol) {
        if (found.resolution !== undefined) throw this.damaged("a second if_tsresol option", window, at, batch);
        found.resolution = bytes[value]!;
      } else if (code === OPTION.ifFcslen) {
        found.fcsBits = bytes[value]!;
      } else if (code === OPTION.ifTsoffset) {
        if (found.offset !== undefined) throw this.damaged("a second if_tsoffset option", window, at, batch);
        found.offset = view.getBigInt64(value, this.littleEndian);
      }
      at = next;
    }
    return found;
  }

  private damaged(what: string, window: Window, at: number, batch: CaptureBatch) {
    return damage(what, window.start + at, batch.firstNumber + batch.count);
  }
}

/** Bytes of the options whose length is fixed. */
const FIXED_LENGTHS: ReadonlyMap<number, number> = new Map([
  [OPTION.end, 0],
  [OPTION.ifTsresol, 1],
  [OPTION.ifFcslen, 1],
  [OPTION.ifTsoffset, 8],
]);

/** Text of UTF-8 bytes, up to a NUL; bytes that are no UTF-8 are taken as Latin-1. */
function fromUtf8(bytes: Uint8Array): string {
  const zero = bytes.indexOf(0);
  const text = String.fromCharCode(...(zero < 0 ? bytes : bytes.subarray(0, zero)));
  try {
    return decodeURIComponent(text.replace(/[%\u0080-\u00ff]/g, (c) => `%${c.charCodeAt(0).toString(16)}`));
  } catch {
    return text;
  }
}
