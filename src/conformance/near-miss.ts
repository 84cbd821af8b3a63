/**
 * Programs one step off validity: a valid program with one thing changed.  Some are still valid; that is for the
 * contestants to agree on.
 */
import { ISA } from "../isa/instruction-set.ts";
import { BPF_MAXINSNS, SKF_AD_OFF } from "../isa/limits.ts";
import { CODE, OPCODES } from "../isa/opcodes.ts";
import { type Instruction, stmt } from "../program/instruction.ts";
import { constant, EDGES } from "./generate.ts";
import type { Random } from "./random.ts";
import { insertInstructions, removeInstructions } from "./relocate.ts";

type Program = readonly Instruction[];
type Step = (program: Program, random: Random) => Program;

/** The program with one thing changed, or a few. */
export function nearMiss(program: Program, random: Random): Program {
  let changed = random.pick(STEPS)(program, random);
  while (random.oneIn(6)) changed = random.pick(STEPS)(changed, random);
  return changed;
}

/** One instruction replaced by a changed copy. */
function changeOne(
  program: Program,
  random: Random,
  change: (insn: Instruction, index: number) => Instruction,
  like: (insn: Instruction) => boolean = () => true,
): Program {
  const candidates = program.flatMap((insn, index) => (like(insn) ? [index] : []));
  if (candidates.length === 0) return program;
  const at = random.pick(candidates);
  return program.map((insn, index) => (index === at ? change(insn, index) : insn));
}

const kindOf = (insn: Instruction) => ISA.known(insn.code)?.does.kind;

const STEPS: readonly Step[] = [
  // Codes: one bit off, any other, and the ones that look like something
  (program, random) => changeOne(program, random, (insn) => ({ ...insn, code: insn.code ^ (1 << random.below(16)) })),
  (program, random) => changeOne(program, random, (insn) => ({ ...insn, code: random.below(0x10000) })),
  (program, random) => changeOne(program, random, (insn) => ({ ...insn, code: random.below(0x100) })),
  (program, random) => changeOne(program, random, (insn) => ({ ...insn, code: random.pick(OPCODES).code })),
  // Constants at their limits
  (program, random) => changeOne(program, random, (insn) => ({ ...insn, k: constant(random) })),
  (program, random) =>
    changeOne(program, random, (insn) => ({ ...insn, k: random.pick([31, 32, 33, 0xffff_ffff]) }), isShift),
  (program, random) => changeOne(program, random, (insn) => ({ ...insn, k: 0 }), isDivision),
  (program, random) => changeOne(program, random, (insn) => ({ ...insn, k: random.between(14, 17) }), isScratch),
  (program, random) =>
    changeOne(program, random, (insn) => ({ ...insn, k: (SKF_AD_OFF + random.between(-2, 70)) >>> 0 }), isLoad),
  // Jumps at their limits
  (program, random) =>
    changeOne(
      program,
      random,
      (insn, index) => ({ ...insn, k: (program.length - index - random.between(0, 4)) >>> 0 }),
      (insn) => kindOf(insn) === "jump",
    ),
  (program, random) =>
    changeOne(
      program,
      random,
      (insn) => ({ ...insn, k: random.pick([0xffff_ffff, 0xffff_fffe, 0x8000_0000, 0x7fff_ffff]) }),
      (insn) => kindOf(insn) === "jump",
    ),
  (program, random) => changeOne(program, random, (insn, index) => farArm(program, insn, index, random), isBranch),
  // Unused fields: still valid
  (program, random) =>
    changeOne(
      program,
      random,
      (insn) => ({ ...insn, jt: random.below(256), jf: random.below(256) }),
      (insn) => !isBranch(insn),
    ),
  // The end
  (program) => program.slice(0, -1),
  (program, random) => [...program.slice(0, -1), { ...stmt(random.pick([0x0e, 0x05, 0x00, 0x15, 0x1e, 0x26])) }],
  (program, random) => [...program, stmt(random.pick([CODE.ld_imm, CODE.ja, CODE.tax]))],
  // The scratch dataflow: a load, a store less, a return between them
  (program, random) => inserted(program, random, [stmt(random.pick([CODE.ld_mem, CODE.ldx_mem]), random.below(16))]),
  (program, random) => removed(program, random, (insn) => kindOf(insn) === "store-mem"),
  (program, random) => inserted(program, random, [stmt(CODE.ret_k, random.pick(EDGES))]),
  (program, random) => inserted(program, random, [stmt(CODE.ja, random.below(4))]),
  (program, random) => removed(program, random, () => true),
  // The length
  (program, random) => (random.oneIn(40) ? [] : program),
  (program, random) =>
    random.oneIn(40) ? padded(program, random.between(BPF_MAXINSNS - 1, BPF_MAXINSNS + 2)) : program,
];

const isBranch = (insn: Instruction) => kindOf(insn) === "branch";
const isLoad = (insn: Instruction) => kindOf(insn) === "packet" || kindOf(insn) === "msh";
const isScratch = (insn: Instruction) => kindOf(insn) === "load-mem" || kindOf(insn) === "store-mem";

function isShift({ code }: Instruction): boolean {
  return code === CODE.lsh_k || code === CODE.rsh_k;
}

function isDivision({ code }: Instruction): boolean {
  return code === CODE.div_k || code === CODE.mod_k;
}

function farArm(program: Program, insn: Instruction, index: number, random: Random): Instruction {
  const distance = Math.min(255, Math.max(0, program.length - index - random.between(0, 3)));
  return random.oneIn(2) ? { ...insn, jt: distance } : { ...insn, jf: distance };
}

function inserted(program: Program, random: Random, added: Program): Program {
  return insertInstructions(program, random.below(program.length + 1), added) ?? program;
}

function removed(program: Program, random: Random, like: (insn: Instruction) => boolean): Program {
  const candidates = program.flatMap((insn, index) => (like(insn) ? [index] : []));
  return candidates.length === 0 || program.length < 2
    ? program
    : removeInstructions(program, random.pick(candidates), 1);
}

/** As many `ld #0` in front as make `length` instructions. */
function padded(program: Program, length: number): Program {
  return [...new Array<Instruction>(Math.max(0, length - program.length)).fill(stmt(CODE.ld_imm)), ...program];
}
