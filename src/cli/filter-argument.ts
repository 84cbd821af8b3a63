/**
 * The EXPRESSION argument: options that say what it is compiled for, and compiling it with this system's names.
 */

import { compileFilter } from "../filter/compile.ts";
import type { CompiledFilter, FilterOptions } from "../filter/options.ts";
import { linktypeFromName } from "../link/linktypes.ts";
import { optimize } from "../optimize/optimize.ts";
import { type Arguments, type Option, UsageError } from "./command.ts";
import { EXPRESSION_OPTIONS } from "./program-options.ts";
import { SystemNames } from "./system-names.ts";
import { styled, type Terminal } from "./terminal.ts";

/** Options of the commands that are about an expression. */
export const FILTER_OPTIONS = {
  linktype: {
    type: "string",
    short: "y",
    value: "NAME",
    help: "what byte 0 is: EN10MB (default), RAW, LINUX_SLL2, ...",
  },
  snaplen: { type: "string", short: "s", value: "N", help: "verdict on accepted packets, default 262144" },
  live: { type: "boolean", help: "for a socket on Linux, where VLAN tags are beside the packet" },
  profile: { type: "string", value: "NAME", help: "whose rules the program must obey: linux (default) or libpcap" },
  ...EXPRESSION_OPTIONS,
} as const satisfies Record<string, Option>;

/** Compiles an expression as the options say; warnings go to the terminal's notes. */
export async function compileArgument(
  expression: string,
  args: Arguments,
  terminal: Terminal,
  linktype = linktypeOption(args) ?? 1,
  snaplen = args.number("snaplen", 0, 0xffffffff),
  live = args.flag("live"),
): Promise<CompiledFilter> {
  const options = { ...filterOptions(args, linktype, snaplen), live };
  const compiled = await SystemNames.with((resolver) => compileFilter(expression, { ...options, resolver }));
  for (const { message, span } of compiled.warnings) {
    terminal.note(`${styled(terminal, "yellow", "warning")}: ${message}: ${expression.slice(span.start, span.end)}`);
  }
  return compiled;
}

/** The options but for the resolver. */
export function filterOptions(
  args: Arguments,
  linktype: number,
  snaplen = args.number("snaplen", 0, 0xffffffff),
): FilterOptions {
  const netmask = netmaskOption(args.text("netmask"));
  return {
    linktype,
    live: args.flag("live"),
    mode: args.choice("mode", ["compatible", "scoped"] as const) ?? "compatible",
    profile: args.choice("profile", ["linux", "libpcap"] as const) ?? "linux",
    ...(snaplen === undefined ? {} : { snaplen }),
    ...(netmask === undefined ? {} : { netmask }),
    ...(args.flag("unoptimized") ? {} : { optimize: (list, spans) => optimize(list, { spans }) }),
  };
}

export function linktypeOption(args: Arguments): number | undefined {
  const name = args.text("linktype");
  if (name === undefined) return undefined;
  const linktype = linktypeFromName(name);
  if (linktype === undefined) throw new UsageError(`--linktype ${name}: no such link type`);
  return linktype;
}

function netmaskOption(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const octets = text.split(".").map(Number);
  if (octets.length === 4 && octets.every((octet) => octet >= 0 && octet <= 255)) {
    return octets.reduce((sum, octet) => sum * 256 + octet, 0);
  }
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0 && value <= 0xffffffff) return value;
  throw new UsageError(`--netmask ${text}: expected 255.255.255.0 or 0xffffff00`);
}
