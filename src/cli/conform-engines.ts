/**
 * Who can take part in a conformance run, by name: the engines of this package, the kernel's channels, and commands.
 */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { oracleContestant } from "../conformance/oracle-contestant.ts";
import type { Scene } from "../conformance/random-trials.ts";
import { type Contestant, localContestant } from "../conformance/trial.ts";
import { beyondUnix } from "../conformance/unix-context.ts";
import { interpreter } from "../interpreter/interpreter.ts";
import { status } from "../kernel/load.ts";
import { unixOracle } from "../kernel/oracle.ts";
import type { Engine } from "../program/engine.ts";
import { DEFAULT_OPTMEM_MAX } from "../verify/estimate.ts";
import { commandContestant } from "./engine-command.ts";

/** Engines beside the reference. */
export const ENGINES: Readonly<Record<string, Engine>> = {};

/** Ways through the kernel. */
export type ChannelName = "unix";
export const CHANNELS: readonly ChannelName[] = ["unix"];

/** A way through the kernel that is open, and where its packets are. */
export interface Channel {
  readonly scene: Scene;
  readonly contestant: Contestant;
  /** Part of the cases, compared with the other channels. */
  readonly weight: number;
}

/** The interpreter: what everybody is compared with. */
export function referenceEngine(): Contestant {
  return localContestant(interpreter, { version: "reference", optmemMax: optmemMax() });
}

export function otherContestants(engines: readonly string[], commands: readonly string[]): Contestant[] {
  return [...engines.map((name) => localContestant(ENGINES[name]!)), ...commands.map(commandContestant)];
}

/** Why the kernel cannot take part at all, or undefined. */
export function kernelMissing(): string | undefined {
  const { available, message } = status();
  return available ? undefined : message;
}

/**
 * Opens channels.
 *
 * @throws {BpfError} `not-available` without the addon or the privilege that a channel needs.
 */
export async function openChannels(names: readonly ChannelName[], _seed: number, cpus: number): Promise<Channel[]> {
  return names.map((name) => {
    const oracle = unixOracle();
    const contestant = oracleContestant(oracle, {
      name: `kernel-${name}`,
      version: `Linux ${release()}`,
      cannotShow: beyondUnix,
      cpus,
    });
    return { scene: "unix", contestant, weight: 8 };
  });
}

/** net.core.optmem_max, in bytes. */
export function optmemMax(): number {
  return Number(sysctl("net/core/optmem_max") ?? DEFAULT_OPTMEM_MAX);
}

/** What the kernel is, for reports. */
export function kernelFacts(): Record<string, string> {
  return {
    kernel: release(),
    "net.core.optmem_max": String(optmemMax()),
    "net.core.bpf_jit_enable": sysctl("net/core/bpf_jit_enable") ?? "unknown",
    "net.core.bpf_jit_harden": sysctl("net/core/bpf_jit_harden") ?? "unknown to this user",
  };
}

function sysctl(path: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${path}`, "utf8").trim();
  } catch {
    return undefined;
  }
}
