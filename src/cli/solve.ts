/** `cbpf solve`: a packet that a filter accepts, or the proof that there is none. */
import { writeFile } from "node:fs/promises";
import { toHex } from "../base/bytes.ts";
import { interpreter } from "../interpreter/interpreter.ts";
import type { VerifiedProgram } from "../program/engine.ts";
import { solve } from "../prove/solve.ts";
import { verify } from "../verify/verify.ts";
import { type Command, EXIT } from "./command.ts";
import { EITHER_DETAILS, EITHER_OPTIONS, readEither } from "./either-argument.ts";
import { linktypeOption } from "./filter-argument.ts";
import { packetFile } from "./packet-file.ts";
import { refuseTwoStdins } from "./program-argument.ts";
import { PROVER_OPTIONS, withSolver } from "./prover.ts";

export const command: Command = {
  usage: "[--verdict N] [--time-limit MS] [-o FILE] PROGRAM...",
  summary: "find a packet that filters accept, or prove that there is none",
  details: `${EITHER_DETAILS}  Several are to be met by one packet.
Without z3-solver packets are forged for the paths of the first, and nothing is proven.
Exit status 0 for a packet, 1 for none or unknown.`,
  options: {
    verdict: { type: "string", value: "N", help: "the verdict wanted; default any but 0" },
    ...PROVER_OPTIONS,
    ...EITHER_OPTIONS,
    output: { type: "string", short: "o", value: "FILE", help: "write the packet there, as pcap" },
  },
  positionals: [1, Number.POSITIVE_INFINITY],
  async run(args, terminal) {
    refuseTwoStdins(args.positionals);
    const profile = args.choice("profile", ["linux", "libpcap"] as const) ?? "linux";
    const verdict = args.number("verdict", 0, 0xffffffff);
    const programs: VerifiedProgram[] = [];
    for (const argument of args.positionals) {
      programs.push(verify((await readEither(argument, args, terminal)).instructions, { profile }));
    }
    const solution = await withSolver(args, terminal, (solver, timeLimit) =>
      solve(programs, { solver, timeLimit, engine: interpreter, ...(verdict === undefined ? {} : { verdict }) }),
    );
    if (solution.result === "none") {
      await terminal.write("none: no packet is accepted\n");
      return EXIT.nothing;
    }
    if (solution.result === "unknown") {
      await terminal.write(`unknown: ${solution.reason}\n`);
      return EXIT.nothing;
    }
    const output = args.text("output");
    if (output === undefined) await terminal.write(`${toHex(solution.witness.packet)}\n`);
    else {
      await writeFile(output, packetFile(solution.witness, linktypeOption(args) ?? 1));
      await terminal.write(`${solution.witness.packet.length} bytes written to ${output}\n`);
    }
    return EXIT.matched;
  },
};
