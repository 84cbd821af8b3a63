/**
 * The engines of this package, as bench/engines.mjs runs them: loops over a packet set that leave the verdicts in an
 * array.
 *
 * "js match" and "wasm call" are loops around a call for each packet that know their packets, as a loop over the one
 * buffer of a program does: V8 knows then where they lie.  "js match arg" is the first with the packets as arguments,
 * where V8 asks in every round what it was given.
 */
import { interpreter } from "../dist/interpreter/interpreter.js";
import { js } from "../dist/jit/js-engine.js";
import { wasm } from "../dist/jit/wasm-engine.js";
import { createArena } from "../dist/program/arena.js";
import { verify } from "../dist/verify/verify.js";

export const OURS = ["wasm batch", "wasm call", "js match", "js match arg", "js batch", "interpreter"];

/** The packet set in an arena. */
export function arenaOf(set) {
  const arena = createArena({ bytes: set.bytes.length, packets: set.count });
  arena.bytes.set(set.bytes);
  arena.table.set(set.table);
  arena.count = set.count;
  arena.used = set.bytes.length;
  return arena;
}

/**
 * For each engine that takes the program, what runs it over the first `count` packets: `run()`, and `verdicts()`, an
 * array that holds them until the next run of any.
 *
 * @param name  Not given to any other program or packet set.
 * @param out   Room for a verdict a packet.
 */
export function ourEngines(name, instructions, arena, set, count, out) {
  const program = verify(instructions);
  const batch = { bytes: set.bytes, table: set.table, count };
  const wasmFilter = wasm.load(program);
  const packets = { bytes: set.bytes, table: set.table, count, out };
  const callLoop = ownLoop(`${name} call`, { filter: wasmFilter, arena, count, out }, [], "filter.matchAt(arena, i)");
  const reference = interpreter.load(program);
  const verdicts = () => out;
  const engines = {
    "wasm batch": {
      run: () => {
        arena.count = count;
        return wasmFilter.runBatch(arena, arena.output);
      },
      verdicts: () => arena.output,
    },
    "wasm call": { run: callLoop, verdicts },
    interpreter: { run: () => reference.runBatch(batch, out), verdicts },
  };
  try {
    const jsFilter = js.load(program);
    const verdict = "filter.match(bytes, table[2 * i], table[2 * i + 1])";
    const matchLoop = ownLoop(`${name} match`, { filter: jsFilter, ...packets }, [], verdict);
    const argumentLoop = ownLoop(`${name} arg`, { filter: jsFilter }, Object.keys(packets), verdict);
    engines["js match"] = { run: matchLoop, verdicts };
    engines["js match arg"] = { run: () => argumentLoop(set.bytes, set.table, count, out), verdicts };
    engines["js batch"] = { run: () => jsFilter.runBatch(batch, out), verdicts };
  } catch (error) {
    if (error.code !== "unsupported") throw error;
  }
  return engines;
}

/**
 * Loops of their own for each filter, as a program with one filter has: a shared loop would be megamorphic.  The name is
 * in the source because V8 shares what it has learnt between functions of one source.
 */
function ownLoop(name, outer, parameters, verdict) {
  const code = `return /* ${name} */ (${parameters.join(", ")}) => {
      let matched = 0;
      for (let i = 0; i < count; i++) {
        const v = ${verdict};
        out[i] = v;
        if (v !== 0) matched++;
      }
      return matched;
    }`;
  return new Function(...Object.keys(outer), code)(...Object.values(outer));
}
