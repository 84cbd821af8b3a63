/**
 * Packets as a network shows them to a filter: which bytes were sent, and what a filter saw of each, bytes and context.
 *
 * On a network the kernel takes tags away, adds headers and fills in fields; who can observe that comes in as a value.
 * A contestant made from it sends a packet again, and knows every other packet as one it cannot show.
 */
import type { PacketBatch } from "../program/engine.ts";
import { batchOf, type Oracle, oracleContestant } from "./oracle-contestant.ts";
import type { ContextFields } from "./packet-text.ts";
import type { Contestant, Sample } from "./trial.ts";

/** What src/kernel's NetworkOracle can do beside comparing. */
export interface Observer extends Oracle {
  observe(batch: PacketBatch): {
    readonly sent: PacketBatch;
    readonly seen: PacketBatch;
    readonly lost: readonly number[];
  };
}

export interface Observed {
  /** Packets as filters see them. */
  readonly pool: readonly Sample[];
  readonly contestant: Contestant;
  /** Packets that no filter got to see. */
  readonly lost: number;
}

/** Sends each packet once and gives what filters see, and a contestant for trials with those samples. */
export function observe(
  observer: Observer,
  packets: readonly Uint8Array[],
  options: { readonly name: string; readonly version: string },
): Observed {
  const { sent, seen, lost } = observer.observe(batchOf(packets));
  const sentAs = new Map<Sample, Uint8Array>();
  const pool: Sample[] = [];
  for (let i = 0; i < seen.count; i++) {
    const sample = { packet: packetAt(seen, i), context: fieldsOf(seen, i) };
    pool.push(sample);
    sentAs.set(sample, packetAt(sent, i));
  }
  const contestant = oracleContestant(observer, {
    ...options,
    cannotShow: (sample) => (sentAs.has(sample) ? undefined : "a packet that was not observed here"),
    sent: (sample) => sentAs.get(sample)!,
  });
  return { pool, contestant, lost: lost.length };
}

function packetAt({ bytes, table }: PacketBatch, i: number): Uint8Array {
  return bytes.slice(table[2 * i]!, table[2 * i]! + table[2 * i + 1]!);
}

function fieldsOf(batch: PacketBatch, i: number): ContextFields {
  const { random: _, ...fields } = batch.context!(i);
  return fields;
}
