/** `cbpf optimize`: an equivalent program with fewer instructions, and what each pass saved. */
import { type Optimized, optimize } from "../optimize/optimize.ts";
import { verify } from "../verify/verify.ts";
import { about, type Command } from "./command.ts";
import { writeProgram } from "./convert.ts";
import { EITHER_DETAILS, EITHER_OPTIONS, readEither } from "./either-argument.ts";
import { FORMAT_LIST, PROGRAM_FORMATS } from "./program-argument.ts";

export const command: Command = {
  usage: "[--goal GOAL] [--semantics WHOSE] [--explain] [--to FORMAT] [-o FILE] PROGRAM",
  summary: "make a program shorter, with the same verdict on every packet",
  details: `${EITHER_DETAILS}
Goals: size, speed (trees for long lists), balanced (default).  With --semantics libpcap, verdicts on packets that end
inside what the program looks at may change, as libpcap's own optimizer changes them.\n${FORMAT_LIST}`,
  options: {
    goal: { type: "string", value: "GOAL", help: "size, speed or balanced (default)" },
    semantics: { type: "string", value: "WHOSE", help: "strict (default) or libpcap" },
    explain: { type: "boolean", help: "say what each pass saved, instead of printing the program" },
    to: { type: "string", value: "FORMAT", help: "form of the output, default tcpdump-d" },
    ...EITHER_OPTIONS,
    output: { type: "string", short: "o", value: "FILE", help: "write there instead of standard output" },
  },
  positionals: [1, 1],
  async run(args, terminal) {
    const { instructions, name } = await readEither(args.positionals[0]!, args, terminal);
    const profile = args.choice("profile", ["linux", "libpcap"] as const) ?? "linux";
    const goal = args.choice("goal", ["size", "speed", "balanced"] as const) ?? "balanced";
    const semantics = args.choice("semantics", ["strict", "libpcap"] as const) ?? "strict";
    const to = args.choice("to", PROGRAM_FORMATS) ?? "tcpdump-d";
    try {
      const result = optimize(verify(instructions, { profile }), { goal, semantics });
      if (args.flag("explain")) {
        await terminal.write(explanation(instructions.length, result));
        return 0;
      }
      return await writeProgram(verify(result.instructions, { profile }).instructions, to, args, terminal);
    } catch (error) {
      throw about(name, error);
    }
  },
};

function explanation(before: number, { report, instructions, unchanged }: Optimized): string {
  if (unchanged !== undefined) return `${before} instructions, unchanged: ${unchanged}\n`;
  const width = Math.max(...report.map(({ pass }) => pass.length));
  const lines = report.map(({ pass, before: from, after, kept }) => {
    const change = kept ? `${from} to ${after}` : `${from} to ${after}, undone`;
    return `  ${pass.padEnd(width)}  ${change}`;
  });
  const saved = Math.round(100 * (1 - instructions.length / before));
  return [`${before} to ${instructions.length} instructions, ${saved} % fewer`, ...lines, ""].join("\n");
}
