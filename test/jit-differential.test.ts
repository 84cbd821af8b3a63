/**
 * Compiled code against the reference interpreter: random programs on random packets, full 32-bit verdicts.
 */
import { expect, test } from "vitest";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { js } from "../src/jit/js-engine.ts";
import { wasm } from "../src/jit/wasm-engine.ts";
import { createArena } from "../src/program/arena.ts";
import type { VerifiedProgram } from "../src/program/engine.ts";
import { NO_CONTEXT, type PacketContext } from "../src/program/packet-context.ts";
import { below, FIXED_RANDOM, mulberry32, randomContext, randomPacket, randomProgram } from "./random-programs.ts";

const SEED = Number(process.env.SEED ?? 1);
const PROGRAMS = Number(process.env.PROGRAMS ?? (process.env.CBPF_LONG === "1" ? 150_000 : 1_500));
const PACKETS = 20;

const ANONYMOUS: PacketContext = { ...NO_CONTEXT, random: () => FIXED_RANDOM };

function listing(program: VerifiedProgram): string {
  return program.instructions.map((i, n) => `${n}: ${i.code.toString(16)} ${i.jt} ${i.jf} ${i.k}`).join("\n");
}

test(`${PROGRAMS} random programs, ${PACKETS} packets each: every compiled form agrees with the interpreter`, () => {
  let cases = 0;
  for (let n = 0; n < PROGRAMS; n++) {
    const seed = SEED + n;
    const random = mulberry32(seed);
    const program = randomProgram(random, 1 + below(random, n % 10 === 0 ? 200 : 40));
    const reference = interpreter.load(program);
    const jsFilter = js.load(program);
    const wasmFilter = wasm.load(program);
    const arena = createArena({
      bytes: 64,
      packets: 1,
      lengths: n % 2 === 0,
      metadata: n % 3 !== 0,
      random: () => FIXED_RANDOM,
    });
    const want: number[] = [];
    const wrong = (form: string, i: number, got: number): void => {
      expect.fail(
        `${form} gives ${got} for packet ${i} where the interpreter gives ${want[i]}\n` +
          `rerun: SEED=${seed} PROGRAMS=1 npx vitest run test/jit-differential.test.ts\n${listing(program)}`,
      );
    };
    const usesRandom = program.instructions.some((i) => i.k === 0xfffff038);
    for (let i = 0; i < PACKETS; i++) {
      const packet = randomPacket(random);
      const context = i % 4 === 0 ? ANONYMOUS : randomContext(random);
      const inArena = {
        ...(arena.keepsMetadata ? context : ANONYMOUS),
        before: arena.keepsMetadata ? context.before : NO_CONTEXT.before,
        length: arena.lengths === undefined ? undefined : (context.length ?? packet.length),
      };
      // alone
      want[i] = reference.run(packet, context);
      for (const filter of [jsFilter, wasmFilter]) {
        const got = filter.run(packet, context);
        if (got !== want[i]) wrong(`${filter.tier} run`, i, got);
        cases++;
      }
      // in the middle of something else
      const shifted = new Uint8Array(packet.length + 7).fill(0xaa);
      shifted.set(packet, 3);
      want[i] = reference.run(packet);
      for (const filter of usesRandom ? [] : [jsFilter, wasmFilter]) {
        const got = filter.match(shifted, 3, packet.length);
        if (got !== want[i]) wrong(`${filter.tier} match`, i, got);
        cases++;
      }
      arena.add(packet, inArena);
      want[i] = reference.run(packet, inArena);
    }
    const matches = want.flatMap((verdict, i) => (verdict === 0 ? [] : [i]));
    const verdicts = new Uint32Array(PACKETS);
    for (const filter of [reference, jsFilter, wasmFilter]) {
      const count = filter.runBatch(arena, verdicts.fill(77));
      verdicts.forEach((got, i) => {
        if (got !== want[i]) wrong(`${filter.tier} batch`, i, got);
      });
      if (count !== matches.length || filter.runBatch(arena) !== count) wrong(`${filter.tier} batch count`, 0, count);
      cases += PACKETS;
    }
    const indices = new Uint32Array(PACKETS);
    expect([...indices.subarray(0, wasmFilter.matchIndices(arena, indices))]).toEqual(matches);
    const bitmap = new Uint8Array(Math.ceil(PACKETS / 8));
    wasmFilter.matchBitmap(arena, bitmap);
    expect(want.map((_v, i) => (bitmap[i >> 3]! >> (i & 7)) & 1)).toEqual(want.map((v) => (v === 0 ? 0 : 1)));
    want.forEach((_verdict, i) => {
      const got = wasmFilter.matchAt(arena, i);
      if (got !== want[i]) wrong("wasm matchAt", i, got);
    });
  }
  expect(cases).toBeGreaterThan(PROGRAMS * PACKETS);
}, 3_600_000);
