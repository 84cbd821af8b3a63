/**
 * The PROGRAM argument of every command: a file, standard input, or the text itself.
 */
import { readFile, stat } from "node:fs/promises";
import { BpfError } from "../base/errors.ts";
import { type ByteOrder, type DecodeOptions, decode } from "../program/codec.ts";
import type { Instruction } from "../program/instruction.ts";
import { parseText, recognise, TEXT_FORMATS, type TextFormat } from "../text/formats.ts";
import { type Arguments, about, type Option, UsageError } from "./command.ts";
import type { Terminal } from "./terminal.ts";

/** Text forms, and "raw" for bytes. */
export type ProgramFormat = TextFormat | "raw";
export const PROGRAM_FORMATS: readonly ProgramFormat[] = [...(Object.keys(TEXT_FORMATS) as TextFormat[]), "raw"];

/** Options that say how to read a PROGRAM. */
export const PROGRAM_OPTIONS = {
  from: { type: "string", value: "FORMAT", help: "form of the program, recognised by default" },
  "byte-order": { type: "string", value: "ORDER", help: "of raw bytes: little, big or auto (default)" },
} as const satisfies Record<string, Option>;

export const FORMAT_LIST = `formats: ${PROGRAM_FORMATS.join(", ")}`;

export interface LoadedProgram {
  readonly instructions: readonly Instruction[];
  readonly format: ProgramFormat;
  /** The file's name, "standard input" or "the argument". */
  readonly name: string;
}

/**
 * Reads a PROGRAM argument; not verified.
 *
 * @param form  Its form, where the command leaves no choice.
 * @throws {BpfError} `bad-text` or `bad-bytes`, with the name in front.
 */
export async function readProgram(
  argument: string,
  args: Arguments,
  terminal: Terminal,
  form?: ProgramFormat,
): Promise<LoadedProgram> {
  const wanted = form ?? args.choice("from", PROGRAM_FORMATS);
  const byteOrder = args.choice("byte-order", ["auto", "little", "big"] as const) ?? "auto";
  const { name, bytes } = await contents(argument, wanted, terminal);
  try {
    return { name, ...interpret(bytes, wanted, byteOrder) };
  } catch (error) {
    throw about(name, error);
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
  if (await isFile(argument)) return { name: argument, bytes: await readFile(argument) };
  if (wanted === undefined && recognise(argument) === undefined) {
    throw new BpfError("bad-text", `${argument}: no such file, and no program in any of the forms`);
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

async function isFile(path: string): Promise<boolean> {
  try {
    return !(await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

async function readAll(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
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
