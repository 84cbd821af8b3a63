/**
 * Making a failing case small: fewer instructions, shorter packet, smaller constants, while it still fails.
 *
 * A general tool: it knows programs and nothing of engines.  `stillFails` decides, and is asked a few hundred times.
 */
import { ISA } from "../isa/instruction-set.ts";
import { CODE } from "../isa/opcodes.ts";
import { type Instruction, stmt } from "../program/instruction.ts";
import { removeInstructions } from "./relocate.ts";

/** Says whether the case still shows what is looked for. */
export type StillFails = (program: readonly Instruction[], packet: Uint8Array) => boolean | Promise<boolean>;

export interface Shrunk {
  readonly program: readonly Instruction[];
  readonly packet: Uint8Array;
  /** How often `stillFails` was asked. */
  readonly attempts: number;
}

export interface ShrinkOptions {
  /** Most questions put to `stillFails`; default 4000. */
  readonly maxAttempts?: number;
}

/**
 * The smallest case found that still fails.  When `stillFails` is false for the case itself, the case comes back as
 * it is.
 *
 * Instructions are taken out in ever smaller runs, and jumps are repaired to reach what follows their target; the
 * packet is cut; constants, distances and bytes go towards 0.  Repeats until nothing gets smaller.
 */
export async function shrink(
  program: readonly Instruction[],
  packet: Uint8Array,
  stillFails: StillFails,
  options: ShrinkOptions = {},
): Promise<Shrunk> {
  const { maxAttempts = 4000 } = options;
  let best = { program, packet };
  let attempts = 0;
  const better = async (candidate: { program: readonly Instruction[]; packet: Uint8Array }): Promise<boolean> => {
    if (attempts >= maxAttempts) return false;
    attempts++;
    if (!(await stillFails(candidate.program, candidate.packet))) return false;
    best = candidate;
    return true;
  };
  if (!(await better(best))) return { ...best, attempts };
  let progress = true;
  while (progress) {
    progress = false;
    for (const candidates of [withoutInstructions, withShorterPacket, withSimplerInstructions, withSimplerBytes]) {
      // A pass names its candidates by position; what it takes away makes the rest come closer.
      for (let position = 0; ; ) {
        const candidate = candidates(best, position);
        if (candidate === undefined) break;
        if (candidate !== "same" && (await better(candidate))) progress = true;
        else position++;
      }
    }
  }
  return { ...best, attempts };
}

interface Case {
  readonly program: readonly Instruction[];
  readonly packet: Uint8Array;
}

/** A smaller case, "same" where this position has none, undefined behind the last position. */
type Candidate = Case | "same" | undefined;

/** Position p stands for a run of instructions: halves first, then quarters, down to single ones. */
function withoutInstructions({ program, packet }: Case, position: number): Candidate {
  const runs = runsOf(program.length);
  const run = runs[position];
  if (run === undefined) return undefined;
  return { program: removeInstructions(program, run[0], run[1]), packet };
}

function runsOf(length: number): [start: number, count: number][] {
  const runs: [number, number][] = [];
  for (let count = length >> 1; count >= 1; count >>= 1) {
    for (let start = 0; start + count <= length; start += count) runs.push([start, count]);
  }
  return runs;
}

function withShorterPacket({ program, packet }: Case, position: number): Candidate {
  const length = packet.length;
  const lengths = [0, 1, 4, length >> 2, length >> 1, length - 64, length - 8, length - 1];
  const wanted = lengths[position];
  if (wanted === undefined) return undefined;
  return wanted < 0 || wanted >= length ? "same" : { program, packet: packet.slice(0, wanted) };
}

/** Position p: one simplification of one instruction. */
function withSimplerInstructions({ program, packet }: Case, position: number): Candidate {
  const index = Math.floor(position / SIMPLER.length);
  const insn = program[index];
  if (insn === undefined) return undefined;
  const simpler = SIMPLER[position % SIMPLER.length]!(insn);
  if (simpler === undefined) return "same";
  return { program: program.map((old, i) => (i === index ? simpler : old)), packet };
}

/** Each gives a simpler instruction, or undefined when it is as simple already. */
const SIMPLER: readonly ((insn: Instruction) => Instruction | undefined)[] = [
  asConstant,
  (insn) => (insn.jt > 0 ? { ...insn, jt: 0 } : undefined),
  (insn) => (insn.jf > 0 ? { ...insn, jf: 0 } : undefined),
  ...[0, 1, 2, 4].map(
    (k) =>
      (insn: Instruction): Instruction | undefined =>
        insn.k > k ? { ...insn, k } : undefined,
  ),
  (insn) => (insn.k > 0xff ? { ...insn, k: insn.k & 0xff } : undefined),
  (insn) => (insn.k > 0xffff ? { ...insn, k: insn.k & 0xffff } : undefined),
  (insn) => (insn.k > 1 ? { ...insn, k: insn.k >>> 1 } : undefined),
  (insn) => ((insn.k & 0xff) !== 0 && insn.k > 0xff ? { ...insn, k: (insn.k & ~0xff) >>> 0 } : undefined),
];

/** `ld #0` in place of anything that neither jumps nor returns. */
function asConstant(insn: Instruction): Instruction | undefined {
  const kind = ISA.known(insn.code)?.does.kind;
  if (insn.code === CODE.ld_imm || kind === "jump" || kind === "branch" || kind === "return") return undefined;
  return stmt(CODE.ld_imm);
}

/** Bytes to 0, in ever smaller runs. */
function withSimplerBytes({ program, packet }: Case, position: number): Candidate {
  const runs = runsOf(packet.length);
  const run = runs[position];
  if (run === undefined) return undefined;
  const [start, count] = run;
  if (packet.subarray(start, start + count).every((byte) => byte === 0)) return "same";
  const bytes = packet.slice();
  bytes.fill(0, start, start + count);
  return { program, packet: bytes };
}
