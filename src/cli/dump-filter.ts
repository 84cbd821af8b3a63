/** `cbpf dump-filter`: the program on a socket of a running process. */
import { getFilter, isFilterLocked } from "../kernel/attach.ts";
import { type Command, EXIT } from "./command.ts";
import { writeProgram } from "./convert.ts";
import { FOREIGN_DETAILS, FOREIGN_OPTIONS, foreignSocket } from "./foreign-argument.ts";
import { FORMAT_LIST, PROGRAM_FORMATS } from "./program-argument.ts";

export const command: Command = {
  usage: "--pid N --fd N [--to FORMAT] [-o FILE]",
  summary: "show the program attached to a socket of a running process",
  details: `${FOREIGN_DETAILS}\nExit status 0 when there is a program, 1 when there is none.\n${FORMAT_LIST}`,
  options: {
    ...FOREIGN_OPTIONS,
    to: { type: "string", value: "FORMAT", help: "form of the output, default asm" },
    output: { type: "string", short: "o", value: "FILE", help: "write there instead of standard output" },
  },
  positionals: [0, 0],
  async run(args, terminal) {
    const to = args.choice("to", PROGRAM_FORMATS) ?? "asm";
    const socket = foreignSocket(args);
    try {
      const program = getFilter(socket);
      if (isFilterLocked(socket)) terminal.note("cbpf dump-filter: the filter is locked");
      if (program !== undefined) return await writeProgram(program, to, args, terminal);
      terminal.note("cbpf dump-filter: no filter is attached");
      return EXIT.nothing;
    } finally {
      socket.close();
    }
  },
};
