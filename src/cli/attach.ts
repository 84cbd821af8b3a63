/** `cbpf attach`: puts a program on a socket of a running process, for debugging. */
import { attachFilter, detachFilter } from "../kernel/attach.ts";
import { type Command, EXIT, UsageError } from "./command.ts";
import { FOREIGN_DETAILS, FOREIGN_OPTIONS, foreignSocket } from "./foreign-argument.ts";
import { readProgram } from "./program-argument.ts";
import { PROGRAM_OPTIONS } from "./program-options.ts";

/** Of an expression: it makes sense on packet sockets of Ethernet interfaces. */
const PLACE = { linktype: 1, live: true };

export const command: Command = {
  usage: "--pid N --fd N PROGRAM  |  --pid N --fd N --detach",
  summary: "attach a program to a socket of a running process, or take one off",
  details: `${FOREIGN_DETAILS}\nExit status 0 when it is done, 1 when there was no filter to take off.`,
  options: {
    ...FOREIGN_OPTIONS,
    detach: { type: "boolean", help: "take the filter off" },
    ...PROGRAM_OPTIONS,
  },
  positionals: [0, 1],
  async run(args, terminal) {
    const [programArgument] = args.positionals;
    const detach = args.flag("detach");
    if (detach === (programArgument !== undefined)) throw new UsageError("expected either PROGRAM or --detach");
    const program =
      programArgument === undefined ? undefined : await readProgram(programArgument, args, terminal, undefined, PLACE);
    const socket = foreignSocket(args);
    try {
      if (program === undefined) return detachFilter(socket) ? EXIT.matched : EXIT.nothing;
      attachFilter(socket, program);
      return EXIT.matched;
    } finally {
      socket.close();
    }
  },
};
