import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const SRC = fileURLToPath(new URL("../src", import.meta.url));

/** Rooms by layer, lowest first.  A file imports from its own room and from lower layers: never sideways, never up. */
const LAYERS: readonly (readonly string[])[] = [
  ["base"],
  ["isa", "wasm", "link"],
  ["program", "capture"],
  ["text", "verify", "optimize"],
  ["interpreter", "jit", "filter", "analyze", "prove"],
  ["vm", "kernel"],
  ["conformance"],
  ["cli", "index.ts"],
];

/** Rooms that may name Node's modules and globals; everything else runs in a browser. */
const NODE_ROOMS = ["kernel", "cli"];
/** Rooms that may import the kernel side; tests and benches may as well. */
const KERNEL_USERS = ["kernel", "cli"];

interface SourceFile {
  readonly path: string;
  readonly room: string;
  readonly imports: readonly string[];
  readonly text: string;
}

const FILES: readonly SourceFile[] = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => {
    const text = readFileSync(join(SRC, name), "utf8");
    const imports = [
      ...text.matchAll(/^(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"/gms),
      ...text.matchAll(/\bimport\(\s*"([^"]+)"\s*\)/g),
    ];
    return { path: name, room: name.split("/")[0]!, imports: imports.map((match) => match[1]!), text };
  });

const layerOf = (room: string): number => LAYERS.findIndex((rooms) => rooms.includes(room));
const roomOf = (path: string): string => relative(SRC, path).split("/")[0]!;

test("every room has a layer", () => {
  expect([...new Set(FILES.map((f) => f.room))].filter((room) => layerOf(room) < 0)).toEqual([]);
});

test("folders are one level deep", () => {
  expect(FILES.map((f) => f.path).filter((path) => path.split("/").length > 2)).toEqual([]);
});

describe.each(FILES.map((file) => [file.path, file] as const))("%s", (path, file) => {
  test("imports from its own room and lower layers", () => {
    const allowed = LAYERS.slice(0, layerOf(file.room)).flat();
    const wrong = file.imports
      .filter((name) => name.startsWith("."))
      .map((name) => roomOf(join(SRC, dirname(path), name)))
      .filter((room) => room !== file.room && !allowed.includes(room));
    expect(wrong, `${file.room} may import ${[file.room, ...allowed].join(", ")}`).toEqual([]);
  });

  test("names Node only in the rooms that may", () => {
    if (NODE_ROOMS.includes(file.room)) return;
    expect(file.imports.filter((name) => !name.startsWith(".")).filter((name) => name !== "z3-solver")).toEqual([]);
  });

  test("imports with real extensions, and the kernel only where it may", () => {
    expect(file.imports.filter((name) => name.startsWith(".") && !name.endsWith(".ts"))).toEqual([]);
    if (KERNEL_USERS.includes(file.room)) return;
    expect(file.imports.filter((name) => name.includes("/kernel/"))).toEqual([]);
  });
});

test("only verify makes verified programs", () => {
  const makers = FILES.filter((f) => /\bas (unknown as )?VerifiedProgram\b/.test(f.text)).map((f) => f.path);
  expect(makers).toEqual(["verify/verify.ts"]);
});

test("no second list of opcodes, no enum, no barrel inside a room", () => {
  expect(FILES.filter((f) => /^\s*(export\s+)?(const\s+)?enum\b/m.test(f.text)).map((f) => f.path)).toEqual([]);
  const numbers = /\b0x(?:b1|87|84|94|9c|a4|ac|7c|6c|5c)\b/gi;
  const lists = FILES.filter((f) => new Set(f.text.match(numbers) ?? []).size > 4).map((f) => f.path);
  expect(lists.sort()).toEqual(["interpreter/interpreter.ts", "isa/opcodes.ts"]);
  const barrels = FILES.filter((f) => f.path.endsWith("index.ts")).map((f) => f.path);
  expect(
    barrels.filter(
      (p) =>
        !["index.ts", "capture/index.ts", "filter/index.ts", "conformance/index.ts", "kernel/index.ts"].includes(p),
    ),
  ).toEqual([]);
});
