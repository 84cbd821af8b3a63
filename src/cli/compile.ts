/** `cbpf compile`: a filter expression into a program, in any form. */
import { type Command, UsageError } from "./command.ts";
import { writeProgram } from "./convert.ts";
import { compileArgument, FILTER_OPTIONS } from "./filter-argument.ts";
import { FORMAT_LIST, PROGRAM_FORMATS } from "./program-argument.ts";

export const command: Command = {
  usage: "[--to FORMAT] [--linktype NAME] [-o FILE] EXPRESSION...",
  summary: "compile a pcap-filter(7) expression",
  details: `The words of the expression may be one argument or several.\n${FORMAT_LIST}`,
  options: {
    to: { type: "string", value: "FORMAT", help: "form of the output, default tcpdump-d" },
    ...FILTER_OPTIONS,
    output: { type: "string", short: "o", value: "FILE", help: "write there instead of standard output" },
  },
  positionals: [1, Number.POSITIVE_INFINITY],
  async run(args, terminal) {
    const to = args.choice("to", PROGRAM_FORMATS) ?? "tcpdump-d";
    const expression = args.positionals.join(" ");
    if (expression === "-") throw new UsageError("the expression is an argument, not standard input");
    const { instructions } = await compileArgument(expression, args, terminal);
    return writeProgram(instructions, to, args, terminal);
  },
};
