/**
 * Why the kernel refused: setsockopt says EINVAL, ENOMEM or EPERM and no more.  The rules that `check` and
 * `estimateAttach` know tell which instruction or which limit it was.
 *
 * Source of the order of checks: sk_attach_filter() and __get_filter(), net/core/filter.c.
 */
import { readFileSync } from "node:fs";
import { describeViolation, type Violation } from "../base/errors.ts";
import type { Instruction } from "../program/instruction.ts";
import { estimateAttach } from "../verify/estimate.ts";
import { check } from "../verify/verify.ts";

/** What is known of the socket that refused; undefined where it could not be asked. */
export interface RefusalFacts {
  /** SO_LOCK_FILTER. */
  readonly locked?: boolean | undefined;
  /** SO_PROTOCOL, 6 for TCP. */
  readonly protocol?: number | undefined;
  /** Bytes of option memory already charged to the socket; SK_MEMINFO_OPTMEM of SO_MEMINFO. */
  readonly charged?: number | undefined;
  /** net.core.optmem_max of the socket's network namespace, bytes. */
  readonly optmemMax?: number | undefined;
}

export interface Explanation {
  readonly text: string;
  /** The broken rules, for EINVAL. */
  readonly violations: readonly Violation[];
}

const IPPROTO_TCP = 6;
const IPPROTO_MPTCP = 262;

/** The reason for an errno of an attach. */
export function explainRefusal(errno: string, program: readonly Instruction[], facts: RefusalFacts): Explanation {
  switch (errno) {
    case "EINVAL":
      return explainRules(program, facts);
    case "ENOMEM":
      return { text: explainMemory(program, facts), violations: [] };
    case "EPERM":
      return { text: explainPermission(facts), violations: [] };
    case "ENOTSUPP":
      return { text: "the kernel's JIT could not translate the program, and it has no interpreter", violations: [] };
    case "ENOPROTOOPT":
      return { text: "this kind of socket takes no such filter", violations: [] };
    default:
      return { text: "no reason is known for this errno", violations: [] };
  }
}

function explainRules(program: readonly Instruction[], facts: RefusalFacts): Explanation {
  const violations = check(program);
  if (violations.length > 0) return { text: violations.map((v) => describeViolation(v)).join("\n"), violations };
  const estimate = estimateAttach({ instructions: program }, memory(facts));
  if (estimate.violations.length > 0) {
    return {
      text: estimate.violations.map((v) => describeViolation(v)).join("\n"),
      violations: estimate.violations,
    };
  }
  return { text: "the program breaks no rule known here; the socket or the option may be the reason", violations };
}

function explainMemory(program: readonly Instruction[], facts: RefusalFacts): string {
  const { charge, optmemMax } = estimateAttach({ instructions: program }, memory(facts));
  const limit = `net.core.optmem_max ${facts.optmemMax ?? `(unknown, ${optmemMax} by default)`}`;
  const charged = facts.charged ?? 0;
  if (charge >= optmemMax) return `the program is valid, but its charge of ${charge} bytes exceeds ${limit}`;
  if (charge + charged >= optmemMax) {
    return (
      `the program is valid, but its charge of ${charge} bytes and the ${charged} bytes charged already exceed ` +
      `${limit}; the old filter counts until it is replaced, so detach it first`
    );
  }
  return `the program is valid and its charge of ${charge} bytes fits ${limit}; the machine may be out of memory`;
}

function explainPermission({ locked, protocol }: RefusalFacts): string {
  if (locked === true) return "the filter is locked (SO_LOCK_FILTER), which nothing can undo";
  if (protocol === IPPROTO_TCP || protocol === IPPROTO_MPTCP) {
    return "a filter on TCP needs CAP_NET_ADMIN since the kernels of 2026";
  }
  return "this process may not attach filters here";
}

function memory({ charged, optmemMax }: RefusalFacts): { charged: number; optmemMax?: number } {
  return { charged: charged ?? 0, ...(optmemMax === undefined ? {} : { optmemMax }) };
}

/** net.core.optmem_max of this process's network namespace, bytes; undefined where /proc does not say. */
export function readOptmemMax(): number | undefined {
  try {
    const value = Number.parseInt(readFileSync("/proc/sys/net/core/optmem_max", "latin1"), 10);
    return Number.isSafeInteger(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
