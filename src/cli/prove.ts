/** `cbpf prove`: are two filters the same on every packet. */
import { writeFile } from "node:fs/promises";
import { toHex } from "../base/bytes.ts";
import { interpreter } from "../interpreter/interpreter.ts";
import type { VerifiedProgram } from "../program/engine.ts";
import { verifyEquivalence } from "../prove/equivalence.ts";
import { verify } from "../verify/verify.ts";
import { type Command, EXIT } from "./command.ts";
import { EITHER_DETAILS, EITHER_OPTIONS, readEither } from "./either-argument.ts";
import { linktypeOption } from "./filter-argument.ts";
import { packetFile } from "./packet-file.ts";
import { refuseTwoStdins } from "./program-argument.ts";
import { PROVER_OPTIONS, withSolver } from "./prover.ts";

export const command: Command = {
  usage: "[--by z3|paths] [--time-limit MS] [-o FILE] PROGRAM PROGRAM",
  summary: "prove that two filters agree on every packet, or find one on which they do not",
  details: `${EITHER_DETAILS}
Verdicts are compared as 32-bit numbers, truncated packets included.
Exit status 0 for equal, 1 for different; "unknown" is 1 as well, and says why.`,
  options: {
    ...PROVER_OPTIONS,
    ...EITHER_OPTIONS,
    output: { type: "string", short: "o", value: "FILE", help: "write the packet there, as pcap" },
  },
  positionals: [2, 2],
  async run(args, terminal) {
    refuseTwoStdins(args.positionals);
    const profile = args.choice("profile", ["linux", "libpcap"] as const) ?? "linux";
    const programs: VerifiedProgram[] = [];
    for (const argument of args.positionals) {
      programs.push(verify((await readEither(argument, args, terminal)).instructions, { profile }));
    }
    const [a, b] = [programs[0]!, programs[1]!];
    const answer = await withSolver(args, terminal, (solver, timeLimit) =>
      verifyEquivalence(a, b, { solver, timeLimit, engine: interpreter }),
    );
    if (answer.result === "equal") {
      await terminal.write(`equal, by ${answer.by}\n`);
      return EXIT.matched;
    }
    if (answer.result === "unknown") {
      await terminal.write(`unknown, by ${answer.by}: ${answer.reason}\n`);
      return EXIT.nothing;
    }
    const { packet, context } = answer.witness;
    const [one, other] = [a, b].map((program) => interpreter.load(program).run(packet, context()));
    await terminal.write(`different: verdicts ${one} and ${other} on ${packet.length} bytes\n${toHex(packet)}\n`);
    const output = args.text("output");
    if (output !== undefined) await writeFile(output, packetFile(answer.witness, linktypeOption(args) ?? 1));
    return EXIT.nothing;
  },
};
