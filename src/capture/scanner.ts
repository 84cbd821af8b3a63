/**
 * From a stretch of a file in memory to batches of packets; what comes first in the file says which decoder.
 *
 * Packets are decoded where they lie.  How the file gets into memory is the business of from-chunks.ts and
 * into-memory.ts, which also keep the record that a stretch ends in.
 */
import { hex, readU32BE } from "../base/bytes.ts";
import type { CaptureBatch, CaptureHeader } from "./batch.ts";
import { type Decoder, damage, type Window } from "./decoder.ts";
import { pcapDecoderFor } from "./pcap.ts";
import { BLOCK, PcapngDecoder } from "./pcapng.ts";

/** Bytes that tell the format. */
const MAGIC = 4;

/** True for the first bytes of a gzip file (RFC 1952, 2.3.1); two are enough. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

export class Scanner {
  readonly batch: CaptureBatch;
  private decoder: Decoder | undefined;

  /** @param batch  What packets are handed out in; it may have served for another file before. */
  constructor(batch: CaptureBatch) {
    batch.firstNumber = 1;
    this.batch = batch;
  }

  get header(): CaptureHeader | undefined {
    return this.decoder?.header;
  }

  /** Bytes wanted in one piece, from where the last stretch was left. */
  get wanted(): number {
    return this.decoder === undefined ? MAGIC : this.decoder.wanted;
  }

  /** Gives the batches of a stretch from offset `at` on; returns the offset of the first record that is not whole. */
  *scan(window: Window, at: number): Generator<CaptureBatch, number, undefined> {
    const { batch } = this;
    if (this.decoder === undefined) {
      if (window.end - at < MAGIC) return at;
      this.decoder = recognise(window.bytes.subarray(at, at + MAGIC));
    }
    const { decoder } = this;
    const { memory } = batch;
    do {
      batch.bytes = window.bytes;
      batch.count = 0;
      let failure: unknown;
      try {
        at = decoder.decode(window, at, batch);
      } catch (error) {
        failure = error;
      }
      const { count } = batch;
      if (count > 0) {
        if (memory !== undefined) memory.count = count;
        yield batch;
        batch.firstNumber += count;
        batch.count = 0;
      }
      if (failure !== undefined) throw failure;
    } while (decoder.wanted === 0);
    return at;
  }

  /**
   * Says that the file is over, `left` bytes behind offset `offset`, which is where the last stretch was left.
   *
   * @throws {BpfError} `bad-capture` when it ends inside a record.
   */
  finish(offset: number, left: number): void {
    const { batch, decoder } = this;
    if (decoder === undefined) throw damage(`file of ${left} bytes has no magic number`, 0, 1);
    if (left === 0) return;
    const what = `file ends ${left} bytes into ${decoder.wantedFor} of ${decoder.wanted} bytes`;
    throw damage(what, offset, batch.firstNumber);
  }
}

/** The decoder for a file, by its first four bytes. */
function recognise(bytes: Uint8Array): Decoder {
  const magic = readU32BE(bytes, 0);
  if (magic === BLOCK.sectionHeader) return new PcapngDecoder();
  const decoder = pcapDecoderFor(magic);
  if (decoder !== undefined) return decoder;
  const what = isGzip(bytes) ? "a gzip file, which must be unpacked first" : "neither a pcap nor a pcapng file";
  throw damage(`${what} (first bytes ${hex(magic, 8)})`, 0, 1);
}
