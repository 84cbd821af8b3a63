/**
 * A network of one's own: a fresh namespace with lo up and a tap, where any frame can be made to arrive and nothing
 * else does.  Needs CAP_SYS_ADMIN and CAP_NET_ADMIN.
 *
 * The thread that calls stays in its own namespace; only descriptors made here live in the new one.  With the last of
 * them closed the kernel removes everything.
 */
import { BpfError } from "../base/errors.ts";
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  ETH_P_ALL,
  IP_MTU_DISCOVER,
  IP_PMTUDISC_DO,
  IPPROTO_IP,
  PACKET_AUXDATA,
  PACKET_IGNORE_OUTGOING,
  SO_MARK,
  SOCK_DGRAM,
  SOCK_RAW,
  SOL_PACKET,
  SOL_SOCKET,
} from "./constants.ts";
import { succeed, systemError } from "./errno.ts";
import { type Addon, type InterfaceInfo, loadAddon } from "./load.ts";
import { inetAddress, linkAddress } from "./sockaddr.ts";

const TAP = "cbpf0";

export class PrivateNetwork {
  readonly #addon: Addon;
  readonly #netns: number;
  readonly #fds: number[] = [];
  /** The tap's descriptor: what is written arrives on the interface as if from a wire. */
  readonly tap: number;
  /** What the kernel says of the tap's interface. */
  readonly device: InterfaceInfo;

  /**
   * @throws {BpfError} `not-available` without the addon or without the privilege, saying which; `system` when the
   *   kernel refuses for another reason.
   */
  constructor(addon: Addon = loadAddon()) {
    this.#addon = addon;
    const netns = addon.newNamespace();
    if (netns === -1) {
      throw new BpfError("not-available", "a private network needs CAP_SYS_ADMIN (root)", {
        cause: systemError(netns, "unshare", "making a network namespace"),
      });
    }
    this.#netns = succeed(netns, "unshare", "making a network namespace");
    this.#fds.push(this.#netns);
    try {
      this.tap = this.#own(addon.openTap(TAP, this.#netns), "ioctl", "making a tap");
      const control = this.#own(addon.openSocket(AF_INET, SOCK_DGRAM, 0, this.#netns), "socket", "opening a socket");
      for (const name of ["lo", TAP]) succeed(addon.interfaceUp(control, name), "ioctl", `bringing ${name} up`);
      const device = succeed(addon.interfaceInfo(control, TAP), "ioctl", "asking for the tap");
      this.device = device as InterfaceInfo;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** A packet socket for what arrives on an interface; what leaves is not shown.  "raw" keeps the MAC header. */
  packetSocket(type: "raw" | "dgram", interfaceName: string = TAP): number {
    const addon = this.#addon;
    const kind = type === "raw" ? SOCK_RAW : SOCK_DGRAM;
    const fd = this.#own(addon.openSocket(AF_PACKET, kind, 0, this.#netns), "socket", "opening a packet socket");
    for (const option of [PACKET_IGNORE_OUTGOING, PACKET_AUXDATA]) {
      succeed(addon.setOption(fd, SOL_PACKET, option, 1), "setsockopt", "setting up a packet socket");
    }
    const { index } = succeed(
      addon.interfaceInfo(fd, interfaceName),
      "ioctl",
      "asking for an interface",
    ) as InterfaceInfo;
    succeed(addon.bindSocket(fd, linkAddress(ETH_P_ALL, index)), "bind", "binding a packet socket");
    return fd;
  }

  /** A UDP socket bound to a loopback address; `mark` is the SO_MARK of what it sends. */
  udpSocket(address: string, port: number, mark = 0): number {
    const addon = this.#addon;
    const family = address.includes(":") ? AF_INET6 : AF_INET;
    const fd = this.#own(addon.openSocket(family, SOCK_DGRAM, 0, this.#netns), "socket", "opening a UDP socket");
    if (family === AF_INET) {
      // Datagrams that may not be fragmented have the id 0: sent again, one has the same bytes.
      const answer = addon.setOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
      succeed(answer, "setsockopt", "forbidding fragments");
    }
    if (mark !== 0) succeed(addon.setOption(fd, SOL_SOCKET, SO_MARK, mark | 0), "setsockopt", "setting SO_MARK");
    succeed(addon.bindSocket(fd, inetAddress(address, port)), "bind", `binding ${address} port ${port}`);
    return fd;
  }

  /**
   * Lets a frame, MAC header first, arrive on the tap.
   *
   * @throws {BpfError} `system` with EINVAL for less than 14 bytes.
   */
  write(frame: Uint8Array): void {
    succeed(this.#addon.sendBytes(this.tap, frame), "write", "writing a frame to the tap");
  }

  /** The namespace's descriptor, for sockets opened elsewhere with `netns`. */
  get netns(): number {
    return this.#netns;
  }

  /** Closes every descriptor made here. */
  close(): void {
    for (const fd of this.#fds.splice(0)) this.#addon.closeFd(fd);
  }

  #own(answer: number, syscall: string, context: string): number {
    const fd = succeed(answer, syscall, context);
    this.#fds.push(fd);
    return fd;
  }
}
