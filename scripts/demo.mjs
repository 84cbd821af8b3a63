// The main job, end to end, on a capture of the project: `npm run demo`.
import { readFileSync } from "node:fs";
import { analyze, Program } from "cbpf";
import { readCaptureSync } from "cbpf/capture";
import { status, unixOracle } from "cbpf/kernel";

const CAPTURE = "test/captures/http.pcap";
// tcpdump -y EN10MB -ddd 'tcp port 80'
const TCPDUMP = `20
40 0 0 12
21 0 6 34525
48 0 0 20
21 0 15 6
40 0 0 54
21 12 0 80
40 0 0 56
21 10 11 80
21 0 10 2048
48 0 0 23
21 0 8 6
40 0 0 20
69 6 0 8191
177 0 0 14
72 0 0 14
21 2 0 80
72 0 0 16
21 0 1 80
6 0 0 262144
6 0 0 0`;

const title = (text) => console.log(`\n${text}\n${"-".repeat(text.length)}`);

title("A program, as tcpdump -ddd prints it for `tcp port 80`");
const program = Program.parse(TCPDUMP);
console.log(program.toString("tcpdump-d").trimEnd());

const { attach, shortestPath, longestPath } = analyze(program.verified);
console.log(
  `\nValid for Linux. A packet takes ${shortestPath} to ${longestPath} of its ${program.length} instructions. Attached to a socket it would be` +
    `\n${attach.converted} eBPF instructions and ${attach.charge} bytes of socket memory.`,
);

title(`The packets of ${CAPTURE}`);
const packets = [...readCaptureSync(readFileSync(new URL(`../${CAPTURE}`, import.meta.url)))];
const verdicts = packets.map((packet) => program.execute(packet.data));
const matched = verdicts.filter((verdict) => verdict !== 0).length;
console.log(`The interpreter picks ${matched} of ${packets.length} packets.`);

title("Why one of them was not picked");
const dropped = packets[verdicts.indexOf(0)];
for (const step of program.trace(dropped.data)) {
  const read = step.read === undefined ? "" : `  read ${step.read.size} bytes at ${step.read.at}`;
  const way = step.taken === undefined ? "" : `  ${step.taken ? "true" : "false"}`;
  console.log(
    `packet ${dropped.number}, instruction ${String(step.index).padStart(2)}: A = 0x${step.a.toString(16)}${read}${way}`,
  );
  if (step.end !== undefined) console.log(`verdict ${step.end.verdict}: ${step.end.message}`);
}

title("The same program in the Linux kernel");
const kernel = status();
if (kernel.available) {
  const oracle = unixOracle();
  try {
    const bytes = Buffer.concat(packets.map((packet) => packet.data));
    const table = new Uint32Array(2 * packets.length);
    let at = 0;
    packets.forEach(({ data }, i) => {
      table.set([at, data.length], 2 * i);
      at += data.length;
    });
    const batch = { bytes, table, count: packets.length };
    const theirs = oracle.verdicts(program.instructions, batch);
    console.log("packet  bytes  interpreter  kernel");
    for (let i = 0; i < Math.min(8, packets.length); i++) {
      const row = [packets[i].number, packets[i].data.length, verdicts[i], theirs[i]];
      console.log(row.map((cell, column) => String(cell).padStart([6, 5, 11, 6][column])).join("  "));
    }
    const differing = verdicts.filter((verdict, i) => verdict !== theirs[i]).length;
    console.log(`...\n${packets.length} packets through a socket with SO_ATTACH_FILTER: ${differing} verdicts differ.`);
    process.exitCode = differing === 0 ? 0 : 1;
  } finally {
    oracle.close();
  }
} else {
  console.log(`Not here: ${kernel.message}\nEverything above ran without it, with the verdicts the kernel gives.`);
}
