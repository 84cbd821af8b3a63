/**
 * Packets in WebAssembly memory: where compiled filters read them without a copy.
 *
 * An arena is a {@link PacketBatch}: bytes, a table of offsets and lengths, and optionally wire lengths and the
 * metadata behind ancillary loads, all in one WebAssembly.Memory.  Whoever has packets writes them there: `add`
 * copies one in, a capture reader or a system call writes to `bytes` and `table` and sets `count`.
 *
 * Layout, in bytes from the start of the memory:
 *   0       16 u32 of header (see HEADER)
 *   64      one metadata record with nothing known, for batches without metadata
 *   128     a work area of 64,000 bytes for each user of the memory: tables and scratch cells of its filter
 *   then    table (8 a packet), wire lengths (4), metadata (64), output (4), packet bytes and a spare one
 */
import { BpfError } from "../base/errors.ts";
import type { Mutable } from "../base/mutable.ts";
import { createMemory, PAGE_BYTES, type WasmMemory } from "../wasm/host.ts";
import type { PacketBatch } from "./engine.ts";
import { NO_CONTEXT, type PacketContext } from "./packet-context.ts";

/** u32 indices of the header. */
const HEADER = { magic: 0, bytes: 1, packets: 2, flags: 3, users: 4, taken: 5, count: 6, used: 7 } as const;
const MAGIC = 0x63427046;
const HAS_LENGTHS = 1;
const HAS_METADATA = 2;

/** Where the record of NO_CONTEXT lies. */
export const NO_METADATA = 64;
/** Where the first work area lies. */
export const WORK_AREA = 128;
/** Bytes of one work area. */
export const WORK_AREA_BYTES = 64000;

/** Bytes of one metadata record. */
export const METADATA_BYTES = 64;
/** No MAC header: a position that no packet has. */
const NO_MAC = -0x80000000;

/** Byte offset of each u32 in a metadata record.  `before`: bytes that lie in front of the packet in `bytes`. */
export const METADATA = Object.freeze({
  protocol: 0,
  pktType: 4,
  ifindex: 8,
  hatype: 12,
  mark: 16,
  queue: 20,
  rxhash: 24,
  cpu: 28,
  vlanTag: 32,
  vlanPresent: 36,
  vlanTpid: 40,
  network: 44,
  mac: 48,
  linear: 52,
  before: 56,
} as const) satisfies Partial<Record<keyof PacketContext, number>>;

export interface ArenaOptions {
  /** Room for packet bytes; default 1 MiB.  It grows. */
  readonly bytes?: number;
  /** Room for packets; default 1024.  It grows. */
  readonly packets?: number;
  /** Keeps a wire length for each packet; without, LEN is the captured length. */
  readonly lengths?: boolean;
  /**
   * Keeps what ancillary loads read for each packet, as `add` and `setContext` write it; without, nothing is known about
   * any packet.
   */
  readonly metadata?: boolean;
  /** Makes the memory shareable with worker threads.  A shared arena does not grow. */
  readonly shared?: boolean;
  /** What RANDOM loads read, a u32 each; default Math.random.  Not shared with other threads. */
  readonly random?: () => number;
  /** Arenas that {@link Arena.attach} may make of a shared memory, this one included; default 8. */
  readonly users?: number;
}

/** How a thread takes part in an arena. */
export interface ArenaAttachOptions {
  /** What RANDOM loads read; default Math.random. */
  readonly random?: () => number;
  /** Packets of the arena that this one has, `to` not included; default all.  Of a shared arena, as they are now. */
  readonly from?: number;
  readonly to?: number;
}

interface Layout {
  readonly table: number;
  readonly lengths: number;
  readonly metadata: number;
  readonly output: number;
  readonly bytes: number;
  readonly end: number;
}

/** Numbers, not views: what a compiled batch loop is called with. */
export type ArenaLayout = Layout;

/**
 * An empty arena.
 *
 * @throws {BpfError} `bad-argument` for a size outside 1..4294967295, `limit` for more than WebAssembly's 4 GiB or than
 *   there is memory for, `unsupported` where there is no WebAssembly.
 */
export function createArena(options: ArenaOptions = {}): Arena {
  const { bytes = 1 << 20, packets = 1024, shared = false } = options;
  const users = shared ? (options.users ?? 8) : 1;
  for (const [name, value] of Object.entries({ bytes, packets, users })) {
    if (!Number.isInteger(value) || value < 1 || value > 0xffffffff) {
      throw new BpfError("bad-argument", `${name} ${value} is outside 1..4294967295`);
    }
  }
  const flags = (options.lengths ? HAS_LENGTHS : 0) | (options.metadata ? HAS_METADATA : 0);
  const { end } = layoutOf(bytes, packets, flags, users);
  const memory = allocate(end, () => createMemory(pagesFor(end), shared, pagesFor(end)));
  const header = new Uint32Array(memory.buffer, 0, 16);
  header[HEADER.bytes] = bytes;
  header[HEADER.packets] = packets;
  header[HEADER.flags] = flags;
  header[HEADER.users] = users;
  header[HEADER.magic] = MAGIC;
  writeMetadata(new Int32Array(memory.buffer), NO_METADATA, NO_CONTEXT);
  return Arena.attach(memory, options);
}

export class Arena implements PacketBatch {
  readonly memory: WasmMemory;
  /** True when the memory can be sent to other threads. */
  readonly shared: boolean;
  /** Start of this arena's work area; a filter that runs on it keeps its tables there. */
  readonly workArea: number;
  /** The filter whose tables lie in the work area. */
  tenant: object | undefined;
  /** True while a filter that runs on this arena has called a user's function: the work area is not free then. */
  busy = false;
  /** True when there is a metadata record for each packet. */
  readonly keepsMetadata: boolean;
  /** What is known about packet i; there when that may be more than its length.  One object, valid until the next call. */
  readonly context?: (i: number) => PacketContext;
  readonly #context: Mutable<PacketContext>;
  readonly #isPart: boolean;
  #layout: Layout;
  #views: Views;

  private constructor(memory: WasmMemory, { random, from, to }: ArenaAttachOptions) {
    const header = new Uint32Array(memory.buffer).subarray(0, 16);
    if (header[HEADER.magic] !== MAGIC) throw new BpfError("bad-argument", "the memory holds no arena");
    this.shared = !(memory.buffer instanceof ArrayBuffer);
    const isPart = from !== undefined || to !== undefined;
    const start = from ?? 0;
    const end = to ?? header[HEADER.count]!;
    if (isPart) checkPart(header, this.shared, start, end);
    const number = Atomics.add(header, HEADER.taken, 1);
    if (number >= header[HEADER.users]!) {
      throw new BpfError("limit", `the arena was made for ${header[HEADER.users]} users`);
    }
    this.memory = memory;
    this.workArea = WORK_AREA + number * WORK_AREA_BYTES;
    const layout = layoutFrom(header);
    this.#layout = isPart ? partOf(layout, start) : layout;
    this.#views = new Views(memory, this.#layout, isPart ? partHeader(header, end - start) : header);
    this.#isPart = isPart;
    this.keepsMetadata = (header[HEADER.flags]! & HAS_METADATA) !== 0;
    this.#context = { ...NO_CONTEXT, random: random ?? NO_CONTEXT.random };
    if (this.keepsMetadata || random !== undefined) this.context = (i) => this.#readContext(i);
  }

  /**
   * The arena in a memory that another thread made and sent, or a part of its packets: those have numbers from 0, and
   * none can be added to them.  Threads that each have a part run over one arena at the same time.
   *
   * @throws {BpfError} `bad-argument` when no arena is in it, or no such part; `limit` when `users` threads have it
   *   already.
   */
  static attach(memory: WasmMemory, options: ArenaAttachOptions = {}): Arena {
    return new Arena(memory, options);
  }

  /** Packet bytes; table offsets count from here.  A view: taken anew after the arena has grown. */
  get bytes(): Uint8Array {
    return this.#current().bytes;
  }
  /** Offset in `bytes` and captured length of packet i at 2i and 2i + 1; a view as `bytes` is. */
  get table(): Uint32Array {
    return this.#current().table;
  }
  /** Wire lengths, when the arena keeps them; a view as `bytes` is. */
  get lengths(): Uint32Array {
    return this.#current().lengths!; // absent in the type's sense: undefined when not kept
  }
  /** Room for one u32 a packet, for verdicts: a compiled filter writes them here without a copy. */
  get output(): Uint32Array {
    return this.#current().output;
  }

  /** Number of packets. */
  get count(): number {
    return this.#current().header[HEADER.count]!;
  }
  /** @throws {BpfError} `limit` for more packets than there is room for. */
  set count(count: number) {
    if (!(count >= 0 && count <= this.packetCapacity)) {
      throw new BpfError("limit", `${count} packets are more than there is room for, ${this.packetCapacity}`);
    }
    this.#current().header[HEADER.count] = count;
  }

  /** Bytes in use: where `add` puts the next packet. */
  get used(): number {
    return this.#current().header[HEADER.used]!;
  }
  set used(bytes: number) {
    this.#current().header[HEADER.used] = bytes;
  }

  get byteCapacity(): number {
    return this.#current().header[HEADER.bytes]!;
  }
  get packetCapacity(): number {
    return this.#current().header[HEADER.packets]!;
  }

  /** Positions in the memory, for compiled code. */
  get layout(): ArenaLayout {
    return this.#layout;
  }

  /**
   * Copies a packet in, with the bytes in front of it, and what the arena keeps of its context.  Returns its number.
   *
   * @throws {BpfError} `limit` when a shared arena is full, or this is a part of one.
   */
  add(packet: Uint8Array, context: PacketContext = NO_CONTEXT): number {
    if (this.#isPart) throw new BpfError("limit", "no packet can be added to a part of an arena");
    const { before } = context;
    const number = this.count;
    const needed = this.used + before.length + packet.length;
    if (number === this.packetCapacity || needed > this.byteCapacity) {
      this.reserve({
        packets: number < this.packetCapacity ? this.packetCapacity : 2 * number + 1,
        bytes: needed <= this.byteCapacity ? this.byteCapacity : Math.max(needed, 2 * this.byteCapacity),
      });
    }
    const { bytes, table, lengths, header, words } = this.#current();
    const at = this.used + before.length;
    if (before.length > 0) bytes.set(before, this.used);
    bytes.set(packet, at);
    table[2 * number] = at;
    table[2 * number + 1] = packet.length;
    if (lengths !== undefined) lengths[number] = context.length ?? packet.length;
    if (this.keepsMetadata) writeMetadata(words, this.#layout.metadata + METADATA_BYTES * number, context);
    header[HEADER.used] = needed;
    header[HEADER.count] = number + 1;
    return number;
  }

  /**
   * Writes what is known about packet i; `context.length` goes to `lengths`.
   *
   * @throws {BpfError} `bad-argument` for an arena that keeps no metadata, or has no room for a packet i.
   */
  setContext(i: number, context: PacketContext): void {
    if (!this.keepsMetadata || !(i >= 0 && i < this.packetCapacity)) {
      throw new BpfError("bad-argument", `the arena has no place for what is known about packet ${i}`);
    }
    const { words, lengths, table } = this.#current();
    writeMetadata(words, this.#layout.metadata + METADATA_BYTES * i, context);
    if (lengths !== undefined) lengths[i] = context.length ?? table[2 * i + 1]!;
  }

  /** Forgets the packets and keeps the room. */
  clear(): void {
    const { header } = this.#current();
    header[HEADER.count] = 0;
    header[HEADER.used] = 0;
  }

  /**
   * Makes room for at least so many bytes and packets in all; contents stay, views are taken anew.
   *
   * @throws {BpfError} `limit` for a shared arena, or more than WebAssembly's 4 GiB.
   */
  reserve({ bytes = 0, packets = 0 }: { readonly bytes?: number; readonly packets?: number }): void {
    const { header } = this.#current();
    const wanted = { bytes: Math.max(bytes, this.byteCapacity), packets: Math.max(packets, this.packetCapacity) };
    if (wanted.bytes === this.byteCapacity && wanted.packets === this.packetCapacity) return;
    if (this.shared) throw new BpfError("limit", "a shared arena does not grow");
    const old = this.#layout;
    const next = layoutOf(wanted.bytes, wanted.packets, header[HEADER.flags]!, header[HEADER.users]!);
    const more = pagesFor(next.end) - this.memory.buffer.byteLength / PAGE_BYTES;
    if (more > 0) allocate(next.end, () => this.memory.grow(more));
    // sections only move up, so the last one moves first
    const all = new Uint8Array(this.memory.buffer);
    for (const name of ["bytes", "output", "metadata", "lengths", "table"] as const) {
      const end = {
        bytes: old.end,
        output: old.bytes,
        metadata: old.output,
        lengths: old.metadata,
        table: old.lengths,
      };
      all.copyWithin(next[name], old[name], end[name]);
    }
    const fresh = new Uint32Array(this.memory.buffer, 0, 16);
    fresh[HEADER.bytes] = wanted.bytes;
    fresh[HEADER.packets] = wanted.packets;
    this.#layout = next;
    this.#views = new Views(this.memory, next, fresh);
  }

  /** The views; new ones when somebody else grew the memory, which detaches the old (asking `buffer` is slow). */
  #current(): Views {
    if (this.#views.bytes.length === 0) {
      const header = new Uint32Array(this.memory.buffer, 0, 16);
      this.#layout = layoutFrom(header);
      this.#views = new Views(this.memory, this.#layout, header);
    }
    return this.#views;
  }

  #readContext(i: number): PacketContext {
    const { words, bytes, table, lengths } = this.#current();
    const at = (this.#layout.metadata + METADATA_BYTES * i) >>> 2;
    const context = this.#context;
    context.length = lengths?.[i];
    if (!this.keepsMetadata) return context;
    for (const field of FIELDS) context[field] = words[at + (METADATA[field] >>> 2)]! >>> 0;
    context.network = words[at + (METADATA.network >>> 2)]!;
    const mac = words[at + (METADATA.mac >>> 2)]!;
    context.mac = mac === NO_MAC ? undefined : mac;
    context.linear = words[at + (METADATA.linear >>> 2)] !== 0;
    const before = words[at + (METADATA.before >>> 2)]!;
    const start = table[2 * i]!;
    context.before = before === 0 ? NO_CONTEXT.before : bytes.subarray(start - before, start);
    return context;
  }
}

const FIELDS = [
  "protocol",
  "pktType",
  "ifindex",
  "hatype",
  "mark",
  "queue",
  "rxhash",
  "cpu",
  "vlanTag",
  "vlanPresent",
  "vlanTpid",
] as const;

/** Writes a context as a metadata record at byte `at`. */
export function writeMetadata(words: Int32Array, at: number, context: PacketContext): void {
  const base = at >>> 2;
  for (const field of FIELDS) words[base + (METADATA[field] >>> 2)] = context[field];
  words[base + (METADATA.network >>> 2)] = context.network;
  words[base + (METADATA.mac >>> 2)] = context.mac ?? NO_MAC;
  words[base + (METADATA.linear >>> 2)] = context.linear ? 1 : 0;
  words[base + (METADATA.before >>> 2)] = context.before.length;
}

class Views {
  readonly header: Uint32Array;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly table: Uint32Array;
  readonly lengths: Uint32Array | undefined;
  readonly output: Uint32Array;

  constructor(memory: WasmMemory, layout: Layout, header: Uint32Array) {
    const { buffer } = memory;
    const packets = header[HEADER.packets]!;
    this.header = header;
    this.words = new Int32Array(buffer);
    this.bytes = new Uint8Array(buffer, layout.bytes, header[HEADER.bytes]);
    this.table = new Uint32Array(buffer, layout.table, 2 * packets);
    this.output = new Uint32Array(buffer, layout.output, packets);
    this.lengths =
      (header[HEADER.flags]! & HAS_LENGTHS) === 0 ? undefined : new Uint32Array(buffer, layout.lengths, packets);
  }
}

function layoutFrom(header: Uint32Array): Layout {
  return layoutOf(header[HEADER.bytes]!, header[HEADER.packets]!, header[HEADER.flags]!, header[HEADER.users]!);
}

function layoutOf(bytes: number, packets: number, flags: number, users: number): Layout {
  let at = WORK_AREA + users * WORK_AREA_BYTES;
  const place = (size: number): number => {
    const here = Math.ceil(at / 64) * 64;
    at = here + size;
    return here;
  };
  const table = place(8 * packets);
  const lengths = place((flags & HAS_LENGTHS) === 0 ? 0 : 4 * packets);
  const metadata = place((flags & HAS_METADATA) === 0 ? 0 : METADATA_BYTES * packets);
  const output = place(4 * packets);
  const start = place(bytes + 1); // a loop that touches packets ahead reads a byte of an empty one at the end too
  return { table, lengths, metadata, output, bytes: start, end: at };
}

function checkPart(header: Uint32Array, shared: boolean, from: number, to: number): void {
  const count = header[HEADER.count]!;
  if (shared && Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= count) return;
  const whole = shared ? `an arena of ${count} packets` : "an arena that is not shared";
  throw new BpfError("bad-argument", `packets ${from} to ${to} are no part of ${whole}`);
}

/** The layout as packet `from` is the first. */
function partOf(layout: Layout, from: number): Layout {
  return {
    ...layout,
    table: layout.table + 8 * from,
    lengths: layout.lengths + 4 * from,
    metadata: layout.metadata + METADATA_BYTES * from,
    output: layout.output + 4 * from,
  };
}

/** A header of the part's own: it is full, and the other threads' packets are not in it. */
function partHeader(header: Uint32Array, count: number): Uint32Array {
  const own = Uint32Array.from(header);
  own[HEADER.count] = count;
  own[HEADER.packets] = count;
  return own;
}

/** What `make` makes of memory for an arena of `bytes`. */
function allocate<Made>(bytes: number, make: () => Made): Made {
  if (bytes > 2 ** 32) throw new BpfError("limit", `an arena of ${bytes} bytes is more than 4 GiB`);
  try {
    return make();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new BpfError("limit", `no memory for an arena of ${bytes} bytes`, { cause });
  }
}

function pagesFor(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES);
}
