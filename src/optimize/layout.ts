/**
 * Tails in a row: fall through where one instruction follows another, jump where it can not, and keep every
 * conditional jump within its 255 instructions.
 *
 * The program is written from its end, so the distance to every target is known when a jump is written.  A target out
 * of reach gets a stand-in right behind the branch: a copy of the return it leads to, or a `ja`.  Nothing falls into
 * the place behind a branch, and later stand-ins for the same target are shared while they are in reach.
 */
import { CODE } from "../isa/opcodes.ts";
import { type Instruction, stmt } from "../program/instruction.ts";
import { isReturn, type Tail } from "./tail.ts";

const REACH = 255;

/** A straight run: every instruction falls into the next, the last is a return, a branch or a `ja`. */
interface Block {
  readonly tails: Tail[];
  /** Where a closing `ja` goes. */
  exit: Tail | undefined;
  arranged: boolean;
}

/** The id of a second instruction for a tail, which nothing jumps to. */
const COPY = -1;

/**
 * @param copyReturns  Whether returns may stand in the middle of the program.  Behind a return the kernel's check of
 *   scratch memory goes on with what was stored before it (net/core/filter.c, check_load_and_stores), so programs that
 *   use M[] keep their returns at the end.
 */
export function layout(first: Tail, copyReturns: boolean): { instructions: Instruction[]; origins: number[] } {
  const instructions: Instruction[] = [];
  const origins: number[] = [];
  /** By id, the distance of each tail's instruction and of its stand-in from the end of the program, counted from 1. */
  const place = new Int32Array(first.id + 1);
  const standIns = new Int32Array(first.id + 1);
  const write = (instruction: Instruction, origin: number) => {
    instructions.push(instruction);
    origins.push(origin);
  };
  /** The distance over which a branch `room` places further up reaches the target, or undefined when it is too far. */
  const reach = ({ id }: Tail, room: number): number | undefined => {
    const up = instructions.length + room;
    if (place[id] !== 0 && up - place[id]! <= REACH) return up - place[id]!;
    return standIns[id] !== 0 && up - standIns[id]! <= REACH ? up - standIns[id]! : undefined;
  };
  const standIn = (target: Tail) => {
    if (copyReturns && isReturn(target)) write(target.instruction, target.origin);
    else write(stmt(CODE.ja, instructions.length - place[target.id]!), target.origin);
    standIns[target.id] = instructions.length;
  };
  for (const block of arrange(blocksOf(first, copyReturns), first).toReversed()) {
    if (block.exit !== undefined) {
      write(stmt(CODE.ja, instructions.length - place[block.exit.id]!), block.exit.origin);
    }
    for (const tail of block.tails.toReversed()) {
      const { next, otherwise } = tail;
      if (otherwise === undefined) write(tail.instruction, tail.origin);
      else {
        // Two stand-ins at most go in between, so anything within REACH - 2 stays in reach.
        if (reach(next!, 2) === undefined) standIn(next!);
        if (reach(otherwise, 2) === undefined) standIn(otherwise);
        write({ ...tail.instruction, jt: reach(next!, 0)!, jf: reach(otherwise, 0)! }, tail.origin);
      }
      if (tail.id !== COPY) place[tail.id] = instructions.length;
    }
  }
  return { instructions: instructions.reverse(), origins: origins.reverse() };
}

/** Cuts the tails into blocks.  Each tail is in one block, but for single instructions that a copy of serves as well. */
function blocksOf(first: Tail, copyReturns: boolean): Block[] {
  const order = tailsInOrder(first);
  const claimed = new Uint8Array(first.id + 1);
  /** By id, whether the next instruction follows directly. */
  const followed = new Uint8Array(first.id + 1);
  for (const { id, next, otherwise } of order) {
    if (otherwise !== undefined || next === undefined || claimed[next.id]) continue;
    claimed[next.id] = 1;
    followed[id] = 1;
  }
  const blocks: Block[] = [];
  for (const head of order) {
    if (claimed[head.id]) continue;
    const tails = [head];
    let last = head;
    for (; followed[last.id]; last = last.next!) tails.push(last.next!);
    const exit = last.otherwise === undefined ? last.next : undefined;
    // A copy costs what the jump costs and runs one instruction less.
    const copied = exit !== undefined && (exit.otherwise !== undefined || (copyReturns && isReturn(exit)));
    if (copied) tails.push({ ...exit, id: COPY });
    blocks.push({ tails, exit: copied ? undefined : exit, arranged: false });
  }
  return blocks;
}

/** Blocks so that every jump goes forward, returns last. */
function arrange(blocks: readonly Block[], first: Tail): Block[] {
  const blockOf: Block[] = new Array(first.id + 1);
  for (const block of blocks) for (const { id } of block.tails) if (id !== COPY) blockOf[id] = block;
  const targets = (block: Block): Block[] => {
    if (block.exit !== undefined) return [blockOf[block.exit.id]!];
    const { next, otherwise } = block.tails.at(-1)!;
    return otherwise === undefined ? [] : [blockOf[otherwise.id]!, blockOf[next!.id]!];
  };
  const order: Block[] = [];
  const start = blockOf[first.id]!;
  const stack: { block: Block; to: Block[]; next: number }[] = [{ block: start, to: targets(start), next: 0 }];
  start.arranged = true;
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    if (top.next < top.to.length) {
      // The last target visited is laid out nearest.
      const block = top.to[top.next++]!;
      if (!block.arranged) {
        block.arranged = true;
        stack.push({ block, to: targets(block), next: 0 });
      }
    } else {
      order.push(top.block);
      stack.pop();
    }
  }
  order.reverse();
  const isEnd = (block: Block) => block !== start && block.tails.length === 1 && isReturn(block.tails[0]!);
  return [...order.filter((block) => !isEnd(block)), ...order.filter(isEnd)];
}

/** Every tail that the first reaches, each after all that lead to it. */
function tailsInOrder(first: Tail): Tail[] {
  const order: Tail[] = [];
  const seen = new Uint8Array(first.id + 1);
  const stack: Tail[] = [first];
  // A tail is met on the way down, and again, marked 2, when all behind it is done.
  while (stack.length > 0) {
    const tail = stack.at(-1)!;
    const { id, next, otherwise } = tail;
    if (seen[id] === 0) {
      seen[id] = 1;
      // The last one pushed goes first.
      if (otherwise !== undefined && seen[otherwise.id] === 0) stack.push(otherwise);
      if (next !== undefined && seen[next.id] === 0) stack.push(next);
    } else {
      stack.pop();
      if (seen[id] === 1) order.push(tail);
      seen[id] = 2;
    }
  }
  return order.reverse();
}
