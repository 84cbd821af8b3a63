/**
 * Programs in C: `{ 0x28, 0, 0, 0x0000000c },` as `tcpdump -dd` and bpf_asm -c print it, designated initialisers, and
 * BPF_STMT and BPF_JUMP macros, with the declaration around them or without.
 *
 * Not a C compiler: whatever is no instruction is passed over.  One text holds one program; a second array is an error,
 * since running two programs as one would be a surprise.
 */
import { hex } from "../base/bytes.ts";
import type { Span } from "../base/source-text.ts";
import { ancillaryAt } from "../isa/ancillary.ts";
import { ISA } from "../isa/instruction-set.ts";
import type { OpcodeRow } from "../isa/opcodes.ts";
import type { Instruction } from "../program/instruction.ts";
import type { Assembly } from "./assemble.ts";
import { CODE_PARTS, readExpression } from "./c-expression.ts";
import { printsHex } from "./operand.ts";
import { Problems, quote } from "./problems.ts";
import { type Field, inField, Scanner } from "./scanner.ts";

/** Order of the fields in each form. */
const MACROS = { BPF_STMT: ["code", "k"], BPF_JUMP: ["code", "k", "jt", "jf"] } as const;
const STRUCT = ["code", "jt", "jf", "k"] as const;
/** Names of designated fields: C's `.code =`, Rust's `code:`, Go's `Op:`. */
const DESIGNATED = /^\.?(code|op|jt|jf|k)$/i;
/** Structs that hold a pointer to a program and its length, and no instruction. */
const HOLDERS: readonly string[] = ["sock_fprog", "bpf_program"];

/** @throws {BpfError} `bad-text` */
export function readC(source: string): Assembly {
  const problems = new Problems(source);
  const reader = new CReader(problems);
  const assembly = reader.run();
  problems.throwIfAny();
  return assembly;
}

class CReader {
  readonly #problems: Problems;
  readonly #scanner: Scanner;
  readonly #instructions: Instruction[] = [];
  readonly #spans: Span[] = [];

  constructor(problems: Problems) {
    this.#problems = problems;
    this.#scanner = new Scanner(problems, { line: ["//"], hash: true, block: true });
  }

  run(): Assembly {
    const scanner = this.#scanner;
    let holder = false;
    let array = 0; // number of the brace that the reader is in, or was last in
    let arrayOfProgram: number | undefined;
    while (scanner.token.kind !== "end") {
      const start = scanner.token;
      const found = !holder && this.#item();
      if (found) {
        arrayOfProgram ??= array;
        if (array !== arrayOfProgram) {
          const message = "a second program starts here; a text holds one";
          this.#problems.add("several-programs", message, { start: start.start, end: scanner.lastEnd });
          break;
        }
      } else if (scanner.skip("{")) {
        array++;
        if (holder) this.#skipBraces();
        holder = false;
      } else {
        const { kind, text } = scanner.take();
        if (kind === "word" && HOLDERS.includes(text)) holder = true;
        else if (text === ";" || text === ")" || text === "*") holder = false;
      }
    }
    if (this.#instructions.length === 0 && this.#problems.count === 0) {
      this.#problems.add("empty-program", "the text has no instruction", { start: 0, end: 0 });
    }
    return { instructions: this.#instructions, spans: this.#spans };
  }

  /** True when an instruction, right or wrong, stood here. */
  #item(): boolean {
    const scanner = this.#scanner;
    const first = scanner.token;
    const { start, kind, text } = first;
    let fields: Partial<Record<Field, number>> | undefined;
    if (kind === "word" && (text === "BPF_STMT" || text === "BPF_JUMP") && scanner.ahead.text === "(") {
      scanner.take();
      fields = this.#macro(MACROS[text], text);
    } else if (text === "{" && this.#opensInstruction()) {
      fields = this.#braces();
    } else return false;
    if (fields === undefined) scanner.skipLine(first);
    const { code = 0, jt = 0, jf = 0, k = 0 } = fields ?? {};
    this.#instructions.push(Object.freeze({ code, jt, jf, k }));
    this.#spans.push({ start, end: scanner.lastEnd });
    return true;
  }

  #opensInstruction(): boolean {
    const next = this.#scanner.ahead;
    if (next.kind === "word") return DESIGNATED.test(next.text) || isConstant(this.#scanner);
    return next.kind === "number" || next.text === "(" || next.text === "-" || next.text === "~";
  }

  #macro(order: readonly Field[], name: string): Partial<Record<Field, number>> | undefined {
    const scanner = this.#scanner;
    scanner.take(); // "("
    const fields: Partial<Record<Field, number>> = {};
    for (const field of order) {
      if (field !== "code" && !scanner.skip(",")) {
        scanner.expected(`"," and ${field}: ${name}(${order.join(", ")})`, "field-count");
        return undefined;
      }
      if (!this.#value(field, fields)) return undefined;
    }
    if (scanner.skip(")")) return fields;
    scanner.expected(`")": ${name}(${order.join(", ")})`, "field-count");
    return undefined;
  }

  /** `{ code, jt, jf, k }`, or designated fields in any order; those that are left out are 0, as in C. */
  #braces(): Partial<Record<Field, number>> | undefined {
    const scanner = this.#scanner;
    const { start } = scanner.take();
    const fields: Partial<Record<Field, number>> = {};
    let count = 0;
    let designated = false;
    while (!scanner.at("}")) {
      const name = this.#designator();
      designated ||= name !== undefined;
      const field = name ?? STRUCT[count];
      if (field === undefined) break;
      if (name === undefined) count++;
      if (!this.#value(field, fields)) return undefined;
      if (!scanner.skip(",")) break;
    }
    if (!scanner.skip("}")) {
      scanner.expected('"," or "}" and no more than code, jt, jf, k', "field-count");
      return undefined;
    }
    if (designated || count === STRUCT.length) return fields;
    const place = { start, end: scanner.lastEnd };
    const message = `an instruction is four numbers, { code, jt, jf, k }, not ${count}`;
    this.#problems.add("field-count", message, place, { index: this.#instructions.length });
    return fields;
  }

  #designator(): Field | undefined {
    const scanner = this.#scanner;
    const { kind, text } = scanner.token;
    if (kind !== "word" || !DESIGNATED.test(text)) return undefined;
    scanner.take();
    if (!scanner.skip("=") && !scanner.skip(":")) scanner.expected(`"=" after ${quote(text)}`);
    const name = text.replace(".", "").toLowerCase();
    return name === "op" ? "code" : (name as Field);
  }

  #value(field: Field, fields: Partial<Record<Field, number>>): boolean {
    const { start } = this.#scanner.token;
    const value = readExpression(this.#scanner);
    if (value === undefined) return false;
    const place = { start, end: this.#scanner.lastEnd };
    fields[field] =
      inField(this.#problems, field, value, this.#scanner.source.slice(place.start, place.end), place) ?? 0;
    return true;
  }

  #skipBraces(): void {
    for (let depth = 1; depth > 0 && this.#scanner.token.kind !== "end"; ) {
      const { text } = this.#scanner.take();
      if (text === "{") depth++;
      else if (text === "}") depth--;
    }
  }
}

function isConstant(scanner: Scanner): boolean {
  return (
    scanner.ahead.text.startsWith("BPF_") && scanner.ahead.text !== "BPF_STMT" && scanner.ahead.text !== "BPF_JUMP"
  );
}

/** As `tcpdump -dd`: `{ 0x28, 0, 0, 0x0000000c },`, a line for each instruction. */
export function writeCNumbers(instructions: readonly Instruction[]): string {
  return instructions.map((insn) => `${braces(insn)},\n`).join("");
}

/** An array of struct sock_filter, with the macros of linux/filter.h where they can say the instruction. */
export function writeC(instructions: readonly Instruction[]): string {
  const items = instructions.map((insn) => `\t${macro(insn) ?? braces(insn)},\n`);
  return `struct sock_filter filter[] = {\n${items.join("")}};\n`;
}

function braces({ code, jt, jf, k }: Instruction): string {
  return `{ ${hex(code)}, ${jt}, ${jf}, ${hex(k, 8)} }`;
}

function macro(insn: Instruction): string | undefined {
  const row = ISA.known(insn.code);
  if (row === undefined) return undefined;
  const names = codeNames(row).join(" | ");
  if (row.does.kind === "branch") return `BPF_JUMP(${names}, ${constant(row, insn.k)}, ${insn.jt}, ${insn.jf})`;
  return insn.jt === 0 && insn.jf === 0 ? `BPF_STMT(${names}, ${constant(row, insn.k)})` : undefined;
}

function constant(row: OpcodeRow, k: number): string {
  const ancillary = row.operand === "[k]" ? ancillaryAt(k) : undefined;
  if (ancillary !== undefined) return `SKF_AD_OFF + SKF_AD_${ancillary.name}`;
  return printsHex(row) || k > 0xffffff ? hex(k) : `${k}`;
}

/** The names whose bits make up a code, in the order that C programs write them. */
function codeNames({ code, does }: OpcodeRow): string[] {
  const parts: (keyof typeof CODE_PARTS)[] = ["class"];
  switch (does.kind) {
    case "packet":
    case "msh":
    case "length":
      parts.push("size", "mode");
      break;
    case "imm":
    case "load-mem":
      parts.push("mode");
      break;
    case "alu":
      parts.push("alu", "source");
      break;
    case "neg":
      parts.push("alu");
      break;
    case "jump":
      parts.push("jump");
      break;
    case "branch":
      parts.push("jump", "source");
      break;
    case "return":
      parts.push("result");
      break;
    case "move":
      parts.push("misc");
      break;
    case "store-mem":
      break;
  }
  return parts.map((part) => {
    const { mask, names } = CODE_PARTS[part];
    return Object.entries(names).find(([, bits]) => bits === (code & mask))![0];
  });
}
