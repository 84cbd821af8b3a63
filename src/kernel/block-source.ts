/**
 * Where blocks of packets come from: a ring that the kernel fills, or memory of our own filled by recvmmsg().
 */

import { ERRNO, succeed } from "./errno.ts";
import { BLOCK_STATUS, type Block, blockAt } from "./live-batch.ts";
import type { Addon } from "./load.ts";

export interface BlockSource {
  /** The next filled block, valid until `release`; undefined when there is none at the moment. */
  take(): Block | undefined;
  /** Gives the block that was taken last back. */
  release(): void;
  /** Ends the memory; every view of a ring has length 0 then. */
  close(): void;
}

const TP_STATUS_KERNEL = 0;
const TP_STATUS_USER = 1;

/** The blocks of a TPACKET_V3 ring, in turn. */
export class RingSource implements BlockSource {
  readonly #addon: Addon;
  readonly #ring: ArrayBuffer;
  readonly #blocks: readonly Block[];
  /** The status words, for atomic access: the kernel writes packets before it hands a block over, we read them after. */
  readonly #status: readonly Int32Array[];
  #next = 0;
  #taken = false;

  constructor(addon: Addon, ring: ArrayBuffer, blockSize: number) {
    this.#addon = addon;
    this.#ring = ring;
    const offsets = Array.from({ length: ring.byteLength / blockSize }, (_, i) => i * blockSize);
    this.#blocks = offsets.map((offset) => blockAt(ring, offset, blockSize));
    this.#status = offsets.map((offset) => new Int32Array(ring, offset + 4 * BLOCK_STATUS, 1));
  }

  take(): Block | undefined {
    if ((Atomics.load(this.#status[this.#next]!, 0) & TP_STATUS_USER) === 0) return undefined;
    this.#taken = true;
    return this.#blocks[this.#next];
  }

  release(): void {
    if (!this.#taken) return;
    Atomics.store(this.#status[this.#next]!, 0, TP_STATUS_KERNEL);
    this.#next = (this.#next + 1) % this.#blocks.length;
    this.#taken = false;
  }

  close(): void {
    this.#taken = false;
    this.#addon.ringClose(this.#ring);
  }
}

/** Messages of one recvmmsg() at most; native/receive_block.cpp. */
export const MESSAGES = 64;
const FIRST_SLOT = 48;
/** Bytes of a slot in front of the packet. */
const SLOT_HEADER = 96;

/** A block of our own, filled at each `take` with what waits in the socket. */
export class ReceiveSource implements BlockSource {
  readonly #addon: Addon;
  readonly #fd: number;
  readonly #slotSize: number;
  /** True when the last call emptied the socket: the next is made only after it became readable again. */
  #drained = false;
  readonly #block: Block;

  /** @param snaplen  Longest packet kept, bytes. */
  constructor(addon: Addon, fd: number, snaplen: number) {
    this.#addon = addon;
    this.#fd = fd;
    // Slots of a whole power of two would all fall into the same sets of the CPU's caches; the header prevents that.
    this.#slotSize = (SLOT_HEADER + snaplen + 7) & ~7;
    const size = FIRST_SLOT + MESSAGES * this.#slotSize;
    this.#block = blockAt(new ArrayBuffer(size), 0, size);
  }

  take(): Block | undefined {
    if (this.#drained) {
      this.#drained = false;
      return undefined;
    }
    const answer = this.#addon.receiveBlock(this.#fd, this.#block.bytes, this.#slotSize);
    if (answer === -ERRNO.EAGAIN) return undefined;
    succeed(answer, "recvmmsg", "receiving packets");
    this.#drained = answer < MESSAGES;
    return this.#block;
  }

  release(): void {}

  close(): void {}
}
