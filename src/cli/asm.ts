/** `cbpf asm`: assembles, as the kernel's bpf_asm does. */
import type { Command } from "./command.ts";
import { writeProgram } from "./convert.ts";
import { FORMAT_LIST, PROGRAM_FORMATS, readProgram } from "./program-argument.ts";

export const command: Command = {
  usage: "[--to FORMAT] [-o FILE] PROGRAM",
  summary: "assemble a program",
  details: FORMAT_LIST,
  options: {
    to: { type: "string", value: "FORMAT", help: "form of the output, default bytecode, as bpf_asm prints" },
    output: { type: "string", short: "o", value: "FILE", help: "write there instead of standard output" },
  },
  positionals: [1, 1],
  async run(args, terminal) {
    const program = await readProgram(args.positionals[0]!, args, terminal, "asm");
    return writeProgram(program.instructions, args.choice("to", PROGRAM_FORMATS) ?? "bytecode", args, terminal);
  },
};
