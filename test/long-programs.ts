/**
 * Programs of a given length in every shape that can hurt a compiler: deep nesting, many targets, long straight code.
 *
 * Each begins with A = X = LEN and ends in `ret a`, so that its verdict shows all that came before.
 */
import { ANCILLARY } from "../src/isa/ancillary.ts";
import { BPF_MEMWORDS } from "../src/isa/limits.ts";
import { CODE } from "../src/isa/opcodes.ts";
import type { VerifiedProgram } from "../src/program/engine.ts";
import { type Instruction, jump, stmt } from "../src/program/instruction.ts";
import { verify } from "../src/verify/verify.ts";

/** Offsets of the NET and LL areas. */
const NET = 0xfff0_0000;
const LL = 0xffe0_0000;

const HEAD = [stmt(CODE.ld_len), stmt(CODE.tax)];
const TAIL = [stmt(CODE.ret_a), stmt(CODE.ret_k, 7)];

/** Name to program of `size` instructions, one for each shape. */
export function longPrograms(size: number): ReadonlyMap<string, VerifiedProgram> {
  const room = size - HEAD.length - TAIL.length;
  /** The body that `make` gives, instruction by instruction; `left` are those behind it, TAIL included. */
  const fill = (make: (i: number, left: number) => Instruction): Instruction[] =>
    Array.from({ length: room }, (_, i) => make(i, room - i + 1));
  const cycle = (codes: readonly number[], k: (i: number) => number): Instruction[] =>
    fill((i) => stmt(codes[i % codes.length]!, k(i)));
  const loads = (at: "abs" | "ind"): number[] => [CODE[`ldw_${at}`], CODE[`ldh_${at}`], CODE[`ldb_${at}`]];
  /** Pieces of several instructions, as many as there is room for. */
  const pieces = (make: (i: number) => readonly Instruction[]): Instruction[] => {
    const body: Instruction[] = [];
    for (let i = 0; body.length + make(i).length <= room; i++) body.push(...make(i));
    return body;
  };

  const bodies: Record<string, readonly Instruction[]> = {
    "jumps, each to its own place": fill((i, left) => jump(CODE.jgt_k, i, Math.min(255, (i * 7) % left), 0)),
    "jumps, all to the end": fill((i, left) => jump(CODE.jgt_k, i, Math.min(255, left - 1), 0)),
    "jt of 255": fill((i, left) => jump(CODE.jset_k, i, Math.min(255, left - 1), Math.min(i % 3, left - 1))),
    "jf of 255": fill((i, left) => jump(CODE.jge_k, i, Math.min(i % 2, left - 1), Math.min(255, left - 1))),
    "jumps by X": fill((i, left) =>
      jump([CODE.jeq_x, CODE.jgt_x, CODE.jset_x][i % 3]!, 0, Math.min(255, i % left), Math.min(1, left - 1)),
    ),
    "a chain of ja": fill(() => stmt(CODE.ja, 0)),
    "ja over what nobody reaches": fill((i, left) => stmt(CODE.ja, i % 2 === 0 ? Math.min(1, left - 1) : left - 1)),
    "equality tests, one target": pieces((i) => [
      ...Array.from({ length: 200 }, (_, j) => jump(CODE.jeq_k, 3 * (200 * i + j), 199 - j, j === 199 ? 1 : 0)),
      stmt(CODE.ret_k, 1000 + i),
    ]),
    "equality tests, a target each": pieces((i) => [jump(CODE.jeq_k, i, 0, 1), stmt(CODE.ret_k, 5000 + i)]),
    "diamonds, one behind the other": pieces((i) => [
      jump(CODE.jset_k, 1 << (i % 8), 0, 2),
      stmt(CODE.add_k, i),
      stmt(CODE.ja, 1),
      stmt(CODE.xor_k, i),
    ]),
    "diamonds in diamonds": diamonds(Math.floor(Math.log2((room + 3) / 4))),
    loads: cycle(loads("abs"), (i) => i % 50),
    "loads of rising offsets": cycle(loads("abs"), (i) => i % 61),
    "indexed loads": pieces((i) => [stmt(CODE.ldx_imm, i % 9), stmt(loads("ind")[i % 3]!, i % 40)]),
    "indexed loads by what was loaded": pieces((i) => [
      stmt(CODE.and_k, 31),
      stmt(CODE.tax),
      stmt(CODE.ldb_ind, i % 20),
    ]),
    "NET and LL loads": cycle([...loads("abs"), CODE.ldb_abs], (i) => (i % 2 === 0 ? NET : LL) + (i % 40)),
    "header lengths": pieces((i) => [stmt(CODE.ldxb_msh, i % 60), stmt(CODE.add_x)]),
    "ancillary loads": pieces((i) => [
      stmt(loads("abs")[i % 3]!, ANCILLARY[i % ANCILLARY.length]!.k),
      stmt(CODE.add_x),
      stmt(CODE.tax),
    ]),
    "scratch cells": [
      ...Array.from({ length: BPF_MEMWORDS }, (_, i) => stmt(CODE.st, i)),
      ...cycle([CODE.ld_mem, CODE.add_k, CODE.st, CODE.ldx_mem, CODE.add_x, CODE.stx], (i) => (i * 7) % BPF_MEMWORDS),
    ].slice(0, room),
    "arithmetic by K": cycle(
      [CODE.add_k, CODE.mul_k, CODE.xor_k, CODE.rsh_k, CODE.sub_k, CODE.or_k, CODE.lsh_k, CODE.div_k, CODE.neg],
      (i) => (i % 31) + 1,
    ),
    "arithmetic by X": cycle(
      [CODE.add_x, CODE.mul_x, CODE.xor_x, CODE.rsh_x, CODE.sub_x, CODE.or_x, CODE.lsh_x, CODE.and_x, CODE.tax],
      () => 0,
    ),
    "divisions by X": pieces((i) => [
      stmt(CODE.ldx_imm, i + 1),
      stmt(CODE.add_k, 0x9e37_79b9),
      stmt(i % 2 === 0 ? CODE.div_x : CODE.mod_x),
    ]),
    returns: fill((i) => stmt(CODE.ret_k, i + 1)),
  };
  return new Map(
    Object.entries(bodies).map(([name, body]) => {
      const padding = Array.from({ length: room - body.length }, () => stmt(CODE.add_k, 1));
      return [name, verify([...HEAD, ...body, ...padding, ...TAIL])];
    }),
  );
}

/** Diamonds in both arms of diamonds, `depth` deep: 4 * 2^depth - 3 instructions. */
function diamonds(depth: number): Instruction[] {
  if (depth === 0) return [stmt(CODE.add_k, 1)];
  const arm = diamonds(depth - 1);
  return [jump(CODE.jset_k, depth, 1, 0), stmt(CODE.ja, arm.length + 1), ...arm, stmt(CODE.ja, arm.length), ...arm];
}
