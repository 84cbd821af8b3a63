/**
 * The engine that runs programs as JavaScript functions.
 *
 * It reads any Uint8Array where it lies, so it is the engine for packets that the caller owns.  A host that forbids
 * code from strings (a content security policy, --disallow-code-generation-from-strings) and a program that is too
 * long are errors with code `unsupported`; the caller picks another engine then.
 */
import { BpfError } from "../base/errors.ts";
import type { MachineState } from "../isa/instruction-set.ts";
import { BPF_MEMWORDS } from "../isa/limits.ts";
import { AncillaryReader } from "../program/ancillary-reader.ts";
import { contextsFor } from "../program/batch-contexts.ts";
import type { BatchFilter, Engine, PacketBatch, VerifiedProgram } from "../program/engine.ts";
import { outsideArray, outsideBatch } from "../program/outside.ts";
import { NO_CONTEXT, type PacketContext } from "../program/packet-context.ts";
import { loadPacket } from "../program/packet-load.ts";
import type { Lowered } from "./ir.ts";
import { OUTSIDE, printBatch, printMatch } from "./js-functions.ts";
import { lower } from "./lower.ts";

type Match = (bytes: Uint8Array, offset?: number, length?: number, context?: PacketContext, wire?: number) => number;
type Batch = (
  bytes: Uint8Array,
  table: Uint32Array,
  from: number,
  to: number,
  context: ((i: number) => PacketContext) | undefined,
  lengths: Uint32Array | undefined,
  verdicts: Uint32Array | null,
) => number;

/**
 * The JavaScript engine.  `load` throws a BpfError `unsupported` where code from strings is forbidden, or for a
 * program of more than 1500 instructions, 500 labels, or with backward jumps.
 */
export const js: Engine<BatchFilter> = Object.freeze({
  name: "js",
  load: (program: VerifiedProgram): BatchFilter => new JsFilter(lower(program)),
});

class JsFilter implements BatchFilter {
  readonly tier = "js";
  readonly match: (bytes: Uint8Array, offset?: number, length?: number) => number;
  readonly #lowered: Lowered;
  readonly #code: Match;
  readonly #outside: Outside;
  #batch: Batch | undefined;

  constructor(lowered: Lowered) {
    this.#lowered = lowered;
    this.#outside = new Outside(lowered);
    this.#code = generate<Match>(printMatch(lowered), this.#outside);
    // without user code nothing but locals is written, so the generated function itself can be handed out
    this.match =
      lowered.extensions.length === 0
        ? this.#code
        : (bytes, offset, length) => this.#unused().#code(bytes, offset, length);
  }

  run(packet: Uint8Array, context?: PacketContext): number {
    const code = this.#unused().#code;
    if (context === undefined) return code(packet);
    const { length } = packet;
    return code(packet, 0, length, context, context.length ?? length);
  }

  runBatch(batch: PacketBatch, verdicts?: Uint32Array): number {
    const filter = this.#unused();
    filter.#batch ??= generate<Batch>(printBatch(this.#lowered), filter.#outside);
    const context = contextsFor(batch, this.#lowered.extensions.length > 0);
    try {
      return filter.#batch(batch.bytes, batch.table, 0, batch.count, context, batch.lengths, verdicts ?? null);
    } catch (error) {
      throw error instanceof RangeError ? (outsideBatch(batch, 0, batch.count) ?? error) : error;
    }
  }

  /** This filter; while a user's function runs that was called from it, one with scratch memory of its own. */
  #unused(): JsFilter {
    return this.#outside.calling ? new JsFilter(this.#lowered) : this;
  }
}

/** What generated code reaches: names are those of {@link OUTSIDE}. */
class Outside implements Record<(typeof OUTSIDE)[number], unknown> {
  readonly T: Int32Array;
  readonly B: Uint8Array;
  readonly M = new Int32Array(BPF_MEMWORDS);
  readonly S: MachineState;
  readonly none = NO_CONTEXT;
  readonly far: typeof loadPacket = loadPacket;
  readonly ancillary: AncillaryReader["read"];
  readonly extension: (
    number: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    context: PacketContext,
    a: number,
    x: number,
  ) => number | undefined;
  readonly outside = outside;
  calling = false;

  constructor(lowered: Lowered) {
    const reader = new AncillaryReader();
    this.T = lowered.constants;
    this.B = new Uint8Array(this.T.buffer);
    this.S = {
      a: 0,
      x: 0,
      mem: new Uint32Array(this.M.buffer),
      packet: new Uint8Array(0),
      context: NO_CONTEXT,
    };
    this.ancillary = (row, bytes, offset, length, context, a, x) =>
      reader.read(row, bytes, offset, length, context, a, x);
    this.extension = (number, bytes, offset, length, context, a, x) => {
      const { run, instruction } = lowered.extensions[number]!;
      const state = this.S;
      state.a = a >>> 0;
      state.x = x >>> 0;
      state.packet = offset === 0 && length === bytes.length ? bytes : bytes.subarray(offset, offset + length);
      state.context = context;
      this.calling = true;
      try {
        return run(state, instruction);
      } finally {
        this.calling = false;
      }
    };
  }
}

function outside(bytes: Uint8Array, offset: number, length: number): never {
  throw outsideArray(bytes, offset, length);
}

/** Turns source into a function; a host that forbids it, or runs out of parser stack, is `unsupported`. */
function generate<Code>(source: string, outer: Outside): Code {
  try {
    return new Function(...OUTSIDE, source)(...OUTSIDE.map((name) => outer[name])) as Code;
  } catch (cause) {
    throw new BpfError("unsupported", `this host takes no generated JavaScript: ${(cause as Error).message}`, {
      cause,
    });
  }
}
