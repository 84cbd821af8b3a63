// Compile times of filter expressions: how long from text to verified program, warmed?
//
//   node bench/filter.mjs          needs `npm run build`
//
// Medians over rounds in which every expression has its turn, so that a busy moment hits all of them alike.
import { cpus } from "node:os";
import { compileFilter } from "../dist/filter/compile.js";

const hosts = (count) =>
  Array.from({ length: count }, (_, i) => `host 10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`).join(" or ");

const CASES = [
  // name                            expression                                                    runs a round
  ["ip", "ip", 200],
  ["tcp port 80", "tcp port 80", 200],
  ["port 80", "port 80", 200],
  ["host and not ports", "host 1.2.3.4 and not (port 80 or 443 or 8080)", 100],
  ["tcp flags", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and not src and dst net 10", 100],
  ["radiotap tcp port 80", "tcp port 80", 100, { linktype: 127 }],
  ["scoped tcp port 80", "tcp port 80", 100, { mode: "scoped" }],
  ["100 hosts", hosts(100), 5],
  ["1,000 hosts", hosts(1000), 1, { profile: "libpcap" }],
];
const ROUNDS = 15;

// The engine compiles what runs often; that is part of no expression's time.
for (let i = 0; i < 3000; i++)
  for (const [, expression, runs, options] of CASES) if (runs >= 100) compileFilter(expression, options);

const times = new Map(CASES.map(([name]) => [name, []]));
const sizes = new Map();
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, expression, runs, options] of CASES) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < runs; i++) sizes.set(name, compileFilter(expression, options).instructions.length);
    times.get(name).push(Number(process.hrtime.bigint() - start) / 1e6 / runs);
  }
}

console.log(`${cpus()[0].model}, Node ${process.version}, median of ${ROUNDS} rounds`);
for (const [name, list] of times) {
  list.sort((a, b) => a - b);
  const [median, best] = [list[list.length >> 1], list[0]].map((ms) => ms.toFixed(3).padStart(8));
  console.log(`${name.padEnd(24)} ${median} ms, best ${best} ms ${String(sizes.get(name)).padStart(6)} instructions`);
}
