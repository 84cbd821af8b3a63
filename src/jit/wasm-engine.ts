/**
 * The engine that runs programs as WebAssembly.
 *
 * Packets in an {@link Arena} are read where they lie, in a loop that is one function; any other packet is copied
 * into a memory of the filter's own first.  A host without WebAssembly, or whose content security policy forbids it,
 * is an error with code `unsupported`; the caller picks another engine then.
 */
import { BpfError } from "../base/errors.ts";
import type { Mutable } from "../base/mutable.ts";
import type { MachineState } from "../isa/instruction-set.ts";
import { BPF_MEMWORDS } from "../isa/limits.ts";
import { AncillaryReader } from "../program/ancillary-reader.ts";
import {
  Arena,
  type ArenaLayout,
  METADATA_BYTES,
  NO_METADATA,
  WORK_AREA,
  WORK_AREA_BYTES,
  writeMetadata,
} from "../program/arena.ts";
import { contextsOf } from "../program/batch-contexts.ts";
import type { BatchFilter, Engine, PacketBatch, VerifiedProgram } from "../program/engine.ts";
import { bitmapOf, indicesOf } from "../program/matches.ts";
import { outsideBatch, slice } from "../program/outside.ts";
import { NO_CONTEXT, type PacketContext } from "../program/packet-context.ts";
import { LOAD_FAILED, loadPacket } from "../program/packet-load.ts";
import {
  compileModule,
  createMemory,
  instantiate,
  isTrap,
  PAGE_BYTES,
  type WasmFunction,
  type WasmMemory,
} from "../wasm/host.ts";
import type { Lowered, Op } from "./ir.ts";
import { lower } from "./lower.ts";
import { CELL_BYTES, type Import, importsOf, type Output, type Variant } from "./wasm-interface.ts";
import { printModule } from "./wasm-printer.ts";

/** Packets a call: V8 moves a wasm function to its better code between calls only, so calls must come often. */
const CHUNK = 2048;
/** Arena bytes beyond which packets are touched ahead: about what a second-level cache holds. */
const PREFETCH_BYTES = 4 << 20;
const PACKET_LOADS: ReadonlySet<Op["op"]> = new Set<Op["op"]>(["load", "msh", "load-index", "far"]);
/** Length of {@link WasmFilter}'s own memory in front of the packet. */
const OWN_PACKET = WORK_AREA + WORK_AREA_BYTES;
const OWN_VARIANT: Variant = Object.freeze({
  output: "run",
  shared: false,
  workArea: WORK_AREA,
  packets: OWN_PACKET,
  prefetch: false,
});

/**
 * The WebAssembly engine.  `load` throws a BpfError `unsupported` where WebAssembly is missing or forbidden, or for a
 * program with backward jumps.
 */
export const wasm: Engine<WasmFilter> = Object.freeze({
  name: "wasm",
  load: (program: VerifiedProgram): WasmFilter => new WasmFilter(lower(program)),
});

/** A function on an arena, told by the arena's layout: no two have the same object. */
interface Recent {
  readonly layout: ArenaLayout;
  readonly output: Output | "run";
  readonly prefetch: boolean;
  readonly call: WasmFunction;
}

export class WasmFilter implements BatchFilter {
  readonly tier = "wasm";
  readonly #lowered: Lowered;
  /** False for programs that have no use of a packet's bytes: touching them ahead would be all that does. */
  readonly #readsPackets: boolean;
  readonly #modules = new Map<string, object>();
  /** The functions on each arena, by variant. */
  readonly #onArena = new WeakMap<Arena, Map<string, WasmFunction>>();
  readonly #calls: Calls;
  #own: OwnMemory | undefined;
  /** The functions used last: to find one by its variant costs as much as some hundred packets. */
  #recentRun: Recent | undefined;
  #recentBatch: Recent | undefined;

  constructor(lowered: Lowered) {
    this.#lowered = lowered;
    this.#readsPackets = lowered.blocks.some(({ ops }) => ops.some((op) => PACKET_LOADS.has(op.op)));
    this.#calls = new Calls(lowered);
    this.#module(OWN_VARIANT);
  }

  run(packet: Uint8Array, context: PacketContext = NO_CONTEXT): number {
    const { length } = packet;
    return this.#runCopied(packet, context, context.length ?? length);
  }

  match(bytes: Uint8Array, offset = 0, length = bytes.length - offset): number {
    return this.#runCopied(slice(bytes, offset, length), NO_CONTEXT, length);
  }

  /** The verdict on packet i of an arena, which is not copied. */
  matchAt(arena: Arena, i: number): number {
    if (this.#isBusy(arena)) return this.#runOf(arena, i, contextsOf(arena));
    const run = this.#prepared(arena, "run", false);
    const { layout, table, lengths } = arena;
    const length = table[2 * i + 1]!;
    const meta = arena.keepsMetadata ? layout.metadata + METADATA_BYTES * i : NO_METADATA;
    try {
      return run(table[2 * i]!, length, lengths === undefined ? length : lengths[i]!, meta, i) >>> 0;
    } catch (error) {
      throw isTrap(error) ? (outsideBatch(arena, i, i + 1) ?? error) : error;
    }
  }

  /** On an arena nothing is copied; `verdicts` may be the arena's own `output`. */
  runBatch(batch: PacketBatch, verdicts?: Uint32Array): number {
    if (!(batch instanceof Arena) || this.#isBusy(batch)) return this.#copyBatch(batch, verdicts);
    const matched = this.#runArena(batch, verdicts === undefined ? "count" : "verdicts");
    const { output } = batch;
    if (verdicts !== undefined && verdicts !== output) verdicts.set(output.subarray(0, batch.count));
    return matched;
  }

  /**
   * Numbers of the matching packets, ascending, in `indices` or the arena's `output`; returns how many there are.
   */
  matchIndices(arena: Arena, indices?: Uint32Array): number {
    if (this.#isBusy(arena)) return indicesOf(this.#copiedVerdicts(arena), arena.count, indices ?? arena.output);
    const matched = this.#runArena(arena, "indices");
    indices?.set(arena.output.subarray(0, matched));
    return matched;
  }

  /** Bit i % 8 of byte i / 8 is 1 when packet i matches, in `bitmap` or the arena's `output`; returns how many do. */
  matchBitmap(arena: Arena, bitmap?: Uint8Array): number {
    const bitsOfArena = (): Uint8Array =>
      new Uint8Array(arena.memory.buffer, arena.layout.output, Math.ceil(arena.count / 8));
    if (this.#isBusy(arena)) return bitmapOf(this.#copiedVerdicts(arena), arena.count, bitmap ?? bitsOfArena());
    const own = bitsOfArena().fill(0);
    const matched = this.#runArena(arena, "bitmap");
    bitmap?.set(own);
    return matched;
  }

  #runArena(arena: Arena, output: Output): number {
    const { layout, count, lengths } = arena;
    const prefetch = this.#readsPackets && arena.used > PREFETCH_BYTES;
    const batch = this.#prepared(arena, output, prefetch);
    const lengthsAt = lengths === undefined ? layout.table + 4 : layout.lengths;
    const lengthStep = lengths === undefined ? 8 : 4;
    const metaAt = arena.keepsMetadata ? layout.metadata : NO_METADATA;
    const metaStep = arena.keepsMetadata ? METADATA_BYTES : 0;
    let matched = 0;
    for (let from = 0; from < count; from += CHUNK) {
      const to = Math.min(from + CHUNK, count);
      const out = layout.output + (output === "verdicts" ? 4 * from : output === "indices" ? 4 * matched : 0);
      try {
        matched += batch(
          from,
          layout.table + 8 * from,
          layout.table + 8 * to,
          lengthsAt + lengthStep * from,
          lengthStep,
          metaAt + metaStep * from,
          metaStep,
          out,
        );
      } catch (error) {
        throw isTrap(error) ? (outsideBatch(arena, from, to) ?? error) : error;
      }
    }
    return matched;
  }

  /** The function for an arena, with the filter's tables in the arena's work area. */
  #prepared(arena: Arena, output: Output | "run", prefetch: boolean): WasmFunction {
    const { layout } = arena;
    let recent = output === "run" ? this.#recentRun : this.#recentBatch;
    if (recent?.layout !== layout || recent.output !== output || recent.prefetch !== prefetch) {
      recent = { layout, output, prefetch, call: this.#onArenaAs(arena, output, prefetch) };
      if (output === "run") this.#recentRun = recent;
      else this.#recentBatch = recent;
    }
    if (arena.tenant !== this) {
      putConstants(this.#lowered, arena.memory, arena.workArea);
      arena.tenant = this;
    }
    if (this.#calls.used) this.#calls.on(arena.memory, arena.workArea, arena);
    return recent.call;
  }

  #onArenaAs(arena: Arena, output: Output | "run", prefetch: boolean): WasmFunction {
    const { shared, workArea, layout } = arena;
    const variant: Variant = { output, shared, workArea, packets: layout.bytes, prefetch };
    let functions = this.#onArena.get(arena);
    if (functions === undefined) {
      functions = new Map();
      this.#onArena.set(arena, functions);
    }
    const key = keyOf(variant);
    let found = functions.get(key);
    if (found === undefined) {
      found = this.#instance(variant, arena.memory)[output === "run" ? "run" : "batch"]!;
      functions.set(key, found);
    }
    return found;
  }

  /** Any other batch: packet by packet, copied. */
  #copyBatch(batch: PacketBatch, verdicts: Uint32Array | undefined): number {
    const { count } = batch;
    const contexts = contextsOf(batch);
    let matched = 0;
    for (let i = 0; i < count; i++) {
      const verdict = this.#runOf(batch, i, contexts);
      if (verdict !== 0) matched++;
      if (verdicts !== undefined) verdicts[i] = verdict;
    }
    return matched;
  }

  #copiedVerdicts(arena: Arena): Uint32Array {
    const verdicts = new Uint32Array(arena.count);
    this.#copyBatch(arena, verdicts);
    return verdicts;
  }

  /** Packet i of a batch, copied. */
  #runOf(batch: PacketBatch, i: number, contexts: (i: number) => PacketContext): number {
    const context = contexts(i);
    const wire = batch.lengths?.[i] ?? context.length ?? batch.table[2 * i + 1]!;
    return this.#runCopied(packetOf(batch, i), context, wire);
  }

  /** True while a user's function runs that was called from this filter, or from another on this arena. */
  #isBusy(arena: Arena): boolean {
    return this.#calls.busy || arena.busy;
  }

  #runCopied(packet: Uint8Array, context: PacketContext, wire: number): number {
    if (this.#calls.busy) return new WasmFilter(this.#lowered).#runCopied(packet, context, wire);
    this.#own ??= this.#makeOwn();
    const own = this.#own;
    own.put(packet, context, this.#calls.readsMetadata);
    this.#calls.on(own.memory, WORK_AREA, undefined);
    this.#calls.packet = packet;
    this.#calls.context = context;
    return own.run(0, packet.length, wire, NO_METADATA, 0) >>> 0;
  }

  #makeOwn(): OwnMemory {
    const memory = createMemory(Math.ceil(OWN_PACKET / PAGE_BYTES) + 1);
    putConstants(this.#lowered, memory, WORK_AREA);
    return new OwnMemory(memory, this.#instance(OWN_VARIANT, memory).run!);
  }

  #instance(variant: Variant, memory: WasmMemory): Record<string, WasmFunction> {
    return instantiate(this.#module(variant), memory, this.#calls.imports);
  }

  #module(variant: Variant): object {
    const key = keyOf(variant);
    let module = this.#modules.get(key);
    if (module === undefined) {
      try {
        module = compileModule(printModule(this.#lowered, variant));
      } catch (cause) {
        throw new BpfError("unsupported", `this host takes no WebAssembly: ${(cause as Error).message}`, { cause });
      }
      this.#modules.set(key, module);
    }
    return module;
  }
}

function keyOf({ output, shared, workArea, packets, prefetch }: Variant): string {
  return `${output} ${shared} ${workArea} ${packets} ${prefetch}`;
}

function packetOf({ bytes, table }: PacketBatch, i: number): Uint8Array {
  return bytes.subarray(table[2 * i]!, table[2 * i]! + table[2 * i + 1]!);
}

function putConstants({ constants }: Lowered, memory: WasmMemory, workArea: number): void {
  new Int32Array(memory.buffer, workArea + CELL_BYTES, constants.length).set(constants);
}

/** The memory that packets from elsewhere are copied into, and the function on it. */
class OwnMemory {
  readonly memory: WasmMemory;
  readonly run: WasmFunction;
  #bytes: Uint8Array;
  #words: Int32Array;

  constructor(memory: WasmMemory, run: WasmFunction) {
    this.memory = memory;
    this.run = run;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#words = new Int32Array(memory.buffer);
  }

  put(packet: Uint8Array, context: PacketContext, withMetadata: boolean): void {
    const missing = OWN_PACKET + packet.length - this.#bytes.length;
    if (missing > 0) {
      this.memory.grow(Math.ceil(missing / PAGE_BYTES));
      this.#bytes = new Uint8Array(this.memory.buffer);
      this.#words = new Int32Array(this.memory.buffer);
    }
    this.#bytes.set(packet, OWN_PACKET);
    if (withMetadata) writeMetadata(this.#words, NO_METADATA, context);
  }
}

/** What the code imports: the slow paths, on the packet that is being run. */
class Calls {
  readonly imports: Record<Import, (...values: number[]) => number>;
  /** True when the code has imports. */
  readonly used: boolean;
  /** True when the code reads metadata records. */
  readonly readsMetadata: boolean;
  /** True while a user's function runs: what it runs in turn needs memory and registers of its own. */
  busy = false;
  /** The packet of a single run, when there is no batch. */
  packet: Uint8Array = new Uint8Array(0);
  context: PacketContext = NO_CONTEXT;
  #memory: WasmMemory | undefined;
  #workArea = 0;
  #batch: PacketBatch | undefined;
  #contexts: ((i: number) => PacketContext) | undefined;
  readonly #state: Mutable<MachineState> = {
    a: 0,
    x: 0,
    mem: new Uint32Array(BPF_MEMWORDS),
    packet: this.packet,
    context: NO_CONTEXT,
  };

  constructor(lowered: Lowered) {
    const reader = new AncillaryReader();
    this.used = importsOf(lowered).length > 0;
    this.readsMetadata = lowered.blocks.some(({ ops }) => ops.some((op) => op.op === "field" || op.op === "device"));
    this.imports = {
      far: (number, _ptr, length, offset, size) => {
        const [bytes, start] = this.#at(number!);
        return loadPacket(bytes, start, length!, this.#contextOf(number!), offset! >>> 0, size as 1 | 2 | 4);
      },
      ancillary: (number, _ptr, length, row, a, x) => {
        const [bytes, start] = this.#at(number!);
        const context = this.#contextOf(number!);
        this.#setBusy(true);
        try {
          return reader.read(row!, bytes, start, length!, context, a!, x!);
        } finally {
          this.#setBusy(false);
        }
      },
      extension: (number, _ptr, length, call, a, x) => this.#extension(lowered, number!, length!, call!, a!, x!),
      a: () => this.#state.a | 0,
      x: () => this.#state.x | 0,
    };
  }

  /** Says where the next calls come from. */
  on(memory: WasmMemory, workArea: number, batch: PacketBatch | undefined): void {
    this.#memory = memory;
    this.#workArea = workArea;
    if (batch !== this.#batch) this.#contexts = batch === undefined ? undefined : contextsOf(batch);
    this.#batch = batch;
  }

  #at(number: number): [bytes: Uint8Array, start: number] {
    const batch = this.#batch;
    return batch === undefined ? [this.packet, 0] : [batch.bytes, batch.table[2 * number]!];
  }

  #contextOf(number: number): PacketContext {
    return this.#contexts === undefined ? this.context : this.#contexts(number);
  }

  #extension(lowered: Lowered, number: number, length: number, call: number, a: number, x: number): number {
    const state = this.#state;
    const { run, instruction } = lowered.extensions[call]!;
    const { buffer } = this.#memory!;
    if (state.mem.buffer !== buffer || state.mem.byteOffset !== this.#workArea) {
      state.mem = new Uint32Array(buffer, this.#workArea, BPF_MEMWORDS);
    }
    const [bytes, start] = this.#at(number);
    state.a = a >>> 0;
    state.x = x >>> 0;
    state.packet = start === 0 && length === bytes.length ? bytes : bytes.subarray(start, start + length);
    state.context = this.#contextOf(number);
    this.#setBusy(true);
    try {
      const ended = run(state, instruction);
      return ended === undefined ? LOAD_FAILED : ended >>> 0;
    } finally {
      this.#setBusy(false);
    }
  }

  #setBusy(busy: boolean): void {
    this.busy = busy;
    if (this.#batch instanceof Arena) this.#batch.busy = busy;
  }
}
