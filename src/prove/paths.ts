/**
 * Comparing programs path by path, without a solver.
 *
 * Both programs are lifted into one store, where equal graphs are one node.  The comparison tests what one of them
 * tests first, restricts both to each outcome and to the failure of the load, and goes on until the remainders are the
 * same node.  Where they end differently a packet is forged for the path, and only a packet on which both graphs
 * really give different verdicts counts.
 */
import { type Facts, NO_FACTS } from "../optimize/facts.ts";
import { bitOf, type Node, Nodes, topological } from "../optimize/graph.ts";
import { covers, type Hazards, unproven } from "../optimize/hazards.ts";
import { lift } from "../optimize/lift.ts";
import { restrictTo } from "../optimize/restrict.ts";
import type { Value } from "../optimize/value.ts";
import type { Instruction } from "../program/instruction.ts";
import { NO_CONTEXT } from "../program/packet-context.ts";
import { evaluate } from "./evaluate.ts";
import { forge, type Path } from "./forge.ts";
import type { Found } from "./question.ts";

type Difference = Exclude<Found, { none: true }>;

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
  const deadline = Date.now() + timeLimit;
  const start: Path = { tests: [], touched: [], fails: undefined };
  const [one, two] = [roots[0]!, roots[1]!];
  const quick = new Comparison(nodes, deadline, roots, false).compare(one, two, start, NO_FACTS);
  if (quick === undefined) return { none: true };
  if ("found" in quick) return quick;
  const thorough = new Comparison(nodes, deadline, roots, true).compare(one, two, start, NO_FACTS);
  return thorough ?? { none: true };
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
  /** Whether every fact of a path is used, or only the last test's; then equal remainders need one look. */
  readonly #thorough: boolean;
  readonly #equal = new Set<string>();

  constructor(nodes: Nodes, deadline: number, roots: readonly Node[], thorough: boolean) {
    this.#nodes = nodes;
    this.#deadline = deadline;
    this.#roots = roots;
    this.#thorough = thorough;
  }

  /** Undefined where the graphs are equal. */
  compare(a: Node, b: Node, path: Path, facts: Facts): Difference | undefined {
    if (a === b) return undefined;
    const key = `${a.id},${b.id}`;
    if (this.#equal.has(key)) return undefined;
    if (Date.now() > this.#deadline) return { unknown: "the time limit was reached" };
    const difference = this.#split(a, b, path, facts);
    if (difference === undefined && !this.#thorough) this.#equal.add(key);
    return difference;
  }

  #split(a: Node, b: Node, path: Path, facts: Facts): Difference | undefined {
    const [first, other] = a.kind === "test" || a.kind === "touch" || b.kind === "return" ? [a, b] : [b, a];
    switch (first.kind) {
      case "test": {
        for (const value of [first.left, first.right]) {
          const failing = this.#compareFailing(value, other, path, facts);
          if (failing !== undefined) return failing;
        }
        const before = (this.#thorough ? facts : NO_FACTS).evaluated(first.left).evaluated(first.right);
        const about = this.#thorough ? -1 : bitOf(first.left.root) | bitOf(first.right.root);
        for (const outcome of [true, false]) {
          if (this.#thorough && before.decide(first) === !outcome) continue;
          const known = before.learned(first, outcome);
          const one = restrictTo(this.#nodes, outcome ? first.yes : first.no, known, about);
          const two = restrictTo(this.#nodes, other, known, about);
          const tests = [...path.tests, { test: first, outcome }];
          const difference = this.compare(one, two, { ...path, tests }, known);
          if (difference !== undefined) return difference;
        }
        return undefined;
      }
      case "touch": {
        const failing = this.#compareFailing(first.value, other, path, facts);
        if (failing !== undefined) return failing;
        const known = (this.#thorough ? facts : NO_FACTS).evaluated(first.value);
        const one = restrictTo(this.#nodes, first.next, known, 0);
        const two = restrictTo(this.#nodes, other, known, 0);
        return this.compare(one, two, { ...path, touched: [...path.touched, first.value] }, known);
      }
      default:
        return this.#confirm(path);
    }
  }

  /** Where the value's evaluation ends one program with 0, the other has to say 0 as well. */
  #compareFailing(value: Value, other: Node, path: Path, facts: Facts): Difference | undefined {
    if (value.hazards.levels.size === 0 || covers(other.needs, value.hazards)) return undefined;
    if (this.#thorough && covers(facts.proven, value.hazards)) return undefined;
    const zero = this.#nodes.return(this.#nodes.values.constant(0));
    const failing = this.#thorough ? unproven(value.hazards, facts.proven) : value.hazards;
    const rest = withoutSuccess(this.#nodes, other, failing);
    return this.compare(zero, rest, { ...path, fails: value }, facts);
  }

  #confirm(path: Path): Difference {
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
