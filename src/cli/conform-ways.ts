/**
 * The ways into a compiled engine besides one packet at a time: batches, and packets of an arena.
 *
 * The packets of a trial stand in one piece of memory, between other bytes, which no load may see.
 */
import { contextFrom } from "../conformance/packet-text.ts";
import { loads } from "../conformance/random-trials.ts";
import type { Asking, Failure, Sample } from "../conformance/trial.ts";
import type { WasmFilter } from "../jit/wasm-engine.ts";
import { type Arena, createArena } from "../program/arena.ts";
import type { Filter, PacketBatch } from "../program/engine.ts";
import { NO_CONTEXT, type PacketContext } from "../program/packet-context.ts";

/** Bytes between two packets, and what they hold. */
const GAP = Uint8Array.of(0xa5, 0x5a, 0xff, 0x00, 0x45);

/** One `runBatch` over packets in an array, each with the context that it has. */
export const askBatch: Asking = (filter, { samples }) => {
  const total = samples.reduce((sum, { packet }) => sum + packet.length + GAP.length, 0);
  const bytes = new Uint8Array(total);
  const table = new Uint32Array(2 * samples.length);
  let at = 0;
  for (const [i, { packet }] of samples.entries()) {
    bytes.set(GAP, at);
    at += GAP.length;
    bytes.set(packet, at);
    table.set([at, packet.length], 2 * i);
    at += packet.length;
  }
  const contexts = samples.map(({ context }) => contextFrom(context));
  return runBatch(filter, { bytes, table, count: samples.length, context: (i) => contexts[i]! });
};

/** One `runBatch` over packets in an arena. */
export function askArena(): Asking<WasmFilter> {
  const shelf = new Shelf();
  return (filter, { instructions, samples }) => {
    // an arena has one source of random numbers, a sample one of its own
    const groups = loads(instructions, "RANDOM") ? samples.map((sample) => [sample]) : [samples];
    const verdicts: number[] = [];
    for (const group of groups) {
      shelf.put(group);
      const found = runBatch(filter, shelf.arena);
      if ("failed" in found) return found;
      verdicts.push(...found);
    }
    return verdicts;
  };
}

/** `matchAt` of each packet in an arena. */
export function askInArena(): Asking<WasmFilter> {
  const shelf = new Shelf();
  return (filter, { samples }) => {
    shelf.put(samples);
    return samples.map((_sample, i) => {
      shelf.drawFrom(i);
      return filter.matchAt(shelf.arena, i);
    });
  };
}

/** The verdicts of a batch; the number of matches must be theirs. */
function runBatch(filter: Filter, batch: PacketBatch): number[] | Failure {
  const verdicts = new Uint32Array(batch.count);
  const matched = filter.runBatch(batch, verdicts);
  const counted = verdicts.reduce((sum, verdict) => sum + (verdict === 0 ? 0 : 1), 0);
  if (matched !== counted) return { failed: `runBatch returns ${matched} for ${counted} matches` };
  return [...verdicts];
}

/** An arena that holds the samples of one trial after the other. */
class Shelf {
  readonly arena: Arena = createArena({ lengths: true, metadata: true, random: () => this.#random() });
  #contexts: readonly PacketContext[] = [];
  #random = NO_CONTEXT.random;

  /** Puts samples in the place of what was there; random numbers are those of the first. */
  put(samples: readonly Sample[]): void {
    const { arena } = this;
    arena.clear();
    this.#contexts = samples.map(({ context }) => contextFrom(context));
    for (const [i, { packet }] of samples.entries()) {
      arena.reserve({ bytes: arena.used + GAP.length });
      arena.bytes.set(GAP, arena.used);
      arena.used += GAP.length;
      arena.add(packet, this.#contexts[i]!);
    }
    if (samples.length > 0) this.drawFrom(0);
  }

  /** Random numbers are those of sample i from here on. */
  drawFrom(i: number): void {
    this.#random = this.#contexts[i]!.random;
  }
}
