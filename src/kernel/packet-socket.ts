/**
 * Packet sockets: what passes an interface, with its MAC header or without (packet(7)).
 *
 * Opened with protocol 0 a packet socket receives nothing; the filter goes on, and only then is it bound.
 */
import { BpfError } from "../base/errors.ts";
import { type PacketContext, packetContext } from "../program/packet-context.ts";
import { attachProgram, type FilterProgram, plainInstructions } from "./attach.ts";
import {
  AF_PACKET,
  ETH_P_ALL,
  PACKET_ADD_MEMBERSHIP,
  PACKET_AUXDATA,
  PACKET_FANOUT,
  PACKET_FANOUT_DATA,
  PACKET_IGNORE_OUTGOING,
  PACKET_MR_PROMISC,
  PACKET_STATISTICS,
  SOCK_DGRAM,
  SOCK_RAW,
  SOL_PACKET,
  TP_STATUS_VLAN_TPID_VALID,
  TP_STATUS_VLAN_VALID,
} from "./constants.ts";
import { succeed } from "./errno.ts";
import type { Addon, InterfaceInfo, Received } from "./load.ts";
import { type Message, MessageSocket } from "./message-socket.ts";
import { applyFilter, filterAfter, type OpenOptions, openSocket, setInt } from "./open.ts";
import { hostU32, linkAddress, membershipRequest, readAuxiliaryData, readLinkAddress } from "./sockaddr.ts";

/** How a fanout group chooses the member that gets a packet; the kernel's PACKET_FANOUT_* numbers. */
export const FANOUT_MODES = Object.freeze({ hash: 0, lb: 1, cpu: 2, cbpf: 6 });
export type FanoutMode = keyof typeof FANOUT_MODES;

export interface FanoutOptions {
  /** Number of the group, 0..65535, unique in the network namespace; its members name the same mode. */
  readonly group: number;
  /** "hash": by flow.  "lb": in turn.  "cpu": by the receiving CPU.  "cbpf": by `program`. */
  readonly mode: FanoutMode;
  /** For "cbpf": the verdict modulo the members.  Byte 0 is the network header (`ATTACH_POINTS.fanout`). */
  readonly program?: FilterProgram;
}

export interface PacketSocketOptions extends OpenOptions {
  /** Interface name; absent: every interface of the namespace. */
  readonly interface?: string;
  /** "raw" (default): byte 0 is the MAC header.  "dgram": byte 0 is the network header. */
  readonly type?: "raw" | "dgram";
  /** EtherType to receive, 1..0xffff; default 3, ETH_P_ALL. */
  readonly protocol?: number;
  /** Puts the interface into promiscuous mode while the socket is open.  Default false. */
  readonly promiscuous?: boolean;
  /** Leaves out packets that this machine sends.  Default false. */
  readonly ignoreOutgoing?: boolean;
  /** Shares the packets out among the sockets of a group. */
  readonly fanout?: FanoutOptions;
  /** Longest packet kept, bytes; default 65,600. */
  readonly receiveSize?: number;
}

/** A packet, with what the kernel knows beside its bytes, ready for an engine. */
export interface PacketMessage extends Message {
  /** Length before the filter cut it. */
  readonly originalLength: number;
  /** Hardware address of the sender. */
  readonly source: Uint8Array;
  /**
   * PROTOCOL, PKTTYPE, IFINDEX, HATYPE, the VLAN tag that the kernel took out, and where the headers are.  MARK,
   * QUEUE and RXHASH are not told and stay 0.
   */
  readonly context: PacketContext;
}

export class PacketSocket extends MessageSocket<PacketMessage> {
  readonly #addon: Addon;

  constructor(addon: Addon, fd: number, type: "raw" | "dgram", receiveSize?: number) {
    super(addon, fd, (message, received) => packetMessage(message, received, type), receiveSize);
    this.#addon = addon;
  }

  /**
   * Packets that passed the filter, and of these the ones dropped because the receive buffer was full, both since the
   * last call.  Packets that the filter dropped are counted nowhere.
   */
  statistics(): { readonly packets: number; readonly drops: number } {
    const answer = this.#addon.getOption(this.fd, SOL_PACKET, PACKET_STATISTICS, 8);
    const bytes = succeed(answer, "getsockopt", "reading statistics") as Uint8Array;
    return { packets: hostU32(bytes, 0), drops: hostU32(bytes, 4) };
  }
}

/** What {@link placeSocket} reads of the options of a packet socket or a capture. */
type PlaceOptions = OpenOptions & Pick<PacketSocketOptions, "interface" | "ignoreOutgoing" | "promiscuous" | "fanout">;

/**
 * Binds a packet socket, with its filter in force before the first packet, and joins its fanout group.
 *
 * @param protocol  EtherType to receive.
 * @param index     Interface index; 0 for all.
 */
export function placeSocket(addon: Addon, fd: number, options: PlaceOptions, protocol: number, index: number): void {
  const { fanout } = options;
  if (options.ignoreOutgoing === true) setInt(addon, fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
  const bind = (): void => {
    succeed(addon.bindSocket(fd, linkAddress(protocol, index)), "bind", `binding to ${options.interface ?? "all"}`);
    if (options.promiscuous !== true) return;
    const request = membershipRequest(index, PACKET_MR_PROMISC);
    succeed(addon.setOption(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, request), "setsockopt", "going promiscuous");
  };
  if (fanout === undefined) {
    applyFilter(addon, fd, options);
    bind();
    return;
  }
  // A group takes bound sockets only.  Until it has joined, a member would get every packet.
  filterAfter(addon, fd, options, () => {
    bind();
    joinFanout(addon, fd, fanout);
  });
}

/**
 * Opens a packet socket; nothing that the filter would drop is ever received.  Needs CAP_NET_RAW.
 *
 * @throws {BpfError} `system` with EPERM without CAP_NET_RAW, ENODEV for an unknown interface, EINVAL with the broken
 *   rules; `bad-argument`, `extension`, `not-available`.
 */
export function openPacketSocket(options: PacketSocketOptions = {}): PacketSocket {
  const { type = "raw", protocol = ETH_P_ALL, fanout } = options;
  if (type !== "raw" && type !== "dgram") {
    throw new BpfError("bad-argument", `packet socket type ${JSON.stringify(type)} is neither "raw" nor "dgram"`);
  }
  if (!Number.isInteger(protocol) || protocol < 1 || protocol > 0xffff) {
    throw new BpfError("bad-argument", `protocol ${protocol} is outside 1..0xffff`);
  }
  if (options.receiveSize !== undefined && !(options.receiveSize >= 1 && options.receiveSize <= 0x1000000)) {
    throw new BpfError("bad-argument", `receiveSize ${options.receiveSize} is outside 1..16777216`);
  }
  if (fanout !== undefined) checkFanout(fanout);
  const kind = type === "raw" ? SOCK_RAW : SOCK_DGRAM;
  return openSocket(options, [AF_PACKET, kind, 0], "opening a packet socket", (addon, fd) => {
    setInt(addon, fd, SOL_PACKET, PACKET_AUXDATA, 1);
    const index = options.interface === undefined ? 0 : interfaceNamed(addon, fd, options.interface).index;
    placeSocket(addon, fd, options, protocol, index);
    return new PacketSocket(addon, fd, type, options.receiveSize);
  });
}

/** Refuses a fanout group that cannot be, before any system call. */
export function checkFanout({ group, mode, program }: FanoutOptions): void {
  if (!Number.isInteger(group) || group < 0 || group > 0xffff) {
    throw new BpfError("bad-argument", `fanout group ${group} is outside 0..65535`);
  }
  if (!Object.hasOwn(FANOUT_MODES, mode)) {
    throw new BpfError("bad-argument", `fanout mode ${JSON.stringify(mode)} is none of hash, lb, cpu, cbpf`);
  }
  if ((program !== undefined) !== (mode === "cbpf")) {
    throw new BpfError("bad-argument", 'a fanout program goes with mode "cbpf", and with no other');
  }
  if (program !== undefined) plainInstructions(program);
}

/** Makes a bound packet socket a member. */
function joinFanout(addon: Addon, fd: number, { group, mode, program }: FanoutOptions): void {
  const argument = group | (FANOUT_MODES[mode] << 16);
  succeed(addon.setOption(fd, SOL_PACKET, PACKET_FANOUT, argument), "setsockopt", `joining fanout group ${group}`);
  if (program !== undefined) attachProgram(addon, fd, SOL_PACKET, PACKET_FANOUT_DATA, plainInstructions(program));
}

/** Longest interface name, bytes: IFNAMSIZ - 1. */
const LONGEST_NAME = 15;

/** What the kernel says of an interface in the namespace of `fd`. */
export function interfaceNamed(addon: Addon, fd: number, name: string): InterfaceInfo {
  const length = typeof name === "string" && !name.includes("\0") ? new TextEncoder().encode(name).length : 0;
  if (length < 1 || length > LONGEST_NAME) {
    throw new BpfError("bad-argument", `${JSON.stringify(name)} is no interface name of 1..${LONGEST_NAME} bytes`);
  }
  return succeed(addon.interfaceInfo(fd, name), "ioctl", `asking for interface ${name}`) as InterfaceInfo;
}

const ETHERNET_HEADER = 14;

function packetMessage(message: Message, received: Received, type: "raw" | "dgram"): PacketMessage {
  const { address, ...fields } = readLinkAddress(received.address);
  const auxiliary = received.control.find((item) => item.level === SOL_PACKET && item.type === PACKET_AUXDATA);
  const data = auxiliary === undefined ? undefined : readAuxiliaryData(auxiliary.data);
  const originalLength = data?.length ?? message.length;
  const context = packetContext({
    ...fields,
    length: originalLength,
    network: type === "raw" ? (data?.net ?? ETHERNET_HEADER) : 0,
    mac: type === "raw" ? 0 : undefined,
    ...vlanFields(data),
  });
  return { ...message, originalLength, source: address, context };
}

/** The context's fields for a VLAN tag that the kernel took out of the packet. */
export function vlanFields(
  data: { readonly status: number; readonly vlanTag: number; readonly vlanTpid: number } | undefined,
): Pick<PacketContext, "vlanTag" | "vlanPresent" | "vlanTpid"> {
  const present = data !== undefined && (data.status & TP_STATUS_VLAN_VALID) !== 0;
  return {
    vlanPresent: present ? 1 : 0,
    vlanTag: present ? data.vlanTag : 0,
    vlanTpid: present && (data.status & TP_STATUS_VLAN_TPID_VALID) !== 0 ? data.vlanTpid : 0,
  };
}
