/**
 * Files that come in chunks of any size.
 *
 * Packets are decoded where they lie in the source's chunk.  Only a record that straddles chunks is copied, into memory
 * of its own that grows with the bytes that really arrive, never with what a length field promises.
 */
import { BpfError } from "../base/errors.ts";
import type { CaptureBatch } from "./batch.ts";
import type { Window } from "./decoder.ts";
import type { Scanner } from "./scanner.ts";

/** Bytes decoded as one window at most, so that offsets in it fit the batch's u32 table. */
const WINDOW = 1 << 30;

/** Bytes that a straddling record is given at first. */
const FIRST_CARRY = 64 * 1024;

export class ChunkReader {
  private readonly scanner: Scanner;
  /** File offset of the first byte that is neither decoded nor carried over. */
  private position = 0;
  /** Start of a record whose rest is in a later chunk: the first `carried` bytes of `carry`. */
  private carry = new Uint8Array(0);
  private carried = 0;

  constructor(scanner: Scanner) {
    this.scanner = scanner;
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
        if (this.carried < this.scanner.wanted) return;
        const whole = this.carry.subarray(0, this.carried);
        const used = yield* this.scanner.scan(windowOf(whole, this.position - this.carried), 0);
        // A whole record is used up; the beginning of one raised what is wanted.
        if (used > 0) this.dropCarry();
      } else {
        const size = Math.min(WINDOW, chunk.length - at);
        const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset + at, size);
        const used = yield* this.scanner.scan(windowOf(bytes, this.position), 0);
        this.position += used;
        at += used;
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
    this.scanner.finish(this.position - this.carried, this.carried);
  }

  /** Copies what the straddling record still lacks, as far as the chunk has it; returns the bytes taken. */
  private addToCarry(chunk: Uint8Array, at: number): number {
    const { carried } = this;
    const { wanted } = this.scanner;
    const taken = Math.min(Math.max(wanted - carried, 0), chunk.length - at);
    const size = carried + taken;
    if (size > this.carry.length) {
      const grown = new Uint8Array(Math.min(wanted, Math.max(size, 2 * this.carry.length, FIRST_CARRY)));
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

function windowOf(bytes: Uint8Array, start: number): Window {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), end: bytes.length, start };
}
