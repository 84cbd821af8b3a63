import { describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import { jump, stmt } from "../src/program/instruction.ts";
import { formatText, parseText, recognise, TEXT_FORMATS, type TextFormat } from "../src/text/formats.ts";

const FORMATS = Object.keys(TEXT_FORMATS) as TextFormat[];
const LONG = process.env.CBPF_LONG === "1";
const TEXTS = LONG ? 1_000_000 : 20_000;
const SEED = Number(process.env.SEED ?? (Math.random() * 0x7fffffff) | 0) >>> 0;

/** mulberry32: a u32 for each call. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

const PROGRAM = [
  stmt(0x28, 12),
  jump(0x15, 0x86dd, 0, 3),
  stmt(0x20, 0xfffff02c),
  stmt(0xb1, 14),
  stmt(0x87, 7),
  stmt(0x05, 1),
  jump(0x8c, 9, 1, 2),
  stmt(0x06, 0xffffffff),
  stmt(0x16, 0),
];
const VALID = FORMATS.map((format) => formatText(PROGRAM, format));
// biome-ignore format: a list
const PIECES = ["(", ")", "[", "]", "{", "}", "#", ",", ";", ":", "\n", " ", "\t", "\"", "'", "/*", "*/", "//", "\\", "-", "+", "0x", "1", "99999999999", "M[", "4*([", "x", "a", "jt", "jf", "ldh", "jeq", "ret", ".word", "BPF_STMT(", "BPF_LD", "__proto__", "constructor", "L1:", "\u0000", "\ud800", "\u{1f600}", "\ufeff"];

function randomText(next: () => number): string {
  const kind = next() % 3;
  let text = "";
  if (kind === 0) {
    for (let n = next() % 40; n > 0; n--)
      text += String.fromCharCode(next() % 4 === 0 ? next() & 0xffff : 32 + (next() % 96));
  } else if (kind === 1) {
    for (let n = next() % 30; n > 0; n--) text += PIECES[next() % PIECES.length];
  } else {
    text = VALID[next() % VALID.length]!;
    for (let n = 1 + (next() % 4); n > 0; n--) {
      const at = next() % (text.length + 1);
      const cut = next() % 3 === 0 ? next() % 8 : next() % 2;
      text = text.slice(0, at) + (next() % 2 === 0 ? PIECES[next() % PIECES.length] : "") + text.slice(at + cut);
    }
  }
  return text;
}

/** Reads the text; the program that comes out is written and read again, in every form. */
function attempt(text: string, format: TextFormat | undefined): "read" | "refused" {
  let instructions: ReturnType<typeof parseText>["instructions"];
  try {
    instructions = parseText(text, { format }).instructions;
  } catch (error) {
    if (error instanceof BpfError && error.code === "bad-text" && error.message !== "") return "refused";
    throw new Error(`${JSON.stringify(text)} as ${format}: ${String(error)}`, { cause: error });
  }
  const form = FORMATS[instructions.length % FORMATS.length]!;
  const back = parseText(formatText(instructions, form), { format: form }).instructions;
  if (JSON.stringify(back) !== JSON.stringify(instructions)) throw new Error(`${JSON.stringify(text)} through ${form}`);
  return "read";
}

test(`${TEXTS} random and mutated texts into every reader: a program or a bad-text error (rerun: SEED=${SEED})`, {
  timeout: 1_800_000,
}, () => {
  const next = generator(SEED);
  const outcomes = { read: 0, refused: 0 };
  for (let i = 0; i < TEXTS; i++) {
    const text = randomText(next);
    outcomes[attempt(text, i % 2 === 0 ? FORMATS[(i >> 1) % FORMATS.length] : undefined)]++;
  }
  expect(outcomes.read).toBeGreaterThan(TEXTS / 100);
  expect(outcomes.refused).toBeGreaterThan(TEXTS / 10);
});

describe("large texts take time in proportion to their length, whatever is in them", () => {
  const SIZE = LONG ? 1 << 20 : 1 << 16;
  const BUDGET_MS = LONG ? 8000 : 2000; // for one text; a megabyte takes a tenth of it, and hours if it were quadratic
  // biome-ignore format: a list
  const PATTERNS = ["a", "1", "0x", "(", "[", "{", "-", "~", "#", "%", "\"", "'", "/*", "//", "\\", "\\x", "\\x00", ":", ",", ";", "a:", "a: ", "a:\n", "\n", "\n#", "#\\\n", "1 ", "1,", "1\n", "1 2 3 4\n", "4,1 2 3 4,", "(0)", "(0)\n", "(000) tax\n", "ld [", "ld\n", "neg ", "jeq #1, L\n", "ja foo\n", "bytecode ", "BPF_STMT(", "BPF_LD+", "{0,", "{ 6, 0, 0, 0 },", "[[1,2,3,4],", "{\"", "00", "zz ", "tcpdump\n", "x+", "M[", "\u{1f600}", "\ud800", ".word 1,1,1,1\n"];

  test.each(PATTERNS.map((pattern) => [pattern]))("%j", (pattern) => {
    const text = pattern.repeat(Math.ceil(SIZE / pattern.length));
    for (const head of ["", "neg\n", "1,", "[["]) {
      for (const format of head === "" ? [undefined, ...FORMATS] : [undefined]) {
        const start = performance.now();
        try {
          recognise(head + text);
          parseText(head + text, { format });
        } catch (error) {
          if (!(error instanceof BpfError) || error.code !== "bad-text") throw error;
          expect(error.violations.length).toBeLessThanOrEqual(101);
          expect(error.message.length).toBeLessThan(100_000);
        }
        expect(performance.now() - start, `${head} ${format}`).toBeLessThan(BUDGET_MS);
      }
    }
  });

  test("a program of 100000 instructions goes through every form", () => {
    const long = Array.from({ length: 100_000 }, (_, i) => (i % 2 === 0 ? jump(0x15, i, 1, 2) : stmt(0x05, i % 1000)));
    for (const format of FORMATS) expect(parseText(formatText(long, format)).instructions.length).toBe(long.length);
  });
});
