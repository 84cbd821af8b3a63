/**
 * The command line in few files, dist/bin: Node spends half a millisecond and more on each module it loads, and a
 * command needs some hundred.  dist/cli has the same modules one by one.
 *
 * A file of dist/bin stands as deep as one of dist/cli, so that both find package.json, the addon and their workers.
 */
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const outdir = here("../dist/bin");

rmSync(outdir, { recursive: true, force: true });
await build({
  entryPoints: ["main", "shard-worker", "conform-worker"].map((name) => here(`../src/cli/${name}.ts`)),
  outdir,
  bundle: true,
  splitting: true, // what one command alone needs is loaded by that command alone
  minifyWhitespace: true, // half of the text is half of the time that V8 reads it; names stay, for stack traces
  minifySyntax: true,
  format: "esm",
  platform: "node",
  target: "node20.19",
  packages: "external",
  logLevel: "warning",
});
