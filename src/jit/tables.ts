/**
 * The tables of a program: perfect hashes and sieves, one behind the other.
 */
import type { HashTable, Table } from "./ir.ts";
import { perfectHash } from "./perfect-hash.ts";

/** Most slots of all tables of a program, 48 KiB: a work area has room for them. */
const ROOM = 12288;

export class Tables {
  readonly #hashes = new Map<string, HashTable>();
  readonly #sieves = new Map<string, Table>();
  #end = 0;

  /**
   * A table for each set of at least one key; equal sets share one.  Undefined, and nothing is added, when a table
   * without collisions was not found in the room that is left.
   */
  add(sets: readonly (readonly number[])[]): HashTable[] | undefined {
    const keys = sets.map((set) => set.map((key) => key | 0).sort((a, b) => a - b)); // one order, one name
    return this.#place(this.#hashes, keys.map(String), (i, at) => perfectHash(keys[i]!, at, ROOM - at));
  }

  /** Sieves with these bytes; equal ones share a place.  Undefined, and nothing is added, where there is no room. */
  addSieves(sieves: readonly Uint8Array[]): Table[] | undefined {
    return this.#place(this.#sieves, sieves.map(String), (i, at) => {
      const slots = new Int32Array(sieves[i]!.slice().buffer);
      return at + slots.length > ROOM ? undefined : { at, slots };
    });
  }

  /** Slots of every table. */
  constants(): Int32Array {
    const constants = new Int32Array(this.#end);
    for (const tables of [this.#hashes, this.#sieves]) {
      for (const { at, slots } of tables.values()) constants.set(slots, at);
    }
    return constants;
  }

  #place<T extends Table>(
    known: Map<string, T>,
    names: readonly string[],
    make: (i: number, at: number) => T | undefined,
  ): T[] | undefined {
    const all = new Map(known);
    let end = this.#end;
    const found: T[] = [];
    for (const [i, name] of names.entries()) {
      const table = all.get(name) ?? make(i, end);
      if (table === undefined) return undefined;
      if (!all.has(name)) end += table.slots.length;
      all.set(name, table);
      found.push(table);
    }
    for (const [name, table] of all) known.set(name, table);
    this.#end = end;
    return found;
  }
}
