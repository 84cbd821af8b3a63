// Makes the native addon when it can, and never fails an install.
//
//   node native/install.mjs            a fitting prebuilt binary is kept; else node-gyp builds; else one line, exit 0
//   node native/install.mjs --strict   builds from source and exits 1 when that fails, with node-gyp's output
//   node native/install.mjs --strict --verbose     the same, showing node-gyp's output as it comes
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { findNodeGyp, ROOT, rebuildArguments } from "./gyp.mjs";

/** The folder of a prebuilt binary for this machine, as src/kernel/load.ts looks for it. */
function prebuildFolder() {
  // A musl program names its loader, /lib/ld-musl-ARCH.so.1, near its start.
  const head = Buffer.alloc(4096);
  const file = openSync(process.execPath, "r");
  readSync(file, head, 0, head.length, 0);
  closeSync(file);
  return `${process.platform}-${process.arch}${head.includes("/ld-musl-") ? "-musl" : ""}`;
}

/** Builds, and says in one sentence why not: undefined when there is an addon afterwards. */
function build({ strict, verbose }) {
  if (process.platform !== "linux") return `the kernel side needs Linux, this is ${process.platform}`;
  if (!strict && existsSync(join(ROOT, "prebuilds", prebuildFolder(), "cbpf.node"))) return undefined;
  const gyp = findNodeGyp();
  if (gyp === undefined) return "node-gyp was not found";
  const stdio = verbose ? "inherit" : "pipe";
  const run = spawnSync(process.execPath, [gyp, ...rebuildArguments()], { cwd: ROOT, encoding: "utf8", stdio });
  if (run.status === 0) return undefined;
  const output = `${run.stdout ?? ""}${run.stderr ?? ""}`;
  if (strict) process.stderr.write(output);
  const reason = /^gyp ERR! stack Error: (.+)$/m.exec(output)?.[1];
  return run.error?.message ?? reason ?? "node-gyp failed";
}

const strict = process.argv.includes("--strict");
const problem = build({ strict, verbose: process.argv.includes("--verbose") });
if (problem !== undefined) {
  const advice = strict ? "" : "; the rest works, and `npx cbpf native build` tries again with all output";
  console.error(`cbpf: no native addon: ${problem}${advice}`);
  if (strict) process.exitCode = 1;
} else if (strict) {
  console.log("cbpf: native addon built");
}
