/**
 * The endless list of random trials: trial n of a seed is always the same.
 *
 * Most are valid programs, some are one step off validity, and some are mutations of real filters.  Their packets come
 * with the context of a scene: what every packet of an AF_UNIX datagram socket has, which the kernel can be asked
 * about without privilege, or anything at all.
 */
import { ANCILLARY, type AncillaryRow } from "../isa/ancillary.ts";
import { ISA } from "../isa/instruction-set.ts";
import { CODE } from "../isa/opcodes.ts";
import type { Instruction } from "../program/instruction.ts";
import { constant, generateProgram } from "./generate.ts";
import { nearMiss } from "./near-miss.ts";
import type { ContextFields } from "./packet-text.ts";
import { generatePacket, readLengths } from "./packets.ts";
import { Random } from "./random.ts";
import type { Sample, Trial } from "./trial.ts";
import { unixContext } from "./unix-context.ts";

/**
 * Where packets are: "unix", an AF_UNIX datagram socket; "anywhere", any context at all; or a list of packets that were
 * seen somewhere, with the contexts they had there.
 */
export type Scene = "unix" | "anywhere" | { readonly name: string; readonly pool: readonly Sample[] };

export interface RandomTrialOptions {
  readonly scene: Scene;
  /** Packets of each trial; default {@link DEFAULT_PACKETS}.  The first ones do not depend on how many there are. */
  readonly packets?: number;
  /** Real programs to mutate. */
  readonly filters?: readonly (readonly Instruction[])[];
  /** Real packets to mutate. */
  readonly captured?: readonly Uint8Array[];
  /** CPUs that the filter may be said to run on; default 1. */
  readonly cpus?: number;
}

/** Packets of a random trial. */
export const DEFAULT_PACKETS = 8;

/** Trial number `n` of a seed, both u32. */
export function randomTrial(seed: number, n: number, options: RandomTrialOptions): Trial {
  const random = new Random(seed, n);
  const { scene, packets = DEFAULT_PACKETS, filters = [], captured = [], cpus = 1 } = options;
  const kind = random.below(10);
  const real = filters.length > 0 && kind === 0;
  const pool = typeof scene === "object" ? scene.pool : [];
  const near = pool.length > 0 ? random.pick(pool).packet.length : undefined;
  const generated = real ? { instructions: random.pick(filters), length: 64 } : generateProgram(random, near);
  const changed = kind < 3 && !(real && random.oneIn(4));
  const program = changed ? nearMiss(generated.instructions, random) : generated.instructions;
  const instructions = scene === "anywhere" ? program : withoutChance(program);
  const thresholds = readLengths(instructions);
  const cpu = loads(instructions, "CPU") ? random.below(cpus) : 0;
  const samples = Array.from({ length: packets }, (): Sample => {
    if (pool.length > 0) return random.pick(pool);
    const packet = generatePacket(random, generated.length, thresholds, captured);
    const context = scene === "unix" ? unixContext(packet, cpu) : anyContext(random, packet, cpu);
    return { packet, context };
  });
  const name = typeof scene === "object" ? scene.name : scene;
  const category = `${real ? "filters" : changed ? "near-miss" : "random"} ${name}`;
  return { category, origin: `${name} seed ${seed}, trial ${n}`, profile: "linux", instructions, samples };
}

/** Instructions that leave nothing of what was in A. */
function forgetsA({ code, k }: Instruction): boolean {
  return code === CODE.ld_imm || (code === CODE.and_k && k === 0) || (code === CODE.mod_k && k === 1);
}

/** The program with PROTOCOL in place of each RANDOM whose value is not forgotten at once: real numbers differ. */
function withoutChance(program: readonly Instruction[]): readonly Instruction[] {
  if (!loads(program, "RANDOM")) return program;
  const at = (name: string): number => ANCILLARY.find((row) => row.name === name)!.k;
  const [chance, instead] = [at("RANDOM"), at("PROTOCOL")];
  return program.map((insn, i) => {
    const next = program[i + 1];
    return insn.k !== chance || (next !== undefined && forgetsA(next)) ? insn : { ...insn, k: instead };
  });
}

/** True when the program has an ancillary load of that name. */
export function loads(instructions: readonly Instruction[], name: AncillaryRow["name"]): boolean {
  const { k } = ANCILLARY.find((row) => row.name === name)!;
  return instructions.some((insn) => {
    const does = insn.k === k ? ISA.known(insn.code)?.does : undefined;
    return does?.kind === "packet" && does.at === "abs";
  });
}

/** A context of arbitrary values; positions lie around the packet. */
function anyContext(random: Random, packet: Uint8Array, cpu: number): ContextFields {
  const before = Uint8Array.from({ length: random.oneIn(2) ? 0 : random.below(64) }, () => random.below(256));
  const position = (): number => random.between(-before.length - 2, Math.min(packet.length + 2, 64));
  const tagged = random.oneIn(4);
  return {
    before,
    network: random.oneIn(3) ? 0 : position(),
    ...(random.oneIn(3) ? {} : { mac: random.oneIn(2) ? 0 : position() }),
    ...(random.oneIn(6) ? { length: packet.length + random.below(100) } : {}),
    linear: !random.oneIn(6),
    protocol: random.pick([0, 4, 0x0800, 0x0806, 0x86dd, 0x8100, 0x8847, 0x8864]),
    pktType: random.below(5),
    ifindex: random.oneIn(4) ? 0 : random.between(1, 9),
    hatype: random.pick([1, 772, 65534]),
    mark: constant(random),
    queue: random.below(4),
    rxhash: random.u32(),
    cpu,
    vlanTag: tagged ? random.below(0x10000) : 0,
    vlanPresent: tagged ? 1 : 0,
    vlanTpid: tagged ? random.pick([0x8100, 0x88a8]) : 0,
    random: [constant(random), random.u32()],
  };
}
