/**
 * Raw IP sockets, ICMP among them (raw(7), ipv6(7)).
 *
 * A raw socket receives from the moment it exists: it is opened behind a filter that drops everything, emptied, and
 * only then given its own.
 */
import { BpfError } from "../base/errors.ts";
import { AF_INET, AF_INET6, SOCK_RAW } from "./constants.ts";
import { succeed } from "./errno.ts";
import { type Message, MessageSocket } from "./message-socket.ts";
import { filterAfter, type OpenOptions, openSocket } from "./open.ts";
import { inetAddress, readInetAddress } from "./sockaddr.ts";

export interface RawSocketOptions extends OpenOptions {
  /** 4 (default): byte 0 is the IPv4 header.  6: byte 0 is the header behind IPv6's own. */
  readonly family?: 4 | 6;
  /** IP protocol, 1..255: 1 ICMP, 58 ICMPv6 ... */
  readonly protocol: number;
  /** Numeric local address to bind; default any. */
  readonly address?: string;
}

/** A received IP packet. */
export interface RawMessage extends Message {
  /** Address of the sender. */
  readonly from: string;
}

/**
 * Opens a raw socket.  Needs CAP_NET_RAW.
 *
 * @throws {BpfError} `system` with EPERM without CAP_NET_RAW, EINVAL with the broken rules; `bad-argument`,
 *   `extension`, `not-available`.
 */
export function openRawSocket(options: RawSocketOptions): MessageSocket<RawMessage> {
  const { family = 4, protocol, address } = options;
  if (family !== 4 && family !== 6) throw new BpfError("bad-argument", `IP family ${family} is neither 4 nor 6`);
  if (!Number.isInteger(protocol) || protocol < 1 || protocol > 255) {
    throw new BpfError("bad-argument", `IP protocol ${protocol} is outside 1..255`);
  }
  const to = address === undefined ? undefined : inetAddress(address, 0);
  const domain = family === 4 ? AF_INET : AF_INET6;
  return openSocket(options, [domain, SOCK_RAW, protocol], "opening a raw socket", (addon, fd) => {
    filterAfter(addon, fd, options, () => {
      if (to !== undefined) succeed(addon.bindSocket(fd, to), "bind", `binding ${address}`);
    });
    return new MessageSocket(addon, fd, (message, received) => {
      return { ...message, from: readInetAddress(received.address)?.address ?? "" };
    });
  });
}
