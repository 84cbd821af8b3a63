/**
 * An oracle as a contestant: something that confirms verdicts, as the kernel does through the length of what it
 * delivers, and that has a context of its own for every packet.
 *
 * The oracle comes in as a value, so that this file needs no kernel.
 */
import type { PacketBatch } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import { loads } from "./random-trials.ts";
import type { Answer, Contestant, Judgement, Sample, SkipReason, Trial } from "./trial.ts";

/** What the kernel says to a program; the shape of src/kernel's Acceptance. */
export type OracleAcceptance = { readonly accepted: true } | { readonly accepted: false; readonly errno: string };

/** What src/kernel's KernelOracle can do. */
export interface Oracle {
  accepts(program: readonly Instruction[]): OracleAcceptance;
  compare(
    program: readonly Instruction[],
    batch: PacketBatch,
    expected: Uint32Array,
    cpu?: number,
  ): {
    readonly acceptance: OracleAcceptance;
    readonly truncated: number;
    readonly unseen: readonly number[];
    readonly mismatches: readonly { readonly packet: number; readonly verdict: number | undefined }[];
  };
  close(): void;
}

export interface OracleOptions {
  readonly name: string;
  readonly version: string;
  /** Why the oracle can not show this sample, or undefined when it can. */
  readonly cannotShow: (sample: Sample) => SkipReason | undefined;
  /** The bytes to send so that the filter sees the sample; default the packet itself. */
  readonly sent?: (sample: Sample) => Uint8Array;
  /** CPUs that the oracle can run on; default 1. */
  readonly cpus?: number;
}

const NOT_TAKEN: SkipReason = "the kernel did not take the packet";
const ONLY_LENGTH: SkipReason = "rewritten program beyond the kernel's limits: only min(verdict, LEN) compared";

export function oracleContestant(oracle: Oracle, options: OracleOptions): Contestant {
  return {
    name: options.name,
    version: options.version,
    judge(trial, expected): Answer {
      if (trial.profile !== "linux") return { skip: `profile ${trial.profile}` };
      if (!expected?.accepted || trial.samples.length === 0) return judgeProgram(oracle, trial);
      return judgeSamples(oracle, trial, expected, options);
    },
    close: () => oracle.close(),
  };
}

function judgeProgram(oracle: Oracle, { instructions }: Trial): Judgement {
  return { ...acceptanceOf(oracle.accepts(instructions)), verdicts: [] };
}

function acceptanceOf(acceptance: OracleAcceptance): { accepted: boolean; attach: string } {
  return { accepted: acceptance.accepted, attach: acceptance.accepted ? "ok" : acceptance.errno };
}

function judgeSamples(oracle: Oracle, trial: Trial, expected: Judgement, options: OracleOptions): Judgement {
  const verdicts: (number | SkipReason)[] = [];
  const usesCpu = loads(trial.instructions, "CPU");
  const groups = new Map<number | undefined, number[]>();
  for (const [i, sample] of trial.samples.entries()) {
    const skip = options.cannotShow(sample) ?? missingCpu(sample, usesCpu, options);
    verdicts.push(skip ?? expected.verdicts[i]!);
    if (skip !== undefined) continue;
    const cpu = usesCpu ? (sample.context.cpu ?? 0) : undefined;
    const group = groups.get(cpu);
    if (group === undefined) groups.set(cpu, [i]);
    else group.push(i);
  }
  if (groups.size === 0) return { ...acceptanceOf(oracle.accepts(trial.instructions)), verdicts };
  let acceptance: OracleAcceptance = { accepted: true };
  for (const [cpu, which] of groups) {
    const bytes = which.map((i) => options.sent?.(trial.samples[i]!) ?? trial.samples[i]!.packet);
    const wanted = Uint32Array.from(which, (i) => expected.verdicts[i] as number);
    const found = oracle.compare(trial.instructions, batchOf(bytes), wanted, cpu);
    acceptance = found.acceptance;
    if (!acceptance.accepted) break;
    for (const j of found.unseen) verdicts[which[j]!] = NOT_TAKEN;
    for (const { packet, verdict } of found.mismatches) verdicts[which[packet]!] = seen(verdict, wanted[packet]!);
    if (found.truncated === which.length && found.mismatches.length === 0) {
      for (const i of which) verdicts[i] = ONLY_LENGTH;
    }
  }
  return { ...acceptanceOf(acceptance), verdicts: acceptance.accepted ? verdicts : [] };
}

/** The verdict that was seen; where only a length was seen, and it was wrong, anything but the expected one. */
function seen(verdict: number | undefined, wanted: number): number {
  return verdict === undefined || verdict === wanted ? ~wanted >>> 0 : verdict;
}

function missingCpu({ context }: Sample, usesCpu: boolean, { cpus = 1 }: OracleOptions): SkipReason | undefined {
  return usesCpu && (context.cpu ?? 0) >= cpus ? "a CPU that is not there" : undefined;
}

/** Packets one behind the other. */
export function batchOf(packets: readonly Uint8Array[]): PacketBatch {
  const table = new Uint32Array(2 * packets.length);
  let end = 0;
  for (const [i, packet] of packets.entries()) {
    table[2 * i] = end;
    table[2 * i + 1] = packet.length;
    end += packet.length;
  }
  const bytes = new Uint8Array(end);
  for (const [i, packet] of packets.entries()) bytes.set(packet, table[2 * i]!);
  return { bytes, table, count: packets.length };
}
