/**
 * The decision graph: what a program decides, without registers.
 *
 * Nodes are hash-consed, so equal decisions are one node and the graph is acyclic by construction.  Evaluating a node
 * evaluates its values, and a value whose hazards do not hold ends the program with verdict 0; a `touch` node exists
 * for that effect alone.  The builder drops what cannot matter: tests with one outcome, and touches that every
 * accepting path behind them repeats.
 */
import { CONDITION } from "../isa/semantics.ts";
import type { Instruction } from "../program/instruction.ts";
import { ALWAYS_SAFE, covers, EVERYTHING, type Hazards, join, meet } from "./hazards.ts";
import { Interner } from "./interner.ts";
import { placeName } from "./places.ts";
import { isPowerOfTwo, showValue, type Value, Values } from "./value.ts";

/** The instruction set's conditions, which {@link Nodes.test} takes. */
type Condition = keyof typeof CONDITION;

export interface Test {
  /** `ge` is spelled `gt`. */
  readonly cond: Exclude<Condition, "ge">;
  readonly left: Value;
  readonly right: Value;
}

interface Common {
  readonly id: number;
  /** What every path from here to a verdict other than 0 requires. */
  readonly needs: Hazards;
  /** A bit for every root that a test from here on looks at, and TOUCHES; conservative, 31 roots share the bits. */
  readonly support: number;
  /** A bit for every parameter that is mentioned from here on; conservative in the same way. */
  readonly params: number;
  /** Index of the instruction that the node came from, for source spans. */
  readonly origin: number;
}

export type TestNode = Common & Test & { readonly kind: "test"; readonly yes: Node; readonly no: Node };

export type Node =
  | TestNode
  | (Common & { readonly kind: "return"; readonly value: Value })
  /** Evaluates `value` for its hazards. */
  | (Common & { readonly kind: "touch"; readonly value: Value; readonly next: Node })
  /** Names a value, so that paths which differ in it share what follows. */
  | (Common & { readonly kind: "let"; readonly param: Value; readonly value: Value; readonly next: Node })
  /** Draws a random number; never dropped, moved or repeated, nor done where it was not. */
  | (Common & { readonly kind: "draw"; readonly value: Value; readonly next: Node })
  /** Ends with verdict `value` when the packet has no device: an IFINDEX or HATYPE load while A is `value`. */
  | (Common & { readonly kind: "device"; readonly value: Value; readonly load: Value; readonly next: Node })
  | CallNode;

/**
 * A user's instruction or ancillary load.  It sees A, X and all of M, may change them, the packet and the context, and
 * may end the program: no value is known on both sides of it, and nothing moves past it.
 */
export type CallNode = Common & {
  readonly kind: "call";
  readonly instruction: Instruction;
  /** What each place holds when it is called, and afterwards. */
  readonly before: readonly Value[];
  readonly after: readonly Value[];
  readonly next: Node;
};

/** "strict": the same verdict on every packet.  "libpcap": a load that the verdict does not need may go or move. */
export type Semantics = "strict" | "libpcap";

/** The support bit of touch nodes. */
export const TOUCHES = 0x80000000 | 0;

/** What starts the key of each kind of node; tests have their condition. */
const KEY = { eq: 0, gt: 1, set: 2, return: 3, touch: 4, let: 5, draw: 6, device: 7, call: 8 } as const;

export class Nodes {
  readonly values: Values;
  readonly semantics: Semantics;
  readonly #interned = new Interner<Node>();
  /** Numbers of what places held in front of calls. */
  readonly #befores = new Map<string, number>();

  constructor(semantics: Semantics, values = new Values()) {
    this.semantics = semantics;
    this.values = values;
  }

  /** Nodes made so far, a measure of work. */
  get count(): number {
    return this.#interned.count;
  }

  return(value: Value, origin = -1): Node {
    const known = this.#interned.find(KEY.return, value.id, 0, 0, 0);
    if (known !== undefined) return known;
    const drops = value.op === "const" && value.k === 0;
    const needs = drops ? EVERYTHING : value.hazards;
    const node: Node = { kind: "return", value, id: this.count, needs, support: 0, params: value.params, origin };
    return this.#interned.add(KEY.return, value.id, 0, 0, 0, node);
  }

  test(cond: Condition, left: Value, right: Value, yes: Node, no: Node, origin = -1): Node {
    if (yes === no) return this.touch(left, this.touch(right, yes, origin), origin);
    if (left.op === "const" && right.op === "const") return CONDITION[cond](left.k, right.k) ? yes : no;
    if (right.op === "const") return this.#testConstant(cond, left, right.k, yes, no, origin);
    if (left === right) return this.#testSame(cond, left, yes, no, origin);
    if (left.op === "const") return this.#constantOnTheLeft(cond, left, right, yes, no, origin);
    if ((cond === "eq" || cond === "set") && left.id > right.id) return this.test(cond, right, left, yes, no, origin);
    if (cond === "ge") return this.test("gt", right, left, no, yes, origin);
    return this.#test(cond, left, right, yes, no, origin);
  }

  touch(value: Value, next: Node, origin = -1): Node {
    const { hazards } = value;
    if (hazards.levels.size === 0 || covers(next.needs, hazards)) return next;
    if (this.semantics === "libpcap" && onlyLoads(hazards)) return next;
    if (next.kind === "touch" && covers(hazards, next.value.hazards)) return this.touch(value, next.next, origin);
    const known = this.#interned.find(KEY.touch, value.id, next.id, 0, 0);
    if (known !== undefined) return known;
    const needs = join(hazards, next.needs);
    const [support, params] = [next.support | TOUCHES, next.params | value.params];
    const node: Node = { kind: "touch", value, next, id: this.count, needs, support, params, origin };
    return this.#interned.add(KEY.touch, value.id, next.id, 0, 0, node);
  }

  let(param: Value, value: Value, next: Node, origin = -1): Node {
    if ((next.params & param.params) === 0) return this.touch(value, next, origin);
    const known = this.#interned.find(KEY.let, param.id, value.id, next.id, 0);
    if (known !== undefined) return known;
    const needs = join(value.hazards, next.needs);
    const [support, params] = [next.support | bitOf(value.root), next.params | value.params];
    const node: Node = { kind: "let", param, value, next, id: this.count, needs, support, params, origin };
    return this.#interned.add(KEY.let, param.id, value.id, next.id, 0, node);
  }

  draw(value: Value, next: Node, origin = -1): Node {
    const known = this.#interned.find(KEY.draw, value.id, next.id, 0, 0);
    if (known !== undefined) return known;
    const { support, params } = next;
    const node: Node = { kind: "draw", value, next, id: this.count, needs: ALWAYS_SAFE, support, params, origin };
    return this.#interned.add(KEY.draw, value.id, next.id, 0, 0, node);
  }

  device(value: Value, load: Value, next: Node, origin = -1): Node {
    const known = this.#interned.find(KEY.device, value.id, load.id, next.id, 0);
    if (known !== undefined) return known;
    // Nothing is required: a path that has `load` already passes the node by, and `value` with it.
    const [needs, { support }, params] = [ALWAYS_SAFE, next, next.params | value.params];
    const node: Node = { kind: "device", value, load, next, id: this.count, needs, support, params, origin };
    return this.#interned.add(KEY.device, value.id, load.id, next.id, 0, node);
  }

  call(instruction: Instruction, before: readonly Value[], after: readonly Value[], next: Node, origin: number): Node {
    const key = before.map(({ id }) => id).join();
    const list = this.#befores.get(key) ?? this.#befores.size;
    this.#befores.set(key, list);
    const known = this.#interned.find(KEY.call, list, after[0]!.id, next.id, 0);
    if (known !== undefined) return known;
    const needs = before.reduce((all, { hazards }) => join(all, hazards), ALWAYS_SAFE);
    const params = before.reduce((bits, value) => bits | value.params, next.params);
    const { support } = next;
    const node: Node = {
      kind: "call",
      instruction,
      before,
      after,
      next,
      id: this.count,
      needs,
      support,
      params,
      origin,
    };
    return this.#interned.add(KEY.call, list, after[0]!.id, next.id, 0, node);
  }

  /** The node with other successors; the same node when they are its own. */
  rebuild(node: Node, change: (next: Node) => Node): Node {
    switch (node.kind) {
      case "return":
        return node;
      case "test": {
        const yes = change(node.yes);
        const no = change(node.no);
        if (yes === node.yes && no === node.no) return node;
        return this.test(node.cond, node.left, node.right, yes, no, node.origin);
      }
      default: {
        const next = change(node.next);
        return next === node.next ? node : this.withNext(node, next);
      }
    }
  }

  withNext(node: Exclude<Node, TestNode | { kind: "return" }>, next: Node): Node {
    switch (node.kind) {
      case "touch":
        return this.touch(node.value, next, node.origin);
      case "let":
        return this.let(node.param, node.value, next, node.origin);
      case "draw":
        return this.draw(node.value, next, node.origin);
      case "device":
        return this.device(node.value, node.load, next, node.origin);
      case "call":
        return this.call(node.instruction, node.before, node.after, next, node.origin);
    }
  }

  /** Tests against a constant, in one spelling: no `ge`, masks as `set` where one bit decides, offsets moved over. */
  #testConstant(cond: Condition, left: Value, k: number, yes: Node, no: Node, origin: number): Node {
    const again = (c: Condition, l: Value, r: number, y = yes, n = no) =>
      this.test(c, l, this.values.constant(r), y, n, origin);
    const constant = left.op !== "const" && "left" in left && left.right.op === "const" ? left.right.k : undefined;
    const inner = constant === undefined ? left : (left as { left: Value }).left;
    switch (cond) {
      case "ge":
        return k === 0 ? this.touch(left, yes, origin) : again("gt", left, k - 1);
      case "gt":
        if (k >= left.max) return this.touch(left, no, origin);
        if (k === 0) return again("eq", left, 0, no, yes);
        if (k + 1 === left.max) return again("eq", left, left.max);
        if (left.op === "rsh" && constant !== undefined) {
          return again("gt", inner, ((k << constant) | (2 ** constant - 1)) >>> 0);
        }
        if (left.op === "lsh" && constant !== undefined && inner.max * 2 ** constant === left.max) {
          return again("gt", inner, k >>> constant);
        }
        break;
      case "eq":
        if (k > left.max || (k & ~left.bits) !== 0) return this.touch(left, no, origin);
        if (k !== 0 && k === left.bits && isPowerOfTwo(k)) return again("eq", left, 0, no, yes);
        if (constant === undefined) {
          if (left.op === "sub" && k === 0) return this.test("eq", left.left, left.right, yes, no, origin);
          if (left.op === "xor" && k === 0) return this.test("eq", left.left, left.right, yes, no, origin);
          break;
        }
        if (left.op === "add") return again("eq", inner, (k - constant) >>> 0);
        if (left.op === "xor") return again("eq", inner, (k ^ constant) >>> 0);
        if (left.op === "and" && k === 0) return again("set", inner, constant, no, yes);
        if (left.op === "rsh") {
          const mask = this.values.constant(2 ** 32 - 2 ** constant);
          return again("eq", this.values.alu("and", inner, mask), (k << constant) >>> 0);
        }
        if (left.op === "lsh" && inner.max * 2 ** constant === left.max) {
          return again("eq", inner, k >>> constant); // the bits below are 0 in k too, or the test had gone above
        }
        break;
      case "set": {
        const kept = (k & left.bits) >>> 0;
        if (kept === 0) return this.touch(left, no, origin);
        if (kept === left.bits) return again("eq", left, 0, no, yes);
        if (left.op === "and" && constant !== undefined) return again("set", inner, (k & constant) >>> 0);
        if (left.op === "rsh" && constant !== undefined) return again("set", inner, (k << constant) >>> 0);
        if (left.op === "lsh" && constant !== undefined) return again("set", inner, k >>> constant);
        if (kept !== k) return again("set", left, kept);
      }
    }
    return this.#test(cond, left, this.values.constant(k), yes, no, origin);
  }

  #testSame(cond: Condition, value: Value, yes: Node, no: Node, origin: number): Node {
    if (cond === "set") return this.#testConstant("eq", value, 0, no, yes, origin);
    return this.touch(value, cond === "gt" ? no : yes, origin);
  }

  #constantOnTheLeft(cond: Condition, left: Value, right: Value, yes: Node, no: Node, origin: number): Node {
    switch (cond) {
      case "gt": // k > v is not v >= k
        return this.test("ge", right, left, no, yes, origin);
      case "ge":
        return this.test("gt", right, left, no, yes, origin);
      default:
        return this.test(cond, right, left, yes, no, origin);
    }
  }

  #test(cond: Test["cond"], left: Value, right: Value, yes: Node, no: Node, origin: number): Node {
    const known = this.#interned.find(KEY[cond], left.id, right.id, yes.id, no.id);
    if (known !== undefined) return known;
    const needs = join(join(left.hazards, right.hazards), meet(yes.needs, no.needs));
    const own = bitOf(left.root) | (right.op === "const" ? 0 : bitOf(right.root));
    const support = own | yes.support | no.support;
    const params = left.params | right.params | yes.params | no.params;
    const node: Node = { kind: "test", cond, left, right, yes, no, id: this.count, needs, support, params, origin };
    return this.#interned.add(KEY[cond], left.id, right.id, yes.id, no.id, node);
  }
}

/** A root node with the store that made it. */
export interface Graph {
  readonly nodes: Nodes;
  readonly root: Node;
}

export function bitOf(root: Value): number {
  return root.op === "const" ? 0 : 1 << (root.id % 31);
}

/** True when the hazards are loads of plain packet bytes: what libpcap's own optimizer feels free to drop. */
function onlyLoads(hazards: Hazards): boolean {
  for (const key of hazards.levels.keys()) if (key.startsWith("device") || key.startsWith("divisor")) return false;
  return true;
}

/** The successors of a node, the `yes` of a test first. */
export function successors(node: Node): readonly Node[] {
  if (node.kind === "return") return [];
  return node.kind === "test" ? [node.yes, node.no] : [node.next];
}

/** Every node that the root reaches, each after all of its predecessors. */
export function topological(root: Node): Node[] {
  const order: Node[] = [];
  // By id: 1 for nodes met on the way down, 2 when all behind them is done.  Nothing behind a node is younger than it.
  const state = new Uint8Array(root.id + 1);
  const stack: Node[] = [root];
  for (let node = stack.at(-1); node !== undefined; node = stack.at(-1)) {
    if (state[node.id] === 0) {
      state[node.id] = 1;
      if (node.kind === "return") continue;
      // The last one pushed goes first.
      if (node.kind === "test" && state[node.no.id] === 0) stack.push(node.no);
      const first = node.kind === "test" ? node.yes : node.next;
      if (state[first.id] === 0) stack.push(first);
    } else {
      stack.pop();
      if (state[node.id] === 1) order.push(node);
      state[node.id] = 2;
    }
  }
  return order.reverse();
}

/** The values that a node itself evaluates. */
export function valuesOf(node: Node): readonly Value[] {
  switch (node.kind) {
    case "test":
      return [node.left, node.right];
    case "device":
      return [node.value, node.load];
    case "call":
      return node.before;
    default:
      return [node.value];
  }
}

/** The graph as text, one node a line, for `cbpf dump --stage graph`. */
export function showGraph({ root }: Graph): string {
  const order = topological(root);
  const number = new Map(order.map((node, i) => [node, i]));
  const to = (node: Node) => (node.kind === "return" ? `return ${showValue(node.value)}` : `n${number.get(node)}`);
  const lines: string[] = [];
  for (const node of order) {
    if (node.kind === "return" && node !== root) continue;
    lines.push(`n${number.get(node)}: ${showNode(node, to)}`);
  }
  return lines.join("\n");
}

function showNode(node: Node, to: (node: Node) => string): string {
  switch (node.kind) {
    case "return":
      return `return ${showValue(node.value)}`;
    case "test":
      return `if ${showTest(node)} then ${to(node.yes)} else ${to(node.no)}`;
    case "touch":
      return `touch ${showValue(node.value)}, ${to(node.next)}`;
    case "let":
      return `let ${showValue(node.param)} = ${showValue(node.value)}, ${to(node.next)}`;
    case "draw":
      return `draw ${showValue(node.value)}, ${to(node.next)}`;
    case "device":
      return `device or return ${showValue(node.value)}, ${to(node.next)}`;
    case "call":
      return `call${node.origin}(${showBefore(node)}), ${to(node.next)}`;
  }
}

/** What the places hold, but for scratch cells that are as they were at the start. */
function showBefore({ before }: CallNode): string {
  return before
    .map((value, place) => (value.op === "result" && value.call < 0 ? "" : `${placeName(place)} = ${showValue(value)}`))
    .filter((text) => text !== "")
    .join(", ");
}

const SIGN: Readonly<Record<Test["cond"], string>> = { eq: "==", gt: ">", set: "&" };

function showTest(test: Test): string {
  return `${showValue(test.left)} ${SIGN[test.cond]} ${showValue(test.right)}`;
}

/** By id, how many edges lead to each node; the root has one more. */
export function predecessorCounts(root: Node): Int32Array {
  const counts = new Int32Array(root.id + 1);
  counts[root.id] = 1;
  for (const node of topological(root)) for (const next of successors(node)) counts[next.id]!++;
  return counts;
}
