/**
 * From the decision graph back to instructions: which steps each node needs, and where its predecessors enter them.
 *
 * Nodes are taken in topological order.  A node's steps are made for what all of its predecessors hold; one that
 * already holds more enters further down, past loads that were done before.  Then steps nobody needs are dropped,
 * equal tails become one (tail.ts) and the rest is laid out (layout.ts).
 */
import { CODE, type Opcode } from "../isa/opcodes.ts";
import type { Instruction } from "../program/instruction.ts";
import { type Graph, type Node, successors, topological, valuesOf } from "./graph.ts";
import { layout } from "./layout.ts";
import { type Homes, Machine, PLACE_A, PLACE_X, PLACES, type State, type Step, Unavailable } from "./machine.ts";
import { type Tail, Tails } from "./tail.ts";
import type { Value } from "./value.ts";

export interface Emitted {
  readonly instructions: readonly Instruction[];
  /** For each instruction the index of the one it came from, or -1. */
  readonly origins: readonly number[];
  /** Values that were computed more than once, most instructions first: what keeping them in memory could save. */
  readonly repeated: readonly Value[];
}

/** The steps of one node, and the branch's code and constant where it is a test. */
interface Placement {
  readonly node: Node;
  readonly steps: readonly Step[];
  /** Steps that nothing needs. */
  readonly dropped: boolean[];
  readonly branch: Branch | undefined;
  /** Where the edge to each successor enters the successor's steps. */
  readonly enters: number[];
}

interface Branch {
  readonly code: Opcode;
  readonly k: number;
  /** The jump is taken where the test does not hold. */
  readonly negated: boolean;
  /** What A must hold, and X where it is compared with. */
  readonly a: Value;
  readonly x: Value | undefined;
}

interface Arrival {
  readonly from: Placement;
  readonly edge: number;
  readonly state: State;
}

/**
 * Instructions for the graph, with `kept` values stored in scratch memory when computed, or undefined where the
 * machine's 16 cells and two registers do not suffice.
 */
export function emit(graph: Graph, kept: readonly Value[] = []): Emitted | undefined {
  for (const coalesce of [true, false]) {
    const homes = assignHomes(graph.root, kept, coalesce);
    if (homes === undefined) return undefined;
    try {
      return new Emitter(homes).emit(graph);
    } catch (reason) {
      if (!(reason instanceof Unavailable)) throw reason;
    }
  }
  return undefined;
}

class Emitter {
  readonly #homes: Homes;
  readonly #computed = new Map<Value, number>();

  constructor(homes: Homes) {
    this.#homes = homes;
  }

  emit({ root, nodes }: Graph): Emitted {
    const zero = nodes.values.constant(0);
    const start: State = {
      places: Array.from({ length: PLACES }, (_, place) => (place < PLACE_A ? [] : [zero])),
      device: false,
    };
    const order = topological(root);
    const entry: Placement = { node: root, steps: [], dropped: [], branch: undefined, enters: [0] };
    const arrivals = new Map<Node, Arrival[]>([[root, [{ from: entry, edge: 0, state: start }]]]);
    const placements: Placement[] = [];
    for (const node of order) {
      const { placement, state } = this.#place(node, arrivals.get(node)!);
      arrivals.delete(node);
      placements.push(placement);
      for (const [edge, successor] of successors(node).entries()) {
        const arrival = { from: placement, edge, state };
        const list = arrivals.get(successor);
        if (list === undefined) arrivals.set(successor, [arrival]);
        else list.push(arrival);
      }
    }
    const of = new Map(placements.map((placement) => [placement.node, placement]));
    dropUnneeded(placements, of);
    const tails = new Tails();
    const made = new Map<string, Tail>();
    for (const placement of placements.toReversed()) makeTails(placement, tails, made);
    const first = made.get(`${root.id},${entry.enters[0]}`)!;
    const usesMemory = placements.some((p) => p.steps.some((s, i) => !p.dropped[i] && isMemory(s)));
    const { instructions, origins } = layout(first, !usesMemory);
    const repeated = [...this.#computed].filter(([, times]) => times > 1).map(([value]) => value);
    return { instructions, origins, repeated: repeated.sort((a, b) => b.weight - a.weight) };
  }

  #place(node: Node, arrivals: readonly Arrival[]): { placement: Placement; state: State } {
    const whole = arrivals.map(({ state }) => this.#generate(node, state));
    const needing = arrivals.filter((_, i) => whole[i]!.machine.steps.length > 0);
    const weakest = (needing.length > 0 ? needing : arrivals).map((a) => a.state).reduce(meetStates);
    const { machine, branch } = needing.length > 0 ? this.#generate(node, weakest) : whole[0]!;
    const { steps } = machine;
    const needs = requirements(steps, weakest, wantedAtTheEnd(node, branch, steps));
    const enters = arrivals.map(({ state }) => {
      for (let at = steps.length; at > 0; at--) if (satisfies(state, needs[at]!)) return at;
      return 0;
    });
    // What holds where the paths meet again: fewer values than on the longest path, never more.
    let state: State | undefined;
    for (let at = 0; at <= steps.length; at++) {
      for (const [i, arrival] of arrivals.entries()) {
        if (enters[i] === at) state = state === undefined ? arrival.state : meetStates(state, arrival.state);
      }
      if (at < steps.length && state !== undefined) state = after(state, steps[at]!);
    }
    const placement: Placement = { node, steps, dropped: steps.map(() => false), branch, enters: [] };
    for (const [i, arrival] of arrivals.entries()) arrival.from.enters[arrival.edge] = enters[i]!;
    for (const step of steps) {
      if (step.value !== undefined && step.code !== undefined && isWorthKeeping(step)) {
        this.#computed.set(step.value, (this.#computed.get(step.value) ?? 0) + 1);
      }
    }
    return { placement, state: state! };
  }

  #generate(node: Node, state: State): { machine: Machine; branch: Branch | undefined } {
    const machine = new Machine(state, this.#homes);
    switch (node.kind) {
      case "return":
        if (node.value.op !== "const") machine.intoA(node.value);
        return { machine, branch: undefined };
      case "touch":
        machine.touch(node.value);
        return { machine, branch: undefined };
      case "let":
        machine.name(node.param, node.value);
        return { machine, branch: undefined };
      case "draw":
        machine.draw(node.value);
        return { machine, branch: undefined };
      case "device":
        machine.checkDevice(node.value, node.load as Value & { k: number });
        return { machine, branch: undefined };
      case "test": {
        const { cond, left, right } = node;
        if (right.op === "const") {
          machine.intoA(left);
          const branch = { code: BRANCH[`${cond}_k`], k: right.k, negated: false, a: left, x: undefined };
          return { machine, branch };
        }
        const other = machine.clone();
        machine.intoBoth(left, right);
        other.intoBoth(right, left);
        if (machine.steps.length <= other.steps.length) {
          return { machine, branch: { code: BRANCH[`${cond}_x`], k: 0, negated: false, a: left, x: right } };
        }
        // left > right is the opposite of right >= left
        const code = cond === "gt" ? CODE.jge_x : cond === "ge" ? CODE.jgt_x : BRANCH[`${cond}_x`];
        const negated = cond === "gt" || cond === "ge";
        return { machine: other, branch: { code, k: 0, negated, a: right, x: left } };
      }
    }
  }
}

const BRANCH = {
  eq_k: CODE.jeq_k,
  gt_k: CODE.jgt_k,
  ge_k: CODE.jge_k,
  set_k: CODE.jset_k,
  eq_x: CODE.jeq_x,
  gt_x: CODE.jgt_x,
  ge_x: CODE.jge_x,
  set_x: CODE.jset_x,
} as const;

/** What must hold behind a node's last step, so that a path which holds it already can pass the steps by. */
function wantedAtTheEnd(node: Node, branch: Branch | undefined, steps: readonly Step[]): Wanted {
  const wanted = new Map<number, readonly Value[]>();
  if (branch !== undefined) {
    wanted.set(PLACE_A, [branch.a]);
    if (branch.x !== undefined) wanted.set(PLACE_X, [branch.x]);
  } else if (node.kind === "return") {
    if (node.value.op !== "const") wanted.set(PLACE_A, [node.value]);
  } else {
    const last = steps.at(-1);
    if (last?.value !== undefined) wanted.set(last.writes!, [last.value]);
  }
  return wanted;
}

/** Names of the number that each place must hold; any one of them will do. */
type Wanted = ReadonlyMap<number, readonly Value[]>;

/** For each position of the steps what a path that enters there must hold. */
function requirements(steps: readonly Step[], start: State, finally_: Wanted): Wanted[] {
  const states: State[] = [start];
  for (const step of steps) states.push(after(states.at(-1)!, step));
  const wanted: Wanted[] = new Array(steps.length + 1);
  let current = finally_;
  wanted[steps.length] = current;
  for (let at = steps.length - 1; at >= 0; at--) {
    const { writes, reads, renames } = steps[at]!;
    const next = new Map(current);
    if (writes !== undefined) next.delete(writes);
    for (const place of reads) next.set(place, states[at]!.places[place]!);
    if (renames !== undefined && current.has(writes!)) next.set(writes!, [renames]);
    current = next;
    wanted[at] = current;
  }
  return wanted;
}

function satisfies(state: State, wanted: Wanted): boolean {
  for (const [place, names] of wanted) if (!names.some((name) => state.places[place]!.includes(name))) return false;
  return true;
}

function after(state: State, step: Step): State {
  if (step.writes === undefined) return state;
  const places = [...state.places];
  const value = step.value;
  if (step.renames !== undefined) {
    if (places[step.writes]!.includes(step.renames)) places[step.writes] = [...places[step.writes]!, value!];
  } else if (isMove(step.code!)) {
    const held = places[step.reads[0]!]!;
    places[step.writes] = value === undefined || held.includes(value) ? held : [...held, value];
  } else places[step.writes] = value === undefined ? [] : [value];
  const device =
    state.device || (step.effect && step.value?.op === "ancillary" && step.value.row.does.kind === "device");
  return { places, device };
}

function isMove(code: Opcode): boolean {
  return (
    code === CODE.tax ||
    code === CODE.txa ||
    code === CODE.ld_mem ||
    code === CODE.ldx_mem ||
    code === CODE.st ||
    code === CODE.stx
  );
}

function isMemory(step: Step): boolean {
  return step.code === CODE.st || step.code === CODE.stx || step.code === CODE.ld_mem || step.code === CODE.ldx_mem;
}

/** Values that a reload would get cheaper than a recomputation. */
function isWorthKeeping({ value, code }: Step): boolean {
  if (value === undefined || isMove(code!) || value.op === "const" || value.op === "length") return false;
  if (value.op === "load") return value.anchor !== undefined;
  return value.op !== "ancillary";
}

function meetStates(a: State, b: State): State {
  if (a === b) return a;
  const places = a.places.map((held, place) => {
    const other = b.places[place]!;
    return held === other ? held : held.filter((value) => other.includes(value));
  });
  return { places, device: a.device && b.device };
}

/** Marks the steps whose result no path reads, unless they have an effect. */
function dropUnneeded(placements: readonly Placement[], of: ReadonlyMap<Node, Placement>): void {
  const liveAt = new Map<Placement, Int32Array>();
  for (const placement of placements.toReversed()) {
    const { node, steps, dropped } = placement;
    let live = 0;
    for (const [edge, successor] of successors(node).entries()) {
      live |= liveAt.get(of.get(successor)!)![placement.enters[edge]!]!;
    }
    if (placement.branch !== undefined) live |= 1 << PLACE_A;
    if (placement.branch?.x !== undefined) live |= 1 << PLACE_X;
    if (node.kind === "return" && node.value.op !== "const") live |= 1 << PLACE_A;
    const lives = new Int32Array(steps.length + 1);
    lives[steps.length] = live;
    for (let at = steps.length - 1; at >= 0; at--) {
      const step = steps[at]!;
      if (step.code !== undefined) {
        const bit = 1 << step.writes!;
        if ((live & bit) === 0 && !step.effect) dropped[at] = true;
        else {
          live &= ~bit;
          for (const place of step.reads) live |= 1 << place;
        }
      }
      lives[at] = live;
    }
    liveAt.set(placement, lives);
  }
}

function makeTails(placement: Placement, tails: Tails, made: Map<string, Tail>): void {
  const { node, steps, dropped, branch, enters } = placement;
  const key = (of_: Node, at: number) => `${of_.id},${at}`;
  const [first, second] = successors(node).map((successor, edge) => made.get(key(successor, enters[edge]!))!);
  let tail: Tail;
  if (node.kind === "return") {
    tail =
      node.value.op === "const"
        ? tails.plain(CODE.ret_k, node.value.k, undefined, node.origin)
        : tails.plain(CODE.ret_a, 0, undefined, node.origin);
  } else if (branch !== undefined) {
    const [yes, no] = branch.negated ? [second!, first!] : [first!, second!];
    tail = tails.branch(branch.code, branch.k, yes, no, node.origin);
  } else tail = first!;
  made.set(key(node, steps.length), tail);
  for (let at = steps.length - 1; at >= 0; at--) {
    const step = steps[at]!;
    if (step.code !== undefined && !dropped[at]) tail = tails.plain(step.code, step.k, tail, node.origin);
    made.set(key(node, at), tail);
  }
}

/** A cell for each parameter and kept value; parameters that only rename each other share one when asked to. */
function assignHomes(root: Node, kept: readonly Value[], coalesce: boolean): Homes | undefined {
  const cells = new Map<Value, number>();
  let free = 0;
  const order = topological(root);
  const used = new Set<Value>();
  for (const node of order) for (const value of valuesOf(node)) collectParams(value, used);
  for (const node of order) {
    if (node.kind !== "let" || !used.has(node.param) || cells.has(node.param)) continue;
    const source = coalesce && node.value.op === "param" ? cells.get(node.value) : undefined;
    cells.set(node.param, source ?? free++);
  }
  for (const node of order) if (node.kind === "draw") cells.set(node.value, free++);
  for (const value of kept) if (!cells.has(value)) cells.set(value, free++);
  return free > 16 ? undefined : { cells, free };
}

function collectParams(value: Value, found: Set<Value>): void {
  if (value.params === 0) return;
  if (value.op === "param") found.add(value);
  else if (value.op === "load") collectParams(value.anchor!, found);
  else if ("left" in value) {
    collectParams(value.left, found);
    collectParams(value.right, found);
  }
}
