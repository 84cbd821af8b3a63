/**
 * Solving: a packet that a program accepts, or the proof that there is none.
 */
import type { VerifiedProgram } from "../program/engine.ts";
import { NO_CONTEXT } from "../program/packet-context.ts";
import { Definitions, encodeProgram, word } from "./encode.ts";
import type { ProofOptions } from "./equivalence.ts";
import { pathPackets } from "./paths.ts";
import { findPacket, type Witness } from "./question.ts";

export interface SolveOptions extends ProofOptions {
  /** The verdict wanted; default any but 0. */
  readonly verdict?: number;
}

export type Solution =
  | { readonly result: "packet"; readonly witness: Witness }
  | { readonly result: "none" }
  | { readonly result: "unknown"; readonly reason: string };

/**
 * A packet on which every one of the programs gives the wanted verdict.
 *
 * Without a solver packets are forged for the paths of the first program and run by `engine`, which finds packets and
 * never proves that there is none.
 *
 * @throws {BpfError} `unsupported` for programs with extensions or jumps back.
 */
export async function solve(programs: readonly VerifiedProgram[], options: SolveOptions = {}): Promise<Solution> {
  const { solver, timeLimit = 10_000, engine, verdict } = options;
  const definitions = new Definitions();
  const verdicts = programs.map((program) => encodeProgram(program.instructions, definitions));
  const wanted = (n: number) => (verdict === undefined ? n !== 0 : n === verdict >>> 0);
  const accepts = ({ packet, context }: Witness) =>
    engine === undefined || programs.every((program) => wanted(engine.load(program).run(packet, context())));
  if (solver === undefined) {
    if (engine === undefined) return { result: "unknown", reason: "there is neither a solver nor an engine" };
    for (const packet of pathPackets(programs[0]!.instructions, MOST_PATHS)) {
      const witness: Witness = { packet, context: () => ({ ...NO_CONTEXT }) };
      if (accepts(witness)) return { result: "packet", witness };
    }
    return { result: "unknown", reason: `no packet was found on ${MOST_PATHS} paths, which proves nothing` };
  }
  const condition = (term: string) =>
    verdict === undefined ? `(not (= ${term} ${word(0)}))` : `(= ${term} ${word(verdict)})`;
  const assertions = verdicts.map((term) => `(assert ${condition(term)})`).join("\n");
  const found = await findPacket(solver, definitions, assertions, timeLimit);
  if ("none" in found) return { result: "none" };
  if ("unknown" in found) return { result: "unknown", reason: found.unknown };
  if (!accepts(found.found)) return { result: "unknown", reason: `${engine!.name} does not accept the packet found` };
  return { result: "packet", witness: found.found };
}

const MOST_PATHS = 2000;
