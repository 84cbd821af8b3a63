/**
 * What a valid program is, one rule at a time.
 *
 * A rule has a stable id, the profiles it belongs to, and a check that yields violations.  Linux's rules:
 * net/core/filter.c, bpf_check_classic(), check_load_and_stores(), chk_code_allowed(); confirmed on 6.18.
 * libpcap's: bpf_filter.c, its validator.
 */

import { hex } from "../base/bytes.ts";
import type { Violation } from "../base/errors.ts";
import { ANCILLARY, isAncillaryOffset } from "../isa/ancillary.ts";
import type { InstructionSet } from "../isa/instruction-set.ts";
import { BPF_MAXINSNS, BPF_MEMWORDS, SKF_AD_OFF } from "../isa/limits.ts";
import { type Does, OPCODES } from "../isa/opcodes.ts";
import type { ProfileName } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import { unwrittenReads } from "../program/scratch.ts";

export interface Subject {
  readonly instructions: readonly Instruction[];
  readonly isa: InstructionSet;
}

export interface Rule {
  readonly id: string;
  readonly profiles: readonly ProfileName[];
  /** The rule in one line, for docs and `cbpf verify`. */
  readonly doc: string;
  /** Looks at the whole program. */
  check(subject: Subject): Iterable<Violation>;
}

const BOTH: readonly ProfileName[] = ["linux", "libpcap"];

/** A rule that looks at one instruction at a time, dead code included; `test` gives the message of a violation. */
function perInstruction(
  id: string,
  profiles: readonly ProfileName[],
  doc: string,
  test: (does: Does | undefined, insn: Instruction, index: number, subject: Subject) => string | undefined,
): Rule {
  return {
    id,
    profiles,
    doc,
    *check(subject) {
      for (const [index, insn] of subject.instructions.entries()) {
        const message = test(subject.isa.known(insn.code)?.does, insn, index, subject);
        if (message !== undefined) yield { rule: id, message, index };
      }
    },
  };
}

const programLength: Rule = {
  id: "program-length",
  profiles: ["linux"],
  doc: `a program has 1 to ${BPF_MAXINSNS} instructions`,
  *check({ instructions }) {
    const n = instructions.length;
    if (n >= 1 && n <= BPF_MAXINSNS) return;
    yield { rule: "program-length", message: `${n} instructions are outside 1..${BPF_MAXINSNS}` };
  },
};

const emptyProgram: Rule = {
  id: "program-empty",
  profiles: ["libpcap"],
  doc: "a program has at least one instruction",
  *check({ instructions }) {
    if (instructions.length === 0)
      yield { rule: "program-empty", message: "0 instructions where at least 1 is needed" };
  },
};

const unknownOpcode = perInstruction(
  "unknown-opcode",
  ["linux"],
  "the whole 16-bit code is one of the 49, or a registered extension",
  (_does, { code }, _index, { isa }) =>
    isa.row(code) === undefined ? `code ${hex(code, 2)} is none of the ${OPCODES.length} known` : undefined,
);

/**
 * libpcap's validator looks at the class and the fields that matter for it, so it takes many codes that its
 * interpreter does not know.
 */
const invalidOpcode = perInstruction(
  "invalid-opcode",
  ["libpcap"],
  "the mode of a load, or the operation of an arithmetic or jump code, is one that libpcap's validator knows",
  (_does, { code }, _index, { isa }) =>
    isa.extensions.has(code) || libpcapAccepts(code)
      ? undefined
      : `code ${hex(code, 2)} has no valid mode or operation`,
);

/** True for the 53,248 codes that libpcap's validator takes; the upper byte never counts. */
export function libpcapAccepts(code: number): boolean {
  switch (code & 7) {
    case 0: // LD
    case 1: // LDX: modes IMM, ABS, IND, MEM, LEN, MSH
      return (code & 0xe0) <= 0xa0;
    case 4: // ALU: ADD .. XOR
      return (code & 0xf0) <= 0xa0;
    case 5: // JMP: JA .. JSET
      return (code & 0xf0) <= 0x40;
    default:
      return true;
  }
}

/** Not a rule of libpcap's validator, but of surviving: bpf_filter() calls abort() on a code it does not know. */
const abortsAtRun = perInstruction(
  "aborts-at-run",
  ["libpcap"],
  "libpcap's interpreter knows the code; on another it ends the process with abort()",
  (_does, { code }, _index, { isa }) =>
    libpcapAccepts(code) && isa.row(code) === undefined
      ? `code ${hex(code, 2)} passes libpcap's validator, and then its interpreter ends the process`
      : undefined,
);

const divisionByZero = perInstruction(
  "division-by-zero",
  BOTH,
  "a constant divisor is not 0, in dead code either",
  (does, { k }) =>
    does?.kind === "alu" && does.src === "k" && (does.op === "div" || does.op === "mod") && k === 0
      ? "constant divisor 0; 1..0xffffffff is allowed"
      : undefined,
);

/**
 * A constant shift of 32 or more.
 *
 * Linux refuses the program.  libpcap does not look, and then shifts by a count that C leaves undefined; under that
 * profile the program loads here and the count is taken modulo 32, as every shift is.
 */
const shiftCount = perInstruction("shift-count", ["linux"], "a constant shift count is 0..31", (does, { k }) =>
  does?.kind === "alu" && does.src === "k" && (does.op === "lsh" || does.op === "rsh") && k > 31
    ? `shift count ${k} is outside 0..31`
    : undefined,
);

const scratchIndex = perInstruction(
  "scratch-index",
  BOTH,
  `a scratch cell is M[0]..M[${BPF_MEMWORDS - 1}]`,
  (does, { k }) =>
    (does?.kind === "load-mem" || does?.kind === "store-mem") && k >= BPF_MEMWORDS
      ? `scratch cell ${k} is outside 0..${BPF_MEMWORDS - 1}`
      : undefined,
);

const ancillaryOffset = perInstruction(
  "ancillary-offset",
  ["linux"],
  "an absolute load from 0xfffff000 up names one of the 16 ancillary values",
  (does, { k }, _index, { isa }) =>
    does?.kind === "packet" && does.at === "abs" && isAncillaryOffset(k) && isa.ancillary(k) === undefined
      ? `offset ${hex(k)} names no ancillary value; ${hex(SKF_AD_OFF)} + 0, 4, ... ${ANCILLARY.at(-1)!.offset} do`
      : undefined,
);

const jumpRange = perInstruction(
  "jump-range",
  ["linux"],
  "both targets of a jump lie inside the program, the one never taken too",
  (does, { jt, jf, k }, index, { instructions }) => {
    const farthest = instructions.length - index - 2;
    if (does?.kind === "jump" && k > farthest) return outside("k", k, farthest);
    if (does?.kind === "branch" && jt > farthest) return outside("jt", jt, farthest);
    if (does?.kind === "branch" && jf > farthest) return outside("jf", jf, farthest);
    return undefined;
  },
);

/** libpcap computes the target of `ja` modulo 2^32, so a jump can go back (its `ip6 protochain` code does). */
const jumpTarget = perInstruction(
  "jump-target",
  ["libpcap"],
  "both targets of a jump, modulo 2^32, lie inside the program",
  (does, { jt, jf, k }, index, { instructions }) => {
    const farthest = instructions.length - index - 2;
    if (does?.kind === "jump" && (index + 1 + k) % 0x1_0000_0000 >= instructions.length)
      return outside("k", k, farthest);
    if (does?.kind === "branch" && jt > farthest) return outside("jt", jt, farthest);
    if (does?.kind === "branch" && jf > farthest) return outside("jf", jf, farthest);
    return undefined;
  },
);

function outside(field: string, offset: number, farthest: number): string {
  return farthest < 0
    ? `${field} ${offset} leaves the program; nothing follows this instruction`
    : `${field} ${offset} leaves the program; 0..${farthest} is allowed`;
}

/** The class of return instructions, the low three bits of a code. */
const BPF_RET = 6;

const missingReturn: Rule = {
  id: "missing-return",
  profiles: BOTH,
  doc: "the last instruction is a return",
  *check({ instructions, isa }) {
    const index = instructions.length - 1;
    const last = instructions[index];
    if (last === undefined || isa.known(last.code)?.does.kind === "return") return;
    // libpcap looks at the class alone; an unknown return has broken a rule about codes by now, by either profile.
    if (isa.row(last.code) === undefined && (last.code & 7) === BPF_RET) return;
    yield { rule: "missing-return", message: "the last instruction is no return", index };
  },
};

const scratchUninitialized: Rule = {
  id: "scratch-uninitialized",
  profiles: ["linux"],
  doc: "a scratch cell is written before it is read, by the kernel's one-pass reckoning",
  *check({ instructions, isa }) {
    for (const index of unwrittenReads(instructions, isa)) {
      const message = `M[${instructions[index]!.k}] is read before every path has written it`;
      yield { rule: "scratch-uninitialized", message, index };
    }
  },
};

/** Every rule, in the order in which violations of one instruction are listed. */
export const RULES: readonly Rule[] = Object.freeze([
  programLength,
  emptyProgram,
  unknownOpcode,
  invalidOpcode,
  abortsAtRun,
  divisionByZero,
  shiftCount,
  scratchIndex,
  ancillaryOffset,
  jumpRange,
  jumpTarget,
  scratchUninitialized,
  missingReturn,
]);
