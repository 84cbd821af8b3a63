/**
 * What the two file formats have in common: a stretch of bytes goes in, whole packets come out in a batch.
 *
 * A decoder never buffers.  It says how many bytes it wants in one piece, and the scanner sees to that.
 */
import { BpfError } from "../base/errors.ts";
import type { CaptureBatch, CaptureHeader } from "./batch.ts";

/** A stretch of the file in memory. */
export interface Window {
  readonly bytes: Uint8Array;
  /** Of `bytes`, all of them. */
  readonly view: DataView;
  /** Where the stretch ends in `bytes`. */
  readonly end: number;
  /** File offset of byte 0; below 0 when the stretch begins further on. */
  readonly start: number;
}

export interface Decoder {
  readonly header: CaptureHeader | undefined;
  /**
   * Bytes wanted in one piece from where `decode` stopped, to get on.  0: it stopped because the batch must be handed
   * out first.
   */
  readonly wanted: number;
  /** What the wanted bytes are, for the error when the file ends inside them. */
  readonly wantedFor: string;
  /**
   * Adds packets to an empty batch, from offset `at` of a window, until the window or the batch is used up.
   *
   * @returns  The offset of the first record that is not in the batch.
   * @throws {BpfError} `bad-capture` for damage; the packets before it are in the batch.
   */
  decode(window: Window, at: number, batch: CaptureBatch): number;
}

/** Damage at a file offset; `packet` is the number that the next packet would have had. */
export function damage(what: string, offset: number, packet: number): BpfError {
  return new BpfError("bad-capture", `packet ${packet}, file offset ${offset}: ${what}`, { offset, packet });
}
