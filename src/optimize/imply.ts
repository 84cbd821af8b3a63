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

/** What a round finds out about a node. */
interface Site {
  /** What is known on every path that came to it so far; dropped when the node is done. */
  facts: Facts | undefined;
  edges: readonly Edge[];
  made: Node;
}

function implyOnce({ nodes, root }: Graph): Graph {
  const order = topological(root);
  const sites: Site[] = new Array(root.id + 1); // by id; nothing behind a node is younger than it
  for (const node of order) sites[node.id] = { facts: undefined, edges: NO_EDGES, made: node };
  const go = (node: Node, facts: Facts): Edge => {
    const { to, touches, known } = follow(node, facts);
    const site = sites[to.id]!;
    site.facts = site.facts === undefined ? known : site.facts.meet(known);
    return { to, touches };
  };
  const start = go(root, NO_FACTS);
  for (const node of order) {
    const site = sites[node.id]!;
    if (site.facts !== undefined) site.edges = afterwards(node, site.facts, go);
    site.facts = undefined;
  }
  const touching = ({ to, touches }: Edge, origin: number): Node =>
    touches.reduceRight((next, value) => nodes.touch(value, next, origin), sites[to.id]!.made);
  for (const node of order.reverse()) {
    const site = sites[node.id]!;
    if (site.edges.length === 0) continue;
    let turn = 0;
    site.made = nodes.rebuild(node, () => touching(site.edges[turn++]!, node.origin));
  }
  return { nodes, root: touching(start, root.origin) };
}

const NO_EDGES: readonly Edge[] = Object.freeze([]);

/** The edges out of a node, each with what is known on it. */
function afterwards(node: Node, facts: Facts, go: (to: Node, facts: Facts) => Edge): readonly Edge[] {
  switch (node.kind) {
    case "return":
      return NO_EDGES;
    case "test": {
      const evaluated = facts.evaluated(node.left).evaluated(node.right);
      return [go(node.yes, evaluated.learned(node, true)), go(node.no, evaluated.learned(node, false))];
    }
    case "let":
      return [go(node.next, facts.evaluated(node.value).named(node.param, node.value))];
    case "device":
      return [go(node.next, facts.evaluated(node.load))];
    case "call":
      return [
        go(
          node.next,
          node.before.reduce((known, value) => known.evaluated(value), facts),
        ),
      ];
    default:
      return [go(node.next, facts.evaluated(node.value))];
  }
}

const NO_VALUES: readonly Value[] = Object.freeze([]);

/** The first node behind `node` that the facts do not decide, and the loads that getting there stands for. */
function follow(node: Node, facts: Facts): Edge & { readonly known: Facts } {
  let touches = NO_VALUES;
  let to = node;
  let known = facts;
  for (;;) {
    if (to.kind === "test") {
      const outcome = known.decide(to);
      if (outcome === undefined) break;
      const next = outcome ? to.yes : to.no;
      for (const value of [to.left, to.right]) {
        if (covers(known.proven, value.hazards)) continue;
        touches = [...touches, value];
        known = known.evaluated(value);
      }
      to = next;
    } else if (to.kind === "touch" && covers(known.proven, to.value.hazards)) {
      to = to.next;
    } else break;
  }
  return { to, touches, known };
}
