/**
 * A context that users hold: one packet and what is known about it, reusable for any number of packets.
 *
 * `setPacket` puts in a packet, `reset` empties the context; neither allocates.  Subclasses add fields of their own,
 * clear them in `reset`, and read them in registered instructions and ancillary handlers.
 */
import { BpfError } from "../base/errors.ts";
import { NO_CONTEXT, type PacketContext, randomU32 } from "../program/packet-context.ts";

/** The fields of a context that a user may set by name. */
export type ContextFields = Partial<Omit<PacketContext, "random">> & { random?: () => number };

const NOTHING = NO_CONTEXT.before;

/**
 * @example
 * ```ts
 * import { Context, Program } from "cbpf";
 * const program = Program.parse("ld proto\njeq #0x800, yes, no\nyes: ret #-1\nno: ret #0");
 * const context = new Context();
 * context.setPacket(new Uint8Array(60));
 * context.protocol = 0x800;
 * console.log(program.matches(context)); // true
 * ```
 */
export class Context implements PacketContext {
  /** The captured bytes: the array given to {@link setPacket}, not a copy. */
  packet: Uint8Array = NOTHING;
  length: number | undefined = undefined;
  before: Uint8Array = NOTHING;
  network = 0;
  mac: number | undefined = undefined;
  linear = true;
  protocol = 0;
  pktType = 0;
  ifindex = 0;
  hatype = 0;
  mark = 0;
  queue = 0;
  rxhash = 0;
  cpu = 0;
  vlanTag = 0;
  vlanPresent = 0;
  vlanTpid = 0;
  /** Where SKF_AD_RANDOM gets its bits; survives {@link reset}. */
  randomSource: () => number = randomU32;

  constructor(fields: ContextFields = {}) {
    this.set(fields);
  }

  random(): number {
    return this.randomSource();
  }

  /**
   * Puts in the next packet, without copying it.  Everything else stays as it is: call {@link reset} first when the
   * fields belong to one packet.
   *
   * @param length  Bytes on the wire, when more than were captured.
   * @throws {BpfError} `bad-argument` when `packet` is no Uint8Array or `length` no u32.
   */
  setPacket(packet: Uint8Array, length?: number): this {
    if (!(packet instanceof Uint8Array)) throw bad("the packet is no Uint8Array");
    if (length !== undefined && (!Number.isInteger(length) || length < 0 || length > 0xffffffff)) {
      throw bad(`length ${length} is outside 0..0xffffffff`);
    }
    this.packet = packet;
    this.length = length;
    return this;
  }

  /** Sets fields by name. */
  set(fields: ContextFields): this {
    const { random, ...rest } = fields;
    if (random !== undefined) this.randomSource = random;
    Object.assign(this, rest);
    return this;
  }

  /** Empties the context: no packet, nothing known about it. */
  reset(): void {
    this.packet = NOTHING;
    this.length = undefined;
    this.before = NOTHING;
    this.network = 0;
    this.mac = undefined;
    this.linear = true;
    this.protocol = 0;
    this.pktType = 0;
    this.ifindex = 0;
    this.hatype = 0;
    this.mark = 0;
    this.queue = 0;
    this.rxhash = 0;
    this.cpu = 0;
    this.vlanTag = 0;
    this.vlanPresent = 0;
    this.vlanTpid = 0;
  }
}

function bad(message: string): BpfError {
  return new BpfError("bad-argument", message);
}
