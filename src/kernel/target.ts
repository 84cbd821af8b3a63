/**
 * Which socket is meant: a descriptor number found in what the caller holds, and checked to be the socket it was.
 *
 * A number alone is dangerous: once closed, the kernel gives it to the next socket, and a filter lands there without
 * any error.  SO_COOKIE is unique for the life of the machine.  It is kept from the first time that a socket object is
 * seen here, and compared each time after.
 */
import { Socket as DgramSocket } from "node:dgram";
import { Socket as NetSocket, Server } from "node:net";
import { readU32BE, readU32LE } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";
import { HOST_BYTE_ORDER } from "../program/codec.ts";
import { SO_COOKIE, SOL_SOCKET } from "./constants.ts";
import { errnoName, systemError } from "./errno.ts";
import type { Addon } from "./load.ts";

/**
 * A socket: Node's own, one opened here, a {@link SocketRef}, or a bare descriptor number, which nothing protects
 * against being somebody else's by now.
 */
export type SocketTarget = DgramSocket | NetSocket | Server | SocketHolder | SocketRef | number;

/** A socket opened by this package. */
export interface SocketHolder {
  /** The descriptor; -1 once closed. */
  readonly fd: number;
}

/** A descriptor with the identity of the socket behind it. */
export class SocketRef {
  readonly fd: number;
  /** SO_COOKIE: unique among all sockets since boot. */
  readonly cookie: bigint;

  constructor(fd: number, cookie: bigint) {
    this.fd = fd;
    this.cookie = cookie;
    Object.freeze(this);
  }
}

/** The cookie that a socket object had when it was first seen. */
const seen = new WeakMap<object, bigint>();

/**
 * The socket that is meant, checked to be open and the one it was.
 *
 * @throws {BpfError} `bad-argument` for what is no socket, is not bound, is closed, or is another socket by now;
 *   `system` for a descriptor that is no socket at all.
 */
export function socketOf(addon: Addon, target: SocketTarget): SocketRef {
  const { fd, what } = findFd(target);
  const cookie = cookieOf(addon, fd, what);
  if (typeof target === "number") return new SocketRef(fd, cookie);
  const expected = target instanceof SocketRef ? target.cookie : seen.get(target);
  if (expected !== undefined && expected !== cookie) {
    throw new BpfError("bad-argument", `${what}: fd ${fd} is another socket by now`);
  }
  seen.set(target, cookie);
  return new SocketRef(fd, cookie);
}

function cookieOf(addon: Addon, fd: number, what: string): bigint {
  const bytes = addon.getOption(fd, SOL_SOCKET, SO_COOKIE, 8);
  if (typeof bytes === "number") {
    const name = errnoName(bytes);
    const why = name === "EBADF" ? "is not open" : name === "ENOTSOCK" ? "is no socket" : "has no SO_COOKIE";
    throw systemError(bytes, "getsockopt", `${what}: fd ${fd} ${why}`);
  }
  const [low, high] =
    HOST_BYTE_ORDER === "little"
      ? [readU32LE(bytes, 0), readU32LE(bytes, 4)]
      : [readU32BE(bytes, 4), readU32BE(bytes, 0)];
  return (BigInt(high) << 32n) | BigInt(low);
}

function findFd(target: SocketTarget): { fd: number; what: string } {
  if (typeof target === "number") {
    if (Number.isInteger(target) && target >= 0 && target <= 0x7fffffff) return { fd: target, what: "socket" };
    throw new BpfError("bad-argument", `fd ${target} is outside 0..2147483647`);
  }
  if (target instanceof DgramSocket) return open(dgramHandle(target), "dgram socket", "bind it first, or open it here");
  if (target instanceof NetSocket) return open(handleOf(target), "net socket", "connect it first");
  if (target instanceof Server) return open(handleOf(target), "net server", "listen first");
  if (typeof target === "object" && target !== null && typeof target.fd === "number") {
    return open(target, "socket", "it is closed");
  }
  throw new BpfError("bad-argument", "expected a dgram.Socket, net.Socket, net.Server, an opened socket or an fd");
}

function open(handle: { fd?: unknown } | null | undefined, what: string, advice: string): { fd: number; what: string } {
  const fd = handle?.fd;
  if (typeof fd === "number" && Number.isInteger(fd) && fd >= 0) return { fd, what };
  throw new BpfError("bad-argument", `the ${what} has no descriptor: ${advice}`);
}

/** `_handle` of net's classes has been there since the beginning, and there is no public way. */
function handleOf(socket: NetSocket | Server): { fd?: unknown } | null | undefined {
  return (socket as unknown as { _handle?: { fd?: unknown } | null })._handle;
}

/** dgram's `_handle` warns (DEP0112) and is gone in Node 26; the state behind a symbol is there from 20 to 26. */
function dgramHandle(socket: DgramSocket): { fd?: unknown } | null | undefined {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === "state symbol");
  if (symbol === undefined) return undefined;
  return (socket as unknown as Record<symbol, { handle?: { fd?: unknown } | null } | undefined>)[symbol]?.handle;
}
