/**
 * Sockets that never leave the machine: unix datagram pairs and netlink.  Their packets have no device, no MAC header
 * and the network header at byte 0 (`ATTACH_POINTS.unix`, `ATTACH_POINTS.netlink`).
 */
import { BpfError } from "../base/errors.ts";
import { plainInstructions } from "./attach.ts";
import { AF_NETLINK, AF_UNIX, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET } from "./constants.ts";
import { succeed } from "./errno.ts";
import { type Addon, loadAddon } from "./load.ts";
import { type Message, MessageSocket } from "./message-socket.ts";
import { applyFilter, type OpenOptions, openSocket } from "./open.ts";
import { netlinkAddress, readNetlinkPort } from "./sockaddr.ts";

export interface UnixPairOptions extends Omit<OpenOptions, "netns"> {
  /** "dgram" (default) or "seqpacket", which knows when the other end has closed. */
  readonly type?: "dgram" | "seqpacket";
}

/**
 * Opens two connected unix sockets of whole messages.  The filter is on the second, and judges what the first sends.
 * A message that the filter drops is sent without an error.
 *
 * @throws {BpfError} `system` with the broken rules, `bad-argument`, `extension`, `not-available`.
 */
export function openUnixPair(options: UnixPairOptions = {}): readonly [MessageSocket, MessageSocket] {
  const { type = "dgram" } = options;
  if (type !== "dgram" && type !== "seqpacket") {
    throw new BpfError("bad-argument", `unix pair type ${JSON.stringify(type)} is neither "dgram" nor "seqpacket"`);
  }
  if (options.filter !== undefined) plainInstructions(options.filter); // before any system call
  const addon = options.addon ?? loadAddon();
  const kind = type === "dgram" ? SOCK_DGRAM : SOCK_SEQPACKET;
  const fds = succeed(addon.openPair(AF_UNIX, kind), "socketpair", "opening a unix pair") as readonly [number, number];
  const [first, second] = fds;
  try {
    applyFilter(addon, second, options);
    return [new MessageSocket(addon, first, same), new MessageSocket(addon, second, same)];
  } catch (error) {
    for (const fd of fds) addon.closeFd(fd);
    throw error;
  }
}

export interface NetlinkSocketOptions extends OpenOptions {
  /** NETLINK_* protocol, 0..31: 0 routing, 4 socket diagnostics, 16 generic ... */
  readonly protocol: number;
  /** Mask of the multicast groups 1..32 to join; default 0. */
  readonly groups?: number;
}

/** A received netlink datagram: one or more nlmsghdr in host byte order. */
export interface NetlinkMessage extends Message {
  /** Port of the sender; 0 is the kernel. */
  readonly from: number;
}

/** A netlink socket. */
export class NetlinkSocket extends MessageSocket<NetlinkMessage> {
  /** The port that the kernel chose for this socket, u32. */
  readonly port: number;

  constructor(addon: Addon, fd: number, port: number) {
    super(addon, fd, (message, received) => ({ ...message, from: readNetlinkPort(received.address) }));
    this.port = port;
  }
}

/**
 * Opens and binds a netlink socket.  The filter sees what the kernel and other processes send to it; fields are in host
 * byte order, so that a load on a little-endian machine sees them swapped.
 *
 * @throws {BpfError} `system` with EPROTONOSUPPORT for an unknown protocol, EPERM for groups that need a capability,
 *   EINVAL with the broken rules; `bad-argument`, `extension`, `not-available`.
 */
export function openNetlinkSocket(options: NetlinkSocketOptions): NetlinkSocket {
  const { protocol, groups = 0 } = options;
  if (!Number.isInteger(protocol) || protocol < 0 || protocol > 31) {
    throw new BpfError("bad-argument", `netlink protocol ${protocol} is outside 0..31`);
  }
  if (!Number.isInteger(groups) || groups < 0 || groups > 0xffffffff) {
    throw new BpfError("bad-argument", `netlink groups ${groups} is outside 0..0xffffffff`);
  }
  return openSocket(options, [AF_NETLINK, SOCK_RAW, protocol], "opening a netlink socket", (addon, fd) => {
    applyFilter(addon, fd, options);
    succeed(addon.bindSocket(fd, netlinkAddress(0, groups)), "bind", "binding a netlink socket");
    const name = succeed(addon.socketName(fd), "getsockname", "asking for the port") as Uint8Array;
    return new NetlinkSocket(addon, fd, readNetlinkPort(name));
  });
}

function same(message: Message): Message {
  return message;
}
