/**
 * Programs as the interpreter reads them: four int32 an instruction, with absolute jump targets.
 *
 * Two codes of its own, below 0, stand for loads and instructions that the switch hands to somebody else.
 */
import { ANCILLARY } from "../isa/ancillary.ts";
import type { AncillaryExtension, ExtensionRow } from "../isa/instruction-set.ts";
import { CODE } from "../isa/opcodes.ts";
import { targets } from "../program/cfg.ts";
import type { VerifiedProgram } from "../program/engine.ts";

/** Int32 fields of an instruction: code, k, and where it goes on when true and when false. */
export const FIELDS = 4;

/**
 * Codes of the interpreter's own, in gaps of the table.
 *
 *   0x08  an ancillary load; k is its row
 *   0x09  a user's instruction or ancillary load; k is its number
 *   0x0a  an absolute load or ldxb from 0x80000000 up; field 2 is the size, field 3 is 1 for ldxb
 *   0x0b and the rest: {@link PAIRS}
 */
export type InternalCode = 0x08 | 0x09 | 0x0a | (typeof PAIRS)[number]["code"];

/**
 * Two instructions run as one, since filters are chains of loads and tests and a dispatch costs more than either
 * (measured: bench/engines.mjs).  The second stays in its place, for jumps to it.
 *
 * V8 makes a jump table of a switch whose cases cover a third of their range, and a chain of comparisons otherwise
 * (src/interpreter/bytecode-generator.cc, IsSpreadAcceptable): these codes fill the range as well.
 */
export const PAIRS = [
  { code: 0x0b, first: CODE.ldh_abs, second: CODE.jeq_k },
  { code: 0x0d, first: CODE.ldb_abs, second: CODE.jeq_k },
  { code: 0x0e, first: CODE.ldw_abs, second: CODE.jeq_k },
  { code: 0x0f, first: CODE.jeq_k, second: CODE.jeq_k }, // the second on the false side of the first
  { code: 0x10, first: CODE.and_k, second: CODE.jeq_k },
  { code: 0x11, first: CODE.ldh_abs, second: CODE.jset_k },
  { code: 0x12, first: CODE.ldh_ind, second: CODE.jeq_k },
] as const;

export interface DecodedProgram {
  /**
   * {@link FIELDS} int32 an instruction.  Targets are positions in this array, see {@link jumpTarget}.
   */
  readonly code: Int32Array;
  /** The users' functions, by number. */
  readonly extensions: readonly ExtensionRow["run"][];
}

export function decodeForRunning(program: VerifiedProgram): DecodedProgram {
  const { instructions, isa } = program;
  const code = new Int32Array(instructions.length * FIELDS);
  const extensions: ExtensionRow["run"][] = [];
  const set = (index: number, fields: readonly number[]): void => code.set(fields, index * FIELDS);

  instructions.forEach((insn, index) => {
    const row = isa.row(insn.code);
    const does = isa.known(insn.code)?.does;
    const extension = row !== undefined && "run" in row ? row.run.bind(row) : ancillaryExtension(program, index);
    const ancillary = ancillaryRow(program, index);
    const msh = does?.kind === "msh";
    const absolute = does?.kind === "packet" && does.at === "abs";
    if (extension !== undefined) set(index, [0x09, extensions.push(extension) - 1]);
    else if (ancillary >= 0) set(index, [0x08, ancillary]);
    else if (msh && insn.k >= 0x80000000) set(index, [0x0a, insn.k, 1, 1]);
    else if (absolute && insn.k >= 0x80000000) set(index, [0x0a, insn.k, does.size, 0]);
    else {
      const [yes = 0, no = 0] = targets(insn, index, isa);
      const position = does?.kind === "branch" ? (t: number) => branchTarget(program, t) : jumpTarget;
      set(index, [pairCode(program, index) ?? insn.code, insn.k, position(yes), position(no)]);
    }
  });
  return { code, extensions };
}

/** Where the loop goes on for the instruction at index `t`: one instruction early, since it steps on. */
function jumpTarget(t: number): number {
  return (t - 1) * FIELDS;
}

/**
 * As {@link jumpTarget}; a conditional jump to `ret #k` ends the loop instead.  After the loop has stepped on, the
 * position is negative, and its opposite is where k stands.
 */
function branchTarget({ instructions }: VerifiedProgram, t: number): number {
  return instructions[t]?.code === CODE.ret_k ? -(t * FIELDS + 1) - FIELDS : jumpTarget(t);
}

/** The code of the pair that the instruction at `index` begins, if it does. */
function pairCode({ instructions }: VerifiedProgram, index: number): InternalCode | undefined {
  const insn = instructions[index]!;
  const next = instructions[index + 1];
  const pair = PAIRS.find(({ first, second }) => first === insn.code && second === next?.code);
  return insn.code === CODE.jeq_k && insn.jf !== 0 ? undefined : pair?.code;
}

/** The number of the ancillary row that an instruction loads, -1 when it loads none. */
function ancillaryRow({ instructions, isa }: VerifiedProgram, index: number): number {
  const { code, k } = instructions[index]!;
  const does = isa.known(code)?.does;
  return does?.kind === "packet" && does.at === "abs" ? ANCILLARY.findIndex((row) => row.k === k) : -1;
}

/** The user's ancillary load of an instruction, as an instruction's function. */
function ancillaryExtension({ instructions, isa }: VerifiedProgram, index: number): ExtensionRow["run"] | undefined {
  const { code, k } = instructions[index]!;
  const does = isa.known(code)?.does;
  if (does?.kind !== "packet" || does.at !== "abs") return undefined;
  const row: AncillaryExtension | undefined = isa.ancillaryExtensions.get(k);
  if (row === undefined) return undefined;
  return (state) => {
    state.a = row.read(state);
    return undefined;
  };
}
