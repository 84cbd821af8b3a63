/**
 * The PROGRAM argument of every command: a file, standard input, the text itself, or a filter expression.
 */
import { readFile } from "node:fs/promises";
import { BpfError } from "../base/errors.ts";
import { ISA } from "../isa/instruction-set.ts";
import { type ByteOrder, type DecodeOptions, decode } from "../program/codec.ts";
import type { Instruction } from "../program/instruction.ts";
import { parseText, recognise, TEXT_FORMATS, type TextFormat } from "../text/formats.ts";
import { vocabulary } from "../text/vocabulary.ts";
import { Program } from "../vm/program.ts";
import { type Arguments, about, UsageError } from "./command.ts";
import { fileSize } from "./file-size.ts";
import type { Terminal } from "./terminal.ts";

/** Text forms, and "raw" for bytes. */
export type ProgramFormat = TextFormat | "raw";
export const PROGRAM_FORMATS: readonly ProgramFormat[] = [...(Object.keys(TEXT_FORMATS) as TextFormat[]), "raw"];

/** Bytes of the largest PROGRAM that is read: 4096 instructions need no tenth of it in any form. */
const MAX_PROGRAM = 4 << 20;

/** Verdict of an expression's program on a packet that it picks. */
const SNAPLEN = 262_144;

export const FORMAT_LIST = `formats: ${PROGRAM_FORMATS.join(", ")}`;

export interface LoadedProgram {
  readonly instructions: readonly Instruction[];
  readonly format: ProgramFormat;
  /** The file's name, "standard input" or "the argument". */
  readonly name: string;
}

/** What an expression is compiled for. */
export interface Place {
  readonly linktype: number;
  /** For a socket, where VLAN tags are beside the packet. */
  readonly live: boolean;
}

const FILES: Place = { linktype: 1, live: false };

/**
 * Reads a PROGRAM argument; not verified.
 *
 * @param form  Its form, where the command leaves no choice.
 * @param place  For an expression; by default, files of Ethernet frames.
 * @throws {BpfError} `bad-text` or `bad-bytes`, with the name in front.
 */
export async function readProgram(
  argument: string,
  args: Arguments,
  terminal: Terminal,
  form?: ProgramFormat,
  place: Place = FILES,
): Promise<LoadedProgram> {
  const wanted = form ?? args.choice("from", PROGRAM_FORMATS);
  if (wanted === undefined && isExpression(argument)) return readExpression(argument, args, terminal, place);
  const byteOrder = args.choice("byte-order", ["auto", "little", "big"] as const) ?? "auto";
  const { name, bytes } = await contents(argument, wanted, terminal);
  try {
    return { name, ...interpret(bytes, wanted, byteOrder) };
  } catch (error) {
    throw about(name, error);
  }
}

/** A PROGRAM argument whose instructions may depend on what is filtered. */
export interface ProgramSource {
  readonly name: string;
  /** True for a filter expression: it means other instructions on other link types. */
  readonly dependsOnLinktype: boolean;
  /** The program for packets of a link type. */
  forLinktype(linktype: number): Promise<Program>;
}

/**
 * Reads a PROGRAM argument that is run on captures: an expression is compiled for each link type that they have.
 *
 * @throws {BpfError} as {@link readProgram}, and `invalid-program` with the name in front.
 */
export async function readProgramSource(argument: string, args: Arguments, terminal: Terminal): Promise<ProgramSource> {
  const profile = args.choice("profile", ["linux", "libpcap"] as const) ?? "linux";
  const verified = ({ name, instructions }: LoadedProgram): Program => {
    try {
      return Program.fromInstructions(instructions, { profile });
    } catch (error) {
      throw about(name, error);
    }
  };
  if (args.text("from") === undefined && isExpression(argument)) {
    const programs = new Map<number, Program>();
    return {
      name: "the expression",
      dependsOnLinktype: true,
      async forLinktype(linktype) {
        const known = programs.get(linktype);
        if (known !== undefined) return known;
        const program = verified(await readExpression(argument, args, terminal, { linktype, live: false }));
        programs.set(linktype, program);
        return program;
      },
    };
  }
  const loaded = await readProgram(argument, args, terminal);
  const program = verified(loaded);
  return { name: loaded.name, dependsOnLinktype: false, forLinktype: async () => program };
}

/** True for an argument that is no file, not standard input, and in none of the program forms. */
export function isExpression(argument: string): boolean {
  const format = recognise(argument);
  const program = format === "asm" ? beginsAsAssembly(argument) : format !== undefined;
  return argument !== "-" && !program && fileSize(argument) === undefined;
}

/**
 * Assembly is recognised by words that come near a mnemonic too, for the sake of its error messages; `port` and `icmp`
 * are such words.  One line that begins with neither a mnemonic nor a label is an expression.
 */
function beginsAsAssembly(text: string): boolean {
  const word = /^\s*(\.?\w+)(\s*:(?!:))?/.exec(text);
  return (
    text.includes("\n") ||
    word === null ||
    word[2] !== undefined ||
    word[1] === ".word" ||
    vocabulary(ISA).entry(word[1]!) !== undefined
  );
}

async function readExpression(
  expression: string,
  args: Arguments,
  terminal: Terminal,
  { linktype, live }: Place,
): Promise<LoadedProgram> {
  const { compileArgument } = await import("./filter-argument.ts"); // the compiler: half of the code of a command
  try {
    const { instructions } = await compileArgument(expression, args, terminal, linktype, SNAPLEN, live);
    return { instructions, format: "raw", name: "the expression" };
  } catch (error) {
    // One word without blanks is as likely a file that is not there.
    if (error instanceof BpfError && !/\s/.test(expression.trim()))
      throw about(`${expression}: no such file; as an expression`, error);
    throw error;
  }
}

function interpret(
  bytes: Uint8Array,
  wanted: ProgramFormat | undefined,
  byteOrder: ByteOrder | "auto",
): Omit<LoadedProgram, "name"> {
  if (wanted === "raw" || (wanted === undefined && !isText(bytes))) {
    const options: DecodeOptions = { byteOrder };
    return { instructions: decode(bytes, options), format: "raw" };
  }
  const { instructions, format } = parseText(new TextDecoder().decode(bytes), { format: wanted });
  return { instructions, format };
}

async function contents(
  argument: string,
  wanted: ProgramFormat | undefined,
  terminal: Terminal,
): Promise<{ name: string; bytes: Uint8Array }> {
  if (argument === "-") return { name: "standard input", bytes: await readAll(terminal.stdin) };
  const size = fileSize(argument);
  if (size !== undefined) {
    refuseTooLarge(argument, size);
    return { name: argument, bytes: await readFile(argument) };
  }
  return { name: "the argument", bytes: new TextEncoder().encode(inlineText(argument, wanted)) };
}

/**
 * Assembly on one line of a command: there `;` ends an instruction, `ldh [12]; ret a`.  In a text of several lines it
 * starts a comment, as for bpf_asm.
 */
function inlineText(argument: string, wanted: ProgramFormat | undefined): string {
  const isAssembly = (wanted ?? recognise(argument)) === "asm" && !argument.includes("\n");
  return isAssembly ? argument.replaceAll(";", "\n") : argument;
}

/** A capture in the place of the program would be read for minutes before it turns out to be none. */
function refuseTooLarge(name: string, size: number): void {
  if (size <= MAX_PROGRAM) return;
  throw new BpfError("limit", `${name}: a program of more than ${MAX_PROGRAM} bytes; PROGRAM stands before CAPTURE`);
}

async function readAll(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source) {
    chunks.push(chunk);
    size += chunk.length;
    refuseTooLarge("standard input", size);
  }
  return Buffer.concat(chunks);
}

/** Every instruction has a zero byte in most of its fields; a text has none. */
function isText(bytes: Uint8Array): boolean {
  return !bytes.includes(0);
}

/** Two arguments cannot both be standard input. */
export function refuseTwoStdins(positionals: readonly string[]): void {
  if (positionals.filter((p) => p === "-").length > 1) throw new UsageError("standard input can be read only once");
}
