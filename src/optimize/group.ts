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
import { restrict } from "./restrict.ts";
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
  run: (graph) => rebuilt(graph, (root, field) => firstTestOf(root, field, true)),
};

type Choose = (root: Node, field: Value) => TestNode | undefined;

function rebuilt({ nodes, root }: Graph, choose: Choose): Graph {
  const size = topological(root).length;
  if (size > MOST_NODES) return { nodes, root };
  const limit = nodes.count + 2000 + GROWTH * size;
  const memo = new Map<string, Node>();
  const build = (node: Node, field: Value | undefined): Node => {
    if (node.kind === "return") return node;
    const useful = field !== undefined && (node.support & bitOf(field)) !== 0 ? field : undefined;
    const key = `${node.id},${useful?.id}`;
    const known = memo.get(key);
    if (known !== undefined) return known;
    if (nodes.count > limit) throw new TooLarge();
    let made: Node;
    if (node.kind !== "test") made = nodes.rebuild(node, (next) => build(next, useful));
    else {
      const test = (useful && choose(node, useful)) ?? node;
      const next = test.left.root;
      const yes = build(restrict(nodes, node, test, true), next);
      const no = build(restrict(nodes, node, test, false), next);
      made = nodes.test(test.cond, test.left, test.right, yes, no, test.origin);
    }
    memo.set(key, made);
    return made;
  };
  try {
    return { nodes, root: build(root, undefined) };
  } catch (reason) {
    if (reason instanceof TooLarge) return { nodes, root };
    throw reason;
  }
}

class TooLarge extends Error {}

/** The first test of the field from here on, in program order; undefined when the root is one or there is none. */
function firstTestOf(root: Node, field: Value, loaded = false): TestNode | undefined {
  const bit = bitOf(field);
  for (const node of topological(root)) {
    if ((node.support & bit) === 0) continue;
    if (node.kind === "test" && node.left.root === field && node.right.op === "const") return node;
    if (loaded && node.kind === "test" && !covers(field.hazards, node.left.hazards)) return undefined;
  }
  return undefined;
}
