/**
 * Programs as bytes: arrays of struct sock_filter, `u16 code, u8 jt, u8 jf, u32 k` in host byte order
 * (include/uapi/linux/filter.h).
 */
import { HOST_LITTLE_ENDIAN, readU16BE, readU16LE, readU32BE, readU32LE, writeU16, writeU32 } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";
import { type InstructionSet, ISA } from "../isa/instruction-set.ts";
import { INSTRUCTION_BYTES } from "../isa/limits.ts";
import type { Instruction } from "./instruction.ts";

export type ByteOrder = "little" | "big";

/** This machine's byte order: what its kernel expects. */
export const HOST_BYTE_ORDER: ByteOrder = HOST_LITTLE_ENDIAN ? "little" : "big";

export interface DecodeOptions {
  /** "auto" (default) takes the order in which more codes are known, and the host's when both are level. */
  readonly byteOrder?: ByteOrder | "auto";
  /** The set that knows codes, for "auto"; default {@link ISA}. */
  readonly isa?: InstructionSet;
}

/**
 * The instructions in `bytes`, known or not.  "auto" is right for every program that Linux loads:
 * 06 00 and 00 06 are a return in one order only.
 *
 * @throws {BpfError} `bad-bytes` when the length is no multiple of 8; `bad-argument` for what is no Uint8Array.
 */
export function decode(bytes: Uint8Array, options: DecodeOptions = {}): Instruction[] {
  if (!(bytes instanceof Uint8Array)) throw new BpfError("bad-argument", "expected a Uint8Array");
  const extra = bytes.length % INSTRUCTION_BYTES;
  if (extra !== 0) {
    throw new BpfError("bad-bytes", `${bytes.length} bytes are no whole instructions of ${INSTRUCTION_BYTES} bytes`, {
      offset: bytes.length - extra,
    });
  }
  const wanted = options.byteOrder ?? "auto";
  if (wanted !== "auto" && wanted !== "little" && wanted !== "big") {
    throw new BpfError("bad-argument", `byte order ${JSON.stringify(wanted)} is none of "auto", "little", "big"`);
  }
  const order = wanted === "auto" ? detectByteOrder(bytes, options.isa ?? ISA) : wanted;
  const readU16 = order === "little" ? readU16LE : readU16BE;
  const readU32 = order === "little" ? readU32LE : readU32BE;
  const out: Instruction[] = [];
  for (let at = 0; at < bytes.length; at += INSTRUCTION_BYTES) {
    out.push(
      Object.freeze({ code: readU16(bytes, at), jt: bytes[at + 2]!, jf: bytes[at + 3]!, k: readU32(bytes, at + 4) }),
    );
  }
  return out;
}

/** The order in which more codes are known; the host's when both are level. */
export function detectByteOrder(bytes: Uint8Array, isa: InstructionSet = ISA): ByteOrder {
  let balance = 0;
  for (let at = 0; at + INSTRUCTION_BYTES <= bytes.length; at += INSTRUCTION_BYTES) {
    if (isa.row(readU16LE(bytes, at)) !== undefined) balance++;
    if (isa.row(readU16BE(bytes, at)) !== undefined) balance--;
  }
  if (balance === 0) return HOST_BYTE_ORDER;
  return balance > 0 ? "little" : "big";
}

/** The struct sock_filter array of a program: 8 bytes an instruction, in the host's order unless told otherwise. */
export function encode(instructions: readonly Instruction[], byteOrder: ByteOrder = HOST_BYTE_ORDER): Uint8Array {
  const bytes = new Uint8Array(instructions.length * INSTRUCTION_BYTES);
  const littleEndian = byteOrder === "little";
  instructions.forEach((insn, i) => {
    const at = i * INSTRUCTION_BYTES;
    writeU16(bytes, at, insn.code, littleEndian);
    bytes[at + 2] = insn.jt;
    bytes[at + 3] = insn.jf;
    writeU32(bytes, at + 4, insn.k, littleEndian);
  });
  return bytes;
}
