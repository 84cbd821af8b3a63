/**
 * Restricting: the graph for the packets on which something is known.
 *
 * Tests that the facts decide are taken out, everywhere below; a touch stays where a decided test did a load that the
 * facts do not prove.
 */
import { type Facts, NO_FACTS } from "./facts.ts";
import { bitOf, type Node, type Nodes, type Test, TOUCHES } from "./graph.ts";
import { covers } from "./hazards.ts";

/** Nodes that may be walked before whoever restricts again and again has to give up. */
export class Allowance {
  #left: number;

  constructor(nodes: number) {
    this.#left = nodes;
  }

  /** @throws {Spent} when nothing is left. */
  spend(nodes: number): void {
    this.#left -= nodes;
    if (this.#left < 0) throw new Spent();
  }
}

export class Spent extends Error {}

/** The graph for packets on which the test's loads succeed and it comes out so. */
export function restrict(nodes: Nodes, root: Node, test: Test, outcome: boolean, allowance: Allowance): Node {
  const facts = NO_FACTS.evaluated(test.left).evaluated(test.right).learned(test, outcome);
  return restrictTo(nodes, root, facts, bitOf(test.left.root) | bitOf(test.right.root), allowance);
}

/** The graph for packets of which the facts hold; `about` has the bits of the roots that the facts speak of. */
export function restrictTo(nodes: Nodes, root: Node, facts: Facts, about: number, allowance?: Allowance): Node {
  const mask = about | TOUCHES;
  const memo = new Map<Node, Node>();
  const visit = (node: Node): Node => {
    if ((node.support & mask) === 0) return node;
    const known = memo.get(node);
    if (known !== undefined) return known;
    allowance?.spend(1);
    let made: Node;
    const decided = node.kind === "test" ? facts.decide(node) : undefined;
    if (node.kind === "test" && decided !== undefined) {
      made = visit(decided ? node.yes : node.no);
      for (const value of [node.right, node.left]) {
        if (!covers(facts.proven, value.hazards)) made = nodes.touch(value, made, node.origin);
      }
    } else if (node.kind === "touch" && covers(facts.proven, node.value.hazards)) made = visit(node.next);
    else made = nodes.rebuild(node, visit);
    memo.set(node, made);
    return made;
  };
  return visit(root);
}
