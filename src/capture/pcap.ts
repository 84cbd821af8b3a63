/**
 * The pcap format: a 24-byte header, then records of a 16-byte header and the packet's bytes.
 *
 * Five magic numbers count: micro- and nanoseconds in both byte orders, and the 0xa1b2cd34 of Alexey Kuznetzov's
 * patched libpcap, whose record headers carry 8 more bytes (interface index, protocol, packet type).
 *
 * @see draft-ietf-opsawg-pcap; libpcap sf-pcap.c, pcap_check_header() and pcap_next_packet().
 */
import { maximumPacketOf } from "../link/linktypes.ts";
import type { CaptureBatch, CaptureHeader, CaptureInterface } from "./batch.ts";
import { type Decoder, damage, type Window } from "./decoder.ts";
import { effectiveSnaplen } from "./limits.ts";
import { microseconds, nanoseconds } from "./timestamps.ts";

export const PCAP_MAGIC = { microseconds: 0xa1b2c3d4, nanoseconds: 0xa1b23c4d, modified: 0xa1b2cd34 } as const;

/** The low bits of the file header's last word are the link type, as in libpcap 1.10. */
export const LINKTYPE_BITS = 0x03ff_ffff;

const FILE_HEADER = 24;

/** A file says with its version in which order a record holds its two lengths. */
type LengthOrder = "captured first" | "original first" | "larger is original";

export class PcapDecoder implements Decoder {
  header: CaptureHeader | undefined;
  wanted = FILE_HEADER;
  wantedFor = "the file header";
  private readonly littleEndian: boolean;
  private readonly magic: number;
  private recordHeader = 16;
  private snaplen = 0;
  private maximum = 0;
  private lengthOrder: LengthOrder = "captured first";

  constructor(magic: number, littleEndian: boolean) {
    this.magic = magic;
    this.littleEndian = littleEndian;
  }

  decode(window: Window, at: number, batch: CaptureBatch): number {
    if (this.header === undefined) {
      if (window.end - at < FILE_HEADER) return at;
      this.readFileHeader(window, at);
      batch.interfaceIds.fill(0); // and so they stay: there is one interface
      at += FILE_HEADER;
    }
    batch.interfaces = this.header!.interfaces;
    batch.linktype = this.header!.interfaces[0]!.linktype;
    return this.readRecords(window, at, batch);
  }

  private readRecords(window: Window, at: number, batch: CaptureBatch): number {
    const { view, end } = window;
    const { littleEndian, recordHeader, snaplen, maximum, lengthOrder } = this;
    const { table, lengths, timeHigh, timeLow, capacity } = batch;
    let n = batch.count;
    let wanted = 0;
    while (n < capacity) {
      wanted = recordHeader;
      if (end - at < wanted) break;
      let captured = view.getUint32(at + 8, littleEndian);
      let original = view.getUint32(at + 12, littleEndian);
      if (lengthOrder !== "captured first" && (lengthOrder === "original first" || captured > original)) {
        [captured, original] = [original, captured];
      }
      if (captured > maximum) {
        batch.count = n;
        throw damage(
          `captured length ${captured} is larger than ${maximum}, the most a packet of this link type can have`,
          window.start + at,
          batch.firstNumber + n,
        );
      }
      wanted += captured;
      if (end - at < wanted) break;
      table[2 * n] = at + recordHeader;
      table[2 * n + 1] = Math.min(captured, snaplen); // as libpcap does: the rest is passed over
      lengths[n] = original;
      timeHigh[n] = view.getUint32(at, littleEndian);
      timeLow[n] = view.getUint32(at + 4, littleEndian);
      n++;
      at += wanted;
      wanted = 0;
    }
    // Behind the loop, where it runs every time: V8 drops a loop's code when it leaves by a way it has not seen before.
    this.wanted = wanted;
    this.wantedFor = wanted > recordHeader ? "a packet" : "a record header";
    batch.count = n;
    return at;
  }

  private readFileHeader({ view, start }: Window, at: number): void {
    const { littleEndian, magic } = this;
    const major = view.getUint16(at + 4, littleEndian);
    const minor = view.getUint16(at + 6, littleEndian);
    // 543.0 is DG/UX tcpdump's.  Before 2.3 the lengths stood the other way round; 2.3 was written both ways.
    if (!((major === 2 && minor <= 4) || (major === 543 && minor === 0))) {
      throw damage(`pcap version ${major}.${minor} is none of 2.0 to 2.4 and 543.0`, start + at + 4, 1);
    }
    if (major === 543 || minor < 3) this.lengthOrder = "original first";
    else if (minor === 3) this.lengthOrder = "larger is original";

    // Above the link type 0x04000000 says that the top four bits hold the length of the frame check sequence in
    // 16-bit words.
    const word = view.getUint32(at + 20, littleEndian);
    const linktype = word & LINKTYPE_BITS;
    this.snaplen = effectiveSnaplen(view.getUint32(at + 16, littleEndian), linktype);
    this.maximum = maximumPacketOf(linktype);
    if (magic === PCAP_MAGIC.modified) {
      this.recordHeader = 24;
      this.snaplen += 14; // that libpcap counted the snaplen behind the link-layer header; libpcap 1.10 adds as much
    }
    const inNanoseconds = magic === PCAP_MAGIC.nanoseconds;
    const captureInterface: CaptureInterface = {
      id: 0,
      linktype,
      snaplen: this.snaplen,
      ...(word & 0x0400_0000 ? { fcsBits: (word >>> 28) * 16 } : {}),
      timestampResolution: inNanoseconds ? 9 : 6,
      timestampOffset: 0n,
      clock: inNanoseconds ? nanoseconds : microseconds,
    };
    this.header = { format: "pcap", version: { major, minor }, littleEndian, interfaces: [captureInterface] };
  }
}

/** The decoder for a file that begins with these four bytes, read high byte first; undefined for no pcap file. */
export function pcapDecoderFor(magic: number): PcapDecoder | undefined {
  const swapped = swap(magic);
  for (const known of Object.values(PCAP_MAGIC)) {
    if (magic === known) return new PcapDecoder(known, false);
    if (swapped === known) return new PcapDecoder(known, true);
  }
  return undefined;
}

function swap(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}
