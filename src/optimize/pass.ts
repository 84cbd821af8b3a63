/**
 * What a pass is: a name and a function from decision graph to decision graph.
 */
import type { Graph } from "./graph.ts";

export interface Pass {
  readonly name: string;
  /**
   * A graph that gives the same verdicts.  It is made with the nodes of the given one (`graph.nodes`), and may be the
   * given one when there is nothing to do.
   */
  run(graph: Graph): Graph;
}
