/**
 * What the two 32-bit timestamp words of a packet mean, in nanoseconds since 1970-01-01 00:00 UTC.
 *
 * A pcap file counts seconds in the first word and micro- or nanoseconds in the second.  A pcapng file has one 64-bit
 * count of units that each interface chooses: if_tsresol n is 10^-n seconds, or 2^-(n & 0x7f) with the top bit set.
 */

/** Nanoseconds for the two words, high word first. */
export type Clock = (high: number, low: number) => bigint;

const NANOSECONDS = 1_000_000_000n;

/** The largest exponents whose units a u64 still counts in whole seconds, as libpcap has it. */
const FINEST = { decimal: 19, binary: 63 } as const;

/** Seconds and microseconds.  Seconds are unsigned: they end in 2106, not in 2038. */
export const microseconds: Clock = (seconds, fraction) => BigInt(seconds) * NANOSECONDS + BigInt(fraction) * 1000n;

/** Seconds and nanoseconds. */
export const nanoseconds: Clock = (seconds, fraction) => BigInt(seconds) * NANOSECONDS + BigInt(fraction);

/** Undefined when an if_tsresol byte can be used; else why not. */
export function refuseResolution(resolution: number): string | undefined {
  const exponent = resolution & 0x7f;
  const [base, finest] = resolution & 0x80 ? [2, FINEST.binary] : [10, FINEST.decimal];
  return exponent > finest
    ? `timestamp resolution ${base}^-${exponent} is finer than ${base}^-${finest}, the finest that is read`
    : undefined;
}

/** Units in a second for an if_tsresol byte. */
export function unitsPerSecond(resolution: number): bigint {
  return resolution & 0x80 ? 1n << BigInt(resolution & 0x7f) : 10n ** BigInt(resolution);
}

/**
 * The clock of a pcapng interface.  What is finer than a nanosecond is cut off.
 *
 * @param resolution  The if_tsresol byte; 6, microseconds, when the interface has none.
 * @param offset      if_tsoffset: seconds to add, signed.
 */
export function unitClock(resolution: number, offset: bigint): Clock {
  const units = unitsPerSecond(resolution);
  const start = offset * NANOSECONDS;
  return (high, low) => (((BigInt(high) << 32n) | BigInt(low)) * NANOSECONDS) / units + start;
}
