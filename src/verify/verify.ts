/**
 * Verifying: is this list of instructions a program, by whose rules, and if not, why not.
 *
 * `verify` alone makes {@link VerifiedProgram}s, the only thing engines take.
 */
import { BpfError, type Violation, violationsError } from "../base/errors.ts";
import { InstructionSet, ISA } from "../isa/instruction-set.ts";
import type { ProfileName, VerifiedProgram } from "../program/engine.ts";
import { type InstructionLike, instructionsFrom } from "../program/instruction.ts";
import { RULES } from "./rules.ts";

export interface VerifyOptions {
  /** "linux" (default): what the kernel attaches.  "libpcap": what libpcap's validator takes and its interpreter survives. */
  readonly profile?: ProfileName;
  /** The instruction set; default the 49 of Linux. */
  readonly isa?: InstructionSet;
}

/**
 * Every violation, by instruction and then by rule; empty for a valid program.
 *
 * Under "linux" the list is empty exactly when SO_ATTACH_FILTER does not give EINVAL for a broken rule; what an
 * attach can also fail with for size is `estimateAttach`'s business.  Under "libpcap", without the rule
 * "aborts-at-run", the list is empty exactly when libpcap's validator accepts.
 *
 * @throws {BpfError} `bad-argument` for what is no list of instructions, or an unknown profile.
 */
export function check(instructions: Iterable<InstructionLike>, options: VerifyOptions = {}): Violation[] {
  return violationsOf(instructionsFrom(instructions), options);
}

function violationsOf(program: ReturnType<typeof instructionsFrom>, options: VerifyOptions): Violation[] {
  const { profile, isa } = settled(options);
  const subject = { instructions: program, isa };
  return RULES.filter((rule) => rule.profiles.includes(profile))
    .flatMap((rule) => [...rule.check(subject)])
    .sort((a, b) => (a.index ?? -1) - (b.index ?? -1));
}

/**
 * The program, verified and frozen.
 *
 * @throws {BpfError} `invalid-program` with every violation; `bad-argument` as {@link check}.
 */
export function verify(instructions: Iterable<InstructionLike>, options: VerifyOptions = {}): VerifiedProgram {
  const program = instructionsFrom(instructions);
  const violations = violationsOf(program, options);
  if (violations.length > 0) throw violationsError("invalid-program", violations);
  return Object.freeze({ instructions: Object.freeze(program), ...settled(options) }) as VerifiedProgram;
}

function settled({ profile = "linux", isa = ISA }: VerifyOptions): { profile: ProfileName; isa: InstructionSet } {
  if (profile !== "linux" && profile !== "libpcap") {
    throw new BpfError("bad-argument", `profile ${JSON.stringify(profile)} is neither "linux" nor "libpcap"`);
  }
  if (!(isa instanceof InstructionSet)) throw new BpfError("bad-argument", "isa is no InstructionSet");
  return { profile, isa };
}
