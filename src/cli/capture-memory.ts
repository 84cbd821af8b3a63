/**
 * Memory that captures are read into: where compiled filters take the packets from, when the host has such memory.
 */
import { BpfError } from "../base/errors.ts";
import type { PacketMemory } from "../capture/batch.ts";
import { READ_BYTES } from "../capture/into-memory.ts";
import { createArena } from "../program/arena.ts";

/** Packets in a batch. */
const PACKETS = 4096;

/** @param bytes  Default: a read, and a record in front. */
export function captureMemory(bytes = READ_BYTES + (64 << 10)): PacketMemory {
  try {
    return createArena({ bytes, packets: PACKETS, lengths: true });
  } catch (error) {
    // No WebAssembly, or too little address space: V8 reserves some 10 GiB of it for each memory.
    if (error instanceof BpfError) return new PlainMemory(bytes);
    throw error;
  }
}

class PlainMemory implements PacketMemory {
  bytes: Uint8Array;
  readonly table = new Uint32Array(2 * PACKETS);
  readonly lengths = new Uint32Array(PACKETS);
  count = 0;

  constructor(bytes: number) {
    this.bytes = new Uint8Array(bytes);
  }

  reserve({ bytes }: { readonly bytes: number }): void {
    if (bytes <= this.bytes.length) return;
    const grown = new Uint8Array(bytes);
    grown.set(this.bytes);
    this.bytes = grown;
  }
}
