/**
 * Compiled engines where room is short: programs of 4096 instructions, small stacks, hosts that forbid code from strings
 * or WebAssembly, and the heap over ten million packets.  Each runs in a Node process of its own.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { afterAll, describe, expect, test } from "vitest";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { BPF_MAXINSNS } from "../src/isa/limits.ts";
import { packetContext } from "../src/program/packet-context.ts";
import { longPrograms } from "./long-programs.ts";

const FOLDER = mkdtempSync(join(tmpdir(), "cbpf-jit-"));
afterAll(() => rmSync(FOLDER, { recursive: true }));

/** Runs a program of test/programs; returns what it prints, as JSON. */
function runProgram(name: string, flags: readonly string[], ...args: string[]): unknown {
  const outfile = join(FOLDER, `${name}.mjs`);
  const entry = fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url));
  buildSync({ entryPoints: [entry], outfile, bundle: true, format: "esm", platform: "neutral" });
  return JSON.parse(execFileSync(process.execPath, [...flags, outfile, ...args], { encoding: "utf8" }));
}

interface Answer {
  readonly shape: string;
  readonly name: string;
  readonly tier: string;
  readonly verdicts: readonly number[];
}

describe("programs of every shape", () => {
  /** Lengths of the packets, the longest first; the bytes and the context are those of programs/jit-long.ts. */
  const LENGTHS = [64, 300, 41, 1, 0];
  const context = packetContext({ ifindex: 3, random: () => 9, before: new Uint8Array(8).fill(7), mac: -8 });
  const verdictsOf = (size: number): Map<string, number[]> =>
    new Map(
      [...longPrograms(size)].map(([shape, program]) => {
        const filter = interpreter.load(program);
        return [
          shape,
          LENGTHS.map((length) =>
            filter.run(
              Uint8Array.from({ length }, (_, i) => i * 37 + 11),
              context,
            ),
          ),
        ];
      }),
    );

  test.each([
    [BPF_MAXINSNS, "984", ["wasm"]], // 984 KB is what Node takes of a thread of 1 MB
    [1500, "984", ["js", "wasm"]], // the most that JavaScript takes
    [1500, "300", ["js", "wasm"]],
  ])("%i instructions on a stack of %s KB", (size, stack, tiers) => {
    const want = verdictsOf(size);
    const answers = runProgram("jit-long", [`--stack-size=${stack}`], `${size}`, JSON.stringify(LENGTHS)) as Answer[];
    expect(answers.length).toBe(3 * want.size);
    expect(new Set(answers.map(({ tier }) => tier))).toEqual(new Set(tiers));
    for (const { shape, name, verdicts } of answers) {
      expect(verdicts, `${shape}, ${name}`).toEqual(want.get(shape));
      expect(verdicts[0], `${shape} shows nothing`).not.toBe(0);
    }
  });
});

describe("hosts", () => {
  const run = (flags: string[], ...args: string[]): Record<string, string> =>
    runProgram("jit-host", flags, ...args) as Record<string, string>;
  const everything = (tier: string): Record<string, string> => ({
    js: `${tier} 1`,
    wasm: `${tier} 1`,
    auto: `${tier} 1`,
    arena: `${tier} 1`,
    long: `${tier} 1`,
    labels: `${tier} 1`,
  });

  test("a plain one runs short programs as js and wasm", () => {
    expect(run([])).toEqual({ ...everything("js"), wasm: "wasm 1", arena: "wasm 1", long: "wasm 1" });
  });

  test("one that forbids code from strings has wasm left", () => {
    expect(run(["--disallow-code-generation-from-strings"])).toEqual(everything("wasm"));
  });

  test("one without WebAssembly has js left, and the interpreter for long programs", () => {
    expect(run(["--jitless"])).toEqual({ ...everything("js"), long: "interpreter 1", arena: "no arena" });
  });

  test("one with neither has the interpreter", () => {
    expect(run(["--jitless", "--disallow-code-generation-from-strings"])).toEqual({
      ...everything("interpreter"),
      arena: "no arena",
    });
  });

  test("a content security policy without unsafe-eval forbids both, and leaves memories", () => {
    expect(run([], "script-src 'self'")).toEqual(everything("interpreter"));
  });

  test("one with wasm-unsafe-eval allows wasm", () => {
    expect(run([], "script-src 'self' 'wasm-unsafe-eval'")).toEqual(everything("wasm"));
  });

  test("a stack of 300 KB is enough, or the next tier takes over", () => {
    const small = run(["--stack-size=300"]);
    expect(small.long).toBe("wasm 1");
    expect(["js 1", "wasm 1"]).toContain(small.labels);
  });
});

describe("packets leave the heap where it is", () => {
  const PACKETS = process.env.CBPF_LONG === "1" ? 10_000_000 : 1_000_000;
  // No scavenge comes between, so that garbage counts: the young generation has room for it all.
  const ROOM = ["--min-semi-space-size=512", "--max-semi-space-size=512"];
  const grown = runProgram("jit-heap", ["--expose-gc", ...ROOM], `${PACKETS}`) as Record<string, number>;
  /** Compiling in the background may take a megabyte meanwhile, a batch of 4096 packets a view or two. */
  const LIMIT = 2_000_000 + PACKETS / 10;

  test.each([
    "js match",
    "js match, whole arrays",
    "js runBatch",
    "wasm runBatch, verdicts in the arena",
    "wasm runBatch, verdicts elsewhere",
    "wasm runBatch, count",
    "wasm matchIndices",
    "wasm matchBitmap",
    "wasm matchAt",
    "auto match",
    "auto runBatch in an arena",
    "auto runBatch in an array",
    "interpreter runBatch",
  ])("%s", (form) => {
    expect(grown[form], `bytes for ${PACKETS} packets`).toBeLessThan(LIMIT);
  });

  test("an object for each packet would have been seen", () => {
    expect(grown["an object a packet"]).toBeGreaterThan(12 * PACKETS);
    expect(Object.keys(grown).length).toBe(14);
  });
});
