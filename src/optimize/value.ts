/**
 * Values: what a register or a memory cell holds, as an expression over the packet.
 *
 * Values are pure and hash-consed: equal expressions are the same object.  Building one folds constants and picks one
 * spelling for equal things (`4*([14]&0xf)` is `(P1[14] & 15) << 2`, `- 3` is `+ 0xfffffffd`).  A value knows its
 * largest number, the bits that can be set, and its hazards: what must hold for its evaluation not to end the program.
 *
 * A user's instruction may write to the packet and to its context.  What is read of them therefore says since when
 * (`since`, the index of an instruction, 0 for the start), and the same read in front of a call and behind it are two
 * values.  The number of captured bytes never changes.
 */
import { type AncillaryRow, ancillaryAt } from "../isa/ancillary.ts";
import { SKF_LL_OFF, U32_MAX } from "../isa/limits.ts";
import { ALU, type AluOp } from "../isa/semantics.ts";
import { ALWAYS_SAFE, type Hazards, hazard, join } from "./hazards.ts";
import { placeName } from "./places.ts";

export type Value =
  | (Common & { readonly op: "const"; readonly k: number })
  /** A big-endian load at anchor + k modulo 2^32; without an anchor at k. */
  | (Common & {
      readonly op: "load";
      readonly anchor: Value | undefined;
      readonly k: number;
      readonly size: 1 | 2 | 4;
      readonly since: number;
    })
  | (Common & { readonly op: "length"; readonly since: number })
  /** An ancillary value that reads no register; `k` is the load's. */
  | (Common & { readonly op: "ancillary"; readonly k: number; readonly row: AncillaryRow; readonly since: number })
  /** NLATTR and NLATTR_NEST: searched from offset `left` for type `right`. */
  | (Common & {
      readonly op: "nlattr";
      readonly k: number;
      readonly left: Value;
      readonly right: Value;
      readonly since: number;
    })
  /** The n-th RANDOM load of the program: each is its own value. */
  | (Common & { readonly op: "random"; readonly n: number })
  /** A value that a `let` node names: one of several, depending on the path. */
  | (Common & { readonly op: "param"; readonly n: number })
  /** What the user's instruction at index `call` left in a place; -1 for what a cell holds when the program starts. */
  | (Common & { readonly op: "result"; readonly call: number; readonly place: number })
  | (Common & { readonly op: AluOp; readonly left: Value; readonly right: Value });

interface Common {
  readonly id: number;
  /** Largest number it can be. */
  readonly max: number;
  /** Bits that can be set. */
  readonly bits: number;
  readonly hazards: Hazards;
  /** The value under the operations with constants: what facts are kept about. */
  readonly root: Value;
  /** A bit for every parameter in it; 31 parameters share the bits. */
  readonly params: number;
  /** Nodes of the expression, saturating; bounds the work on shared expressions. */
  readonly weight: number;
}

export const COMMUTATIVE: ReadonlySet<AluOp> = new Set<AluOp>(["add", "mul", "and", "or", "xor"]);

/** Of a value that can be any number and is always there. */
const ANY = { max: U32_MAX, bits: U32_MAX, hazards: ALWAYS_SAFE, weight: 1 };

/** Makes values, and gives equal expressions the same object. */
export class Values {
  /** By what they are made of; constants, which are asked for most often, by their number. */
  readonly #interned = new Map<string | number, Value>();
  #next = 0;
  #params = 0;

  constant(k: number): Value {
    const c = k >>> 0;
    const known = this.#interned.get(c);
    return known ?? this.#intern(c, { op: "const", k: c, max: c, bits: c, hazards: ALWAYS_SAFE, weight: 1 });
  }

  length(since = 0): Value {
    return this.#intern(`len@${since}`, { op: "length", ...ANY, since });
  }

  /** The load of `size` bytes at `base + k`, or undefined where every such load fails. */
  load(base: Value | undefined, k: number, size: 1 | 2 | 4, since = 0): Value | undefined {
    let anchor = base;
    let offset = k;
    if (anchor?.op === "add" && anchor.right.op === "const") {
      offset = (offset + anchor.right.k) >>> 0;
      anchor = anchor.left;
    }
    if (anchor?.op === "const") {
      offset = (offset + anchor.k) >>> 0;
      anchor = undefined;
    }
    if (anchor === undefined && offset >= 0x80000000 && offset < SKF_LL_OFF) return undefined;
    const max = size === 4 ? U32_MAX : 2 ** (8 * size) - 1;
    const own = loadHazard(anchor, offset, size, since);
    return this.#intern(`l${anchor?.id ?? "-"},${offset},${size}@${since}`, {
      op: "load",
      anchor,
      k: offset,
      size,
      max,
      bits: max,
      hazards: anchor === undefined ? own : join(anchor.hazards, own),
      weight: 1 + (anchor?.weight ?? 0),
      since,
    });
  }

  ancillary(k: number, since = 0): Value {
    const row = ancillaryAt(k)!;
    const max = row.width === 32 ? U32_MAX : 2 ** row.width - 1;
    const hazards = row.does.kind === "device" ? hazard(`device@${since}`, 1) : ALWAYS_SAFE;
    return this.#intern(`a${k}@${since}`, { op: "ancillary", k, row, max, bits: max, hazards, weight: 1, since });
  }

  nlattr(k: number, left: Value, right: Value, since = 0): Value {
    const hazards = join(left.hazards, right.hazards);
    const weight = left.weight + right.weight;
    const fields = { op: "nlattr", k, left, right, ...ANY, hazards, weight, since };
    return this.#intern(`n${k},${left.id},${right.id}@${since}`, fields);
  }

  random(n: number): Value {
    return this.#intern(`r${n}`, { op: "random", n, ...ANY });
  }

  result(call: number, place: number): Value {
    return this.#intern(`u${call},${place}`, { op: "result", call, place, ...ANY });
  }

  /** A fresh parameter that never exceeds `max`. */
  param(max: number): Value {
    const n = this.#params++;
    const bits = fill(max);
    return this.#intern(`p${n}`, { op: "param", n, max, bits, hazards: ALWAYS_SAFE, weight: 1 });
  }

  negate(value: Value): Value {
    return this.alu("sub", this.constant(0), value);
  }

  /** `left op right`, folded where the result is known or has a simpler spelling; no division by a constant 0. */
  alu(op: AluOp, left: Value, right: Value): Value {
    if (left.op === "const" && right.op === "const") return this.constant(ALU[op](left.k, right.k));
    if (COMMUTATIVE.has(op) && (left.op === "const" || (right.op !== "const" && left.id > right.id))) {
      return this.alu(op, right, left);
    }
    const folded = right.op === "const" ? this.#withConstant(op, left, right.k) : this.#withItself(op, left, right);
    if (folded !== undefined) return folded;
    const [max, bits] = bounds(op, left, right);
    const operands = join(left.hazards, right.hazards);
    const divides = (op === "div" || op === "mod") && right.op !== "const";
    return this.#intern(`${op}${left.id},${right.id}`, {
      op,
      left,
      right,
      max,
      bits,
      hazards: divides ? join(operands, hazard(`divisor${right.id}`, 1)) : operands,
      weight: Math.min(1e6, left.weight + right.weight),
    });
  }

  /** The same expression with `from` replaced; undefined where evaluating it then always ends the program. */
  substitute(value: Value, from: Value, to: Value, memo: Map<Value, Value | undefined> = new Map()): Value | undefined {
    if (value === from) return to;
    if (memo.has(value)) return memo.get(value);
    let result: Value | undefined = value;
    if (value.op === "load") {
      if (value.anchor !== undefined) {
        const anchor = this.substitute(value.anchor, from, to, memo);
        result = anchor === value.anchor ? value : anchor && this.load(anchor, value.k, value.size, value.since);
      }
    } else if ("left" in value) {
      const left = this.substitute(value.left, from, to, memo);
      const right = this.substitute(value.right, from, to, memo);
      if (left === undefined || right === undefined || isZero(value.op, right)) result = undefined;
      else if (left !== value.left || right !== value.right) {
        result =
          value.op === "nlattr" ? this.nlattr(value.k, left, right, value.since) : this.alu(value.op, left, right);
      }
    }
    memo.set(value, result);
    return result;
  }

  #withConstant(op: AluOp, left: Value, k: number): Value | undefined {
    switch (op) {
      case "sub":
        return this.alu("add", left, this.constant(-k));
      case "add":
      case "xor":
      case "or":
        if (k === 0) return left;
        return this.#reassociate(op, left, k);
      case "and": {
        const kept = (left.bits & k) >>> 0;
        if (kept === 0) return this.constant(0);
        if (kept === left.bits) return left;
        if (kept !== k) return this.alu("and", left, this.constant(kept));
        return this.#reassociate(op, left, k) ?? this.#narrow(left, k);
      }
      case "mul":
        if (k === 0) return this.constant(0);
        if (isPowerOfTwo(k)) return this.alu("lsh", left, this.constant(log2(k)));
        return this.#reassociate(op, left, k);
      case "div":
        return isPowerOfTwo(k) ? this.alu("rsh", left, this.constant(log2(k))) : undefined;
      case "mod":
        return isPowerOfTwo(k) ? this.alu("and", left, this.constant(k - 1)) : undefined;
      case "lsh":
      case "rsh": {
        const count = k & 31; // a count in a register can be anything and is taken modulo 32
        if (count === 0) return left;
        if (count !== k) return this.alu(op, left, this.constant(count));
        if (left.op === op && left.right.op === "const") {
          const sum = left.right.k + count;
          return sum > 31 ? this.constant(0) : this.alu(op, left.left, this.constant(sum));
        }
        return op === "rsh" && left.max >>> count === 0 ? this.constant(0) : undefined;
      }
    }
  }

  /** `(v op c) op k` as `v op (c op k)`, for associative operations. */
  #reassociate(op: AluOp, left: Value, k: number): Value | undefined {
    if (left.op !== op || left.right.op !== "const") return undefined;
    return this.alu(op, left.left, this.constant(ALU[op](left.right.k, k)));
  }

  /** The low bytes of a longer load are a shorter load with the same end. */
  #narrow(left: Value, k: number): Value | undefined {
    if (left.op !== "load" || left.anchor !== undefined || left.k >= 0x80000000) return undefined;
    if (k === 0xff && left.size > 1) return this.load(undefined, left.k + left.size - 1, 1, left.since);
    if (k === 0xffff && left.size > 2) return this.load(undefined, left.k + left.size - 2, 2, left.since);
    return undefined;
  }

  #withItself(op: AluOp, left: Value, right: Value): Value | undefined {
    if (left !== right) return undefined;
    if (op === "sub" || op === "xor") return this.constant(0);
    return op === "and" || op === "or" ? left : undefined;
  }

  #intern(key: string | number, fields: Record<string, unknown>): Value {
    const known = this.#interned.get(key);
    if (known !== undefined) return known;
    const value = { id: this.#next++, ...fields } as Value & { root: Value; params: number };
    value.params = paramsOf(value);
    value.root = "left" in value && value.op !== "nlattr" && value.right.op === "const" ? value.left.root : value;
    this.#interned.set(key, value);
    return value;
  }
}

/** True for a divisor that is 0. */
function isZero(op: Value["op"], right: Value): boolean {
  return (op === "div" || op === "mod") && right.op === "const" && right.k === 0;
}

function paramsOf(value: Value): number {
  if (value.op === "param") return 1 << (value.n % 31);
  if (value.op === "load") return value.anchor?.params ?? 0;
  return "left" in value ? value.left.params | value.right.params : 0;
}

/** The hazard of one load, beside those of its anchor. */
function loadHazard(anchor: Value | undefined, k: number, size: number, since: number): Hazards {
  if (anchor === undefined) return k < 0x80000000 ? hazard("end", k + size) : hazard(`at${k}@${since}`, size);
  // Where no sum can wrap, a load that succeeded proves every smaller end behind the same anchor.
  if (anchor.max + k + size < 0x80000000) {
    return join(hazard(`from${anchor.id}`, k + size, anchor.max), hazard("end", k + size));
  }
  return hazard(`at${anchor.id}+${k}@${since}`, size);
}

function bounds(op: AluOp, left: Value, right: Value): [max: number, bits: number] {
  const k = right.op === "const" ? right.k : undefined;
  switch (op) {
    case "and":
      return [Math.min(left.max, right.max), (left.bits & right.bits) >>> 0];
    case "or":
    case "xor": {
      const bits = (left.bits | right.bits) >>> 0;
      return [fill(bits), bits];
    }
    case "add":
      return capped(left.max + right.max);
    case "mul":
      return capped(left.max * right.max);
    case "lsh":
      if (k === undefined) return capped(U32_MAX);
      return [Math.min(U32_MAX, left.max * 2 ** k), (left.bits << k) >>> 0];
    case "rsh":
      return k === undefined ? capped(left.max) : [left.max >>> k, left.bits >>> k];
    case "div":
      return capped(k === undefined ? left.max : Math.trunc(left.max / k));
    case "mod":
      return capped(Math.min(left.max, k === undefined ? right.max : k - 1));
    default:
      return capped(U32_MAX);
  }
}

function capped(max: number): [number, number] {
  return max > U32_MAX ? [U32_MAX, U32_MAX] : [max, fill(max)];
}

/** All bits up to the highest set one. */
export function fill(bits: number): number {
  return bits === 0 ? 0 : U32_MAX >>> Math.clz32(bits);
}

export function isPowerOfTwo(k: number): boolean {
  return k !== 0 && (k & (k - 1)) === 0;
}

function log2(k: number): number {
  return 31 - Math.clz32(k);
}

/** The base byte of `4*([k]&0xf)`, or undefined for any other value. */
export function headerLengthOf(value: Value): Extract<Value, { op: "load" }> | undefined {
  if (value.op !== "lsh" || value.right.op !== "const" || value.right.k !== 2) return undefined;
  const masked = value.left;
  if (masked.op !== "and" || masked.right.op !== "const" || masked.right.k !== 15) return undefined;
  return masked.left.op === "load" && masked.left.size === 1 ? masked.left : undefined;
}

/** The value as text: `P2[12]`, `P1[X(..) + 14]`, `(P1[14] & 0xf) << 2`. */
export function showValue(value: Value): string {
  switch (value.op) {
    case "const":
      return value.k < 256 ? String(value.k) : `0x${value.k.toString(16)}`;
    case "load": {
      const at = value.anchor === undefined ? value.k : `${showValue(value.anchor)} + ${value.k}`;
      return `P${value.size}[${at}]${showSince(value)}`;
    }
    case "length":
      return `len${showSince(value)}`;
    case "ancillary":
      return value.row.words[0]! + showSince(value);
    case "random":
      return `rand${value.n}`;
    case "param":
      return `v${value.n}`;
    case "result":
      return `${value.call < 0 ? "start" : `call${value.call}`}.${placeName(value.place)}`;
    case "nlattr":
      return `nlattr(${showValue(value.left)}, ${showValue(value.right)})${showSince(value)}`;
    default:
      return `(${showValue(value.left)} ${SYMBOL[value.op]} ${showValue(value.right)})`;
  }
}

function showSince({ since }: { readonly since: number }): string {
  return since === 0 ? "" : `@${since}`;
}

const SYMBOL: Readonly<Record<AluOp, string>> = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  mod: "%",
  or: "|",
  and: "&",
  xor: "^",
  lsh: "<<",
  rsh: ">>",
};

/** The value and every value that it is computed from. */
export function valueParts(value: Value): readonly Value[] {
  if (value.op === "load") return value.anchor === undefined ? [value] : [value, ...valueParts(value.anchor)];
  return "left" in value ? [value, ...valueParts(value.left), ...valueParts(value.right)] : [value];
}
