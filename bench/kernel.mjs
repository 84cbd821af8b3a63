// Captured packets a second, beside npm's cap and pcap: `npm run bench:kernel`.
//
// A veth pair in a network namespace of its own; a C program sends 64-byte frames from one CPU, one receiver at a time
// takes them on another.  All kinds in each round, medians over rounds.  ROUNDS (3) and SECONDS (2) are variables.
// Needs root, gcc and ip; cap and pcap are built in bench/.cache/rivals, from npm, with libpcap's headers.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { fileURLToPath } from "node:url";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const CACHE = here(".cache");
const RIVALS = `${CACHE}/rivals`;
const RIVAL_VERSIONS = { cap: "0.2.1", pcap: "3.1.0" };
const ROUNDS = Number(process.env.ROUNDS ?? 3);
const SECONDS = Number(process.env.SECONDS ?? 2);
const SIZE = 64;

if (process.env.CBPF_BENCH_NETNS === undefined) {
  // The whole benchmark runs again inside the namespace, which goes when it ends.
  if (process.getuid?.() !== 0) {
    console.log("bench:kernel: skipped, a network namespace and packet sockets need root");
    process.exit(0);
  }
  mkdirSync(RIVALS, { recursive: true });
  const built = spawnSync("gcc", ["-O2", "-Wall", "-Wextra", "-o", `${CACHE}/kernel-send`, here("kernel-send.c")], {
    stdio: "inherit",
  });
  if (built.status !== 0) process.exit(1);
  installRivals();
  const run = spawnSync("unshare", ["-n", process.execPath, fileURLToPath(import.meta.url)], {
    stdio: "inherit",
    env: { ...process.env, CBPF_BENCH_NETNS: "1" },
  });
  process.exit(run.status ?? 1);
}

function installRivals() {
  writeFileSync(`${RIVALS}/package.json`, JSON.stringify({ private: true, dependencies: RIVAL_VERSIONS }));
  for (const name of Object.keys(RIVAL_VERSIONS))
    if (!builtRival(name)) {
      spawnSync("npm", ["install", "--no-audit", "--no-fund"], { cwd: RIVALS, stdio: "inherit" });
      return;
    }
}

function builtRival(name) {
  return existsSync(`${RIVALS}/node_modules/${name}/build/Release`);
}

const ip = (...args) => {
  const run = spawnSync("ip", args, { encoding: "utf8" });
  if (run.status !== 0) throw new Error(`ip ${args.join(" ")}: ${run.stderr ?? run.error?.message}`);
};
for (const which of ["all", "default"]) writeFileSync(`/proc/sys/net/ipv6/conf/${which}/disable_ipv6`, "1");
ip("link", "add", "va", "type", "veth", "peer", "name", "vb");
for (const name of ["va", "vb"]) ip("link", "set", name, "up");
await new Promise((resolve) => setTimeout(resolve, 500)); // until the link carries

const pinned = (cpu, command, ...args) =>
  cpus().length < 2 ? [command, args] : ["taskset", ["-c", String(cpu), command, ...args]];

/** Sends to one receiver; `rate` 0 is as fast as it goes. */
async function measure({ kind, filter = "all", rate = 0, latency = false }) {
  const [command, args] = pinned(
    0,
    process.execPath,
    here("kernel-receive.mjs"),
    kind,
    "vb",
    filter,
    latency ? "1" : "0",
    RIVALS,
  );
  const receiver = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = linesOf(receiver.stdout);
  if ((await lines.next()).value !== "ready") throw new Error(`${kind} did not start`);
  const [generator, generatorArgs] = pinned(
    1,
    `${CACHE}/kernel-send`,
    "va",
    String(SIZE),
    String(SECONDS),
    String(rate),
  );
  const sender = spawn(generator, generatorArgs, { stdio: ["ignore", "pipe", "inherit"] });
  const sent = Number((await linesOf(sender.stdout).next()).value);
  await new Promise((resolve) => setTimeout(resolve, 300)); // what is still on its way
  receiver.stdin.write("\n");
  const result = JSON.parse((await lines.next()).value);
  await new Promise((resolve) => receiver.once("exit", resolve));
  if (result.error !== undefined) throw new Error(`${kind}: ${result.error}`);
  return { sent, ...result };
}

async function* linesOf(stream) {
  let text = "";
  for await (const chunk of stream.setEncoding("utf8")) {
    text += chunk;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}

const CASES = [
  { title: "ring", kind: "ring" },
  { title: "receive", kind: "receive" },
  ...Object.keys(RIVAL_VERSIONS).flatMap((kind) =>
    builtRival(kind) ? [{ title: `npm ${kind} ${RIVAL_VERSIONS[kind]}`, kind }] : [],
  ),
  { title: "ring, half match", kind: "ring", filter: "half" },
  { title: "ring, none match", kind: "ring", filter: "none" },
  { title: "ring, 200 kpps", kind: "ring", rate: 200_000 },
  { title: "receive, 1 kpps", kind: "receive", rate: 1000, latency: true },
  { title: "ring, 1 kpps", kind: "ring", rate: 1000, latency: true },
];
for (const kind of Object.keys(RIVAL_VERSIONS))
  if (!builtRival(kind)) console.log(`npm ${kind} is left out: it did not build`);

const results = CASES.map(() => []);
for (let round = 0; round < ROUNDS; round++) {
  for (const [i, one] of CASES.entries()) results[i].push(await measure(one));
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
const row = (...cells) =>
  console.log(cells.map((cell, i) => (i === 0 ? String(cell).padEnd(18) : String(cell).padStart(12))).join(" "));
console.log(
  `\n${cpus()[0]?.model}, ${cpus().length} CPUs, Linux ${release()}, Node ${process.version}, ${SIZE}-byte frames`,
);
console.log(
  `medians of ${ROUNDS} interleaved rounds of ${SECONDS} s; load of the machine ${(await import("node:os")).loadavg()[0].toFixed(1)}\n`,
);
row("", "sent Mpps", "seen Mpps", "lost", "CPU of a core", "wake-ups", "p50 us", "p99 us");
for (const [i, { title, filter }] of CASES.entries()) {
  const of = (pick) => median(results[i].map(pick));
  const share = { half: 0.5, none: 0 }[filter] ?? 1;
  const latency =
    results[i][0].p50 === undefined ? ["", ""] : [of((r) => r.p50).toFixed(0), of((r) => r.p99).toFixed(0)];
  row(
    title,
    of((r) => r.sent / SECONDS / 1e6).toFixed(3),
    of((r) => r.seen / SECONDS / 1e6).toFixed(3),
    share === 0 ? "" : `${(100 * of((r) => 1 - r.seen / Math.floor(r.sent * share))).toFixed(2)} %`,
    `${(100 * of((r) => r.cpu / SECONDS)).toFixed(1)} %`,
    of((r) => r.wakeUps),
    ...latency,
  );
}
