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
import { SKF_LL_OFF, SKF_NET_OFF } from "../isa/limits.ts";
import type { AluOp, Condition } from "../isa/semantics.ts";
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
  "(define-fun load1 ((o (_ BitVec 32))) (_ BitVec 32) (concat #x000000 (select packet o)))",
  "(define-fun load2 ((o (_ BitVec 32))) (_ BitVec 32)",
  "  (concat #x0000 (select packet o) (select packet (bvadd o #x00000001))))",
  "(define-fun load4 ((o (_ BitVec 32))) (_ BitVec 32)",
  "  (concat (select packet o) (select packet (bvadd o #x00000001))",
  "          (select packet (bvadd o #x00000002)) (select packet (bvadd o #x00000003))))",
].join("\n");

/** A u32 as a bit-vector literal. */
export function word(k: number): string {
  return `#x${(k >>> 0).toString(16).padStart(8, "0")}`;
}

/** The constant that stands for an ancillary value. */
export function fieldName(name: string): string {
  return `ad_${name.toLowerCase()}`;
}

/** Names of the terms that hold M[0]..M[15], A, X and the number of RANDOM loads done. */
interface State {
  readonly slots: readonly string[];
}

const A = 16;
const X = 17;
const DRAWS = 18;

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
 * Definitions of a program's verdict, the term `NAME_verdict`.
 *
 * @throws {BpfError} `unsupported` for a program with extensions or jumps back.
 */
export function encodeProgram(instructions: readonly Instruction[], name: string): string {
  const lines: string[] = [];
  const incoming = new Map<number, { when: string; state: State }[]>();
  const verdicts: { when: string; value: string }[] = [];
  const start: State = { slots: Array.from({ length: 19 }, () => word(0)) };
  incoming.set(0, [{ when: "true", state: start }]);
  const define = (label: string, sort: string, term: string): string => {
    if (!term.startsWith("(")) return term;
    lines.push(`(define-fun ${name}_${label} () ${sort} ${term})`);
    return `${name}_${label}`;
  };
  const arrive = (pc: number, when: string, state: State) => {
    const list = incoming.get(pc);
    if (list === undefined) incoming.set(pc, [{ when, state }]);
    else list.push({ when, state });
  };

  for (const [pc, { code, jt, jf, k }] of instructions.entries()) {
    const arriving = incoming.get(pc);
    if (arriving === undefined) continue;
    const does = ISA.known(code)?.does;
    if (does === undefined) throw new BpfError("unsupported", `instruction ${pc} is an extension`, { index: pc });
    const when = define(`reach${pc}`, "Bool", disjunction(arriving.map((edge) => edge.when)));
    const slots = start.slots.map((_, slot) =>
      define(
        `s${pc}_${slot}`,
        "(_ BitVec 32)",
        merge(arriving.map((e) => ({ when: e.when, value: e.state.slots[slot]! }))),
      ),
    );
    const a = slots[A]!;
    const x = slots[X]!;
    const set = (slot: number, term: string) => {
      slots[slot] = define(`v${pc}`, "(_ BitVec 32)", term);
    };
    const dst = "dst" in does && does.dst === "x" ? X : A;
    let goesOn = when;
    const require = (label: string, condition: string) => {
      goesOn = define(`${label}${pc}`, "Bool", `(and ${goesOn} ${condition})`);
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
          set(A, `(${does.op === "lsh" ? "bvshl" : "bvlshr"} ${a} (bvand ${b} #x0000001f))`);
          break;
        }
        if ((does.op === "div" || does.op === "mod") && does.src === "x")
          require("divides", `(not (= ${b} ${word(0)}))`);
        set(A, `(${BINARY[does.op]} ${a} ${b})`);
        break;
      }
      case "msh":
      case "packet": {
        const absolute = does.kind === "packet" && does.at === "abs";
        if (absolute && isAncillaryOffset(k)) {
          const exit = encodeAncillary(pc, k, slots, (term) => set(A, term));
          if (exit !== undefined) {
            verdicts.push({ when: `(and ${goesOn} (not ${exit}))`, value: a });
            require("device", exit);
          }
          break;
        }
        const size = does.kind === "msh" ? 1 : does.size;
        const offset = does.kind === "packet" && does.at === "ind" ? `(bvadd ${x} ${word(k)})` : word(k);
        const address = define(`at${pc}`, "(_ BitVec 32)", offset);
        const plain = address === word(k) && k < 0x40000000;
        require("reads", plain ? `(bvuge caplen ${word(k + size)})` : `(readable ${address} ${word(size)})`);
        const loaded = `(load${size} ${plain ? address : `(real ${address})`})`;
        if (does.kind === "packet") set(A, loaded);
        else set(X, `(bvmul #x00000004 (bvand ${loaded} #x0000000f))`);
        break;
      }
      case "jump":
        if (pc + 1 + k >= instructions.length) {
          throw new BpfError("unsupported", `instruction ${pc} jumps back`, { index: pc });
        }
        arrive(pc + 1 + k, when, { slots });
        continue;
      case "branch": {
        const taken = define(`taken${pc}`, "Bool", condition(does.cond, a, does.src === "k" ? word(k) : x));
        arrive(pc + 1 + jt, define(`yes${pc}`, "Bool", `(and ${when} ${taken})`), { slots });
        arrive(pc + 1 + jf, define(`no${pc}`, "Bool", `(and ${when} (not ${taken}))`), { slots });
        continue;
      }
      case "return":
        verdicts.push({ when, value: does.src === "k" ? word(k) : a });
        continue;
    }
    arrive(pc + 1, goesOn, { slots });
  }
  const verdict = verdicts.reduce((rest, { when, value }) => `(ite ${when} ${value} ${rest})`, word(0));
  lines.push(`(define-fun ${name}_verdict () (_ BitVec 32) ${verdict})`);
  return lines.join("\n");
}

/** A after an ancillary load; gives the condition without which the program ends with verdict A. */
function encodeAncillary(pc: number, k: number, slots: string[], setA: (term: string) => void): string | undefined {
  const row = ISA.ancillary(k);
  if (row === undefined || !("does" in row)) {
    throw new BpfError("unsupported", `instruction ${pc} is an ancillary extension`, { index: pc });
  }
  switch (row.does.kind) {
    case "nlattr":
    case "nlattr-nest":
      setA(`(nlattr ${word(k)} ${slots[A]} ${slots[X]})`);
      return undefined;
    case "xor-x":
      setA(`(bvxor ${slots[A]} ${slots[X]})`);
      return undefined;
    case "random":
      setA(`(random ${slots[DRAWS]})`);
      slots[DRAWS] = `(bvadd ${slots[DRAWS]} #x00000001)`;
      return undefined;
    case "device":
      setA(fieldName(row.name));
      return "hasdevice";
    default:
      setA(fieldName(row.name));
      return undefined;
  }
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

function merge(options: readonly { when: string; value: string }[]): string {
  const last = options.at(-1)!.value;
  if (options.every(({ value }) => value === last)) return last;
  return options.slice(0, -1).reduceRight((rest, { when, value }) => `(ite ${when} ${value} ${rest})`, last);
}
