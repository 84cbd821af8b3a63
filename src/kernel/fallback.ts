/**
 * A filter on a UDP socket, in the kernel where it can be, and in user space with the same verdicts where it cannot.
 *
 * In user space each message runs through an engine before anybody listening sees it: a verdict of 0 drops it, others
 * cut it, as the kernel does.
 */
import type { RemoteInfo, Socket } from "node:dgram";
import { type Unknowable, unknowableBytes } from "../analyze/unknowable.ts";
import { BpfError } from "../base/errors.ts";
import { interpreter } from "../interpreter/interpreter.ts";
import { ANCILLARY } from "../isa/ancillary.ts";
import type { Engine, Filter, VerifiedProgram } from "../program/engine.ts";
import { ATTACH_POINTS, type PacketContext } from "../program/packet-context.ts";
import { verify } from "../verify/verify.ts";
import { attachFilter, detachFilter, type FilterProgram, socketDrops } from "./attach.ts";
import type { Addon } from "./load.ts";
import type { SocketRef } from "./target.ts";
import { isLoopback, knownFields, UdpHeaders, type UdpHeaderValues } from "./udp-headers.ts";

export interface FilterSocketOptions {
  /** "auto" (default): the kernel, else user space.  "kernel": nothing else.  "user": in user space. */
  readonly mode?: "auto" | "kernel" | "user";
  /** What runs the program in user space; default the interpreter. */
  readonly engine?: Engine;
  /** Header fields that the caller knows, for user space. */
  readonly headers?: UdpHeaderValues;
  /** Ancillary values that the caller knows, for user space: `{ ifindex: 2, hatype: 1 }`. */
  readonly context?: Partial<PacketContext>;
  /** The addon to go through; for tests. */
  readonly addon?: Addon;
}

/** A filter in force on a socket. */
export interface FilteredSocket {
  readonly mode: "kernel" | "user";
  /** Why this mode, one sentence. */
  readonly reason: string;
  /**
   * In user space, the loads that make verdicts uncertain, because nobody tells what they read; empty when every verdict
   * is the kernel's.  For an IPv6 socket that may receive from IPv4 too, those of both.
   */
  readonly unknowable: readonly Unknowable[];
  /**
   * Messages handed on and dropped since the filter is on.  In the kernel, messages dropped for a full receive buffer
   * count too; undefined where the kernel does not tell (before 4.12).
   */
  counts(): { readonly passed: number; readonly dropped: number | undefined };
  /** Takes the filter off.  Closing the socket does too. */
  detach(): void;
}

/**
 * Puts a filter on a UDP socket, whose byte 0 is the UDP header (`ATTACH_POINTS.udp4`, `udp6`): "message" events of
 * dropped datagrams do not happen, those of cut ones have shorter messages, `rinfo.size` included.  Verdicts 1 to 8
 * keep the header alone: an empty message.
 *
 * The same program on the same datagram does the same in both modes, if `unknowable` is empty.  Two things stay: the
 * kernel does not filter again what waited in the socket before, and user space spends the CPU time of dropped ones.
 *
 * @throws {BpfError} `invalid-program`; `bad-argument` for an unbound socket, but in user space; in mode "kernel"
 *   everything that `attachFilter` throws, else what it throws for the socket.
 */
export function filterSocket(
  socket: Socket,
  program: FilterProgram,
  options: FilterSocketOptions = {},
): FilteredSocket {
  const { mode = "auto" } = options;
  if (mode !== "auto" && mode !== "kernel" && mode !== "user") {
    throw new BpfError("bad-argument", `mode ${JSON.stringify(mode)} is none of "auto", "kernel", "user"`);
  }
  const verified = verifiedOf(program);
  if (mode === "user") return inUserSpace(socket, verified, "asked for", options);
  try {
    return inKernel(socket, program, options);
  } catch (error) {
    if (mode === "kernel" || !isRefusal(error)) throw error;
    return inUserSpace(socket, verified, error.message, options);
  }
}

function verifiedOf(program: FilterProgram): VerifiedProgram {
  if (!("instructions" in program)) return verify(program);
  return verify(program.instructions, program.isa === undefined ? {} : { isa: program.isa });
}

/** True where the kernel cannot, as opposed to a wrong call. */
function isRefusal(error: unknown): error is BpfError {
  return error instanceof BpfError && ["not-available", "system", "unsupported", "extension"].includes(error.code);
}

function inKernel(socket: Socket, program: FilterProgram, options: FilterSocketOptions): FilteredSocket {
  const through = options.addon === undefined ? {} : { addon: options.addon };
  const dropsOf = (ref: SocketRef): number | undefined => {
    try {
      return socketDrops(ref, through);
    } catch {
      return undefined;
    }
  };
  const ref = attachFilter(socket, program, through);
  const before = dropsOf(ref);
  let last: number | undefined = before === undefined ? undefined : 0;
  const hook = hookMessages(socket, (message) => message);
  return {
    mode: "kernel",
    reason: "the kernel took the program",
    unknowable: [],
    counts() {
      const now = dropsOf(ref);
      // A u32 that wraps; after closing, the last number known.
      if (now !== undefined && before !== undefined) last = (now - before) >>> 0;
      return { passed: hook.passed(), dropped: last };
    },
    detach() {
      hook.remove();
      detachFilter(ref, through);
    },
  };
}

function inUserSpace(
  socket: Socket,
  program: VerifiedProgram,
  reason: string,
  options: FilterSocketOptions,
): FilteredSocket {
  const { headers = {}, context = {} } = options;
  const filter: Filter = (options.engine ?? interpreter).load(program);
  const synthesis = new UdpHeaders(headers, context);
  const { minimumKept } = ATTACH_POINTS.udp4;
  let dropped = 0;
  const hook = hookMessages(socket, (message, from) => {
    const { packet, context: about } = synthesis.packetOf(message, from, socket.address());
    const verdict = filter.run(packet, about);
    if (verdict === 0) {
      dropped++;
      return undefined;
    }
    return message.subarray(0, Math.max(verdict, minimumKept) - minimumKept);
  });
  return {
    mode: "user",
    reason,
    unknowable: uncertain(socket, program, options),
    counts: () => ({ passed: hook.passed(), dropped }),
    detach: () => hook.remove(),
  };
}

function uncertain(
  socket: Socket,
  program: VerifiedProgram,
  { headers = {}, context = {} }: FilterSocketOptions,
): Unknowable[] {
  let local: { address: string; family: string } | undefined;
  try {
    local = socket.address();
  } catch {
    // not bound yet
  }
  const onLoopback = local !== undefined && isLoopback(local.address);
  const ancillary = ANCILLARY.flatMap(({ name, does }) =>
    (does.kind === "field" || does.kind === "device") && context[does.field] !== undefined ? [name] : [],
  );
  const about = {
    fields: knownFields(headers, local?.address),
    // lo is interface 1 of every namespace, and nothing else delivers to its addresses.
    ancillary: onLoopback ? [...ancillary, "IFINDEX", "HATYPE", "PKTTYPE"] : ancillary,
    macHeader: onLoopback || headers.macAddresses !== undefined,
  };
  // Only an IPv6 socket bound to the wildcard, or not yet, may receive over IPv4; which kind an unbound one is, nobody says.
  const points = local === undefined || local.address === "::" ? (["udp4", "udp6"] as const) : [point(local.family)];
  const found = new Map<number, Set<string>>();
  for (const at of points) {
    for (const { index, what } of unknowableBytes(program, at, about)) {
      found.set(index, new Set([...(found.get(index) ?? []), ...what]));
    }
  }
  return [...found].sort(([p], [q]) => p - q).map(([index, what]) => ({ index, what: [...what] }));
}

function point(family: string): "udp4" | "udp6" {
  return family === "IPv6" ? "udp6" : "udp4";
}

type OnMessage = (message: Buffer, from: RemoteInfo) => Buffer | undefined;

/**
 * Stands in front of everybody who listens for "message": what `decide` gives is emitted instead, undefined is not.
 * There is no public way to be first, so `emit` is overridden on this one object.
 */
function hookMessages(socket: Socket, decide: OnMessage): { passed(): number; remove(): void } {
  const original = socket.emit;
  const own = Object.hasOwn(socket, "emit");
  let passed = 0;
  let on = true;
  const emit = function (this: Socket, event: string | symbol, ...values: unknown[]): boolean {
    if (event !== "message" || !on) return Reflect.apply(original, this, [event, ...values]);
    const [message, from] = values as [Buffer, RemoteInfo];
    const kept = decide(message, from);
    if (kept === undefined) return false;
    passed++;
    return Reflect.apply(original, this, [event, kept, kept === message ? from : { ...from, size: kept.length }]);
  };
  socket.emit = emit as Socket["emit"];
  return {
    passed: () => passed,
    remove() {
      on = false;
      if (socket.emit !== (emit as Socket["emit"])) return; // somebody else stands in front by now
      if (own) socket.emit = original;
      else Reflect.deleteProperty(socket, "emit");
    },
  };
}
