/**
 * What is known about the packets of a batch.
 */
import type { PacketBatch } from "./engine.ts";
import { NO_CONTEXT, type PacketContext } from "./packet-context.ts";

/** Gives the context of packet i of a batch, as {@link PacketBatch} promises it; it holds until the next is asked for. */
export function contextsOf(batch: PacketBatch): (i: number) => PacketContext {
  if (batch.context !== undefined) return (i) => batch.context!(i);
  if (batch.lengths === undefined) return () => NO_CONTEXT;
  const context: { -readonly [Field in keyof PacketContext]: PacketContext[Field] } = { ...NO_CONTEXT };
  return (i) => {
    context.length = batch.lengths![i];
    return context;
  };
}
