/**
 * The optimizer's intermediate form as text.
 */
import { BpfError } from "../base/errors.ts";
import type { VerifiedProgram } from "../program/engine.ts";
import { showGraph } from "./graph.ts";
import { lift } from "./lift.ts";
import { optimize } from "./optimize.ts";

/**
 * The decision graph of a program as lifted, and as the best track of passes left it.
 *
 * @throws {BpfError} `unsupported` for a program that can not be lifted, with the reason.
 */
export function dumpGraph(program: VerifiedProgram): string {
  const { instructions, isa } = program;
  const lifted = lift(instructions, { joins: "join", semantics: "strict", budget: 100_000, isa });
  if ("refused" in lifted) throw new BpfError("unsupported", lifted.refused);
  const { graph, report, unchanged } = optimize(program);
  const passes = report.filter(({ kept }) => kept).map(({ pass }) => pass);
  const after = graph === undefined ? `unchanged: ${unchanged}` : `after ${passes.join(", ")}:\n${showGraph(graph)}`;
  return `lifted:\n${showGraph(lifted.graph)}\n\n${after}\n`;
}
