/**
 * Grouping: decide everything about one field before looking at the next, in the order of first use.
 *
 * The graph is rebuilt from its root.  Behind each test both sides are restricted to its outcome, everywhere below;
 * then the next test of the same field is moved up, whose loads are done.  Clauses such as `port 80 or port 443` merge
 * because their restricted remainders are the same nodes.
 */
import { bitOf, type Graph, type Node, type TestNode, topological } from "./graph.ts";
import { covers } from "./hazards.ts";
import type { Pass } from "./pass.ts";
import { Allowance, restrict, Spent } from "./restrict.ts";
import type { Value } from "./value.ts";

/** Graphs with more nodes are left alone: restricting costs their square. */
const MOST_NODES = 700;
/** Nodes that a rebuild may make, for each node of the graph. */
const GROWTH = 40;

/** Restricts each side of every test, in program order. */
export const specialise: Pass = { name: "specialise", run: (graph) => rebuilt(graph, () => undefined) };

/** As {@link specialise}, and moves tests of the field at hand up. */
export const group: Pass = { name: "group", run: (graph) => rebuilt(graph, firstTestOf) };

/** As {@link group}, where nothing has to be loaded twice for it. */
export const groupLoaded: Pass = {
  name: "group-loaded",
  run: (graph) => rebuilt(graph, (root, field, allowance) => firstTestOf(root, field, allowance, true)),
};

/** Nodes walked in one rebuild; the corpus of bench/optimizer.mjs needs 600, a list of 200 numbers 20,000. */
const MOST_WALKED = 100_000;

type Choose = (root: Node, field: Value, allowance: Allowance) => TestNode | undefined;

function rebuilt({ nodes, root }: Graph, choose: Choose): Graph {
  const size = topological(root).length;
  if (size > MOST_NODES) return { nodes, root };
  const limit = nodes.count + 2000 + GROWTH * size;
  const allowance = new Allowance(MOST_WALKED);
  const memo = new Map<string, Node>();
  const build = (node: Node, field: Value | undefined): Node => {
    if (node.kind === "return") return node;
    const useful = field !== undefined && (node.support & bitOf(field)) !== 0 ? field : undefined;
    const key = `${node.id},${useful?.id}`;
    const known = memo.get(key);
    if (known !== undefined) return known;
    if (nodes.count > limit) throw new Spent();
    let made: Node;
    if (node.kind !== "test") made = nodes.rebuild(node, (next) => build(next, useful));
    else {
      const test = (useful && choose(node, useful, allowance)) ?? node;
      const next = test.left.root;
      const yes = build(restrict(nodes, node, test, true, allowance), next);
      const no = build(restrict(nodes, node, test, false, allowance), next);
      made = nodes.test(test.cond, test.left, test.right, yes, no, test.origin);
    }
    memo.set(key, made);
    return made;
  };
  try {
    return { nodes, root: build(root, undefined) };
  } catch (reason) {
    if (reason instanceof Spent) return { nodes, root };
    throw reason;
  }
}

/** The first test of the field from here on, in program order; undefined when the root is one or there is none. */
function firstTestOf(root: Node, field: Value, allowance: Allowance, loaded = false): TestNode | undefined {
  const bit = bitOf(field);
  const order = topological(root);
  allowance.spend(order.length / 4); // walking without making nodes is quick
  for (const node of order) {
    if ((node.support & bit) === 0) continue;
    if (node.kind === "test" && node.left.root === field && node.right.op === "const") return node;
    if (loaded && node.kind === "test" && !covers(field.hazards, node.left.hazards)) return undefined;
  }
  return undefined;
}
