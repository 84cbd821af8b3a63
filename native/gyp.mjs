// node-gyp for the scripts here: where it is, which headers it takes, and a build in a copy of the sources, so that the
// addon in use stays as it is.  Imports nothing but Node, since it runs before anything else of the package exists.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's folder. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** npm's own node-gyp, the project's, or the one beside npm; undefined when there is none. */
export function findNodeGyp() {
  const require = createRequire(join(ROOT, "package.json"));
  const beside = (folder) => join(dirname(process.execPath), folder, "npm/node_modules/node-gyp/bin/node-gyp.js");
  const candidates = [
    () => process.env.npm_config_node_gyp,
    () => require.resolve("node-gyp/bin/node-gyp.js"),
    () => beside("../lib/node_modules"),
    () => beside("../share/nodejs"),
  ];
  for (const candidate of candidates) {
    try {
      const path = candidate();
      if (path !== undefined && existsSync(path)) return path;
    } catch {
      // not resolvable: the next one
    }
  }
  return undefined;
}

/** Arguments of a build; headers beside the running Node save a download. */
export function rebuildArguments() {
  const prefix = dirname(dirname(process.execPath));
  return ["rebuild", ...(existsSync(join(prefix, "include/node/node_api.h")) ? [`--nodedir=${prefix}`] : [])];
}

/**
 * Builds in a temporary copy, which goes with this process, and returns the path of the binary; ends the process with
 * node-gyp's output when that fails.  `options` follow node-gyp's own, `env` adds to the environment (CC, CXX, LINK for another architecture).
 */
export function buildCopy(options, env = {}) {
  const folder = mkdtempSync(join(tmpdir(), "cbpf-native-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const name of ["native", "binding.gyp", "package.json"]) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  const gyp = findNodeGyp();
  if (gyp === undefined) fail("node-gyp was not found");
  const run = spawnSync(process.execPath, [gyp, ...rebuildArguments(), ...options], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  if (run.status !== 0) fail(`${run.stdout ?? ""}${run.stderr ?? ""}${run.error?.message ?? ""}`);
  return join(folder, "build/Release/cbpf.node");
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
