/**
 * Programs rewritten so that a verdict can be seen through the length of what is delivered.
 *
 * A socket shows min(verdict, LEN) at best, and a packet must not be padded, since programs see LEN.  So the program is
 * changed instead, without moving an instruction: `ret #k` becomes another constant in place, and `ret a` becomes a
 * jump to an epilogue behind the last instruction that turns A into a small number.  A failed load or a zero divisor
 * still ends the program with 0, as it should.
 *
 * A rewritten program is accepted whenever the original is, as far as the scratch dataflow goes: a jump forgets more
 * than a return does.  It may break the limits on length and memory; those are the caller's to handle.
 */
import { ancillaryAt, isAncillaryOffset } from "../isa/ancillary.ts";
import { ISA } from "../isa/instruction-set.ts";
import { U32_MAX } from "../isa/limits.ts";
import { CODE } from "../isa/opcodes.ts";
import { type Instruction, jump, stmt } from "../program/instruction.ts";

/**
 * The program with each return replaced.  `constant` maps the verdict of a `ret #k`; `epilogue` gets the verdict in A
 * and must end with a return.  A load of IFINDEX or HATYPE counts as `ret a` when `deviceless`: without a device that
 * is what it does.
 */
function replaceReturns(
  program: readonly Instruction[],
  constant: (k: number) => number,
  epilogue: readonly Instruction[],
  deviceless: boolean,
): Instruction[] {
  let used = false;
  const out = program.map((insn, index) => {
    if (insn.code === CODE.ret_k) return { ...insn, k: constant(insn.k) };
    if (insn.code !== CODE.ret_a && !(deviceless && needsDevice(insn))) return insn;
    used = true;
    return stmt(CODE.ja, program.length - index - 1);
  });
  return used ? [...out, ...epilogue] : out;
}

/** True for `ld [IFINDEX]` and `ld [HATYPE]`, which end the program with verdict A where there is no device. */
export function needsDevice(insn: Instruction): boolean {
  const does = ISA.known(insn.code)?.does;
  if (does?.kind !== "packet" || does.at !== "abs" || !isAncillaryOffset(insn.k)) return false;
  return ancillaryAt(insn.k)?.does.kind === "device";
}

export interface RewriteOptions {
  /** Bytes that every accepted packet keeps whatever the verdict: 8 on UDP, whose header no receiver sees; else 0. */
  readonly floor?: number;
  /** True where packets have no device (unix, netlink): IFINDEX and HATYPE loads then end the program with A. */
  readonly deviceless?: boolean;
}

/**
 * A program whose delivered length names which of `verdicts` the original gives: a drop for 0, i + 1 for
 * `verdicts[i]`, and the whole packet for any other verdict.  So the packet needs more than `verdicts.length` bytes
 * behind `floor`.  `verdicts` holds no 0 and nothing twice.
 */
export function compareProgram(
  program: readonly Instruction[],
  verdicts: readonly number[],
  options: RewriteOptions = {},
): Instruction[] {
  const floor = options.floor ?? 0;
  const shown = new Map<number, number>([[0, 0]]);
  for (const [i, verdict] of verdicts.entries()) shown.set(verdict, floor + i + 1);
  const epilogue = [
    ...[...shown].flatMap(([verdict, length]) => [jump(CODE.jeq_k, verdict, 0, 1), stmt(CODE.ret_k, length)]),
    stmt(CODE.ret_k, U32_MAX),
  ];
  return replaceReturns(program, (k) => shown.get(k) ?? U32_MAX, epilogue, options.deviceless ?? false);
}

/**
 * A program that is delivered whole when the original gives `verdict`, and dropped when it gives anything else; for
 * verdict 0 the other way round, since a program that breaks off is dropped whatever is written here.  Works on
 * packets of every length.
 */
export function equalityProgram(
  program: readonly Instruction[],
  verdict: number,
  options: RewriteOptions = {},
): Instruction[] {
  const onEqual = verdict === 0 ? 0 : U32_MAX;
  const onOther = verdict === 0 ? U32_MAX : 0;
  const epilogue = [jump(CODE.jeq_k, verdict, 0, 1), stmt(CODE.ret_k, onEqual), stmt(CODE.ret_k, onOther)];
  return replaceReturns(program, (k) => (k === verdict ? onEqual : onOther), epilogue, options.deviceless ?? false);
}

/**
 * A program whose delivered length is `bits` bits of the original's verdict, from bit `shift` up; a drop is 0.  The
 * packet needs 2^bits - 1 bytes behind `floor`; with one bit, "delivered" alone says 1, whatever the length.
 */
export function digitProgram(
  program: readonly Instruction[],
  shift: number,
  bits: number,
  options: RewriteOptions = {},
): Instruction[] {
  const floor = options.floor ?? 0;
  const mask = 2 ** bits - 1;
  const epilogue = [
    stmt(CODE.rsh_k, shift),
    stmt(CODE.and_k, mask),
    // Behind a header that is always kept, digit 0 must still be a drop.
    ...(floor === 0 ? [] : [jump(CODE.jeq_k, 0, 1, 0), stmt(CODE.add_k, floor)]),
    stmt(CODE.ret_a),
  ];
  const constant = (k: number): number => {
    const digit = (k >>> shift) & mask;
    return digit === 0 ? 0 : digit + floor;
  };
  return replaceReturns(program, constant, epilogue, options.deviceless ?? false);
}
