/**
 * The options of every command that takes a PROGRAM; here without what reads one, so that a command can say what it
 * takes before that is loaded.
 */
import type { Option } from "./command.ts";

/** Options that say how to read a PROGRAM. */
export const PROGRAM_OPTIONS = {
  from: { type: "string", value: "FORMAT", help: "form of the program, recognised by default" },
  "byte-order": { type: "string", value: "ORDER", help: "of raw bytes: little, big or auto (default)" },
} as const satisfies Record<string, Option>;

/** Options that say how an expression is understood, wherever one can stand for a program. */
export const EXPRESSION_OPTIONS = {
  netmask: {
    type: "string",
    value: "MASK",
    help: "of an expression: IPv4 netmask for `ip broadcast`, as 255.255.255.0",
  },
  mode: {
    type: "string",
    value: "MODE",
    help: "of an expression: compatible (default) with libpcap, or scoped: no leaks, and IPv6 everywhere",
  },
  unoptimized: { type: "boolean", short: "O", help: "do not optimize an expression's program" },
} as const satisfies Record<string, Option>;
