/**
 * Errors for packets that lie outside the memory that is said to hold them.
 */
import { BpfError } from "../base/errors.ts";
import type { PacketBatch } from "./engine.ts";

/** The error, `bad-argument`, for a range that is not inside an array. */
export function outsideArray(bytes: Uint8Array, offset: number, length: number): BpfError {
  return new BpfError(
    "bad-argument",
    `offset ${offset} and length ${length} are outside the array's ${bytes.length} bytes`,
  );
}

/** The array for a packet of `bytes`: itself, or a view of the range.  Throws {@link outsideArray}. */
export function slice(bytes: Uint8Array, offset: number, length: number): Uint8Array {
  if (offset < 0 || length < 0 || offset + length > bytes.length) throw outsideArray(bytes, offset, length);
  return offset === 0 && length === bytes.length ? bytes : bytes.subarray(offset, offset + length);
}

/** The error, `bad-argument`, for the first of packets from..to-1 outside a batch; undefined when none is. */
export function outsideBatch({ bytes, table }: PacketBatch, from: number, to: number): BpfError | undefined {
  for (let i = from; i < to; i++) {
    const [offset, length] = [table[2 * i]!, table[2 * i + 1]!];
    if (offset + length <= bytes.length) continue;
    return new BpfError(
      "bad-argument",
      `packet ${i}: offset ${offset} and length ${length} are outside the batch's ${bytes.length} bytes`,
    );
  }
  return undefined;
}
