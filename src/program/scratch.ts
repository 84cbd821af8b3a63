/**
 * Linux's reckoning of which scratch cells are written, quirks included.
 *
 * One pass in program order carries a mask of written cells.  A jump hands its mask to its targets and leaves "all
 * written" to the next instruction; a return hands nothing on and changes nothing.  So code behind a jump that is no
 * target may read any cell, and a safe program can be refused because the state falls through a return.
 * Source: net/core/filter.c, check_load_and_stores().
 */
import type { InstructionSet } from "../isa/instruction-set.ts";
import { BPF_MEMWORDS } from "../isa/limits.ts";
import { targets } from "./cfg.ts";
import type { Instruction } from "./instruction.ts";

const ALL = 0xffff;

/** Instructions that read a cell which, by that reckoning, is not written; their indices, ascending. */
export function* unwrittenReads(instructions: readonly Instruction[], isa: InstructionSet): Iterable<number> {
  const masks = new Uint16Array(instructions.length).fill(ALL);
  let written = 0;
  for (const [index, insn] of instructions.entries()) {
    written &= masks[index]!;
    const does = isa.known(insn.code)?.does;
    switch (does?.kind) {
      case "store-mem":
        if (insn.k < BPF_MEMWORDS) written |= 1 << insn.k;
        break;
      case "load-mem":
        if (insn.k < BPF_MEMWORDS && (written & (1 << insn.k)) === 0) {
          yield index;
        }
        break;
      case "jump":
      case "branch":
        for (const target of targets(insn, index, isa)) if (target < masks.length) masks[target]! &= written;
        written = ALL;
        break;
    }
  }
}
