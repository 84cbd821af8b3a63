/**
 * Packets that lead a program down its different paths: run it, turn the outcome of one test round by editing the
 * bytes that the test looked at, and repeat.  The machine here is the test's own, with memory that starts as 0.
 */
import type { Instruction } from "../../src/program/instruction.ts";
import type { Random } from "./random.ts";

/** A test on the way: the field it looked at and what would turn it round. */
interface Step {
  readonly pc: number;
  readonly taken: boolean;
  readonly edit: (() => Uint8Array) | undefined;
}

interface Run {
  readonly verdict: number;
  readonly steps: readonly Step[];
  /** End offsets of the loads that were made. */
  readonly ends: readonly number[];
}

/** Up to `most` packets, beginning with the seeds, each meant to take another path; and shortened ones. */
export function pathPackets(
  program: readonly Instruction[],
  seeds: readonly Uint8Array[],
  most: number,
  random: Random,
): Uint8Array[] {
  const packets = [...seeds];
  const seen = new Set<string>();
  const ends = new Set<number>();
  for (let i = 0; i < packets.length && packets.length < most; i++) {
    const run = walk(program, packets[i]!);
    for (const end of run.ends) ends.add(end);
    for (const step of run.steps) {
      if (packets.length >= most) break;
      const key = `${step.pc} ${step.taken}`;
      if (seen.has(key) && !random.chance(0.1)) continue;
      seen.add(key);
      const edited = step.edit?.();
      if (edited !== undefined) packets.push(edited);
    }
  }
  const cuts = [...ends].filter((end) => end > 0 && end < 300);
  const shortened: Uint8Array[] = [];
  for (const packet of packets.slice(0, most)) {
    if (cuts.length === 0) break;
    shortened.push(packet.slice(0, random.pick(cuts) - 1), packet.slice(0, random.pick(cuts)));
  }
  return [...packets, ...shortened, new Uint8Array(0)];
}

const STEP_LIMIT = 20000;

function walk(program: readonly Instruction[], packet: Uint8Array): Run {
  let [a, x] = [0, 0];
  const mem = new Array<number>(16).fill(0);
  /** Where A came from, when it is a masked field of the packet. */
  let field: { at: number; size: number; mask: number } | undefined;
  const steps: Step[] = [];
  const ends: number[] = [];
  const load = (at: number, size: number): boolean => {
    ends.push(at + size);
    if (at + size > packet.length) return false;
    a = 0;
    for (let i = 0; i < size; i++) a = a * 256 + packet[at + i]!;
    field = { at, size, mask: size === 4 ? 0xffffffff : 2 ** (8 * size) - 1 };
    return true;
  };
  let pc = 0;
  for (let count = 0; count < STEP_LIMIT; count++) {
    const insn = program[pc];
    if (insn === undefined) return { verdict: 0, steps, ends };
    pc++;
    const { code, k } = insn;
    const operand = (code & 8) !== 0 ? x : k;
    switch (code & 7) {
      case 0:
        if ((code & 0xe0) === 0x20 || (code & 0xe0) === 0x40) {
          const size = { 0: 4, 8: 2, 16: 1 }[code & 0x18]!;
          const at = (code & 0xe0) === 0x40 ? (x + k) % 0x1_0000_0000 : k;
          if (k >= 0xfffff000 && (code & 0xe0) === 0x20) {
            a = 0;
            field = undefined;
          } else if (!load(at, size)) return { verdict: 0, steps, ends };
        } else {
          a = (code & 0xe0) === 0 ? k : (code & 0xe0) === 0x60 ? mem[k]! : packet.length;
          field = undefined;
        }
        break;
      case 1:
        if (code === 0xb1) {
          ends.push(k + 1);
          if (k >= packet.length) return { verdict: 0, steps, ends };
          x = 4 * (packet[k]! & 15);
        } else x = (code & 0xe0) === 0 ? k : (code & 0xe0) === 0x60 ? mem[k]! : packet.length;
        break;
      case 2:
        mem[k] = a;
        break;
      case 3:
        mem[k] = x;
        break;
      case 4: {
        const value = alu(code & 0xf0, a, operand);
        if (value === undefined) return { verdict: 0, steps, ends };
        if ((code & 0xf0) === 0x50 && field !== undefined) field = { ...field, mask: (field.mask & operand) >>> 0 };
        else field = (code & 0xf0) === 0x10 && operand === 0 ? field : undefined;
        a = value;
        break;
      }
      case 5: {
        if (code === 5) {
          pc = (pc + k) % 0x1_0000_0000;
          break;
        }
        const condition = code & 0xf0;
        const taken =
          condition === 0x10
            ? a === operand
            : condition === 0x20
              ? a > operand
              : condition === 0x30
                ? a >= operand
                : (a & operand) !== 0;
        const looked = field;
        steps.push({ pc: pc - 1, taken, edit: looked && (() => turned(packet, looked, condition, operand, taken)) });
        pc += taken ? insn.jt : insn.jf;
        break;
      }
      case 6:
        return { verdict: code === 0x16 ? a : k, steps, ends };
      default:
        if ((code & 0x80) !== 0) {
          a = x;
          field = undefined;
        } else x = a;
    }
  }
  return { verdict: 0, steps, ends };
}

function alu(op: number, a: number, b: number): number | undefined {
  switch (op) {
    case 0x00:
      return (a + b) >>> 0;
    case 0x10:
      return (a - b) >>> 0;
    case 0x20:
      return Math.imul(a, b) >>> 0;
    case 0x30:
      return b === 0 ? undefined : Math.floor(a / b);
    case 0x40:
      return (a | b) >>> 0;
    case 0x50:
      return (a & b) >>> 0;
    case 0x60:
      return (a << (b & 31)) >>> 0;
    case 0x70:
      return a >>> (b & 31);
    case 0x80:
      return -a >>> 0;
    case 0x90:
      return b === 0 ? undefined : a % b;
    default:
      return (a ^ b) >>> 0;
  }
}

/** The packet with the field set so that the test comes out the other way. */
function turned(
  packet: Uint8Array,
  { at, size, mask }: { at: number; size: number; mask: number },
  condition: number,
  operand: number,
  taken: boolean,
): Uint8Array {
  const lowest = (mask & -mask) >>> 0 || 1;
  let wanted: number;
  if (condition === 0x40) wanted = taken ? 0 : (operand & mask) >>> 0;
  else if (condition === 0x10) wanted = taken ? operand ^ lowest : operand;
  else if (condition === 0x20) wanted = taken ? operand : operand + lowest;
  else wanted = taken ? operand - lowest : operand;
  const out = packet.slice();
  for (let i = 0; i < size; i++) {
    const shift = 8 * (size - 1 - i);
    const keep = condition === 0x40 ? ~operand >>> shift : ~mask >>> shift;
    out[at + i] = (packet[at + i]! & keep & 0xff) | ((wanted >>> shift) & 0xff & ~keep);
  }
  return out;
}
