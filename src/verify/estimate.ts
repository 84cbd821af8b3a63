/**
 * What attaching a valid program costs: the length of its conversion to eBPF, the memory charged to the socket, and
 * the conversion's own jump limits.  Valid programs do get ENOMEM, dozens of packet loads are enough for an
 * optmem_max of 20480.
 *
 * Source: net/core/filter.c, bpf_convert_filter(), convert_bpf_extensions(),
 * sk_filter_charge(); exact to the byte on Linux 6.18 without constant blinding (net.core.bpf_jit_harden = 0).
 */
import type { Violation } from "../base/errors.ts";
import { type AncillaryRow, ancillaryAt } from "../isa/ancillary.ts";
import { ISA } from "../isa/instruction-set.ts";
import type { Does } from "../isa/opcodes.ts";
import { targets } from "../program/cfg.ts";
import type { Instruction } from "../program/instruction.ts";

/** net.core.optmem_max of Linux 6.18; 20480 up to 6.5. */
export const DEFAULT_OPTMEM_MAX = 131072;
/** Bytes charged for the program's header, and for each converted instruction. */
const CHARGE_HEADER = 96;
const CHARGE_INSTRUCTION = 8;
/** Instructions in front of the program; more when it loads packet bytes. */
const PROLOGUE = 3;
const PROLOGUE_LOADS = 4;
/** Farthest eBPF jump, and highest eBPF index a jump may stand at: the range of its s16 offset. */
const MAX_EBPF_OFFSET = 32767;

export interface AttachOptions {
  /** net.core.optmem_max of the socket's network namespace, bytes; default {@link DEFAULT_OPTMEM_MAX}. */
  readonly optmemMax?: number;
  /** Bytes already charged to the socket; a filter being replaced still counts.  Default 0. */
  readonly charged?: number;
}

export interface AttachEstimate {
  /** Length after conversion, in eBPF instructions. */
  readonly converted: number;
  /** Bytes charged to the socket. */
  readonly charge: number;
  readonly optmemMax: number;
  /** The errno that attaching a program valid for Linux meets. */
  readonly errno: "none" | "EINVAL" | "ENOMEM";
  /** Jumps that the conversion cannot express, rule "conversion-limit". */
  readonly violations: readonly Violation[];
}

/**
 * Predicts the attach of a program that is valid by the "linux" profile.
 *
 * The charge must be below optmem_max together with what is charged already, and at most optmem_max itself.
 */
export function estimateAttach(
  program: { readonly instructions: readonly Instruction[] },
  options: AttachOptions = {},
): AttachEstimate {
  const { optmemMax = DEFAULT_OPTMEM_MAX, charged = 0 } = options;
  const { instructions } = program;
  const sizes = instructions.map(convertedSize);
  const positions: number[] = [];
  let position = PROLOGUE + (instructions.some(loadsPacket) ? PROLOGUE_LOADS : 0);
  for (const size of sizes) {
    positions.push(position);
    position += size;
  }
  const charge = CHARGE_HEADER + CHARGE_INSTRUCTION * position;
  const violations = position > MAX_EBPF_OFFSET ? [...jumpViolations(instructions, positions)] : [];
  const fits = charge <= optmemMax && charged + charge < optmemMax;
  const errno = violations.length > 0 ? "EINVAL" : fits ? "none" : "ENOMEM";
  return { converted: position, charge, optmemMax, errno, violations };
}

function doesOf(insn: Instruction): Does | undefined {
  return ISA.known(insn.code)?.does;
}

/** The ancillary row of an absolute load, if it is one. */
function ancillaryOf(insn: Instruction): AncillaryRow | undefined {
  const does = doesOf(insn);
  return does?.kind === "packet" && does.at === "abs" ? ancillaryAt(insn.k) : undefined;
}

function loadsPacket(insn: Instruction): boolean {
  const kind = doesOf(insn)?.kind;
  return kind === "msh" || (kind === "packet" && ancillaryOf(insn) === undefined);
}

/** eBPF instructions that one instruction becomes. */
function convertedSize(insn: Instruction): number {
  const does = doesOf(insn);
  const ancillary = ancillaryOf(insn);
  if (ancillary !== undefined) return ancillarySize(ancillary);
  switch (does?.kind) {
    case "packet":
      return does.at === "ind" ? 8 + (insn.k !== 0 ? 1 : 0) : absoluteSize(insn.k, does.size);
    case "msh":
      return 6 + absoluteSize(insn.k, 1);
    case "branch":
      return 1 + (needsConstantMove(does, insn) ? 1 : 0) + (needsFalseJump(does, insn) ? 1 : 0);
    case "alu":
      return does.src === "x" && (does.op === "div" || does.op === "mod") ? 5 : 1;
    case "return":
      return does.src === "k" ? 2 : 1;
    default:
      return 1;
  }
}

function absoluteSize(k: number, size: 1 | 2 | 4): number {
  if (k >= 0x80000000) return 8;
  return (size === 1 ? 12 : 13) + (k !== 0 ? 1 : 0) + (k > MAX_EBPF_OFFSET ? 2 : 0);
}

function ancillarySize({ does, name }: AncillaryRow): number {
  switch (does.kind) {
    case "field":
      if (name === "VLAN_TAG_PRESENT") return 3;
      if (name === "CPU") return 4;
      return name === "PROTOCOL" || name === "PKTTYPE" || name === "VLAN_TPID" ? 2 : 1;
    case "xor-x":
      return 1;
    default:
      return 4;
  }
}

/** A constant with the top bit set is moved to a register first: eBPF would sign-extend it. */
function needsConstantMove(does: Does & { kind: "branch" }, insn: Instruction): boolean {
  return does.src === "k" && insn.k >= 0x80000000;
}

/** The false side needs a jump of its own unless it falls through or the condition can be turned round. */
function needsFalseJump(does: Does & { kind: "branch" }, insn: Instruction): boolean {
  return insn.jf !== 0 && !(insn.jt === 0 && does.cond !== "set");
}

/**
 * Jumps beyond what an eBPF offset holds.  The conversion's first pass takes every forward target as 0, so a jump
 * that itself stands beyond the limit fails as well.
 */
function* jumpViolations(instructions: readonly Instruction[], positions: readonly number[]): Iterable<Violation> {
  for (const [index, insn] of instructions.entries()) {
    const does = doesOf(insn);
    if (does?.kind !== "branch" && does?.kind !== "jump") continue;
    const first = positions[index]! + (does?.kind === "branch" && needsConstantMove(does, insn) ? 1 : 0);
    for (const [emitted, target] of emittedJumps(insn, index, first)) {
      const distance = (positions[target] ?? 0) - emitted - 1;
      if (emitted <= MAX_EBPF_OFFSET && distance <= MAX_EBPF_OFFSET) continue;
      yield {
        rule: "conversion-limit",
        message: `the converted jump at ${emitted} spans ${distance} eBPF instructions; both may be at most ${MAX_EBPF_OFFSET}`,
        index,
      };
      break;
    }
  }
}

/** The eBPF jumps of one instruction: where each stands, and the classic index it leads to. */
function emittedJumps(insn: Instruction, index: number, first: number): [at: number, target: number][] {
  const does = doesOf(insn);
  const [yes, no] = targets(insn, index) as [number, number];
  if (does?.kind !== "branch" || insn.jf === 0) return [[first, yes]];
  if (!needsFalseJump(does, insn)) return [[first, no]];
  return [
    [first, yes],
    [first + 1, no],
  ];
}
