/**
 * Code for values: the steps that bring a value into A or X, from what the machine already holds.
 *
 * The machine knows which values A, X and each M[] cell hold; a place can hold several names of one number.
 * Generating prefers what is there, then recomputes.
 */
import { ANCILLARY } from "../isa/ancillary.ts";
import { SKF_AD_OFF } from "../isa/limits.ts";
import { CODE, type Opcode } from "../isa/opcodes.ts";
import type { AluOp } from "../isa/semantics.ts";
import type { CallNode } from "./graph.ts";
import { PLACE_A, PLACE_X, PLACES } from "./places.ts";
import { COMMUTATIVE, headerLengthOf, type Value } from "./value.ts";

/** Which values each place holds. */
export type Holding = readonly (readonly Value[])[];

export interface State {
  readonly places: Holding;
  /** The path has shown that the packet has a device. */
  readonly device: boolean;
}

/** One instruction, or none (`code` undefined) where only a name is added. */
export interface Step {
  readonly code: number | undefined;
  readonly k: number;
  readonly reads: readonly number[];
  readonly writes: number | undefined;
  /** What the written place holds afterwards. */
  readonly value: Value | undefined;
  /** Must stay although nothing may read the result. */
  readonly effect: boolean;
  /** Where only a name is added: what the place must hold to get it. */
  readonly renames?: Value;
  /** A user's instruction: reads and writes every place. */
  readonly call?: CallNode;
}

/** A value that can not be brought back: a parameter that no place holds any more. */
export class Unavailable extends Error {}

/** Thrown often while ways are tried; one object saves making its stack each time. */
export const UNAVAILABLE = new Unavailable("no place holds the value");

const ALL: readonly number[] = Array.from({ length: PLACES }, (_, place) => place);
const NOTHING: readonly Value[] = Object.freeze([]);

/** Ways tried for one node: each of nested values has several, and all of them together are too many. */
const MOST_TRIES = 64;

export interface Homes {
  /** The cell of each value that is stored when computed. */
  readonly cells: ReadonlyMap<Value, number>;
  /** Cells from here up are free for temporaries. */
  readonly free: number;
}

export class Machine {
  readonly places: (readonly Value[])[];
  device: boolean;
  readonly steps: Step[] = [];
  readonly #homes: Homes;
  /** Ways that may still be tried; the machines that try them share it. */
  readonly #tries: { left: number };
  #temporaries = 0;

  constructor(state: State, homes: Homes, tries = { left: MOST_TRIES }) {
    this.places = [...state.places];
    this.device = state.device;
    this.#homes = homes;
    this.#tries = tries;
  }

  clone(): Machine {
    const copy = new Machine(this, this.#homes, this.#tries);
    copy.steps.push(...this.steps);
    copy.#temporaries = this.#temporaries;
    return copy;
  }

  holds(place: number, value: Value): boolean {
    return this.places[place]!.includes(value);
  }

  /** Brings `value` into A. */
  intoA(value: Value): void {
    if (this.holds(PLACE_A, value)) return;
    const cell = this.#cellOf(value);
    if (this.holds(PLACE_X, value)) this.#step(CODE.txa, 0, [PLACE_X], PLACE_A, value);
    else if (immediate(value) !== undefined) this.#step(CODE.ld_imm, immediate(value)!, [], PLACE_A, value);
    else if (cell !== undefined) this.#step(CODE.ld_mem, cell, [cell], PLACE_A, value);
    else {
      this.#compute(value);
      this.#keep(value, PLACE_A);
    }
  }

  /** Brings `value` into X; A may change. */
  intoX(value: Value): void {
    if (this.holds(PLACE_X, value)) return;
    if (!this.directlyIntoX(value)) {
      this.intoA(value);
      this.#step(CODE.tax, 0, [PLACE_A], PLACE_X, value);
    }
  }

  /** Brings `left` into A and `right` into X. */
  intoBoth(left: Value, right: Value): void {
    if (this.holds(PLACE_A, left) && this.directlyIntoX(right)) return;
    if (this.#tries.left <= 0) {
      this.#withoutTrying(left, right);
      return;
    }
    const ways = [
      (machine: Machine) => machine.leftFirst(left, right),
      (machine: Machine) => machine.rightFirst(left, right),
    ];
    if (this.holds(PLACE_X, right)) ways.reverse();
    const done =
      this.tried(ways[0]!) ?? this.tried(ways[1]!) ?? this.tried((machine) => machine.#throughMemory(left, right));
    if (done === undefined) throw UNAVAILABLE;
    this.become(done);
  }

  /** Adds a name to every place that holds `value`, after bringing it into A or X. */
  name(param: Value, value: Value): void {
    if (!this.places.some((held) => held.includes(value)) && !this.directlyIntoX(value)) this.intoA(value);
    for (let place = 0; place < PLACES; place++) {
      const held = this.places[place]!.filter((v) => v !== param);
      this.places[place] = held;
      if (held.includes(value)) this.#rename(place, param, value);
    }
    const home = this.#homes.cells.get(param);
    if (home === undefined || this.holds(home, param)) return;
    if (!this.holds(PLACE_A, param) && !this.holds(PLACE_X, param)) this.directlyIntoX(param); // from another cell
    this.store(this.holds(PLACE_A, param) ? PLACE_A : PLACE_X, home, param);
  }

  /** Runs the load for its effect. */
  touch(value: Value): void {
    const header = headerLengthOf(value);
    if (header !== undefined && this.directlyIntoX(value)) return;
    this.intoA(value);
  }

  /** `ld [k]` of an IFINDEX or HATYPE while A is `a`. */
  checkDevice(a: Value, load: Value & { k: number }): void {
    this.intoA(a);
    this.device = true;
    this.#step(CODE.ldw_abs, load.k, [PLACE_A], PLACE_A, load, true);
  }

  draw(value: Value): void {
    this.#step(CODE.ldw_abs, RANDOM_K, [], PLACE_A, value, true);
    this.#keep(value, PLACE_A);
  }

  /** The user's instruction; every place holds what it held in the input, see calls.ts. */
  call(node: CallNode): void {
    const { code, k } = node.instruction;
    this.steps.push({ code, k, reads: ALL, writes: PLACE_A, value: node.after[PLACE_A], effect: true, call: node });
    this.places.splice(0, PLACES, ...node.after.map((value) => [value]));
    this.device = false;
  }

  /** X = A, or A = X. */
  move(from: number): void {
    if (from === PLACE_A) this.#step(CODE.tax, 0, [PLACE_A], PLACE_X, undefined);
    else this.#step(CODE.txa, 0, [PLACE_X], PLACE_A, undefined);
  }

  leftFirst(left: Value, right: Value): void {
    this.intoA(left);
    if (!this.directlyIntoX(right)) throw UNAVAILABLE;
  }

  rightFirst(left: Value, right: Value): void {
    this.intoX(right);
    this.intoA(left);
    if (!this.holds(PLACE_X, right)) throw UNAVAILABLE;
  }

  #throughMemory(left: Value, right: Value): void {
    const cell = 15 - this.#temporaries++;
    if (cell < this.#homes.free) throw UNAVAILABLE;
    this.intoA(right);
    this.store(PLACE_A, cell, right);
    this.intoA(left);
    this.#step(CODE.ldx_mem, cell, [cell], PLACE_X, right);
    this.#temporaries--;
  }

  /** One way that needs no other: both through memory where neither leaves X alone, the longer one first. */
  #withoutTrying(left: Value, right: Value): void {
    if (right.op === "const" || right.op === "length") this.leftFirst(left, right);
    else if (!needsX(left) && !this.holds(PLACE_X, left)) this.rightFirst(left, right);
    else if (left.weight < right.weight) this.#throughMemory(left, right);
    else {
      const cell = 15 - this.#temporaries;
      if (cell < this.#homes.free) throw UNAVAILABLE;
      this.intoA(left);
      this.#temporaries++;
      this.store(PLACE_A, cell, left);
      this.intoX(right);
      this.#step(CODE.ld_mem, cell, [cell], PLACE_A, left);
      this.#temporaries--;
    }
  }

  become(other: Machine): void {
    this.steps.splice(0, this.steps.length, ...other.steps);
    this.places.splice(0, PLACES, ...other.places);
    this.device = other.device;
  }

  /** X = value without a detour through A; false when there is no such instruction. */
  directlyIntoX(value: Value): boolean {
    if (this.holds(PLACE_X, value)) return true;
    const cell = this.#cellOf(value);
    const header = headerLengthOf(value);
    if (immediate(value) !== undefined) this.#step(CODE.ldx_imm, immediate(value)!, [], PLACE_X, value);
    // A move leaves a store that nothing else reads without a reader.
    else if (this.holds(PLACE_A, value)) this.#step(CODE.tax, 0, [PLACE_A], PLACE_X, value);
    else if (cell !== undefined) this.#step(CODE.ldx_mem, cell, [cell], PLACE_X, value);
    else if (value.op === "length") this.#step(CODE.ldx_len, 0, [], PLACE_X, value);
    else if (header !== undefined && header.anchor === undefined) {
      this.#step(CODE.ldxb_msh, header.k, [], PLACE_X, value, true);
      this.#keep(value, PLACE_X);
    } else return false;
    return true;
  }

  #compute(value: Value): void {
    switch (value.op) {
      case "load":
        this.#load(value);
        break;
      case "length":
        this.#step(CODE.ld_len, 0, [], PLACE_A, value);
        break;
      case "ancillary":
        this.#ancillary(value);
        break;
      case "nlattr":
        this.intoBoth(value.left, value.right);
        this.#step(CODE.ldw_abs, value.k, [PLACE_A, PLACE_X], PLACE_A, value);
        break;
      case "const":
      case "random":
      case "param":
      case "result":
        throw UNAVAILABLE;
      default:
        this.#alu(value, value.op);
    }
  }

  #load(value: Extract<Value, { op: "load" }>): void {
    const { anchor, k, size } = value;
    if (anchor === undefined && k < SKF_AD_OFF) {
      const code = size === 4 ? CODE.ldw_abs : size === 2 ? CODE.ldh_abs : CODE.ldb_abs;
      this.#step(code, k, [], PLACE_A, value, true);
      return;
    }
    const code = size === 4 ? CODE.ldw_ind : size === 2 ? CODE.ldh_ind : CODE.ldb_ind;
    // X may hold anchor + c: the load then counts from there.
    const near = this.places[PLACE_X]!.find((held) => distance(held, anchor) !== undefined);
    if (near !== undefined) {
      this.#step(code, (k - distance(near, anchor)!) >>> 0, [PLACE_X], PLACE_A, value, true);
    } else if (anchor !== undefined) {
      this.intoX(anchor);
      this.#step(code, k, [PLACE_X], PLACE_A, value, true);
    } else {
      // Only the indirect form reads packet bytes at these offsets.
      this.#step(CODE.ldx_imm, k, [], PLACE_X, undefined);
      this.#step(code, 0, [PLACE_X], PLACE_A, value, true);
    }
  }

  #ancillary(value: Extract<Value, { op: "ancillary" }>): void {
    if (value.row.does.kind !== "device") {
      this.#step(CODE.ldw_abs, value.k, [], PLACE_A, value);
      return;
    }
    // Without a device the verdict is A, and a hazard stands for verdict 0.
    if (!this.device && !this.places[PLACE_A]!.some((held) => held.op === "const" && held.k === 0)) {
      this.#step(CODE.ld_imm, 0, [], PLACE_A, undefined, true);
    }
    this.device = true;
    this.#step(CODE.ldw_abs, value.k, [PLACE_A], PLACE_A, value, true);
  }

  #alu(value: Extract<Value, { readonly op: AluOp }>, op: AluOp): void {
    const { left, right } = value;
    if (op === "sub" && left.op === "const" && left.k === 0) {
      this.intoA(right);
      this.#step(CODE.neg, 0, [PLACE_A], PLACE_A, value);
    } else if (right.op === "const") {
      this.intoA(left);
      this.#step(CODE[`${op}_k`], right.k, [PLACE_A], PLACE_A, value);
    } else {
      this.#operands(left, right, COMMUTATIVE.has(op));
      this.#step(CODE[`${op}_x`], 0, [PLACE_A, PLACE_X], PLACE_A, value, op === "div" || op === "mod");
    }
  }

  /** Brings one operand into A and the other into X. */
  #operands(left: Value, right: Value, commutes: boolean): void {
    if (this.#tries.left <= 0) {
      if (commutes && !needsX(right)) this.intoBoth(right, left);
      else this.intoBoth(left, right);
      return;
    }
    const other = commutes ? this.tried((machine) => machine.intoBoth(right, left)) : undefined;
    const straight = this.tried((machine) => machine.intoBoth(left, right));
    const best = straight === undefined || (other && other.#cost < straight.#cost) ? other : straight;
    if (best === undefined) throw UNAVAILABLE;
    this.become(best);
  }

  /** Instructions; of as many those are better that read no cell, as a store without a reader goes. */
  get #cost(): number {
    return this.steps.reduce((sum, { code }) => sum + (code === CODE.ld_mem || code === CODE.ldx_mem ? 1.01 : 1), 0);
  }

  /** A copy on which the work was done, or undefined where it can not be. */
  tried(work: (machine: Machine) => void): Machine | undefined {
    const machine = this.clone();
    this.#tries.left--;
    try {
      work(machine);
      return machine;
    } catch (reason) {
      if (reason instanceof Unavailable) return undefined;
      throw reason;
    }
  }

  /** A cell that holds the value, its own for choice: a value it was named after may be in another. */
  #cellOf(value: Value): number | undefined {
    const home = this.#homes.cells.get(value);
    if (home !== undefined && this.holds(home, value)) return home;
    for (let cell = 0; cell < PLACE_A; cell++) if (this.holds(cell, value)) return cell;
    return undefined;
  }

  #keep(value: Value, from: number): void {
    const home = this.#homes.cells.get(value);
    if (home !== undefined && !this.holds(home, value)) this.store(from, home, value);
  }

  /** `value` from A or X into a cell. */
  store(from: number, cell: number, value: Value): void {
    this.#step(from === PLACE_A ? CODE.st : CODE.stx, cell, [from], cell, value);
  }

  #rename(place: number, param: Value, renames: Value): void {
    const step = { code: undefined, k: 0, reads: [], writes: place, value: param, effect: false, renames };
    this.steps.push(step);
    this.places[place] = [...this.places[place]!, param];
  }

  #step(
    code: Opcode,
    k: number,
    reads: readonly number[],
    writes: number,
    value: Value | undefined,
    effect = false,
  ): void {
    this.steps.push({ code, k, reads, writes, value, effect });
    this.places[writes] = isMove(code) ? this.places[reads[0]!]! : value === undefined ? NOTHING : [value];
  }
}

/** True for instructions that bring a number from one place to another. */
export function isMove(code: number): boolean {
  switch (code) {
    case CODE.tax:
    case CODE.txa:
    case CODE.ld_mem:
    case CODE.ldx_mem:
    case CODE.st:
    case CODE.stx:
      return true;
    default:
      return false;
  }
}

/** True when X is written on the way to the value. */
function needsX(value: Value): boolean {
  if (value.op === "load") return value.anchor !== undefined || value.k >= SKF_AD_OFF;
  return "left" in value && (value.op === "nlattr" || value.right.op !== "const" || needsX(value.left));
}

const RANDOM_K = ANCILLARY.find((row) => row.does.kind === "random")!.k;

/** c when `held` is anchor + c, modulo 2^32. */
function distance(held: Value, anchor: Value | undefined): number | undefined {
  if (held === anchor) return 0;
  if (anchor === undefined) return held.op === "const" ? held.k : undefined;
  if (held.op === "add" && held.right.op === "const" && held.left === anchor) return held.right.k;
  return undefined;
}

/** The number where it is known: a constant, or what a cell that calls can see holds at the start. */
export function immediate(value: Value): number | undefined {
  if (value.op === "const") return value.k;
  return value.op === "result" && value.call < 0 ? 0 : undefined;
}
