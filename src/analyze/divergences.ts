/**
 * Where the implementations of classic BPF part ways: what Linux, libpcap (bpf_filter) and Go's x/net/bpf make of
 * the same instruction.
 *
 * Each row was observed by running the three; "can differ" means for some packet, register or caller.
 */
import { hex } from "../base/bytes.ts";
import { ancillaryAt } from "../isa/ancillary.ts";
import { BPF_MAXINSNS, SKF_LL_OFF } from "../isa/limits.ts";
import type { Does } from "../isa/opcodes.ts";
import type { VerifiedProgram } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import { check } from "../verify/verify.ts";

/** Who is held against Linux. */
export type Implementation = "libpcap" | "x/net/bpf";

export interface Divergence {
  /** Stable id. */
  readonly rule: string;
  /** Instruction index; absent when it is about the whole program. */
  readonly index?: number;
  /** Who does something else than Linux does. */
  readonly differs: readonly Implementation[];
  readonly message: string;
}

interface Trap {
  readonly rule: string;
  readonly differs: readonly Implementation[];
  readonly message: string;
  applies(does: Does | undefined, insn: Instruction): boolean;
}

const OTHERS: readonly Implementation[] = ["libpcap", "x/net/bpf"];

const TRAPS: readonly Trap[] = [
  {
    rule: "shift-by-register",
    differs: OTHERS,
    message: "X above 31 shifts by X & 31 on Linux, and gives 0 in libpcap and x/net/bpf",
    applies: (does) => does?.kind === "alu" && (does.op === "lsh" || does.op === "rsh") && does.src === "x",
  },
  {
    rule: "shift-by-constant",
    differs: OTHERS,
    message: "a constant shift above 31 is refused by Linux, gives 0 in x/net/bpf and is undefined in libpcap",
    applies: (does, { k }) =>
      does?.kind === "alu" && (does.op === "lsh" || does.op === "rsh") && does.src === "k" && k > 31,
  },
  {
    rule: "indirect-wrap",
    differs: OTHERS,
    message:
      "X + k wraps modulo 2^32 on Linux and can reach the NET and LL areas; libpcap and x/net/bpf return 0 there",
    applies: (does) => does?.kind === "packet" && does.at === "ind",
  },
  {
    rule: "negative-offset",
    differs: OTHERS,
    message:
      "offsets from 0xffe00000 up reach the NET and LL areas on Linux; libpcap returns 0, x/net/bpf refuses or returns 0",
    applies: (does, { k }) =>
      k >= SKF_LL_OFF &&
      (does?.kind === "msh" || (does?.kind === "packet" && does.at === "abs" && ancillaryAt(k) === undefined)),
  },
  {
    rule: "negate",
    differs: ["x/net/bpf"],
    message: "x/net/bpf loads neg, and then fails when it runs",
    applies: (does) => does?.kind === "neg",
  },
  {
    rule: "length",
    differs: OTHERS,
    message:
      "the length is the packet's at the hook on Linux, the length on the wire in libpcap, and the captured length in x/net/bpf",
    applies: (does) => does?.kind === "length",
  },
];

/** Divergences of reachable code, by instruction; `alive` says which instructions are reachable. */
export function divergences(program: VerifiedProgram, alive: readonly boolean[]): Divergence[] {
  const { instructions, isa } = program;
  const found: Divergence[] = [];
  if (instructions.length > BPF_MAXINSNS) {
    found.push({
      rule: "program-length",
      differs: OTHERS,
      message: `${instructions.length} instructions are more than Linux's ${BPF_MAXINSNS}; libpcap and x/net/bpf have no limit`,
    });
  }
  instructions.forEach((insn, index) => {
    if (!alive[index]) return;
    const does = isa.known(insn.code)?.does;
    for (const { rule, differs, message, applies } of TRAPS) {
      if (applies(does, insn)) found.push({ rule, index, differs, message });
    }
    const ancillary = does?.kind === "packet" && does.at === "abs" ? ancillaryAt(insn.k) : undefined;
    if (ancillary !== undefined) {
      found.push({
        rule: "ancillary",
        index,
        differs: OTHERS,
        message: `${ancillary.name} at ${hex(insn.k)} is known to Linux; libpcap returns 0 but for VLAN tags, x/net/bpf refuses it`,
      });
    }
  });
  // What one profile loads and the other refuses; the opcode and length rules are named above or cannot occur.
  const other = program.profile === "linux" ? "libpcap" : "linux";
  for (const { rule, index, message } of check(instructions, { isa, profile: other })) {
    if (index === undefined || found.some((d) => d.index === index && d.rule === "shift-by-constant")) continue;
    found.push({ rule, index, differs: ["libpcap"], message: `${other} refuses: ${message}` });
  }
  return found.sort((a, b) => (a.index ?? -1) - (b.index ?? -1));
}
