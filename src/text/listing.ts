/**
 * Reads what `tcpdump -d` prints, libpcap's bpf_image(): `(002) jeq      #0x800           jt 3	jf 5`.
 *
 * jt and jf are instruction numbers from 0 there, and so is the operand of `ja`.  libpcap leaves out fields that have
 * no meaning, and its compiler leaves numbers in them (the k of `tax`); where they are not 0, this package's writer
 * appends `; .word code, jt, jf, k`, and that is what counts.
 */
import type { Span } from "../base/source-text.ts";
import { ISA } from "../isa/instruction-set.ts";
import type { Instruction } from "../program/instruction.ts";
import type { Assembly, TextOptions } from "./assemble.ts";
import { listForms, readK, readNumber, readOperand } from "./operand.ts";
import { didYouMean, Problems, quote } from "./problems.ts";
import { Scanner, type Token } from "./scanner.ts";
import { type Vocabulary, vocabulary } from "./vocabulary.ts";

/** Lines that tcpdump prints around a program. */
const NOISE = /^\s*(tcpdump|warning)\b/i;

/** @throws {BpfError} `bad-text` */
export function readListing(source: string, options: TextOptions = {}): Assembly {
  const problems = new Problems(source);
  const reader = new ListingReader(problems, vocabulary(options.isa ?? ISA));
  const assembly = reader.run();
  problems.throwIfAny();
  return assembly;
}

/** True for a line to pass over: nothing, or a message of tcpdump. */
export function isNoise(line: string): boolean {
  return line.trim() === "" || NOISE.test(line);
}

class ListingReader {
  readonly #problems: Problems;
  readonly #scanner: Scanner;
  readonly #words: Vocabulary;
  readonly #instructions: Instruction[] = [];
  readonly #spans: Span[] = [];

  constructor(problems: Problems, words: Vocabulary) {
    this.#problems = problems;
    this.#scanner = new Scanner(problems, {});
    this.#words = words;
  }

  run(): Assembly {
    const scanner = this.#scanner;
    while (scanner.token.kind !== "end") {
      if (scanner.at("tcpdump") || scanner.at("warning")) {
        scanner.skipLine(scanner.token);
        continue;
      }
      const first = scanner.token;
      const printed = this.#line();
      const insn = printed !== undefined && this.#scanner.skip(";") ? this.#raw() : printed;
      if (insn !== undefined && !scanner.token.newline) scanner.expected("the end of the line", "unexpected-text");
      this.#instructions.push(Object.freeze(insn ?? { code: 0, jt: 0, jf: 0, k: 0 }));
      this.#spans.push({ start: first.start, end: Math.max(first.end, scanner.lastEnd) });
      scanner.skipLine(first);
    }
    if (this.#instructions.length === 0) {
      this.#problems.add("empty-program", "the text has no instruction", { start: 0, end: 0 });
    }
    return { instructions: this.#instructions, spans: this.#spans };
  }

  #line(): Instruction | undefined {
    if (!this.#number()) return undefined;
    const scanner = this.#scanner;
    const mnemonic = scanner.token;
    if (mnemonic.kind !== "word" || mnemonic.newline) {
      scanner.expected("an instruction", "unknown-mnemonic");
      return undefined;
    }
    scanner.take();
    if (mnemonic.text === "unimp") return this.#unimp();
    const entry = this.#words.entry(mnemonic.text);
    if (entry === undefined) {
      const hint = this.#problems.full ? undefined : didYouMean(mnemonic.text, this.#words.mnemonics());
      this.#problems.add("unknown-mnemonic", `unknown instruction ${quote(mnemonic.text)}`, mnemonic, { hint });
      return undefined;
    }
    if (entry.kind === "extension") return this.#extension(entry.row.code);
    const { forms } = entry;
    const index = this.#instructions.length;
    if (forms.has("L")) {
      const target = readK(scanner);
      return target === undefined ? undefined : plain(forms.get("L")!.row.code, (target - index - 1) >>> 0);
    }
    if (forms.has("") || (forms.has("a") && this.#atEnd())) {
      return plain((forms.get("") ?? forms.get("a"))!.row.code, 0);
    }
    const operand = readOperand(scanner, this.#words, listForms(forms));
    if (operand === undefined) return undefined;
    const meaning = forms.get(operand.form);
    if (meaning === undefined || meaning.negated) {
      this.#problems.add("bad-operand", `${mnemonic.text} takes ${listForms(forms)}`, operand);
      return undefined;
    }
    if (meaning.row.does.kind !== "branch") return plain(meaning.row.code, operand.k);
    return this.#branch(meaning.row.code, operand.k);
  }

  /** `(012)`: the number has to be that of the line, or jumps would go astray. */
  #number(): boolean {
    const scanner = this.#scanner;
    if (!scanner.skip("(")) {
      const message = `expected a line such as "(000) ldh [12]", found ${quote(scanner.token.text)}`;
      this.#problems.add("syntax", message, scanner.token);
      return false;
    }
    const { kind, text, newline } = scanner.token;
    const place: Token = scanner.token;
    if (kind !== "number" || newline || !/^[0-9]+$/.test(text)) return scanner.expected("an instruction number");
    scanner.take();
    if (!scanner.skip(")")) return scanner.expected('")"');
    const index = this.#instructions.length;
    if (Number(text) === index) return true;
    this.#problems.add("line-order", `this is instruction ${index} of the text, not ${text}`, place, {
      hint: "jumps go by number: every line is needed, in order",
    });
    return false;
  }

  #branch(code: number, k: number): Instruction | undefined {
    const jt = this.#target("jt");
    const jf = jt === undefined ? undefined : this.#target("jf");
    return jt === undefined || jf === undefined ? undefined : { code, jt, jf, k };
  }

  #target(field: "jt" | "jf"): number | undefined {
    const scanner = this.#scanner;
    if (scanner.token.newline || !scanner.skip(field)) {
      scanner.expected(`${field} and an instruction number`, "bad-target");
      return undefined;
    }
    const { start } = scanner.token;
    const target = readK(scanner);
    if (target === undefined) return undefined;
    const index = this.#instructions.length;
    const place = { start, end: scanner.lastEnd };
    if (target > index && target <= index + 256) return target - index - 1;
    this.#problems.add(
      "jump-range",
      `${field} ${target} is outside ${index + 1}..${index + 256}, what instruction ${index} can reach`,
      place,
      { index },
    );
    return undefined;
  }

  #unimp(): Instruction | undefined {
    const scanner = this.#scanner;
    const code = readNumber(scanner, "code");
    if (code === undefined) return undefined;
    return this.#atEnd() ? plain(code, 0) : this.#branch(code, 0);
  }

  /** True after what libpcap prints. */
  #atEnd(): boolean {
    return this.#scanner.token.newline || this.#scanner.at(";");
  }

  /** `.word code, jt, jf, k` after the semicolon: all fields of what stands before it. */
  #raw(): Instruction | undefined {
    const scanner = this.#scanner;
    if (!scanner.skip(".word")) {
      scanner.expected('".word"');
      return undefined;
    }
    const fields: number[] = [];
    for (const field of ["code", "jt", "jf", "k"] as const) {
      if (field !== "code" && !scanner.skip(",")) {
        scanner.expected(`"," and ${field}`);
        return undefined;
      }
      const value = readNumber(scanner, field);
      if (value === undefined) return undefined;
      fields.push(value);
    }
    return { code: fields[0]!, jt: fields[1]!, jf: fields[2]!, k: fields[3]! };
  }

  #extension(code: number): Instruction | undefined {
    const scanner = this.#scanner;
    if (this.#atEnd()) return plain(code, 0);
    if (!scanner.skip("#")) {
      scanner.expected('"#" and a number', "bad-operand");
      return undefined;
    }
    const k = readK(scanner);
    return k === undefined ? undefined : plain(code, k);
  }
}

function plain(code: number, k: number): Instruction {
  return { code, jt: 0, jf: 0, k };
}
