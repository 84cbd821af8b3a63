/**
 * Rings in worker threads that are terminated at any moment: nothing crashes, and no descriptor and no mapping stays.
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { announce, withoutPrivilege } from "./kernel-host.ts";

const noPrivilege = withoutPrivilege();
announce("ring workers", noPrivilege);

const WORKERS = process.env.CBPF_LONG ? 3000 : 300;
const SEED = process.env.SEED ?? "1";

test.skipIf(noPrivilege !== undefined)(
  `${WORKERS} workers with open rings, terminated under traffic (rerun with SEED=${SEED})`,
  { timeout: 600_000 },
  async () => {
    // Two folders below the package, as src/kernel is: the loader looks for the addon from there.
    const root = fileURLToPath(new URL("..", import.meta.url));
    const outfile = `${root}build/ring-workers/kernel.mjs`;
    const entryPoints = [`${root}src/kernel/index.ts`];
    await build({
      entryPoints,
      bundle: true,
      format: "esm",
      platform: "node",
      packages: "external",
      outfile,
      logLevel: "silent",
    });
    try {
      const script = fileURLToPath(new URL("ring-workers.mjs", import.meta.url));
      const args = [script, outfile, String(WORKERS), SEED];
      const run = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 580_000 });
      expect({ signal: run.signal, status: run.status, stderr: run.stderr }).toEqual({
        signal: null,
        status: 0,
        stderr: "",
      });
      const result = JSON.parse(run.stdout);
      expect(result.opened).toBeGreaterThanOrEqual(WORKERS / 2);
      expect(result.seen).toBeGreaterThan(WORKERS * 10);
      expect(result.after).toEqual(result.before);
      expect(result.after.rings).toBe(0);
    } finally {
      rmSync(`${root}build/ring-workers`, { recursive: true });
    }
  },
);
