/**
 * Opening sockets: the order of system calls that lets no packet past the filter, and closing when one of them fails.
 */
import { BpfError } from "../base/errors.ts";
import { CODE } from "../isa/opcodes.ts";
import { stmt } from "../program/instruction.ts";
import { attachProgram, type FilterProgram, plainInstructions } from "./attach.ts";
import { SO_ATTACH_FILTER, SO_LOCK_FILTER, SO_RCVBUF, SOL_SOCKET } from "./constants.ts";
import { succeed } from "./errno.ts";
import { type Addon, loadAddon } from "./load.ts";

/** What every socket opened here can be given. */
export interface OpenOptions {
  /** The filter, in force before the first packet. */
  readonly filter?: FilterProgram;
  /** Locks the filter (SO_LOCK_FILTER); nothing can undo that. */
  readonly lock?: boolean;
  /** SO_RCVBUF, bytes; the kernel doubles it and bounds it by net.core.rmem_max. */
  readonly receiveBuffer?: number;
  /** Descriptor of the network namespace to open the socket in; default the caller's own. */
  readonly netns?: number;
  /** The addon to go through; for tests. */
  readonly addon?: Addon;
}

/** The program that drops everything. */
export const DROP_ALL = Object.freeze([stmt(CODE.ret_k, 0)]);

/**
 * Opens a socket and hands it to `setUp`, which returns what the caller gets; closes it when anything throws.
 *
 * @throws {BpfError} `extension`, `not-available`; `system` as the kernel says.
 */
export function openSocket<T>(
  options: OpenOptions,
  [domain, type, protocol]: readonly [number, number, number],
  context: string,
  setUp: (addon: Addon, fd: number) => T,
): T {
  if (options.filter !== undefined) plainInstructions(options.filter); // before any system call
  const { netns } = options;
  if (netns !== undefined && !(Number.isInteger(netns) && netns >= 0 && netns <= 0x7fffffff)) {
    throw new BpfError("bad-argument", `netns ${netns} is no descriptor`);
  }
  const addon = options.addon ?? loadAddon();
  const fd = succeed(addon.openSocket(domain, type, protocol, netns), "socket", context);
  try {
    if (options.receiveBuffer !== undefined) setInt(addon, fd, SOL_SOCKET, SO_RCVBUF, options.receiveBuffer);
    return setUp(addon, fd);
  } catch (error) {
    addon.closeFd(fd);
    throw error;
  }
}

/** Attaches the filter of the options, if there is one, and locks it if asked. */
export function applyFilter(addon: Addon, fd: number, { filter, lock }: OpenOptions): void {
  if (filter !== undefined) attachProgram(addon, fd, SOL_SOCKET, SO_ATTACH_FILTER, plainInstructions(filter));
  if (lock === true) setInt(addon, fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
}

/**
 * For a socket that receives from the moment it exists, or whose place is only found after binding: drops everything,
 * runs `place`, throws away what came in before, and puts the filter of the options in force.
 */
export function filterAfter(addon: Addon, fd: number, options: OpenOptions, place: () => void): void {
  attachProgram(addon, fd, SOL_SOCKET, SO_ATTACH_FILTER, DROP_ALL);
  place();
  const nowhere = new Uint8Array(0);
  while (typeof addon.receive(fd, nowhere) !== "number") {
    // what passed before there was a filter
  }
  if (options.filter === undefined) succeed(addon.detachFilter(fd), "setsockopt", "taking the closed filter off");
  applyFilter(addon, fd, options);
}

/** Sets an option that is an int. */
export function setInt(addon: Addon, fd: number, level: number, name: number, value: number): void {
  if (!Number.isInteger(value) || value < -0x80000000 || value > 0xffffffff) {
    throw new BpfError("bad-argument", `socket option value ${value} is no 32-bit integer`);
  }
  succeed(addon.setOption(fd, level, name, value | 0), "setsockopt", `setting option ${name} of level ${level}`);
}
