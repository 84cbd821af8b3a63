/**
 * What the words of an instruction set mean: mnemonic and operand form to row, and ancillary words to k.
 *
 * Derived from the opcode table; the only list here is that of bpf_asm's second names (tools/bpf/bpf_exp.y).
 * Mnemonics and ancillary words are read in either case, as bpf_asm reads them.
 */
import { ANCILLARY } from "../isa/ancillary.ts";
import type { AnyRow, ExtensionRow, InstructionSet } from "../isa/instruction-set.ts";
import { OPCODES, type OpcodeRow, usesK } from "../isa/opcodes.ts";
import type { Instruction } from "../program/instruction.ts";

/** What a mnemonic and an operand stand for. */
export interface Meaning {
  readonly row: OpcodeRow;
  /** The word names the opposite condition: its first label is where the instruction goes when it does not hold. */
  readonly negated: boolean;
}

/** A mnemonic: its meaning for each operand form, or the user's row that it names. */
export type Entry =
  | { readonly kind: "known"; readonly forms: ReadonlyMap<string, Meaning> }
  | { readonly kind: "extension"; readonly row: ExtensionRow };

interface Alias {
  readonly word: string;
  readonly of: string;
  /** The one operand form that the alias takes; every form of the mnemonic when absent. */
  readonly form?: string;
  readonly negated?: true;
}

// biome-ignore format: a table
const ALIASES: readonly Alias[] = [
  { word: "ldi",  of: "ld",   form: "#k" },
  { word: "ldxi", of: "ldx",  form: "#k" },
  { word: "ldx",  of: "ldxb" },                 // ldx 4*([14]&0xf)
  { word: "jmp",  of: "ja" },
  { word: "jne",  of: "jeq",  negated: true },  // the first of two is what the disassembler prints
  { word: "jneq", of: "jeq",  negated: true },
  { word: "jlt",  of: "jge",  negated: true },
  { word: "jle",  of: "jgt",  negated: true },
];

/** Words for the packet's length; "pktlen" is libpcap's. */
export const LENGTH_WORDS: readonly string[] = ["len", "pktlen"];

/** Words that have a meaning of their own where a name of a user's instruction or ancillary load would stand. */
const RESERVED: readonly string[] = [...LENGTH_WORDS, "x", "unimp"];

/** A word that the scanner gives back in one piece, so that text made of it can be read. */
const WORD = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** The operand column without its labels: the part that tells rows of one mnemonic apart. */
export function operandForm(row: OpcodeRow): string {
  return row.operand.replace(",Lt,Lf", "");
}

export class Vocabulary {
  readonly #entries = new Map<string, Entry>();
  readonly #ancillary = new Map<string, number>();

  constructor(isa: InstructionSet) {
    const known = new Map<string, Map<string, Meaning>>();
    const define = (word: string, row: OpcodeRow, negated: boolean) => {
      const forms = known.get(word) ?? new Map<string, Meaning>();
      known.set(word, forms.set(operandForm(row), { row, negated }));
    };
    for (const row of OPCODES) define(row.mnemonic, row, false);
    for (const row of isa.extensions.values()) {
      const word = row.mnemonic ?? row.name;
      if (!RESERVED.includes(word.toLowerCase())) this.#entries.set(word, { kind: "extension", row });
    }
    for (const { word, of, form, negated } of ALIASES) {
      if (this.#entries.has(word)) continue; // a user's row goes before a second name
      for (const row of OPCODES) {
        if (row.mnemonic === of && (form ?? operandForm(row)) === operandForm(row)) define(word, row, negated ?? false);
      }
    }
    for (const [word, forms] of known) this.#entries.set(word, { kind: "known", forms });

    for (const [k, { name }] of isa.ancillaryExtensions) {
      if (!RESERVED.includes(name.toLowerCase())) this.#ancillary.set(name, k);
    }
    for (const { k, words } of ANCILLARY) for (const word of words) this.#ancillary.set(word, k);
  }

  entry(word: string): Entry | undefined {
    return this.#entries.get(word) ?? this.#entries.get(word.toLowerCase());
  }

  mnemonics(): Iterable<string> {
    return this.#entries.keys();
  }

  /** The k of an ancillary word. */
  ancillary(word: string): number | undefined {
    return this.#ancillary.get(word) ?? this.#ancillary.get(word.toLowerCase());
  }

  /** Every word that can stand where an ancillary word can. */
  *operandWords(): Iterable<string> {
    yield* this.#ancillary.keys();
    yield* LENGTH_WORDS;
  }

  /** A word that reads back as this ancillary k, or undefined. */
  wordFor(k: number, isa: InstructionSet): string | undefined {
    const row = isa.ancillary(k);
    if (row === undefined) return undefined;
    const word = "words" in row ? row.words[0]! : row.name;
    return WORD.test(word) && this.ancillary(word) === k ? word : undefined;
  }

  /** The mnemonic that reads back as this user's row, or undefined when its word can not be read. */
  mnemonicOf(row: ExtensionRow): string | undefined {
    const word = row.mnemonic ?? row.name;
    const entry = this.entry(word);
    return WORD.test(word) && entry?.kind === "extension" && entry.row.code === row.code ? word : undefined;
  }
}

const CACHE = new WeakMap<InstructionSet, Vocabulary>();

/** The words of an instruction set; made once for each. */
export function vocabulary(isa: InstructionSet): Vocabulary {
  let words = CACHE.get(isa);
  if (words === undefined) {
    words = new Vocabulary(isa);
    CACHE.set(isa, words);
  }
  return words;
}

/** The second name of a condition's opposite: `jne` for `jeq`, none for `jset`. */
export function oppositeOf(mnemonic: string, words: Vocabulary): string | undefined {
  const alias = ALIASES.find(({ of, negated }) => of === mnemonic && negated);
  return alias !== undefined && words.entry(alias.word)?.kind === "known" ? alias.word : undefined;
}

/** True for a row of the table. */
export function isKnown(row: AnyRow | undefined): row is OpcodeRow {
  return row !== undefined && "does" in row;
}

/**
 * True when mnemonic and operand say all that the instruction holds.  Linux ignores jt and jf outside conditional
 * jumps and k where {@link usesK} is false, and keeps them; text that left them out would lose them.
 */
export function sayable(row: AnyRow, { jt, jf, k }: Instruction): boolean {
  const branches = isKnown(row) && row.does.kind === "branch";
  const usesConstant = !isKnown(row) || usesK(row.does);
  return (branches || (jt === 0 && jf === 0)) && (usesConstant || k === 0);
}
