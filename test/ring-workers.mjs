// Workers with open captures under traffic, terminated at random, in a process of its own: a crash must not take the
// test runner along.  Usage: node ring-workers.mjs BUNDLE WORKERS SEED
//
// BUNDLE is cbpf/kernel in one file.  Prints one line of JSON: captures opened, packets seen, and what the process had
// open and mapped before and after.
import { readdirSync, readFileSync, readlinkSync, writeSync } from "node:fs";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

if (isMainThread) await orchestrate();
else await captureUntilTerminated();

async function captureUntilTerminated() {
  const { bundle, netns, seen } = workerData;
  const { capture } = await import(bundle);
  parentPort.postMessage("loaded");
  const odd = { code: 6, jt: 0, jf: 0, k: 33 };
  for (let round = 0; ; round++) {
    const mode = round % 4 === 3 ? "receive" : "ring";
    const live = capture({ interface: "cbpf0", netns, mode, bufferSize: 256 << 10, blockSize: 32 << 10, timeout: 1 });
    if (round === 0) parentPort.postMessage("open");
    let batches = 0;
    for await (const batch of live) {
      let sum = 0;
      for (let i = 0; i < batch.count; i++) sum += batch.data(i)[13];
      Atomics.add(seen, 0, sum === 0 ? 0 : batch.count);
      if (batches === 5) live.replaceFilter([odd]);
      if (++batches > 20) break;
    }
  }
}

async function orchestrate() {
  const [, script, bundle, workersText, seedText] = process.argv;
  const { PrivateNetwork } = await import(bundle);
  let state = (Number(seedText) * 2 + 1) | 0;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const network = new PrivateNetwork();
  const frame = new Uint8Array(60).fill(0xff, 0, 6).fill(8, 12, 14);
  const traffic = setInterval(() => {
    for (let i = 0; i < 100; i++) writeSync(network.tap, frame);
  }, 1);

  const seen = new Int32Array(new SharedArrayBuffer(4));
  let opened = 0;
  const run = async (delay) => {
    const worker = new Worker(script, { workerData: { bundle, netns: network.netns, seen } });
    const opening = new Promise((resolve) => worker.on("message", (message) => message === "open" && resolve()));
    opening.then(() => opened++);
    worker.on("error", (error) => {
      console.error(error);
      process.exit(1);
    });
    // Some die before they have opened anything, most with an open ring.
    await new Promise((resolve) => worker.once("message", resolve));
    if (next() % 8 !== 0) await opening;
    await new Promise((resolve) => setTimeout(resolve, delay));
    await worker.terminate();
  };

  await run(20); // what the first worker makes the process keep is no leak
  const before = belongings();
  let left = Number(workersText);
  const lane = async () => {
    while (left-- > 0) await run(next() % 40);
  };
  await Promise.all([lane(), lane(), lane(), lane(), lane(), lane()]);
  const after = belongings();
  clearInterval(traffic);
  network.close();
  console.log(JSON.stringify({ opened, seen: seen[0], before, after }));
}

/** Kinds of open descriptors, and how many rings are mapped. */
function belongings() {
  const fds = readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`).replace(/:?\[?\d+\]?$/, "")];
    } catch {
      return []; // the one that listed them
    }
  });
  const maps = readFileSync("/proc/self/maps", "latin1").split("\n");
  return { fds: fds.sort(), rings: maps.filter((line) => line.includes("socket:[")).length };
}
