/** Writes pcapng files: one section, any number of interfaces, packets in Enhanced Packet Blocks. */
import { BpfError } from "../base/errors.ts";
import { maximumPacketOf } from "../link/linktypes.ts";
import { effectiveSnaplen, MAXIMUM_INTERFACES, MAXIMUM_NAME } from "./limits.ts";
import { BLOCK, BYTE_ORDER_MAGIC, OPTION } from "./pcapng.ts";
import { refuseResolution, unitsPerSecond } from "./timestamps.ts";
import { type CaptureWriter, checkPacket, checkRange, Output, type PacketToWrite } from "./write.ts";

/** An interface to describe.  A {@link CaptureInterface} that was read is one. */
export interface InterfaceToWrite {
  /** LINKTYPE_* number. */
  readonly linktype: number;
  /** Bytes kept of a packet at most; 0, the default, for no limit but the link type's. */
  readonly snaplen?: number;
  /** if_name, at most 1024 bytes of UTF-8. */
  readonly name?: string;
  /** if_fcslen: bits of frame check sequence at the end of each packet. */
  readonly fcsBits?: number;
  /** The if_tsresol byte: n for 10^-n seconds, 0x80 | n for 2^-n; 9, nanoseconds, by default. */
  readonly timestampResolution?: number;
  /** if_tsoffset, in seconds; 0 by default. */
  readonly timestampOffset?: bigint;
}

export interface PcapngWriterOptions {
  /** The interfaces to begin with. */
  readonly interfaces?: readonly InterfaceToWrite[];
  /** Byte order; little-endian by default. */
  readonly littleEndian?: boolean;
}

export interface PcapngWriter extends CaptureWriter {
  /**
   * Describes one more interface and returns its number, to be given as `interfaceId`.
   *
   * @throws {BpfError} `bad-argument` for a field that the file cannot hold.
   */
  addInterface(description: InterfaceToWrite): number;
}

interface Written {
  readonly linktype: number;
  readonly most: number;
  readonly units: bigint;
  readonly offset: bigint;
}

/**
 * A writer of one pcapng section, version 1.0.
 *
 * @throws {BpfError} `bad-argument` for an interface that the file cannot hold.
 * @example
 * ```ts
 * import { pcapngWriter } from "cbpf/capture";
 * const writer = pcapngWriter({ interfaces: [{ linktype: 1, name: "eth0" }, { linktype: 101 }] });
 * writer.write({ interfaceId: 1, data: new Uint8Array(40), timestamp: 5n });
 * const chunk = writer.take();
 * ```
 */
export function pcapngWriter(options: PcapngWriterOptions = {}): PcapngWriter {
  const out = new Output(options.littleEndian ?? true);
  const interfaces: Written[] = [];

  /** Writes a block around a body of whole 32-bit words. */
  function block(type: number, size: number, body: () => void): void {
    out.u32(type);
    out.u32(size + 12);
    body();
    out.u32(size + 12);
  }

  function addInterface(description: InterfaceToWrite): number {
    const { linktype, snaplen = 0, fcsBits = 0, timestampResolution = 9, timestampOffset = 0n } = description;
    checkRange("number of the interface", interfaces.length, MAXIMUM_INTERFACES - 1);
    checkRange("link type", linktype, 0xffff);
    checkRange("snaplen", snaplen, 0x7fff_ffff);
    checkRange("FCS length", fcsBits, 0xff);
    checkRange("timestamp resolution", timestampResolution, 0xff);
    const refused = refuseResolution(timestampResolution);
    if (refused !== undefined) throw new BpfError("bad-argument", refused);
    if (BigInt.asIntN(64, timestampOffset) !== timestampOffset) {
      throw new BpfError("bad-argument", `timestamp offset ${timestampOffset} s does not fit 64 bits`);
    }
    const name = description.name === undefined ? undefined : toUtf8(description.name);
    checkRange("length of the interface name", name?.length ?? 0, MAXIMUM_NAME);

    const options: [code: number, value: Uint8Array][] = [];
    if (name !== undefined) options.push([OPTION.ifName, name]);
    if (timestampResolution !== 6) options.push([OPTION.ifTsresol, Uint8Array.of(timestampResolution)]);
    if (description.fcsBits !== undefined) options.push([OPTION.ifFcslen, Uint8Array.of(fcsBits)]);
    const optionBytes = options.reduce((sum, [, value]) => sum + 4 + value.length + (-value.length & 3), 0);
    const offsetBytes = timestampOffset === 0n ? 0 : 12;
    block(BLOCK.interfaceDescription, 8 + optionBytes + offsetBytes + 4, () => {
      out.u16(linktype);
      out.u16(0);
      out.u32(snaplen);
      for (const [code, value] of options) {
        out.u16(code);
        out.u16(value.length);
        out.append(value);
        out.padAfter(value.length);
      }
      if (offsetBytes > 0) {
        out.u16(OPTION.ifTsoffset);
        out.u16(8);
        out.i64(timestampOffset);
      }
      out.u32(OPTION.end);
    });
    const most = Math.min(effectiveSnaplen(snaplen, linktype), maximumPacketOf(linktype));
    return interfaces.push({ linktype, most, units: unitsPerSecond(timestampResolution), offset: timestampOffset }) - 1;
  }

  function write(packet: PacketToWrite): void {
    const { data, interfaceId = 0, timestamp = 0n } = packet;
    const to = interfaces[interfaceId];
    if (to === undefined) {
      throw new BpfError(
        "bad-argument",
        `packet of interface ${interfaceId}, of which ${interfaces.length} are described`,
      );
    }
    const originalLength = checkPacket(packet, to.linktype, to.most);
    const time = countOf(timestamp, to);
    block(BLOCK.enhancedPacket, 20 + data.length + (-data.length & 3), () => {
      out.u32(interfaceId);
      out.u32(Number(time >> 32n));
      out.u32(Number(time & 0xffff_ffffn));
      out.u32(data.length);
      out.u32(originalLength);
      out.append(data);
      out.padAfter(data.length);
    });
  }

  block(BLOCK.sectionHeader, 16, () => {
    out.u32(BYTE_ORDER_MAGIC);
    out.u16(1);
    out.u16(0);
    out.i64(-1n); // the section's length is not said
  });
  for (const description of options.interfaces ?? []) addInterface(description);

  return {
    get pending() {
      return out.length;
    },
    addInterface,
    write,
    take: () => out.take(),
  };
}

/** The interface's count of units that reads back as `timestamp`, or as the nearest time before it. */
function countOf(timestamp: bigint, { units, offset }: Written): bigint {
  const scaled = (timestamp - offset * 1_000_000_000n) * units;
  // A unit finer than a nanosecond is counted up to the first that is not before the nanosecond, which reads back.
  const count = units > 1_000_000_000n ? (scaled + 999_999_999n) / 1_000_000_000n : scaled / 1_000_000_000n;
  if (scaled < 0n || count > 0xffff_ffff_ffff_ffffn) {
    throw new BpfError("bad-argument", `timestamp ${timestamp} ns is outside what the interface's clock counts`);
  }
  return count;
}

/** UTF-8 of a text; a lone surrogate becomes U+FFFD. */
function toUtf8(text: string): Uint8Array {
  const wellFormed = text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
  const escaped = encodeURIComponent(wellFormed).replace(/%([0-9A-F]{2})/g, (_, hex) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
  return Uint8Array.from(escaped, (c) => c.charCodeAt(0));
}
