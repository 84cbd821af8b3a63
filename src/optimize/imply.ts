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

/** Where an edge goes now, the values whose loads it still has to do, and what is known there. */
interface Edge {
  readonly to: Node;
  readonly touches: readonly Value[];
  readonly facts: Facts;
}

/** What a round finds out about a node. */
interface Site {
  facts: Facts | undefined;
  edges: readonly Edge[] | undefined;
  made: Node;
}

export function implyOnce({ nodes, root }: Graph): Graph {
  const order = topological(root);
  const sites = new Map<Node, Site>();
  for (const node of order) sites.set(node, { facts: undefined, edges: undefined, made: node });
  const arrive = ({ to, facts }: Edge) => {
    const site = sites.get(to)!;
    site.facts = site.facts === undefined ? facts : site.facts.meet(facts);
  };
  const start = follow(root, NO_FACTS);
  arrive(start);
  for (const node of order) {
    const site = sites.get(node)!;
    if (site.facts === undefined || node.kind === "return") continue;
    site.edges = afterwards(node, site.facts);
    site.facts = undefined;
    site.edges.forEach(arrive);
  }
  const touching = ({ to, touches }: Edge, origin: number): Node =>
    touches.reduceRight((next, value) => nodes.touch(value, next, origin), sites.get(to)!.made);
  for (const node of order.reverse()) {
    const site = sites.get(node)!;
    if (site.edges === undefined) continue;
    let turn = 0;
    site.made = nodes.rebuild(node, () => touching(site.edges![turn++]!, node.origin));
  }
  return { nodes, root: touching(start, root.origin) };
}

/** The edges out of a node, past what is decided on them. */
function afterwards(node: Exclude<Node, { kind: "return" }>, facts: Facts): Edge[] {
  switch (node.kind) {
    case "test": {
      const evaluated = facts.evaluated(node.left).evaluated(node.right);
      return [follow(node.yes, evaluated.learned(node, true)), follow(node.no, evaluated.learned(node, false))];
    }
    case "let":
      return [follow(node.next, facts.evaluated(node.value).named(node.param, node.value))];
    case "device":
      return [follow(node.next, facts.evaluated(node.load))];
    default:
      return [follow(node.next, facts.evaluated(node.value))];
  }
}

/** The first node behind `node` that the facts do not decide, and the loads that getting there stands for. */
function follow(node: Node, facts: Facts): Edge {
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
