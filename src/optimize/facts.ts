/**
 * Facts: what the tests on a path have shown about values, and which tests they decide.
 *
 * A fact bounds a value, fixes some of its bits, and excludes masked values: `(v & mask) != value`.  Facts are kept
 * for the root of a value and carried through the operations with constants above it.  Environments are immutable;
 * learning gives a new one.
 */
import { ALU, CONDITION } from "../isa/semantics.ts";
import type { Test } from "./graph.ts";
import { ALWAYS_SAFE, type Hazards, join, meet as meetHazards } from "./hazards.ts";
import { fill, isPowerOfTwo, type Value } from "./value.ts";

/** Of values v: `(v & mask) != value`, in the order learned.  Lists with the same start share its storage. */
class Exclusions {
  readonly #masks: number[];
  readonly #values: number[];
  readonly length: number;

  constructor(masks: number[], values: number[], length: number) {
    this.#masks = masks;
    this.#values = values;
    this.length = length;
  }

  with(mask: number, value: number): Exclusions {
    // Nothing was added behind the end of this list yet; the empty one belongs to everybody.
    const shared = this.length > 0 && this.length === this.#masks.length;
    const masks = shared ? this.#masks : this.#masks.slice(0, this.length);
    const values = shared ? this.#values : this.#values.slice(0, this.length);
    masks.push(mask);
    values.push(value);
    return new Exclusions(masks, values, masks.length);
  }

  /** The start that both have. */
  common(other: Exclusions): Exclusions {
    const most = Math.min(this.length, other.length);
    let length = this.#masks === other.#masks ? most : 0;
    while (
      length < most &&
      this.#masks[length] === other.#masks[length] &&
      this.#values[length] === other.#values[length]
    ) {
      length++;
    }
    return length === this.length ? this : new Exclusions(this.#masks, this.#values, length);
  }

  /** True when one of those learned last says so. */
  some(holds: (mask: number, value: number) => boolean): boolean {
    const first = Math.max(0, this.length - MOST_EXCLUSIONS);
    for (let i = this.length - 1; i >= first; i--) if (holds(this.#masks[i]!, this.#values[i]!)) return true;
    return false;
  }
}

const NOTHING_EXCLUDED = new Exclusions([], [], 0);

export interface Fact {
  readonly low: number;
  readonly high: number;
  /** Bits known to be 0, and to be 1. */
  readonly zeros: number;
  readonly ones: number;
  readonly excluded: Exclusions;
}

/** More facts than this are not kept along a path; the oldest goes. */
const MOST_FACTS = 48;
/** Exclusions looked at before a test counts as undecided. */
const MOST_EXCLUSIONS = 512;

export class Facts {
  /** The values that facts are known about, the one learned last at the end; short, so searched from there. */
  readonly #subjects: readonly Value[];
  readonly #facts: readonly Fact[];
  /** Outcomes of tests between two values. */
  readonly #outcomes: ReadonlyMap<string, boolean>;
  /** What the loads of the path have proven. */
  readonly proven: Hazards;

  constructor(
    subjects: readonly Value[],
    facts: readonly Fact[],
    outcomes: ReadonlyMap<string, boolean>,
    proven: Hazards,
  ) {
    this.#subjects = subjects;
    this.#facts = facts;
    this.#outcomes = outcomes;
    this.proven = proven;
  }

  /** With the hazards of an evaluated value proven. */
  evaluated(value: Value): Facts {
    const proven = join(this.proven, value.hazards);
    return proven === this.proven ? this : new Facts(this.#subjects, this.#facts, this.#outcomes, proven);
  }

  /** With the parameter known to be what `value` is. */
  named(param: Value, value: Value): Facts {
    return this.#with(param, this.known(value));
  }

  /** With the outcome of a test added. */
  learned(test: Test, outcome: boolean): Facts {
    const { left, right, cond } = test;
    if (right.op !== "const") {
      const outcomes = new Map(this.#outcomes);
      if (outcomes.size >= MOST_FACTS) outcomes.delete(outcomes.keys().next().value!);
      return new Facts(this.#subjects, this.#facts, outcomes.set(outcomeKey(test), outcome), this.proven);
    }
    const k = right.k;
    let subject = left;
    let mask = 0xffffffff;
    if (left.op === "and" && left.right.op === "const" && cond === "eq") {
      subject = left.left;
      mask = left.right.k;
    }
    return this.#with(subject, narrowed(this.known(subject), cond, k, mask, outcome));
  }

  /** What is common to both environments. */
  meet(other: Facts): Facts {
    if (this === other) return this;
    const subjects: Value[] = [];
    const facts: Fact[] = [];
    for (let i = 0; i < this.#subjects.length; i++) {
      const subject = this.#subjects[i]!;
      // Most often both learned the same before they parted.
      const theirs = other.#subjects[i] === subject ? other.#facts[i] : other.#about(subject);
      if (theirs === undefined) continue;
      subjects.push(subject);
      facts.push(either(this.#facts[i]!, theirs));
    }
    let outcomes = this.#outcomes;
    if (outcomes !== other.#outcomes) {
      outcomes = new Map([...outcomes].filter(([key, outcome]) => other.#outcomes.get(key) === outcome));
    }
    return new Facts(subjects, facts, outcomes, meetHazards(this.proven, other.proven));
  }

  /** The outcome of a test, where the facts decide it. */
  decide(test: Test): boolean | undefined {
    const { left, right, cond } = test;
    if (right.op !== "const") {
      const known = this.#outcomes.get(outcomeKey(test));
      if (known !== undefined) return known;
      const a = this.known(left);
      const b = this.known(right);
      if (a.low === a.high && b.low === b.high) return CONDITION[cond](a.low, b.low);
      if (cond === "gt") return a.low > b.high ? true : a.high <= b.low ? false : undefined;
      if (cond === "eq") return a.low > b.high || a.high < b.low ? false : undefined;
      return undefined;
    }
    const k = right.k;
    const fact = this.known(left);
    if (fact.low === fact.high) return CONDITION[cond](fact.low, k);
    switch (cond) {
      case "gt":
        return fact.low > k ? true : fact.high <= k ? false : undefined;
      case "eq":
        if (k < fact.low || k > fact.high || (k & fact.zeros) !== 0 || (~k & fact.ones) !== 0) return false;
        return this.#excludes(left, k) ? false : undefined;
      case "set":
        if ((fact.ones & k) !== 0) return true;
        if ((k & ~fact.zeros) === 0) return false;
        return this.#someBit(left, k) ? true : undefined;
    }
  }

  /** Bounds and bits of a value under these facts. */
  known(value: Value): Fact {
    const own = this.#about(value);
    if (value.op === "const") return exactly(value.k);
    if (value.root === value || !("left" in value) || value.right.op !== "const") {
      return own ?? { low: 0, high: value.max, zeros: ~value.bits, ones: 0, excluded: NOTHING_EXCLUDED };
    }
    const derived = through(value.op, this.known(value.left), value.right.k, value);
    return own === undefined ? derived : both(own, derived);
  }

  #about(subject: Value): Fact | undefined {
    const at = this.#subjects.lastIndexOf(subject);
    return at < 0 ? undefined : this.#facts[at];
  }

  #with(subject: Value, fact: Fact): Facts {
    const subjects = [...this.#subjects];
    const facts = [...this.#facts];
    const known = subjects.lastIndexOf(subject);
    const oldest = subjects.length >= MOST_FACTS ? 0 : -1;
    const gone = known >= 0 ? known : oldest;
    if (gone >= 0) {
      subjects.splice(gone, 1);
      facts.splice(gone, 1);
    }
    subjects.push(subject);
    facts.push(fact);
    return new Facts(subjects, facts, this.#outcomes, this.proven);
  }

  /** True when an exclusion about the value, or about what it masks, rules `k` out. */
  #excludes(left: Value, k: number): boolean {
    if (this.#about(left)?.excluded.some((mask, value) => (k & mask) >>> 0 === value)) return true;
    if (left.op !== "and" || left.right.op !== "const") return false;
    const kept = left.right.k;
    const fact = this.#about(left.left);
    return fact?.excluded.some((mask, value) => (mask & ~kept) === 0 && (k & mask) >>> 0 === value) ?? false;
  }

  #someBit(left: Value, k: number): boolean {
    return this.#about(left)?.excluded.some((mask, value) => value === 0 && (mask & ~k) === 0) ?? false;
  }
}

/** Nothing known.  Not a static field: tsc renames a class inside its own body before it has a value. */
export const NO_FACTS = new Facts([], [], new Map(), ALWAYS_SAFE);

function outcomeKey({ cond, left, right }: Test): string {
  return `${cond}${left.id},${right.id}`;
}

function exactly(k: number): Fact {
  return { low: k, high: k, zeros: ~k, ones: k, excluded: NOTHING_EXCLUDED };
}

/** The fact about `v` after `(v & mask) cond k` came out; a mask only comes with "eq". */
function narrowed(fact: Fact, cond: Test["cond"], k: number, mask: number, outcome: boolean): Fact {
  let { low, high, zeros, ones } = fact;
  switch (cond) {
    case "eq":
      if (!outcome) {
        if (mask === 0xffffffff && k === low) low++;
        if (mask === 0xffffffff && k === high) high--;
        return settled(low, high, zeros, ones, fact.excluded.with(mask, k));
      }
      zeros |= mask & ~k;
      ones |= mask & k;
      if (mask === 0xffffffff) low = high = k;
      break;
    case "gt":
      if (outcome) low = Math.max(low, k + 1);
      else high = Math.min(high, k);
      break;
    case "set":
      if (!outcome) zeros |= k;
      else if (isPowerOfTwo(k)) ones |= k;
      else return settled(low, high, zeros, ones, fact.excluded.with(k, 0));
  }
  // An excluded number is no bound.
  const isBound = (m: number, value: number) => m === 0xffffffff && (value === low || value === high);
  for (let n = 0; low < high && n < MOST_EXCLUSIONS && fact.excluded.some(isBound); n++) {
    if (fact.excluded.some((m, value) => m === 0xffffffff && value === low)) low++;
    else high--;
  }
  return settled(low, high, zeros, ones, fact.excluded);
}

/** A fact with bounds and bits made consistent with each other. */
function settled(low: number, high: number, zeros: number, ones: number, excluded: Exclusions): Fact {
  const hi = Math.min(high, ~zeros >>> 0);
  return { low: Math.max(low, ones >>> 0), high: hi, zeros: zeros | ~fill(hi), ones, excluded };
}

function both(a: Fact, b: Fact): Fact {
  const [low, high] = [Math.max(a.low, b.low), Math.min(a.high, b.high)];
  return settled(low, high, a.zeros | b.zeros, a.ones | b.ones, a.excluded);
}

function either(a: Fact, b: Fact): Fact {
  if (a === b) return a;
  return {
    low: Math.min(a.low, b.low),
    high: Math.max(a.high, b.high),
    zeros: a.zeros & b.zeros,
    ones: a.ones & b.ones,
    excluded: a.excluded.common(b.excluded),
  };
}

/** What is known of `v op k` when `fact` is known of v. */
function through(op: Exclude<Value["op"], "const">, fact: Fact, k: number, value: Value): Fact {
  if (fact.low === fact.high && op in ALU) {
    return exactly(ALU[op as keyof typeof ALU](fact.low, k));
  }
  let low = 0;
  let high = value.max;
  let zeros = ~value.bits;
  let ones = 0;
  switch (op) {
    case "and":
      zeros |= fact.zeros | ~k;
      ones = fact.ones & k;
      high = Math.min(high, fact.high);
      break;
    case "or":
      zeros |= fact.zeros & ~k;
      ones = fact.ones | k;
      low = Math.max(fact.low, k);
      break;
    case "xor":
      zeros |= (fact.zeros & ~k) | (fact.ones & k);
      ones = (fact.ones & ~k) | (fact.zeros & k);
      break;
    case "add":
      if (fact.high + k <= 0xffffffff) {
        low = fact.low + k;
        high = Math.min(high, fact.high + k);
      } else if (fact.low + k > 0xffffffff) {
        low = fact.low + k - 2 ** 32;
        high = fact.high + k - 2 ** 32;
      }
      break;
    case "lsh":
      if (fact.high * 2 ** k <= 0xffffffff) {
        low = fact.low * 2 ** k;
        high = fact.high * 2 ** k;
      }
      zeros |= (fact.zeros << k) | (2 ** k - 1);
      ones = fact.ones << k;
      break;
    case "rsh":
      low = fact.low >>> k;
      high = fact.high >>> k;
      zeros |= (fact.zeros >>> k) | ~(0xffffffff >>> k);
      ones = fact.ones >>> k;
      break;
    case "div":
      low = Math.trunc(fact.low / k);
      high = Math.trunc(fact.high / k);
      break;
    default:
  }
  return settled(low, high, zeros, ones, NOTHING_EXCLUDED);
}
