/**
 * What a user-space filter on UDP cannot know: bytes of headers that the kernel keeps to itself, and which loads of a
 * program depend on them.
 *
 * A socket hands over payload, sender and local address.  The rest of the headers in front is made up where
 * `filterSocket` runs a program in user space; where the program's verdict could depend on what is made up, it is
 * reported here.  Assumed: no IP options, no extension headers (which almost no network lets through).
 *
 * The way it is found out: each register carries, beside its range, a mask of bits that nobody knows and the loads
 * they come from; what reaches a return, a branch, an address or a divisor is reported.
 */
import { type AncillaryRow, ancillaryAt } from "../isa/ancillary.ts";
import { SKF_LL_OFF, SKF_NET_OFF, U32_MAX } from "../isa/limits.ts";
import type { AluOp, Condition } from "../isa/semantics.ts";
import { targets } from "../program/cfg.ts";
import type { VerifiedProgram } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import { ATTACH_POINTS } from "../program/packet-context.ts";

/** A load whose value user space cannot know, and on which the verdict could depend. */
export interface Unknowable {
  /** Instruction index of the load. */
  readonly index: number;
  /** What it reads: header fields, or an ancillary value. */
  readonly what: readonly string[];
}

/** The attach points that user space can stand in for. */
export type UdpPoint = "udp4" | "udp6";

interface Field {
  /** First byte, relative to the UDP header. */
  readonly at: number;
  /** For each byte, the bits that a socket does not tell. */
  readonly unknown: readonly number[];
  readonly name: HeaderField;
}

/** Names of header fields that a socket does not tell; "destination" is told by a socket bound to one address. */
export type HeaderField =
  | "destination MAC"
  | "source MAC"
  | "traffic class"
  | "identification"
  | "don't fragment"
  | "hop limit"
  | "header checksum"
  | "destination"
  | "UDP checksum";

const all = (size: number): number[] => new Array<number>(size).fill(0xff);

/** RFC 791, 768, 8200.  Fields that are not here are known: lengths, ports, protocol, source; no fragment is delivered. */
// biome-ignore format: a table
const FIELDS: Readonly<Record<UdpPoint, readonly Field[]>> = {
  udp4: [
    { at: -34, unknown: all(6),       name: "destination MAC" },
    { at: -28, unknown: all(6),       name: "source MAC" },
    { at: -19, unknown: all(1),       name: "traffic class" },
    { at: -16, unknown: all(2),       name: "identification" },
    { at: -14, unknown: [0xc0],       name: "don't fragment" }, // with the reserved bit; "more" and the offset are 0
    { at: -12, unknown: all(1),       name: "hop limit" },
    { at: -10, unknown: all(2),       name: "header checksum" },
    { at: -4,  unknown: all(4),       name: "destination" },
    { at: 6,   unknown: all(2),       name: "UDP checksum" },
  ],
  udp6: [
    { at: -54, unknown: all(6),       name: "destination MAC" },
    { at: -48, unknown: all(6),       name: "source MAC" },
    { at: -40, unknown: [0x0f, 0xff, 0xff, 0xff], name: "traffic class" }, // and the flow label
    { at: -33, unknown: all(1),       name: "hop limit" },
    { at: -16, unknown: all(16),      name: "destination" },
    { at: 6,   unknown: all(2),       name: "UDP checksum" },
  ],
};

/** Ancillary values that are the same in user space: the packet's own, and what is computed from known bytes. */
const KNOWN_ANCILLARY: readonly string[] = ["PROTOCOL", "PAY_OFFSET", "ALU_XOR_X"];

export interface UnknowableOptions {
  /** Header fields that the caller does know. */
  readonly fields?: readonly HeaderField[];
  /** Ancillary values that the caller does know, by the kernel's name: "IFINDEX", "MARK". */
  readonly ancillary?: readonly string[];
  /** True when the device surely has a MAC header of 14 bytes; on a tunnel LL loads end the program. */
  readonly macHeader?: boolean;
}

/**
 * The loads that make a verdict in user space uncertain, ascending; empty when the verdict is the kernel's for sure.
 *
 * @example
 * ```ts
 * import { Program, unknowableBytes } from "cbpf";
 * const ttl = Program.parse("ldb [0xfff00008]\njgt #63, yes, no\nyes: ret #-1\nno: ret #0");
 * console.log(unknowableBytes(ttl.verified, "udp4")[0]?.what.join()); // hop limit
 * ```
 */
export function unknowableBytes(
  program: VerifiedProgram,
  point: UdpPoint,
  options: UnknowableOptions = {},
): Unknowable[] {
  return new Search(program, point, options).run();
}

/** A register or cell: its range, the bits that nobody knows, and the loads that these come from. */
interface Value {
  readonly low: number;
  readonly high: number;
  readonly doubt: number;
  readonly from: ReadonlySet<number>;
}

const NOWHERE: ReadonlySet<number> = new Set();
const NUMBERED = (k: number): Value => ({ low: k, high: k, doubt: 0, from: NOWHERE });
const ANYTHING: Value = { low: 0, high: U32_MAX, doubt: 0, from: NOWHERE };

function value(low: number, high: number, doubt: number, ...sources: readonly ReadonlySet<number>[]): Value {
  const mask = doubt >>> 0;
  return { low, high, doubt: mask, from: mask === 0 ? NOWHERE : new Set(sources.flatMap((from) => [...from])) };
}

/** What is known in front of an instruction; cells as written. */
interface State {
  readonly a: Value;
  readonly x: Value;
  readonly mem: readonly (Value | undefined)[];
}

class Search {
  readonly #program: VerifiedProgram;
  readonly #network: number;
  readonly #mac: number;
  readonly #fields: readonly Field[];
  readonly #options: UnknowableOptions;
  readonly #states: (State | undefined)[];
  readonly #found = new Set<number>();
  readonly #what = new Map<number, Set<string>>();

  constructor(program: VerifiedProgram, point: UdpPoint, options: UnknowableOptions) {
    this.#program = program;
    this.#network = ATTACH_POINTS[point].network;
    this.#mac = ATTACH_POINTS[point].mac!;
    this.#fields = FIELDS[point].filter(({ name }) => options.fields?.includes(name) !== true);
    this.#options = options;
    this.#states = new Array(program.instructions.length).fill(undefined);
    this.#states[0] = { a: NUMBERED(0), x: NUMBERED(0), mem: [] };
  }

  run(): Unknowable[] {
    // One pass sees every path, since jumps go forward; programs of the libpcap profile may loop, and widen.
    for (let pass = 0; this.#pass(pass > 0); pass++);
    return [...this.#found].sort((p, q) => p - q).map((index) => ({ index, what: [...this.#what.get(index)!] }));
  }

  /** True when something in front of an instruction that was passed already has changed. */
  #pass(widen: boolean): boolean {
    const { instructions, isa } = this.#program;
    let again = false;
    for (const [index, insn] of instructions.entries()) {
      const state = this.#states[index];
      if (state === undefined) continue;
      const to = targets(insn, index, isa);
      const after = this.#step(insn, index, state);
      for (const [side, target] of to.entries()) {
        const refined = to.length === 2 ? refine(after, insn, this.#condition(insn), side === 0) : after;
        if (refined === undefined || target >= instructions.length) continue;
        const old = this.#states[target];
        const next = old === undefined ? refined : joinStates(old, refined, widen);
        this.#states[target] = next;
        if (target <= index && (old === undefined || !sameState(old, next))) again = true;
      }
    }
    return again;
  }

  #condition({ code }: Instruction): { cond: Condition; src: "k" | "x" } | undefined {
    const does = this.#program.isa.known(code)?.does;
    return does?.kind === "branch" ? does : undefined;
  }

  #step(insn: Instruction, index: number, state: State): State {
    const { isa } = this.#program;
    const does = isa.known(insn.code)?.does;
    const { a, x, mem } = state;
    const { k } = insn;
    const set = (reg: "a" | "x", to: Value): State => ({ ...state, [reg]: to });
    switch (does?.kind) {
      case undefined: {
        this.#note(index, "an extension");
        const any = value(0, U32_MAX, U32_MAX, new Set([index]));
        this.#found.add(index);
        return { a: any, x: any, mem: mem.map(() => any) };
      }
      case "imm":
        return set(does.dst, NUMBERED(k));
      case "length":
        return set(does.dst, ANYTHING);
      case "load-mem":
        return set(does.dst, mem[k] ?? ANYTHING);
      case "store-mem": {
        const cells = [...mem];
        cells[k] = does.src === "a" ? a : x;
        return { a, x, mem: cells };
      }
      case "move":
        return does.dst === "x" ? set("x", a) : set("a", x);
      case "msh": {
        const byte = this.#load(index, k, k, 1, NOWHERE);
        return set("x", value(0, 60, (byte.doubt & 15) << 2, byte.from));
      }
      case "packet": {
        if (does.at === "abs") {
          const row = ancillaryAt(k);
          if (row !== undefined) return set("a", this.#ancillary(row, index, a, x));
          return set("a", this.#load(index, k, k, does.size, NOWHERE));
        }
        this.#reach(x);
        return set("a", this.#load(index, x.low + k, x.high + k, does.size, x.from));
      }
      case "neg":
        return set("a", value(0, U32_MAX, upward(a.doubt), a.from));
      case "alu": {
        const by = does.src === "k" ? NUMBERED(k) : x;
        if (does.src === "x" && (does.op === "div" || does.op === "mod")) this.#reach(x);
        return set("a", compute(does.op, a, by));
      }
      case "branch": {
        const by = does.src === "k" ? NUMBERED(k) : x;
        const told = does.cond === "set" && does.src === "k" ? (a.doubt & k) >>> 0 : a.doubt;
        if (insn.jt !== insn.jf) {
          if (told !== 0) this.#reach(a);
          this.#reach(by);
        }
        return state;
      }
      case "return":
        if (does.src === "a") this.#reach(a);
        return state;
      default:
        return state;
    }
  }

  /** The verdict can depend on this value. */
  #reach({ doubt, from }: Value): void {
    if (doubt !== 0) for (const index of from) this.#found.add(index);
  }

  #note(index: number, what: string): void {
    const notes = this.#what.get(index) ?? new Set();
    this.#what.set(index, notes.add(what));
  }

  #ancillary(row: AncillaryRow, index: number, a: Value, x: Value): Value {
    if (row.does.kind === "xor-x") return compute("xor", a, x);
    const high = 2 ** row.width - 1;
    if (KNOWN_ANCILLARY.includes(row.name) || this.#options.ancillary?.includes(row.name) === true) {
      return value(0, high, 0);
    }
    this.#note(index, row.name);
    return value(0, high, high, new Set([index]));
  }

  /** A load from any offset in `low..high`, which is not yet taken modulo 2^32. */
  #load(index: number, low: number, high: number, size: 1 | 2 | 4, addressFrom: ReadonlySet<number>): Value {
    const most = 2 ** (8 * size) - 1;
    let doubt = 0;
    for (const [from, to] of wrapped(low, high)) {
      if (from < SKF_NET_OFF && to >= SKF_LL_OFF && this.#options.macHeader !== true) {
        this.#note(index, "whether there is a MAC header");
        this.#found.add(index);
      }
      for (const [start, end, base] of [
        [0, 0x7fffffff, 0],
        [SKF_LL_OFF, SKF_NET_OFF - 1, this.#mac - SKF_LL_OFF],
        [SKF_NET_OFF, U32_MAX, this.#network - SKF_NET_OFF],
      ] as const) {
        if (from > end || to < start) continue;
        doubt |= this.#doubt(index, Math.max(from, start) + base, Math.min(to, end) + base, size);
      }
    }
    const own = doubt === 0 ? NOWHERE : new Set([index]);
    return value(0, most, addressFrom.size > 0 ? most : doubt, addressFrom, own);
  }

  /** Unknown bits of a load at any position in `low..high`, relative to the UDP header. */
  #doubt(index: number, low: number, high: number, size: 1 | 2 | 4): number {
    let doubt = 0;
    for (const { at, unknown, name } of this.#fields) {
      for (const [i, bits] of unknown.entries()) {
        const place = at + i;
        if (place < low || place >= high + size) continue;
        this.#note(index, name);
        doubt |= low === high ? bits << (8 * (low + size - 1 - place)) : 2 ** (8 * size) - 1;
      }
    }
    return doubt >>> 0;
  }
}

/** The u32 ranges that the sums `low..high` are modulo 2^32. */
function wrapped(low: number, high: number): [number, number][] {
  const turn = U32_MAX + 1;
  if (low >= turn) return [[low - turn, high - turn]];
  if (high < turn) return [[low, high]];
  return [
    [low, U32_MAX],
    [0, high - turn],
  ];
}

/** The lowest set bit and every one above it: where a carry from an unknown bit can go. */
function upward(mask: number): number {
  return mask === 0 ? 0 : -(mask & -mask) >>> 0;
}

/** 2^n - 1, not less than `n`. */
function cover(n: number): number {
  return n === 0 ? 0 : U32_MAX >>> Math.clz32(n);
}

/** Range and unknown bits of `a op b`. */
function compute(op: AluOp, a: Value, b: Value): Value {
  const constant = b.low === b.high && b.doubt === 0;
  const either = (a.doubt | b.doubt) >>> 0;
  const carried = upward(either);
  const whole = either === 0 ? 0 : U32_MAX;
  const make = (low: number, high: number, doubt: number): Value =>
    high > U32_MAX || low < 0 ? value(0, U32_MAX, doubt, a.from, b.from) : value(low, high, doubt, a.from, b.from);
  switch (op) {
    case "add":
      return make(a.low + b.low, a.high + b.high, carried);
    case "sub":
      return make(a.low - b.high, a.high - b.low, carried);
    case "mul":
      return make(a.low * b.low, a.high * b.high, carried);
    case "div":
      return make(0, b.low > 0 ? Math.floor(a.high / b.low) : a.high, whole);
    case "mod":
      return make(0, Math.min(a.high, Math.max(0, b.high - 1)), whole);
    case "and":
      return make(0, Math.min(a.high, b.high), constant ? a.doubt & b.low : either);
    case "or":
      return make(Math.max(a.low, b.low), cover(Math.max(a.high, b.high)), constant ? a.doubt & ~b.low : either);
    case "xor":
      return make(0, cover(Math.max(a.high, b.high)), either);
    case "lsh":
      return constant ? make(a.low * 2 ** b.low, a.high * 2 ** b.low, a.doubt << b.low) : make(0, U32_MAX, whole);
    case "rsh":
      return constant ? make(a.low >>> b.low, a.high >>> b.low, a.doubt >>> b.low) : make(0, a.high, whole);
  }
}

/** The state on one side of a branch; undefined when that side cannot be taken. */
function refine(
  state: State,
  { k }: Instruction,
  branch: { cond: Condition; src: "k" | "x" } | undefined,
  taken: boolean,
): State | undefined {
  if (branch === undefined || branch.src !== "k") return state;
  let { low, high } = state.a;
  if (branch.cond === "eq" && taken) [low, high] = [Math.max(low, k), Math.min(high, k)];
  if (branch.cond === "gt" && taken) low = Math.max(low, k + 1);
  if (branch.cond === "gt" && !taken) high = Math.min(high, k);
  if (branch.cond === "ge" && taken) low = Math.max(low, k);
  if (branch.cond === "ge" && !taken) high = Math.min(high, k - 1);
  return low > high ? undefined : { ...state, a: { ...state.a, low, high } };
}

function join(p: Value, q: Value, widen: boolean): Value {
  const low = Math.min(p.low, q.low);
  const high = Math.max(p.high, q.high);
  const grown = widen && (low !== p.low || high !== p.high);
  return value(grown ? 0 : low, grown ? U32_MAX : high, p.doubt | q.doubt, p.from, q.from);
}

function joinStates(p: State, q: State, widen: boolean): State {
  const cells = Math.max(p.mem.length, q.mem.length);
  const mem = Array.from({ length: cells }, (_, i) => {
    const [m, n] = [p.mem[i], q.mem[i]];
    return m === undefined || n === undefined ? (m ?? n) : join(m, n, widen);
  });
  return { a: join(p.a, q.a, widen), x: join(p.x, q.x, widen), mem };
}

function sameState(p: State, q: State): boolean {
  const same = (v: Value | undefined, w: Value | undefined): boolean =>
    v === w || (v?.low === w?.low && v?.high === w?.high && v?.doubt === w?.doubt && v?.from.size === w?.from.size);
  return same(p.a, q.a) && same(p.x, q.x) && p.mem.length === q.mem.length && p.mem.every((v, i) => same(v, q.mem[i]));
}
