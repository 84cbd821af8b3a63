/** Capture files, read and written: the sub-path `cbpf/capture`. */
export { CaptureBatch, type CaptureHeader, type CaptureInterface, Packet, type PacketMemory } from "./batch.ts";
export type { DirectSource } from "./into-memory.ts";
export {
  type Capture,
  type ReadableStreamLike,
  type ReadOptions,
  readCapture,
  readCaptureSync,
  type Source,
  type SyncCapture,
  type SyncSource,
} from "./read.ts";
export { isGzip } from "./scanner.ts";
export type { Clock } from "./timestamps.ts";
export type { CaptureWriter, PacketToWrite } from "./write.ts";
export { type PcapWriterOptions, pcapWriter } from "./write-pcap.ts";
export { type InterfaceToWrite, type PcapngWriter, type PcapngWriterOptions, pcapngWriter } from "./write-pcapng.ts";
