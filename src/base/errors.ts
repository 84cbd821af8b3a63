/**
 * The one error class of the package, and the violations it carries.
 *
 * Errors are thrown where data enters: decode, assemble, verify, compile, attach, open.  Running a loaded
 * program throws nothing.  `code` is stable and meant for programs; `message` is one sentence for people.
 */
import { excerpt, locate, type Span } from "./source-text.ts";

/** Every `code` a {@link BpfError} can have.  Codes are added, never renamed. */
export type BpfErrorCode =
  | "bad-argument" //       an argument of the wrong type or outside its range
  | "bad-bytes" //          bytes that are no struct sock_filter array
  | "bad-text" //           a text form that does not parse; `violations` holds every error in it
  | "bad-expression" //     a filter expression that does not compile
  | "bad-name" //           a name nobody could resolve
  | "invalid-program" //    a program that a profile refuses; `violations` holds every broken rule
  | "limit" //              valid, but larger than a stated limit
  | "extension" //          a program with extensions where only the plain machine exists
  | "opcode-taken" //       a row whose code is already in the instruction set
  | "bad-capture" //        a damaged or unknown capture file; `offset` and `packet` say where
  | "unsupported" //        a valid request this build, platform or kernel cannot serve
  | "not-available" //      the native addon is not there; `message` says why
  | "system"; //            a failed system call; `errno`, `errnoName` and `syscall` are set, `cause` is Node's error

/** One broken rule, or one error in a text: what, where and what was allowed. */
export interface Violation {
  /** Stable kebab-case id: a verifier rule ("shift-count") or a kind of syntax error ("unknown-mnemonic"). */
  readonly rule: string;
  /** What is wrong and what was allowed, one sentence without the place. */
  readonly message: string;
  /** Index of the instruction, from 0. */
  readonly index?: number;
  /** Where in the text, in UTF-16 code units. */
  readonly span?: Span;
  /** What to write instead, where that is known. */
  readonly hint?: string;
}

/** What a {@link BpfError} carries beside its code and message. */
export interface BpfErrorDetails {
  /** Every violation found; the first one is in the message. */
  readonly violations?: readonly Violation[];
  /** The text that the violations' spans point into. */
  readonly source?: string;
  /** Instruction index, from 0. */
  readonly index?: number;
  /** Byte offset in a file. */
  readonly offset?: number;
  /** Packet number in a capture, from 1. */
  readonly packet?: number;
  /** Of a failed system call: the negative number, as in Node's errors. */
  readonly errno?: number;
  /** Of a failed system call: the errno's name, "EPERM"; `code` of Node's errors. */
  readonly errnoName?: string;
  /** Of a failed system call: its name, "setsockopt". */
  readonly syscall?: string;
  /** The error underneath. */
  readonly cause?: unknown;
}

/**
 * The error that every function of the package throws for bad input.
 *
 * @example
 * ```ts
 * import { BpfError, Program } from "cbpf";
 * try {
 *   Program.parse("lsh #33\nret a");
 * } catch (error) {
 *   if (error instanceof BpfError) console.log(error.code); // "invalid-program"
 * }
 * ```
 */
export class BpfError extends Error {
  override readonly name = "BpfError";
  readonly code: BpfErrorCode;
  readonly violations: readonly Violation[];
  readonly index?: number;
  readonly offset?: number;
  readonly packet?: number;
  readonly errno?: number;
  readonly errnoName?: string;
  readonly syscall?: string;

  constructor(code: BpfErrorCode, message: string, details: BpfErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.violations = details.violations ?? [];
    if (details.index !== undefined) this.index = details.index;
    if (details.offset !== undefined) this.offset = details.offset;
    if (details.packet !== undefined) this.packet = details.packet;
    if (details.errno !== undefined) this.errno = details.errno;
    if (details.errnoName !== undefined) this.errnoName = details.errnoName;
    if (details.syscall !== undefined) this.syscall = details.syscall;
  }
}

/** Violations that a message lists; more are counted, so that a message can be read. */
const MOST_LISTED = 100;

/** The error for a list of violations: every one is carried, and the first hundred are in the message, a line each. */
export function violationsError(
  code: BpfErrorCode,
  violations: readonly Violation[],
  details: BpfErrorDetails = {},
): BpfError {
  const listed = violations.length <= MOST_LISTED + 1 ? violations : violations.slice(0, MOST_LISTED);
  const lines = listed.map((violation) => describeViolation(violation, details.source));
  if (listed !== violations) lines.push(`and ${violations.length - MOST_LISTED} more`);
  const first = violations[0];
  return new BpfError(code, lines.join("\n"), {
    ...(first?.index === undefined ? {} : { index: first.index }),
    ...details,
    violations,
  });
}

/** One violation as text: the place, the message, the hint, and under it the source line with a caret. */
export function describeViolation(violation: Violation, source?: string): string {
  const { message, index, span, hint } = violation;
  const advice = hint === undefined ? "" : ` (${hint})`;
  if (span !== undefined && source !== undefined) {
    const { line, column } = locate(source, span.start);
    return `line ${line}, column ${column}: ${message}${advice}\n${excerpt(source, span)}`;
  }
  return index === undefined ? `${message}${advice}` : `instruction ${index}: ${message}${advice}`;
}
