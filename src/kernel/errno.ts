/**
 * Answers of system calls: names for -errno, and the error that a failed call becomes.
 */
import { getSystemErrorName } from "node:util";
import { BpfError } from "../base/errors.ts";

/** The numbers that the policy here branches on; asm-generic/errno*.h, the same on every Linux that runs Node. */
export const ERRNO = Object.freeze({
  ENOENT: 2,
  EAGAIN: 11,
  ENOMEM: 12,
  EINVAL: 22,
  ENOPROTOOPT: 92,
  ENOTSUP: 95,
  EISCONN: 106,
});

/** The name of a negative answer: -22 is "EINVAL". */
export function errnoName(answer: number): string {
  if (answer === -524) return "ENOTSUPP"; // the kernel's own, never meant to reach user space
  try {
    return getSystemErrorName(answer);
  } catch {
    return `errno ${-answer}`;
  }
}

/** The error for a call that answered -errno; `context` says what was being done. */
export function systemError(answer: number, syscall: string, context: string): BpfError {
  const name = errnoName(answer);
  const cause = Object.assign(new Error(`${syscall} ${name}`), { errno: answer, code: name, syscall });
  return new BpfError("system", `${context}: ${syscall} ${name}`, {
    errno: answer,
    errnoName: name,
    syscall,
    cause,
  });
}

/**
 * The answer itself when it is none of -errno.
 *
 * @throws {BpfError} `system` otherwise.
 */
export function succeed<T>(answer: T | number, syscall: string, context: string): T {
  if (typeof answer === "number" && answer < 0) throw systemError(answer, syscall, context);
  return answer as T;
}
