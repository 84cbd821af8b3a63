/**
 * Oracles on real packets: frames written to a tap and read by packet sockets, and UDP over lo, both in a private
 * network.  Here packets have a device, headers in front of byte 0, VLAN tags, marks and hashes.
 *
 * What such a packet looks like to a filter is the kernel's doing: it takes tags away, adds headers, fills in fields.
 * So {@link NetworkOracle.observe} sends each packet once and says what the filter sees, bytes and context, which is
 * what another engine is to be given.  Sent again, a packet looks the same.
 */
import { ANCILLARY } from "../isa/ancillary.ts";
import { U32_MAX } from "../isa/limits.ts";
import { CODE } from "../isa/opcodes.ts";
import { encode } from "../program/codec.ts";
import type { PacketBatch } from "../program/engine.ts";
import { type Instruction, stmt } from "../program/instruction.ts";
import { type PacketContext, packetContext } from "../program/packet-context.ts";
import { Channel, type ChannelOptions } from "./channel.ts";
import { PACKET_AUXDATA, SO_ATTACH_FILTER, SOL_PACKET, SOL_SOCKET } from "./constants.ts";
import { succeed } from "./errno.ts";
import { type Addon, loadAddon, type Received } from "./load.ts";
import { KernelOracle } from "./oracle.ts";
import { vlanFields } from "./packet-socket.ts";
import { PrivateNetwork } from "./private-network.ts";
import { inetAddress, type LinkAddress, readAuxiliaryData, readLinkAddress } from "./sockaddr.ts";

/** Packets as sent and as filters see them, number by number. */
export interface Observation {
  /** What to hand to the oracle. */
  readonly sent: PacketBatch;
  /** What to hand to another engine: the bytes from byte 0 on, with contexts. */
  readonly seen: PacketBatch;
  /** Numbers, in the batch observed, of packets that the kernel did not take or dropped in front of every filter. */
  readonly lost: readonly number[];
}

const ACCEPT_ALL = [stmt(CODE.ret_k, U32_MAX)];
const DROP_ALL = [stmt(CODE.ret_k, 0)];
const ETHERNET_HEADER = 14;
/** Times that a packet is sent again on a channel that may deliver late. */
const MOST_LOOKS = 3;
/** Longest packet observed, bytes; the MTU of lo. */
const LONGEST = 65536;

/** An oracle that can show what filters see. */
export class NetworkOracle extends KernelOracle {
  readonly #channel: Channel;
  readonly #view: View;

  /** Owns the channel. */
  constructor(channel: Channel, view: View) {
    super(channel);
    this.#channel = channel;
    this.#view = view;
  }

  /** Sends every packet once and reports what a filter sees of it. */
  observe(batch: PacketBatch): Observation {
    const sent: Uint8Array[] = [];
    const seen: SeenPacket[] = [];
    const lost: number[] = [];
    this.#channel.attach(ACCEPT_ALL);
    for (let i = 0; i < batch.count; i++) {
      const packet = packetAt(batch, i);
      const send = (): boolean => this.#channel.deliver(oneBatch(packet))[0]! >= 0;
      let view = this.#view.see(send);
      for (let again = 0; again < MOST_LOOKS && view === undefined && !this.#channel.synchronous; again++) {
        view = this.#view.see(send);
      }
      if (view === undefined) {
        lost.push(i);
        continue;
      }
      sent.push(packet);
      seen.push(view);
    }
    const out = batchOf(sent);
    const contexts = this.#withFields(out, seen);
    return { sent: out, seen: { ...batchOf(seen.map((s) => s.bytes)), context: (i) => contexts[i]! }, lost };
  }

  /** Contexts with the fields that no socket address tells, read by programs of two instructions. */
  #withFields(sent: PacketBatch, seen: readonly SeenPacket[]): PacketContext[] {
    const [mark, queue, rxhash] = (["mark", "queue", "rxhash"] as const).map((field) => {
      const row = ANCILLARY.find(({ does }) => does.kind === "field" && does.field === field)!;
      return this.verdicts([stmt(CODE.ldw_abs, row.k), stmt(CODE.ret_a)], sent);
    });
    return seen.map(({ context }, i) => ({ ...context, mark: mark![i]!, queue: queue![i]!, rxhash: rxhash![i]! }));
  }
}

/** One packet as a filter sees it. */
interface SeenPacket {
  readonly bytes: Uint8Array;
  readonly context: PacketContext;
}

/** A packet socket beside the channel, opened for a look. */
class View {
  readonly #addon: Addon;
  readonly #fd: number;
  readonly #filter: readonly Instruction[];
  readonly #toSeen: (frame: Uint8Array, address: LinkAddress, vlan: VlanFields) => SeenPacket;
  readonly #memory = new Uint8Array(LONGEST + 256);

  constructor(
    addon: Addon,
    fd: number,
    filter: readonly Instruction[],
    toSeen: (frame: Uint8Array, address: LinkAddress, vlan: VlanFields) => SeenPacket,
  ) {
    this.#addon = addon;
    this.#fd = fd;
    this.#filter = filter;
    this.#toSeen = toSeen;
    this.#attach(DROP_ALL);
  }

  /** What one packet looks like, sent by `send`, which says whether it arrived. */
  see(send: () => boolean): SeenPacket | undefined {
    this.#attach(this.#filter);
    const arrived = send();
    const received = this.#addon.receive(this.#fd, this.#memory);
    this.#attach(DROP_ALL);
    if (!arrived || typeof received === "number") return undefined;
    const frame = this.#memory.slice(0, received.length);
    return this.#toSeen(frame, readLinkAddress(received.address), tagOf(received));
  }

  #attach(program: readonly Instruction[]): void {
    const answer = this.#addon.attachProgram(this.#fd, SOL_SOCKET, SO_ATTACH_FILTER, encode(program));
    succeed(answer, "setsockopt", "attaching a filter");
  }
}

type VlanFields = ReturnType<typeof vlanFields>;

function tagOf({ control }: Received): VlanFields {
  const message = control.find(({ level, type }) => level === SOL_PACKET && type === PACKET_AUXDATA);
  return vlanFields(message === undefined ? undefined : readAuxiliaryData(message.data));
}

export interface NetworkOracleOptions {
  readonly addon?: Addon;
}

/**
 * The oracle of Ethernet frames: written to a tap, filtered on a packet socket.  "raw" has byte 0 at the MAC header,
 * "dgram" at the network header.  Packets are whole frames; those under 14 bytes are refused.
 *
 * @throws {BpfError} `not-available` without the addon or without CAP_SYS_ADMIN.
 */
export function tapOracle(type: "raw" | "dgram", options: NetworkOracleOptions = {}): NetworkOracle {
  const addon = options.addon ?? loadAddon();
  const network = new PrivateNetwork(addon);
  return closingOnError(network, () => {
    const receiver = network.packetSocket(type);
    const view = new View(addon, network.packetSocket("raw"), ACCEPT_ALL, (frame, { address: _, ...fields }, vlan) => {
      const shift = type === "raw" ? 0 : ETHERNET_HEADER;
      const before = frame.subarray(0, shift);
      const context = { ...fields, ...vlan, before, mac: 0 - shift, network: ETHERNET_HEADER - shift };
      return { bytes: frame.subarray(shift), context: packetContext(context) };
    });
    const ends = { sender: network.tap, receiver, close: () => network.close() };
    const about: ChannelOptions = { name: `tap-${type}`, floor: 0, deviceless: false, whole: false };
    return new NetworkOracle(new Channel(addon, ends, about), view);
  });
}

const UDP_HEADER = 8;
/** Loads PKTTYPE: lo shows each packet twice, leaving and arriving, and only the second is PACKET_HOST (0). */
const ARRIVING: readonly Instruction[] = [
  stmt(CODE.ldw_abs, 0xfffff004),
  { code: CODE.jeq_k, jt: 0, jf: 1, k: 0 },
  stmt(CODE.ret_k, U32_MAX),
  stmt(CODE.ret_k, 0),
];

/**
 * The oracle of UDP datagrams over lo, filtered on the receiving UDP socket, where byte 0 is the UDP header and the
 * first 8 bytes are always kept.  Packets are payloads.  Over IPv4 the sender is not connected and forbids fragments,
 * which makes the IP id 0 and the hash 0; over IPv6 it is connected, which gives a hash that is not 0.
 *
 * @param mark  SO_MARK of the sender, u32.
 * @throws {BpfError} `not-available` without the addon or without CAP_SYS_ADMIN.
 */
export function udpOracle(family: 4 | 6, mark = 0, options: NetworkOracleOptions = {}): NetworkOracle {
  const addon = options.addon ?? loadAddon();
  const network = new PrivateNetwork(addon);
  return closingOnError(network, () => {
    const [host, ipHeader] = family === 4 ? ["127.0.0.1", 20] : ["::1", 40];
    const to = inetAddress(host as string, 4791);
    const receiver = network.udpSocket(host as string, 4791);
    const sender = network.udpSocket(host as string, 4790, mark);
    if (family === 6) succeed(addon.connectSocket(sender, to), "connect", "connecting a UDP socket");
    const front = ETHERNET_HEADER + (ipHeader as number);
    const view = new View(addon, network.packetSocket("raw", "lo"), ARRIVING, (frame, { address: _, ...fields }) => {
      const before = frame.subarray(0, front);
      const context = { ...fields, before, mac: -front, network: ETHERNET_HEADER - front };
      return { bytes: frame.subarray(front), context: packetContext(context) };
    });
    const ends = { sender, receiver, close: () => network.close() };
    const about: ChannelOptions = {
      name: `udp${family}`,
      floor: UDP_HEADER,
      deviceless: false,
      whole: true,
      synchronous: false,
      ...(family === 4 ? { address: to } : {}),
    };
    return new NetworkOracle(new Channel(addon, ends, about), view);
  });
}

function closingOnError<T>(network: PrivateNetwork, make: () => T): T {
  try {
    return make();
  } catch (error) {
    network.close();
    throw error;
  }
}

function packetAt(batch: PacketBatch, i: number): Uint8Array {
  const offset = batch.table[2 * i]!;
  return batch.bytes.subarray(offset, offset + batch.table[2 * i + 1]!);
}

function oneBatch(packet: Uint8Array): PacketBatch {
  return { bytes: packet, table: Uint32Array.of(0, packet.length), count: 1 };
}

function batchOf(packets: readonly Uint8Array[]): PacketBatch {
  const table = new Uint32Array(2 * packets.length);
  const bytes = new Uint8Array(packets.reduce((sum, packet) => sum + packet.length, 0));
  let at = 0;
  for (const [i, packet] of packets.entries()) {
    bytes.set(packet, at);
    table.set([at, packet.length], 2 * i);
    at += packet.length;
  }
  return { bytes, table, count: packets.length };
}
