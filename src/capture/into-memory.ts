/**
 * Files that are read straight into memory of the caller's choice: no byte is copied but the start of the record that
 * a read ends in, which moves to the front of what is read next.
 */
import { BpfError } from "../base/errors.ts";
import type { CaptureBatch, PacketMemory } from "./batch.ts";
import type { Window } from "./decoder.ts";
import type { Scanner } from "./scanner.ts";

/** A file, and where it is read to. */
export interface DirectSource {
  /**
   * Memory for bytes and table, which nothing else may change or make grow until the last batch; a record that is larger
   * than its `bytes` makes it grow.
   */
  readonly into: PacketMemory;
  /** Writes the file's next bytes to the front of `target`; returns how many, at least one, or 0 at the file's end. */
  read(target: Uint8Array): number;
}

/** Bytes read at a time: what a second-level cache keeps until the packets have been looked at. */
export const READ_BYTES = 256 * 1024;

/**
 * Reads begin at multiples of LINE in `bytes`, and ask for multiples of PAGE where they can.  Some processors (AMD's
 * since Zen 3) copy five times slower to an address that lies 1..63 bytes behind the source's, modulo the page size;
 * what the kernel copies of a file that is read from the start of a page begins at the start of one.
 */
export const LINE = 64;
export const PAGE = 4096;

/** The batches of a file. */
export function* readInto(scanner: Scanner, { into, read }: DirectSource): Generator<CaptureBatch, void, undefined> {
  const { batch } = scanner;
  // In memory: the bytes `from` to `to`, which are not decoded yet; the file goes on at `position`.
  let from = 0;
  let to = 0;
  let position = 0;
  let window: Window | undefined;
  for (;;) {
    const left = to - from;
    if (from >= LINE || left === 0) {
      from = -left & (LINE - 1);
      into.bytes.copyWithin(from, to - left, to);
      to = from + left;
    }
    if (to >= into.bytes.length - LINE) into.reserve({ bytes: Math.max(2 * into.bytes.length, PAGE) });
    const { bytes } = into;
    const room = Math.min(READ_BYTES, bytes.length - to);
    const target = bytes.subarray(to, to + (room >= PAGE ? room - (room % PAGE) : room));
    const got = read(target);
    if (!(got >= 0 && got <= target.length)) {
      throw new BpfError("bad-argument", `a capture source says that it read ${got} bytes into ${target.length}`);
    }
    if (got === 0) return scanner.finish(position - left, left);
    to += got;
    position += got;
    batch.table = into.table;
    batch.lengths = into.lengths ?? batch.lengths;
    const view = window?.bytes === bytes ? window.view : new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    window = { bytes, view, end: to, start: position - to };
    from = yield* scanner.scan(window, from);
  }
}
