/** `cbpf disasm`: shows any program, and any bytes, as assembly. */
import type { Command } from "./command.ts";
import { writeProgram } from "./convert.ts";
import { readProgram } from "./program-argument.ts";
import { EXPRESSION_OPTIONS, PROGRAM_OPTIONS } from "./program-options.ts";

export const command: Command = {
  usage: "[--listing] [--from FORMAT] PROGRAM",
  summary: "show a program as assembly, valid or not",
  options: {
    listing: { type: "boolean", short: "l", help: "numbered lines, as tcpdump -d prints them" },
    ...PROGRAM_OPTIONS,
    ...EXPRESSION_OPTIONS,
  },
  positionals: [1, 1],
  async run(args, terminal) {
    const program = await readProgram(args.positionals[0]!, args, terminal);
    return writeProgram(program.instructions, args.flag("listing") ? "tcpdump-d" : "asm", args, terminal);
  },
};
