/**
 * From instructions to the decision graph, by running the program on symbols.
 *
 * Where paths join, `"split"` goes on with each path's own values, and registers vanish; `"join"` names the values
 * that differ, which never makes more nodes than the program has branches.  Registers that nothing reads any more
 * (found by a backward pass) keep nothing apart.
 */
import { isAncillaryOffset } from "../isa/ancillary.ts";
import { type InstructionSet, ISA } from "../isa/instruction-set.ts";
import type { Does } from "../isa/opcodes.ts";
import { CONDITION } from "../isa/semantics.ts";
import type { Instruction } from "../program/instruction.ts";
import { type Graph, type Node, Nodes, type Semantics } from "./graph.ts";
import type { Value } from "./value.ts";

/** Slots of a machine state: M[0]..M[15], then A, then X. */
const A = 16;
const X = 17;
const SLOTS = 18;

type State = readonly (Value | undefined)[];

export type Lifted = { readonly graph: Graph } | { readonly refused: string };

export interface LiftOptions {
  readonly joins: "split" | "join";
  readonly semantics: Semantics;
  /** Most nodes to make before giving up. */
  readonly budget: number;
  readonly isa?: InstructionSet;
  /** The store to make nodes in; default a new one. */
  readonly nodes?: Nodes;
}

export function lift(instructions: readonly Instruction[], options: LiftOptions): Lifted {
  const isa = options.isa ?? ISA;
  const does: Does[] = [];
  for (const [i, insn] of instructions.entries()) {
    const row = isa.known(insn.code);
    if (row === undefined) return { refused: `instruction ${i} is an extension` };
    if (row.does.kind === "jump" && insn.k >= instructions.length) return { refused: `instruction ${i} jumps back` };
    if (row.does.kind === "packet" && row.does.at === "abs" && isAncillaryOffset(insn.k)) {
      const ancillary = isa.ancillary(insn.k);
      if (ancillary !== undefined && !("does" in ancillary)) {
        return { refused: `instruction ${i} is an ancillary extension` };
      }
    }
    does.push(row.does);
  }
  try {
    const lifter = new Lifter(instructions, does, options);
    const root = options.joins === "split" ? lifter.split() : lifter.join();
    return { graph: { nodes: lifter.nodes, root } };
  } catch (reason) {
    if (reason instanceof OverBudget) return { refused: `more than ${options.budget} decisions` };
    throw reason;
  }
}

class OverBudget extends Error {}

/** What a straight run of instructions does before it branches or ends. */
interface Run {
  /** Wraps what follows in the run's touches, draws and device checks. */
  readonly wrap: (next: Node) => Node;
  readonly state: State;
  /** Index of the branch, jump or return, or of the join that the run came to; undefined when the run always fails. */
  readonly end: number | undefined;
  /** True when `end` is a join that the run came to. */
  readonly stopped: boolean;
}

class Lifter {
  readonly nodes: Nodes;
  readonly #instructions: readonly Instruction[];
  readonly #does: readonly Does[];
  readonly #live: Int32Array;
  readonly #budget: number;

  constructor(instructions: readonly Instruction[], does: readonly Does[], options: LiftOptions) {
    this.nodes = options.nodes ?? new Nodes(options.semantics);
    this.#instructions = instructions;
    this.#does = does;
    this.#live = liveSlots(instructions, does);
    this.#budget = options.budget;
  }

  /** Every path on its own; paths in the same state at the same place are one. */
  split(): Node {
    const memo = new Map<string, Node>();
    const visit = (pc: number, state: State): Node => {
      const key = this.#key(pc, state);
      const known = memo.get(key);
      if (known !== undefined) return known;
      if (memo.size > this.#budget) throw new OverBudget();
      const run = this.#run(pc, state, () => false);
      const node = run.wrap(this.#finish(run, (target) => visit(target, run.state)));
      memo.set(key, node);
      return node;
    };
    return visit(0, this.#start());
  }

  /** One state a place: slots in which the incoming paths differ become parameters. */
  join(): Node {
    const joins = joinPoints(this.#instructions, this.#does);
    // By instruction: what the paths to it hold, what is known of all of them where they differ, and the run from there.
    const { length } = this.#instructions;
    const incoming: (State[] | undefined)[] = new Array(length);
    const merged: (State | undefined)[] = new Array(length);
    const runs: (Run | undefined)[] = new Array(length);
    let count = 0;
    incoming[0] = [this.#start()];
    for (let pc = 0; pc < length; pc++) {
      const arriving = incoming[pc];
      if (arriving === undefined) continue;
      incoming[pc] = undefined;
      const state = arriving.length === 1 ? arriving[0]! : this.#merge(pc, arriving);
      if (arriving.length > 1) merged[pc] = state;
      const run = this.#run(pc, state, (at) => at !== pc && joins.has(at));
      runs[pc] = run;
      if (++count > this.#budget) throw new OverBudget();
      for (const target of this.#targets(run)) {
        const list = incoming[target];
        if (list === undefined) incoming[target] = [run.state];
        else list.push(run.state);
      }
    }
    const made: Node[] = new Array(length);
    for (let pc = length - 1; pc >= 0; pc--) {
      const run = runs[pc];
      if (run === undefined) continue;
      const next = this.#finish(run, (target) => this.#name(made[target]!, merged[target], run.state));
      made[pc] = run.wrap(next);
    }
    return made[0]!;
  }

  /** Lets for the parameters of a merged state, with what `state` holds in their slots. */
  #name(node: Node, merged: State | undefined, state: State): Node {
    let named = node;
    for (let slot = 0; merged !== undefined && slot < SLOTS; slot++) {
      const param = merged[slot];
      const value = state[slot];
      if (param === undefined || value === undefined || param === value) continue;
      named = this.nodes.let(param, value, named);
    }
    return named;
  }

  #merge(pc: number, states: readonly State[]): State {
    const live = this.#live[pc]!;
    const merged: (Value | undefined)[] = [];
    for (let slot = 0; slot < SLOTS; slot++) {
      const first = states[0]![slot];
      if ((live & (1 << slot)) === 0) merged.push(undefined);
      else if (states.every((state) => state[slot] === first)) merged.push(first);
      else merged.push(this.nodes.values.param(Math.max(...states.map((state) => state[slot]?.max ?? 0))));
    }
    return merged;
  }

  #start(): State {
    return Array.from({ length: SLOTS }, () => this.nodes.values.constant(0));
  }

  #key(pc: number, state: State): string {
    const live = this.#live[pc]!;
    let key = String(pc);
    for (let slot = 0; slot < SLOTS; slot++) if ((live & (1 << slot)) !== 0) key += `,${state[slot]?.id}`;
    return key;
  }

  /** Runs from `pc` to the next branch, return or place where `stop` holds. */
  #run(start: number, entry: State, stop: (pc: number) => boolean): Run {
    const { nodes } = this;
    const { values } = nodes;
    const state = [...entry];
    const wraps: ((next: Node) => Node)[] = [];
    const wrap = (next: Node) => wraps.reduceRight((node, around) => around(node), next);
    const touch = (value: Value, pc: number) => {
      if (value.hazards.levels.size > 0) wraps.push((next) => nodes.touch(value, next, pc));
    };
    for (let pc = start; ; pc++) {
      if (stop(pc)) return { wrap, state, end: pc, stopped: true };
      const { k } = this.#instructions[pc]!;
      const does = this.#does[pc]!;
      const a = state[A] ?? values.constant(0);
      const x = state[X] ?? values.constant(0);
      switch (does.kind) {
        case "imm":
          state[does.dst === "a" ? A : X] = values.constant(k);
          break;
        case "length":
          state[does.dst === "a" ? A : X] = values.length();
          break;
        case "move":
          state[does.dst === "a" ? A : X] = does.dst === "a" ? x : a;
          break;
        case "load-mem":
          state[does.dst === "a" ? A : X] = state[k];
          break;
        case "store-mem":
          state[k] = does.src === "a" ? a : x;
          break;
        case "neg":
          state[A] = values.negate(a);
          break;
        case "alu": {
          const right = does.src === "k" ? values.constant(k) : x;
          if ((does.op === "div" || does.op === "mod") && right.op === "const" && right.k === 0) {
            return { wrap, state, end: undefined, stopped: false };
          }
          state[A] = values.alu(does.op, a, right);
          // Folding may lose the division, never the effect of its divisor.
          if (does.op === "div" || does.op === "mod") touch(values.alu("div", a, right), pc);
          break;
        }
        case "msh":
        case "packet": {
          if (does.kind === "packet" && does.at === "abs" && isAncillaryOffset(k)) {
            this.#ancillary(k, state, wraps, pc);
            break;
          }
          const indirect = does.kind === "packet" && does.at === "ind";
          const base = indirect ? x : does.kind === "msh" && isAncillaryOffset(k) ? values.constant(0) : undefined;
          const load = values.load(base, k, does.kind === "msh" ? 1 : does.size);
          if (load === undefined) return { wrap, state, end: undefined, stopped: false };
          touch(load, pc);
          if (does.kind === "packet") state[A] = load;
          else state[X] = values.alu("lsh", values.alu("and", load, values.constant(15)), values.constant(2));
          break;
        }
        default:
          return { wrap, state, end: pc, stopped: false };
      }
    }
  }

  #ancillary(k: number, state: (Value | undefined)[], wraps: ((next: Node) => Node)[], pc: number): void {
    const { nodes } = this;
    const { values } = nodes;
    const a = state[A] ?? values.constant(0);
    const x = state[X] ?? values.constant(0);
    const kind = ISA.ancillary(k)! as { does: { kind: string } };
    switch (kind.does.kind) {
      case "xor-x":
        state[A] = values.alu("xor", a, x);
        return;
      case "nlattr":
      case "nlattr-nest":
        state[A] = values.nlattr(k, a, x);
        return;
      case "random": {
        const value = values.random(pc);
        wraps.push((next) => nodes.draw(value, next, pc));
        state[A] = value;
        return;
      }
      default: {
        const value = values.ancillary(k);
        if (a.op === "const" && a.k === 0) {
          if (value.hazards.levels.size > 0) wraps.push((next) => nodes.touch(value, next, pc));
        } else if (kind.does.kind === "device") {
          wraps.push((next) => nodes.device(a, value, next, pc));
        }
        state[A] = value;
      }
    }
  }

  /** The node for the end of a run. */
  #finish(run: Run, go: (target: number) => Node): Node {
    const { nodes } = this;
    const { values } = nodes;
    if (run.end === undefined) return nodes.return(values.constant(0));
    if (run.stopped) return go(run.end);
    const { k } = this.#instructions[run.end]!;
    const does = this.#does[run.end]!;
    const targets = this.#targets(run);
    const a = run.state[A] ?? values.constant(0);
    switch (does.kind) {
      case "branch": {
        const right = does.src === "k" ? values.constant(k) : (run.state[X] ?? values.constant(0));
        if (a.op === "const" && right.op === "const") return go(targets[CONDITION[does.cond](a.k, right.k) ? 0 : 1]!);
        return nodes.test(does.cond, a, right, go(targets[0]!), go(targets[1]!), run.end);
      }
      case "return":
        return nodes.return(does.src === "k" ? values.constant(k) : a, run.end);
      default:
        return go(targets[0]!);
    }
  }

  /** Where a run goes on. */
  #targets(run: Run): readonly number[] {
    if (run.end === undefined) return [];
    if (run.stopped) return [run.end];
    const { jt, jf, k } = this.#instructions[run.end]!;
    switch (this.#does[run.end]!.kind) {
      case "branch":
        return [run.end + 1 + jt, run.end + 1 + jf];
      case "jump":
        return [run.end + 1 + k];
      default:
        return [];
    }
  }
}

/** For each instruction the slots that are read before they are written, as bits. */
function liveSlots(instructions: readonly Instruction[], does: readonly Does[]): Int32Array {
  const live = new Int32Array(instructions.length + 1);
  const bitA = 1 << A;
  const bitX = 1 << X;
  for (let pc = instructions.length - 1; pc >= 0; pc--) {
    const { jt, jf, k, code } = instructions[pc]!;
    const d = does[pc]!;
    const row = ISA.known(code)!;
    let after = live[pc + 1]!;
    if (d.kind === "branch") after = live[pc + 1 + jt]! | live[pc + 1 + jf]!;
    else if (d.kind === "jump") after = live[pc + 1 + k]!;
    else if (d.kind === "return") after = 0;
    if (row.writes.includes("A")) after &= ~bitA;
    if (row.writes.includes("X")) after &= ~bitX;
    if (d.kind === "store-mem") after &= ~(1 << k);
    if (row.reads.includes("A")) after |= bitA;
    if (row.reads.includes("X")) after |= bitX;
    if (d.kind === "load-mem") after |= 1 << k;
    if (d.kind === "packet" && d.at === "abs" && isAncillaryOffset(k)) {
      const { kind } = (ISA.ancillary(k) as { does: { kind: string } }).does;
      if (kind === "device" || kind.startsWith("nlattr") || kind === "xor-x") after |= bitA;
      if (kind.startsWith("nlattr") || kind === "xor-x") after |= bitX;
    }
    live[pc] = after;
  }
  return live;
}

/** Instructions that more than one other reaches. */
function joinPoints(instructions: readonly Instruction[], does: readonly Does[]): Set<number> {
  const arrivals = new Uint16Array(instructions.length + 1);
  arrivals[0] = 1;
  for (const [pc, { jt, jf, k }] of instructions.entries()) {
    if (arrivals[pc] === 0) continue;
    const d = does[pc]!;
    if (d.kind === "branch") {
      arrivals[pc + 1 + jt]!++;
      if (jt !== jf) arrivals[pc + 1 + jf]!++;
    } else if (d.kind === "jump") arrivals[pc + 1 + k]!++;
    else if (d.kind !== "return") arrivals[pc + 1]!++;
  }
  const joins = new Set<number>();
  for (const [pc, count] of arrivals.entries()) if (count > 1) joins.add(pc);
  return joins;
}
