/**
 * From instructions to the decision graph, by running the program on symbols.
 *
 * Where paths join, `"split"` goes on with each path's own values, and registers vanish; `"join"` names the values
 * that differ, which never makes more nodes than the program has branches.  Registers that nothing reads any more
 * (found by a backward pass) keep nothing apart.  A user's instruction reads every place and leaves new values in all.
 */
import { type AncillaryRow, ancillaryAt } from "../isa/ancillary.ts";
import { type InstructionSet, ISA } from "../isa/instruction-set.ts";
import { BPF_MEMWORDS } from "../isa/limits.ts";
import type { Does } from "../isa/opcodes.ts";
import { CONDITION } from "../isa/semantics.ts";
import { targets } from "../program/cfg.ts";
import type { Instruction } from "../program/instruction.ts";
import { type Graph, type Node, Nodes, type Semantics } from "./graph.ts";
import { PLACE_A as A, EVERY_PLACE, PLACES, PLACE_X as X } from "./places.ts";
import type { Value } from "./value.ts";

interface State {
  /** What each place holds; undefined where nothing reads it any more. */
  readonly places: readonly (Value | undefined)[];
  /** Index of the instruction since which the packet and its context are as they are, see value.ts. */
  readonly since: number;
}

/** What an instruction does; "call" for a user's. */
type Action = Does | { readonly kind: "call" } | { readonly kind: "ancillary"; readonly row: AncillaryRow };

export type Lifted = { readonly graph: Graph } | { readonly refused: string };

export interface LiftOptions {
  readonly joins: "split" | "join";
  readonly semantics: Semantics;
  /** Most decisions to lift before giving up: runs of instructions up to a branch, a join or a return. */
  readonly budget: number;
  readonly isa?: InstructionSet;
  /** The store to make nodes in; default a new one. */
  readonly nodes?: Nodes;
}

export function lift(instructions: readonly Instruction[], options: LiftOptions): Lifted {
  const isa = options.isa ?? ISA;
  const does: Action[] = [];
  for (const [i, insn] of instructions.entries()) {
    const action = actionOf(insn, isa);
    if (action === undefined) return { refused: `instruction ${i} is in no instruction set that was given` };
    const memory = action.kind === "load-mem" || action.kind === "store-mem";
    if (memory && insn.k >= BPF_MEMWORDS) return { refused: `instruction ${i} names no cell` };
    for (const target of targets(insn, i, isa)) {
      if (target <= i) return { refused: `instruction ${i} jumps back` };
      if (target >= instructions.length) return { refused: `instruction ${i} leads out of the program` };
    }
    does.push(action);
  }
  if (does.length === 0) return { refused: "there are no instructions" };
  try {
    const lifter = new Lifter(instructions, does, options);
    const root = options.joins === "split" ? lifter.split() : lifter.join();
    return { graph: { nodes: lifter.nodes, root } };
  } catch (reason) {
    if (reason instanceof Refused) return { refused: reason.message };
    throw reason;
  }
}

function actionOf(insn: Instruction, isa: InstructionSet): Action | undefined {
  if (isa.isExtension(insn)) return { kind: "call" };
  const does = isa.known(insn.code)?.does;
  const row = does?.kind === "packet" && does.at === "abs" ? ancillaryAt(insn.k) : undefined;
  return row === undefined ? does : { kind: "ancillary", row };
}

class Refused extends Error {}

/** Operations and loads in one value; what works on values does so recursively, on a stack that may be small. */
const MOST_WEIGHT = 256;

/** What a straight run of instructions does before it branches or ends. */
interface Run {
  /** Wraps what follows in the run's touches, draws, device checks and calls. */
  readonly wrap: (next: Node) => Node;
  readonly state: State;
  /** Index of the branch, jump or return, or of the join that the run came to; undefined when the run always fails. */
  readonly end: number | undefined;
  /** True when `end` is a join that the run came to. */
  readonly stopped: boolean;
  /** Where it goes on; from a branch on two constants the way that it takes. */
  readonly targets: readonly number[];
}

class Lifter {
  readonly nodes: Nodes;
  readonly #instructions: readonly Instruction[];
  readonly #does: readonly Action[];
  readonly #live: Int32Array;
  /** True when a user's instruction is among them, which sees all of M. */
  readonly #calls: boolean;
  readonly #budget: number;

  constructor(instructions: readonly Instruction[], does: readonly Action[], options: LiftOptions) {
    this.nodes = options.nodes ?? new Nodes(options.semantics);
    this.#instructions = instructions;
    this.#does = does;
    this.#live = livePlaces(instructions, does);
    this.#calls = does.some(({ kind }) => kind === "call");
    this.#budget = options.budget;
  }

  /** Every path on its own; paths in the same state at the same place are one. */
  split(): Node {
    const made = new Map<string, Node>();
    // Not recursive: a path can be as long as the program, and the stack short.
    const stack: { readonly key: string; readonly run: Run }[] = [];
    let count = 0;
    const enter = (key: string, pc: number, state: State) => {
      if (++count > this.#budget) throw new Refused(`more than ${this.#budget} decisions`);
      stack.push({ key, run: this.#run(pc, state, () => false) });
    };
    enter("", 0, this.#start());
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { key, run } = top;
      const behind = run.targets.map((pc) => ({ pc, key: this.#key(pc, run.state) }));
      const missing = behind.find((next) => !made.has(next.key));
      if (missing !== undefined) enter(missing.key, missing.pc, run.state);
      else {
        stack.pop();
        made.set(key, run.wrap(this.#finish(run, (target) => made.get(this.#key(target, run.state))!)));
      }
    }
    return made.get("")!;
  }

  /** One state an instruction: places in which the incoming paths differ become parameters. */
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
      if (++count > this.#budget) throw new Refused(`more than ${this.#budget} decisions`);
      for (const target of run.targets) {
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

  /** Lets for the parameters of a merged state, with what `state` holds in their places. */
  #name(node: Node, merged: State | undefined, state: State): Node {
    let named = node;
    for (let place = 0; merged !== undefined && place < PLACES; place++) {
      const param = merged.places[place];
      const value = state.places[place];
      if (param === undefined || value === undefined || param === value) continue;
      named = this.nodes.let(param, value, named);
    }
    return named;
  }

  #merge(pc: number, states: readonly State[]): State {
    const live = this.#live[pc]!;
    const merged: (Value | undefined)[] = [];
    for (let place = 0; place < PLACES; place++) {
      const first = states[0]!.places[place];
      if ((live & (1 << place)) === 0) merged.push(undefined);
      else if (states.every(({ places }) => places[place] === first)) merged.push(first);
      else merged.push(this.nodes.values.param(Math.max(...states.map(({ places }) => places[place]?.max ?? 0))));
    }
    const [{ since }] = states as readonly [State];
    return { places: merged, since: states.every((state) => state.since === since) ? since : pc };
  }

  /** Scratch cells that calls can see hold 0 at the start; which instructions may read them is another matter. */
  #start(): State {
    const { values } = this.nodes;
    const cell = (place: number) => (this.#calls ? values.result(-1, place) : values.constant(0));
    return {
      places: Array.from({ length: PLACES }, (_, place) => (place < A ? cell(place) : values.constant(0))),
      since: 0,
    };
  }

  #key(pc: number, state: State): string {
    const live = this.#live[pc]!;
    let key = `${pc},${state.since}`;
    for (let place = 0; place < PLACES; place++) {
      if ((live & (1 << place)) !== 0) key += `,${state.places[place]?.id}`;
    }
    return key;
  }

  /** Runs from `pc` to the next branch, return or place where `stop` holds. */
  #run(start: number, entry: State, stop: (pc: number) => boolean): Run {
    const { nodes } = this;
    const { values } = nodes;
    const places = [...entry.places];
    let { since } = entry;
    const wraps: ((next: Node) => Node)[] = [];
    const ended = (end: number | undefined, stopped = false): Run => {
      const targets = end === undefined ? [] : stopped ? [end] : this.#targets(end, places);
      const wrap = (next: Node) => wraps.reduceRight((node, around) => around(node), next);
      return { wrap, state: { places, since }, end, stopped, targets };
    };
    const touch = (value: Value, pc: number) => {
      if (value.hazards.levels.size > 0) wraps.push((next) => nodes.touch(value, next, pc));
    };
    for (let pc = start; ; pc++) {
      if (stop(pc)) return ended(pc, true);
      const instruction = this.#instructions[pc]!;
      const { k } = instruction;
      const does = this.#does[pc]!;
      const a = places[A] ?? values.constant(0);
      const x = places[X] ?? values.constant(0);
      if (a.weight > MOST_WEIGHT) throw new Refused(`a value of more than ${MOST_WEIGHT} operations`);
      switch (does.kind) {
        case "imm":
          places[does.dst === "a" ? A : X] = values.constant(k);
          break;
        case "length":
          places[does.dst === "a" ? A : X] = values.length(since);
          break;
        case "move":
          places[does.dst === "a" ? A : X] = does.dst === "a" ? x : a;
          break;
        case "load-mem":
          places[does.dst === "a" ? A : X] = places[k];
          break;
        case "store-mem":
          places[k] = does.src === "a" ? a : x;
          break;
        case "neg":
          places[A] = values.negate(a);
          break;
        case "alu": {
          const right = does.src === "k" ? values.constant(k) : x;
          if ((does.op === "div" || does.op === "mod") && right.op === "const" && right.k === 0)
            return ended(undefined);
          places[A] = values.alu(does.op, a, right);
          // Folding may lose the division, never the effect of its divisor.
          if (does.op === "div" || does.op === "mod") touch(values.alu("div", a, right), pc);
          break;
        }
        case "msh":
        case "packet": {
          const base = does.kind === "packet" && does.at === "ind" ? x : undefined;
          const load = values.load(base, k, does.kind === "msh" ? 1 : does.size, since);
          if (load === undefined) return ended(undefined);
          touch(load, pc);
          if (does.kind === "packet") places[A] = load;
          else places[X] = values.alu("lsh", values.alu("and", load, values.constant(15)), values.constant(2));
          break;
        }
        case "ancillary": {
          const { kind } = does.row.does;
          if (kind === "xor-x") places[A] = values.alu("xor", a, x);
          else if (kind === "nlattr" || kind === "nlattr-nest") places[A] = values.nlattr(k, a, x, since);
          else if (kind === "random") {
            const value = values.random(pc);
            wraps.push((next) => nodes.draw(value, next, pc));
            places[A] = value;
          } else {
            const value = values.ancillary(k, since);
            if (a.op === "const" && a.k === 0) touch(value, pc);
            else if (kind === "device") wraps.push((next) => nodes.device(a, value, next, pc));
            places[A] = value;
          }
          break;
        }
        case "call": {
          const before = places.map((value) => value ?? values.constant(0)); // none is undefined: a call reads them all
          const after = before.map((_, place) => values.result(pc, place));
          wraps.push((next) => nodes.call(instruction, before, after, next, pc));
          places.splice(0, PLACES, ...after);
          since = pc + 1;
          break;
        }
        default:
          return ended(pc);
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
    if (does.kind === "return") {
      return nodes.return(does.src === "k" ? values.constant(k) : (run.state.places[A] ?? values.constant(0)), run.end);
    }
    const { targets } = run;
    if (does.kind !== "branch" || targets.length === 1) return go(targets[0]!);
    const [left, right] = this.#compared(run.state.places, does, k);
    return nodes.test(does.cond, left, right, go(targets[0]!), go(targets[1]!), run.end);
  }

  #compared(places: State["places"], { src }: Extract<Action, { kind: "branch" }>, k: number): readonly [Value, Value] {
    const { values } = this.nodes;
    const right = src === "k" ? values.constant(k) : (places[X] ?? values.constant(0));
    return [places[A] ?? values.constant(0), right];
  }

  #targets(end: number, places: State["places"]): readonly number[] {
    const { jt, jf, k } = this.#instructions[end]!;
    const does = this.#does[end]!;
    switch (does.kind) {
      case "branch": {
        const [left, right] = this.#compared(places, does, k);
        const ways = [end + 1 + jt, end + 1 + jf];
        if (left.op !== "const" || right.op !== "const") return ways;
        return CONDITION[does.cond](left.k, right.k) ? ways.slice(0, 1) : ways.slice(1);
      }
      case "jump":
        return [end + 1 + k];
      default:
        return [];
    }
  }
}

/** For each instruction the places that are read before they are written, as bits. */
function livePlaces(instructions: readonly Instruction[], does: readonly Action[]): Int32Array {
  const live = new Int32Array(instructions.length + 1);
  const bitA = 1 << A;
  const bitX = 1 << X;
  for (let pc = instructions.length - 1; pc >= 0; pc--) {
    const { jt, jf, k, code } = instructions[pc]!;
    const d = does[pc]!;
    if (d.kind === "call") {
      live[pc] = EVERY_PLACE;
      continue;
    }
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
    if (d.kind === "ancillary") {
      const { kind } = d.row.does;
      if (kind === "device" || kind.startsWith("nlattr") || kind === "xor-x") after |= bitA;
      if (kind.startsWith("nlattr") || kind === "xor-x") after |= bitX;
    }
    live[pc] = after;
  }
  return live;
}

/** Instructions that more than one other reaches. */
function joinPoints(instructions: readonly Instruction[], does: readonly Action[]): Set<number> {
  const arrivals = new Uint32Array(instructions.length + 1);
  arrivals[0] = 1;
  for (let pc = 0; pc < instructions.length; pc++) {
    if (arrivals[pc] === 0) continue;
    const { jt, jf, k } = instructions[pc]!;
    const d = does[pc]!;
    if (d.kind === "branch") {
      arrivals[pc + 1 + jt]!++;
      if (jt !== jf) arrivals[pc + 1 + jf]!++;
    } else if (d.kind === "jump") arrivals[pc + 1 + k]!++;
    else if (d.kind !== "return") arrivals[pc + 1]!++;
  }
  const joins = new Set<number>();
  for (let pc = 0; pc < arrivals.length; pc++) if (arrivals[pc]! > 1) joins.add(pc);
  return joins;
}
