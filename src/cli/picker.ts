/**
 * A program that picks packets out of captures, batch by batch.
 */
import type { CaptureBatch } from "../capture/batch.ts";
import type { PacketBatch, VerifiedProgram } from "../program/engine.ts";
import { type EngineName, engineNamed, type TieredFilter } from "../vm/tiers.ts";
import { needsContext, withContexts } from "./capture-context.ts";

export interface PickerOptions {
  /** Default "auto". */
  readonly engine?: EngineName | undefined;
  /** Cuts packets to so many bytes before the program sees them. */
  readonly snaplen?: number | undefined;
  /** Picks the packets with verdict 0. */
  readonly invert?: boolean | undefined;
}

export class Picker {
  readonly #filter: TieredFilter;
  /** The program asks for more than bytes and length. */
  readonly #contexts: boolean;
  readonly #snaplen: number | undefined;
  readonly #invert: boolean;
  #verdicts = new Uint32Array(0);

  constructor(program: VerifiedProgram, { engine = "auto", snaplen, invert = false }: PickerOptions) {
    this.#filter = engineNamed(engine).load(program);
    this.#contexts = needsContext(program);
    this.#snaplen = snaplen;
    this.#invert = invert;
  }

  /** How many packets of a batch are picked. */
  count(batch: CaptureBatch): number {
    const matched = this.#filter.runBatch(this.#subject(batch));
    return this.#invert ? batch.count - matched : matched;
  }

  /** Gives the number in the batch, from 0, and the verdict of each packet that is picked; returns how many are. */
  pick(batch: CaptureBatch, take: (i: number, verdict: number) => void): number {
    const { count } = batch;
    if (this.#verdicts.length < count) this.#verdicts = new Uint32Array(count);
    const verdicts = this.#verdicts;
    this.#filter.runBatch(this.#subject(batch), verdicts);
    let picked = 0;
    for (let i = 0; i < count; i++) {
      if ((verdicts[i] === 0) !== this.#invert) continue;
      picked++;
      take(i, verdicts[i]!);
    }
    return picked;
  }

  /** The batch, cut, as the engine takes it best. */
  #subject(batch: CaptureBatch): PacketBatch {
    if (this.#snaplen !== undefined) batch.cut(this.#snaplen);
    return this.#contexts ? withContexts(batch) : (batch.memory ?? batch);
  }
}
