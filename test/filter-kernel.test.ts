/**
 * Compiled filters in the kernel: they attach, and give the interpreter's verdicts there.
 * CBPF_LONG=1 takes every expression on every link type instead of one in twenty.
 */
import { afterAll, describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import { type CompiledFilter, compileFilter } from "../src/filter/index.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { status } from "../src/kernel/load.ts";
import { type KernelOracle, unixOracle } from "../src/kernel/oracle.ts";
import type { PacketBatch } from "../src/program/engine.ts";
import { DLTS, expressionsOf } from "./filter/expressions.ts";
import { pathPackets } from "./filter/path-packets.ts";
import { Random } from "./filter/random.ts";

const LONG = process.env.CBPF_LONG === "1";
const { available, message } = status();
if (!available) console.log(`filter-kernel: skipped, ${message}`);

/** One packet behind the other. */
function batchOf(packets: readonly Uint8Array[]): PacketBatch {
  const table = new Uint32Array(2 * packets.length);
  let end = 0;
  packets.forEach((packet, i) => {
    table.set([end, packet.length], 2 * i);
    end += packet.length;
  });
  const bytes = new Uint8Array(end);
  packets.forEach((packet, i) => {
    bytes.set(packet, table[2 * i]!);
  });
  return { bytes, table, count: packets.length };
}

function compiled(mode: "compatible" | "scoped", live: boolean): (readonly [string, CompiledFilter])[] {
  const all: (readonly [string, CompiledFilter])[] = [];
  for (const linktype of DLTS) {
    const random = new Random(linktype);
    for (const expression of [...expressionsOf("common"), ...(linktype === 1 ? expressionsOf("ethernet") : [])]) {
      if (!LONG && random.chance(0.95)) continue;
      try {
        const filter = compileFilter(expression, { linktype, mode, live, netmask: 0xffffff00 });
        all.push([`DLT ${linktype}, ${mode}: ${expression}`, filter]);
      } catch (error) {
        if (!(error instanceof BpfError) || error.code === "invalid-program") throw error;
      }
    }
  }
  return all;
}

describe.skipIf(!available)("the kernel", () => {
  let oracle: KernelOracle;
  if (available) oracle = unixOracle();
  afterAll(() => oracle.close());

  test.each([
    ["compatible", false],
    ["compatible", true],
    ["scoped", false],
  ] as const)(
    "takes every program and gives the interpreter's verdicts: %s, live %s",
    (mode, live) => {
      const random = new Random(3);
      const filters = compiled(mode, live);
      const refused: string[] = [];
      let [compared, verdicts] = [0, 0];
      for (const [name, { program, instructions }] of filters) {
        const acceptance = oracle.accepts(instructions);
        if (!acceptance.accepted) {
          refused.push(`${name}: ${acceptance.errno}`);
          continue;
        }
        if (!LONG && random.chance(0.7)) continue;
        const filter = interpreter.load(program);
        const packets = pathPackets(instructions, [new Uint8Array(100)], 12, random).filter(
          (packet) => packet.length > 0,
        );
        const expected = Uint32Array.from(packets, (packet) => filter.run(packet));
        const { mismatches, full, truncated } = oracle.compare(instructions, batchOf(packets), expected);
        expect(mismatches, name).toEqual([]);
        compared++;
        verdicts += full + truncated;
      }
      console.log(
        `filter-kernel: ${mode}, live ${live}: ${filters.length} programs attached, ${compared} compared on ${verdicts} packets`,
      );
      expect(refused).toEqual([]);
      expect(filters.length).toBeGreaterThan(LONG ? 10_000 : 400);
      expect(verdicts).toBeGreaterThan(1000);
    },
    600_000,
  );
});
