/**
 * A way through the kernel that ends in a filtered socket: what is sent at one end passes the filter at the other
 * before the sending call returns, so that looking once tells what became of a packet.
 *
 * A channel attaches programs as they are and reports lengths.  What lengths mean is the oracle's.
 */
import { BpfError } from "../base/errors.ts";
import { encode } from "../program/codec.ts";
import type { PacketBatch } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import { SO_ATTACH_FILTER, SOL_SOCKET } from "./constants.ts";
import { ERRNO, errnoName, systemError } from "./errno.ts";
import type { Addon } from "./load.ts";

/** What the kernel says to a program. */
export type Acceptance =
  | { readonly accepted: true }
  | { readonly accepted: false /** "EINVAL", "ENOMEM", "EPERM" ... */; readonly errno: string };

const ACCEPTED: Acceptance = Object.freeze({ accepted: true });

/** A packet that did not arrive, in {@link Channel.deliver}'s results. */
export const DROPPED = -ERRNO.EAGAIN;

export interface ChannelOptions {
  readonly name: string;
  /** Bytes of LEN in front of what the receiver sees, kept by every accepted packet: 8 on UDP, else 0. */
  readonly floor: number;
  /** True where packets have no device. */
  readonly deviceless: boolean;
  /** True where the receiver of an accepted packet sees all the bytes sent; false where lengths must be measured. */
  readonly whole: boolean;
  /**
   * False where a busy CPU may deliver after the sending call has returned (what passes the backlog of lo): one look
   * can then miss a packet, or take it for the next one.  Default true.
   */
  readonly synchronous?: boolean;
  /** Where to send to, as a struct sockaddr; absent for a connected sender and a tap. */
  readonly address?: Uint8Array;
}

/** What a channel is made of, and what closes it. */
export interface ChannelEnds {
  readonly sender: number;
  readonly receiver: number;
  close(): void;
}

export class Channel {
  readonly name: string;
  readonly floor: number;
  readonly deviceless: boolean;
  readonly whole: boolean;
  readonly synchronous: boolean;
  readonly #addon: Addon;
  readonly #address: Uint8Array | undefined;
  readonly #ends: ChannelEnds;
  #closed = false;

  constructor(addon: Addon, ends: ChannelEnds, options: ChannelOptions) {
    this.name = options.name;
    this.floor = options.floor;
    this.deviceless = options.deviceless;
    this.whole = options.whole;
    this.synchronous = options.synchronous ?? true;
    this.#address = options.address;
    this.#addon = addon;
    this.#ends = ends;
  }

  /**
   * Attaches the program, whatever it is, in place of the one before.  The answer is that of a fresh socket: when the
   * kernel has no room for both programs at once, the old one is taken off first.
   */
  attach(program: readonly Instruction[]): Acceptance {
    this.#open();
    const bytes = encode(program);
    let answer = this.#addon.attachProgram(this.#ends.receiver, SOL_SOCKET, SO_ATTACH_FILTER, bytes);
    if (answer === -ERRNO.ENOMEM && this.#addon.detachFilter(this.#ends.receiver) >= 0) {
      answer = this.#addon.attachProgram(this.#ends.receiver, SOL_SOCKET, SO_ATTACH_FILTER, bytes);
    }
    return answer >= 0 ? ACCEPTED : { accepted: false, errno: errnoName(answer) };
  }

  /**
   * Sends the packets whose numbers are in `which` (all, when absent) through the attached program.  Entry j of the
   * result is the length that arrived of packet `which[j]`, {@link DROPPED}, or another -errno where the kernel did
   * not take the packet.  `cpu` keeps the thread on that CPU meanwhile.
   */
  deliver(batch: PacketBatch, which?: readonly number[], cpu?: number): Int32Array {
    this.#open();
    const count = which?.length ?? batch.count;
    let table = batch.table.subarray(0, 2 * count);
    if (which !== undefined) {
      table = new Uint32Array(2 * count);
      for (const [j, i] of which.entries()) {
        table[2 * j] = batch.table[2 * i]!;
        table[2 * j + 1] = batch.table[2 * i + 1]!;
      }
    }
    const results = new Int32Array(count);
    const answer = this.#addon.deliver(
      this.#ends.sender,
      this.#ends.receiver,
      batch.bytes,
      table,
      results,
      cpu,
      this.#address,
    );
    if (answer < 0) throw systemError(answer, "sched_setaffinity", `running on CPU ${cpu}`);
    return results;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ends.close();
  }

  #open(): void {
    if (this.#closed) throw new BpfError("bad-argument", `the ${this.name} channel is closed`);
  }
}
