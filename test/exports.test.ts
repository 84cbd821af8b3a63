// The package as its users meet it: every sub-path, in a browser's world and under require().
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import vm from "node:vm";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PACKAGE = JSON.parse(readFileSync(`${ROOT}/package.json`, "utf8"));

/** What the package may use of a browser's world beside the language. */
const BROWSER = { TextDecoder, TextEncoder, WebAssembly: Reflect.get(globalThis, "WebAssembly") };

/** Sub-paths that need Node. */
const NODE_ONLY = ["./kernel", "./shards"];
const SUB_PATHS = Object.keys(PACKAGE.exports).filter((path) => path !== "./package.json");
const sourceOf = (path: string): string =>
  `${ROOT}/${PACKAGE.exports[path].default.replace("./dist/", "src/").replace(/\.js$/, ".ts")}`;

describe.each(SUB_PATHS.filter((path) => !NODE_ONLY.includes(path)))("cbpf/%s", (path) => {
  test("loads where there is no process, Buffer or require, and does nothing at import", async () => {
    const { outputFiles } = await build({
      entryPoints: [sourceOf(path)],
      bundle: true,
      format: "iife",
      globalName: "cbpf",
      platform: "neutral",
      external: ["z3-solver"],
      write: false,
      logLevel: "silent",
    });
    const world = vm.createContext({ ...BROWSER });
    vm.runInContext(outputFiles[0]!.text, world);
    const names = vm.runInContext("Object.keys(cbpf)", world) as string[];
    expect(names.length).toBeGreaterThan(0);
    expect(vm.runInContext("Object.keys(globalThis).sort().join()", world)).toBe(
      [...Object.keys(BROWSER), "cbpf"].sort().join(),
    );
  });
});

test("the browser's bundle runs a program", async () => {
  const { outputFiles } = await build({
    stdin: {
      contents: `import { Program } from ${JSON.stringify(sourceOf("."))};
        globalThis.verdict = Program.parse("ld [0]\\nret a").execute(Uint8Array.of(0, 0, 1, 0));`,
      resolveDir: ROOT,
      loader: "ts",
    },
    bundle: true,
    format: "iife",
    platform: "neutral",
    external: ["z3-solver"],
    write: false,
    logLevel: "silent",
  });
  const world = vm.createContext({ ...BROWSER });
  vm.runInContext(outputFiles[0]!.text, world);
  expect(world.verdict).toBe(256);
});

test("the package says what it promises", () => {
  expect(PACKAGE.type).toBe("module");
  expect(PACKAGE.sideEffects).toBe(false);
  expect(PACKAGE.engines.node).toBe(">=20.19");
  for (const versions of [PACKAGE.dependencies, PACKAGE.devDependencies]) {
    for (const [name, version] of Object.entries(versions)) expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
  }
});

test("the lock file names no registry", () => {
  expect(readFileSync(`${ROOT}/package-lock.json`, "utf8")).not.toMatch(/"resolved"/);
});

test("the lock file knows the packages of every platform, or npm ci refuses it", () => {
  const { packages } = JSON.parse(readFileSync(`${ROOT}/package-lock.json`, "utf8")) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>;
  };
  const wanted = Object.values(packages).flatMap(({ optionalDependencies = {} }) => Object.keys(optionalDependencies));
  expect(wanted.length).toBeGreaterThan(0);
  expect(wanted.filter((name) => packages[`node_modules/${name}`] === undefined)).toEqual([]);
});

test("nothing in the repository names a path of a machine", () => {
  const files = execFileSync("git", ["ls-files", "-z"], { cwd: ROOT, encoding: "utf8" }).split("\0").filter(Boolean);
  const texts = files.filter((name) => /\.(ts|mjs|md|json|cpp|h|c|gyp|sh|bpft|yml)$|^\.ci\/run$/.test(name));
  const telling = texts.filter((name) => /\/(work|home|root)\/[a-z]/.test(readFileSync(`${ROOT}/${name}`, "utf8")));
  expect(telling.filter((name) => name !== "test/exports.test.ts")).toEqual([]);
});
