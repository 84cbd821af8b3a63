/**
 * What a filter on an AF_UNIX datagram socket can know of a packet.
 *
 * There is no device, no MAC header and no metadata; byte 0 is the first payload byte, and NET loads count from it.  Packets
 * above 16,064 bytes are not linear.  Measured on Linux 6.18.
 */
import { NO_CONTEXT } from "../program/packet-context.ts";
import type { ContextFields } from "./packet-text.ts";
import type { Sample, SkipReason } from "./trial.ts";

/** Above this many bytes a unix datagram is held in pages: NLATTR loads give 0. */
export const UNIX_LINEAR_MAX = 16064;
/** Largest datagram under the default net.core.wmem_default, in bytes. */
const UNIX_PACKET_MAX = 212_960;

const NO_FIELDS: ContextFields = Object.freeze({});

/** The context of a packet on an AF_UNIX datagram socket. */
export function unixContext(packet: Uint8Array, cpu = 0): ContextFields {
  if (packet.length <= UNIX_LINEAR_MAX) return cpu === 0 ? NO_FIELDS : { cpu };
  return cpu === 0 ? { linear: false } : { linear: false, cpu };
}

/** Why such a socket can not show a sample, or undefined when it can. */
export function beyondUnix({ packet, context }: Sample): SkipReason | undefined {
  if (packet.length > UNIX_PACKET_MAX) return "larger than a unix datagram";
  const { length = packet.length, linear = true, before, random, cpu: _cpu, ...rest } = context;
  if (random !== undefined) return "random numbers can not be chosen";
  if (length !== packet.length) return "the kernel has every byte of a packet";
  if (linear !== packet.length <= UNIX_LINEAR_MAX) return "the kernel decides what is linear";
  if (before !== undefined && before.length > 0) return OTHER_CONTEXT;
  for (const [field, value] of Object.entries(rest)) {
    if (value !== undefined && value !== NO_CONTEXT[field as keyof typeof rest]) return OTHER_CONTEXT;
  }
  return undefined;
}

const OTHER_CONTEXT: SkipReason = "context of another attach point";
