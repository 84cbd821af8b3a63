/**
 * Orders blocks into structured code: nested blocks that can be left forward, as both WebAssembly and JavaScript
 * have them.
 *
 * A block that is the target of a jump gets a label whose scope ends right in front of it and opens at the first jump
 * to it, or earlier where scopes would cross.  All edges lead forward, so nothing else is needed: no loops, no
 * dispatch variable.  The result is a flat list of steps, so printing needs no recursion, however deep the nesting.
 */
import { type Block, successors } from "./ir.ts";

export type Step =
  /** Opens the scope of a label. */
  | { readonly step: "open"; readonly label: number }
  /** Ends it; a jump to the label goes on here. */
  | { readonly step: "close"; readonly label: number }
  /** Prints a block; `next` is the block that control falls into behind it, -1 for none. */
  | { readonly step: "block"; readonly block: number; readonly next: number };

/**
 * Lays out the blocks.
 *
 * @param isInlined  blocks printed wherever somebody jumps to them (short returns); they get neither label nor step.
 */
export function layOut(blocks: readonly Block[], isInlined: (block: Block) => boolean): Step[] {
  const printed = blocks.flatMap((block, number) => (number === 0 || !isInlined(block) ? [number] : []));
  const position = new Map(printed.map((number, at) => [number, at]));
  const opens = firstJumps(blocks, printed, position);
  const openedAt = printed.map((): number[] => []);
  for (const label of [...opens.keys()].sort((a, b) => b - a)) openedAt[opens.get(label)!]!.push(label);
  const steps: Step[] = [];
  printed.forEach((number, at) => {
    if (opens.has(at)) steps.push({ step: "close", label: number });
    for (const label of openedAt[at]!) steps.push({ step: "open", label: printed[label]! }); // the last to close first
    steps.push({ step: "block", block: number, next: printed[at + 1] ?? -1 });
  });
  return steps;
}

/** For each labelled position, where its scope opens. */
function firstJumps(
  blocks: readonly Block[],
  printed: readonly number[],
  position: ReadonlyMap<number, number>,
): Map<number, number> {
  const first = new Map<number, number>();
  printed.forEach((number, at) => {
    for (const to of successors(blocks[number]!.ending)) {
      const target = position.get(to);
      if (target === undefined || first.has(target)) continue;
      if (target !== at + 1 || jumpsFromInside(blocks[number]!)) first.set(target, at);
    }
  });
  // scopes must nest: one that would open inside another and outlive it opens where that one does
  const stack: { from: number; to: number }[] = [];
  for (const to of [...first.keys()].sort((a, b) => a - b)) {
    let from = first.get(to)!;
    while (stack.length > 0 && stack.at(-1)!.to > from) from = Math.min(from, stack.pop()!.from);
    stack.push({ from, to });
    first.set(to, from);
  }
  return first;
}

/**
 * Numbers of the blocks that can begin a second part, ascending: every edge from a block in front of it to it or behind
 * it leads to it, but for edges to blocks that are inlined.
 */
export function* cuts(blocks: readonly Block[], isInlined: (block: Block) => boolean): Generator<number> {
  let furthest = 0;
  for (let number = 1; number < blocks.length; number++) {
    for (const to of successors(blocks[number - 1]!.ending)) {
      if (to > furthest && !isInlined(blocks[to]!)) furthest = to;
    }
    if (furthest === number) yield number;
  }
}

/** A search jumps to its targets from inside; even the next block needs a label then. */
function jumpsFromInside(block: Block): boolean {
  return block.ending.end === "search";
}
