/**
 * Sieves in front of rule lists: none of their keys is lost, and what passes for nothing is tested.
 */
import { describe, expect, test } from "vitest";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { CODE } from "../src/isa/opcodes.ts";
import { ordered } from "../src/jit/byte-order.ts";
import type { Op, Order } from "../src/jit/ir.ts";
import { js } from "../src/jit/js-engine.ts";
import { lower } from "../src/jit/lower.ts";
import { sieveOf } from "../src/jit/sieves.ts";
import { Tables } from "../src/jit/tables.ts";
import { wasm } from "../src/jit/wasm-engine.ts";
import { CELL_BYTES } from "../src/jit/wasm-interface.ts";
import { WORK_AREA_BYTES } from "../src/program/arena.ts";
import type { VerifiedProgram } from "../src/program/engine.ts";
import { jump, stmt } from "../src/program/instruction.ts";
import { verify } from "../src/verify/verify.ts";

const HOSTS = Array.from({ length: 40 }, (_, i) => (0x0a000001 + i * 0x01030507) >>> 0);
const PORTS = Array.from({ length: 20 }, (_, i) => 1000 + 131 * i);

describe("a sieve", () => {
  const value = (size: 1 | 2 | 4, order: Order, ...masks: number[]): Op[] => [
    { op: "load", k: 10, size, order },
    ...masks.map((k): Op => ({ op: "alu", alu: "and", src: "k", k: ordered(k, size, order) })),
  ];
  const keysIn = (order: Order, size: 2 | 4, keys: readonly number[]): Set<number> =>
    new Set(keys.map((key) => ordered(key, size, order) | 0));

  test.each([
    ["hosts, by the end of the address", 4, HOSTS, [], 12],
    ["networks of 16 bits, by its front", 4, HOSTS.map((key) => (key & 0xffff0000) >>> 0), [0xffff0000], 10],
    ["ports", 2, PORTS, [], 10],
    ["ports under two masks that keep them", 2, PORTS, [0xffff, 0xfffffff], 10],
  ] as const)("%s", (_name, size, keys, masks, k) => {
    const orders: Order[] = size === 2 ? ["host", "memory", "spread"] : ["host", "memory"];
    for (const order of orders) {
      const sieve = sieveOf(value(size, order, ...masks), keysIn(order, size, keys))!;
      expect(sieve.k).toBe(k);
      const places = keys.map((key) => {
        const packet = new DataView(new ArrayBuffer(14));
        if (size === 4) packet.setUint32(10, key);
        else packet.setUint16(10, key);
        return packet.getUint16(k, true) % sieve.bytes.length;
      });
      expect(places.map((at) => sieve.bytes[at])).toEqual(keys.map(() => 1));
      expect(sieve.bytes.reduce((sum, byte) => sum + byte, 0)).toBe(new Set(places).size);
    }
  });

  test.each([
    ["bytes, which are few", value(1, "host"), [1, 2, 3]],
    ["networks of 8 bits", value(4, "memory", 0xff000000), [10, 11, 12]],
    ["networks of 12 bits", value(4, "host", 0xfff00000), [0x0a000000, 0x0a100000]],
    ["more than 1024 keys", value(4, "host"), Array.from({ length: 1025 }, (_, i) => i)],
  ] as const)("is not made for %s", (_name, ops, keys) => {
    expect(sieveOf(ops, new Set(keys))).toBeUndefined();
  });

  test.each([
    [1, 1024],
    [16, 1024],
    [17, 2048],
    [200, 16384],
    [1024, 16384],
  ])("for %i keys has %i bytes", (count, bytes) => {
    const keys = new Set(Array.from({ length: count }, (_, i) => i));
    expect(sieveOf(value(4, "host"), keys)!.bytes.length).toBe(bytes);
  });

  test("of equal bytes shares a place, and one without room is not added", () => {
    const tables = new Tables();
    const [hash] = tables.add([[1, 2, 3]])!;
    const [first, other] = [Uint8Array.of(1, 0, 0, 0), Uint8Array.of(0, 1, 0, 0)];
    const [a, b, again] = tables.addSieves([first, other, first.slice()])!;
    expect(again).toBe(a);
    expect([a!.at, b!.at]).toEqual([hash!.slots.length, hash!.slots.length + 1]);
    expect([...new Uint8Array(tables.constants().buffer).subarray(4 * a!.at)]).toEqual([1, 0, 0, 0, 0, 1, 0, 0]);
    const before = tables.constants();
    expect(tables.addSieves([new Uint8Array(4), new Uint8Array(4 * 12288)])).toBeUndefined();
    expect(tables.constants()).toEqual(before);
  });

  test("and a hash fill the room for tables to the last slot, and a work area holds them", () => {
    const tables = new Tables();
    const [hash] = tables.add([[1, 2, 3]])!;
    const rest = new Uint8Array(4 * (12288 - hash!.slots.length));
    expect(tables.addSieves([rest])).toBeDefined();
    expect(tables.addSieves([new Uint8Array(4)])).toBeUndefined();
    expect(tables.add([[1, 2]])).toBeUndefined();
    expect(tables.constants().length).toBe(12288);
    expect(CELL_BYTES + tables.constants().byteLength).toBeLessThanOrEqual(WORK_AREA_BYTES);
  });
});

/** Asks for keys at three places in turn: bytes 2..5, 6..9 (a network, where masked) and 10..11. */
function listOf(mask: number): { program: VerifiedProgram; packets: Uint8Array[] } {
  const body = HOSTS.flatMap((host, i) => {
    const port = PORTS[i % PORTS.length]!;
    return [
      ...[stmt(CODE.ldw_abs, 2), jump(CODE.jeq_k, host, 0, 1), stmt(CODE.ret_k, i + 1)],
      ...[stmt(CODE.ldw_abs, 6), stmt(CODE.and_k, mask), jump(CODE.jeq_k, (host & mask) >>> 0, 0, 1)],
      stmt(CODE.ret_k, 100 + i),
      ...[stmt(CODE.ldh_abs, 10), jump(CODE.jeq_k, port, 0, 1), stmt(CODE.ret_k, 200 + i)],
    ];
  });
  const packets: Uint8Array[] = [];
  const near = (key: number): number[] => [key, key ^ 0x01000000, key ^ 0x100, key ^ 0x20, key ^ 0x8000];
  const add = (first: number, second: number, third: number): void => {
    const packet = new DataView(new ArrayBuffer(12));
    packet.setUint32(2, first);
    packet.setUint32(6, second);
    packet.setUint16(10, third);
    packets.push(new Uint8Array(packet.buffer));
  };
  for (const host of HOSTS) {
    for (const key of near(host)) {
      add(key, 0, 0);
      add(0, key, 0);
      add(key, 0, PORTS[3]!);
    }
  }
  for (const port of PORTS) for (const key of near(port)) add(0, 0, key & 0xffff);
  return { program: verify([...body, stmt(CODE.ret_k, 0)]), packets };
}

/** What stands in front of each chain: the tests, and where a packet goes from each when it holds, and when not. */
function shortcutsOf(program: VerifiedProgram): string[][] {
  const { blocks } = lower(program);
  return blocks.flatMap(({ ending: guard }, number) => {
    if (guard.end !== "branch" || guard.test.test !== "captured") return [];
    const chain = guard.no;
    const way = (to: number, from: number): string => (to === chain ? "chain" : to === from + 1 ? "next" : "end");
    const steps = blocks.slice(number + 1, chain).map(({ ending }, i) => {
      if (ending.end !== "branch") return ending.end;
      const { test, yes, no } = ending;
      const asked = test.test === "sieve" ? `sieve ${test.places.map(({ k }) => k).join(" ")}` : test.test;
      return `${asked}: ${way(yes, number + 1 + i)}, ${way(no, number + 1 + i)}`;
    });
    return [steps];
  });
}

describe("a list of rules behind a sieve", () => {
  const probes = ["probe: chain, next", "probe: chain, next", "probe: chain, end"];
  test.each([
    ["addresses and ports", 0xffffffff, ["sieve 4 8 10: next, end", ...probes]],
    ["addresses, networks and ports", 0xffff0000, ["sieve 4 6 10: next, end", ...probes]],
    ["networks of 8 bits among them, which no sieve holds back", 0xff000000, probes],
  ] as const)("%s", (_name, mask, steps) => {
    const { program, packets } = listOf(mask);
    expect(shortcutsOf(program)).toEqual([steps]);
    const reference = interpreter.load(program);
    const verdicts = new Set<number>();
    for (const filter of [js.load(program), wasm.load(program)]) {
      for (const packet of packets) {
        for (let length = 0; length <= packet.length; length++) {
          const want = reference.run(packet.subarray(0, length));
          verdicts.add(want);
          const got = filter.match(packet, 0, length);
          if (got !== want) expect.fail(`${filter.tier}, ${packet} cut to ${length}: ${got}, not ${want}`);
        }
      }
    }
    expect(verdicts.size).toBeGreaterThan(60);
  });

  /** Tests of values in turn: a word at 0, at 4, and so on. */
  const inTurn = (tests: number, values: number): VerifiedProgram =>
    verify([
      ...Array.from({ length: tests }, (_, i) => [
        stmt(CODE.ldw_abs, 4 * (i % values)),
        jump(CODE.jeq_k, 1000 + i, 0, 1),
        stmt(CODE.ret_k, 1),
      ]).flat(),
      stmt(CODE.ret_k, 0),
    ]);
  test.each([
    [16, 4, ["sieve 2 6 10 14"]],
    [15, 4, []],
    [40, 5, []],
  ] as const)("%i tests of %i values in turn", (tests, values, sieves) => {
    expect(shortcutsOf(inTurn(tests, values)).map(([first]) => first!.split(":")[0])).toEqual(sieves);
  });
});
