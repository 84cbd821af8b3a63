/**
 * Programs as the interpreter reads them: four int32 an instruction, with absolute jump targets.
 *
 * Two codes of its own, below 0, stand for loads and instructions that the switch hands to somebody else.
 */
import { ANCILLARY } from "../isa/ancillary.ts";
import type { AncillaryExtension, ExtensionRow } from "../isa/instruction-set.ts";
import { targets } from "../program/cfg.ts";
import type { VerifiedProgram } from "../program/engine.ts";

/** Int32 fields of an instruction: code, k, and where it goes on when true and when false. */
export const FIELDS = 4;

/** -1: an ancillary load, k being its row.  -2: a user's instruction or ancillary load, k being its number. */
export type InternalCode = -1 | -2;

export interface DecodedProgram {
  /**
   * {@link FIELDS} int32 an instruction.  Targets are positions in this array, one instruction early, since the
   * loop steps on after every instruction.
   */
  readonly code: Int32Array;
  /** The users' functions, by number. */
  readonly extensions: readonly ExtensionRow["run"][];
}

export function decodeForRunning(program: VerifiedProgram): DecodedProgram {
  const { instructions, isa } = program;
  const code = new Int32Array(instructions.length * FIELDS);
  const extensions: ExtensionRow["run"][] = [];
  instructions.forEach((insn, index) => {
    const at = index * FIELDS;
    const row = isa.row(insn.code);
    const extension = row !== undefined && "run" in row ? row.run.bind(row) : ancillaryExtension(program, index);
    const ancillary = ancillaryRow(program, index);
    if (extension !== undefined) {
      code[at] = -2 satisfies InternalCode;
      code[at + 1] = extensions.push(extension) - 1;
    } else if (ancillary >= 0) {
      code[at] = -1 satisfies InternalCode;
      code[at + 1] = ancillary;
    } else {
      code[at] = insn.code;
      code[at + 1] = insn.k;
      const [yes, no] = targets(insn, index, isa);
      code[at + 2] = ((yes ?? 0) - 1) * FIELDS;
      code[at + 3] = ((no ?? 0) - 1) * FIELDS;
    }
  });
  return { code, extensions };
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
