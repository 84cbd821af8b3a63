/**
 * From chunks of any size to batches of packets.
 *
 * Packets are decoded where they lie in the source's chunk.  Only a record that straddles chunks is copied, into memory
 * of its own that grows with the bytes that really arrive, never with what a length field promises.
 */
import { hex, readU32BE } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";
import { CaptureBatch, type CaptureHeader } from "./batch.ts";
import { type Decoder, damage, type Window } from "./decoder.ts";
import { pcapDecoderFor } from "./pcap.ts";
import { BLOCK, PcapngDecoder } from "./pcapng.ts";

/** Bytes decoded as one window at most, so that offsets in it fit the batch's u32 table. */
const WINDOW = 1 << 30;

/** Bytes that a straddling record is given at first. */
const FIRST_CARRY = 64 * 1024;

/** True for the first bytes of a gzip file (RFC 1952, 2.3.1); two are enough. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

export class Scanner {
  private readonly batch: CaptureBatch;
  private decoder: Decoder | undefined;
  /** File offset of the first byte that is neither decoded nor carried over. */
  private position = 0;
  /** Start of a record whose rest is in a later chunk: the first `carried` bytes of `carry`. */
  private carry = new Uint8Array(0);
  private carried = 0;

  /** @param batchSize  Packets in a batch at most. */
  constructor(batchSize: number) {
    this.batch = new CaptureBatch(batchSize);
  }

  get header(): CaptureHeader | undefined {
    return this.decoder?.header;
  }

  /** The batches that a chunk completes. */
  *push(chunk: Uint8Array): Generator<CaptureBatch, void, undefined> {
    if (!ArrayBuffer.isView(chunk) || !("subarray" in chunk) || chunk.BYTES_PER_ELEMENT !== 1) {
      throw new BpfError("bad-argument", "a capture source gives something that is no Uint8Array");
    }
    let at = 0;
    while (at < chunk.length) {
      if (this.carried > 0) {
        at += this.addToCarry(chunk, at);
        if (this.carried < this.wanted) return;
        const whole = this.carry.subarray(0, this.carried);
        const used = yield* this.scan(whole, this.position - this.carried);
        // A whole record is used up; the beginning of one raised what is wanted.
        if (used > 0) this.dropCarry();
      } else {
        const size = Math.min(WINDOW, chunk.length - at);
        const window = new Uint8Array(chunk.buffer, chunk.byteOffset + at, size);
        at += yield* this.scan(window, this.position);
        if (at < chunk.length) at += this.addToCarry(chunk, at);
      }
    }
  }

  /**
   * Says that the file is over.
   *
   * @throws {BpfError} `bad-capture` when it ends inside a record.
   */
  finish(): void {
    const offset = this.position - this.carried;
    const { batch, decoder } = this;
    if (decoder === undefined) throw damage(`file of ${this.position} bytes has no magic number`, 0, 1);
    if (this.carried > 0) {
      const what = `file ends ${this.carried} bytes into ${decoder.wantedFor} of ${decoder.wanted} bytes`;
      throw damage(what, offset, batch.firstNumber);
    }
  }

  private get wanted(): number {
    return this.decoder === undefined ? 4 : this.decoder.wanted;
  }

  /** Decodes a window as far as it goes; returns the bytes used. */
  private *scan(bytes: Uint8Array, start: number): Generator<CaptureBatch, number, undefined> {
    const { batch } = this;
    const window: Window = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), start };
    const fromCarry = this.carried > 0;
    let at = 0;
    if (this.decoder === undefined) {
      if (bytes.length < 4) return 0;
      this.decoder = recognise(bytes);
    }
    const decoder = this.decoder;
    do {
      batch.bytes = bytes;
      batch.count = 0;
      let failure: unknown;
      try {
        at = decoder.decode(window, at, batch);
      } catch (error) {
        failure = error;
      }
      if (batch.count > 0) {
        const { count } = batch;
        yield batch;
        batch.firstNumber += count;
        batch.count = 0;
      }
      if (failure !== undefined) throw failure;
    } while (decoder.wanted === 0);
    if (!fromCarry) this.position += at;
    return at;
  }

  /** Copies what the straddling record still lacks, as far as the chunk has it; returns the bytes taken. */
  private addToCarry(chunk: Uint8Array, at: number): number {
    const { carried } = this;
    const taken = Math.min(Math.max(this.wanted - carried, 0), chunk.length - at);
    const size = carried + taken;
    if (size > this.carry.length) {
      const grown = new Uint8Array(Math.min(this.wanted, Math.max(size, 2 * this.carry.length, FIRST_CARRY)));
      grown.set(this.carry.subarray(0, carried));
      this.carry = grown;
    }
    this.carry.set(chunk.subarray(at, at + taken), carried);
    this.carried = size;
    this.position += taken;
    return taken;
  }

  /** Forgets the carried record; its memory stays with the packets that were handed out. */
  private dropCarry(): void {
    this.carry = new Uint8Array(0);
    this.carried = 0;
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
