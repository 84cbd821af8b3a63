/**
 * How long does compiling take, from verified instructions to a function that can be called?
 *
 *   npm run build && node bench/compile.mjs
 *
 * Programs of 10, 100, 1000 and 4096 instructions: arithmetic, and jumps each to its own place.  Every compile is of
 * another program (one constant differs), so that no cache of the engine answers.  Medians of warmed compiles.
 */
import { cpus } from "node:os";
import { js } from "../dist/jit/js-engine.js";
import { lower } from "../dist/jit/lower.js";
import { wasm } from "../dist/jit/wasm-engine.js";
import { printModule } from "../dist/jit/wasm-printer.js";
import { verify } from "../dist/verify/verify.js";

const VARIANT = { output: "verdicts", shared: false, workArea: 128, packets: 65536, prefetch: false };
const PACKET = new Uint8Array(64);

/** `n` instructions; `salt` makes each program new. */
const SHAPES = {
  alu: (n, salt) => [
    [0x80, 0, 0, 0],
    ...Array.from({ length: n - 2 }, (_, i) => [[0x04, 0x24, 0xa4][i % 3], 0, 0, (i * 2654435761 + salt) >>> 0]),
    [0x16, 0, 0, 0],
  ],
  jumps: (n, salt) => [
    [0x30, 0, 0, 0],
    ...Array.from({ length: n - 3 }, (_, i) => [
      0x25,
      Math.min(255, (i * 7) % Math.max(1, n - 4 - i)),
      0,
      (i + salt) >>> 0,
    ]),
    [0x06, 0, 0, 1],
    [0x06, 0, 0, 0],
  ],
};

let salt = 1;

function median(times) {
  return [...times].sort((a, b) => a - b)[times.length >> 1];
}

/** Median microseconds of `step` on fresh programs. */
function time(shape, n, step) {
  const rounds = n > 500 ? 30 : 100;
  const times = [];
  for (let i = 0; i < 2 * rounds; i++) {
    const program = verify(SHAPES[shape](n, salt));
    salt += 17;
    const start = performance.now();
    step(program);
    if (i >= rounds) times.push((performance.now() - start) * 1e3);
  }
  return median(times).toFixed(0).padStart(9);
}

const STEPS = {
  lower: (program) => lower(program),
  "js function": (program) => js.load(program),
  "js, 1st run": (program) => js.load(program).run(PACKET),
  "wasm bytes": (program) => printModule(lower(program), VARIANT),
  "wasm module": (program) => wasm.load(program),
  "wasm 1st run": (program) => wasm.load(program).run(PACKET),
};

console.log(`node ${process.version}, ${cpus()[0].model}: microseconds, each column from the verified program\n`);
console.log(
  `${"".padEnd(12)}${Object.keys(STEPS)
    .map((name) => name.padStart(13))
    .join("")}`,
);
for (const shape of Object.keys(SHAPES)) {
  for (const n of [10, 100, 1000, 4096]) {
    const cells = Object.entries(STEPS).map(([name, step]) => {
      if (name.startsWith("js") && n > 1000) return "-".padStart(13);
      try {
        return time(shape, n, step).padStart(13);
      } catch (error) {
        if (error.code !== "unsupported") throw error;
        return "unsupported".padStart(13);
      }
    });
    console.log(`${`${shape} ${n}`.padEnd(12)}${cells.join("")}`);
  }
}
