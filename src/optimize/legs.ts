/**
 * Joining legs: where two parts of the graph differ only in where they count from, one serves both.
 *
 * IPv4's ports lie behind a header of variable length, at X + 14; IPv6's at 54, which is X + 14 for X = 40.  The
 * part that uses the run-time anchor is rewritten for a named anchor, and the constant leg names 40.
 */
import { type Graph, type Node, type Nodes, type TestNode, topological } from "./graph.ts";
import type { Pass } from "./pass.ts";
import { type Value, valueParts } from "./value.ts";

const MOST_NODES = 700;
const MOST_ROUNDS = 8;

export const joinLegs: Pass = {
  name: "join-legs",
  run(graph) {
    let current = graph;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const next = joinOne(current);
      if (next === undefined) break;
      current = next;
    }
    return current;
  },
};

function joinOne(graph: Graph): Graph | undefined {
  const { nodes, root } = graph;
  const order = topological(root);
  if (order.length > MOST_NODES) return undefined;
  const constants = new Map<string, TestNode[]>();
  for (const node of order) {
    const load = loadOf(node);
    if (load === undefined || load.anchor !== undefined || load.k >= 0x80000000) continue;
    const list = constants.get(shape(node as TestNode, load));
    if (list === undefined) constants.set(shape(node as TestNode, load), [node as TestNode]);
    else list.push(node as TestNode);
  }
  for (const node of order) {
    const load = loadOf(node);
    if (load?.anchor === undefined || load.anchor.op === "param") continue;
    for (const other of constants.get(shape(node as TestNode, load)) ?? []) {
      const distance = (loadOf(other)!.k - load.k) >>> 0;
      const constant = nodes.values.constant(distance);
      if (rewritten(nodes, node, load.anchor, constant) !== other) continue;
      const param = nodes.values.param(Math.max(load.anchor.max, distance));
      const body = rewritten(nodes, node, load.anchor, param);
      if (body === undefined) continue;
      const replacements = new Map<Node, Node>([
        [node, nodes.let(param, load.anchor, body, node.origin)],
        [other, nodes.let(param, constant, body, other.origin)],
      ]);
      return { nodes, root: replaced(nodes, root, replacements, param) };
    }
  }
  return undefined;
}

type Load = Extract<Value, { op: "load" }>;

function loadOf(node: Node): Load | undefined {
  if (node.kind !== "test" || node.left.root.op !== "load") return undefined;
  return node.left.root;
}

function shape({ cond, right }: TestNode, load: Load): string {
  return `${cond}${right.id},${load.size}`;
}

/** The graph below `root` with a value in place of another; undefined where it would always fail. */
function rewritten(nodes: Nodes, root: Node, from: Value, to: Value): Node | undefined {
  const values = new Map<Value, Value | undefined>();
  const memo = new Map<Node, Node>();
  const value = (v: Value) => {
    const made = nodes.values.substitute(v, from, to, values);
    if (made === undefined) throw new AlwaysFails();
    return made;
  };
  const visit = (node: Node): Node => {
    const known = memo.get(node);
    if (known !== undefined) return known;
    let made: Node;
    switch (node.kind) {
      case "return":
        made = nodes.return(value(node.value), node.origin);
        break;
      case "test":
        made = nodes.test(node.cond, value(node.left), value(node.right), visit(node.yes), visit(node.no), node.origin);
        break;
      case "touch":
        made = nodes.touch(value(node.value), visit(node.next), node.origin);
        break;
      case "let":
        made = nodes.let(node.param, value(node.value), visit(node.next), node.origin);
        break;
      case "draw":
        made = nodes.draw(node.value, visit(node.next), node.origin);
        break;
      case "device":
        made = nodes.device(value(node.value), node.load, visit(node.next), node.origin);
        break;
      case "call":
        made = nodes.call(node.instruction, node.before.map(value), node.after, visit(node.next), node.origin);
    }
    memo.set(node, made);
    return made;
  };
  try {
    return visit(root);
  } catch (reason) {
    if (reason instanceof AlwaysFails) return undefined;
    throw reason;
  }
}

class AlwaysFails extends Error {}

/** The graph with nodes replaced, and constant names moved up past tests that do not care for X. */
function replaced(nodes: Nodes, root: Node, replacements: ReadonlyMap<Node, Node>, param: Value): Node {
  const memo = new Map<Node, Node>();
  const visit = (node: Node): Node => {
    const known = memo.get(node);
    if (known !== undefined) return known;
    const made = replacements.get(node) ?? raised(nodes, nodes.rebuild(node, visit), param);
    memo.set(node, made);
    return made;
  };
  return visit(root);
}

function raised(nodes: Nodes, node: Node, param: Value): Node {
  if (node.kind !== "test" || usesIndex(node.left) || node.right.op !== "const") return node;
  const named = [node.yes, node.no].find((next) => next.kind === "let" && next.param === param);
  if (named?.kind !== "let" || named.value.op !== "const") return node;
  const inner: Node[] = [];
  for (const next of [node.yes, node.no]) {
    if (next.kind === "let" && next.param === param && next.value === named.value) inner.push(next.next);
    else if (next.kind === "return" && next.value.op === "const") inner.push(next);
    else return node;
  }
  const test = nodes.test(node.cond, node.left, node.right, inner[0]!, inner[1]!, node.origin);
  return nodes.let(param, named.value, test, named.origin);
}

function usesIndex(value: Value): boolean {
  return valueParts(value).some((part) => part.op === "load" && part.anchor !== undefined);
}
