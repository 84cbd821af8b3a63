/**
 * An argument that is a PROGRAM or a filter EXPRESSION: for commands that ask the same of both.
 */
import type { Span } from "../base/source-text.ts";
import { compileFilter } from "../filter/compile.ts";
import type { Instruction } from "../program/instruction.ts";
import type { Arguments } from "./command.ts";
import { FILTER_OPTIONS, filterOptions, linktypeOption } from "./filter-argument.ts";
import { isExpression, readProgram } from "./program-argument.ts";
import { PROGRAM_OPTIONS } from "./program-options.ts";
import { SystemNames } from "./system-names.ts";
import type { Terminal } from "./terminal.ts";

const { unoptimized: _never, ...COMPILING } = FILTER_OPTIONS;

export const EITHER_OPTIONS = { ...PROGRAM_OPTIONS, ...COMPILING } as const;

export const EITHER_DETAILS =
  "An argument that is no file and no program in any of the forms is taken as a filter expression.";

export interface Either {
  readonly instructions: readonly Instruction[];
  /** For each instruction the part of the expression it came from; undefined for a program. */
  readonly spans: readonly (Span | undefined)[] | undefined;
  readonly name: string;
}

/**
 * Reads a program, or compiles an expression without optimizing it.
 *
 * @throws {BpfError} what `readProgram` or `compileFilter` throws.
 */
export async function readEither(argument: string, args: Arguments, terminal: Terminal): Promise<Either> {
  if (args.text("from") !== undefined || !isExpression(argument)) {
    const { instructions, name } = await readProgram(argument, args, terminal);
    return { instructions, spans: undefined, name };
  }
  const { optimize: _none, ...options } = filterOptions(args, linktypeOption(args) ?? 1);
  const compiled = await SystemNames.with((resolver) => compileFilter(argument, { ...options, resolver }));
  return { instructions: compiled.instructions, spans: compiled.spans, name: argument };
}
