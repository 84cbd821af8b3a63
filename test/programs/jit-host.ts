// Bundled and run by jit.test.ts in hosts with less: prints which tier runs what, and the verdict.
import { CODE } from "../../src/isa/opcodes.ts";
import type { VerifiedProgram } from "../../src/program/engine.ts";
import { jump, stmt } from "../../src/program/instruction.ts";
import { verify } from "../../src/verify/verify.ts";
import { type EngineName, engineNamed } from "../../src/vm/tiers.ts";

const short = verify([stmt(CODE.ldb_abs, 0), stmt(CODE.ret_a)]);
const long = verify([
  ...Array.from({ length: 4093 }, (_, i) => jump(CODE.jgt_k, 1, Math.min(255, 4094 - i), 0)),
  stmt(CODE.ldb_abs, 0),
  stmt(CODE.ret_a),
  stmt(CODE.ret_k, 1),
]);
// 490 labels that are open at the same time: every target lies behind all the jumps
const labels = verify([
  ...Array.from({ length: 240 }, (_, i) => jump(CODE.jgt_k, 100 + i, 239, 0)),
  ...Array.from({ length: 240 }, () => stmt(CODE.add_k, 1)),
  stmt(CODE.ldb_abs, 0),
  stmt(CODE.ret_a),
]);

function answer(name: EngineName, program: VerifiedProgram): string {
  const filter = engineNamed(name).load(program);
  return `${filter.tier} ${filter.run(Uint8Array.of(1))}`;
}

console.log(
  JSON.stringify({
    js: answer("js", short),
    wasm: answer("wasm", short),
    long: answer("js", long),
    labels: answer("js", labels),
  }),
);
