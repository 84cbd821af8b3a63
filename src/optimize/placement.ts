/**
 * Placing a node: which steps it needs, and where each of its predecessors enters them.
 *
 * The steps are made for what all of the predecessors hold that need any; one that already holds more enters further
 * down, past loads that were done before.
 */
import { CODE, type Opcode } from "../isa/opcodes.ts";
import { arrange } from "./calls.ts";
import type { Node, TestNode } from "./graph.ts";
import { type Homes, isMove, Machine, type State, type Step } from "./machine.ts";
import { PLACE_A, PLACE_X, PLACES } from "./places.ts";
import type { Tail } from "./tail.ts";
import type { Value } from "./value.ts";

export interface Branch {
  readonly code: Opcode;
  readonly k: number;
  /** The jump is taken where the test does not hold. */
  readonly negated: boolean;
  /** What A must hold, and X where it is compared with. */
  readonly a: Value;
  readonly x: Value | undefined;
}

/** A path that comes to a node: from which edge, and what the machine holds then.  The program's start has no `from`. */
interface Arrival {
  readonly from: Placement | undefined;
  readonly edge: number;
  readonly state: State;
}

const NO_STEPS: readonly Step[] = Object.freeze([]);

export class Placement {
  readonly node: Node;
  /** The successors, and at which of its steps the edge to each enters it. */
  readonly next: readonly Placement[];
  readonly enters: number[];
  /** The steps, and the branch's code and constant where the node is a test. */
  steps: readonly Step[] = NO_STEPS;
  branch: Branch | undefined;
  /** The first of the steps that any predecessor enters. */
  entry = 0;
  /** For each position of the steps the places that are read from there on, as bits, and the instructions. */
  live: number[] = [];
  tails: Tail[] = [];
  #arrivals: Arrival[] = [];

  constructor(node: Node, next: readonly Placement[]) {
    this.node = node;
    this.next = next;
    this.enters = next.map(() => 0);
  }

  arrive(from: Placement | undefined, edge: number, state: State): void {
    if (this.#arrivals.length > 0) this.#arrivals.push({ from, edge, state });
    else this.#arrivals = [{ from, edge, state }]; // most often the only one
  }

  /** Makes the steps, when all paths have arrived; returns what the machine holds behind them. */
  place(homes: Homes): State {
    const { node } = this;
    const arrivals = this.#arrivals;
    this.#arrivals = []; // their states are many
    const states = distinctStates(arrivals);
    const first = states[0]!;
    if (states.length === 1 || (node.kind === "return" && node.value.op === "const")) {
      const { state } = this.#adopt(generate(node, first, homes));
      return state;
    }
    const made = states.map((state) => generate(node, state, homes));
    const stepsFor = (state: State) => this.#adopt(made[states.indexOf(state)] ?? generate(node, state, homes));
    const needing = states.filter((_, i) => made[i]!.steps.length > 0);
    const weakest = needing.length > 0 ? needing.reduce(meetStates) : first;
    stepsFor(weakest);
    let entered = this.#entries(weakest, states);
    if (entered.includes(-1)) {
      // One that needs no steps for itself can not enter these: they have to serve every state.
      const common = states.reduce(meetStates);
      stepsFor(common);
      entered = this.#entries(common, states).map((at) => Math.max(at, 0));
    }
    for (const { from, edge, state } of arrivals) from!.enters[edge] = entered[states.indexOf(state)]!;
    this.entry = Math.min(...entered);
    // What holds where the paths meet again: fewer values than on the longest path, never more.
    let held: State | undefined;
    for (let at = this.entry; at <= this.steps.length; at++) {
      for (let i = 0; i < states.length; i++) {
        if (entered[i] === at) held = held === undefined ? states[i]! : meetStates(held, states[i]!);
      }
      if (at < this.steps.length) held = after(held!, this.steps[at]!);
    }
    return held!;
  }

  #adopt(generated: Generated): Generated {
    this.steps = generated.steps;
    this.branch = generated.branch;
    return generated;
  }

  /** For each state the furthest position of the steps, made for `start`, at which it can enter; -1 for none. */
  #entries(start: State, states: readonly State[]): number[] {
    const { steps } = this;
    const places = [...start.places];
    const reading = steps.map((step) => {
      const names = step.reads.map((place) => places[place]!);
      apply(places, step);
      return names;
    });
    const wanted = this.#wantedAtTheEnd();
    const entered = states.map(() => -1);
    for (let at = steps.length; ; at--) {
      for (let i = 0; i < states.length; i++) {
        // A step that only adds a name costs nothing to go through.
        const known = entered[i]! < 0 || (entered[i] === at + 1 && steps[at]!.code === undefined);
        if (known && satisfies(states[i]!, wanted)) entered[i] = at;
      }
      if (at === 0) return entered;
      const { writes, reads, value, renames } = steps[at - 1]!;
      const named = writes === undefined ? undefined : wanted.get(writes);
      if (writes !== undefined) wanted.delete(writes);
      for (let i = 0; i < reads.length; i++) wanted.set(reads[i]!, reading[at - 1]![i]!);
      if (renames !== undefined && named !== undefined) {
        wanted.set(writes!, named.includes(value!) ? [renames, ...named.filter((name) => name !== value)] : named);
      }
    }
  }

  /** What must hold behind the last step, so that a path which holds it already can pass the steps by. */
  #wantedAtTheEnd(): Wanted {
    const { node, branch } = this;
    const wanted: Wanted = new Map();
    if (branch !== undefined) {
      wanted.set(PLACE_A, [branch.a]);
      if (branch.x !== undefined) wanted.set(PLACE_X, [branch.x]);
    } else if (node.kind === "return") {
      if (node.value.op !== "const") wanted.set(PLACE_A, [node.value]);
    } else {
      const last = this.steps.at(-1);
      if (last?.value !== undefined) wanted.set(last.writes!, [last.value]);
    }
    return wanted;
  }
}

function distinctStates(arrivals: readonly Arrival[]): readonly State[] {
  return arrivals.length === 1 ? [arrivals[0]!.state] : [...new Set(arrivals.map(({ state }) => state))];
}

interface Generated {
  readonly steps: readonly Step[];
  readonly branch: Branch | undefined;
  readonly state: State;
}

/** The steps of a node for a path on which the machine holds `state`. */
function generate(node: Node, state: State, homes: Homes): Generated {
  if (node.kind === "test") return generateTest(node, state, homes);
  if (node.kind === "return" && node.value.op === "const") return { steps: NO_STEPS, branch: undefined, state };
  const machine = new Machine(state, homes);
  switch (node.kind) {
    case "return":
      machine.intoA(node.value);
      break;
    case "touch":
      machine.touch(node.value);
      break;
    case "let":
      machine.name(node.param, node.value);
      break;
    case "draw":
      machine.draw(node.value);
      break;
    case "device":
      machine.checkDevice(node.value, node.load as Value & { k: number });
      break;
    case "call":
      arrange(machine, node.before);
      machine.call(node);
  }
  return generated(machine, state, undefined);
}

function generateTest({ cond, left, right }: TestNode, state: State, homes: Homes): Generated {
  if (right.op === "const") {
    const branch = { code: BRANCH[`${cond}_k`], k: right.k, negated: false, a: left, x: undefined };
    if (state.places[PLACE_A]!.includes(left)) return { steps: NO_STEPS, branch, state };
    const machine = new Machine(state, homes);
    machine.intoA(left);
    return generated(machine, state, branch);
  }
  const machine = new Machine(state, homes);
  const other = machine.clone();
  machine.intoBoth(left, right);
  other.intoBoth(right, left);
  if (machine.steps.length <= other.steps.length) {
    return generated(machine, state, { code: BRANCH[`${cond}_x`], k: 0, negated: false, a: left, x: right });
  }
  // left > right is the opposite of right >= left
  const negated = cond === "gt";
  const code = negated ? CODE.jge_x : BRANCH[`${cond}_x`];
  return generated(other, state, { code, k: 0, negated, a: right, x: left });
}

/** States that hold the same stay one object. */
function generated({ steps, places, device }: Machine, before: State, branch: Branch | undefined): Generated {
  return { steps, branch, state: steps.length === 0 ? before : { places, device } };
}

const BRANCH = {
  eq_k: CODE.jeq_k,
  gt_k: CODE.jgt_k,
  set_k: CODE.jset_k,
  eq_x: CODE.jeq_x,
  gt_x: CODE.jgt_x,
  set_x: CODE.jset_x,
} as const;

/** What each place must hold: one number under all of these names, which on another path can name different ones. */
type Wanted = Map<number, readonly Value[]>;

function satisfies(state: State, wanted: Wanted): boolean {
  for (const [place, names] of wanted) {
    // A number without a name is known to the steps alone.
    if (names.length === 0 || !names.every((name) => state.places[place]!.includes(name))) return false;
  }
  return true;
}

function after(state: State, step: Step): State {
  if (step.writes === undefined) return state;
  const places = [...state.places];
  apply(places, step);
  if (step.call !== undefined) return { places, device: false };
  const device =
    state.device || (step.effect && step.value?.op === "ancillary" && step.value.row.does.kind === "device");
  return { places, device };
}

/** What the places hold behind a step. */
function apply(places: (readonly Value[])[], step: Step): void {
  if (step.call !== undefined) places.splice(0, PLACES, ...step.call.after.map((value) => [value]));
  else if (step.writes !== undefined) places[step.writes] = written(places, step);
}

/** What the place that a step writes holds behind it. */
function written(
  places: readonly (readonly Value[])[],
  { code, reads, writes, value, renames }: Step,
): readonly Value[] {
  if (renames !== undefined) {
    const held = places[writes!]!;
    return held.includes(renames) ? [...held, value!] : held;
  }
  if (isMove(code!)) return places[reads[0]!]!;
  return value === undefined ? [] : [value];
}

/** What both hold; the first of them where the other holds no less. */
function meetStates(a: State, b: State): State {
  if (a === b) return a;
  let places: (readonly Value[])[] | undefined;
  for (let place = 0; place < PLACES; place++) {
    const [held, other] = [a.places[place]!, b.places[place]!];
    if (held === other) continue;
    const common = held.filter((value) => other.includes(value));
    if (common.length === held.length) continue;
    places ??= [...a.places];
    places[place] = common;
  }
  const device = a.device && b.device;
  return places === undefined && device === a.device ? a : { places: places ?? a.places, device };
}
