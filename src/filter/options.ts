/**
 * What `compileFilter` takes and gives.
 */
import type { Span } from "../base/source-text.ts";
import type { ProfileName, VerifiedProgram } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import type { Node } from "./ast.ts";
import { Context, type Warning } from "./context.ts";
import { badArgument } from "./fault.ts";
import { linkLayer, outermost } from "./link-layers.ts";
import type { Resolver } from "./names.ts";
import type { Predicate } from "./predicate.ts";

/** For each instruction the part of the expression it came from. */
export type Spans = readonly (Span | undefined)[];

/** What an optimizer gives. */
export interface Rewritten {
  readonly instructions: readonly Instruction[];
  readonly spans?: Spans | undefined;
}

export interface FilterOptions {
  /** What stands at byte 0 of a packet: a LINKTYPE_* number, or the DLT_* number of the same; default 1, Ethernet. */
  readonly linktype?: number;
  /** Verdict on an accepted packet, bytes to keep; default 262144. */
  readonly snaplen?: number;
  /** IPv4 netmask of the network captured on, a u32, for `ip broadcast`. */
  readonly netmask?: number;
  /** True: for a socket on Linux, where VLAN tags, direction and interface are beside the packet; default false. */
  readonly live?: boolean;
  /** Looks up the names that the tables do not have. */
  readonly resolver?: Resolver;
  /**
   * "compatible" (default): what libpcap means.  "scoped": moving keywords act only on what they are joined to by
   * and; tcp[], udp[], sctp[] and ports also look behind IPv6 extension headers.
   */
  readonly mode?: "compatible" | "scoped";
  /** Whose rules the program must pass; default "linux".  "libpcap" knows no limit of 4096 instructions. */
  readonly profile?: ProfileName;
  /**
   * Rewrites the instructions before they are verified.  A result with `spans`, as `optimize` gives, keeps the
   * connection to the expression.
   */
  readonly optimize?: (instructions: readonly Instruction[], spans: Spans) => readonly Instruction[] | Rewritten;
}

export interface CompiledFilter {
  readonly program: VerifiedProgram;
  readonly instructions: readonly Instruction[];
  /** For each instruction the part of the expression it came from; empty where an optimizer does not say. */
  readonly spans: Spans;
  /** Advice on what the expression may not have meant. */
  readonly warnings: readonly Warning[];
  /** The syntax tree; undefined for an empty expression. */
  readonly ast: Node | undefined;
  /** What the expression means on this link type. */
  readonly predicate: Predicate;
}

const MODES = new Set(["compatible", "scoped"]);
const DEFAULT_SNAPLEN = 262144;

/**
 * The options with their defaults, and the state to begin checking with.
 *
 * @throws {BpfError} `bad-argument` for an option of the wrong type or outside its range.
 */
export function settle(
  expression: string,
  options: FilterOptions,
): { context: Context; snaplen: number; profile: ProfileName } {
  if (typeof expression !== "string") throw badArgument("the expression is no string");
  const {
    linktype = 1,
    snaplen = DEFAULT_SNAPLEN,
    netmask,
    live = false,
    resolver = {},
    mode = "compatible",
    profile = "linux",
  } = options;
  u32("linktype", linktype, 0xffff);
  u32("snaplen", snaplen, 0xffffffff);
  if (netmask !== undefined) u32("netmask", netmask, 0xffffffff);
  if (!MODES.has(mode)) throw badArgument(`mode ${JSON.stringify(mode)} is neither "compatible" nor "scoped"`);
  const context = new Context(outermost(linkLayer(linktype)), { scoped: mode === "scoped", live, netmask, resolver });
  return { context, snaplen, profile };
}

/** What is left of the lowered program behind the optimizer, if there is one. */
export function rewritten(
  lowered: Rewritten,
  { optimize }: FilterOptions,
): { instructions: readonly Instruction[]; spans: Spans } {
  const result = optimize === undefined ? lowered : optimize(lowered.instructions, lowered.spans ?? []);
  return "instructions" in result
    ? { instructions: result.instructions, spans: result.spans ?? [] }
    : { instructions: result, spans: [] };
}

function u32(name: string, value: unknown, maximum: number): void {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= maximum) return;
  throw badArgument(`${name} ${String(value)} is outside 0..${maximum}`);
}
