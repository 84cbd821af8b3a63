/**
 * Addresses as a filter expression spells them, turned into numbers and bytes.
 *
 * Octets of IPv4 addresses are decimal whatever their leading zeros; fewer than four of them are a prefix.
 * IPv6: RFC 4291 section 2.2, with a trailing dotted quad, without zone.
 */

/** Up to four octets, left-aligned in `bits` of a u32 that is not yet shifted. */
export interface ShortAddress {
  /** The octets as one number, the last octet lowest. */
  readonly value: number;
  /** 8 bits for each octet given. */
  readonly bits: number;
}

/** `10`, `192.168` or `1.2.3.4`; undefined when an octet is no decimal number up to 255, or there are more than four. */
export function parseIPv4(text: string): ShortAddress | undefined {
  const octets = text.split(".");
  if (octets.length > 4 || !octets.every((octet) => /^\d+$/.test(octet) && Number(octet) <= 255)) return undefined;
  return { value: octets.reduce((sum, octet) => sum * 256 + Number(octet), 0), bits: 8 * octets.length };
}

/** A DECnet address `area.node` as its 16-bit number, or undefined. */
export function parseDecnet(text: string): number | undefined {
  const parts = /^(\d+)\.(\d+)$/.exec(text);
  if (parts === null) return undefined;
  const [area, node] = [Number(parts[1]), Number(parts[2])];
  return area <= 63 && node <= 1023 ? (area << 10) | node : undefined;
}

/** The 16 bytes of an IPv6 address, or undefined when the text is none. */
export function parseIPv6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? groups(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const bytes = new Uint8Array(16);
  [...head, ...new Array<number>(missing).fill(0), ...tail].forEach((group, i) => {
    bytes[2 * i] = group >> 8;
    bytes[2 * i + 1] = group & 0xff;
  });
  return bytes;
}

/** The 16-bit groups of one side of `::`; a dotted quad may stand last in the last side. */
function groups(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const out: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      out.push(Number.parseInt(part, 16));
      continue;
    }
    const quad = last && i === parts.length - 1 && /^\d{1,3}(\.\d{1,3}){3}$/.test(part) ? parseIPv4(part) : undefined;
    if (quad === undefined) return undefined;
    out.push(quad.value >>> 16, quad.value & 0xffff);
  }
  return out;
}

/** The six bytes of a MAC-48 address in one of its spellings; the lexer has checked the form. */
export function parseMac48(text: string): Uint8Array {
  const separated = text.split(/[:\-.]/);
  const pairs =
    separated.length === 6
      ? separated
      : Array.from({ length: 6 }, (_, i) => separated.join("").slice(2 * i, 2 * i + 2));
  return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16));
}

/** The four 32-bit words of an IPv6 prefix length. */
export function prefixWords(length: number): number[] {
  return [0, 32, 64, 96].map((start) => prefixMask(Math.min(32, Math.max(0, length - start))));
}

/** The netmask of a prefix length 0..32. */
export function prefixMask(length: number): number {
  return length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
}
