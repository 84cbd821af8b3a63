/** A forged packet as a pcap file. */
import { pcapWriter } from "../capture/write-pcap.ts";
import type { Witness } from "../prove/question.ts";

/** One record, at time 0; a length on the wire below the captured one is raised to it, as the format wants. */
export function packetFile({ packet, context }: Witness, linktype: number): Uint8Array {
  const writer = pcapWriter({ linktype });
  const originalLength = Math.max(packet.length, context().length ?? packet.length);
  writer.write({ data: packet, originalLength, timestamp: 0n });
  return writer.take();
}
