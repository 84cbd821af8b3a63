// One receiver of bench/kernel.mjs, in a process of its own: KIND INTERFACE FILTER LATENCY [RIVALS]
//
//   KIND     ring, receive, cap, pcap
//   FILTER   all, half, none: how many of the frames it matches
//   LATENCY  1 to measure how old each packet is when JavaScript has it
//
// Prints "ready" when packets would be seen, and at the first line on standard input one line of JSON: packets seen,
// what the kernel lost, CPU seconds, wake-ups of the main thread, and percentiles of the latency in microseconds.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [, , kind, device, filter, latencyFlag, rivals] = process.argv;
const measuresLatency = latencyFlag === "1";
const BUFFER = 64 << 20;

let seen = 0;
let sum = 0; // something is read of every packet
const ages = [];

function age(bytes, at) {
  let sent = 0n;
  for (let i = 0; i < 8; i++) sent = (sent << 8n) | BigInt(bytes[at + 42 + i]);
  ages.push(Number(process.hrtime.bigint() - sent) / 1000);
}

const EXPRESSION = { all: "", half: "udp[1] & 1 = 1", none: "udp port 9" };
const program = {
  all: "ret #-1",
  half: "ldb [35]\njset #1, y, n\ny: ret #-1\nn: ret #0",
  none: "ldh [36]\njeq #9, y, n\ny: ret #-1\nn: ret #0",
};

/** Starts receiving; gives what reads how many packets the kernel lost. */
async function start() {
  if (kind === "ring" || kind === "receive") {
    const { capture } = await import("../dist/kernel/index.js");
    const { Program } = await import("../dist/index.js");
    const live = capture({ interface: device, mode: kind, filter: Program.parse(program[filter]), bufferSize: BUFFER });
    (async () => {
      for await (const { bytes, table, count } of live) {
        for (let i = 0; i < count; i++) {
          sum += bytes[table[2 * i] + 12];
          if (measuresLatency) age(bytes, table[2 * i]);
        }
        seen += count;
      }
    })();
    return () => live.statistics().dropped;
  }
  const require = createRequire(`${rivals}/package.json`);
  if (kind === "cap") {
    const { Cap } = require("cap");
    const cap = new Cap();
    const buffer = Buffer.alloc(65535);
    cap.open(device, EXPRESSION[filter], BUFFER, buffer);
    cap.setMinBytes?.(0);
    cap.on("packet", () => {
      seen++;
      sum += buffer[12];
      if (measuresLatency) age(buffer, 0);
    });
    return () => undefined;
  }
  const pcap = require("pcap");
  const session = pcap.createSession(device, { filter: EXPRESSION[filter], buffer_size: BUFFER, promiscuous: false });
  session.on("packet", ({ buf }) => {
    seen++;
    sum += buf[12];
    if (measuresLatency) age(buf, 0);
  });
  return () => session.stats().ps_drop;
}

function wakeUps() {
  const status = readFileSync(`/proc/self/task/${process.pid}/status`, "latin1");
  return Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)[1]);
}

const lost = await start();
await new Promise((resolve) => setTimeout(resolve, 200)); // what starting up takes is not measured
const before = { cpu: process.cpuUsage(), wakeUps: wakeUps() };
process.stdout.write("ready\n");
process.stdin.once("data", () => {
  const { user, system } = process.cpuUsage(before.cpu);
  ages.sort((a, b) => a - b);
  const at = (share) => ages[Math.min(ages.length - 1, Math.floor(share * ages.length))];
  const result = {
    seen,
    lost: lost(),
    cpu: (user + system) / 1e6,
    wakeUps: wakeUps() - before.wakeUps,
    ...(ages.length > 0 ? { p50: at(0.5), p99: at(0.99) } : {}),
    ...(sum === 0 && seen > 0 ? { error: "no byte was read" } : {}),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
});
