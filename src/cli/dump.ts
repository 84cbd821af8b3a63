/** `cbpf dump`: what the compiler makes of a program, stage by stage. */
import { dump, STAGES } from "../jit/inspect.ts";
import { dumpGraph } from "../optimize/inspect.ts";
import { Program } from "../vm/program.ts";
import { about, type Command } from "./command.ts";
import { readProgram } from "./program-argument.ts";
import { PROGRAM_OPTIONS } from "./program-options.ts";

export const command: Command = {
  usage: "[--stage STAGE] PROGRAM",
  summary: "print a form between a program and its machine code",
  details: `Stages: ${STAGES.join(", ")}, graph.
"blocks" is what both code printers read; "js" and "wat" are the code for one packet, "-batch" that for many.
"graph" is the optimizer's decision graph, before its passes and after those that won.
A program with backward jumps has "cfg" only, and a long one no "js".`,
  options: {
    stage: { type: "string", short: "s", value: "STAGE", help: "the form to print; default blocks" },
    profile: { type: "string", value: "NAME", help: "whose rules the program must obey: linux (default) or libpcap" },
    ...PROGRAM_OPTIONS,
  },
  positionals: [1, 1],
  async run(args, terminal) {
    const { instructions, name } = await readProgram(args.positionals[0]!, args, terminal);
    const profile = args.choice("profile", ["linux", "libpcap"] as const) ?? "linux";
    const stage = args.choice("stage", [...STAGES, "graph"] as const) ?? "blocks";
    try {
      const { verified } = Program.fromInstructions(instructions, { profile });
      await terminal.write(stage === "graph" ? dumpGraph(verified) : dump(verified, stage));
    } catch (error) {
      throw about(name, error);
    }
    return 0;
  },
};
