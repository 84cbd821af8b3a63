/**
 * Sieves in front of rule lists: none of their keys is lost, and what passes for nothing is tested.
 */
import { describe, expect, test } from "vitest";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { CODE } from "../src/isa/opcodes.ts";
import { swap } from "../src/jit/byte-order.ts";
import type { Op, Order } from "../src/jit/ir.ts";
import { js } from "../src/jit/js-engine.ts";
import { lower } from "../src/jit/lower.ts";
import { sieveOf } from "../src/jit/sieves.ts";
import { Tables } from "../src/jit/tables.ts";
import { wasm } from "../src/jit/wasm-engine.ts";
import type { VerifiedProgram } from "../src/program/engine.ts";
import { jump, stmt } from "../src/program/instruction.ts";
import { verify } from "../src/verify/verify.ts";

const HOSTS = Array.from({ length: 40 }, (_, i) => (0x0a000001 + i * 0x01030507) >>> 0);
const PORTS = Array.from({ length: 20 }, (_, i) => 1000 + 131 * i);

describe("a sieve", () => {
  const value = (size: 1 | 2 | 4, order: Order, ...masks: number[]): Op[] => [
    { op: "load", k: 10, size, order },
    ...masks.map(
      (k): Op => ({ op: "alu", alu: "and", src: "k", k: order === "host" || size === 1 ? k : swap(k, size) }),
    ),
  ];
  const keysIn = (order: Order, size: 2 | 4, keys: readonly number[]): Set<number> =>
    new Set(keys.map((key) => (order === "host" ? key : swap(key, size) | 0)));

  test.each([
    ["hosts, by the end of the address", 4, HOSTS, [], 12],
    ["networks of 16 bits, by its front", 4, HOSTS.map((key) => (key & 0xffff0000) >>> 0), [0xffff0000], 10],
    ["ports", 2, PORTS, [], 10],
    ["ports under two masks that keep them", 2, PORTS, [0xffff, 0xfffffff], 10],
  ] as const)("%s", (_name, size, keys, masks, k) => {
    for (const order of ["host", "memory"] as const) {
      const sieve = sieveOf(value(size, order, ...masks), keysIn(order, size, keys))!;
      expect(sieve.k).toBe(k);
      expect(sieve.mask).toBe(sieve.bytes.length - 1);
      const places = keys.map((key) => {
        const packet = new DataView(new ArrayBuffer(14));
        if (size === 4) packet.setUint32(10, key);
        else packet.setUint16(10, key);
        return packet.getUint16(k, true) & sieve.mask;
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

describe("a list of rules behind a sieve", () => {
  test.each([
    ["addresses and ports", 0xffffffff, [4, 8, 10]],
    ["addresses, networks and ports", 0xffff0000, [4, 6, 10]],
    ["networks of 8 bits among them, which no sieve holds back", 0xff000000, undefined],
  ] as const)("%s", (_name, mask, places) => {
    const { program, packets } = listOf(mask);
    const sieves = lower(program).blocks.flatMap(({ ending }) =>
      ending.end === "branch" && ending.test.test === "sieve" ? [ending.test.places.map(({ k }) => k)] : [],
    );
    expect(sieves).toEqual(places === undefined ? [] : [places]);
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
});
