/**
 * Predicates into instructions: simple and literal.  What can be better is the optimizer's business.
 *
 * Code is emitted from the last instruction to the first.  So the targets of a jump, which all lie further down, have
 * their place before the jump is made, and a target too far for 8 bits gets a `ja` in reach.
 * Liveness comes for free the same way: a scratch word that is live at the start is a header position to compute
 * there, or one that some path would read unwritten and that is set to 0 there.
 */
import type { Span } from "../base/source-text.ts";
import { BPF_MEMWORDS } from "../isa/limits.ts";
import { CODE } from "../isa/opcodes.ts";
import type { Condition } from "../isa/semantics.ts";
import type { Instruction } from "../program/instruction.ts";
import { Fault } from "./fault.ts";
import type { Place, Predicate, Slot, Value } from "./predicate.ts";

export interface Lowered {
  readonly instructions: Instruction[];
  /** For every instruction the part of the expression it came from; undefined for what serves the whole program. */
  readonly spans: (Span | undefined)[];
}

/** Instructions that accept with `snaplen` exactly the packets a predicate is true for. */
export function lower(predicate: Predicate, snaplen: number): Lowered {
  const out = new Emitter();
  const reject = out.return(0);
  const accept = out.return(snaplen);
  out.start(out.predicate(predicate, accept, reject));
  return out.finish();
}

/** A place in the program, counted from its end: the number of instructions from there on, at least 1. */
type Label = number;

const FARTHEST = 255;
const JUMPS: Readonly<Record<Condition, { k: number; x: number }>> = {
  eq: { k: CODE.jeq_k, x: CODE.jeq_x },
  gt: { k: CODE.jgt_k, x: CODE.jgt_x },
  ge: { k: CODE.jge_k, x: CODE.jge_x },
  set: { k: CODE.jset_k, x: CODE.jset_x },
};
const LOADS = {
  1: { abs: CODE.ldb_abs, ind: CODE.ldb_ind },
  2: { abs: CODE.ldh_abs, ind: CODE.ldh_ind },
  4: { abs: CODE.ldw_abs, ind: CODE.ldw_ind },
} as const;

class Emitter {
  /** Last instruction first. */
  readonly #code: Instruction[] = [];
  readonly #spans: (Span | undefined)[] = [];
  #span: Span | undefined;
  /** Scratch words that hold slots, in order of their number. */
  readonly #slots: Slot[] = [];
  #deepest = 0;
  /** Slots that are read, before they are written, from here on: a bit set; and the same for every instruction. */
  #live = 0;
  readonly #liveAt: number[] = [];
  /** The latest `ja` to a label out of reach. */
  readonly #trampolines = new Map<Label, Label>();

  return(k: number): Label {
    this.#live = 0;
    this.#emit(CODE.ret_k, k);
    return this.#label();
  }

  /** Code that goes to `yes` or `no`; returns where it begins. */
  predicate(p: Predicate, yes: Label, no: Label): Label {
    switch (p.kind) {
      case "test":
        this.#test(p, yes, no);
        break;
      case "constant":
        this.#jump(CODE.jeq_k, p.value ? 0 : 1, yes, no);
        this.#emit(CODE.ld_imm, 0);
        break;
      case "assign":
        this.#goto(yes);
        this.#store(p.slot);
        this.#toA(p.value, 0);
        break;
      case "effect":
        return this.predicate(p.body, yes, yes);
      case "not":
        return this.predicate(p.term, no, yes);
      case "chain": {
        let [then, otherwise] = [yes, no];
        for (const { op, term } of p.rest.toReversed()) {
          const start = this.predicate(term, then, otherwise);
          if (op === "and") then = start;
          else otherwise = start;
        }
        return this.predicate(p.first, then, otherwise);
      }
      case "source": {
        const outer = this.#span;
        this.#span = { start: p.node.start, end: p.node.end };
        const start = this.predicate(p.term, yes, no);
        this.#span = outer;
        return start;
      }
    }
    return this.#label();
  }

  /** Puts what must be computed first in front of everything. */
  start(entry: Label): void {
    this.#goto(entry);
    for (let slot = this.#innermostLive(); slot !== undefined; slot = this.#innermostLive()) {
      if (slot.definition === undefined) {
        this.#store(slot);
        this.#emit(CODE.ld_imm, 0);
      } else {
        this.predicate({ kind: "effect", body: slot.definition }, this.#label(), this.#label());
      }
    }
  }

  /** A live slot that no other live slot is computed from. */
  #innermostLive(): Slot | undefined {
    const live = this.#slots.filter((_, i) => (this.#live & (1 << i)) !== 0);
    return live.find((slot) => !live.some((other) => other.after === slot));
  }

  finish(): Lowered {
    return { instructions: this.#code.reverse(), spans: this.#spans.reverse() };
  }

  #test(p: Predicate & { kind: "test" }, yes: Label, no: Label): void {
    const { value, operand } = p;
    const codes = JUMPS[p.cond];
    if (typeof operand === "number" || operand.kind === "number") {
      this.#jump(codes.k, typeof operand === "number" ? operand : operand.k, yes, no);
      this.#toA(value, 0);
      return;
    }
    this.#jump(codes.x, 0, yes, no);
    this.#both(value, operand, 0);
  }

  // Values

  /** A = left, X = right. */
  #both(left: Value, right: Value, depth: number): void {
    if (right.kind === "slot" || right.kind === "length" || right.kind === "number") {
      this.#toX(right);
      this.#toA(left, depth);
    } else if (left.kind === "slot" || left.kind === "length" || left.kind === "number") {
      this.#toA(left, depth);
      this.#emit(CODE.tax);
      this.#toA(right, depth);
    } else {
      const kept = this.#temporary(depth);
      this.#emit(CODE.ld_mem, kept);
      this.#emit(CODE.tax);
      this.#toA(right, depth + 1);
      this.#emit(CODE.st, kept);
      this.#toA(left, depth);
    }
  }

  /** X = a value that needs no A. */
  #toX(value: Value & { kind: "slot" | "length" | "number" }): void {
    if (value.kind === "slot") this.#emit(CODE.ldx_mem, this.#read(value.slot));
    else if (value.kind === "length") this.#emit(CODE.ldx_len);
    else this.#emit(CODE.ldx_imm, value.k);
  }

  /** A = value; `depth` temporaries are in use. */
  #toA(value: Value, depth: number): void {
    switch (value.kind) {
      case "number":
        this.#emit(CODE.ld_imm, value.k);
        return;
      case "length":
        this.#emit(CODE.ld_len);
        return;
      case "ancillary":
        this.#emit(CODE.ldw_abs, value.k);
        return;
      case "slot":
        this.#emit(CODE.ld_mem, this.#read(value.slot));
        return;
      case "neg":
        this.#emit(CODE.neg);
        this.#toA(value.operand, depth);
        return;
      case "alu": {
        const { op, left, right } = value;
        if (right.kind === "number") {
          this.#emit(CODE[`${op}_k`], right.k);
          this.#toA(left, depth);
        } else {
          this.#emit(CODE[`${op}_x`]);
          this.#both(left, right, depth);
        }
        return;
      }
      case "place":
        this.#place(value.place);
        return;
      case "load":
        this.#load(value, depth);
    }
  }

  /** A = the position itself. */
  #place({ slot, header, offset }: Place): void {
    if (offset !== 0) this.#emit(CODE.add_k, offset);
    if (header !== undefined) {
      this.#emit(CODE.txa);
      this.#headerEnd(slot, header);
    } else if (slot !== undefined) this.#emit(CODE.ld_mem, this.#read(slot));
    else this.#emit(CODE.ld_imm, 0);
  }

  /** X = slot + 4 * (byte at slot + header & 15), through A. */
  #headerEnd(slot: Slot | undefined, header: number): void {
    if (slot === undefined) {
      this.#emit(CODE.ldxb_msh, header);
      return;
    }
    this.#emit(CODE.tax);
    this.#emit(CODE.add_x);
    this.#emit(CODE.lsh_k, 2);
    this.#emit(CODE.and_k, 0xf);
    this.#emit(CODE.ldb_ind, header);
    this.#emit(CODE.ldx_mem, this.#read(slot));
  }

  #load(value: Value & { kind: "load" }, depth: number): void {
    const { slot, header } = value.place;
    let { offset } = value.place;
    let index = value.index;
    if (index?.kind === "number" && index.k < 0x80000000 && offset + index.k >= 0 && offset + index.k < 0x80000000) {
      offset += index.k;
      index = undefined;
    }
    const { abs, ind } = LOADS[value.size];
    if (slot === undefined && header === undefined && index === undefined && offset >= 0) {
      this.#emit(abs, offset);
      return;
    }
    this.#emit(ind, offset);
    if (index === undefined) {
      if (header !== undefined) this.#headerEnd(slot, header);
      else if (slot !== undefined) this.#emit(CODE.ldx_mem, this.#read(slot));
      else this.#emit(CODE.ldx_imm, 0);
      return;
    }
    this.#emit(CODE.tax);
    if (header !== undefined && slot !== undefined) {
      const kept = this.#temporary(depth);
      this.#emit(CODE.add_x);
      this.#emit(CODE.ld_mem, kept);
      this.#headerEnd(slot, header);
      this.#emit(CODE.st, kept);
    } else if (header !== undefined) {
      this.#emit(CODE.add_x);
      this.#headerEnd(undefined, header);
    } else if (slot !== undefined) {
      this.#emit(CODE.add_x);
      this.#emit(CODE.ldx_mem, this.#read(slot));
    }
    this.#toA(index, depth);
  }

  // Scratch memory: slots from 0 up, temporaries from 15 down

  #read(slot: Slot): number {
    const word = this.#word(slot);
    this.#live |= 1 << word;
    return word;
  }

  #store(slot: Slot): void {
    const word = this.#word(slot);
    this.#live &= ~(1 << word);
    this.#emit(CODE.st, word);
  }

  #word(slot: Slot): number {
    const known = this.#slots.indexOf(slot);
    if (known >= 0) return known;
    this.#slots.push(slot);
    this.#checkScratch();
    return this.#slots.length - 1;
  }

  #temporary(depth: number): number {
    this.#deepest = Math.max(this.#deepest, depth + 1);
    this.#checkScratch();
    return BPF_MEMWORDS - 1 - depth;
  }

  #checkScratch(): void {
    if (this.#slots.length + this.#deepest <= BPF_MEMWORDS) return;
    throw new Fault(
      "too many registers needed to evaluate expression",
      this.#span ?? { start: 0, end: 0 },
      `${BPF_MEMWORDS} words of scratch memory are all there is; nest fewer values on the right side of an operator`,
    );
  }

  // Instructions

  #emit(code: number, k = 0): void {
    this.#push({ code, jt: 0, jf: 0, k: k >>> 0 });
  }

  #label(): Label {
    return this.#code.length;
  }

  /** A conditional jump; a target out of reach is reached by a trampoline. */
  #jump(code: number, k: number, yes: Label, no: Label): void {
    let [near, far] = [yes, no];
    for (;;) {
      if (this.#code.length - near > FARTHEST) near = this.#trampoline(near);
      else if (this.#code.length - far > FARTHEST) far = this.#trampoline(far);
      else break;
    }
    const here = this.#code.length;
    this.#live = this.#liveAt[near - 1]! | this.#liveAt[far - 1]!;
    this.#push({ code, jt: here - near, jf: here - far, k: k >>> 0 });
  }

  #push(instruction: Instruction): void {
    this.#code.push(instruction);
    this.#spans.push(this.#span);
    this.#liveAt.push(this.#live);
  }

  /** A place in reach that leads to a target out of reach: one made before, or a new one behind the jump. */
  #trampoline(target: Label): Label {
    const before = this.#trampolines.get(target);
    // Another trampoline may still come between the jump and this one.
    if (before !== undefined && this.#code.length - before < FARTHEST) return before;
    // A copy of a `ret` would be as short, but Linux lets what was stored before a `ret` count for the code behind it.
    this.#ja(target);
    const label = this.#label();
    this.#trampolines.set(target, label);
    return label;
  }

  #ja(target: Label): void {
    this.#live = this.#liveAt[target - 1]!;
    this.#emit(CODE.ja, this.#code.length - target);
  }

  /** Goes on at a label: by falling into it where it is next. */
  #goto(target: Label): void {
    if (target === this.#code.length) this.#live = this.#liveAt[target - 1]!;
    else this.#ja(target);
  }
}
