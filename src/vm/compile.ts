/**
 * Filter expressions into programs: the compiler of `filter/`, and the optimizer behind it.
 */
import { compileFilter } from "../filter/compile.ts";
import type { Warning } from "../filter/context.ts";
import type { CompiledFilter, FilterOptions } from "../filter/options.ts";
import { type OptimizeOptions, optimize } from "../optimize/optimize.ts";
import type { Engine } from "../program/engine.ts";
import { Program } from "./program.ts";

export interface CompileOptions extends Omit<FilterOptions, "optimize"> {
  /** True (default), false, or how. */
  readonly optimize?: boolean | Pick<OptimizeOptions, "goal" | "passes" | "semantics">;
  /** The engine behind the program's `execute`; default the interpreter. */
  readonly engine?: Engine;
}

/** A compiled expression. */
export interface Compilation {
  readonly program: Program;
  /** For each instruction the part of the expression it came from. */
  readonly spans: CompiledFilter["spans"];
  /** Advice on what the expression may not have meant. */
  readonly warnings: readonly Warning[];
}

/**
 * The program of a pcap-filter(7) expression, for Ethernet unless told otherwise.
 *
 * @throws {BpfError} `bad-expression` with the place and advice, `bad-name` for a name nobody knows, `limit` for a
 *   program beyond 4096 instructions, `bad-argument` for a bad option.
 * @example
 * ```ts
 * import { compile } from "cbpf";
 * const arp = compile("arp");
 * const frame = new Uint8Array(60);
 * frame.set([0x08, 0x06], 12);
 * console.log(arp.matches(frame)); // true
 * console.log(arp.length); // 4
 * ```
 */
export function compile(expression: string, options: CompileOptions = {}): Program {
  return compileWithAdvice(expression, options).program;
}

/** As {@link compile}, with the warnings and with the part of the expression behind each instruction. */
export function compileWithAdvice(expression: string, options: CompileOptions = {}): Compilation {
  const { optimize: wanted = true, engine, ...rest } = options;
  const how = wanted === true ? {} : wanted;
  const compiled = compileFilter(expression, {
    ...rest,
    ...(how === false ? {} : { optimize: (instructions, spans) => optimize(instructions, { ...how, spans }) }),
  });
  const { instructions, spans, warnings } = compiled;
  const profile = compiled.program.profile;
  const program = Program.fromInstructions(instructions, engine === undefined ? { profile } : { profile, engine });
  return { program, spans, warnings };
}
