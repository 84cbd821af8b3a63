/**
 * Implied-test elimination: every edge goes past the tests that its path has already decided.
 *
 * Facts flow forward in topological order and meet where paths join.  The pass redirects edges and adds no test, so a
 * graph never grows by more than the touches that stand for loads of skipped tests.
 */
import { type Facts, NO_FACTS } from "./facts.ts";
import { type Graph, type Node, topological } from "./graph.ts";
import { covers } from "./hazards.ts";
import type { Pass } from "./pass.ts";
import type { Value } from "./value.ts";

export const imply: Pass = {
  name: "imply",
  run(graph) {
    let current = graph;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const next = implyOnce(current);
      if (next.root === current.root) break;
      current = next;
    }
    return current;
  },
};

const MOST_ROUNDS = 6;

/** Where an edge goes now, and the values whose loads it still has to do. */
interface Edge {
  readonly to: Node;
  readonly touches: readonly Value[];
}

export function implyOnce({ nodes, root }: Graph): Graph {
  const facts = new Map<Node, Facts>();
  const edges = new Map<Node, readonly Edge[]>();
  const start = follow(root, NO_FACTS);
  facts.set(start.to, start.facts);
  for (const node of topological(root)) {
    const known = facts.get(node);
    if (known === undefined || node.kind === "return") continue;
    facts.delete(node);
    const leaving = afterwards(node, known).map(({ to, facts: f }) => follow(to, f));
    edges.set(node, leaving);
    for (const edge of leaving) {
      const before = facts.get(edge.to);
      facts.set(edge.to, before === undefined ? edge.facts : before.meet(edge.facts));
    }
  }
  const made = new Map<Node, Node>();
  for (const node of topological(root).reverse()) {
    if (node.kind === "return") made.set(node, node);
    const leaving = edges.get(node);
    if (leaving === undefined) continue;
    const next = leaving.map((edge) => touching(made.get(edge.to)!, edge.touches, node.origin));
    let turn = 0;
    made.set(
      node,
      nodes.rebuild(node, () => next[turn++]!),
    );
  }
  return { nodes, root: touching(made.get(start.to)!, start.touches, root.origin) };

  function touching(node: Node, touches: readonly Value[], origin: number): Node {
    return touches.reduceRight((next, value) => nodes.touch(value, next, origin), node);
  }
}

/** What is known on each edge out of a node. */
function afterwards(node: Node, facts: Facts): { to: Node; facts: Facts }[] {
  switch (node.kind) {
    case "return":
      return [];
    case "test": {
      const evaluated = facts.evaluated(node.left).evaluated(node.right);
      return [
        { to: node.yes, facts: evaluated.learned(node, true) },
        { to: node.no, facts: evaluated.learned(node, false) },
      ];
    }
    case "let":
      return [{ to: node.next, facts: facts.evaluated(node.value).named(node.param, node.value) }];
    case "device":
      return [{ to: node.next, facts: facts.evaluated(node.load) }];
    default:
      return [{ to: node.next, facts: facts.evaluated(node.value) }];
  }
}

/** The first node behind `node` that the facts do not decide, and the loads that getting there stands for. */
function follow(node: Node, facts: Facts): Edge & { facts: Facts } {
  const touches: Value[] = [];
  let to = node;
  let known = facts;
  for (;;) {
    if (to.kind === "test") {
      const outcome = known.decide(to);
      if (outcome === undefined) break;
      const next = outcome ? to.yes : to.no;
      for (const value of [to.left, to.right]) {
        if (covers(known.proven, value.hazards)) continue;
        touches.push(value);
        known = known.evaluated(value);
      }
      to = next;
    } else if (to.kind === "touch" && covers(known.proven, to.value.hazards)) {
      to = to.next;
    } else break;
  }
  return { to, touches, facts: known };
}
