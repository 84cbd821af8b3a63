/**
 * The command line in few files, dist/bin, as CommonJS: RATIONALE.md, "Why is the command line bundled, and as CommonJS?".
 *
 * A file of dist/bin stands as deep as one of dist/cli, so that both find package.json, the addon and their workers.
 */
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "rolldown";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const bin = here("../dist/bin");
const dir = `${bin}.new`; // until it is whole: somebody may run the old one

await build({
  input: ["main", "shard-worker", "conform-worker"].map((name) => here(`../src/cli/${name}.ts`)),
  platform: "node",
  transform: { target: "node20.19" },
  external: (id) => !id.startsWith(".") && !isAbsolute(id), // packages, and what is Node's
  output: {
    dir,
    cleanDir: true,
    format: "cjs", // in pieces: what one command alone needs is loaded by that command alone
    strict: true, // as the modules are
    entryFileNames: "[name].js",
    chunkFileNames: "[name]-[hash].js",
    minify: { compress: true, mangle: false, codegen: true }, // names stay, for stack traces
  },
  logLevel: "warn",
});
writeFileSync(join(dir, "package.json"), '{ "type": "commonjs" }\n');
rmSync(bin, { recursive: true, force: true });
renameSync(dir, bin);
