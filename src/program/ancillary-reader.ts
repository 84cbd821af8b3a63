/**
 * The values behind the kernel's ancillary loads, for every user-space engine.
 *
 * The table in isa/ancillary.ts says where a value comes from; this file fetches it.
 */
import { ANCILLARY, type AncillaryRow } from "../isa/ancillary.ts";
import { FlowDissector } from "./flow-dissector.ts";
import { nlattr, nlattrNest } from "./nlattr.ts";
import type { PacketContext } from "./packet-context.ts";

/** Reads ancillary values for one loaded program; allocates nothing per packet. */
export class AncillaryReader {
  readonly #dissector = new FlowDissector();

  /**
   * The value of `ANCILLARY[row]`, u32, for registers A and X.  The bytes are `packet[start..start + length)`.
   *
   * A device value (IFINDEX, HATYPE) without a device is the engine's business: see {@link endsProgram}.
   */
  read(
    row: number,
    packet: Uint8Array,
    start: number,
    length: number,
    context: PacketContext,
    a: number,
    x: number,
  ): number {
    const { does } = ANCILLARY[row]!;
    switch (does.kind) {
      case "field":
      case "device":
        return context[does.field] >>> 0;
      case "xor-x":
        return (a ^ x) >>> 0;
      case "random":
        return context.random() >>> 0;
      case "pay-offset":
        return this.#dissector.payOffset(packet, start, length, context);
      case "nlattr":
        return nlattr(packet, start, length, context, a >>> 0, x >>> 0);
      case "nlattr-nest":
        return nlattrNest(packet, start, length, context, a >>> 0, x >>> 0);
    }
  }
}

/** True when a load of this row ends the program with verdict A: a device value, and the packet has no device. */
export function endsProgram(row: AncillaryRow, context: PacketContext): boolean {
  return row.does.kind === "device" && context.ifindex === 0;
}
