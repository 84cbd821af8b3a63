/**
 * The command line in few files, dist/bin, as CommonJS: Node spends half a millisecond and more on each module it loads,
 * ten on the loader of ECMAScript modules, in each thread, and a command needs some hundred modules.  dist/cli has the
 * same ones one by one.
 *
 * A file of dist/bin stands as deep as one of dist/cli, so that both find package.json, the addon and their workers.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "rolldown";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const dir = here("../dist/bin");

await build({
  input: ["main", "shard-worker", "conform-worker"].map((name) => here(`../src/cli/${name}.ts`)),
  platform: "node",
  external: /^[^./]/, // packages, and what is Node's
  output: {
    dir,
    cleanDir: true,
    format: "cjs", // in pieces: what one command alone needs is loaded by that command alone
    entryFileNames: "[name].js",
    chunkFileNames: "[name]-[hash].js",
    minify: { compress: true, mangle: false, codegen: true }, // names stay, for stack traces
  },
  logLevel: "warn",
});
writeFileSync(join(dir, "package.json"), '{ "type": "commonjs" }\n');
