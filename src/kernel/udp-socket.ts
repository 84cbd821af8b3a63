/**
 * UDP sockets with the filter on before they are bound, handed to Node through its public `bind({ fd })`.
 */
import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import { BpfError } from "../base/errors.ts";
import { attachProgram, type FilterProgram, plainInstructions } from "./attach.ts";
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SO_ATTACH_REUSEPORT_CBPF,
  SO_REUSEPORT,
  SOCK_DGRAM,
  SOL_SOCKET,
} from "./constants.ts";
import { succeed } from "./errno.ts";
import type { Addon } from "./load.ts";
import { applyFilter, type OpenOptions, openSocket, setInt } from "./open.ts";
import { inetAddress, readInetAddress } from "./sockaddr.ts";

export interface UdpSocketOptions extends OpenOptions {
  /** Numeric address to bind; default 0.0.0.0.  An IPv6 address makes an IPv6 socket. */
  readonly address?: string;
  /** Port to bind; default 0, the kernel chooses. */
  readonly port?: number;
  /** SO_REUSEPORT: several sockets share the address, each datagram goes to one of them. */
  readonly reusePort?: boolean;
  /** IPV6_V6ONLY; default false. */
  readonly ipv6Only?: boolean;
}

/**
 * Opens a UDP socket whose filter is in force before the first datagram can arrive.  Byte 0 of the filter is the UDP
 * header (`ATTACH_POINTS.udp4`), and the first 8 bytes of an accepted datagram are always kept.
 *
 * @returns A `dgram.Socket` that listens already (its "listening" event has been emitted); `close()` it as any other.
 * @throws {BpfError} `system` when the kernel refuses (EADDRINUSE, EINVAL with the broken rules, ...), `extension`,
 *   `bad-argument` for an address that is not numeric or a port outside 0..65535, `not-available`.
 */
export function openUdpSocket(options: UdpSocketOptions = {}): Socket {
  const { address = "0.0.0.0" } = options;
  return openBound(options, undefined, (addon, fd) => {
    const socket = adoptUdpSocket(fd, isIPv6(address) ? 6 : 4);
    addon.releaseFd(fd); // dgram closes it from now on
    return socket;
  });
}

/**
 * Makes a `dgram.Socket` of a bound UDP descriptor, which it owns from then on.  Works in any thread of the process.
 *
 * @throws {TypeError} Node's ERR_INVALID_FD_TYPE for a descriptor that is no UDP socket.
 */
export function adoptUdpSocket(fd: number, family: 4 | 6): Socket {
  const socket = createSocket(family === 6 ? "udp6" : "udp4");
  try {
    // Without `exclusive`, a cluster worker would ask its parent for the descriptor.
    return socket.bind({ fd, exclusive: true } as Parameters<Socket["bind"]>[0]);
  } catch (error) {
    socket.removeAllListeners();
    throw error;
  }
}

export interface ReuseportOptions extends Omit<UdpSocketOptions, "reusePort"> {
  /** Number of sockets, 1..65535. */
  readonly members: number;
  /**
   * Chooses the socket: its verdict is the index of the member, in the order of binding.  Byte 0 is the first byte of
   * the UDP payload (`ATTACH_POINTS.reuseport4`).  An index without a member, or no program: the kernel's hash.
   */
  readonly steering?: FilterProgram;
}

/** Bound UDP sockets that share an address; hand each to a worker, or to `adoptUdpSocket` here. */
export interface ReuseportGroup {
  readonly address: string;
  readonly port: number;
  readonly family: 4 | 6;
  /** Descriptors by index; each belongs to the group until taken. */
  readonly fds: readonly number[];
  /** Gives one descriptor away: whoever adopts it closes it. */
  take(index: number): number;
  /** Closes the descriptors that nobody took. */
  close(): void;
}

/**
 * Opens the sockets of a reuseport group in order, with steering in force before the first one is bound.
 *
 * @throws {BpfError} As {@link openUdpSocket}; `bad-argument` for a count outside 1..65535.
 */
export function openReuseportGroup(options: ReuseportOptions): ReuseportGroup {
  const { members, steering, ...socketOptions } = options;
  if (!Number.isInteger(members) || members < 1 || members > 0xffff) {
    throw new BpfError("bad-argument", `${members} members; a reuseport group has 1..65535`);
  }
  if (steering !== undefined) plainInstructions(steering); // before any system call
  const held = new Map<number, number>();
  let used: Addon | undefined;
  const close = (): void => {
    for (const fd of held.values()) used?.closeFd(fd);
    held.clear();
  };
  try {
    let port = options.port ?? 0;
    let address = options.address ?? "0.0.0.0";
    for (let index = 0; index < members; index++) {
      const steer = index === 0 ? steering : undefined;
      openBound({ ...socketOptions, reusePort: true, port }, steer, (addon, fd) => {
        used = addon;
        held.set(index, fd);
        // The first bind may choose the port of all.
        const name = readInetAddress(succeed(addon.socketName(fd), "getsockname", "asking for the port") as Uint8Array);
        ({ port, address } = name ?? { port, address });
      });
    }
    return {
      address,
      port,
      family: isIPv6(options.address ?? "") ? 6 : 4,
      fds: [...held.values()],
      take(index) {
        const fd = held.get(index);
        if (fd === undefined) throw new BpfError("bad-argument", `member ${index} is taken, or there is none`);
        held.delete(index);
        used?.releaseFd(fd);
        return fd;
      },
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Socket, options, steering, filter, bind: in this order nothing arrives unfiltered. */
function openBound<T>(
  options: UdpSocketOptions,
  steering: FilterProgram | undefined,
  use: (addon: Addon, fd: number) => T,
): T {
  const { address = "0.0.0.0", port = 0 } = options;
  const to = inetAddress(address, port);
  const family = isIPv6(address) ? AF_INET6 : AF_INET;
  return openSocket(options, [family, SOCK_DGRAM, 0], "opening a UDP socket", (addon, fd) => {
    if (options.ipv6Only === true) setInt(addon, fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (options.reusePort === true) setInt(addon, fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (steering !== undefined) {
      attachProgram(addon, fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, plainInstructions(steering));
    }
    applyFilter(addon, fd, options);
    succeed(addon.bindSocket(fd, to), "bind", `binding ${address} port ${port}`);
    return use(addon, fd);
  });
}
