/**
 * Trials that leave nothing out: every opcode, every ancillary offset in every mode, every border of every area in
 * every form of load, every arithmetic operation and condition on an edge grid; and 48,000 attribute searches.
 *
 * All of them fit an AF_UNIX datagram socket, so that the kernel can be asked.
 */
import { ANCILLARY } from "../isa/ancillary.ts";
import { SKF_AD_OFF } from "../isa/limits.ts";
import { CODE, OPCODES } from "../isa/opcodes.ts";
import { type Instruction, jump, stmt } from "../program/instruction.ts";
import { AREA_BORDERS, constant } from "./generate.ts";
import { attributePacket } from "./packets.ts";
import { Random } from "./random.ts";
import type { Sample, Trial } from "./trial.ts";
import { UNIX_LINEAR_MAX, unixContext } from "./unix-context.ts";

/** Every exhaustive trial, some 200,000. */
export function* exhaustiveTrials(): Generator<Trial> {
  yield* opcodeTrials();
  yield* ancillaryTrials();
  yield* borderTrials();
  yield* arithmeticTrials();
  yield* pairTrials();
  yield* attributeTrials(1, 1000, 48);
}

function trial(
  category: string,
  origin: string,
  instructions: readonly Instruction[],
  samples: readonly Sample[],
): Trial {
  return { category, origin, profile: "linux", instructions, samples };
}

const plain = (packet: Uint8Array): Sample => ({ packet, context: {} });
const NO_SAMPLES: readonly Sample[] = [];

/** All 65,536 codes, each with k = 0 and k = 1 and a return behind it; 0, 0 for both arms. */
export function* opcodeTrials(): Generator<Trial> {
  const samples = [plain(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))];
  for (let code = 0; code <= 0xffff; code++) {
    for (const k of [0, 1]) {
      const program = [stmt(code, k), stmt(CODE.ret_k, 7)];
      yield trial("opcodes", `code 0x${code.toString(16)}, k ${k}`, program, code <= 0xff ? samples : NO_SAMPLES);
    }
    if (code > 0xff && (code & 0xff) !== CODE.ret_k) continue;
    yield trial("opcodes", `code 0x${code.toString(16)} last`, [stmt(CODE.ld_imm, 5), stmt(code, 9)], samples);
  }
}

const ABSOLUTE = [CODE.ldw_abs, CODE.ldh_abs, CODE.ldb_abs];
const INDIRECT = [CODE.ldw_ind, CODE.ldh_ind, CODE.ldb_ind];

/**
 * Every offset from 0xfffff000 up, for loads of every size and mode.  Where the value can not be known beforehand,
 * RANDOM and CPU, it is masked away: what is left is that the program goes on.
 */
export function* ancillaryTrials(): Generator<Trial> {
  const samples = [
    plain(Uint8Array.of(4, 0, 1, 0, 8, 0, 2, 0, 4, 0, 3, 0)),
    plain(new Uint8Array(0)),
    plain(new Uint8Array(64).fill(0x11)),
  ];
  const unknowable = [SKF_AD_OFF + 36, SKF_AD_OFF + 56];
  for (let n = 0; n <= 0xfff; n++) {
    const k = SKF_AD_OFF + n;
    const mask = unknowable.includes(k) ? [stmt(CODE.and_k, 0)] : [];
    const origin = `ancillary offset ${n}`;
    for (const code of ABSOLUTE) {
      const start = [stmt(CODE.ld_imm, 4), stmt(CODE.ldx_imm, 3)];
      yield trial("ancillary", origin, [...start, stmt(code, k), ...mask, stmt(CODE.xor_x), stmt(CODE.ret_a)], samples);
    }
    for (const code of INDIRECT) {
      for (const x of [0, k, 1]) {
        const program = [stmt(CODE.ldx_imm, x), stmt(code, k - x), stmt(CODE.ret_k, 9)];
        yield trial("ancillary", origin, program, samples);
      }
    }
    yield trial("ancillary", origin, [stmt(CODE.ldxb_msh, k), stmt(CODE.ret_k, 9)], samples);
  }
}

const BORDER_LENGTHS = [0, 1, 2, 3, 4, 5, 8, 9, 63, 64, 65];

/** Every load form at every border: of the packet, of 32 bits, of the NET and LL areas; X + k split in six ways. */
export function* borderTrials(): Generator<Trial> {
  const offsets = new Set<number>();
  for (const border of [0, ...AREA_BORDERS, 0x7fff, 0x8000, 0xffff, 0x10000]) {
    for (let d = -6; d <= 6; d++) offsets.add((border + d) >>> 0);
  }
  for (const area of [0, 0xfff0_0000, 0xffe0_0000]) {
    for (const length of BORDER_LENGTHS) for (let d = -4; d <= 1; d++) offsets.add((area + length + d) >>> 0);
  }
  const samples = BORDER_LENGTHS.map((length) => plain(Uint8Array.from({ length }, (_, i) => 0x81 + 37 * i)));
  for (const at of offsets) {
    const origin = `offset 0x${at.toString(16)}`;
    for (const code of ABSOLUTE) yield trial("borders", origin, [stmt(code, at), stmt(CODE.ret_a)], samples);
    const msh = [stmt(CODE.ld_imm, 1), stmt(CODE.ldxb_msh, at), stmt(CODE.add_x), stmt(CODE.ret_a)];
    yield trial("borders", origin, msh, samples);
    for (const code of INDIRECT) {
      for (const x of [0, 1, 0xffff_ffff, 0x8000_0000, at, 0xfff0_0000]) {
        yield trial("borders", origin, [stmt(CODE.ldx_imm, x), stmt(code, at - x), stmt(CODE.ret_a)], samples);
      }
    }
  }
}

// biome-ignore format: in groups
const OPERANDS = [
  0, 1, 2, 3, 5, 7, 10, 16, 30, 31, 32, 33, 63, 64, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
  0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xaaaa_aaaa, 0xffff_fffe, 0xffff_ffff,
];

/** Every arithmetic operation and condition, by K and by X, on every pair of {@link OPERANDS}. */
export function* arithmeticTrials(): Generator<Trial> {
  const singles = OPERANDS.map((a) => plain(words(a)));
  const pairs = OPERANDS.flatMap((a) => OPERANDS.map((x) => plain(words(a, x))));
  const loadBoth = [stmt(CODE.ldw_abs, 4), stmt(CODE.tax), stmt(CODE.ldw_abs, 0)];
  for (const { code, name, does } of OPCODES) {
    switch (does.kind) {
      case "alu":
        if (does.src === "x") yield trial("arithmetic", name, [...loadBoth, stmt(code), stmt(CODE.ret_a)], pairs);
        else {
          for (const k of OPERANDS) {
            yield trial("arithmetic", name, [stmt(CODE.ldw_abs, 0), stmt(code, k), stmt(CODE.ret_a)], singles);
          }
        }
        break;
      case "neg":
        yield trial("arithmetic", name, [stmt(CODE.ldw_abs, 0), stmt(code), stmt(CODE.ret_a)], singles);
        break;
      case "branch":
        // Both arms, one, the other: the conversion to eBPF turns conditions round.
        for (const [jt, jf] of [
          [1, 0],
          [0, 1],
          [1, 2],
          [2, 1],
        ] as const) {
          const ends = [stmt(CODE.ret_k, 1), stmt(CODE.ret_k, 2), stmt(CODE.ret_k, 3)];
          if (does.src === "x") yield trial("arithmetic", name, [...loadBoth, jump(code, 0, jt, jf), ...ends], pairs);
          else {
            // With the load in front, and with something between: engines run pairs of instructions as one.
            for (const k of OPERANDS) {
              for (const between of [[], [stmt(CODE.tax), stmt(CODE.txa)]]) {
                const program = [stmt(CODE.ldw_abs, 0), ...between, jump(code, k, jt, jf), ...ends];
                yield trial("arithmetic", name, program, singles);
              }
            }
          }
        }
        break;
    }
  }
}

/** A load, a mask or a test with a test behind it, as filters have them, and jumps to the second of the two. */
export function* pairTrials(): Generator<Trial> {
  const singles = OPERANDS.flatMap((a) => [plain(words(a)), plain(words(a).slice(0, 3))]);
  const firsts = [
    [stmt(CODE.ldw_abs, 0)],
    [stmt(CODE.ldh_abs, 0)],
    [stmt(CODE.ldh_abs, 2)],
    [stmt(CODE.ldb_abs, 0)],
    [stmt(CODE.ldb_abs, 3)],
    [stmt(CODE.ldw_ind, 0)],
    [stmt(CODE.ldh_ind, 2)],
    [stmt(CODE.ldh_ind, 0xfff0_0000)],
    [stmt(CODE.ldb_ind, 3)],
    [stmt(CODE.ldw_abs, 0), stmt(CODE.and_k, 0x8000_ffff)],
    [stmt(CODE.ldw_abs, 0), jump(CODE.jeq_k, 2, 2, 0)],
  ];
  for (const [n, first] of firsts.entries()) {
    for (const { code, name, does } of OPCODES) {
      if (does.kind !== "branch") continue;
      for (const k of OPERANDS) {
        // A shows at the end, so that a pair which forgets it is seen; the first byte chooses to enter in the middle.
        const test = [jump(code, k, 0, 1), stmt(CODE.add_k, 1), stmt(CODE.add_k, 2), stmt(CODE.ret_a)];
        yield trial("pairs", `${name} behind load ${n}`, [...first, ...test], singles);
        const into = [stmt(CODE.ldb_abs, 0), jump(CODE.jset_k, 1, first.length, 0)];
        yield trial("pairs", `${name} in the middle, load ${n}`, [...into, ...first, ...test], singles);
      }
    }
  }
}

/** u32s as they lie in a packet. */
function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value);
  return bytes;
}

/** PAY_OFFSET of packets that were seen somewhere; 0 is kept apart from a drop. */
export function* payOffsetTrials(name: string, pool: readonly Sample[]): Generator<Trial> {
  const { k } = ANCILLARY.find(({ does }) => does.kind === "pay-offset")!;
  const program = [stmt(CODE.ldw_abs, k), stmt(CODE.add_k, 1000), stmt(CODE.ret_a)];
  for (let at = 0; at < pool.length; at += 500) {
    yield trial("pay-offset", `${name}, frames from ${at}`, program, pool.slice(at, at + 500));
  }
}

/**
 * Searches for netlink attributes: `programs` searches, each in `packets` packets, NLATTR and NLATTR_NEST in turn.
 */
export function* attributeTrials(seed: number, programs: number, packets: number): Generator<Trial> {
  const rows = ANCILLARY.filter(({ does }) => does.kind === "nlattr" || does.kind === "nlattr-nest");
  for (let n = 0; n < programs; n++) {
    const random = new Random(seed, n);
    const { k, name } = rows[n % rows.length]!;
    const start = random.oneIn(8) ? constant(random) : random.below(48);
    const type = random.oneIn(8) ? constant(random) : random.below(6);
    const search = [stmt(CODE.ld_imm, start), stmt(CODE.ldx_imm, type), stmt(random.pick(ABSOLUTE), k)];
    const samples = Array.from({ length: packets }, () => {
      const packet = attributePacket(random, random.oneIn(100) ? UNIX_LINEAR_MAX + random.below(3) : random.below(120));
      return { packet, context: unixContext(packet) };
    });
    yield trial(
      "attributes",
      `${name} seed ${seed}, search ${n}`,
      [...search, stmt(CODE.add_k, 100), stmt(CODE.ret_a)],
      samples,
    );
  }
}
