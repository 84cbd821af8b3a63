/**
 * Comparing programs path by path, without a solver.
 *
 * Both programs are lifted into one store, where equal graphs are one node.  The comparison tests what one of them
 * tests first, restricts both to each outcome and to the failure of the load, and goes on until the remainders are the
 * same node.  Where they end differently a packet is forged for the path, and only a packet on which both graphs
 * really give different verdicts counts.
 */
import { NO_FACTS } from "../optimize/facts.ts";
import { type Node, Nodes, topological } from "../optimize/graph.ts";
import { covers, type Hazards } from "../optimize/hazards.ts";
import { lift } from "../optimize/lift.ts";
import { restrict, restrictTo } from "../optimize/restrict.ts";
import type { Value } from "../optimize/value.ts";
import type { Instruction } from "../program/instruction.ts";
import { NO_CONTEXT } from "../program/packet-context.ts";
import { evaluate } from "./evaluate.ts";
import { forge, type Path } from "./forge.ts";
import type { Found } from "./question.ts";

const BUDGET = 20_000;

/** A packet on which the verdicts differ, or none, or why that can not be said. */
export function comparePaths(a: readonly Instruction[], b: readonly Instruction[], timeLimit: number): Found {
  const nodes = new Nodes("strict");
  const roots: Node[] = [];
  for (const program of [a, b]) {
    const lifted = lift(program, { joins: "split", semantics: "strict", budget: BUDGET, nodes });
    if ("refused" in lifted) return { unknown: lifted.refused };
    if (topological(lifted.graph.root).some((node) => node.kind === "draw" || node.kind === "device")) {
      return { unknown: "the program draws random numbers or asks for the device" };
    }
    roots.push(lifted.graph.root);
  }
  const comparison = new Comparison(nodes, Date.now() + timeLimit, roots);
  const difference = comparison.compare(roots[0]!, roots[1]!, { tests: [], touched: [], fails: undefined });
  if (difference === undefined) return { none: true };
  return difference;
}

/** Packets that take different paths through a program, at most `most`; for tests that want every branch taken. */
export function pathPackets(program: readonly Instruction[], most: number): Uint8Array[] {
  const lifted = lift(program, { joins: "split", semantics: "strict", budget: BUDGET });
  if ("refused" in lifted) return [];
  const packets: Uint8Array[] = [];
  const taken = new Set<string>();
  // Each edge is walked once from the root, by the first path that reaches it.
  const queue: { node: Node; path: Path }[] = [
    { node: lifted.graph.root, path: { tests: [], touched: [], fails: undefined } },
  ];
  for (let next = queue.shift(); next !== undefined && packets.length < most; next = queue.shift()) {
    const { node, path } = next;
    const propose = (p: Path) => {
      const packet = forge(p);
      if (packet !== undefined) packets.push(packet);
    };
    if (node.kind === "return") {
      propose(path);
    } else if (node.kind === "test") {
      propose({ ...path, fails: node.left });
      for (const outcome of [true, false]) {
        const to = outcome ? node.yes : node.no;
        const tests = [...path.tests, { test: node, outcome }];
        if (taken.has(`${node.id},${outcome}`)) continue;
        taken.add(`${node.id},${outcome}`);
        queue.push({ node: to, path: { ...path, tests } });
      }
    } else {
      const touched = node.kind === "touch" ? [...path.touched, node.value] : path.touched;
      queue.push({ node: node.next, path: { ...path, touched } });
    }
  }
  return packets;
}

class Comparison {
  readonly #nodes: Nodes;
  readonly #deadline: number;
  readonly #roots: readonly Node[];
  readonly #equal = new Set<string>();

  constructor(nodes: Nodes, deadline: number, roots: readonly Node[]) {
    this.#nodes = nodes;
    this.#deadline = deadline;
    this.#roots = roots;
  }

  /** Undefined where the graphs are equal. */
  compare(a: Node, b: Node, path: Path): Exclude<Found, { none: true }> | undefined {
    if (a === b) return undefined;
    const key = `${a.id},${b.id}`;
    if (this.#equal.has(key)) return undefined;
    if (Date.now() > this.#deadline) return { unknown: "the time limit was reached" };
    const difference = this.#split(a, b, path);
    if (difference === undefined) this.#equal.add(key);
    return difference;
  }

  #split(a: Node, b: Node, path: Path): Exclude<Found, { none: true }> | undefined {
    const nodes = this.#nodes;
    const [first, other] = a.kind === "test" || a.kind === "touch" || b.kind === "return" ? [a, b] : [b, a];
    switch (first.kind) {
      case "test": {
        for (const value of [first.left, first.right]) {
          const failing = this.#compareFailing(value, other, path);
          if (failing !== undefined) return failing;
        }
        for (const outcome of [true, false]) {
          const one = restrict(nodes, outcome ? first.yes : first.no, first, outcome);
          const two = restrict(nodes, other, first, outcome);
          const tests = [...path.tests, { test: first, outcome }];
          const difference = this.compare(one, two, { ...path, tests });
          if (difference !== undefined) return difference;
        }
        return undefined;
      }
      case "touch": {
        const failing = this.#compareFailing(first.value, other, path);
        if (failing !== undefined) return failing;
        const facts = NO_FACTS.evaluated(first.value);
        return this.compare(restrictTo(nodes, first.next, facts, 0), restrictTo(nodes, other, facts, 0), {
          ...path,
          touched: [...path.touched, first.value],
        });
      }
      default:
        return this.#confirm(path);
    }
  }

  /** Where the value's evaluation ends one program with 0, the other has to say 0 as well. */
  #compareFailing(value: Value, other: Node, path: Path): Exclude<Found, { none: true }> | undefined {
    if (value.hazards.levels.size === 0 || covers(other.needs, value.hazards)) return undefined;
    const zero = this.#nodes.return(this.#nodes.values.constant(0));
    const rest = withoutSuccess(this.#nodes, other, value.hazards);
    return this.compare(zero, rest, { ...path, fails: value });
  }

  #confirm(path: Path): Exclude<Found, { none: true }> {
    const packet = forge(path);
    if (packet !== undefined) {
      const [one, two] = this.#roots.map((root) => evaluate(root, packet));
      if (one !== undefined && two !== undefined && one !== two) {
        return { found: { packet, context: () => NO_CONTEXT } };
      }
    }
    return { unknown: "a path ends differently, and no packet for it was found" };
  }
}

/** The graph for packets on which the hazards do not all hold: what needs them all returns 0. */
function withoutSuccess(nodes: Nodes, root: Node, hazards: Hazards): Node {
  const zero = nodes.return(nodes.values.constant(0));
  const memo = new Map<Node, Node>();
  const visit = (node: Node): Node => {
    if (covers(node.needs, hazards)) return zero;
    const known = memo.get(node);
    if (known !== undefined) return known;
    const made = nodes.rebuild(node, visit);
    memo.set(node, made);
    return made;
  };
  return visit(root);
}
