/**
 * pcap-filter(7) expressions into programs: lex and parse, check, lower, verify.
 */
import { BpfError } from "../base/errors.ts";
import { BPF_MAXINSNS } from "../isa/limits.ts";
import { verify } from "../verify/verify.ts";
import { advise } from "./advice.ts";
import { check } from "./check.ts";
import { reporting } from "./fault.ts";
import { lower } from "./lower.ts";
import { type CompiledFilter, type FilterOptions, rewritten, settle } from "./options.ts";
import { parse } from "./parse.ts";

/**
 * The program of a filter expression.  An empty expression accepts everything.
 *
 * @throws {BpfError} `bad-expression`, with the place and advice, for what does not compile; `bad-name` for a name
 * nobody knows; `limit` for more instructions or deeper nesting than allowed; `bad-argument` for a bad option.
 * @see pcap-filter(7)
 */
export function compileFilter(expression: string, options: FilterOptions = {}): CompiledFilter {
  const { context, snaplen, profile } = settle(expression, options);
  const ast = reporting(expression, () => parse(expression));
  const predicate = reporting(expression, () => check(ast, context));
  const lowered = reporting(expression, () => lower(predicate, snaplen));
  const { instructions, spans } = rewritten(lowered, options);
  if (profile === "linux" && instructions.length > BPF_MAXINSNS) {
    throw new BpfError(
      "limit",
      `the expression needs ${instructions.length} instructions, the limit is ${BPF_MAXINSNS}`,
    );
  }
  const program = verify(instructions, { profile });
  advise(context, ast, predicate);
  return { program, instructions: program.instructions, spans, warnings: context.warnings, ast, predicate };
}
