/**
 * A rival in a process of its own: what bench/engines.c and bench/engines.go have in common, seen from here.
 *
 *   RIVAL PACKETS ...                 reads commands from standard input and answers one line each:
 *     load NAME FILE                  a program, as an array of struct bpf_insn; "ok"
 *     run ENGINE NAME COUNT PASSES    the first COUNT packets, PASSES times over: "NS HASH MATCHED", where NS is
 *                                     nanoseconds a packet and HASH is FNV-1a over the verdicts of the last pass
 *     "none WHY"                      answers either of them when the rival does not take the program
 *
 * PACKETS is a file: u32 count, u32 bytes, `count` pairs of u32 offset and length, then the bytes; all little-endian.
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Writes a packet set where rivals read it; returns the path. */
export function writePackets(folder, { bytes, table, count }) {
  const path = join(folder, `packets-${count}.bin`);
  writeFileSync(path, Uint32Array.of(count, bytes.length));
  writeFileSync(path, new Uint8Array(table.buffer, table.byteOffset, 8 * count), { flag: "a" });
  writeFileSync(path, bytes, { flag: "a" });
  return path;
}

/** Writes programs, name to [code, jt, jf, k] each, as rivals load them; returns name to path. */
export function writePrograms(folder, programs) {
  return new Map(
    [...programs].map(([name, instructions]) => {
      const path = join(folder, `${name}.insns`);
      writeFileSync(path, encode(instructions));
      return [name, path];
    }),
  );
}

function encode(instructions) {
  const view = new DataView(new ArrayBuffer(8 * instructions.length));
  instructions.forEach(([code, jt, jf, k], i) => {
    view.setUint16(8 * i, code, true);
    view.setUint8(8 * i + 2, jt);
    view.setUint8(8 * i + 3, jf);
    view.setUint32(8 * i + 4, k, true);
  });
  return new Uint8Array(view.buffer);
}

/**
 * Starts a rival and loads the programs.
 *
 * @param command   binary, packets and further words.
 * @param programs  name to path.
 * @returns {Promise<{ run(engine: string, program: string, count: number, passes: number):
 *   Promise<{ ns: number, hash: number } | { none: string }>, stop(): void }>}
 */
export async function startRival([binary, ...words], programs) {
  const child = spawn(binary, words, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (command) => {
    child.stdin.write(`${command}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error(`${binary} ended at "${command}"`);
    return value;
  };
  const refused = new Map();
  for (const [name, path] of programs) {
    const answer = await ask(`load ${name} ${path}`);
    if (answer !== "ok") refused.set(name, answer);
  }
  return {
    async run(engine, program, count, passes) {
      const answer = refused.get(program) ?? (await ask(`run ${engine} ${program} ${count} ${passes}`));
      const none = /^none (.*)/.exec(answer);
      if (none !== null) return { none: none[1] };
      const [ns, hash] = answer.split(" ").map(Number);
      return { ns, hash };
    },
    stop: () => child.stdin.end(),
  };
}
