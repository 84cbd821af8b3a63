// Bundled and run by jit.test.ts with --expose-gc: prints by how many bytes the heap grew over so many packets.
import { CODE } from "../../src/isa/opcodes.ts";
import { js } from "../../src/jit/js-engine.ts";
import { wasm } from "../../src/jit/wasm-engine.ts";
import { createArena } from "../../src/program/arena.ts";
import { jump, stmt } from "../../src/program/instruction.ts";
import { verify } from "../../src/verify/verify.ts";

declare const gc: () => void;

const PACKETS = Number(process.argv[2]);
const BATCH = 4096;

const program = verify([
  stmt(CODE.ldh_abs, 12),
  jump(CODE.jeq_k, 0x0800, 0, 3),
  stmt(CODE.ldw_abs, 26),
  jump(CODE.jgt_k, 0x80000000, 0, 1),
  stmt(CODE.ret_k, 0xffffffff),
  stmt(CODE.ret_k, 0),
]);
const arena = createArena({ packets: BATCH, bytes: 60 * BATCH });
for (let i = 0; i < BATCH; i++) {
  const frame = new Uint8Array(60).fill(i);
  if (i % 2 === 0) frame.set([8, 0], 12);
  arena.add(frame);
}
const verdicts = new Uint32Array(BATCH);
const [jsFilter, wasmFilter] = [js.load(program), wasm.load(program)];
const { bytes, table } = arena;

function grown(pass: () => void): number {
  for (let done = 0; done < 20 * BATCH; done += BATCH) pass(); // compiled, and inline caches filled
  gc();
  const before = process.memoryUsage().heapUsed;
  for (let done = 0; done < PACKETS; done += BATCH) pass();
  return process.memoryUsage().heapUsed - before; // no collection: garbage counts
}

console.log(
  JSON.stringify({
    match: grown(() => {
      for (let i = 0; i < BATCH; i++) verdicts[i] = jsFilter.match(bytes, table[2 * i]!, table[2 * i + 1]!);
    }),
    "runBatch js": grown(() => {
      jsFilter.runBatch({ bytes, table, count: BATCH }, verdicts);
    }),
    "runBatch wasm": grown(() => {
      wasmFilter.runBatch(arena, verdicts);
    }),
    matchAt: grown(() => {
      for (let i = 0; i < BATCH; i++) verdicts[i] = wasmFilter.matchAt(arena, i);
    }),
  }),
);
