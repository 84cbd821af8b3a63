/**
 * Tails in a row: fall through where one instruction follows another, jump where it can not, and keep every
 * conditional jump within its 255 instructions.
 *
 * The program is written from its end, so the distance to every target is known when a jump is written.  A target out
 * of reach gets a stand-in right behind the branch: a copy of the return it leads to, or a `ja`.  Nothing falls into
 * the place behind a branch, and later stand-ins for the same target are shared while they are in reach.
 */
import { CODE } from "../isa/opcodes.ts";
import { type Instruction, jump, stmt } from "../program/instruction.ts";
import { isReturn, type Tail } from "./tail.ts";

const REACH = 255;

/** A straight run: every instruction falls into the next, the last is a return, a branch or a `ja`. */
interface Block {
  readonly tails: Tail[];
  /** Where a closing `ja` goes. */
  exit: Tail | undefined;
}

/**
 * @param copyReturns  Whether returns may stand in the middle of the program.  Behind a return the kernel's check of
 *   scratch memory goes on with what was stored before it (net/core/filter.c, check_load_and_stores), so programs that
 *   use M[] keep their returns at the end.
 */
export function layout(first: Tail, copyReturns: boolean): { instructions: Instruction[]; origins: number[] } {
  const blocks = blocksOf(first, copyReturns);
  const order = arrange(blocks, first);
  const reversed: { instruction: Instruction; origin: number }[] = [];
  /** Distance of each tail's instruction from the end of the program, counted from 1. */
  const place = new Map<Tail, number>();
  const standIns = new Map<Tail, number>();
  const write = (instruction: Instruction, origin: number) => reversed.push({ instruction, origin });
  /** The distance over which a branch at the next free place reaches `target`, or undefined when it is too far. */
  const reach = (target: Tail, room: number): number | undefined => {
    for (const at of [place.get(target), standIns.get(target)]) {
      if (at !== undefined && reversed.length + room - at <= REACH) return reversed.length + room - at;
    }
    return undefined;
  };
  const standIn = (target: Tail) => {
    if (copyReturns && isReturn(target)) write(stmt(target.code, target.k), target.origin);
    else write(stmt(CODE.ja, reversed.length - place.get(target)!), target.origin);
    standIns.set(target, reversed.length);
  };
  for (const block of order.toReversed()) {
    if (block.exit !== undefined) write(stmt(CODE.ja, reversed.length - place.get(block.exit)!), block.exit.origin);
    for (const tail of block.tails.toReversed()) {
      if (tail.otherwise === undefined) write(stmt(tail.code, tail.k), tail.origin);
      else {
        const targets = [tail.next!, tail.otherwise];
        // Two stand-ins at most go in between, so anything within REACH - 2 stays in reach.
        for (const target of targets) if (reach(target, 2) === undefined) standIn(target);
        const [jt, jf] = targets.map((target) => reach(target, 0)!);
        write(jump(tail.code, tail.k, jt!, jf!), tail.origin);
      }
      place.set(tail, reversed.length);
    }
  }
  reversed.reverse();
  return { instructions: reversed.map((r) => r.instruction), origins: reversed.map((r) => r.origin) };
}

/** Cuts the tails into blocks.  Each tail is in one block, but for single instructions that a copy of serves as well. */
function blocksOf(first: Tail, copyReturns: boolean): Block[] {
  const order = tailsInOrder(first);
  const claimed = new Set<Tail>();
  const follower = new Map<Tail, Tail>();
  for (const tail of order) {
    if (tail.otherwise !== undefined || tail.next === undefined || claimed.has(tail.next)) continue;
    claimed.add(tail.next);
    follower.set(tail, tail.next);
  }
  const blocks: Block[] = [];
  for (const head of order) {
    if (claimed.has(head)) continue;
    const block: Block = { tails: [], exit: undefined };
    for (let tail: Tail | undefined = head; tail !== undefined; ) {
      block.tails.push(tail);
      const next: Tail | undefined = follower.get(tail);
      if (next === undefined && tail.otherwise === undefined && tail.next !== undefined) block.exit = tail.next;
      tail = next;
    }
    blocks.push(block);
  }
  for (const block of blocks) {
    const { exit } = block;
    if (exit === undefined) continue;
    // A copy costs what the jump costs and runs one instruction less.
    if (exit.otherwise !== undefined || (copyReturns && isReturn(exit))) {
      block.tails.push({ ...exit });
      block.exit = undefined;
    }
  }
  return blocks;
}

/** Blocks so that every jump goes forward, returns last. */
function arrange(blocks: readonly Block[], first: Tail): Block[] {
  const blockOf = new Map<Tail, Block>();
  for (const block of blocks) for (const tail of block.tails) blockOf.set(tail, block);
  const order: Block[] = [];
  const seen = new Set<Block>();
  const targets = (block: Block): Block[] => {
    const last = block.tails.at(-1)!;
    const to = block.exit !== undefined ? [block.exit] : last.otherwise ? [last.otherwise, last.next!] : [];
    return to.map((tail) => blockOf.get(tail)!);
  };
  const start = blockOf.get(first)!;
  const stack: { block: Block; to: Block[]; next: number }[] = [{ block: start, to: targets(start), next: 0 }];
  seen.add(start);
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    if (top.next < top.to.length) {
      // The last target visited is laid out nearest.
      const block = top.to[top.next++]!;
      if (!seen.has(block)) {
        seen.add(block);
        stack.push({ block, to: targets(block), next: 0 });
      }
    } else {
      order.push(top.block);
      stack.pop();
    }
  }
  order.reverse();
  const ends = order.filter((block) => block !== start && block.tails.length === 1 && isReturn(block.tails[0]!));
  return [...order.filter((block) => !ends.includes(block)), ...ends];
}

/** Every tail that the first reaches, each after all that lead to it. */
function tailsInOrder(first: Tail): Tail[] {
  const order: Tail[] = [];
  const seen = new Set<Tail>([first]);
  const stack: { tail: Tail; next: number }[] = [{ tail: first, next: 0 }];
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const child = top.next === 0 ? top.tail.next : top.next === 1 ? top.tail.otherwise : undefined;
    if (top.next++ < 2) {
      if (child !== undefined && !seen.has(child)) {
        seen.add(child);
        stack.push({ tail: child, next: 0 });
      }
    } else {
      order.push(top.tail);
      stack.pop();
    }
  }
  return order.reverse();
}
