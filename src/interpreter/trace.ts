/**
 * The step debugger: a run told one instruction at a time, with A, X and M, the bytes read, and why it ended.
 *
 * It works from the instruction table and the scalar semantics alone, not from the interpreter's switch, so the two
 * check each other: for every program and packet the last step's verdict is the interpreter's.
 */
import { ANCILLARY, ancillaryAt } from "../isa/ancillary.ts";
import type { MachineState } from "../isa/instruction-set.ts";
import { BPF_MEMWORDS } from "../isa/limits.ts";
import type { Does } from "../isa/opcodes.ts";
import { ALU, CONDITION, negate } from "../isa/semantics.ts";
import { AncillaryReader, endsProgram } from "../program/ancillary-reader.ts";
import { targets } from "../program/cfg.ts";
import type { VerifiedProgram } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import { NO_CONTEXT, type PacketContext } from "../program/packet-context.ts";
import { LOAD_FAILED, loadPacket, realOffset } from "../program/packet-load.ts";
import { MAX_BACKWARD_JUMPS } from "./interpreter.ts";

/** Why a run ended.  Only "return" and "extension" are the program's own doing. */
export type EndReason =
  | "return" //           a return instruction
  | "out-of-range" //     a load beyond the packet: verdict 0
  | "division-by-zero" // a division by X = 0: verdict 0
  | "no-device" //        IFINDEX or HATYPE without a device: verdict A
  | "extension" //        a user's instruction gave a verdict
  | "loop-limit"; //      too many backward jumps, libpcap profile only: verdict 0

/** Packet bytes that an instruction read. */
export interface PacketRead {
  /** Position relative to byte 0; negative in front of it. */
  readonly at: number;
  readonly size: 1 | 2 | 4;
  /** The bytes as a number, big-endian, u32. */
  readonly value: number;
}

/** One executed instruction and the machine after it.  Registers and cells are u32. */
export interface TraceStep {
  /** From 0. */
  readonly index: number;
  readonly instruction: Instruction;
  readonly a: number;
  readonly x: number;
  /** M[0]..M[15]; undefined where nothing was written yet. */
  readonly mem: readonly (number | undefined)[];
  readonly read?: PacketRead;
  /** For a conditional jump: which way it went. */
  readonly taken?: boolean;
  /** Index of the next instruction; absent at the end. */
  readonly next?: number;
  /** Set on the last step. */
  readonly end?: { readonly verdict: number; readonly reason: EndReason; readonly message: string };
}

/**
 * Runs a program step by step.  The generator yields at least one step, and the last has `end`.
 *
 * @param packet   The captured bytes.
 * @param context  As for the interpreter.
 */
export function* trace(
  program: VerifiedProgram,
  packet: Uint8Array,
  context: PacketContext = NO_CONTEXT,
): Generator<TraceStep, void, undefined> {
  const machine = new Stepper(program, packet, context);
  for (;;) {
    const step = machine.step();
    yield step;
    if (step.end !== undefined) return;
  }
}

type Outcome = Pick<TraceStep, "read" | "taken" | "next" | "end">;

class Stepper {
  readonly #program: VerifiedProgram;
  readonly #packet: Uint8Array;
  readonly #context: PacketContext;
  readonly #ancillary = new AncillaryReader();
  readonly #state: MachineState;
  #written = 0;
  #pc = 0;
  #turns = 0;

  constructor(program: VerifiedProgram, packet: Uint8Array, context: PacketContext) {
    this.#program = program;
    this.#packet = packet;
    this.#context = context;
    this.#state = { a: 0, x: 0, mem: new Uint32Array(BPF_MEMWORDS), packet, context };
  }

  step(): TraceStep {
    const index = this.#pc;
    const instruction = this.#program.instructions[index]!;
    const outcome = this.#execute(instruction, index);
    const end = outcome.end;
    const next = outcome.next ?? index + 1;
    this.#pc = next;
    const { a, x, mem } = this.#state;
    return {
      index,
      instruction,
      a,
      x,
      mem: Array.from(mem, (cell, i) => ((this.#written & (1 << i)) === 0 ? undefined : cell)),
      ...outcome,
      ...(end === undefined ? { next } : {}),
    };
  }

  #execute(insn: Instruction, index: number): Outcome {
    const state = this.#state;
    const { isa } = this.#program;
    const does = isa.known(insn.code)?.does;
    if (does === undefined) return this.#extend(insn);
    const operand = "src" in does && does.src === "x" ? state.x : insn.k;
    switch (does.kind) {
      case "imm":
        state[does.dst] = insn.k;
        return {};
      case "length":
        state[does.dst] = (this.#context.length ?? this.#packet.length) >>> 0;
        return {};
      case "move":
        state[does.dst] = does.dst === "a" ? state.x : state.a;
        return {};
      case "load-mem":
        state[does.dst] = state.mem[insn.k]!;
        return {};
      case "store-mem":
        state.mem[insn.k] = state[does.src];
        this.#written |= 1 << insn.k;
        return {};
      case "neg":
        state.a = negate(state.a);
        return {};
      case "alu":
        if (operand === 0 && (does.op === "div" || does.op === "mod")) {
          return ended(0, "division-by-zero", "X is 0");
        }
        state.a = ALU[does.op](state.a, operand);
        return {};
      case "jump":
        return this.#jump(targets(insn, index)[0]!, index);
      case "branch": {
        const taken = CONDITION[does.cond](state.a, operand);
        return { taken, next: targets(insn, index)[taken ? 0 : 1]! };
      }
      case "return":
        return ended(
          does.src === "a" ? state.a : insn.k,
          "return",
          `returned ${does.src === "a" ? "A" : "a constant"}`,
        );
      case "msh":
        return this.#load(insn.k, 1, (value) => {
          state.x = 4 * (value & 15);
        });
      case "packet":
        if (does.at === "abs" && isa.ancillary(insn.k) !== undefined) return this.#loadAncillary(insn.k);
        return this.#load(does.at === "ind" ? (state.x + insn.k) >>> 0 : insn.k, does.size, (value) => {
          state.a = value;
        });
      default:
        return unreachable(does);
    }
  }

  #jump(next: number, index: number): Outcome {
    if (next <= index && ++this.#turns > MAX_BACKWARD_JUMPS) {
      return ended(0, "loop-limit", `more than ${MAX_BACKWARD_JUMPS} backward jumps`);
    }
    return { next };
  }

  #load(offset: number, size: 1 | 2 | 4, keep: (value: number) => void): Outcome {
    const { length } = this.#packet;
    const value = loadPacket(this.#packet, 0, length, this.#context, offset, size);
    const at = realOffset(offset, this.#context);
    if (value === LOAD_FAILED || at === undefined) return ended(0, "out-of-range", outOfRange(at, size, length));
    keep(value);
    return { read: { at, size, value } };
  }

  #loadAncillary(k: number): Outcome {
    const state = this.#state;
    const row = ancillaryAt(k);
    if (row === undefined) {
      state.a = this.#program.isa.ancillaryExtensions.get(k)!.read(this.#normalised()) >>> 0;
      return {};
    }
    if (endsProgram(row, this.#context)) return ended(state.a, "no-device", `${row.name} without a device ends with A`);
    const { length } = this.#packet;
    state.a = this.#ancillary.read(ANCILLARY.indexOf(row), this.#packet, 0, length, this.#context, state.a, state.x);
    return {};
  }

  #extend(insn: Instruction): Outcome {
    const state = this.#normalised();
    const verdict = this.#program.isa.extensions.get(insn.code)!.run(state, insn);
    this.#written = 0xffff;
    state.a >>>= 0;
    state.x >>>= 0;
    return verdict === undefined ? {} : ended(verdict >>> 0, "extension", "ended by a registered instruction");
  }

  /** The state as a user's function sees it. */
  #normalised(): MachineState {
    this.#state.packet = this.#packet;
    this.#state.context = this.#context;
    return this.#state;
  }
}

function ended(verdict: number, reason: EndReason, message: string): Outcome {
  return { end: { verdict, reason, message } };
}

function outOfRange(at: number | undefined, size: number, length: number): string {
  if (at === undefined) return "the offset is in no area of the packet";
  const bytes = size === 1 ? "1 byte" : `${size} bytes`;
  return `${bytes} at ${at} of a packet with ${length} captured bytes`;
}

function unreachable(does: never): never {
  throw new Error(`internal: no step for ${JSON.stringify(does satisfies Does)}`);
}
