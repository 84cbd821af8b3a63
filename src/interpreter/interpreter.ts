/**
 * The reference engine: runs a program over one packet, one instruction at a time.
 *
 * When another engine disagrees, it is the other one that is presumed wrong, unless the kernel says otherwise.
 * A, X and M are int32 inside, because V8 keeps those unboxed, and verdicts are u32 at the border.  The switch is
 * over numeric literals, which become a jump table; the compiler checks that every row of the table has its case.
 */
import { ANCILLARY } from "../isa/ancillary.ts";
import type { ExtensionRow, MachineState } from "../isa/instruction-set.ts";
import { BPF_MEMWORDS } from "../isa/limits.ts";
import type { Opcode } from "../isa/opcodes.ts";
import { AncillaryReader, endsProgram } from "../program/ancillary-reader.ts";
import { contextsFor } from "../program/batch-contexts.ts";
import type { Engine, Filter, PacketBatch, VerifiedProgram } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import { NO_CONTEXT, type PacketContext } from "../program/packet-context.ts";
import { LOAD_FAILED, loadPacket } from "../program/packet-load.ts";
import { decodeForRunning, FIELDS, type InternalCode } from "./decoded.ts";

/** Turns back that a program with loops may take (libpcap profile only; Linux knows no loops). */
export const MAX_BACKWARD_JUMPS = 65536;

/** The reference engine. */
export const interpreter: Engine = Object.freeze({
  name: "interpreter",
  load: (program: VerifiedProgram): Filter => new Interpreter(program),
});

class Interpreter implements Filter {
  readonly tier = "interpreter";
  readonly #code: Int32Array;
  readonly #mem = new Int32Array(BPF_MEMWORDS);
  readonly #ancillary = new AncillaryReader();
  readonly #program: VerifiedProgram;
  readonly #extensions: readonly (ExtensionRow["run"] | undefined)[];
  /** Linux proves that no cell is read before it is written; where nobody proves it, cells start as 0. */
  readonly #clearsMemory: 0 | 1;
  /** A batch of one packet, for {@link run}. */
  readonly #table = new Uint32Array(2);
  readonly #verdict = new Uint32Array(1);
  /** True while a user's function runs: should it run this very filter, that run needs registers of its own. */
  #calling = false;

  constructor(program: VerifiedProgram) {
    const decoded = decodeForRunning(program);
    this.#program = program;
    this.#code = decoded.code;
    this.#extensions = decoded.extensions;
    this.#clearsMemory = program.profile !== "linux" || decoded.extensions.length > 0 ? 1 : 0;
  }

  run(packet: Uint8Array, context: PacketContext = NO_CONTEXT): number {
    if (this.#calling) return new Interpreter(this.#program).run(packet, context);
    const verdict = this.#verdict;
    this.#table[1] = packet.length;
    this.execute(packet, this.#table, 1, undefined, undefined, context, verdict);
    return verdict[0]!;
  }

  runBatch(batch: PacketBatch, verdicts?: Uint32Array): number {
    if (this.#calling) return new Interpreter(this.#program).runBatch(batch, verdicts);
    const { bytes, table, count, lengths } = batch;
    const contexts = contextsFor(batch, this.#extensions.length > 0);
    return this.execute(bytes, table, count, lengths, contexts, NO_CONTEXT, verdicts);
  }

  /**
   * Runs the program on `count` packets and returns how many verdicts were not 0.  The fields are those of a batch;
   * `only` is the context of every packet where `contexts` gives none.
   */
  private execute(
    packet: Uint8Array,
    table: Uint32Array,
    count: number,
    lengths: Uint32Array | undefined,
    contexts: ((i: number) => PacketContext) | undefined,
    only: PacketContext,
    verdicts: Uint32Array | undefined,
  ): number {
    const code = this.#code;
    const mem = this.#mem;
    const clearsMemory = this.#clearsMemory === 1;
    let matched = 0;

    for (let i = 0; i < count; i++) {
      const start = table[2 * i]! | 0;
      const length = table[2 * i + 1]! | 0;
      const context = contexts === undefined ? only : contexts(i);
      if (clearsMemory) mem.fill(0);
      let a = 0;
      let x = 0;
      let turns = 0;
      let verdict = 0;

      let pc = 0;
      program: for (; pc >= 0; pc = (pc + FIELDS) | 0) {
        const op = code[pc] as Opcode | InternalCode;
        const k = code[(pc + 1) | 0]!;
        switch (op) {
          case 0x28: // ldh [k]
            if (k > ((length - 2) | 0)) break program;
            a = (packet[(start + k) | 0]! << 8) | packet[(start + k + 1) | 0]!;
            break;
          case 0x30: // ldb [k]
            if (k > ((length - 1) | 0)) break program;
            a = packet[(start + k) | 0]!;
            break;
          case 0x20: // ld [k]
            if (k > ((length - 4) | 0)) break program;
            a =
              (packet[(start + k) | 0]! << 24) |
              (packet[(start + k + 1) | 0]! << 16) |
              (packet[(start + k + 2) | 0]! << 8) |
              packet[(start + k + 3) | 0]!;
            break;
          case 0x15: // jeq #k
            pc = a === k ? code[(pc + 2) | 0]! : code[(pc + 3) | 0]!;
            break;
          case 0x0b: // ldh [k] and the jeq #k behind it
            if (k > ((length - 2) | 0)) break program;
            a = (packet[(start + k) | 0]! << 8) | packet[(start + k + 1) | 0]!;
            pc = a === code[(pc + 5) | 0]! ? code[(pc + 6) | 0]! : code[(pc + 7) | 0]!;
            break;
          case 0x0d: // ldb [k] and the jeq #k behind it
            if (k > ((length - 1) | 0)) break program;
            a = packet[(start + k) | 0]!;
            pc = a === code[(pc + 5) | 0]! ? code[(pc + 6) | 0]! : code[(pc + 7) | 0]!;
            break;
          case 0x0e: // ld [k] and the jeq #k behind it
            if (k > ((length - 4) | 0)) break program;
            a =
              (packet[(start + k) | 0]! << 24) |
              (packet[(start + k + 1) | 0]! << 16) |
              (packet[(start + k + 2) | 0]! << 8) |
              packet[(start + k + 3) | 0]!;
            pc = a === code[(pc + 5) | 0]! ? code[(pc + 6) | 0]! : code[(pc + 7) | 0]!;
            break;
          case 0x0f: // jeq #k and the jeq #k behind its false side
            if (a === k) pc = code[(pc + 2) | 0]!;
            else pc = a === code[(pc + 5) | 0]! ? code[(pc + 6) | 0]! : code[(pc + 7) | 0]!;
            break;
          case 0x10: // and #k and the jeq #k behind it
            a &= k;
            pc = a === code[(pc + 5) | 0]! ? code[(pc + 6) | 0]! : code[(pc + 7) | 0]!;
            break;
          case 0x11: // ldh [k] and the jset #k behind it
            if (k > ((length - 2) | 0)) break program;
            a = (packet[(start + k) | 0]! << 8) | packet[(start + k + 1) | 0]!;
            pc = (a & code[(pc + 5) | 0]!) !== 0 ? code[(pc + 6) | 0]! : code[(pc + 7) | 0]!;
            break;
          case 0x12: {
            // ldh [x + k] and the jeq #k behind it
            const at = (x + k) | 0;
            if (at < 0 || at > ((length - 2) | 0)) {
              const value = loadPacket(packet, start, length, context, at, 2);
              if (value === LOAD_FAILED) break program;
              a = value | 0;
            } else {
              a = (packet[(start + at) | 0]! << 8) | packet[(start + at + 1) | 0]!;
            }
            pc = a === code[(pc + 5) | 0]! ? code[(pc + 6) | 0]! : code[(pc + 7) | 0]!;
            break;
          }
          case 0x48: {
            // ldh [x + k]
            const at = (x + k) | 0;
            if (at < 0 || at > ((length - 2) | 0)) {
              const value = loadPacket(packet, start, length, context, at, 2);
              if (value === LOAD_FAILED) break program;
              a = value | 0;
            } else {
              a = (packet[(start + at) | 0]! << 8) | packet[(start + at + 1) | 0]!;
            }
            break;
          }
          case 0x50: {
            // ldb [x + k]
            const at = (x + k) | 0;
            if (at < 0 || at > ((length - 1) | 0)) {
              const value = loadPacket(packet, start, length, context, at, 1);
              if (value === LOAD_FAILED) break program;
              a = value | 0;
            } else {
              a = packet[(start + at) | 0]!;
            }
            break;
          }
          case 0x40: {
            // ld [x + k]
            const at = (x + k) | 0;
            if (at < 0 || at > ((length - 4) | 0)) {
              const value = loadPacket(packet, start, length, context, at, 4);
              if (value === LOAD_FAILED) break program;
              a = value | 0;
            } else {
              a =
                (packet[(start + at) | 0]! << 24) |
                (packet[(start + at + 1) | 0]! << 16) |
                (packet[(start + at + 2) | 0]! << 8) |
                packet[(start + at + 3) | 0]!;
            }
            break;
          }
          case 0xb1: // ldxb 4*([k]&0xf)
            if (k > ((length - 1) | 0)) break program;
            x = (packet[(start + k) | 0]! & 15) << 2;
            break;

          case 0x45: // jset #k
            pc = (a & k) !== 0 ? code[(pc + 2) | 0]! : code[(pc + 3) | 0]!;
            break;
          case 0x25: // jgt #k
            pc = a >>> 0 > k >>> 0 ? code[(pc + 2) | 0]! : code[(pc + 3) | 0]!;
            break;
          case 0x35: // jge #k
            pc = a >>> 0 >= k >>> 0 ? code[(pc + 2) | 0]! : code[(pc + 3) | 0]!;
            break;
          case 0x1d: // jeq x
            pc = a === x ? code[(pc + 2) | 0]! : code[(pc + 3) | 0]!;
            break;
          case 0x4d: // jset x
            pc = (a & x) !== 0 ? code[(pc + 2) | 0]! : code[(pc + 3) | 0]!;
            break;
          case 0x2d: // jgt x
            pc = a >>> 0 > x >>> 0 ? code[(pc + 2) | 0]! : code[(pc + 3) | 0]!;
            break;
          case 0x3d: // jge x
            pc = a >>> 0 >= x >>> 0 ? code[(pc + 2) | 0]! : code[(pc + 3) | 0]!;
            break;
          case 0x05: // ja
            if (code[(pc + 2) | 0]! < pc && ++turns > MAX_BACKWARD_JUMPS) break program;
            pc = code[(pc + 2) | 0]!;
            break;
          case 0x06: // ret #k
            verdict = k;
            break program;
          case 0x16: // ret a
            {
              verdict = a;
              break program;
            }

          case 0x00: // ld #k
            a = k;
            break;
          case 0x01: // ldx #k
            x = k;
            break;
          case 0x80: // ld #len
            a = (lengths === undefined ? (context.length ?? length) : lengths[i]!) | 0;
            break;
          case 0x81: // ldx #len
            x = (lengths === undefined ? (context.length ?? length) : lengths[i]!) | 0;
            break;
          case 0x60: // ld M[k]
            a = mem[k]!;
            break;
          case 0x61: // ldx M[k]
            x = mem[k]!;
            break;
          case 0x02: // st M[k]
            mem[k] = a;
            break;
          case 0x03: // stx M[k]
            mem[k] = x;
            break;
          case 0x07: // tax
            x = a;
            break;
          case 0x87: // txa
            a = x;
            break;

          case 0x54: // and #k
            a &= k;
            break;
          case 0x5c: // and x
            a &= x;
            break;
          case 0x44: // or #k
            a |= k;
            break;
          case 0x4c: // or x
            a |= x;
            break;
          case 0xa4: // xor #k
            a ^= k;
            break;
          case 0xac: // xor x
            a ^= x;
            break;
          case 0x04: // add #k
            a = (a + k) | 0;
            break;
          case 0x0c: // add x
            a = (a + x) | 0;
            break;
          case 0x14: // sub #k
            a = (a - k) | 0;
            break;
          case 0x1c: // sub x
            a = (a - x) | 0;
            break;
          case 0x24: // mul #k
            a = Math.imul(a, k);
            break;
          case 0x2c: // mul x
            a = Math.imul(a, x);
            break;
          case 0x34: // div #k
            a = ((a >>> 0) / (k >>> 0)) | 0;
            break;
          case 0x3c: // div x
            if (x === 0) break program;
            a = ((a >>> 0) / (x >>> 0)) | 0;
            break;
          case 0x94: // mod #k
            a = ((a >>> 0) % (k >>> 0)) | 0;
            break;
          case 0x9c: // mod x
            if (x === 0) break program;
            a = ((a >>> 0) % (x >>> 0)) | 0;
            break;
          case 0x64: // lsh #k
            a <<= k;
            break;
          case 0x6c: // lsh x: JavaScript takes the count modulo 32, as Linux does
            a <<= x;
            break;
          case 0x74: // rsh #k
            a = (a >>> k) | 0;
            break;
          case 0x7c: // rsh x
            a = (a >>> x) | 0;
            break;
          case 0x84: // neg
            a = -a | 0;
            break;

          case 0x08: // ld [SKF_AD_OFF + n], k being the row
            if (endsProgram(ANCILLARY[k]!, context)) {
              verdict = a;
              break program;
            }
            a = this.#readAncillary(k, packet, start, length, context, a, x) | 0;
            break;
          case 0x0a: {
            // a load from 0x80000000 up: field 2 holds its size, field 3 is 1 for ldxb
            const value = loadPacket(packet, start, length, context, k, code[pc + 2] as 1 | 2 | 4);
            if (value === LOAD_FAILED) break program;
            if (code[pc + 3] === 1) x = (value & 15) << 2;
            else a = value | 0;
            break;
          }
          case 0x09: {
            // a user's instruction or ancillary load, k being its number
            const ended = this.#extend(k, pc / FIELDS, packet, start, length, context, a, x);
            if (ended !== undefined) {
              verdict = ended | 0;
              break program;
            }
            a = this.#state.a | 0;
            x = this.#state.x | 0;
            break;
          }
          default:
            return unreachable(op);
        }
      }
      if (pc < 0) verdict = code[-pc]!; // a conditional jump to ret #k, see decoded.ts
      if (verdict !== 0) matched++;
      if (verdicts !== undefined) verdicts[i] = verdict;
    }
    return matched;
  }

  readonly #state: MachineState = {
    a: 0,
    x: 0,
    mem: new Uint32Array(this.#mem.buffer),
    packet: new Uint8Array(0),
    context: NO_CONTEXT,
  };

  /** An ancillary value; RANDOM and the fields may be a user's functions. */
  #readAncillary(
    row: number,
    packet: Uint8Array,
    start: number,
    length: number,
    context: PacketContext,
    a: number,
    x: number,
  ): number {
    this.#calling = true;
    try {
      return this.#ancillary.read(row, packet, start, length, context, a, x);
    } finally {
      this.#calling = false;
    }
  }

  /** Calls extension number `n` for the instruction at `index`; a number ends the program. */
  #extend(
    n: number,
    index: number,
    packet: Uint8Array,
    start: number,
    length: number,
    context: PacketContext,
    a: number,
    x: number,
  ): number | undefined {
    const state = this.#state;
    state.a = a >>> 0;
    state.x = x >>> 0;
    state.packet = start === 0 && length === packet.length ? packet : packet.subarray(start, start + length);
    state.context = context;
    const instruction: Instruction = this.#program.instructions[index]!;
    this.#calling = true;
    try {
      return this.#extensions[n]!(state, instruction);
    } finally {
      this.#calling = false;
    }
  }
}

/** Not reached: the verifier lets no other code through, and a missing case does not compile. */
function unreachable(op: never): never {
  throw new Error(`internal: no case for code ${op}`);
}
