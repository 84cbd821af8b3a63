// Bundled and run by jit-hosts.test.ts with --expose-gc: prints by how many bytes the heap grew over so many packets.
import { interpreter } from "../../src/interpreter/interpreter.ts";
import { CODE } from "../../src/isa/opcodes.ts";
import { js } from "../../src/jit/js-engine.ts";
import { wasm } from "../../src/jit/wasm-engine.ts";
import { createArena } from "../../src/program/arena.ts";
import { jump, stmt } from "../../src/program/instruction.ts";
import { verify } from "../../src/verify/verify.ts";
import { engineNamed } from "../../src/vm/tiers.ts";

declare const gc: () => void;

const PACKETS = Number(process.argv[2]);
const BATCH = 4096;

// verdicts beyond 2^31 and loads that look at whole words: numbers that would go to the heap if they were let
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
const frames = Array.from({ length: 64 }, (_, i) => arena.bytes.slice(60 * i, 60 * i + 60));
const verdicts = new Uint32Array(BATCH);
const bitmap = new Uint8Array(BATCH / 8);
const [jsFilter, wasmFilter] = [js.load(program), wasm.load(program)];
const [auto, inArrays] = [engineNamed("auto").load(program), engineNamed("auto").load(program)];
const reference = interpreter.load(program);
const { bytes, table } = arena;
const array = { bytes: bytes.slice(), table: table.slice(), count: BATCH };

/** Bytes that the heap grows by while `pass` runs over BATCH packets again and again; garbage counts. */
function grown(pass: () => void): number {
  for (let done = 0; done < 20 * BATCH; done += BATCH) pass(); // compiled, and inline caches filled
  gc();
  const before = process.memoryUsage().heapUsed;
  for (let done = 0; done < PACKETS; done += BATCH) pass();
  return process.memoryUsage().heapUsed - before;
}

const heap: unknown[] = new Array(BATCH).fill(undefined);

console.log(
  JSON.stringify({
    "js match": grown(() => {
      for (let i = 0; i < BATCH; i++) verdicts[i] = jsFilter.match(bytes, table[2 * i], table[2 * i + 1]);
    }),
    "js match, whole arrays": grown(() => {
      for (let i = 0; i < BATCH; i++) verdicts[i] = jsFilter.match(frames[i & 63]!);
    }),
    "js runBatch": grown(() => {
      jsFilter.runBatch(array, verdicts);
    }),
    "wasm runBatch, verdicts in the arena": grown(() => {
      wasmFilter.runBatch(arena, arena.output);
    }),
    "wasm runBatch, verdicts elsewhere": grown(() => {
      wasmFilter.runBatch(arena, verdicts);
    }),
    "wasm runBatch, count": grown(() => {
      wasmFilter.runBatch(arena);
    }),
    "wasm matchIndices": grown(() => {
      wasmFilter.matchIndices(arena, verdicts);
    }),
    "wasm matchBitmap": grown(() => {
      wasmFilter.matchBitmap(arena, bitmap);
    }),
    "wasm matchAt": grown(() => {
      for (let i = 0; i < BATCH; i++) verdicts[i] = wasmFilter.matchAt(arena, i);
    }),
    "auto match": grown(() => {
      for (let i = 0; i < BATCH; i++) verdicts[i] = auto.match(bytes, table[2 * i], table[2 * i + 1]);
    }),
    "auto runBatch in an arena": grown(() => {
      auto.runBatch(arena, verdicts);
    }),
    "auto runBatch in an array": grown(() => {
      inArrays.runBatch(array, verdicts);
    }),
    "interpreter runBatch": grown(() => {
      reference.runBatch(array, verdicts);
    }),
    "an object a packet": grown(() => {
      for (let i = 0; i < BATCH; i++) heap[i] = { verdict: verdicts[i] };
    }),
  }),
);
