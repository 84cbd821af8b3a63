/**
 * Who can take part in a conformance run, by name: the engines of this package, the kernel's channels, and commands.
 */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { randomFrame } from "../conformance/frames.ts";
import { observe } from "../conformance/observed.ts";
import { oracleContestant } from "../conformance/oracle-contestant.ts";
import { generatePacket } from "../conformance/packets.ts";
import { Random } from "../conformance/random.ts";
import type { Scene } from "../conformance/random-trials.ts";
import { type Contestant, localContestant } from "../conformance/trial.ts";
import { beyondUnix } from "../conformance/unix-context.ts";
import { interpreter } from "../interpreter/interpreter.ts";
import { js } from "../jit/js-engine.ts";
import { wasm } from "../jit/wasm-engine.ts";
import { status } from "../kernel/load.ts";
import { type NetworkOracle, tapOracle, udpOracle } from "../kernel/network-oracle.ts";
import { unixOracle } from "../kernel/oracle.ts";
import { PrivateNetwork } from "../kernel/private-network.ts";
import { DEFAULT_OPTMEM_MAX } from "../verify/estimate.ts";
import { askArena, askBatch, askInArena } from "./conform-ways.ts";
import { commandContestant } from "./engine-command.ts";

/** What makes the contestants beside the reference: the compiled engines, by each way into them. */
export const ENGINES: Readonly<Record<string, () => Contestant>> = {
  js: () => localContestant(js),
  "js-batch": () => localContestant(js, { name: "js-batch", ask: askBatch }),
  wasm: () => localContestant(wasm),
  "wasm-batch": () => localContestant(wasm, { name: "wasm-batch", ask: askArena() }),
  "wasm-call": () => localContestant(wasm, { name: "wasm-call", ask: askInArena() }),
};

/** Ways through the kernel: what they need, how many of the random cases they get, and how many packets to draw from. */
const CHANNEL_SETTINGS = {
  unix: { privileged: false, weight: 7 },
  "tap-raw": { privileged: true, weight: 1 },
  "tap-dgram": { privileged: true, weight: 1 },
  udp4: { privileged: true, weight: 0.5 },
  udp6: { privileged: true, weight: 0.5 },
} as const;

export type ChannelName = keyof typeof CHANNEL_SETTINGS;
export const CHANNELS = Object.keys(CHANNEL_SETTINGS) as readonly ChannelName[];

/** Packets that a network channel observes, to draw from; one observation takes some 50 µs. */
const POOL = 1000;
/** SO_MARK of the UDP senders. */
const MARK = 0xfeed_beef;

/** A way through the kernel that is open, and where its packets are. */
export interface Channel {
  readonly scene: Scene;
  readonly contestant: Contestant;
}

/** Part of the random cases that a channel gets, compared with the others. */
export function weightOf(name: ChannelName): number {
  return CHANNEL_SETTINGS[name].weight;
}

/** The interpreter: what everybody is compared with. */
export function referenceEngine(): Contestant {
  return localContestant(interpreter, { version: "reference", optmemMax: optmemMax() });
}

export function otherContestants(engines: readonly string[], commands: readonly string[]): Contestant[] {
  return [...engines.map((name) => ENGINES[name]!()), ...commands.map(commandContestant)];
}

/** Why a channel can not be opened, or undefined when it can. */
export function channelMissing(name: ChannelName): string | undefined {
  const { available, message } = status();
  if (!available) return message;
  if (!CHANNEL_SETTINGS[name].privileged) return undefined;
  try {
    new PrivateNetwork().close();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * Opens a channel.
 *
 * @param packets  What a network channel observes, to draw from; default {@link POOL} random ones.
 * @throws {BpfError} `not-available` without the addon or the privilege that it needs.
 */
export function openChannel(name: ChannelName, seed: number, cpus: number, packets = packetsFor(name, seed)): Channel {
  const about = { name: `kernel-${name}`, version: `Linux ${release()}` };
  if (name === "unix") {
    const contestant = oracleContestant(unixOracle(), { ...about, cannotShow: beyondUnix, cpus });
    return { scene: "unix", contestant };
  }
  const { pool, contestant } = observe(networkOracle(name), packets, about);
  return { scene: { name, pool }, contestant };
}

function networkOracle(name: Exclude<ChannelName, "unix">): NetworkOracle {
  switch (name) {
    case "tap-raw":
      return tapOracle("raw");
    case "tap-dgram":
      return tapOracle("dgram");
    case "udp4":
      return udpOracle(4, MARK);
    case "udp6":
      return udpOracle(6, MARK);
  }
}

/** Frames for a tap, payloads for UDP. */
function packetsFor(name: ChannelName, seed: number): Uint8Array[] {
  if (name === "unix") return [];
  if (name.startsWith("tap")) return Array.from({ length: POOL }, (_, n) => randomFrame(seed, n));
  return Array.from({ length: POOL }, (_, n) => generatePacket(new Random(seed, n), 40, [], []));
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
