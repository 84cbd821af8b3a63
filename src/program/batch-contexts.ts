/**
 * What is known about the packets of a batch.
 */
import type { Mutable } from "../base/mutable.ts";
import type { PacketBatch } from "./engine.ts";
import { NO_CONTEXT, type PacketContext } from "./packet-context.ts";

/** Gives the context of packet i of a batch, as {@link PacketBatch} promises it; it holds until the next is asked for. */
export function contextsOf(batch: PacketBatch): (i: number) => PacketContext {
  if (batch.context !== undefined) return (i) => batch.context!(i);
  if (batch.lengths === undefined) return () => NO_CONTEXT;
  const context: Mutable<PacketContext> = { ...NO_CONTEXT };
  return (i) => {
    context.length = batch.lengths![i];
    return context;
  };
}

/**
 * As {@link contextsOf}, or undefined where nobody could tell: an engine takes the length on the wire from the batch,
 * so without contexts of the batch's own user code alone can see that it is in one.
 */
export function contextsFor(batch: PacketBatch, userCode: boolean): ((i: number) => PacketContext) | undefined {
  return batch.context === undefined && !userCode ? undefined : contextsOf(batch);
}
