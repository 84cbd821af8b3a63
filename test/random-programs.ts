/**
 * Seeded random programs and packets for tests that hold engines against each other: every opcode, offsets round
 * every border, runs of equality tests, and packets small enough that checks fail often.
 */
import { ANCILLARY } from "../src/isa/ancillary.ts";
import { CODE, OPCODES } from "../src/isa/opcodes.ts";
import type { VerifiedProgram } from "../src/program/engine.ts";
import { type Instruction, jump, stmt } from "../src/program/instruction.ts";
import { NO_CONTEXT, type PacketContext } from "../src/program/packet-context.ts";
import { verify } from "../src/verify/verify.ts";

export type Random = () => number;

/** A small seeded generator of numbers in [0, 1). */
export function mulberry32(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

export function below(random: Random, n: number): number {
  return Math.floor(random() * n);
}

export function pick<T>(random: Random, list: readonly T[]): T {
  return list[below(random, list.length)]!;
}

const EDGES = [0, 1, 2, 3, 4, 31, 32, 255, 256, 0xffff, 0x10000, 0x7ffffffc, 0x7fffffff, 0x80000000, 0xffffffff];

function value(random: Random): number {
  const r = random();
  if (r < 0.3) return below(random, 8);
  if (r < 0.5) return pick(random, EDGES);
  if (r < 0.7) return pick(random, [0x0800, 0x0008, 0x01020304, 0x04030201, 0x0102, 0x0201, 0x08000800]);
  return below(random, 0x1_0000_0000);
}

function offset(random: Random): number {
  const r = random();
  if (r < 0.6) return below(random, 24);
  if (r < 0.7) return pick(random, [0xfff00000, 0xffe00000, 0xffdffffe, 0xffeffffe]) + below(random, 24);
  if (r < 0.9) return pick(random, ANCILLARY).k;
  return pick(random, [0x7ffffffc, 0x7fffffff, 0x80000000, 0x80000001, 40, 59, 60, 61, 62, 63, 64]);
}

const BRANCHES = OPCODES.filter((row) => row.does.kind === "branch").map((row) => row.code);
/** On loaded bytes and a constant. */
const FOLDED_TESTS = [CODE.jeq_k, CODE.jset_k, CODE.jgt_k, CODE.jge_k];
const OTHERS = OPCODES.filter((row) => !["branch", "jump", "return"].includes(row.does.kind));

/** A program that Linux accepts, of about `length` instructions. */
export function randomProgram(random: Random, length: number): VerifiedProgram {
  const cells = random() < 0.5 ? 4 : 0;
  const out: Instruction[] = [];
  for (let cell = 0; cell < cells; cell++) out.push(stmt(cell % 2 === 0 ? CODE.st : CODE.stx, cell));
  const total = out.length + length;
  const end = total + 2; // two returns close the program
  const forward = (from: number): number => Math.min(255, below(random, Math.min(end - from - 1, 12)));
  while (out.length < total) {
    const at = out.length;
    const r = random();
    if (r < 0.22) {
      out.push(jump(pick(random, BRANCHES), value(random), forward(at), forward(at)));
    } else if (r < 0.25) {
      out.push(stmt(CODE.ja, below(random, Math.min(end - at - 1, 6))));
    } else if (r < 0.28) {
      out.push(random() < 0.5 ? stmt(CODE.ret_a) : stmt(CODE.ret_k, value(random)));
    } else if (r < 0.34 && total - at > 8) {
      // a run of equality tests, to one place or to several
      const count = Math.min(total - at, 6 + below(random, 14));
      const goal = random() < 0.5 ? undefined : end - 1 - below(random, 2);
      for (let i = 0; i < count; i++) {
        const here = out.length;
        const yes = goal === undefined ? forward(here) : Math.min(255, goal - here - 1);
        out.push(jump(CODE.jeq_k, value(random), yes, random() < 0.9 ? 0 : forward(here)));
      }
    } else if (r < 0.45) {
      // what byte-order folding looks for
      out.push(stmt(pick(random, [CODE.ldh_abs, CODE.ldw_abs, CODE.ldw_ind, CODE.ldh_ind]), below(random, 16)));
      if (random() < 0.4) out.push(stmt(pick(random, [CODE.and_k, CODE.or_k, CODE.xor_k]), value(random)));
      const here = out.length;
      if (here < total) out.push(jump(pick(random, FOLDED_TESTS), value(random), forward(here), forward(here)));
    } else {
      out.push(plain(random, cells));
    }
  }
  out.length = total;
  out.push(stmt(CODE.ret_k, value(random)), random() < 0.5 ? stmt(CODE.ret_a) : stmt(CODE.ret_k, 0x40000));
  return verify(out);
}

function plain(random: Random, cells: number): Instruction {
  for (;;) {
    const row = pick(random, OTHERS);
    const { does } = row;
    if (does.kind === "load-mem" && cells === 0) continue;
    switch (does.kind) {
      case "packet":
        return stmt(row.code, does.at === "abs" ? offset(random) : random() < 0.8 ? below(random, 20) : value(random));
      case "msh":
        return stmt(row.code, offset(random) >= 0xfffff000 ? 0 : offset(random) % 0xfffff000);
      case "load-mem":
        return stmt(row.code, below(random, cells));
      case "store-mem":
        return stmt(row.code, below(random, 16));
      case "alu": {
        if (does.src === "x") return stmt(row.code);
        if (does.op === "lsh" || does.op === "rsh") return stmt(row.code, below(random, 32));
        const k = value(random);
        return stmt(row.code, (does.op === "div" || does.op === "mod") && k === 0 ? 3 : k);
      }
      default:
        return stmt(row.code, value(random));
    }
  }
}

export function randomPacket(random: Random): Uint8Array {
  const packet = new Uint8Array(below(random, random() < 0.5 ? 12 : 70));
  for (let i = 0; i < packet.length; i++) {
    packet[i] = random() < 0.6 ? pick(random, [0, 1, 2, 3, 4, 8, 0x45]) : below(random, 256);
  }
  return packet;
}

/** RANDOM of every context here: engines may ask a different number of times. */
export const FIXED_RANDOM = 0x9e3779b9;

export function randomContext(random: Random): PacketContext {
  const before = new Uint8Array(below(random, 40)).map(() => below(random, 256));
  return {
    ...NO_CONTEXT,
    length: random() < 0.5 ? undefined : below(random, 2000),
    before,
    network: below(random, 30) - 15,
    mac: random() < 0.3 ? undefined : below(random, 30) - 20,
    linear: random() < 0.9,
    protocol: pick(random, [0x0800, 0x86dd, 0x8100, 0]),
    pktType: below(random, 5),
    ifindex: random() < 0.3 ? 0 : below(random, 10),
    hatype: 772,
    mark: below(random, 0x1_0000_0000),
    queue: below(random, 4),
    rxhash: below(random, 0x1_0000_0000),
    cpu: below(random, 4),
    vlanTag: below(random, 65536),
    vlanPresent: below(random, 2),
    vlanTpid: 0x8100,
    random: () => FIXED_RANDOM,
  };
}
