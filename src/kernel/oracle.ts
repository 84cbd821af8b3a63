/**
 * The kernel as a judge: does it take a program, and which verdict does it give on a packet?
 *
 * Acceptance is asked with the program itself.  A verdict is a u32 that no socket shows in full; see rewrite.ts for how
 * it is seen all the same, and kernel-semantics.md section 6 for what was measured.  Three ways to ask, from cheap to
 * dear:
 *   kept      bytes delivered by the program as it is: min(verdict, LEN)
 *   compare   is the verdict the expected one?  All 32 bits, about one pass over the packets
 *   verdicts  the verdict without an expectation: 32 bits in a few bits a pass
 */
import { BpfError } from "../base/errors.ts";
import { U32_MAX } from "../isa/limits.ts";
import { CODE } from "../isa/opcodes.ts";
import type { Engine, Filter, PacketBatch, VerifiedProgram } from "../program/engine.ts";
import { type Instruction, stmt } from "../program/instruction.ts";
import type { PacketContext } from "../program/packet-context.ts";
import { type Acceptance, Channel, DROPPED } from "./channel.ts";
import { AF_UNIX, SOCK_DGRAM } from "./constants.ts";
import { succeed } from "./errno.ts";
import { type Addon, loadAddon } from "./load.ts";
import { compareProgram, digitProgram, equalityProgram, needsDevice, type RewriteOptions } from "./rewrite.ts";

/** A packet on which the kernel does not agree. */
export interface Mismatch {
  /** Number of the packet in the batch, from 0. */
  readonly packet: number;
  readonly expected: number;
  /** The kernel's verdict; undefined where only the delivered length was seen. */
  readonly verdict: number | undefined;
  /** Bytes that the program as it is delivered, undefined for a drop; only where that is what did not fit. */
  readonly kept?: number | undefined;
}

export interface Comparison {
  /** The kernel's word on the program itself.  When it refuses, nothing was compared. */
  readonly acceptance: Acceptance;
  /** Packets of which all 32 bits were compared. */
  readonly full: number;
  /** Packets of which min(verdict, LEN) was compared: the rewritten program did not fit into the kernel's limits. */
  readonly truncated: number;
  /** Numbers of packets that the kernel did not take, or threw away in front of every filter. */
  readonly unseen: readonly number[];
  readonly mismatches: readonly Mismatch[];
}

/** Verdicts told apart in one pass of compare; each costs two instructions. */
const VERDICTS_A_PASS = 32;

/** Looks at a mismatch again, on a channel that may deliver late. */
const MOST_REPEATS = 3;

/** Accepts every packet whole. */
const ACCEPT_ALL = [stmt(CODE.ret_k, U32_MAX)];

export class KernelOracle {
  readonly #channel: Channel;
  readonly #options: RewriteOptions;

  /** Owns the channel. */
  constructor(channel: Channel) {
    this.#channel = channel;
    this.#options = { floor: channel.floor, deviceless: channel.deviceless };
  }

  /** The channel's name: "unix", "tap" ... */
  get name(): string {
    return this.#channel.name;
  }

  /** Whether a fresh socket takes the program. */
  accepts(program: readonly Instruction[]): Acceptance {
    return this.#channel.attach(program);
  }

  /**
   * Bytes that the receiver got of each packet under the program as it is, -11 (-EAGAIN) for a drop, another -errno for a
   * packet that the kernel did not take.
   *
   * @throws {BpfError} `system` when the kernel refuses the program.
   */
  kept(program: readonly Instruction[], batch: PacketBatch, cpu?: number): Int32Array {
    this.#attach(program);
    return this.#channel.deliver(plain(batch), undefined, cpu);
  }

  /**
   * Compares the kernel's verdicts with `expected`, all 32 bits where the rewritten program fits, and says where they
   * differ.  On a channel that may deliver late a packet differs only when it does so every time.  A program that can end at a device load is run as it is too.  `cpu` is the CPU to run on, for programs
   * that load its number.
   */
  compare(program: readonly Instruction[], batch: PacketBatch, expected: Uint32Array, cpu?: number): Comparison {
    plain(batch);
    let comparison = this.#compareOnce(program, batch, expected, cpu);
    for (let again = 0; again < MOST_REPEATS && !this.#channel.synchronous; again++) {
      if (comparison.mismatches.length === 0) break;
      const { mismatches, ...rest } = this.#compareOnce(program, batch, expected, cpu);
      const found = new Set(mismatches.map(({ packet }) => packet));
      comparison = { ...rest, mismatches: comparison.mismatches.filter(({ packet }) => found.has(packet)) };
    }
    if (comparison.mismatches.length === 0) return comparison;
    return { ...comparison, mismatches: this.#explain(program, batch, comparison.mismatches, cpu) };
  }

  #compareOnce(
    program: readonly Instruction[],
    batch: PacketBatch,
    expected: Uint32Array,
    cpu: number | undefined,
  ): Comparison {
    const acceptance = this.#channel.attach(program);
    if (!acceptance.accepted) return { acceptance, full: 0, truncated: 0, unseen: [], mismatches: [] };
    const mismatches: Mismatch[] = [];
    const { seen, unseen, capacity } = this.#measure(batch);
    // Where IFINDEX and HATYPE end the program with A, the rewritten program only pretends to.
    if (this.#channel.deviceless && program.some(needsDevice)) {
      this.#compareKept(program, batch, seen, capacity, expected, mismatches, cpu);
    }
    let full = 0;
    let truncated = 0;
    for (const pass of planPasses(seen, capacity, expected)) {
      const rewritten =
        pass.verdicts === undefined
          ? equalityProgram(program, pass.equal, this.#options)
          : compareProgram(program, pass.verdicts, this.#options);
      if (!this.#channel.attach(rewritten).accepted) {
        truncated += pass.packets.length;
        this.#compareKept(program, batch, pass.packets, capacity, expected, mismatches, cpu);
        continue;
      }
      full += pass.packets.length;
      const lengths = this.#channel.deliver(batch, pass.packets, cpu);
      for (const [j, packet] of pass.packets.entries()) {
        const length = lengths[j]!;
        const want = expected[packet]! >>> 0;
        if (pass.verdicts === undefined) {
          if ((length !== DROPPED) === (want !== 0)) continue;
        } else {
          const shown = length === DROPPED ? 0 : length === capacity[packet] ? undefined : pass.verdicts[length - 1];
          if (shown === want) continue;
        }
        mismatches.push({ packet, expected: want, verdict: undefined });
      }
    }
    return { acceptance, full, truncated, unseen, mismatches };
  }

  /**
   * The kernel's verdict on every packet, found without an expectation.  A packet that the kernel does not take has
   * verdict 0.  Takes 32 / floor(log2(bytes + 1)) passes over the packets.
   *
   * @throws {BpfError} `system` when the kernel refuses the program or its rewritten form.
   */
  verdicts(program: readonly Instruction[], batch: PacketBatch, cpu?: number): Uint32Array {
    plain(batch);
    const out = new Uint32Array(batch.count);
    const { seen, capacity } = this.#measure(batch);
    const byBits = new Map<number, number[]>();
    for (const packet of seen) {
      const bits = Math.max(1, Math.min(16, Math.floor(Math.log2(capacity[packet]! + 1))));
      byBits.get(bits)?.push(packet) ?? byBits.set(bits, [packet]);
    }
    for (const [bits, packets] of byBits) {
      for (let shift = 0; shift < 32; shift += bits) {
        this.#attach(digitProgram(program, shift, Math.min(bits, 32 - shift), this.#options));
        const lengths = this.#channel.deliver(batch, packets, cpu);
        for (const [j, packet] of packets.entries()) {
          const digit = lengths[j] === DROPPED ? 0 : bits === 1 ? 1 : lengths[j]!;
          out[packet] = (out[packet]! | (digit << shift)) >>> 0;
        }
      }
    }
    return out;
  }

  /**
   * The oracle as an engine: verdicts in read mode.  It knows no context but the channel's own.
   *
   * `load` throws {@link BpfError} `extension` for a program with extensions and `system` for one that the kernel
   * refuses; `run` throws `unsupported` for a length on the wire that is not the packet's.
   */
  engine(): Engine {
    return { name: `kernel-${this.name}`, load: (program) => this.#filter(program) };
  }

  close(): void {
    this.#channel.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #filter(program: VerifiedProgram): Filter {
    if (program.isa.extensions.size > 0 || program.isa.ancillaryExtensions.size > 0) {
      throw new BpfError("extension", "the kernel knows no instruction set with extensions");
    }
    this.#attach(program.instructions);
    const runBatch = (batch: PacketBatch, verdicts?: Uint32Array): number => {
      const found = this.verdicts(program.instructions, batch);
      verdicts?.set(found);
      return found.reduce((matched, verdict) => matched + (verdict === 0 ? 0 : 1), 0);
    };
    const run = (packet: Uint8Array, context?: PacketContext): number => {
      const lengths = context?.length === undefined ? {} : { lengths: Uint32Array.of(context.length) };
      const table = Uint32Array.of(0, packet.length);
      return this.verdicts(program.instructions, { bytes: packet, table, count: 1, ...lengths })[0]!;
    };
    return { tier: "kernel", run, runBatch };
  }

  #attach(program: readonly Instruction[]): void {
    const acceptance = this.#channel.attach(program);
    if (acceptance.accepted) return;
    throw new BpfError("system", `the kernel refuses the program: setsockopt ${acceptance.errno}`, {
      errnoName: acceptance.errno,
      syscall: "setsockopt",
    });
  }

  /** The most bytes that a receiver can see of each packet, and which packets it can see at all. */
  #measure(batch: PacketBatch): { seen: number[]; unseen: number[]; capacity: Int32Array } {
    const capacity = new Int32Array(batch.count);
    if (this.#channel.whole) {
      for (let i = 0; i < batch.count; i++) capacity[i] = batch.table[2 * i + 1]!;
    } else {
      this.#attach(ACCEPT_ALL);
      capacity.set(this.#channel.deliver(batch));
    }
    const seen: number[] = [];
    const unseen: number[] = [];
    for (let i = 0; i < batch.count; i++) (capacity[i]! < 0 ? unseen : seen).push(i);
    return { seen, unseen, capacity };
  }

  /** Compares the lengths that the program as it is delivers of some packets. */
  #compareKept(
    program: readonly Instruction[],
    batch: PacketBatch,
    packets: readonly number[],
    capacity: Int32Array,
    expected: Uint32Array,
    mismatches: Mismatch[],
    cpu: number | undefined,
  ): void {
    this.#attach(program);
    const lengths = this.#channel.deliver(batch, packets, cpu);
    for (const [j, packet] of packets.entries()) {
      const verdict = expected[packet]! >>> 0;
      const want = verdict === 0 ? DROPPED : Math.min(capacity[packet]!, Math.max(0, verdict - this.#channel.floor));
      const kept = lengths[j]!;
      if (kept === want) continue;
      mismatches.push({ packet, expected: verdict, verdict: undefined, kept: kept < 0 ? undefined : kept });
    }
  }

  /** Each mismatch with the kernel's verdict where read mode can tell it. */
  #explain(
    program: readonly Instruction[],
    batch: PacketBatch,
    mismatches: readonly Mismatch[],
    cpu: number | undefined,
  ): Mismatch[] {
    return mismatches.map((mismatch) => {
      const { packet } = mismatch;
      const table = batch.table.slice(2 * packet, 2 * packet + 2);
      try {
        const verdict = this.verdicts(program, { bytes: batch.bytes, table, count: 1 }, cpu)[0];
        return { ...mismatch, verdict };
      } catch {
        return mismatch; // the rewritten program does not fit: the length is all there is
      }
    });
  }
}

/** One pass: packets that share a rewritten program.  Without `verdicts` it tests `equal` alone. */
interface Pass {
  readonly packets: readonly number[];
  readonly verdicts?: readonly number[];
  readonly equal: number;
}

/**
 * Shares packets out to passes: those long enough to name one of all the expected verdicts go together, up to
 * {@link VERDICTS_A_PASS} different verdicts at a time; a shorter packet is asked for its own verdict alone.
 */
function planPasses(seen: readonly number[], capacity: Int32Array, expected: Uint32Array): Pass[] {
  const passes: Pass[] = [];
  const short = new Map<number, number[]>();
  let rest = seen;
  while (rest.length > 0) {
    const verdicts = new Set<number>();
    for (const packet of rest) {
      if (verdicts.size === VERDICTS_A_PASS) break;
      if (expected[packet] !== 0) verdicts.add(expected[packet]! >>> 0);
    }
    const together: number[] = [];
    const later: number[] = [];
    for (const packet of rest) {
      const verdict = expected[packet]! >>> 0;
      if (capacity[packet]! <= verdicts.size) {
        short.get(verdict)?.push(packet) ?? short.set(verdict, [packet]);
      } else if (verdict === 0 || verdicts.has(verdict)) together.push(packet);
      else later.push(packet);
    }
    if (together.length > 0) passes.push({ packets: together, verdicts: [...verdicts], equal: 0 });
    rest = later;
  }
  for (const [equal, packets] of short) passes.push({ packets, equal });
  return passes;
}

/** A batch that says nothing the kernel cannot be told. */
function plain(batch: PacketBatch): PacketBatch {
  for (let i = 0; i < batch.count; i++) {
    if (batch.lengths !== undefined && batch.lengths[i] !== batch.table[2 * i + 1]) {
      throw new BpfError("unsupported", `packet ${i}: the kernel takes LEN from the packet, which cannot be cut`);
    }
  }
  return batch;
}

/**
 * The oracle that needs no privilege: a pair of unix datagram sockets, the filter on the receiving end.
 *
 * Byte 0 and LEN are the packet's, 0..212,960 bytes.  There is no device and no MAC header: NET loads count from byte 0,
 * LL loads fail, PROTOCOL, PKTTYPE, MARK, QUEUE, RXHASH, PAY_OFFSET and the VLAN fields are 0, and a packet above 16,064
 * bytes is not linear.
 *
 * @throws {BpfError} `not-available` without the addon; `system` when the kernel gives no sockets.
 */
export function unixOracle(addon: Addon = loadAddon()): KernelOracle {
  const ends = succeed(addon.openPair(AF_UNIX, SOCK_DGRAM), "socketpair", "opening a unix datagram pair");
  const [sender, receiver] = ends as readonly [number, number];
  const close = (): void => {
    addon.closeFd(sender);
    addon.closeFd(receiver);
  };
  const options = { name: "unix", floor: 0, deviceless: true, whole: true };
  return new KernelOracle(new Channel(addon, { sender, receiver, close }, options));
}
