// Bundled and run by jit-hosts.test.ts in hosts with less: prints which tier runs what, and the verdict.
// An argument is a content security policy, which the host then has, as far as a page would see it.
import { CODE } from "../../src/isa/opcodes.ts";
import { createArena } from "../../src/program/arena.ts";
import type { VerifiedProgram } from "../../src/program/engine.ts";
import { jump, stmt } from "../../src/program/instruction.ts";
import { verify } from "../../src/verify/verify.ts";
import { type EngineName, engineNamed } from "../../src/vm/tiers.ts";

const host = globalThis as unknown as { Function: unknown; WebAssembly?: { Module: unknown } };
const [policy] = process.argv.slice(2);
if (policy !== undefined && !policy.includes("'unsafe-eval'")) {
  host.Function = refused(EvalError, "Refused to evaluate a string as JavaScript");
  // memories and tables are not code, and stay
  if (!policy.includes("'wasm-unsafe-eval'"))
    host.WebAssembly!.Module = refused(Error, "Wasm code generation disallowed");
}

function refused(kind: ErrorConstructor, message: string): () => never {
  return function refuse(): never {
    throw new kind(message);
  };
}

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
  const filter = engineNamed(name).load(program).compile();
  return `${filter.tier} ${filter.run(Uint8Array.of(1))}`;
}

function inArena(name: EngineName, program: VerifiedProgram): string {
  if (host.WebAssembly === undefined) return "no arena";
  const arena = createArena();
  arena.add(Uint8Array.of(1));
  const filter = engineNamed(name).load(program).compile();
  filter.runBatch(arena, arena.output);
  return `${filter.tier} ${arena.output[0]}`;
}

console.log(
  JSON.stringify({
    js: answer("js", short),
    wasm: answer("wasm", short),
    auto: answer("auto", short),
    arena: inArena("auto", short),
    long: answer("js", long),
    labels: answer("js", labels),
  }),
);
