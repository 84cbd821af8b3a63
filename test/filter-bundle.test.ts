/** The compiler in a browser: its size, and that it runs without Node's names. */

import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, test } from "vitest";

const KIB = 1024;
const source = (path: string): string => JSON.stringify(fileURLToPath(new URL(`../src/${path}`, import.meta.url)));

async function bundle(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: fileURLToPath(new URL("..", import.meta.url)), loader: "ts" },
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    globalName: "cbpf",
    platform: "browser",
  });
  return outputFiles[0]!.text;
}

/** What running a compiled filter needs: programs in every form, the verifier, the reference engine. */
const CORE = `
  export { Program } from ${source("vm/program.ts")};
  export { Context } from ${source("vm/context.ts")};
  export { interpreter } from ${source("interpreter/interpreter.ts")};
  export { verify } from ${source("verify/verify.ts")};`;

test("with the core it is under 60 KiB, minified and gzipped", async () => {
  const alone = gzipSync(await bundle(`export * from ${source("filter/index.ts")};`)).length;
  const both = gzipSync(await bundle(`export * from ${source("filter/index.ts")}; ${CORE}`)).length;
  console.log(`filter-bundle: ${(alone / KIB).toFixed(1)} KiB alone, ${(both / KIB).toFixed(1)} KiB with the core`);
  expect(both).toBeLessThan(60 * KIB);
  expect(alone).toBeLessThan(45 * KIB);
});

test("runs where there is no process, Buffer or require", async () => {
  const code = await bundle(
    `export * from ${source("filter/index.ts")}; export { interpreter } from ${source("interpreter/interpreter.ts")};`,
  );
  const context = createContext({});
  runInContext(code, context);
  const verdict = runInContext(
    `const { program } = cbpf.compileFilter("ether[0] = 5 and len < 20 or tcp port 80");
     cbpf.interpreter.load(program).run(Uint8Array.from([5, 0]))`,
    context,
  );
  expect(verdict).toBe(262144);
  expect(runInContext("typeof process + typeof Buffer + typeof require", context)).toBe("undefinedundefinedundefined");
});
