/**
 * Random programs: valid ones, made of what breaks engines.
 *
 * A program has a flavour, which says what it is mostly made of, and a nominal packet length, around which its offsets
 * lie.  Loads that fail end a program early and show little, so most offsets are inside the packet; the rest are on the
 * borders.  Everything follows from the random numbers given.
 */
import { ANCILLARY } from "../isa/ancillary.ts";
import { ISA } from "../isa/instruction-set.ts";
import { BPF_MEMWORDS, SKF_AD_OFF, SKF_LL_OFF, SKF_NET_OFF } from "../isa/limits.ts";
import { CODE, OPCODES, type OpcodeRow } from "../isa/opcodes.ts";
import { type Instruction, jump, stmt } from "../program/instruction.ts";
import { unwrittenReads } from "../program/scratch.ts";
import type { Random } from "./random.ts";

/** Numbers where 32-bit arithmetic, doubles, signs and masks part ways. */
// biome-ignore format: in groups
export const EDGES: readonly number[] = [
  0, 1, 2, 3, 4, 5, 7, 8, 10, 15, 16, 31, 32, 33, 63, 64,
  0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
  0x7fff_fffe, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xaaaa_aaaa, 0xffff_0000, 0xffff_fffe, 0xffff_ffff,
];

/** First and last offsets of the areas that a load can name (kernel-semantics 3.2). */
export const AREA_BORDERS: readonly number[] = [
  0x7fff_ffff, 0x8000_0000, 0xffdf_ffff, 0xffe0_0000, 0xffef_ffff, 0xfff0_0000, 0xffff_efff, 0xffff_f000, 0xffff_ffff,
];

type Flavour =
  | "mixed"
  | "filter"
  | "arithmetic"
  | "loads"
  | "areas"
  | "branches"
  | "scratch"
  | "ancillary"
  | "attributes";

const FLAVOURS: readonly Flavour[] = [
  "mixed",
  "filter",
  "arithmetic",
  "loads",
  "areas",
  "branches",
  "scratch",
  "ancillary",
  "attributes",
];

export interface GeneratedProgram {
  readonly flavour: Flavour;
  readonly instructions: Instruction[];
  /** The packet length that offsets were chosen for, in bytes. */
  readonly length: number;
}

const rows = (kind: OpcodeRow["does"]["kind"]): readonly OpcodeRow[] => OPCODES.filter((row) => row.does.kind === kind);
const ARITHMETIC = [...rows("alu"), ...rows("neg")];
const BRANCHES = rows("branch");
const ABSOLUTE = [CODE.ldw_abs, CODE.ldh_abs, CODE.ldb_abs];
const INDIRECT = [CODE.ldw_ind, CODE.ldh_ind, CODE.ldb_ind];

/** What a flavour is made of: the weights of the pieces below. */
type Piece =
  | "alu"
  | "test"
  | "load"
  | "ind"
  | "area"
  | "branch"
  | "scratch"
  | "register"
  | "ancillary"
  | "attribute"
  | "return";
// biome-ignore format: a table
const WEIGHTS: Readonly<Record<Flavour, Readonly<Record<Piece, number>>>> = {
  //          test      alu       load      ind       area      branch      scratch      register      ancillary      attribute      return
  mixed:      { test: 3,  alu: 8,  load: 4, ind: 3,   area: 1,  branch: 5,  scratch: 4,  register: 4,  ancillary: 1,  attribute: 0,  return: 1 },
  filter:     { test: 20, alu: 1,  load: 1, ind: 1,   area: 0,  branch: 1,  scratch: 1,  register: 1,  ancillary: 0,  attribute: 0,  return: 2 },
  arithmetic: { test: 0,  alu: 20, load: 3, ind: 0,   area: 0,  branch: 2,  scratch: 2,  register: 4,  ancillary: 1,  attribute: 0,  return: 0 },
  loads:      { test: 2,  alu: 2,  load: 6, ind: 8,   area: 0,  branch: 1,  scratch: 2,  register: 2,  ancillary: 0,  attribute: 0,  return: 0 },
  areas:      { test: 0,  alu: 2,  load: 2, ind: 1,   area: 10, branch: 1,  scratch: 2,  register: 2,  ancillary: 0,  attribute: 0,  return: 0 },
  branches:   { test: 4,  alu: 3,  load: 3, ind: 1,   area: 0,  branch: 16, scratch: 1,  register: 2,  ancillary: 0,  attribute: 0,  return: 3 },
  scratch:    { test: 1,  alu: 2,  load: 2, ind: 0,   area: 0,  branch: 5,  scratch: 14, register: 2,  ancillary: 0,  attribute: 0,  return: 1 },
  ancillary:  { test: 1,  alu: 3,  load: 2, ind: 0,   area: 0,  branch: 1,  scratch: 2,  register: 3,  ancillary: 10, attribute: 0,  return: 0 },
  attributes: { test: 0,  alu: 1,  load: 1, ind: 1,   area: 0,  branch: 1,  scratch: 1,  register: 1,  ancillary: 0,  attribute: 10, return: 0 },
};

/**
 * A valid program by Linux's rules.
 *
 * @param near  The packet length to choose offsets for; absent: any up to 96.
 */
export function generateProgram(random: Random, near?: number): GeneratedProgram {
  const flavour = random.pick(FLAVOURS);
  const length = near ?? (random.oneIn(8) ? random.below(8) : random.between(8, 96));
  const size = random.oneIn(64) ? random.between(260, 700) : random.between(1, random.oneIn(4) ? 60 : 16);
  const pieces = urn(WEIGHTS[flavour]);
  const out: Instruction[] = [];
  while (out.length < size) out.push(...pieceOf(random.pick(pieces), random, length));
  addEnding(out, random);
  placeJumps(out, random);
  for (const index of unwrittenReads(out, ISA)) out[index] = stmt(dstCode(out[index]!), random.pick(EDGES));
  return { flavour, instructions: out, length };
}

function urn(weights: Readonly<Record<Piece, number>>): Piece[] {
  return (Object.entries(weights) as [Piece, number][]).flatMap(([piece, n]) => new Array<Piece>(n).fill(piece));
}

/** The immediate load into the register that a scratch load writes. */
function dstCode(insn: Instruction): number {
  return insn.code === CODE.ld_mem ? CODE.ld_imm : CODE.ldx_imm;
}

function pieceOf(piece: Piece, random: Random, length: number): Instruction[] {
  switch (piece) {
    case "test":
      return fieldTest(random, length);
    case "alu":
      return [arithmetic(random)];
    case "load":
      return load(random, length);
    case "ind":
      return indirectLoad(random, length);
    case "area":
      return areaLoad(random, length);
    case "branch":
      return branch(random, length);
    case "scratch":
      return [stmt(random.pick([CODE.st, CODE.stx, CODE.ld_mem, CODE.ldx_mem]), random.small(BPF_MEMWORDS))];
    case "register": {
      const code = random.pick([CODE.tax, CODE.txa, CODE.ld_len, CODE.ldx_len, CODE.ld_imm, CODE.ldx_imm]);
      return [stmt(code, code === CODE.ld_imm || code === CODE.ldx_imm ? constant(random) : 0)];
    }
    case "ancillary":
      return ancillaryLoad(random);
    case "attribute":
      return attributeSearch(random, length);
    case "return":
      return [random.oneIn(2) ? stmt(CODE.ret_a) : stmt(CODE.ret_k, constant(random))];
  }
}

/** A constant: an edge, a small number or anything. */
export function constant(random: Random): number {
  const kind = random.below(8);
  if (kind < 4) return random.pick(EDGES);
  if (kind < 6) return random.below(256);
  return random.u32();
}

function arithmetic(random: Random): Instruction {
  const { code, does } = random.pick(ARITHMETIC);
  if (does.kind !== "alu" || does.src === "x") return stmt(code, random.oneIn(16) ? constant(random) : 0);
  if (does.op === "lsh" || does.op === "rsh") return stmt(code, random.below(32));
  const k = constant(random);
  return stmt(code, (does.op === "div" || does.op === "mod") && k === 0 ? 1 : k);
}

/** An offset that is inside a packet of `length` bytes most of the time, and at its end often. */
function offset(random: Random, length: number): number {
  const kind = random.below(16);
  if (kind === 0) return length + random.below(4);
  if (kind < 4) return Math.max(0, length - random.between(1, 4));
  return random.below(Math.max(1, length - 3));
}

function load(random: Random, length: number): Instruction[] {
  const code = random.oneIn(5) ? CODE.ldxb_msh : random.pick(ABSOLUTE);
  return [stmt(code, offset(random, length))];
}

/** A load and the tests behind it, as filters have them; the constants are bytes that packets have. */
function fieldTest(random: Random, length: number): Instruction[] {
  const at = offset(random, length);
  const loads = random.pick([
    [stmt(random.pick(ABSOLUTE), at)],
    [stmt(random.pick(ABSOLUTE), at)],
    [stmt(CODE.ldxb_msh, offset(random, length)), stmt(random.pick(INDIRECT), random.below(8))],
    [stmt(CODE.ldx_imm, random.below(length + 1)), stmt(random.pick(INDIRECT), random.below(8))],
  ]);
  const mask = random.oneIn(3) ? [stmt(CODE.and_k, random.pick([0x03, 0x1fff, 0xff00_0000, 0xffff]))] : [];
  const tests = Array.from({ length: random.between(1, 3) }, () =>
    jump(
      random.pick([CODE.jeq_k, CODE.jeq_k, CODE.jset_k, CODE.jgt_k]),
      random.oneIn(6) ? constant(random) : random.below(5),
      0,
      0,
    ),
  );
  return [...loads, ...mask, ...tests];
}

/** `[x + k]`, with X small, or anywhere and k making up for it. */
function indirectLoad(random: Random, length: number): Instruction[] {
  const code = random.pick(INDIRECT);
  switch (random.below(8)) {
    case 0: // the sum wraps to an offset in the packet
    case 1: {
      const x = constant(random);
      return [stmt(CODE.ldx_imm, x), stmt(code, offset(random, length) - x)];
    }
    case 2:
      return [stmt(CODE.ldx_len), stmt(code, -random.between(0, 6))];
    case 3:
      return [stmt(CODE.and_k, 15), stmt(CODE.tax), stmt(code, random.below(length + 1))];
    case 4:
      return [stmt(CODE.ldxb_msh, offset(random, length)), stmt(code, random.below(8))];
    case 5: // X as it is
      return [stmt(code, constant(random))];
    default: {
      const x = random.below(length + 1);
      return [stmt(CODE.ldx_imm, x), stmt(code, Math.max(0, offset(random, length) - x))];
    }
  }
}

/** NET and LL loads, absolute, indirect with every split of the sum, and MSH; and what lies around the areas. */
function areaLoad(random: Random, length: number): Instruction[] {
  const base = random.oneIn(3) ? SKF_LL_OFF : SKF_NET_OFF;
  const border = random.oneIn(8);
  const at = (border ? random.pick(AREA_BORDERS) + random.between(-4, 4) : base + offset(random, length)) >>> 0;
  switch (random.below(4)) {
    case 0:
      return [stmt(CODE.ldxb_msh, at)];
    case 1: {
      const x = random.pick([0, at, 1, 0xffff_fff0, 0x8000_0000, SKF_NET_OFF, constant(random)]);
      return [stmt(CODE.ldx_imm, x), stmt(random.pick(INDIRECT), at - x)];
    }
    default: // absolute loads from SKF_AD_OFF up are ancillary, and most of those are refused
      return [stmt(random.pick(ABSOLUTE), at >= SKF_AD_OFF ? at - 0x1000 : at)];
  }
}

/** A branch whose distances are placed later. */
function branch(random: Random, length: number): Instruction[] {
  if (random.oneIn(10)) return [stmt(CODE.ja)];
  const { code, does } = random.pick(BRANCHES);
  const before = random.oneIn(3) ? [stmt(CODE.ldb_abs, offset(random, length))] : [];
  const usesK = does.kind === "branch" && does.src === "k";
  return [...before, jump(code, usesK || random.oneIn(8) ? constant(random) : 0, 0, 0)];
}

/** An ancillary load.  RANDOM is made harmless, since no two engines draw the same numbers. */
function ancillaryLoad(random: Random): Instruction[] {
  const { k, does } = random.pick(ANCILLARY);
  const code = random.pick(ABSOLUTE);
  switch (does.kind) {
    case "device": // ends the program where there is no device: rarely, or nothing else is seen
      return random.oneIn(6) ? [stmt(code, k)] : [];
    case "nlattr":
    case "nlattr-nest":
      return [stmt(CODE.ld_imm, random.below(32)), stmt(CODE.ldx_imm, random.below(6)), stmt(code, k)];
    case "random":
      return [stmt(code, k), random.oneIn(2) ? stmt(CODE.and_k, 0) : stmt(CODE.mod_k, 1)];
    default:
      return [stmt(code, k)];
  }
}

/** A search for a netlink attribute, from a place where one may start. */
function attributeSearch(random: Random, length: number): Instruction[] {
  const wanted = random.oneIn(2) ? "nlattr-nest" : "nlattr";
  const row = ANCILLARY.find(({ does }) => does.kind === wanted)!;
  const out: Instruction[] = [];
  if (!random.oneIn(4)) out.push(stmt(CODE.ldx_imm, random.oneIn(8) ? constant(random) : random.below(6)));
  if (!random.oneIn(3)) {
    out.push(stmt(CODE.ld_imm, random.oneIn(8) ? constant(random) : 4 * random.below(Math.max(1, length >> 2))));
  }
  out.push(stmt(random.pick(ABSOLUTE), row.k));
  if (random.oneIn(2)) out.push(stmt(CODE.st, random.below(4)));
  return out;
}

/** An end that shows A, and often X as well. */
function addEnding(out: Instruction[], random: Random): void {
  if (random.oneIn(3)) out.push(stmt(random.pick([CODE.xor_x, CODE.add_x, CODE.txa])));
  out.push(random.oneIn(4) ? stmt(CODE.ret_k, constant(random)) : stmt(CODE.ret_a));
}

/** Gives every jump distances inside the program, near ones mostly. */
function placeJumps(out: Instruction[], random: Random): void {
  for (const [index, insn] of out.entries()) {
    const farthest = out.length - index - 2;
    const distance = (limit: number): number =>
      random.oneIn(4) ? random.between(0, Math.min(limit, farthest)) : Math.min(farthest, random.below(4));
    if (insn.code === CODE.ja)
      out[index] = stmt(insn.code, random.oneIn(3) ? random.between(0, farthest) : distance(3));
    else if (ISA.known(insn.code)?.does.kind === "branch")
      out[index] = { ...insn, jt: distance(255), jf: distance(255) };
  }
}
