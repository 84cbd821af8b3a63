/** `cbpf convert`: from any form of a program to any other. */

import { writeFile } from "node:fs/promises";
import { encode } from "../program/codec.ts";
import type { Instruction } from "../program/instruction.ts";
import { formatText } from "../text/formats.ts";
import { type Arguments, type Command, UsageError } from "./command.ts";
import { FORMAT_LIST, PROGRAM_FORMATS, type ProgramFormat, readProgram } from "./program-argument.ts";
import { EXPRESSION_OPTIONS, PROGRAM_OPTIONS } from "./program-options.ts";
import type { Terminal } from "./terminal.ts";

export const command: Command = {
  usage: "--to FORMAT [--from FORMAT] [-o FILE] PROGRAM",
  summary: "change a program's form",
  details: FORMAT_LIST,
  options: {
    to: { type: "string", value: "FORMAT", help: "form of the output" },
    ...PROGRAM_OPTIONS,
    ...EXPRESSION_OPTIONS,
    output: { type: "string", short: "o", value: "FILE", help: "write there instead of standard output" },
  },
  positionals: [1, 1],
  async run(args, terminal) {
    const to = args.choice("to", PROGRAM_FORMATS);
    if (to === undefined) throw new UsageError(`--to is needed: ${PROGRAM_FORMATS.join(", ")}`);
    const program = await readProgram(args.positionals[0]!, args, terminal);
    return writeProgram(program.instructions, to, args, terminal);
  },
};

/** Writes a program in a form, to --output or standard output, and gives the exit status. */
export async function writeProgram(
  instructions: readonly Instruction[],
  to: ProgramFormat,
  args: Arguments,
  terminal: Terminal,
): Promise<number> {
  const text = to === "raw" ? encode(instructions) : formatText(instructions, to);
  const data = typeof text === "string" && !text.endsWith("\n") ? `${text}\n` : text;
  const output = args.text("output");
  if (output === undefined || output === "-") await terminal.write(data);
  else await writeFile(output, data);
  return 0;
}
