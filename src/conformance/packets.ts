/**
 * Random packets: lengths around what a program reads, and bytes that mean something to it.
 */
import { HOST_LITTLE_ENDIAN } from "../base/bytes.ts";
import { ISA } from "../isa/instruction-set.ts";
import type { Instruction } from "../program/instruction.ts";
import type { Random } from "./random.ts";
import { UNIX_LINEAR_MAX } from "./unix-context.ts";

/** Lengths at which a load of the program starts to succeed, ascending. */
export function readLengths(instructions: readonly Instruction[]): number[] {
  const lengths = new Set<number>();
  for (const { code, k } of instructions) {
    const does = ISA.known(code)?.does;
    if (does?.kind === "packet" && k < 4096) lengths.add(k + does.size);
    if (does?.kind === "msh" && k < 4096) lengths.add(k + 1);
  }
  return [...lengths].sort((a, b) => a - b);
}

/**
 * A packet for a program whose offsets lie around `length`.
 *
 * @param thresholds  From {@link readLengths}.
 * @param samples     Real packets to cut and mutate; may be empty.
 */
export function generatePacket(
  random: Random,
  length: number,
  thresholds: readonly number[],
  samples: readonly Uint8Array[],
): Uint8Array {
  const size = packetLength(random, length, thresholds);
  const kind = random.below(8);
  if (kind === 0 && samples.length > 0) return mutated(random, random.pick(samples), size);
  if (kind === 1) return attributePacket(random, size);
  const packet = new Uint8Array(size);
  if (size > 4096) {
    // A long packet is about its length: a few bytes at both ends and a pattern between them.
    packet.fill(random.below(256));
    for (let i = 0; i < 64; i++) packet[random.oneIn(2) ? i : size - 1 - i] = random.below(256);
    return packet;
  }
  const small = kind === 2;
  for (let i = 0; i < size; i++) packet[i] = small ? random.below(5) : byte(random);
  return packet;
}

function packetLength(random: Random, length: number, thresholds: readonly number[]): number {
  if (random.oneIn(400)) return random.pick([UNIX_LINEAR_MAX, UNIX_LINEAR_MAX + 1, 20000, 65535, 65536]);
  const kind = random.below(8);
  if (kind < 2 && thresholds.length > 0) return Math.max(0, random.pick(thresholds) + random.between(-1, 1));
  if (kind === 2) return random.below(length + 1);
  if (kind === 3) return Math.max(0, length + random.between(-2, 2));
  return length + random.below(32);
}

function byte(random: Random): number {
  const kind = random.below(8);
  if (kind === 0) return 0;
  if (kind === 1) return 0xff;
  if (kind === 2) return 0x80;
  return random.below(256);
}

/** A real packet, cut or filled up to `size`, with some bytes changed. */
function mutated(random: Random, sample: Uint8Array, size: number): Uint8Array {
  const packet = new Uint8Array(random.oneIn(2) ? sample.length : size);
  packet.set(sample.subarray(0, packet.length));
  if (packet.length === 0) return packet;
  for (let n = random.below(4); n > 0; n--) packet[random.below(packet.length)] = byte(random);
  return packet;
}

/** `size` bytes of netlink attributes in host byte order, most of them well-formed, some with lengths that lie. */
export function attributePacket(random: Random, size: number): Uint8Array {
  const packet = new Uint8Array(size);
  const view = new DataView(packet.buffer);
  for (let i = 0; i < packet.length; i++) packet[i] = random.below(256);
  for (let at = 4 * random.below(3); at + 4 <= packet.length; ) {
    const rest = packet.length - at;
    const honest = random.oneIn(3) ? rest : Math.min(rest, 4 + random.below(16));
    const claimed = random.oneIn(6) ? random.pick([0, 3, rest + 1, 0xffff, honest + 1]) : honest;
    view.setUint16(at, claimed & 0xffff, HOST_LITTLE_ENDIAN);
    view.setUint16(at + 2, random.below(5) | random.pick([0, 0, 0, 0x8000, 0x4000, 0xc000]), HOST_LITTLE_ENDIAN);
    // Inside the attribute the next one starts at once, as nested attributes do, or behind it.
    at += random.oneIn(2) ? 4 : (honest + 3) & ~3;
  }
  return packet;
}
