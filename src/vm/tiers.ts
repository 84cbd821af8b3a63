/**
 * Which engine runs a program: the interpreter at once, compiled code when it pays.
 *
 * Compiling takes a fraction of a millisecond, the interpreter's packets some ten nanoseconds more than compiled
 * ones: after about two thousand packets compiling has paid.  A tier that cannot take a program (too long for
 * JavaScript, backward jumps, a host that forbids code generation) is passed over for the next one, and
 * `filter.tier` says which one runs.
 */
import { BpfError } from "../base/errors.ts";
import { interpreter } from "../interpreter/interpreter.ts";
import { js } from "../jit/js-engine.ts";
import { type WasmFilter, wasm } from "../jit/wasm-engine.ts";
import { Arena } from "../program/arena.ts";
import type { BatchFilter, Engine, Filter, PacketBatch, VerifiedProgram } from "../program/engine.ts";
import { bitmapOf, indicesOf } from "../program/matches.ts";
import { slice } from "../program/outside.ts";
import type { PacketContext } from "../program/packet-context.ts";

/** "auto" moves from the interpreter to compiled code; the others name the tier to try first. */
export type EngineName = "interpreter" | "js" | "wasm" | "auto";

/** Packets that the interpreter runs before "auto" compiles. */
export const PACKETS_BEFORE_COMPILING = 2000;

/** A filter that can move to a faster tier. */
export interface TieredFilter extends BatchFilter {
  /** The tier that ran last, or that will run next before anything ran: "interpreter", "js" or "wasm". */
  readonly tier: "interpreter" | "js" | "wasm";
  /** Compiles now what "auto" would compile later; for the others it does nothing.  Returns the filter. */
  compile(): TieredFilter;
  /** Numbers of the matching packets, ascending, into `indices`, which holds `batch.count`; returns how many match. */
  matchIndices(batch: PacketBatch, indices: Uint32Array): number;
  /** Bit i % 8 of byte i / 8 of `bitmap` becomes 1 when packet i matches, else 0; returns how many match. */
  matchBitmap(batch: PacketBatch, bitmap: Uint8Array): number;
}

/** The engine of a name.  Its filters fall through to the next tier for a program that a tier cannot take. */
export function engineNamed(name: EngineName): Engine<TieredFilter> {
  if (!Object.hasOwn(ENGINES, name)) {
    throw new BpfError(
      "bad-argument",
      `engine ${JSON.stringify(name)} is none of ${Object.keys(ENGINES)
        .map((known) => JSON.stringify(known))
        .join(", ")}`,
    );
  }
  return ENGINES[name];
}

type Tiers = "interpreter" | "js" | "wasm";

const ENGINES = Object.freeze({
  interpreter: engine("interpreter", ["interpreter"], ["interpreter"]),
  js: engine("js", ["js", "wasm", "interpreter"], ["js", "wasm", "interpreter"]),
  wasm: engine("wasm", ["wasm", "js", "interpreter"], ["wasm", "js", "interpreter"]),
  // packets anywhere are read where they lie by JavaScript, packets in an arena by WebAssembly
  auto: engine("auto", ["js", "wasm", "interpreter"], ["wasm", "js", "interpreter"]),
});

function engine(name: EngineName, anywhere: readonly Tiers[], arena: readonly Tiers[]) {
  return Object.freeze({
    name,
    load: (program: VerifiedProgram): TieredFilter => {
      const filter = new Tiered(program, anywhere, arena);
      return name === "auto" ? filter : filter.compile();
    },
  });
}

class Tiered implements TieredFilter {
  tier: Tiers = "interpreter";
  /** Own properties, so that compiled code takes their place and is called directly. */
  match: (bytes: Uint8Array, offset?: number, length?: number) => number;
  run: (packet: Uint8Array, context?: PacketContext) => number;
  readonly #program: VerifiedProgram;
  readonly #anywhereOrder: readonly Tiers[];
  readonly #arenaOrder: readonly Tiers[];
  readonly #loaded = new Map<Tiers, Filter | undefined>();
  #anywhere: Filter;
  #arena: Filter;
  #packets = 0;
  /** Each is compiled when it is used: a capture that is read into an arena wants no JavaScript. */
  #anywhereCompiled = false;
  #arenaCompiled = false;
  #verdicts = new Uint32Array(0);

  constructor(program: VerifiedProgram, anywhere: readonly Tiers[], arena: readonly Tiers[]) {
    this.#program = program;
    this.#anywhereOrder = anywhere;
    this.#arenaOrder = arena;
    this.#anywhere = interpreter.load(program);
    this.#arena = this.#anywhere;
    this.#loaded.set("interpreter", this.#anywhere);
    this.run = (packet, context) => {
      if (this.#pays(1)) this.#compileAnywhere();
      return this.#anywhere.run(packet, context);
    };
    this.match = (bytes, offset = 0, length = bytes.length - offset) => {
      if (this.#pays(1)) this.#compileAnywhere();
      return matchSlice(this.#anywhere, bytes, offset, length);
    };
  }

  compile(): this {
    this.#compileArena();
    return this.#compileAnywhere();
  }

  #compileArena(): void {
    if (this.#arenaCompiled) return;
    this.#arenaCompiled = true;
    this.#arena = this.#first(this.#arenaOrder);
  }

  #compileAnywhere(): this {
    if (this.#anywhereCompiled) return this;
    this.#anywhereCompiled = true;
    this.#anywhere = this.#first(this.#anywhereOrder);
    this.tier = this.#anywhere.tier as Tiers;
    const filter = this.#anywhere;
    this.run = (packet, context) => filter.run(packet, context);
    this.match = isBatchFilter(filter)
      ? filter.tier === "js"
        ? filter.match
        : (bytes, offset, length) => filter.match(bytes, offset, length)
      : (bytes, offset = 0, length = bytes.length - offset) => matchSlice(filter, bytes, offset, length);
    return this;
  }

  runBatch(batch: PacketBatch, verdicts?: Uint32Array): number {
    return this.#for(batch).runBatch(batch, verdicts);
  }

  matchIndices(batch: PacketBatch, indices: Uint32Array): number {
    const filter = this.#for(batch);
    if (filter.tier === "wasm" && batch instanceof Arena) return (filter as WasmFilter).matchIndices(batch, indices);
    return indicesOf(this.#verdictsOf(filter, batch), batch.count, indices);
  }

  matchBitmap(batch: PacketBatch, bitmap: Uint8Array): number {
    const filter = this.#for(batch);
    if (filter.tier === "wasm" && batch instanceof Arena) return (filter as WasmFilter).matchBitmap(batch, bitmap);
    return bitmapOf(this.#verdictsOf(filter, batch), batch.count, bitmap);
  }

  #verdictsOf(filter: Filter, batch: PacketBatch): Uint32Array {
    if (this.#verdicts.length < batch.count) this.#verdicts = new Uint32Array(batch.count);
    filter.runBatch(batch, this.#verdicts);
    return this.#verdicts;
  }

  #for(batch: PacketBatch): Filter {
    const inArena = batch instanceof Arena;
    if (this.#pays(batch.count)) inArena ? this.#compileArena() : this.#compileAnywhere();
    const filter = inArena ? this.#arena : this.#anywhere;
    this.tier = filter.tier as Tiers;
    return filter;
  }

  /** Counts packets; true when there were enough for compiling to pay. */
  #pays(packets: number): boolean {
    this.#packets += packets;
    return this.#packets > PACKETS_BEFORE_COMPILING;
  }

  /** The filter of the first tier that takes the program. */
  #first(order: readonly Tiers[]): Filter {
    for (const tier of order) {
      if (!this.#loaded.has(tier)) this.#loaded.set(tier, this.#load(tier));
      const filter = this.#loaded.get(tier);
      if (filter !== undefined) return filter;
    }
    throw new Error("internal: the interpreter takes every program");
  }

  #load(tier: Tiers): Filter | undefined {
    try {
      return tier === "js" ? js.load(this.#program) : wasm.load(this.#program);
    } catch (error) {
      if (error instanceof BpfError && error.code === "unsupported") return undefined;
      throw error;
    }
  }
}

function isBatchFilter(filter: Filter): filter is BatchFilter {
  return "match" in filter;
}

function matchSlice(filter: Filter, bytes: Uint8Array, offset: number, length: number): number {
  return filter.run(slice(bytes, offset, length));
}
