/**
 * Random programs, packets and contexts for the optimizer's tests, all from one seed.
 */
import { ANCILLARY } from "../../src/isa/ancillary.ts";
import { SKF_LL_OFF, SKF_NET_OFF } from "../../src/isa/limits.ts";
import { OPCODES, type OpcodeRow } from "../../src/isa/opcodes.ts";
import { type Instruction, jump, stmt } from "../../src/program/instruction.ts";
import { type PacketContext, packetContext } from "../../src/program/packet-context.ts";
import { check } from "../../src/verify/verify.ts";

/** A generator of u32 (mulberry32). */
export function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const EDGES = [0, 1, 2, 4, 6, 15, 16, 31, 32, 80, 255, 256, 0x800, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff];
const pick = <T>(random: (below: number) => number, list: readonly T[]): T => list[random(list.length)]!;
const ofKind = (...kinds: string[]): OpcodeRow[] => OPCODES.filter((row) => kinds.includes(row.does.kind));
const ARITHMETIC = ofKind("alu", "neg");
const LOADS = ofKind("packet", "msh");
const REGISTERS = ofKind("imm", "length", "move");
const SCRATCH = ofKind("store-mem", "load-mem");
const BRANCHES = ofKind("branch");

/** A program that Linux accepts, of at most `most` instructions. */
export function randomProgram(random: (below: number) => number, most = 40): Instruction[] {
  for (;;) {
    const length = 1 + random(most);
    const list: Instruction[] = [];
    for (let i = 0; i < length; i++) list.push(randomInstruction(random, length - i));
    list.push(random(2) === 0 ? stmt(0x16) : stmt(0x06, pick(random, EDGES)));
    if (check(list).length === 0) return list;
  }
}

function randomInstruction(random: (below: number) => number, behind: number): Instruction {
  const small = () => random(40);
  const number = () => (random(3) === 0 ? pick(random, EDGES) : random(256));
  switch (random(12)) {
    case 0:
    case 1: {
      const row = pick(random, ARITHMETIC);
      const shift = row.mnemonic === "lsh" || row.mnemonic === "rsh";
      const divides = row.mnemonic === "div" || row.mnemonic === "mod";
      return stmt(row.code, shift ? random(32) : divides ? 1 + number() : number());
    }
    case 2:
      return stmt(pick(random, REGISTERS).code, number());
    case 3: {
      const row = pick(random, SCRATCH);
      return stmt(row.code, random(3));
    }
    case 4:
      if (random(4) === 0) return stmt(0x20, pick(random, ANCILLARY).k);
      if (random(4) === 0) return stmt(pick(random, LOADS).code, pick(random, [SKF_NET_OFF, SKF_LL_OFF]) + small());
      return stmt(pick(random, LOADS).code, pick(random, [0x7ffffff0, 0x80000000, 0xfffffff0]) + random(16));
    case 5:
    case 6:
    case 7:
      return stmt(pick(random, LOADS).code, small());
    case 8:
      return random(3) === 0 ? stmt(0x06, number()) : stmt(0x05, random(Math.min(behind, 6)));
    default:
      return jump(pick(random, BRANCHES).code, number(), random(Math.min(behind, 8)), random(Math.min(behind, 8)));
  }
}

/**
 * A packet of up to 64 bytes in which constants of the program stand where the program might look for them.
 */
export function randomPacket(
  random: (below: number) => number,
  program: readonly Instruction[],
  most = 64,
): Uint8Array {
  const packet = new Uint8Array(random(most + 1));
  for (let i = 0; i < packet.length; i++) packet[i] = random(3) === 0 ? 0 : random(3) === 0 ? random(8) : random(256);
  for (let n = 0; n < 6; n++) {
    const { k } = pick(random, program);
    const at = pick(random, program).k;
    const bytes = k < 256 ? 1 : k < 65536 ? 2 : 4;
    if (at + bytes > packet.length) continue;
    for (let i = 0; i < bytes; i++) packet[at + i] = k >>> (8 * (bytes - 1 - i));
  }
  return packet;
}

/** A context, made by a function so that each run draws the same random numbers. */
export function randomContext(random: (below: number) => number): () => PacketContext {
  const seed = random(2 ** 31);
  const fields = {
    length: random(3) === 0 ? random(2000) : undefined,
    network: random(2) === 0 ? 14 : random(40) - 20,
    mac: random(2) === 0 ? 0 : undefined,
    before: new Uint8Array(random(2) * random(40)).fill(9),
    linear: random(5) !== 0,
    protocol: pick(random, [0, 0x800, 0x86dd]),
    ifindex: random(3),
    hatype: random(3),
    mark: random(4),
    vlanTag: random(4096),
    vlanPresent: random(2),
  };
  return () => {
    const draw = seeded(seed);
    return packetContext({ ...fields, random: () => draw(2 ** 32) });
  };
}
