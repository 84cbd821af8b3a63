/**
 * What a predicate gives on a packet, computed directly, and which bytes were looked at on the way.
 *
 * This is the meaning that `lower` must keep; it serves explanations, and tests as a second opinion.
 */
import { ancillaryAt } from "../isa/ancillary.ts";
import { ALU, CONDITION } from "../isa/semantics.ts";
import { NO_CONTEXT, type PacketContext } from "../program/packet-context.ts";
import { LOAD_FAILED, loadPacket } from "../program/packet-load.ts";
import type { Node } from "./ast.ts";
import type { Place, Predicate, Slot, Value } from "./predicate.ts";

/** One load. */
export interface Read {
  /** Offset in bytes; for ancillary loads their number, 0xfffff000 and up. */
  readonly offset: number;
  readonly size: number;
  /** What was there; undefined past the end of the packet. */
  readonly value: number | undefined;
}

/** One term of the expression as it was met. */
export interface Step {
  readonly node: Node;
  /** What it gave; undefined when a load past the end of the packet ended everything in it. */
  readonly outcome: boolean | undefined;
  readonly reads: readonly Read[];
}

export interface Evaluation {
  /** Accepted or not. */
  readonly accepted: boolean;
  /** Terms that were looked at, in order, without those that hold others. */
  readonly steps: readonly Step[];
  /** The load that ended it, or a division by zero in the last step. */
  readonly ended: "load" | "division" | undefined;
}

/** Ends an evaluation from inside: the machine rejects the packet. */
class Ended extends Error {
  readonly reason: "load" | "division";
  constructor(reason: "load" | "division") {
    super(reason);
    this.reason = reason;
  }
}

export function evaluate(predicate: Predicate, packet: Uint8Array, context: PacketContext = NO_CONTEXT): Evaluation {
  const machine = new Evaluator(packet, context);
  try {
    for (const slot of definedSlots(predicate)) machine.predicate(slot.definition!);
    return { accepted: machine.predicate(predicate), steps: machine.steps, ended: undefined };
  } catch (error) {
    if (!(error instanceof Ended)) throw error;
    return { accepted: false, steps: machine.steps, ended: error.reason };
  }
}

class Evaluator {
  readonly steps: Step[] = [];
  readonly #packet: Uint8Array;
  readonly #context: PacketContext;
  readonly #slots = new Map<Slot, number>();
  #reads: Read[] = [];

  constructor(packet: Uint8Array, context: PacketContext) {
    this.#packet = packet;
    this.#context = context;
  }

  predicate(p: Predicate): boolean {
    switch (p.kind) {
      case "test":
        return CONDITION[p.cond](
          this.#value(p.value),
          typeof p.operand === "number" ? p.operand : this.#value(p.operand),
        );
      case "constant":
        return p.value;
      case "assign":
        this.#slots.set(p.slot, this.#value(p.value));
        return true;
      case "effect":
        this.predicate(p.body);
        return true;
      case "not":
        return !this.predicate(p.term);
      case "chain": {
        let sofar = this.predicate(p.first);
        for (const { op, term } of p.rest) if (sofar === (op === "and")) sofar = this.predicate(term);
        return sofar;
      }
      case "source":
        return p.node.kind === "chain" || p.node.kind === "not" ? this.predicate(p.term) : this.#step(p.node, p.term);
    }
  }

  #step(node: Node, term: Predicate): boolean {
    const reads: Read[] = [];
    this.#reads = reads;
    let outcome: boolean | undefined;
    try {
      outcome = this.predicate(term);
      return outcome;
    } finally {
      this.steps.push({ node, outcome, reads });
    }
  }

  #value(value: Value): number {
    switch (value.kind) {
      case "number":
        return value.k;
      case "length":
        return this.#context.length ?? this.#packet.length;
      case "ancillary":
        return this.#ancillary(value.k);
      case "slot":
        return this.#slots.get(value.slot) ?? 0;
      case "place":
        return this.#position(value.place);
      case "neg":
        return -this.#value(value.operand) >>> 0;
      case "alu": {
        const left = this.#value(value.left);
        const right = this.#value(value.right);
        if (right === 0 && (value.op === "div" || value.op === "mod")) throw new Ended("division");
        return ALU[value.op](left, right);
      }
      case "load": {
        const index = value.index === undefined ? 0 : this.#value(value.index);
        return this.#load((this.#position(value.place) + index) >>> 0, value.size);
      }
    }
  }

  #position({ slot, header, offset }: Place): number {
    const start = slot === undefined ? 0 : (this.#slots.get(slot) ?? 0);
    const length = header === undefined ? 0 : 4 * (this.#load((start + header) >>> 0, 1) & 15);
    return (start + length + offset) >>> 0;
  }

  #load(offset: number, size: 1 | 2 | 4): number {
    const value = loadPacket(this.#packet, 0, this.#packet.length, this.#context, offset, size);
    this.#reads.push({ offset, size, value: value === LOAD_FAILED ? undefined : value });
    if (value === LOAD_FAILED) throw new Ended("load");
    return value;
  }

  #ancillary(k: number): number {
    const does = ancillaryAt(k)?.does;
    const value = does?.kind === "field" || does?.kind === "device" ? this.#context[does.field] : 0;
    this.#reads.push({ offset: k, size: 4, value });
    return value;
  }
}

/** The slots with definitions that a predicate reads, those first that others are computed from. */
function definedSlots(predicate: Predicate): Slot[] {
  const found = new Set<Slot>();
  const note = (slot: Slot | undefined): void => {
    if (slot?.definition === undefined || found.has(slot)) return;
    if (slot.after !== undefined) note(slot.after);
    found.add(slot);
  };
  const inValue = (value: Value): void => {
    if (value.kind === "slot") note(value.slot);
    else if (value.kind === "neg") inValue(value.operand);
    else if (value.kind === "place") note(value.place.slot);
    else if (value.kind === "alu") {
      inValue(value.left);
      inValue(value.right);
    } else if (value.kind === "load") {
      note(value.place.slot);
      if (value.index !== undefined) inValue(value.index);
    }
  };
  const inPredicate = (p: Predicate): void => {
    if (p.kind === "test") {
      inValue(p.value);
      if (typeof p.operand !== "number") inValue(p.operand);
    } else if (p.kind === "assign") inValue(p.value);
    else if (p.kind === "effect") inPredicate(p.body);
    else if (p.kind === "not" || p.kind === "source") inPredicate(p.term);
    else if (p.kind === "chain") {
      inPredicate(p.first);
      for (const { term } of p.rest) inPredicate(term);
    }
  };
  inPredicate(predicate);
  return [...found];
}
