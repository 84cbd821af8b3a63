/** Writes pcap files: one link type, micro- or nanoseconds. */
import { BpfError } from "../base/errors.ts";
import { maximumPacketOf } from "../link/linktypes.ts";
import { PCAP_MAGIC } from "./pcap.ts";
import { type CaptureWriter, checkPacket, checkRange, Output, type PacketToWrite } from "./write.ts";

export interface PcapWriterOptions {
  /** LINKTYPE_* number. */
  readonly linktype: number;
  /** Bytes kept of a packet at most; by default what the link type needs, mostly 262144. */
  readonly snaplen?: number;
  /** Unit of the timestamps' fractions; microseconds by default, which cut finer times off. */
  readonly timestampUnit?: "us" | "ns";
  /** Byte order; little-endian by default. */
  readonly littleEndian?: boolean;
}

/**
 * A writer of one pcap file, version 2.4.
 *
 * @throws {BpfError} `bad-argument` for a link type above 65535 or a snaplen outside 1..2147483647.
 * @example
 * ```ts
 * import { pcapWriter } from "cbpf/capture";
 * const writer = pcapWriter({ linktype: 1 });
 * writer.write({ data: new Uint8Array(60), timestamp: 1_700_000_000_000_000_000n });
 * console.log(writer.take().length); // 24 + 16 + 60
 * ```
 */
export function pcapWriter(options: PcapWriterOptions): CaptureWriter {
  const { linktype, snaplen = maximumPacketOf(linktype), littleEndian = true } = options;
  checkRange("link type", linktype, 0xffff);
  checkRange("snaplen", snaplen - 1, 0x7fff_fffe);
  const inNanoseconds = options.timestampUnit === "ns";
  const nanosecondsPerUnit = inNanoseconds ? 1n : 1000n;
  const unitsPerSecond = 1_000_000_000n / nanosecondsPerUnit;
  const most = Math.min(snaplen, maximumPacketOf(linktype));

  const out = new Output(littleEndian);
  out.u32(inNanoseconds ? PCAP_MAGIC.nanoseconds : PCAP_MAGIC.microseconds);
  out.u16(2);
  out.u16(4);
  out.u32(0); // time zone and accuracy, which nobody uses
  out.u32(0);
  out.u32(snaplen);
  out.u32(linktype);

  return {
    get pending() {
      return out.length;
    },
    write(packet: PacketToWrite) {
      const originalLength = checkPacket(packet, linktype, most);
      if (packet.interfaceId !== undefined && packet.interfaceId !== 0) {
        throw new BpfError("bad-argument", `packet of interface ${packet.interfaceId}: a pcap file has only one, 0`);
      }
      const { timestamp = 0n } = packet;
      const units = timestamp / nanosecondsPerUnit;
      const seconds = units / unitsPerSecond;
      if (timestamp < 0n || seconds > 0xffff_ffffn) {
        throw new BpfError("bad-argument", `timestamp ${timestamp} ns is outside 1970..2106, what pcap counts`);
      }
      out.u32(Number(seconds));
      out.u32(Number(units % unitsPerSecond));
      out.u32(packet.data.length);
      out.u32(originalLength);
      out.append(packet.data);
    },
    take: () => out.take(),
  };
}
