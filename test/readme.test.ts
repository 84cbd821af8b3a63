// The examples of README.md and of every docstring compile, run, and print what their comments say.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, describe, expect, test } from "vitest";
import { status } from "../src/kernel/load.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PACKAGE = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

/** The package's sub-paths as import names, and the sources behind them. */
const SOURCES: Record<string, string> = Object.fromEntries(
  Object.entries(PACKAGE.exports as Record<string, { default: string } | string>).flatMap(([path, target]) =>
    typeof target === "string"
      ? []
      : [[path.replace(/^\./, "cbpf"), join(ROOT, target.default.replace("./dist/", "src/").replace(/\.js$/, ".ts"))]],
  ),
);

interface Example {
  readonly name: string;
  readonly code: string;
}

const FENCE = /^([ \t*]*)```ts\n(.*?)^[ \t*]*```/gms;

function examplesOf(path: string): Example[] {
  const text = readFileSync(join(ROOT, path), "utf8");
  return [...text.matchAll(FENCE)].map(([, margin, code], i) => {
    const lines = code!.split("\n").map((line) => (margin === "" ? line : line.replace(/^[ \t]*\* ?/, "")));
    return { name: `${path} ${i + 1}`, code: lines.join("\n") };
  });
}

const DOCS = ["README.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)].filter((p) =>
  p.endsWith(".md"),
);
const FILES = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter((name) =>
  name.endsWith(".ts"),
);
const EXAMPLES = [...DOCS, ...FILES.map((name) => `src/${name}`)].flatMap(examplesOf);

// Inside the project, so that the compiler finds its types.
const FOLDER = mkdtempSync(join(ROOT, "node_modules", ".cbpf-examples-"));
afterAll(() => rmSync(FOLDER, { recursive: true }));

/** What a trailing comment behind console.log promises. */
function promised(code: string): string[] {
  return [...code.matchAll(/console\.log\(.*\);(?: \/\/ (.*)|\n\s*\/\/ (.*))?$/gm)].flatMap(([, same, next]) => {
    const comment = same ?? next;
    if (comment === undefined) return ["*"];
    if (/^[\d+ ]+$/.test(comment)) return [String(comment.split("+").reduce((sum, part) => sum + Number(part), 0))];
    return [comment.replace(/^"(.*)"$/, "$1")];
  });
}

test("there are examples", () => {
  expect(EXAMPLES.filter(({ name }) => name.startsWith("README")).length).toBeGreaterThanOrEqual(6);
});

test("every example type-checks", () => {
  EXAMPLES.forEach(({ code }, i) => {
    writeFileSync(join(FOLDER, `example-${i}.ts`), /^(import|export)\b/m.test(code) ? code : `${code}\nexport {};\n`);
  });
  const config = {
    extends: join(ROOT, "tsconfig.json"),
    compilerOptions: {
      rootDir: ROOT,
      noEmit: true,
      declaration: false,
      module: "preserve",
      moduleResolution: "bundler",
      paths: Object.fromEntries(Object.entries(SOURCES).map(([name, path]) => [name, [path]])),
      allowImportingTsExtensions: true,
    },
    include: [join(FOLDER, "*.ts")],
  };
  writeFileSync(join(FOLDER, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  let output = "";
  try {
    execFileSync(process.execPath, [tsc, "-p", join(FOLDER, "tsconfig.json")], { encoding: "utf8" });
  } catch (error) {
    output = (error as { stdout: string }).stdout;
  }
  const named = output.replace(/\S*example-(\d+)\.ts/g, (_file, i) => EXAMPLES[Number(i)]!.name);
  expect(named).toBe("");
});

const needsKernel = (code: string): boolean => code.includes('"cbpf/kernel"');
if (!status().available && EXAMPLES.some(({ code }) => needsKernel(code))) {
  console.log(`examples of the kernel side: not run, ${status().message}`);
}

describe("every example runs and prints what it says", () => {
  test.each(
    EXAMPLES.filter(({ code }) => status().available || !needsKernel(code)).map(
      (example) => [example.name, example] as const,
    ),
  )("%s", async (_name, { code }) => {
    const { outputFiles } = await build({
      stdin: { contents: code, loader: "ts", resolveDir: ROOT },
      bundle: true,
      format: "esm",
      platform: "node",
      alias: SOURCES,
      external: ["z3-solver", "bindings"],
      write: false,
      logLevel: "silent",
    });
    const file = join(FOLDER, `run-${Math.random().toString(36).slice(2)}.mjs`);
    writeFileSync(file, outputFiles[0]!.text);
    const output = execFileSync(process.execPath, [file], { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } });
    const want = promised(code);
    if (want.every((line) => line === "*")) return;
    const lines = output.trimEnd().split("\n");
    want.forEach((line, i) => {
      if (line !== "*")
        expect(lines[i]?.replace(/\s+/g, " "), code).toBe(line.replace(/\[(?=\S)/, "[ ").replace(/(?<=\S)\]$/, " ]"));
    });
  });
});
