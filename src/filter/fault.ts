/**
 * How the stages of the compiler refuse an expression: one fault, with its place and, where one is known, advice.
 */
import { BpfError, type BpfErrorCode, violationsError } from "../base/errors.ts";
import type { Span } from "../base/source-text.ts";

/** Thrown inside the compiler; `compileFilter` turns it into a {@link BpfError} that shows the place. */
export class Fault extends Error {
  readonly code: BpfErrorCode;
  readonly span: Span;
  readonly hint: string | undefined;

  constructor(message: string, span: Span, hint?: string, code: BpfErrorCode = "bad-expression") {
    super(message);
    this.code = code;
    this.span = { start: span.start, end: Math.max(span.end, span.start) };
    this.hint = hint;
  }
}

/** Runs one stage; a {@link Fault} in it becomes a BpfError with line, column, excerpt and caret. */
export function reporting<T>(expression: string, stage: () => T): T {
  try {
    return stage();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const { message, span, hint, code } = error;
    const violation = { rule: code, message, span, ...(hint === undefined ? {} : { hint }) };
    throw violationsError(code, [violation], { source: expression });
  }
}

/** The error for something that is no expression at all. */
export function badArgument(message: string): BpfError {
  return new BpfError("bad-argument", message);
}
