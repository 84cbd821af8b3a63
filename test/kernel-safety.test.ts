/**
 * The addon under hostile calls, and in threads that are terminated at any moment.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import { status } from "../src/kernel/load.ts";
import { announce, withoutAddon, withoutPrivilege } from "./kernel-host.ts";

const reason = withoutAddon();
announce("kernel safety", reason);
const { path = "" } = status();
const CALLS = process.env.CBPF_LONG ? 1_000_000 : 100_000;
/** Milliseconds that the calls may take; a million on a busy machine take ten minutes. */
const LIMIT = process.env.CBPF_LONG ? 3_600_000 : 300_000;
const SEED = process.env.SEED ?? "1";

/** "socket", "pipe", "anon_inode:[eventpoll]" ... of an open descriptor; empty for the one that listed them. */
function kindOfFd(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).replace(/:?\[?\d+\]?$/, "");
  } catch {
    return "";
  }
}

describe.skipIf(reason !== undefined)("the addon", () => {
  test(`survives ${CALLS} hostile calls (rerun with SEED=${SEED})`, { timeout: LIMIT }, () => {
    const script = fileURLToPath(new URL("hostile-calls.mjs", import.meta.url));
    const node = [process.execPath, script, path, String(CALLS), SEED];
    // As root, in a network namespace of its own: random calls may then bring interfaces up and make taps.
    const [command, ...args] = withoutPrivilege() === undefined ? ["unshare", "-n", ...node] : node;
    const run = spawnSync(command!, args, { encoding: "utf8", timeout: LIMIT - 20_000 });
    expect({ signal: run.signal, status: run.status, stderr: run.stderr }).toEqual({
      signal: null,
      status: 0,
      stderr: "",
    });
    const result = JSON.parse(run.stdout);
    expect(result.calls).toBeGreaterThanOrEqual(CALLS);
    expect(result.unknown).toEqual([]);
    expect(result.after).toBe(result.before);
    expect(Object.keys(result.thrown).sort()).toEqual(["RangeError", "TypeError", "callback"]);
    expect(result.answers).toBeGreaterThan(CALLS / 4);
  });

  test("100 workers, terminated at any moment, leak no descriptor and no mapping", { timeout: 120_000 }, async () => {
    // Each keeps opening pairs, watches them under traffic, judges packets, and closes some.
    const code = `
      const { workerData, parentPort } = require("node:worker_threads");
      const addon = require(workerData);
      const program = Uint8Array.of(6, 0, 0, 0, 255, 255, 0, 0);
      parentPort.postMessage("started");
      const memory = new Uint8Array(100);
      let pairs = [];
      function round() {
        const [a, b] = addon.openPair(1, 2);
        pairs.push([a, b]);
        addon.attachProgram(b, 1, 26, program);
        addon.pollOpen(b, () => { while (typeof addon.receive(b, memory) !== "number"); addon.sendBytes(a, memory); });
        addon.sendBytes(a, memory);
        addon.deliver(b, a, memory, Uint32Array.of(0, 50, 50, 50), new Int32Array(2));
        if (pairs.length > 10) for (const pair of pairs.splice(0, 5)) for (const fd of pair) addon.closeFd(fd);
        setImmediate(round);
      }
      round();`;
    // The kind of each: a number of open descriptors alone would not say what leaked.
    const open = (): string[] =>
      readdirSync("/proc/self/fd")
        .map(kindOfFd)
        .filter((kind) => kind !== "")
        .sort();
    const mapped = (): number =>
      readFileSync("/proc/self/maps", "latin1")
        .split("\n")
        .filter((l) => l.includes("cbpf")).length;
    const run = async (delay: number): Promise<void> => {
      const worker = new Worker(code, { eval: true, workerData: path });
      await new Promise((resolve) => worker.once("message", resolve));
      await new Promise((resolve) => setTimeout(resolve, delay));
      await worker.terminate();
    };
    await run(5); // what the first worker makes the process keep is no leak
    const before = { fds: open(), maps: mapped() };
    for (let i = 0; i < 25; i++) await Promise.all([0, 1, 2, 3].map((j) => run((7 * i + 13 * j) % 40)));
    expect({ fds: open(), maps: mapped() }).toEqual(before);
  });

  test("the end of a process with open watches is clean", () => {
    const code = `
      const addon = require(${JSON.stringify(path)});
      const [a, b] = addon.openPair(1, 2);
      addon.pollOpen(b, () => process.exit(7));
      addon.sendBytes(a, new Uint8Array(1));`;
    expect(spawnSync(process.execPath, ["-e", code], { encoding: "utf8" })).toMatchObject({ status: 7, stderr: "" });
    const idle = code.replace("addon.sendBytes", "addon.pollRef(b, false); void");
    expect(spawnSync(process.execPath, ["-e", idle], { encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
  });

  test("descriptors closed behind the addon's back are not closed again", () => {
    const code = `
      const { closeSync, openSync } = require("node:fs");
      const addon = require(${JSON.stringify(path)});
      const [a] = addon.openPair(1, 2);
      closeSync(a);
      const file = openSync("/dev/null", "r"); // takes the number
      if (file !== a) process.exit(1);
      try { addon.closeFd(a); process.exit(2); } catch (error) { if (!(error instanceof RangeError)) process.exit(3); }
      closeSync(file);`;
    expect(spawnSync(process.execPath, ["-e", code], { encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
  });
});
