/**
 * Capturing: the packets of an interface that pass a filter in the kernel, in batches, as an async iterable.
 *
 * Two ways lead here.  "ring": the kernel writes packets into memory that JavaScript reads in place; made for rate, a
 * packet waits up to `timeout` until its block is handed over.  "receive": recvmmsg() copies what waits; made for
 * latency, and for runtimes that forbid external ArrayBuffers (Electron).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { BpfError } from "../base/errors.ts";
import { compileFilter } from "../filter/compile.ts";
import { U32_MAX } from "../isa/limits.ts";
import { CODE } from "../isa/opcodes.ts";
import { optimize } from "../optimize/optimize.ts";
import { type Instruction, stmt } from "../program/instruction.ts";
import { attachProgram, type FilterProgram, getFilter, intOption, plainInstructions } from "./attach.ts";
import { type BlockSource, ReceiveSource, RingSource } from "./block-source.ts";
import {
  AF_INET,
  AF_PACKET,
  ETH_P_ALL,
  PACKET_AUXDATA,
  PACKET_STATISTICS,
  SO_ATTACH_FILTER,
  SO_ERROR,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_TIMESTAMPNS,
  SOCK_DGRAM,
  SOCK_RAW,
  SOL_PACKET,
  SOL_SOCKET,
} from "./constants.ts";
import { ERRNO, succeed, systemError } from "./errno.ts";
import { type Block, LiveBatch } from "./live-batch.ts";
import type { Addon } from "./load.ts";
import { DROP_ALL, type OpenOptions, openSocket, setInt } from "./open.ts";
import { checkFanout, type FanoutOptions, interfaceNamed, placeSocket } from "./packet-socket.ts";
import { Readiness } from "./readiness.ts";
import { hostU32 } from "./sockaddr.ts";
import type { SocketHolder } from "./target.ts";

export type CaptureMode = "ring" | "receive";

export interface CaptureOptions extends Omit<OpenOptions, "receiveBuffer" | "filter"> {
  /** Interface name. */
  readonly interface: string;
  /** The filter, in force before the first packet: a program, or a pcap-filter(7) expression. */
  readonly filter?: FilterProgram | string;
  /** "ring" (default) or "receive"; a ring that the runtime forbids becomes "receive". */
  readonly mode?: CaptureMode;
  /** Bytes kept of a packet at most, 1..262144 (the default). */
  readonly snaplen?: number;
  /**
   * Outer VLAN tags, which the kernel takes out before any filter runs: "metadata" (default) leaves them out of the
   * bytes, as the filter saw the packet; "restore" puts them back, as files have them.  Only on Ethernet.
   */
  readonly vlan?: "metadata" | "restore";
  /** Puts the interface into promiscuous mode meanwhile.  Default false. */
  readonly promiscuous?: boolean;
  /** Leaves out packets that this machine sends.  Default false. */
  readonly ignoreOutgoing?: boolean;
  /** Shares the packets out among the captures and packet sockets of a group. */
  readonly fanout?: FanoutOptions;
  /** Bytes of kernel memory for waiting packets, 8192..2^32-1; default 16 MiB. */
  readonly bufferSize?: number;
  /** Ring: bytes of a block, whole pages, at most half of `bufferSize`; default 512 KiB. */
  readonly blockSize?: number;
  /** Ring: milliseconds after which a block that holds packets is handed over though it is not full; default 10. */
  readonly timeout?: number;
  /** Ends the capture: iterating then throws the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Numbers since the capture began. */
export interface CaptureStatistics {
  /** Packets that passed the filter.  What a packet socket's filter drops the kernel counts nowhere. */
  readonly received: number;
  /** Of these, lost because there was no room. */
  readonly dropped: number;
  /** Ring: how often the kernel found every block in use. */
  readonly freezes: number;
}

const MAXIMUM_SNAPLEN = 262_144;
const DEFAULT_BUFFER = 16 << 20;
const DEFAULT_BLOCK = 512 << 10;
const DEFAULT_TIMEOUT = 10;
const PAGE = 4096;
/** Batches handed out in a row before the event loop gets a turn. */
const BATCHES_A_TURN = 16;

/** ARPHRD_* of devices and the LINKTYPE_* of what a raw packet socket shows of them (linux/if_arp.h). */
const LINKTYPE_OF_DEVICE: ReadonlyMap<number, number> = new Map([
  [1, 1], // ARPHRD_ETHER
  [772, 1], // ARPHRD_LOOPBACK: Ethernet headers of zeros
  [512, 9], // ARPHRD_PPP
  [768, 101], // ARPHRD_TUNNEL and the others below begin at the IP header
  [769, 101], // ARPHRD_TUNNEL6
  [776, 101], // ARPHRD_SIT
  [65534, 101], // ARPHRD_NONE: tun
  [803, 127], // ARPHRD_IEEE80211_RADIOTAP
]);
const EN10MB = 1;

/** A running capture; {@link capture} opens one. */
export class LiveCapture implements AsyncIterable<LiveBatch>, SocketHolder {
  readonly interface: string;
  readonly mode: CaptureMode;
  /** LINKTYPE_* number of the packets; undefined for devices that have none here. */
  readonly linktype: number | undefined;
  readonly #addon: Addon;
  readonly #netns: number | undefined;
  readonly #source: BlockSource;
  readonly #batch: LiveBatch;
  readonly #readiness: Readiness;
  /** Milliseconds that a packet may wait in its block. */
  readonly #timeout: number;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.close();
  #fd: number;
  #inNext = false;
  /** Batches since the event loop had its last turn. */
  #batches = 0;
  /** Packets that came out of the source, skipped ones included. */
  #walked = 0;
  /** Packets to skip: they passed a filter that was replaced. */
  #skip = 0;
  #replacing: Promise<unknown> | undefined;
  /** What ended the capture; thrown when every packet that came before was handed out. */
  #failure: unknown;
  /** The kernel's end of the socket, once closed. */
  #gone: Promise<void> | undefined;
  #statistics = { received: 0, dropped: 0, freezes: 0 };

  /** Owns the descriptor and the source. */
  constructor(addon: Addon, fd: number, source: BlockSource, options: CaptureOptions, about: CaptureAbout) {
    this.#addon = addon;
    this.#fd = fd;
    this.#source = source;
    this.#netns = options.netns;
    this.#signal = options.signal;
    this.#timeout = about.mode === "ring" ? (options.timeout ?? DEFAULT_TIMEOUT) : 0;
    this.#readiness = new Readiness(addon, fd);
    this.interface = options.interface;
    this.mode = about.mode;
    this.linktype = about.linktype;
    const restoreVlan = options.vlan === "restore" && about.linktype === EN10MB;
    this.#batch = new LiveBatch({ snaplen: options.snaplen ?? MAXIMUM_SNAPLEN, restoreVlan });
    this.#signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** The descriptor; -1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * Batches of at least one packet, as they come.  Leaving the loop closes the capture.
   *
   * @throws The signal's reason when it was aborted; {@link BpfError} `system` for the socket's own errors (ENETDOWN
   *   when the interface goes down), after every packet that came before.
   */
  [Symbol.asyncIterator](): AsyncIterator<LiveBatch, undefined> {
    return {
      next: async () => {
        const batch = await this.next();
        return batch === undefined ? { done: true, value: undefined } : { done: false, value: batch };
      },
      return: async () => {
        this.close();
        return { done: true, value: undefined };
      },
    };
  }

  /**
   * The next batch, or undefined once closed.  It is the same object each time, and what it showed before is gone: see
   * {@link LiveBatch}.
   *
   * @throws As iterating; {@link BpfError} `bad-argument` while another call waits.
   */
  async next(): Promise<LiveBatch | undefined> {
    if (this.#inNext) throw new BpfError("bad-argument", "somebody waits for this capture's next batch already");
    this.#inNext = true;
    try {
      return await this.#advance();
    } finally {
      this.#inNext = false;
    }
  }

  async #advance(): Promise<LiveBatch | undefined> {
    this.#batch.clear();
    if (this.#fd >= 0) this.#source.release();
    if (++this.#batches >= BATCHES_A_TURN) await this.#turn();
    for (;;) {
      while (this.#replacing !== undefined) await this.#replacing;
      this.#signal?.throwIfAborted();
      if (this.#fd < 0) return undefined;
      const block = this.#take();
      if (block !== undefined) {
        if (this.#show(block)) return this.#batch;
        this.#source.release();
        continue;
      }
      if (this.#failure !== undefined) throw this.#failure;
      this.#batches = 0;
      try {
        await this.#readiness.wait();
      } catch (error) {
        this.#failure = this.#socketError(error);
        // Packets that came before lie in a block that the kernel hands over within two of its timeouts.
        await sleep(3 * this.#timeout);
      }
    }
  }

  /** The next block; an error is kept until the packets behind it are out. */
  #take(): Block | undefined {
    try {
      return this.#source.take();
    } catch (error) {
      if (this.#failure !== undefined) throw this.#failure;
      this.#failure = error;
      return this.#source.take();
    }
  }

  /** Shows a block's packets, but for those to be skipped; false when none is left. */
  #show(block: Block): boolean {
    const total = this.#batch.load(block, this.#skip);
    this.#walked += total;
    this.#skip = Math.max(0, this.#skip - total);
    return this.#batch.count > 0;
  }

  /** Lets timers and other sockets have their turn. */
  async #turn(): Promise<void> {
    this.#batches = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** What the socket itself says: polling calls every error EBADF. */
  #socketError(error: unknown): unknown {
    const errno = intOption(this.#addon, this.#fd, SO_ERROR) ?? 0;
    return errno === 0 ? error : systemError(-errno, "recvmsg", `capturing on ${this.interface}`);
  }

  /**
   * Puts another filter in the place of the one in force.  From the call on, no packet is handed out that only the old
   * filter let through.  While it runs, for some milliseconds, packets are lost: the kernel drops all of them until none
   * is under way through the old filter, and those that wait are thrown away.
   *
   * @throws {BpfError} As `attachFilter`; the old filter is then still in force and nothing was lost.
   */
  replaceFilter(filter: FilterProgram | string): Promise<void> {
    const program = typeof filter === "string" ? compiledFor(this.linktype, filter) : filter;
    const before = this.#replacing ?? Promise.resolve();
    const replacing = before.then(() => this.#replace(program));
    const settled = replacing.then(
      () => {},
      () => {},
    );
    this.#replacing = settled;
    settled.then(() => {
      if (this.#replacing === settled) this.#replacing = undefined;
    });
    return replacing;
  }

  async #replace(program: FilterProgram): Promise<void> {
    const instructions = plainInstructions(program);
    const addon = this.#addon;
    const old = getFilter(this, { addon });
    // A packet socket of its own tells whether the kernel takes the program, and closing it waits until no packet is
    // on its way through a socket's old filter: packet_release() calls synchronize_net().
    const answer = addon.openSocket(AF_PACKET, SOCK_RAW, 0, this.#netns);
    const probe = succeed(answer, "socket", "opening a packet socket");
    try {
      attachProgram(addon, probe, SOL_SOCKET, SO_ATTACH_FILTER, instructions);
      this.#attach(DROP_ALL);
    } catch (error) {
      addon.closeFd(probe);
      throw error;
    }
    await new Promise<void>((resolve) => {
      succeed(addon.closeOnThread(probe, resolve), "close", "waiting for packets under way");
    });
    if (this.#fd < 0) return;
    const { received, dropped } = this.statistics();
    this.#skip = received - dropped - this.#walked;
    try {
      this.#attach(instructions);
    } catch (error) {
      this.#attach(old ?? ACCEPT_ALL);
      throw error;
    }
  }

  #attach(program: readonly Instruction[]): void {
    attachProgram(this.#addon, this.#fd, SOL_SOCKET, SO_ATTACH_FILTER, program);
  }

  /** Numbers since the capture began; after closing, those at its end. */
  statistics(): CaptureStatistics {
    if (this.#fd >= 0) {
      const answer = this.#addon.getOption(this.#fd, SOL_PACKET, PACKET_STATISTICS, this.mode === "ring" ? 12 : 8);
      const bytes = succeed(answer, "getsockopt", "reading statistics") as Uint8Array;
      // The kernel counts from the last reading on.
      const { received, dropped, freezes } = this.#statistics;
      this.#statistics = {
        received: received + hostU32(bytes, 0),
        dropped: dropped + hostU32(bytes, 4),
        freezes: freezes + (bytes.length >= 12 ? hostU32(bytes, 8) : 0),
      };
    }
    return this.#statistics;
  }

  /** Lets waiting for packets keep the process alive; the default. */
  ref(): this {
    this.#readiness.keepAlive(true);
    return this;
  }

  /** Lets the process end though somebody waits for packets. */
  unref(): this {
    this.#readiness.keepAlive(false);
    return this;
  }

  /**
   * Ends the capture and frees its memory; whoever waits gets the end.  Views of a ring have length 0 afterwards.
   * Closing twice does nothing.  The kernel takes some milliseconds to let go of the socket, which `asyncDispose` awaits.
   */
  close(): void {
    if (this.#fd < 0) return;
    this.statistics();
    this.#batch.clear();
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#readiness.close();
    this.#source.close();
    const fd = this.#fd;
    this.#fd = -1;
    this.#gone = new Promise((resolve) => {
      if (this.#addon.closeOnThread(fd, resolve) >= 0) return;
      this.#addon.closeFd(fd); // no memory for a task: then here and now
      resolve();
    });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.#gone;
  }
}

const ACCEPT_ALL = [stmt(CODE.ret_k, U32_MAX)];

interface CaptureAbout {
  readonly mode: CaptureMode;
  readonly linktype: number | undefined;
}

/**
 * Starts capturing on an interface; no packet that the filter would drop is ever handed out.  Needs CAP_NET_RAW.
 *
 * @throws {BpfError} `system` with EPERM without CAP_NET_RAW, ENODEV for an unknown interface, ENOMEM for a ring that
 *   the kernel has no memory for, EINVAL with the broken rules; `bad-argument`, `extension`, `not-available`; the
 *   signal's reason when it is aborted already.
 */
export function capture(options: CaptureOptions): LiveCapture {
  const { mode = "ring" } = options;
  options.signal?.throwIfAborted();
  checkOptions(options);
  const { filter, ...rest } = options;
  const program =
    typeof filter === "string" ? compiledFor(interfaceLinktype(options.interface, options), filter) : filter;
  const openable: OpenableOptions = { ...rest, ...(program === undefined ? {} : { filter: program }) };
  const opened = open(openable, mode);
  if (opened !== undefined) return opened;
  return open(openable, "receive")!; // external memory is forbidden: the socket, which is a ring by now, was closed
}

/**
 * LINKTYPE_* number of what a capture on an interface sees, for which a filter expression is to be compiled (with
 * `live: true`); undefined for devices that have none here.
 *
 * @throws {BpfError} `system` with ENODEV for an unknown interface; `not-available`.
 */
export function interfaceLinktype(
  name: string,
  options: Pick<OpenOptions, "netns" | "addon"> = {},
): number | undefined {
  const { netns, addon: given } = options;
  const where = { ...(netns === undefined ? {} : { netns }), ...(given === undefined ? {} : { addon: given }) };
  return openSocket(where, [AF_INET, SOCK_DGRAM, 0], "opening a socket", (addon, fd) => {
    const { hatype } = interfaceNamed(addon, fd, name);
    addon.closeFd(fd);
    return LINKTYPE_OF_DEVICE.get(hatype);
  });
}

/** The program of an expression for packets as a socket sees them: VLAN tags and directions beside the bytes. */
function compiledFor(linktype: number | undefined, expression: string): FilterProgram {
  if (linktype === undefined) {
    throw new BpfError("unsupported", "this device has no link type that an expression could be compiled for");
  }
  return compileFilter(expression, { linktype, live: true, optimize: (list, spans) => optimize(list, { spans }) });
}

/** Options with the filter as a program. */
type OpenableOptions = Omit<CaptureOptions, "filter"> & Pick<OpenOptions, "filter">;

/** Undefined when the runtime forbids the memory of a ring. */
function open(options: OpenableOptions, mode: CaptureMode): LiveCapture | undefined {
  const { snaplen = MAXIMUM_SNAPLEN, bufferSize = DEFAULT_BUFFER } = options;
  const { receiveBuffer: _, ...rest } = options as CaptureOptions & OpenOptions;
  return openSocket(rest, [AF_PACKET, SOCK_RAW, 0], "opening a packet socket", (addon, fd) => {
    const { index, hatype } = interfaceNamed(addon, fd, options.interface);
    let source: BlockSource;
    if (mode === "ring") {
      const blockSize = options.blockSize ?? defaultBlock(bufferSize);
      const timeout = options.timeout ?? DEFAULT_TIMEOUT;
      const ring = addon.ringOpen(fd, blockSize, Math.floor(bufferSize / blockSize), timeout);
      if (ring === -ERRNO.ENOTSUP) {
        addon.closeFd(fd);
        return undefined;
      }
      const context = `opening a ring of ${bufferSize} bytes`;
      source = new RingSource(addon, succeed(ring, "setsockopt", context) as ArrayBuffer, blockSize);
    } else {
      setInt(addon, fd, SOL_PACKET, PACKET_AUXDATA, 1);
      setInt(addon, fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
      // FORCE needs CAP_NET_ADMIN; without it, SO_RCVBUF as far as net.core.rmem_max goes.
      const half = Math.min(bufferSize >>> 1, 0x3fffffff);
      if (addon.setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, half) < 0) setInt(addon, fd, SOL_SOCKET, SO_RCVBUF, half);
      source = new ReceiveSource(addon, fd, snaplen);
    }
    try {
      placeSocket(addon, fd, options, ETH_P_ALL, index);
    } catch (error) {
      source.close();
      throw error;
    }
    return new LiveCapture(addon, fd, source, options, { mode, linktype: LINKTYPE_OF_DEVICE.get(hatype) });
  });
}

function defaultBlock(bufferSize: number): number {
  const half = Math.floor(bufferSize / 2 / PAGE) * PAGE;
  return Math.min(DEFAULT_BLOCK, half);
}

function checkOptions(options: CaptureOptions): void {
  const { mode = "ring", vlan = "metadata", fanout, bufferSize = DEFAULT_BUFFER } = options;
  if (mode !== "ring" && mode !== "receive") {
    throw new BpfError("bad-argument", `capture mode ${JSON.stringify(mode)} is neither "ring" nor "receive"`);
  }
  if (vlan !== "metadata" && vlan !== "restore") {
    throw new BpfError("bad-argument", `vlan ${JSON.stringify(vlan)} is neither "metadata" nor "restore"`);
  }
  range("snaplen", options.snaplen, 1, MAXIMUM_SNAPLEN);
  range("timeout", options.timeout, 1, 60_000);
  range("bufferSize", options.bufferSize, 2 * PAGE, U32_MAX);
  range("blockSize", options.blockSize, PAGE, Math.min(2 ** 30, Math.floor(bufferSize / 2)));
  if (options.blockSize !== undefined && options.blockSize % PAGE !== 0) {
    throw new BpfError("bad-argument", `blockSize ${options.blockSize} is no multiple of ${PAGE}`);
  }
  if (fanout !== undefined) checkFanout(fanout);
}

function range(what: string, value: number | undefined, low: number, high: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= low && value <= high)) return;
  throw new BpfError("bad-argument", `${what} ${value} is no whole number in ${low}..${high}`);
}
