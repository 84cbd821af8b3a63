/**
 * The solver behind `cbpf prove` and `cbpf solve`: z3 when it is installed, else paths, and it is said which.
 */
import { BpfError } from "../base/errors.ts";
import { loadZ3, type SmtSolver } from "../prove/solver.ts";
import type { Arguments, Option } from "./command.ts";
import type { Terminal } from "./terminal.ts";

export const PROVER_OPTIONS = {
  by: { type: "string", value: "HOW", help: "z3 (default where z3-solver is installed) or paths" },
  "time-limit": { type: "string", value: "MS", help: "for each question, default 10000" },
} as const satisfies Record<string, Option>;

/** Runs `work` with the solver that the options ask for, and ends it afterwards. */
export async function withSolver<Result>(
  args: Arguments,
  terminal: Terminal,
  work: (solver: SmtSolver | undefined, timeLimit: number) => Promise<Result>,
): Promise<Result> {
  const by = args.choice("by", ["z3", "paths"] as const);
  const timeLimit = args.number("time-limit", 1, 86_400_000) ?? 10_000;
  const solver = by === "paths" ? undefined : await z3(by === "z3", terminal);
  try {
    return await work(solver, timeLimit);
  } finally {
    await solver?.close();
  }
}

async function z3(required: boolean, terminal: Terminal): Promise<SmtSolver | undefined> {
  try {
    return await loadZ3();
  } catch (error) {
    if (required || !(error instanceof BpfError)) throw error;
    terminal.note(`${error.message}; comparing paths instead`);
    return undefined;
  }
}
