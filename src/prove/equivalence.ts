/**
 * Are two programs the same filter?  A proof, a packet that tells them apart, or "unknown".
 */
import type { Engine, VerifiedProgram } from "../program/engine.ts";
import { Definitions, encodeProgram } from "./encode.ts";
import { comparePaths } from "./paths.ts";
import { type Found, findPacket, type Witness } from "./question.ts";
import type { SmtSolver } from "./solver.ts";

export interface ProofOptions {
  /** What answers the formulas; without one, and where it does not answer, the paths of the programs are compared. */
  readonly solver?: SmtSolver | undefined;
  /** Milliseconds for the solver, and again for comparing paths.  Default 10,000. */
  readonly timeLimit?: number;
  /** Runs a found packet before it is reported; what it does not confirm is "unknown". */
  readonly engine?: Engine;
}

export type Equivalence =
  | { readonly result: "equal"; readonly by: string }
  /** The verdicts differ on this packet. */
  | { readonly result: "different"; readonly by: string; readonly witness: Witness }
  | { readonly result: "unknown"; readonly by: string; readonly reason: string };

/**
 * Compares the 32-bit verdicts of two programs on every packet and context.
 *
 * With a solver the answer is a proof over bit-vectors, for packets up to 2^30 bytes.  Without one, and where it runs
 * out of time, the paths of both programs are compared symbolically, which is exact for tests of packet fields against
 * constants and "unknown" beyond.  `by` says which it was; the paths are read as the optimizer reads programs, the
 * formulas are not.
 *
 * @throws {BpfError} `unsupported` for programs with extensions or jumps back.
 */
export async function verifyEquivalence(
  a: VerifiedProgram,
  b: VerifiedProgram,
  options: ProofOptions = {},
): Promise<Equivalence> {
  const { solver, timeLimit = 10_000, engine } = options;
  const definitions = new Definitions();
  const [one, two] = [a, b].map((program) => encodeProgram(program.instructions, definitions));
  let by = "paths";
  let found: Found | undefined;
  if (solver !== undefined) {
    const answer = await findPacket(solver, definitions, `(assert (not (= ${one} ${two})))`, timeLimit);
    if (!("unknown" in answer)) {
      by = solver.name;
      found = answer;
    }
  }
  found ??= comparePaths(a.instructions, b.instructions, timeLimit);
  if ("none" in found) return { result: "equal", by };
  if ("unknown" in found) return { result: "unknown", by, reason: found.unknown };
  const witness = found.found;
  if (engine !== undefined && verdict(engine, a, witness) === verdict(engine, b, witness)) {
    return { result: "unknown", by, reason: `${engine.name} gives both the same verdict on the packet that was found` };
  }
  return { result: "different", by, witness };
}

function verdict(engine: Engine, program: VerifiedProgram, { packet, context }: Witness): number {
  return engine.load(program).run(packet, context());
}
