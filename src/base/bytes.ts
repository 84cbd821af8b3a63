/**
 * Reading, writing and printing bytes.  Numbers are unsigned; offsets are in bytes and are the caller's to check.
 */
import { BpfError } from "./errors.ts";

/** True where u16 and u32 lie in memory with the low byte first: "host byte order" of struct sock_filter. */
export const HOST_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** u16 at `at`, high byte first (network order). */
export function readU16BE(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** The 32 bits at `at`, high byte first, as an int32. */
export function readI32BE(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/** u32 at `at`, high byte first (network order). */
export function readU32BE(bytes: Uint8Array, at: number): number {
  return readI32BE(bytes, at) >>> 0;
}

/** u16 at `at`, low byte first. */
export function readU16LE(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

/** u32 at `at`, low byte first. */
export function readU32LE(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** Writes the low 16 bits of `value`. */
export function writeU16(bytes: Uint8Array, at: number, value: number, littleEndian: boolean): void {
  bytes[at + (littleEndian ? 0 : 1)] = value;
  bytes[at + (littleEndian ? 1 : 0)] = value >>> 8;
}

/** Writes the low 32 bits of `value`. */
export function writeU32(bytes: Uint8Array, at: number, value: number, littleEndian: boolean): void {
  writeU16(bytes, at + (littleEndian ? 0 : 2), value, littleEndian);
  writeU16(bytes, at + (littleEndian ? 2 : 0), value >>> 16, littleEndian);
}

/** A u32 as `0x800`, without padding; `width` pads to that many digits. */
export function hex(value: number, width = 0): string {
  return `0x${(value >>> 0).toString(16).padStart(width, "0")}`;
}

/** Bytes as lower-case hex, two digits each, parted by `separator`. */
export function toHex(bytes: Uint8Array, separator = ""): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += (i > 0 ? separator : "") + bytes[i]!.toString(16).padStart(2, "0");
  return text;
}

/**
 * The bytes of a hex text: pairs of digits; blanks, `:` and `,` between pairs and `0x` before one are passed over.
 *
 * @throws {BpfError} `bad-text` for anything else, or half a pair.
 */
export function fromHex(text: string): Uint8Array {
  const digits = text.replace(/0x/gi, "").replace(/[\s:,]+/g, "");
  const wrong = digits.search(/[^0-9a-fA-F]/);
  if (wrong >= 0) throw new BpfError("bad-text", `${JSON.stringify(digits[wrong])} is no hex digit`);
  if (digits.length % 2 !== 0) throw new BpfError("bad-text", `${digits.length} hex digits are not whole bytes`);
  const bytes = new Uint8Array(digits.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
