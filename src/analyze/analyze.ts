/**
 * What a program does, without running it: reachable and dead code, path lengths, the bytes, cells and ancillary
 * values it can touch, what its attach costs, and where other implementations would disagree.
 */
import { type AncillaryRow, ancillaryAt } from "../isa/ancillary.ts";
import { SKF_AD_OFF, SKF_LL_OFF, SKF_NET_OFF } from "../isa/limits.ts";
import { type ControlFlowGraph, controlFlow, targets } from "../program/cfg.ts";
import type { VerifiedProgram } from "../program/engine.ts";
import { type AttachEstimate, type AttachOptions, estimateAttach } from "../verify/estimate.ts";
import { type Divergence, divergences } from "./divergences.ts";

/** Bytes that one load can touch. */
export interface TouchedBytes {
  readonly area: "packet" | "network" | "mac";
  /** First byte, relative to the area's start; with `dynamic`, what X is added to, -4096 or more. */
  readonly from: number;
  /** Bytes. */
  readonly size: number;
  /** True when X is added. */
  readonly dynamic: boolean;
}

export interface Analysis {
  /** Number of instructions. */
  readonly length: number;
  readonly graph: ControlFlowGraph;
  /** Indices of the instructions that no path reaches, ascending. */
  readonly dead: readonly number[];
  /**
   * Instructions on the shortest and the longest path to a return.  A program with loops has no longest one, and when no
   * path leads to a return the shortest is Infinity.
   */
  readonly shortestPath: number;
  readonly longestPath: number | undefined;
  /** Distinct loads of reachable code, ordered by area and position; without those that no packet can satisfy. */
  readonly touches: readonly TouchedBytes[];
  /** Scratch cells that reachable code writes or reads, ascending. */
  readonly scratch: readonly number[];
  /** Ancillary values that reachable code loads, in table order. */
  readonly ancillary: readonly AncillaryRow[];
  /** Constants that can be returned, ascending; "A" when an accumulator can be. */
  readonly verdicts: readonly (number | "A")[];
  /** What SO_ATTACH_FILTER would make of it; undefined for a program with extensions or of the libpcap profile. */
  readonly attach: AttachEstimate | undefined;
  /** Where Linux, libpcap and x/net/bpf would not agree. */
  readonly divergences: readonly Divergence[];
}

export function analyze(program: VerifiedProgram, options: AttachOptions = {}): Analysis {
  const { instructions, isa } = program;
  const graph = controlFlow(instructions, isa);
  const alive = instructions.map((_insn, i) => graph.blocks[graph.blockOf[i]!]!.reachable);
  const live = instructions.filter((_insn, i) => alive[i]);

  const scratch = new Set<number>();
  const ancillary = new Set<AncillaryRow>();
  const verdicts = new Set<number | "A">();
  const touches = new Map<string, TouchedBytes>();
  for (const { code, k } of live) {
    const does = isa.known(code)?.does;
    switch (does?.kind) {
      case "load-mem":
      case "store-mem":
        scratch.add(k);
        break;
      case "return":
        verdicts.add(does.src === "a" ? "A" : k);
        break;
      case "msh":
        touch(touches, k, 1, false);
        break;
      case "packet": {
        const row = does.at === "abs" ? ancillaryAt(k) : undefined;
        if (row !== undefined) ancillary.add(row);
        else if (does.at === "ind" || isa.ancillary(k) === undefined) touch(touches, k, does.size, does.at === "ind");
        break;
      }
    }
  }

  const extended = instructions.some((insn) => isa.isExtension(insn)); // in dead code too: it is checked all the same
  return {
    length: instructions.length,
    graph,
    dead: alive.flatMap((on, i) => (on ? [] : [i])),
    ...pathLengths(program),
    touches: [...touches.values()].sort((p, q) => AREAS.indexOf(p.area) - AREAS.indexOf(q.area) || p.from - q.from),
    scratch: [...scratch].sort((p, q) => p - q),
    ancillary: [...ancillary].sort((p, q) => p.offset - q.offset),
    verdicts: [...verdicts].sort((p, q) => (p === "A" ? 1 : q === "A" ? -1 : p - q)),
    attach: program.profile !== "linux" || extended ? undefined : estimateAttach(program, options),
    divergences: divergences(program, alive),
  };
}

const AREAS = ["packet", "network", "mac"] as const;

function touch(touches: Map<string, TouchedBytes>, k: number, size: number, dynamic: boolean): void {
  // X + k is taken modulo 2^32: the last 4096 values are what programs mean by X - 1 .. X - 4096
  const negative = dynamic && k >= SKF_AD_OFF;
  if (!dynamic && k >= 0x80000000 && k < SKF_LL_OFF) return; // every packet ends the program there
  const area = negative || k < SKF_LL_OFF ? "packet" : k >= SKF_NET_OFF ? "network" : "mac";
  const from = negative
    ? k - 0x1_0000_0000
    : area === "network"
      ? k - SKF_NET_OFF
      : area === "mac"
        ? k - SKF_LL_OFF
        : k;
  touches.set(`${area} ${from} ${size} ${dynamic}`, { area, from, size, dynamic });
}

/** Shortest and longest path in instructions, from the last instruction back; jumps of valid programs go forward. */
function pathLengths({ instructions, isa }: VerifiedProgram): {
  shortestPath: number;
  longestPath: number | undefined;
} {
  const n = instructions.length;
  const shortest = new Array<number>(n).fill(Number.POSITIVE_INFINITY);
  const longest = new Array<number>(n).fill(0);
  let loops = false;
  for (let i = n - 1; i >= 0; i--) {
    const next = targets(instructions[i]!, i, isa);
    if (next.length === 0) shortest[i] = 1;
    for (const t of next) {
      if (t <= i) loops = true;
      shortest[i] = Math.min(shortest[i]!, 1 + (shortest[t] ?? Number.POSITIVE_INFINITY));
      longest[i] = Math.max(longest[i]!, longest[t] ?? 0);
    }
    longest[i]!++;
  }
  return { shortestPath: shortest[0]!, longestPath: loops ? undefined : longest[0]! };
}
