/**
 * Installing and loading: an install never fails, and what is not there is named.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { type Host, loadAddon, loadOn, status } from "../src/kernel/load.ts";

const good: Host = { platform: "linux", arch: "x64", kernel: "6.18.44", find: () => everything };
const everything = new Proxy({}, { get: (_target, name) => (name === "path" ? "/somewhere/cbpf.node" : () => 0) });
const throwing = (error: unknown) => () => {
  throw error;
};

describe("status", () => {
  test.each([
    ["loaded", good, /loaded from \/somewhere\/cbpf.node/],
    ["loaded", { ...good, kernel: "4.6.0-1-amd64" }, /loaded/],
    ["wrong-platform", { ...good, platform: "darwin" }, /needs Linux, this is darwin/],
    ["old-kernel", { ...good, kernel: "4.5.9" }, /needs Linux 4.6, this is 4.5.9/],
    ["old-kernel", { ...good, kernel: "3.10.0-1160.el7" }, /this is 3.10/],
    ["not-built", { ...good, find: throwing(Object.assign(new Error("no file"), { tries: [] })) }, /native build/],
    ["broken", { ...good, find: throwing(new Error("wrong ELF class")) }, /wrong ELF class/],
    ["broken", { ...good, find: throwing("a string") }, /a string/],
    ["broken", { ...good, find: () => ({ path: "/old.node", receive: () => 0 }) }, /\/old.node .* lacks attachProgram/],
  ] as const)("%s", (reason, host, message) => {
    const { status: found, addon } = loadOn(host);
    expect(found).toMatchObject({ reason, available: reason === "loaded", arch: "x64" });
    expect(found.message).toMatch(message);
    expect(addon !== undefined).toBe(found.available);
  });

  test("here it is what loadAddon() says", () => {
    if (status().available) expect(loadAddon().attachProgram).toBeTypeOf("function");
    else expect(() => loadAddon()).toThrow(status().message);
    expect(status()).toBe(status());
  });
});

describe("native/install.mjs", () => {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const copy = mkdtempSync(join(tmpdir(), "cbpf-install-"));
  const empty = join(copy, "empty");
  mkdirSync(empty);
  for (const name of ["native", "binding.gyp", "package.json"])
    cpSync(join(root, name), join(copy, name), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  afterAll(() => rmSync(copy, { recursive: true }));

  const install = (...options: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [join(copy, "native/install.mjs"), ...options], {
      encoding: "utf8",
      env: { PATH: empty, HOME: empty },
    });

  test("without compiler and Python: one line, exit status 0", () => {
    const run = install();
    expect(run).toMatchObject({ status: 0, stdout: "" });
    expect(run.stderr).toMatch(/^cbpf: no native addon: [^\n]*Python[^\n]*; [^\n]+npx cbpf native build[^\n]+\n$/);
  });

  test("strict: node-gyp's output, exit status 1", () => {
    const run = install("--strict");
    expect(run.status).toBe(1);
    expect(run.stderr).toMatch(/gyp ERR!/);
  });

  test("a prebuilt binary for this machine is kept, and nothing is built", () => {
    const folder = status().platform === "linux" ? `linux-${process.arch}` : undefined;
    if (folder === undefined) return console.log("kernel load: no prebuilt binaries off Linux");
    for (const name of [folder, `${folder}-musl`]) {
      mkdirSync(join(copy, "prebuilds", name), { recursive: true });
      writeFileSync(join(copy, "prebuilds", name, "cbpf.node"), "");
    }
    expect(install()).toMatchObject({ status: 0, stdout: "", stderr: "" });
  });
});
