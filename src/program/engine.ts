/**
 * The contract between programs and engines.
 *
 * An engine takes verified programs and nothing else, and checks nothing again.  Running is total: `run` throws
 * nothing of its own, a failed load or a zero divisor is verdict 0.  A verdict is a u32: bytes of the packet to
 * keep, 0 to drop it.
 */
import type { InstructionSet } from "../isa/instruction-set.ts";
import type { Instruction } from "./instruction.ts";
import type { PacketContext } from "./packet-context.ts";

/** Whose rules a program was checked against. */
export type ProfileName = "linux" | "libpcap";

declare const verified: unique symbol;

/** A program that passed `verify`, which alone makes these. */
export interface VerifiedProgram {
  readonly instructions: readonly Instruction[];
  readonly profile: ProfileName;
  /** The set that gives every code its meaning, extensions included. */
  readonly isa: InstructionSet;
  readonly [verified]: true;
}

/** Many packets in one piece of memory. */
export interface PacketBatch {
  readonly bytes: Uint8Array;
  /**
   * For packet i: offset in `bytes` at 2i, captured length in bytes at 2i + 1.  A packet outside `bytes` is the caller's
   * error: an engine that notices throws `bad-argument`, one that does not reads 0 or what lies there.
   */
  readonly table: Uint32Array;
  /** Number of packets. */
  readonly count: number;
  /** Length on the wire of packet i; absent: the captured length. */
  readonly lengths?: Uint32Array;
  /** Context of packet i; absent: {@link NO_CONTEXT} with the length from `lengths`. */
  context?(i: number): PacketContext;
}

/** A program loaded into an engine. */
export interface Filter {
  /** The engine that runs it, and the tier it is on: "interpreter", "js", "wasm", "kernel". */
  readonly tier: string;
  /** The verdict on one packet, a u32. */
  run(packet: Uint8Array, context?: PacketContext): number;
  /** Verdicts on a batch, written to `verdicts` when given; returns how many were not 0. */
  runBatch(batch: PacketBatch, verdicts?: Uint32Array): number;
}

/** A filter of an engine that also takes packets out of the middle of an array, without copying them. */
export interface BatchFilter extends Filter {
  /**
   * The verdict on `bytes[offset..offset + length)`, about which nothing else is known.  Default: the whole array.
   *
   * @throws {BpfError} `bad-argument` when the range is outside the array.
   */
  match(bytes: Uint8Array, offset?: number, length?: number): number;
}

/** What makes filters out of programs. */
export interface Engine<F extends Filter = Filter> {
  readonly name: string;
  load(program: VerifiedProgram): F;
}
