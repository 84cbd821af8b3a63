/**
 * Ordering chains: tests in a row that all leave to the same place are sorted by field, so that each field is loaded
 * once.  `host a or host b` asks for source, destination, source, destination; sorted it asks for each once.
 *
 * Under strict semantics a test may only pass another one whose loads are done by then, unless leaving is verdict 0,
 * which is what a failed load is as well.
 */

import { type Graph, type Node, predecessorCounts, type TestNode, topological } from "./graph.ts";
import { ALWAYS_SAFE, covers, type Hazards, join } from "./hazards.ts";
import type { Pass } from "./pass.ts";
import type { Value } from "./value.ts";

interface Link {
  readonly node: TestNode;
  /** True where the test leaves the chain when it holds. */
  readonly leavesOnYes: boolean;
}

export const orderChains: Pass = {
  name: "order-chains",
  run({ nodes, root }) {
    const counts = predecessorCounts(root);
    const made = new Map<Node, Node>();
    const inside = new Set<Node>();
    const chains = new Map<Node, { links: Link[]; exit: Node; rest: Node }>();
    const order = topological(root);
    for (const node of order) {
      if (inside.has(node) || node.kind !== "test") continue;
      const chain = longestChain(node, counts);
      if (chain.links.length < 3) continue;
      for (const link of chain.links) inside.add(link.node);
      chains.set(node, chain);
    }
    for (const node of order.reverse()) {
      const chain = chains.get(node);
      if (chain === undefined) {
        if (inside.has(node)) continue; // reached through its chain only
        made.set(
          node,
          nodes.rebuild(node, (next) => made.get(next)!),
        );
        continue;
      }
      const exit = made.get(chain.exit)!;
      let rest = made.get(chain.rest)!;
      const harmless = exit.kind === "return" && exit.value.op === "const" && exit.value.k === 0;
      for (const { node: test, leavesOnYes } of sorted(chain.links, harmless).reverse()) {
        const [yes, no] = leavesOnYes ? [exit, rest] : [rest, exit];
        rest = nodes.test(test.cond, test.left, test.right, yes, no, test.origin);
      }
      made.set(node, rest);
    }
    return { nodes, root: made.get(root)! };
  },
} satisfies { name: string; run(graph: Graph): Graph };

function longestChain(head: TestNode, counts: Int32Array): { links: Link[]; exit: Node; rest: Node } {
  const along = (exit: Node) => {
    const links: Link[] = [];
    let node: Node = head;
    while (node.kind === "test" && (node.yes === exit || node.no === exit)) {
      if (node !== head && counts[node.id] !== 1) break;
      links.push({ node, leavesOnYes: node.yes === exit });
      node = node.yes === exit ? node.no : node.yes;
    }
    return { links, exit, rest: node };
  };
  const [a, b] = [along(head.yes), along(head.no)];
  return a.links.length >= b.links.length ? a : b;
}

function sorted(links: readonly Link[], harmless: boolean): Link[] {
  const out: Link[] = [];
  let proven: Hazards = ALWAYS_SAFE;
  let segment: Link[] = [];
  const close = () => {
    const byField = new Map<Value, Link[]>();
    // Go on with the field that the last segment ended on, where the first test of this one allows it.
    for (const link of segment) {
      const list = byField.get(link.node.left.root);
      if (list === undefined) byField.set(link.node.left.root, [link]);
      else list.push(link);
    }
    for (const list of byField.values()) out.push(...list);
    segment = [];
  };
  for (const link of links) {
    const hazards = join(link.node.left.hazards, link.node.right.hazards);
    if (!harmless && !covers(proven, hazards)) {
      close();
      proven = join(proven, hazards);
    }
    segment.push(link);
  }
  close();
  return out;
}
