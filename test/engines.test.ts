// Corpus x engines: the only place that lists engines.
import { describe, expect, test } from "vitest";
import { contextOf } from "../src/conformance/corpus.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { createArena } from "../src/program/arena.ts";
import type { Engine, PacketBatch } from "../src/program/engine.ts";
import { verify } from "../src/verify/verify.ts";
import { engineNamed } from "../src/vm/tiers.ts";
import { corpusFiles } from "./corpus-files.ts";

const ENGINES: readonly Engine[] = [interpreter, engineNamed("js"), engineNamed("wasm")];

const CASES = corpusFiles().filter(({ runs }) => runs.length > 0);

describe.each(ENGINES.map((engine) => [engine.name, engine] as const))("%s", (_name, engine) => {
  test.each(CASES.map((file) => [file.name, file] as const))("%s", (_file, { instructions, profile, runs }) => {
    const filter = engine.load(verify(instructions, { profile }));
    for (const run of runs) {
      expect(filter.run(run.packet, contextOf(run)), `line ${run.line}, run`).toBe(run.verdict);
    }
    for (const run of runs) {
      // In a batch the packet stands between other bytes, which no load may see.
      const bytes = new Uint8Array(run.packet.length + 16).fill(0xa5);
      bytes.set(run.packet, 8);
      const context = contextOf(run);
      const batch: PacketBatch = {
        bytes,
        table: Uint32Array.of(8, run.packet.length),
        count: 1,
        context: () => context,
      };
      const verdicts = Uint32Array.of(0xdead);
      expect(filter.runBatch(batch, verdicts), `line ${run.line}, matched`).toBe(run.verdict === 0 ? 0 : 1);
      expect(verdicts[0], `line ${run.line}, batch`).toBe(run.verdict);

      // In an arena the context is kept as a record; RANDOM alone stays a function.
      const arena = createArena({ bytes: 1, packets: 1, metadata: true, lengths: true, random: context.random });
      arena.add(bytes.subarray(8, 8 + run.packet.length), context);
      expect(filter.runBatch(arena, verdicts.fill(0xdead)), `line ${run.line}, arena`).toBe(run.verdict === 0 ? 0 : 1);
      expect(verdicts[0], `line ${run.line}, arena`).toBe(run.verdict);
    }
  });
});
