/**
 * Instructions to text: bpf_asm's language with labels, and the one-line form of tcpdump -d.
 *
 * Both are total.  What a mnemonic can not say, an unknown code or a field that Linux ignores but keeps, is printed as
 * `.word code, jt, jf, k`, so that the text reads back to the same instructions.
 */
import { hex } from "../base/bytes.ts";
import { type InstructionSet, ISA } from "../isa/instruction-set.ts";
import type { OpcodeRow } from "../isa/opcodes.ts";
import type { Instruction } from "../program/instruction.ts";
import type { TextOptions } from "./assemble.ts";
import { printOperand, printsHex } from "./operand.ts";
import { isKnown, oppositeOf, sayable, type Vocabulary, vocabulary } from "./vocabulary.ts";

/** Decimal constants of more bits are addresses or flags: they are printed in hex. */
const MAX_DECIMAL = 0xffffff;
const MNEMONIC_WIDTH = 6;

/**
 * The program in bpf_asm's language, a line for each instruction and labels `L5:` where a jump goes.
 *
 * An arm that falls through is left out (`jeq #6, L4`), with the opposite condition where bpf_asm has a word for it
 * (`jne #6, L4`).  Without raw instructions, extensions and jumps out of the program bpf_asm assembles the text to the
 * same program.  Never throws; an empty program is an empty text.
 */
export function disassemble(instructions: readonly Instruction[], options: TextOptions = {}): string {
  const isa = options.isa ?? ISA;
  const targets = new Set<number>();
  const lines = instructions.map((insn, index) => {
    const label = (distance: number) => {
      const target = index + 1 + distance;
      if (target < 0 || target >= instructions.length) return distance < 0 ? `${distance}` : `+${distance}`;
      targets.add(target);
      return `L${target}`;
    };
    return assemblerLine(insn, isa, label);
  });
  const widest = [...targets].reduce((most, target) => Math.max(most, target), -1);
  const width = widest < 0 ? 0 : `L${widest}: `.length;
  return lines.map((line, i) => `${(targets.has(i) ? `L${i}: ` : "").padEnd(width)}${line}\n`).join("");
}

function assemblerLine(insn: Instruction, isa: InstructionSet, label: (distance: number) => string): string {
  const row = isa.row(insn.code);
  const words = vocabulary(isa);
  if (row === undefined || !sayable(row, insn)) return rawLine(insn, isKnown(row) ? row : undefined);
  if (!isKnown(row)) {
    const word = words.mnemonicOf(row);
    return word === undefined ? wordOf(insn) : columns(word, insn.k === 0 ? "" : `#${number(insn.k, false)}`);
  }
  if (row.does.kind === "jump") return columns(row.mnemonic, label(insn.k | 0));
  if (row.does.kind === "branch") return branchLine(row, insn, words, label);
  const ancillary = row.operand === "[k]" ? words.wordFor(insn.k, isa) : undefined;
  return columns(row.mnemonic, ancillary === undefined ? operand(row, insn) : `#${ancillary}`);
}

function branchLine(row: OpcodeRow, insn: Instruction, words: Vocabulary, label: (distance: number) => string): string {
  const opposite = oppositeOf(row.mnemonic, words);
  const what = operand(row, insn);
  if (insn.jf === 0) return columns(row.mnemonic, `${what}, ${label(insn.jt)}`);
  if (insn.jt === 0 && opposite !== undefined) return columns(opposite, `${what}, ${label(insn.jf)}`);
  return columns(row.mnemonic, `${what}, ${label(insn.jt)}, ${label(insn.jf)}`);
}

function operand(row: OpcodeRow, { k }: Instruction): string {
  return printOperand(row, number(k, printsHex(row)));
}

function number(k: number, inHex: boolean): string {
  return inHex || k > MAX_DECIMAL ? hex(k) : `${k}`;
}

function columns(mnemonic: string, operands: string): string {
  return operands === "" ? mnemonic : `${mnemonic.padEnd(MNEMONIC_WIDTH - 1)} ${operands}`;
}

/** `.word`, with the mnemonic of a known code behind it for the reader's eye. */
function rawLine(insn: Instruction, row: OpcodeRow | undefined): string {
  return row === undefined ? wordOf(insn) : `${wordOf(insn)} ; ${row.mnemonic}`;
}

function wordOf({ code, jt, jf, k }: Instruction): string {
  return columns(".word", `${hex(code, 2)}, ${jt}, ${jf}, ${hex(k)}`);
}

/**
 * One instruction as `tcpdump -d` prints it, jump targets as instruction numbers:
 *
 *     (001) jeq      #0x86dd          jt 2	jf 7
 *
 * Character for character what libpcap's bpf_image() gives, trailing blanks included, but for `ldx #pktlen` (there:
 * `unimp 0x81`) and extensions.  Where that line leaves out a field that is not 0, `; .word code, jt, jf, k` follows,
 * which the reader of listings takes.  Never throws.
 *
 * @param index  Number of the instruction in its program, from 0.
 */
export function disassembleOne(insn: Instruction, index: number, isa: InstructionSet = ISA): string {
  const [mnemonic, what] = listingParts(insn, index, isa);
  const row = isa.row(insn.code);
  // libpcap prints jt and jf for every code of class JMP but ja, known or not.
  const branches = (insn.code & 0x07) === 0x05 && (insn.code & 0xf0) !== 0 && (row === undefined || isKnown(row));
  const whole =
    mnemonic === UNKNOWN ? insn.k === 0 && (branches || (insn.jt === 0 && insn.jf === 0)) : sayable(row!, insn);
  const head = `(${`${index}`.padStart(3, "0")}) ${mnemonic.padEnd(8)} `;
  const line = branches
    ? `${head}${what.padEnd(16)} jt ${index + 1 + insn.jt}\tjf ${index + 1 + insn.jf}`
    : head + what;
  return whole ? line : `${line} ; ${wordOf(insn)}`;
}

/** libpcap's mnemonic for a code that it does not know. */
const UNKNOWN = "unimp";

function listingParts(insn: Instruction, index: number, isa: InstructionSet): [mnemonic: string, operand: string] {
  const row = isa.row(insn.code);
  const words = vocabulary(isa);
  if (!isKnown(row)) {
    const word = row === undefined ? undefined : words.mnemonicOf(row);
    return word === undefined ? [UNKNOWN, hex(insn.code)] : [word, `#${insn.k | 0}`];
  }
  const { does, mnemonic } = row;
  if (does.kind === "jump") return [mnemonic, `${(index + 1 + insn.k) | 0}`];
  if (does.kind === "length") return [mnemonic, "#pktlen"];
  if (does.kind === "return" && does.src === "a") return [mnemonic, ""];
  const ancillary = row.operand === "[k]" ? listingWord(insn.k, isa, words) : undefined;
  if (ancillary !== undefined) return [mnemonic, `[${ancillary}]`];
  return [mnemonic, printOperand(row, printsHex(row) ? hex(insn.k) : `${insn.k | 0}`)];
}

/** libpcap has its own words for two of the ancillary loads; a row's last word is libpcap's. */
function listingWord(k: number, isa: InstructionSet, words: Vocabulary): string | undefined {
  const row = isa.ancillary(k);
  return row !== undefined && "words" in row ? row.words[row.words.length - 1] : words.wordFor(k, isa);
}
