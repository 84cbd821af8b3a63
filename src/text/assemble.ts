/**
 * The kernel's assembler language (tools/bpf/bpf_asm, Documentation/networking/filter.rst) to instructions.
 *
 * What bpf_asm takes, this takes, but for `ret x` (code 0x0e, which no kernel loads) and an instruction that goes on in
 * the next line.  Beyond it:
 * `jne`, `jlt` and `jle` with two labels, `//` comments, indented `#` comments, one-letter labels, `[x+4]`,
 * the names of extensions, a jump to an instruction number (`ja 13`, as listings print it) or over some instructions
 * (`jeq #1, +2`), and `.word code, jt, jf, k` for any instruction at all.
 */
import type { Span } from "../base/source-text.ts";
import { type InstructionSet, ISA } from "../isa/instruction-set.ts";
import type { Instruction } from "../program/instruction.ts";
import { atNumber, listForms, type Operand, readK, readNumber, readOperand } from "./operand.ts";
import { checkSource, didYouMean, Problems, quote } from "./problems.ts";
import { numberValue, Scanner, type Token } from "./scanner.ts";
import { type Entry, type Meaning, type Vocabulary, vocabulary } from "./vocabulary.ts";

export interface TextOptions {
  /** The set that knows mnemonics and ancillary names; default {@link ISA}. */
  readonly isa?: InstructionSet | undefined;
}

/** Instructions, and where each of them stands in the text. */
export interface Assembly {
  readonly instructions: Instruction[];
  /** From the mnemonic to the end of the last operand, one for each instruction. */
  readonly spans: Span[];
}

/** Farthest conditional jump, in instructions that are passed over: jt and jf are bytes. */
const MAX_BRANCH = 255;

/**
 * The program of an assembler text.
 *
 * The result is not verified: a text can say what no kernel accepts.
 *
 * @example
 * ```ts
 * import { assemble } from "cbpf";
 * const arp = assemble(`
 *         ldh [12]
 *         jne #0x806, drop
 *         ret #-1
 *   drop: ret #0
 * `);
 * ```
 * @throws {BpfError} `bad-text` with every error, its line, column and an excerpt; `bad-argument` for no string.
 */
export function assemble(source: string, options: TextOptions = {}): Instruction[] {
  return assembleWithSpans(source, options).instructions;
}

/** As {@link assemble}, with the place of each instruction. */
export function assembleWithSpans(source: string, options: TextOptions = {}): Assembly {
  checkSource(source);
  const problems = new Problems(source);
  const assembly = new Assembler(problems, vocabulary(options.isa ?? ISA)).run();
  problems.throwIfAny();
  return assembly;
}

/** A jump target as written: a label, an instruction number, or a distance from the next instruction. */
interface Target extends Span {
  readonly label?: string;
  readonly absolute?: number;
  readonly distance?: number;
}

/** A field that waits for the labels. */
interface Fixup {
  readonly index: number;
  readonly field: "jt" | "jf" | "k";
  readonly target: Target;
}

interface Label extends Span {
  readonly index: number;
}

class Assembler {
  readonly #problems: Problems;
  readonly #scanner: Scanner;
  readonly #words: Vocabulary;
  readonly #instructions: { code: number; jt: number; jf: number; k: number }[] = [];
  readonly #spans: Span[] = [];
  readonly #labels = new Map<string, Label>();
  readonly #fixups: Fixup[] = [];

  constructor(problems: Problems, words: Vocabulary) {
    this.#problems = problems;
    this.#scanner = new Scanner(problems, { line: [";", "//"], hash: true, block: true });
    this.#words = words;
  }

  run(): Assembly {
    const scanner = this.#scanner;
    while (scanner.token.kind !== "end") {
      const statement = scanner.token;
      if (statement.kind === "word" && scanner.ahead.text === ":") this.#define();
      else if (!this.#statement()) scanner.skipLine(statement);
    }
    this.#resolve();
    if (this.#instructions.length === 0 && this.#problems.count === 0) {
      this.#problems.add("empty-program", "the text has no instruction", { start: 0, end: 0 });
    }
    return { instructions: this.#instructions.map((insn) => Object.freeze(insn)), spans: this.#spans };
  }

  /** `label:` */
  #define(): void {
    const { text, start, end } = this.#scanner.take();
    this.#scanner.take();
    if (this.#labels.has(text)) {
      this.#problems.add("duplicate-label", `label ${quote(text)} is already defined`, { start, end });
    } else {
      this.#labels.set(text, { index: this.#instructions.length, start, end });
    }
  }

  /** One instruction; false after an error, with the rest of the line unread. */
  #statement(): boolean {
    const scanner = this.#scanner;
    const mnemonic = scanner.token;
    if (mnemonic.kind !== "word") {
      this.#problems.add("syntax", `expected an instruction or a label, found ${quote(mnemonic.text)}`, mnemonic);
      return false;
    }
    scanner.take();
    if (mnemonic.text.toLowerCase() === ".word") return this.#raw(mnemonic);
    const entry = this.#words.entry(mnemonic.text);
    if (entry === undefined) {
      const hint = this.#problems.full ? undefined : didYouMean(mnemonic.text, this.#words.mnemonics());
      const message = `unknown instruction ${quote(mnemonic.text)}`;
      // The place of an unknown word still counts as an instruction: other places and labels stay right.
      this.#emit(mnemonic, 0, 0, 0, 0);
      this.#problems.add("unknown-mnemonic", message, mnemonic, { hint });
      return false;
    }
    const done = entry.kind === "extension" ? this.#extension(mnemonic, entry.row.code) : this.#known(mnemonic, entry);
    if (!done) this.#emit(mnemonic, 0, 0, 0, 0);
    return done;
  }

  /** `.word code, jt, jf, k` */
  #raw(mnemonic: Token): boolean {
    const fields: number[] = [];
    for (const field of ["code", "jt", "jf", "k"] as const) {
      if (field !== "code" && !this.#comma(`"," and ${field}`)) return false;
      const value = readNumber(this.#scanner, field);
      if (value === undefined) return false;
      fields.push(value);
    }
    this.#emit(mnemonic, fields[0]!, fields[1]!, fields[2]!, fields[3]!);
    return true;
  }

  /** A user's instruction: `#k` or nothing. */
  #extension(mnemonic: Token, code: number): boolean {
    const given = !this.#scanner.token.newline && this.#scanner.skip("#");
    const k = given ? readK(this.#scanner) : 0;
    if (k === undefined) return false;
    this.#emit(mnemonic, code, 0, 0, k);
    return true;
  }

  #known(mnemonic: Token, entry: Entry & { kind: "known" }): boolean {
    const nothing = entry.forms.get("");
    if (nothing !== undefined) {
      this.#emit(mnemonic, nothing.row.code, 0, 0, 0);
      return true;
    }
    const jump = entry.forms.get("L");
    if (jump !== undefined) {
      const target = this.#target();
      if (target === undefined) return false;
      this.#later("k", target);
      this.#emit(mnemonic, jump.row.code, 0, 0, 0);
      return true;
    }
    const wanted = listForms(entry.forms);
    const operand = readOperand(this.#scanner, this.#words, wanted);
    if (operand === undefined) return false;
    const meaning =
      entry.forms.get(operand.form) ?? (entry.forms.size === 1 ? bareConstant(entry, operand) : undefined);
    if (meaning === undefined) {
      this.#problems.add("bad-operand", `${mnemonic.text.toLowerCase()} takes ${wanted}`, operand);
      return false;
    }
    if (meaning.row.does.kind !== "branch") {
      this.#emit(mnemonic, meaning.row.code, 0, 0, operand.k);
      return true;
    }
    return this.#branch(mnemonic, meaning, operand.k);
  }

  /** `, Lt` or `, Lt, Lf`; the arm that is not named falls through. */
  #branch(mnemonic: Token, { row, negated }: Meaning, k: number): boolean {
    if (!this.#comma('"," and a label')) return false;
    const first = this.#target();
    if (first === undefined) return false;
    const second =
      this.#scanner.at(",") && !this.#scanner.token.newline ? this.#scanner.take() && this.#target() : null;
    if (second === undefined) return false;
    this.#later(negated ? "jf" : "jt", first);
    if (second !== null) this.#later(negated ? "jt" : "jf", second);
    this.#emit(mnemonic, row.code, 0, 0, k);
    return true;
  }

  #target(): Target | undefined {
    const scanner = this.#scanner;
    const { kind, text, start, newline } = scanner.token;
    if (kind === "word" && !newline) {
      const { end } = scanner.take();
      return { label: text, start, end };
    }
    if (!atNumber(scanner) || newline) {
      scanner.expected("a label", "bad-target");
      return undefined;
    }
    const relative = kind !== "number";
    const value = numberValue(relative ? scanner.ahead.text : text);
    const k = readK(scanner);
    if (k === undefined || value === undefined) return undefined;
    const place = { start, end: scanner.lastEnd };
    if (!relative) return { absolute: value, ...place };
    return { distance: text === "-" ? -value : value, ...place };
  }

  #comma(what: string): boolean {
    return (!this.#scanner.token.newline && this.#scanner.skip(",")) || this.#scanner.expected(what);
  }

  #later(field: Fixup["field"], target: Target): void {
    this.#fixups.push({ index: this.#instructions.length, field, target });
  }

  #emit(mnemonic: Token, code: number, jt: number, jf: number, k: number): void {
    this.#instructions.push({ code, jt, jf, k });
    this.#spans.push({ start: mnemonic.start, end: Math.max(mnemonic.end, this.#scanner.lastEnd) });
  }

  #resolve(): void {
    for (const [name, label] of this.#labels) {
      if (label.index < this.#instructions.length) continue;
      this.#problems.add("label-at-end", `no instruction follows label ${quote(name)}`, label);
    }
    for (const { index, field, target } of this.#fixups) {
      const distance = this.#distance(index, target);
      if (distance === undefined) continue;
      if (field === "k") this.#instructions[index]!.k = distance >>> 0;
      else if (distance >= 0 && distance <= MAX_BRANCH) this.#instructions[index]![field] = distance;
      else this.#tooFar(distance, target, index);
    }
  }

  /** Instructions between the jump and its target; undefined after reporting a label that is not there. */
  #distance(index: number, { label, absolute, distance, start, end }: Target): number | undefined {
    if (label === undefined) return distance ?? absolute! - index - 1;
    const place = this.#labels.get(label);
    if (place !== undefined) return place.index - index - 1;
    const hint = this.#problems.full ? undefined : didYouMean(label, this.#labels.keys());
    this.#problems.add("unknown-label", `no label ${quote(label)}`, { start, end }, { hint, index });
    return undefined;
  }

  #tooFar(distance: number, target: Target, index: number): void {
    const what = target.label === undefined ? "the target" : quote(target.label);
    const where = distance < 0 ? `lies ${-distance} instructions back` : `is behind the next ${distance} instructions`;
    this.#problems.add(
      "jump-range",
      `${what} ${where}; a conditional jump passes over 0..${MAX_BRANCH}`,
      target,
      distance < 0 ? { index } : { index, hint: "jump to a ja on the way" },
    );
  }
}

/** `ldi 5` for `ldi #5`: bpf_asm takes the constant bare where nothing else can stand. */
function bareConstant({ forms }: Entry & { kind: "known" }, { form }: Operand): Meaning | undefined {
  return form === "k" ? forms.get("#k") : undefined;
}
