/**
 * Programs as formulas: SMT-LIB 2 over bit-vectors, with the packet as an array of bytes.
 *
 * The encoding is exact and linear in the program.  It follows the program in order, and where paths join it merges
 * registers with `ite`.  It shares no code with the optimizer, whose work it judges.
 *
 * Free in every question: the captured bytes and their number, the length on the wire, the bytes in front of byte 0,
 * where the headers are, and every ancillary value within its width.  NLATTR is an unknown function of A and X, and
 * PAY_OFFSET an unknown number: equal programs use them equally.
 */
import { BpfError } from "../base/errors.ts";
import { ANCILLARY, isAncillaryOffset } from "../isa/ancillary.ts";
import { ISA } from "../isa/instruction-set.ts";
import { SKF_LL_OFF, SKF_NET_OFF, U32_MAX } from "../isa/limits.ts";
import type { AluOp, Condition } from "../isa/semantics.ts";
import { targets } from "../program/cfg.ts";
import type { Instruction } from "../program/instruction.ts";

/** Declarations that every script starts with; `packet`, `caplen` and the context's values are free. */
export const PRELUDE = [
  "(declare-const packet (Array (_ BitVec 32) (_ BitVec 8)))",
  "(declare-const caplen (_ BitVec 32))",
  "(declare-const wirelen (_ BitVec 32))",
  "(declare-const before (_ BitVec 32))",
  "(declare-const network (_ BitVec 32))",
  "(declare-const mac (_ BitVec 32))",
  "(declare-const hasmac Bool)",
  "(declare-const hasdevice Bool)",
  // Positions stay where no sum of them wraps, which holds for every packet that exists.
  "(assert (bvult caplen #x40000000))",
  "(assert (bvult before #x00010000))",
  "(assert (and (bvsge network #xffff0000) (bvsle network #x00010000)))",
  "(assert (and (bvsge mac #xffff0000) (bvsle mac #x00010000)))",
  ...ANCILLARY.flatMap(({ name, width, does }) => {
    if (does.kind !== "field" && does.kind !== "device" && does.kind !== "pay-offset") return [];
    const bound = width === 32 ? [] : [`(assert (bvult ${fieldName(name)} ${word(2 ** width)}))`];
    return [`(declare-const ${fieldName(name)} (_ BitVec 32))`, ...bound];
  }),
  "(declare-fun nlattr ((_ BitVec 32) (_ BitVec 32) (_ BitVec 32)) (_ BitVec 32))",
  "(declare-fun random ((_ BitVec 32)) (_ BitVec 32))",
  `(define-fun isnet ((o (_ BitVec 32))) Bool (bvuge o ${word(SKF_NET_OFF)}))`,
  `(define-fun isll ((o (_ BitVec 32))) Bool (and (bvuge o ${word(SKF_LL_OFF)}) (bvult o ${word(SKF_NET_OFF)})))`,
  "(define-fun real ((o (_ BitVec 32))) (_ BitVec 32)",
  `  (ite (isnet o) (bvadd (bvsub o ${word(SKF_NET_OFF)}) network)`,
  `  (ite (isll o) (bvadd (bvsub o ${word(SKF_LL_OFF)}) mac) o)))`,
  "(define-fun readable ((o (_ BitVec 32)) (size (_ BitVec 32))) Bool",
  "  (and (or (bvult o #x80000000) (isnet o) (and (isll o) hasmac))",
  "       (bvsge (real o) (bvneg before)) (bvsle (real o) (bvsub caplen size))))",
].join("\n");

/** A u32 as a bit-vector literal. */
export function word(k: number): string {
  return `#x${(k >>> 0).toString(16).padStart(8, "0")}`;
}

/** The constant that stands for an ancillary value. */
export function fieldName(name: string): string {
  return `ad_${name.toLowerCase()}`;
}

/** A sum of terms and a constant, modulo 2^32. */
interface Sum {
  readonly atoms: readonly string[];
  readonly offset: number;
}

/**
 * Definitions shared by the programs of one question: equal terms get one name, and equal addresses one spelling.
 */
export class Definitions {
  readonly #names = new Map<string, string>();
  readonly #lines: string[] = [];
  /** Largest number of the terms where one below 2^32 is known. */
  readonly #most = new Map<string, number>();
  readonly #sums = new Map<string, Sum>();

  /** A name for a term; a term that is a name or a literal is its own. */
  define(sort: "Bool" | "(_ BitVec 32)", term: string, most = U32_MAX): string {
    if (!term.startsWith("(")) return term;
    const known = this.#names.get(term);
    if (known !== undefined) return known;
    const name = `t${this.#lines.length}`;
    this.#names.set(term, name);
    if (most < U32_MAX) this.#most.set(name, Math.floor(most));
    this.#lines.push(`(define-fun ${name} () ${sort} ${term})`);
    return name;
  }

  /** The sum of two terms, spelled the same however it came about. */
  sum(a: string, b: string): string {
    const [p, q] = [this.#sumOf(a), this.#sumOf(b)];
    const atoms = [...p.atoms, ...q.atoms].sort();
    const offset = (p.offset + q.offset) >>> 0;
    const most = atoms.reduce((total, atom) => total + this.most(atom), offset);
    const parts = offset === 0 && atoms.length > 0 ? atoms : [...atoms, word(offset)];
    const term = parts.reduceRight((rest, part) => `(bvadd ${part} ${rest})`);
    const name = this.define("(_ BitVec 32)", term, most);
    if (!name.startsWith("#")) this.#sums.set(name, { atoms, offset });
    return name;
  }

  /** The byte `i` behind an address, a term of eight bits. */
  byte(address: string, i: number): string {
    const at = address.startsWith("(") ? `(bvadd ${address} ${word(i)})` : this.sum(address, word(i));
    const known = this.#names.get(`byte ${at}`);
    if (known !== undefined) return known;
    const name = `b${this.#lines.length}`;
    this.#names.set(`byte ${at}`, name);
    this.#lines.push(`(define-fun ${name} () (_ BitVec 8) (select packet ${at}))`);
    return name;
  }

  /** A number that a bit-vector term never exceeds. */
  most(term: string): number {
    return term.startsWith("#x") ? Number.parseInt(term.slice(2), 16) : (this.#most.get(term) ?? U32_MAX);
  }

  /** The definitions as a script. */
  get exact(): string {
    return this.#lines.join("\n");
  }

  /**
   * The definitions with every byte a free constant, also bytes whose addresses may be the same.  That allows more
   * than packets can do, so what holds here holds; it needs no arrays and is decided much faster.
   */
  get loose(): string {
    return this.#lines
      .map((line) => line.replace(/^\(define-fun (b\d+) \(\) \(_ BitVec 8\) .*$/, "(declare-const $1 (_ BitVec 8))"))
      .join("\n");
  }

  #sumOf(term: string): Sum {
    if (term.startsWith("#x")) return { atoms: [], offset: Number.parseInt(term.slice(2), 16) };
    return this.#sums.get(term) ?? { atoms: [term], offset: 0 };
  }
}

/** Names of the terms that hold M[0]..M[15], A, X and the number of RANDOM loads done. */
type Slots = readonly string[];

/** Paths that came to an instruction in one state. */
interface Arrival {
  readonly when: string[];
  readonly slots: Slots;
}

const A = 16;
const X = 17;
const DRAWS = 18;
const SLOTS = 19;

/**
 * States kept apart at one instruction before they are merged.  Apart, addresses stay plain sums, which the solver
 * sees to be equal; merged, they are choices, which it has to search.
 */
const MOST_STATES = 48;

const BINARY: Readonly<Record<Exclude<AluOp, "lsh" | "rsh">, string>> = {
  add: "bvadd",
  sub: "bvsub",
  mul: "bvmul",
  div: "bvudiv",
  mod: "bvurem",
  or: "bvor",
  and: "bvand",
  xor: "bvxor",
};

/**
 * The term for a program's verdict, with what it needs added to the definitions.
 *
 * @throws {BpfError} `unsupported` for a program with extensions or jumps back.
 */
export function encodeProgram(instructions: readonly Instruction[], definitions: Definitions): string {
  const live = liveSlots(instructions);
  const incoming: Map<string, Arrival>[] = instructions.map(() => new Map());
  const verdicts: { when: string; value: string }[] = [];
  const bool = (term: string) => definitions.define("Bool", term);
  const bits = (term: string) => definitions.define("(_ BitVec 32)", term);
  const arrive = (pc: number, when: string, slots: Slots) => {
    const key = slots.map((name, slot) => ((live[pc]! >>> slot) & 1 ? name : "")).join();
    const known = incoming[pc]!.get(key);
    if (known === undefined) incoming[pc]!.set(key, { when: [when], slots });
    else known.when.push(when);
  };
  arrive(
    0,
    "true",
    Array.from({ length: SLOTS }, () => word(0)),
  );

  for (const [pc, { code, jt, jf, k }] of instructions.entries()) {
    const does = ISA.known(code)?.does;
    if (does === undefined) throw new BpfError("unsupported", `instruction ${pc} is an extension`, { index: pc });
    const arrivals = [...incoming[pc]!.values()].map(({ when, slots }) => ({ when: bool(disjunction(when)), slots }));
    incoming[pc]!.clear();
    for (const { when, slots: before } of arrivals.length > MOST_STATES ? [merged(arrivals, bool, bits)] : arrivals) {
      const slots = [...before];
      const a = slots[A]!;
      const x = slots[X]!;
      const set = (slot: number, term: string) => {
        slots[slot] = bits(term);
      };
      const dst = "dst" in does && does.dst === "x" ? X : A;
      let goesOn = when;
      const require = (condition: string) => {
        goesOn = bool(`(and ${goesOn} ${condition})`);
      };
      switch (does.kind) {
        case "imm":
          set(dst, word(k));
          break;
        case "length":
          set(dst, "wirelen");
          break;
        case "move":
          set(dst, dst === A ? x : a);
          break;
        case "load-mem":
          set(dst, slots[k]!);
          break;
        case "store-mem":
          slots[k] = does.src === "a" ? a : x;
          break;
        case "neg":
          set(A, `(bvneg ${a})`);
          break;
        case "alu": {
          const b = does.src === "k" ? word(k) : x;
          if (does.op === "lsh" || does.op === "rsh") {
            const count = does.src === "k" ? word(k & 31) : `(bvand ${b} #x0000001f)`;
            const most = does.src === "k" ? definitions.most(a) * 2 ** (does.op === "lsh" ? k : -k) : undefined;
            const term = `(${does.op === "lsh" ? "bvshl" : "bvlshr"} ${a} ${count})`;
            slots[A] = definitions.define("(_ BitVec 32)", term, most);
            break;
          }
          if ((does.op === "div" || does.op === "mod") && does.src === "x") require(`(not (= ${b} ${word(0)}))`);
          if (does.op === "add") slots[A] = definitions.sum(a, b);
          if (does.op === "sub" && does.src === "k") slots[A] = definitions.sum(a, word(-k));
          if (does.op === "add" || (does.op === "sub" && does.src === "k")) break;
          slots[A] = operation(definitions, does.op, a, b);
          break;
        }
        case "msh":
        case "packet": {
          const absolute = does.kind === "packet" && does.at === "abs";
          if (absolute && isAncillaryOffset(k)) {
            const device = encodeAncillary(pc, k, slots, set);
            if (device) {
              verdicts.push({ when: bool(`(and ${goesOn} (not hasdevice))`), value: a });
              require("hasdevice");
            }
            break;
          }
          const size = does.kind === "msh" ? 1 : does.size;
          const address = does.kind === "packet" && does.at === "ind" ? definitions.sum(x, word(k)) : word(k);
          // A sum that can not leave the plain offsets needs no case for the NET and LL areas.
          const plain = definitions.most(address) + size < 0x40000000;
          if (plain) require(`(bvule ${definitions.sum(address, word(size))} caplen)`);
          else require(`(readable ${address} ${word(size)})`);
          const from = plain ? address : `(real ${address})`;
          const bytes = Array.from({ length: size }, (_, i) => definitions.byte(from, i));
          const padding = size === 4 ? [] : [`#x${"00".repeat(4 - size)}`];
          const term = `(concat ${[...padding, ...bytes].join(" ")})`;
          const loaded = definitions.define("(_ BitVec 32)", term, 2 ** (8 * size) - 1);
          if (does.kind === "packet") slots[A] = loaded;
          else {
            const words = operation(definitions, "and", loaded, word(15));
            slots[X] = definitions.define("(_ BitVec 32)", `(bvshl ${words} ${word(2)})`, 60);
          }
          break;
        }
        case "jump":
          if (pc + 1 + k >= instructions.length) {
            throw new BpfError("unsupported", `instruction ${pc} jumps back`, { index: pc });
          }
          arrive(pc + 1 + k, when, slots);
          continue;
        case "branch": {
          const taken = bool(condition(does.cond, a, does.src === "k" ? word(k) : x));
          arrive(pc + 1 + jt, bool(`(and ${when} ${taken})`), slots);
          arrive(pc + 1 + jf, bool(`(and ${when} (not ${taken}))`), slots);
          continue;
        }
        case "return":
          verdicts.push({ when, value: does.src === "k" ? word(k) : a });
          continue;
      }
      arrive(pc + 1, goesOn, slots);
    }
  }
  return verdicts.reduce((rest, { when, value }) => bits(`(ite ${when} ${value} ${rest})`), word(0));
}

/** `a op b` with one spelling: operands of a commutative operation in order, masks without bits that are 0 anyway. */
function operation(definitions: Definitions, op: Exclude<AluOp, "lsh" | "rsh">, a: string, b: string): string {
  const most = mostOf(op, definitions.most(a), definitions.most(b));
  let operands = [a, b];
  if (op === "and" && b.startsWith("#")) operands = [a, word(definitions.most(b) & upTo(definitions.most(a)))];
  if (op === "and" || op === "or" || op === "xor" || op === "mul") operands.sort();
  return definitions.define("(_ BitVec 32)", `(${BINARY[op]} ${operands.join(" ")})`, most);
}

/** All bits up to the highest that a number up to `most` can have. */
function upTo(most: number): number {
  return most === 0 ? 0 : U32_MAX >>> Math.clz32(most);
}

/** What the result of an operation never exceeds, given that of its operands. */
function mostOf(op: AluOp, a: number, b: number): number {
  switch (op) {
    case "mul":
      return a * b;
    case "and":
      return Math.min(a, b);
    case "or":
    case "xor":
      return upTo(Math.max(a, b));
    case "div":
      return a;
    case "mod":
      return Math.min(a, b);
    default:
      return U32_MAX;
  }
}

/** One state for all arrivals. */
function merged(
  arrivals: readonly { when: string; slots: Slots }[],
  bool: (term: string) => string,
  bits: (term: string) => string,
): { when: string; slots: Slots } {
  const when = bool(disjunction(arrivals.map((arrival) => arrival.when)));
  const slots = Array.from({ length: SLOTS }, (_, slot) =>
    arrivals.reduceRight(
      (rest, arrival) =>
        arrival.slots[slot] === rest ? rest : bits(`(ite ${arrival.when} ${arrival.slots[slot]} ${rest})`),
      arrivals.at(-1)!.slots[slot]!,
    ),
  );
  return { when, slots };
}

/** For each instruction the slots that are read before they are written, as bits; the draws always count. */
function liveSlots(instructions: readonly Instruction[]): Int32Array {
  const live = new Int32Array(instructions.length + 1).fill(1 << DRAWS);
  for (let pc = instructions.length - 1; pc >= 0; pc--) {
    const row = ISA.known(instructions[pc]!.code);
    if (row === undefined) continue;
    const { k } = instructions[pc]!;
    let after = 1 << DRAWS;
    for (const to of targets(instructions[pc]!, pc)) after |= live[to] ?? 0;
    if (row.does.kind === "store-mem") after &= ~(1 << k);
    if (row.writes.includes("A")) after &= ~(1 << A);
    if (row.writes.includes("X")) after &= ~(1 << X);
    if (row.does.kind === "load-mem") after |= 1 << k;
    const asksContext = row.does.kind === "packet" && row.does.at === "abs" && isAncillaryOffset(k);
    if (row.reads.includes("A") || asksContext) after |= 1 << A;
    if (row.reads.includes("X") || asksContext) after |= 1 << X;
    live[pc] = after;
  }
  return live;
}

/** Puts an ancillary value into A; true when the load ends the program on packets without a device. */
function encodeAncillary(pc: number, k: number, slots: string[], set: (slot: number, term: string) => void): boolean {
  const row = ISA.ancillary(k);
  if (row === undefined || !("does" in row)) {
    throw new BpfError("unsupported", `instruction ${pc} is an ancillary extension`, { index: pc });
  }
  switch (row.does.kind) {
    case "nlattr":
    case "nlattr-nest":
      set(A, `(nlattr ${word(k)} ${slots[A]} ${slots[X]})`);
      break;
    case "xor-x":
      set(A, `(bvxor ${slots[A]} ${slots[X]})`);
      break;
    case "random":
      set(A, `(random ${slots[DRAWS]})`);
      set(DRAWS, `(bvadd ${slots[DRAWS]} #x00000001)`);
      break;
    default:
      set(A, fieldName(row.name));
  }
  return row.does.kind === "device";
}

function condition(cond: Condition, a: string, b: string): string {
  switch (cond) {
    case "eq":
      return `(= ${a} ${b})`;
    case "gt":
      return `(bvugt ${a} ${b})`;
    case "ge":
      return `(bvuge ${a} ${b})`;
    case "set":
      return `(not (= (bvand ${a} ${b}) #x00000000))`;
  }
}

function disjunction(terms: readonly string[]): string {
  return terms.length === 1 ? terms[0]! : `(or ${terms.join(" ")})`;
}
