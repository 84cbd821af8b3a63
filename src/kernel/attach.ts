/**
 * Filters on sockets: attach, detach, lock, read back.
 *
 * The program goes to the kernel as it is and the kernel judges it; what it refuses is then explained.  Programs with
 * extensions are refused before any system call, since the kernel would take their codes for errors at best.
 */
import { BpfError } from "../base/errors.ts";
import { type InstructionSet, ISA } from "../isa/instruction-set.ts";
import { decode, encode, HOST_BYTE_ORDER } from "../program/codec.ts";
import { type Instruction, type InstructionLike, instructionsFrom } from "../program/instruction.ts";
import {
  AF_UNIX,
  PACKET_FANOUT_DATA,
  SO_ATTACH_FILTER,
  SO_ATTACH_REUSEPORT_CBPF,
  SO_DOMAIN,
  SO_LOCK_FILTER,
  SO_MEMINFO,
  SO_PROTOCOL,
  SO_TYPE,
  SOCK_STREAM,
  SOL_PACKET,
  SOL_SOCKET,
} from "./constants.ts";
import { ERRNO, errnoName, succeed, systemError } from "./errno.ts";
import { explainRefusal, type RefusalFacts, readOptmemMax } from "./explain.ts";
import { type Addon, loadAddon } from "./load.ts";
import { hostU32 } from "./sockaddr.ts";
import { type SocketRef, type SocketTarget, socketOf } from "./target.ts";

/** A program for the kernel: a `Program`, a verified program, or its instructions. */
export type FilterProgram =
  | { readonly instructions: readonly Instruction[]; readonly isa?: InstructionSet }
  | readonly InstructionLike[];

export interface AttachFilterOptions {
  /** Locks the filter once it is attached: nothing, not even root, can change or detach it afterwards. */
  readonly lock?: boolean;
  /** The addon to go through; for tests. */
  readonly addon?: Addon;
}

export interface FilterOptions {
  /** The addon to go through; for tests. */
  readonly addon?: Addon;
}

/** Position of SK_MEMINFO_OPTMEM in the u32 array of SO_MEMINFO (include/uapi/linux/sock_diag.h). */
const SK_MEMINFO_OPTMEM = 6;

/**
 * Attaches a program to a socket, in place of the filter that it has.  The exchange is atomic: each packet meets the
 * old filter or the new one.  Packets that wait in the socket already are not filtered again; open sockets with a
 * filter (`openUdpSocket` and its kin) to have none.
 *
 * On TCP a verdict other than 0 and "all" cuts segments, which the peer then sends again.
 *
 * @returns A reference that later calls can check: a descriptor number given away to another socket is refused.
 * @throws {BpfError} `extension` for a program with extensions, `not-available` without the addon, `bad-argument` for
 *   what is no open socket, `unsupported` for a unix stream socket (the kernel takes a filter there and never runs
 *   it), `system` with `errnoName` and the reason when the kernel refuses: EINVAL with `violations`, ENOMEM, EPERM.
 */
export function attachFilter(
  target: SocketTarget,
  program: FilterProgram,
  options: AttachFilterOptions = {},
): SocketRef {
  const instructions = plainInstructions(program);
  const addon = options.addon ?? loadAddon();
  const socket = socketOf(addon, target);
  if (intOption(addon, socket.fd, SO_DOMAIN) === AF_UNIX && intOption(addon, socket.fd, SO_TYPE) === SOCK_STREAM) {
    throw new BpfError("unsupported", "a unix stream socket takes a filter and never runs it");
  }
  attachProgram(addon, socket.fd, SOL_SOCKET, SO_ATTACH_FILTER, instructions);
  if (options.lock === true) lockFilter(socket, { addon });
  return socket;
}

/**
 * Detaches the filter.
 *
 * @returns False when there was none.
 * @throws {BpfError} `system` with errno EPERM when the filter is locked; else as {@link attachFilter}.
 */
export function detachFilter(target: SocketTarget, options: FilterOptions = {}): boolean {
  const addon = options.addon ?? loadAddon();
  const socket = socketOf(addon, target);
  const answer = addon.detachFilter(socket.fd);
  if (answer === -ERRNO.ENOENT) return false;
  if (answer >= 0) return true;
  const reason = isFilterLocked(socket, { addon }) ? "the filter is locked (SO_LOCK_FILTER)" : "detaching failed";
  throw systemError(answer, "setsockopt", reason);
}

/**
 * Locks the filter, or the lack of one, for the life of the socket.  Reading it back still works.
 *
 * @throws {BpfError} As {@link attachFilter}.
 */
export function lockFilter(target: SocketTarget, options: FilterOptions = {}): void {
  const addon = options.addon ?? loadAddon();
  const { fd } = socketOf(addon, target);
  succeed(addon.setOption(fd, SOL_SOCKET, SO_LOCK_FILTER, 1), "setsockopt", "locking the filter");
}

/** True when the socket's filter is locked. */
export function isFilterLocked(target: SocketTarget, options: FilterOptions = {}): boolean {
  const addon = options.addon ?? loadAddon();
  return intOption(addon, socketOf(addon, target).fd, SO_LOCK_FILTER) === 1;
}

/**
 * The classic program attached to a socket, byte for byte as it was given; undefined when there is none.
 *
 * @throws {BpfError} As {@link attachFilter}; `system` with errno EACCES when an eBPF program is attached.
 */
export function getFilter(target: SocketTarget, options: FilterOptions = {}): Instruction[] | undefined {
  const addon = options.addon ?? loadAddon();
  const { fd } = socketOf(addon, target);
  const bytes = succeed(addon.getFilter(fd), "getsockopt", "reading the filter back") as Uint8Array;
  return bytes.length === 0 ? undefined : decode(bytes, { byteOrder: HOST_BYTE_ORDER });
}

/** Where a steering program goes; its byte 0 is `ATTACH_POINTS.reuseport4/6` or `ATTACH_POINTS.fanout`. */
export type SteeringPoint = "reuseport" | "fanout";

/**
 * Attaches a program that chooses a socket among several, instead of bytes to keep.
 *
 * "reuseport": the verdict is the index, in the order of binding, of the socket in the SO_REUSEPORT group that gets a
 * datagram or a connection; an index without a socket falls back to the kernel's hash.  Byte 0 is the first byte of
 * the UDP payload.  One attach serves the whole group.  "fanout": the verdict modulo the members chooses a packet
 * socket of a fanout group in mode "cbpf"; byte 0 is the network header on receive, whatever the sockets' type.
 *
 * @throws {BpfError} As {@link attachFilter}.
 */
export function attachSteering(
  target: SocketTarget,
  point: SteeringPoint,
  program: FilterProgram,
  options: FilterOptions = {},
): SocketRef {
  const instructions = plainInstructions(program);
  if (point !== "reuseport" && point !== "fanout") {
    throw new BpfError("bad-argument", `steering point ${JSON.stringify(point)} is neither "reuseport" nor "fanout"`);
  }
  const addon = options.addon ?? loadAddon();
  const socket = socketOf(addon, target);
  if (point === "reuseport") attachProgram(addon, socket.fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, instructions);
  else attachProgram(addon, socket.fd, SOL_PACKET, PACKET_FANOUT_DATA, instructions);
  return socket;
}

/** Attaches, and explains a refusal. */
export function attachProgram(
  addon: Addon,
  fd: number,
  level: number,
  option: number,
  instructions: readonly Instruction[],
): void {
  if (instructions.length > 0xffff) {
    throw new BpfError("limit", `${instructions.length} instructions; struct sock_fprog holds at most 65535`);
  }
  const answer = addon.attachProgram(fd, level, option, encode(instructions));
  if (answer >= 0) return;
  const { text, violations } = explainRefusal(errnoName(answer), instructions, refusalFacts(addon, fd));
  const error = systemError(answer, "setsockopt", "attaching the filter");
  const { errno, errnoName: name, syscall, cause } = error;
  throw new BpfError("system", `${error.message}: ${text}`, {
    ...(errno === undefined ? {} : { errno }),
    ...(name === undefined ? {} : { errnoName: name }),
    ...(syscall === undefined ? {} : { syscall }),
    ...(violations[0]?.index === undefined ? {} : { index: violations[0].index }),
    violations,
    cause,
  });
}

/**
 * The instructions of a program that the plain machine knows.
 *
 * @throws {BpfError} `extension` naming the first instruction that is a user's; `bad-argument` for what is no program.
 */
export function plainInstructions(program: FilterProgram): readonly Instruction[] {
  const given = Array.isArray(program) ? program : (program as { instructions?: unknown } | null)?.instructions;
  const instructions = instructionsFrom(given as Iterable<InstructionLike>);
  const isa = (program as { isa?: InstructionSet }).isa ?? ISA;
  for (const [index, insn] of instructions.entries()) {
    const row = isa.known(insn.code) === undefined ? isa.extensions.get(insn.code) : undefined;
    const does = isa.known(insn.code)?.does;
    const load = does?.kind === "packet" && does.at === "abs" ? isa.ancillaryExtensions.get(insn.k) : undefined;
    const name = row?.name ?? load?.name;
    if (name === undefined) continue;
    throw new BpfError("extension", `instruction ${index}: the kernel does not know the extension "${name}"`, {
      index,
    });
  }
  return instructions;
}

function refusalFacts(addon: Addon, fd: number): RefusalFacts {
  const meminfo = addon.getOption(fd, SOL_SOCKET, SO_MEMINFO, 64);
  const at = 4 * SK_MEMINFO_OPTMEM;
  return {
    locked: intOption(addon, fd, SO_LOCK_FILTER) === 1,
    protocol: intOption(addon, fd, SO_PROTOCOL),
    charged: typeof meminfo !== "number" && meminfo.length >= at + 4 ? hostU32(meminfo, at) : undefined,
    optmemMax: readOptmemMax(),
  };
}

/** A SOL_SOCKET option that is an int; undefined when the kernel does not tell. */
export function intOption(addon: Addon, fd: number, name: number): number | undefined {
  const value = addon.getOption(fd, SOL_SOCKET, name, 4);
  return typeof value === "number" || value.length < 4 ? undefined : hostU32(value, 0);
}

/** Position of SK_MEMINFO_DROPS in SO_MEMINFO. */
const SK_MEMINFO_DROPS = 8;

/**
 * Packets that the socket did not take, since it was opened: dropped by the filter, or for lack of buffer.  UDP and raw
 * sockets count both, packet sockets only the latter; unix and netlink sockets count nothing that a filter drops.
 */
export function socketDrops(target: SocketTarget, options: FilterOptions = {}): number {
  const addon = options.addon ?? loadAddon();
  const { fd } = socketOf(addon, target);
  const meminfo = succeed(addon.getOption(fd, SOL_SOCKET, SO_MEMINFO, 64), "getsockopt", "reading SO_MEMINFO");
  const at = 4 * SK_MEMINFO_DROPS;
  const bytes = meminfo as Uint8Array;
  if (bytes.length < at + 4)
    throw new BpfError("unsupported", "this kernel does not count dropped packets (4.12 does)");
  return hostU32(bytes, at);
}
