/** `cbpf verify`: is it a valid program, by whose rules, and what would its attach cost. */

import { disassembleOne } from "../text/disassemble.ts";
import { DEFAULT_OPTMEM_MAX, estimateAttach } from "../verify/estimate.ts";
import { check } from "../verify/verify.ts";
import { type Command, EXIT } from "./command.ts";
import { readProgram } from "./program-argument.ts";
import { EXPRESSION_OPTIONS, PROGRAM_OPTIONS } from "./program-options.ts";
import { styled } from "./terminal.ts";

export const command: Command = {
  usage: "[--profile linux|libpcap] [--optmem-max BYTES] [--json] PROGRAM",
  summary: "check a program as Linux or libpcap would",
  details: "Exit status 0 for a valid program, 1 for another.",
  options: {
    profile: { type: "string", value: "NAME", help: "whose rules: linux (default) or libpcap" },
    "optmem-max": { type: "string", value: "BYTES", help: `net.core.optmem_max, default ${DEFAULT_OPTMEM_MAX}` },
    json: { type: "boolean", help: "print JSON" },
    ...PROGRAM_OPTIONS,
    ...EXPRESSION_OPTIONS,
  },
  positionals: [1, 1],
  async run(args, terminal) {
    const profile = args.choice("profile", ["linux", "libpcap"] as const) ?? "linux";
    const optmemMax = args.number("optmem-max", 0, 0xffffffff) ?? DEFAULT_OPTMEM_MAX;
    const { instructions, name } = await readProgram(args.positionals[0]!, args, terminal);
    const violations = check(instructions, { profile });
    const valid = violations.length === 0;
    const attach = valid && profile === "linux" ? estimateAttach({ instructions }, { optmemMax }) : undefined;
    if (args.flag("json")) {
      await terminal.write(`${JSON.stringify({ valid, profile, length: instructions.length, violations, attach })}\n`);
      return valid ? EXIT.matched : EXIT.nothing;
    }
    for (const { index, message, rule } of violations) {
      const where = index === undefined ? "program" : disassembleOne(instructions[index]!, index);
      await terminal.write(`${where}\n      ${styled(terminal, "red", message)} [${rule}]\n`);
    }
    if (!valid) {
      const count = violations.length === 1 ? "1 violation" : `${violations.length} violations`;
      await terminal.write(`${name}: not valid for ${profile}, ${count}\n`);
      return EXIT.nothing;
    }
    await terminal.write(
      `${name}: ${styled(terminal, "green", "valid")} for ${profile}, ${count(instructions.length)}\n`,
    );
    if (attach !== undefined) {
      await terminal.write(
        `attached to a socket: ${count(attach.converted)} after conversion, ${attach.charge} bytes charged, ` +
          `${attach.errno === "none" ? `fits optmem_max ${optmemMax}` : styled(terminal, "red", `fails with ${attach.errno} at optmem_max ${optmemMax}`)}\n`,
      );
      for (const { index, message } of attach.violations) await terminal.write(`instruction ${index}: ${message}\n`);
    }
    return EXIT.matched;
  },
};

function count(n: number): string {
  return n === 1 ? "1 instruction" : `${n} instructions`;
}
