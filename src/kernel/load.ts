/**
 * The only door to the native addon: where it is looked for, what it offers, and why it is not there.
 *
 * Nothing is loaded at import.  The addon does system calls and no more; it answers as the kernel does, with a result
 * that is not negative or with -errno, so that any function of it can be stood in for in a test.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import { release } from "node:os";
import { fileURLToPath } from "node:url";
import { BpfError } from "../base/errors.ts";

/** A number that is not negative, or -errno. */
export type Answer = number;

/** A received message; `length` is the message's own even when the memory was too short. */
export interface Received {
  readonly length: number;
  readonly flags: number;
  /** struct sockaddr bytes; empty when the socket has none to give. */
  readonly address: Uint8Array;
  /** Control messages; descriptors sent along (SCM_RIGHTS) are closed, not given. */
  readonly control: readonly { readonly level: number; readonly type: number; readonly data: Uint8Array }[];
}

/** What the kernel says of an interface; `address` is the hardware address, 6 bytes. */
export interface InterfaceInfo {
  readonly index: number;
  readonly flags: number;
  readonly mtu: number;
  readonly hatype: number;
  readonly address: Uint8Array;
}

/**
 * The functions of native/*.cpp.  Wrong arguments throw TypeError or RangeError; everything else is an answer.
 * `netns` is a descriptor of a network namespace; undefined is the caller's own.
 */
export interface Addon {
  attachProgram(fd: number, level: number, name: number, program: Uint8Array): Answer;
  detachFilter(fd: number): Answer;
  getFilter(fd: number): Uint8Array | Answer;
  openSocket(domain: number, type: number, protocol: number, netns?: number): Answer;
  openPair(domain: number, type: number): readonly [Answer, Answer] | Answer;
  closeFd(fd: number): Answer;
  releaseFd(fd: number): Answer;
  bindSocket(fd: number, address: Uint8Array): Answer;
  connectSocket(fd: number, address: Uint8Array): Answer;
  socketName(fd: number): Uint8Array | Answer;
  setOption(fd: number, level: number, name: number, value: number | Uint8Array): Answer;
  getOption(fd: number, level: number, name: number, size: number): Uint8Array | Answer;
  sendBytes(fd: number, bytes: Uint8Array, address?: Uint8Array): Answer;
  receive(fd: number, into: Uint8Array): Received | Answer;
  interfaceInfo(fd: number, name: string): InterfaceInfo | Answer;
  interfaceUp(fd: number, name: string): Answer;
  openTap(name: string, netns: number): Answer;
  newNamespace(): Answer;
  deliver(
    sender: number,
    receiver: number,
    packets: Uint8Array,
    table: Uint32Array,
    results: Int32Array,
    cpu?: number,
    address?: Uint8Array,
  ): Answer;
  /**
   * Watches a descriptor from the event loop, which stays alive while it does: `callback(0)` when it can be read,
   * `callback(-errno)` when polling fails.  One watch a descriptor; closing the descriptor ends it.
   */
  pollOpen(fd: number, callback: (answer: Answer) => void): Answer;
  /** Whether the watch keeps the event loop alive. */
  pollRef(fd: number, keepsAlive: boolean): Answer;
  /** Pauses and resumes; a paused watch does not keep the event loop alive. */
  pollActive(fd: number, watching: boolean): Answer;
  pollClose(fd: number): Answer;
  /** The memory of a TPACKET_V3 ring of `blockCount` blocks, which the kernel fills; `timeout` in ms. */
  ringOpen(fd: number, blockSize: number, blockCount: number, timeout: number): ArrayBuffer | Answer;
  /** Ends a ring; the buffer and its views have length 0 afterwards. */
  ringClose(ring: ArrayBuffer): Answer;
  /** Fills a block as a ring's with the messages that wait, one a slot; returns their number. */
  receiveBlock(fd: number, block: Uint8Array, slotSize: number): Answer;
  /** Closes on the thread pool; `callback()` when that is done. */
  closeOnThread(fd: number, callback: () => void): Answer;
  /** A descriptor of the same open file as a descriptor of another process. */
  duplicateFd(pid: number, fd: number): Answer;
}

/** Every function of {@link Addon}; a binary that lacks one was built from other sources. */
const FUNCTIONS: Readonly<Record<keyof Addon, true>> = {
  attachProgram: true,
  detachFilter: true,
  getFilter: true,
  openSocket: true,
  openPair: true,
  closeFd: true,
  releaseFd: true,
  bindSocket: true,
  connectSocket: true,
  socketName: true,
  setOption: true,
  getOption: true,
  sendBytes: true,
  receive: true,
  interfaceInfo: true,
  interfaceUp: true,
  openTap: true,
  newNamespace: true,
  deliver: true,
  pollOpen: true,
  pollRef: true,
  pollActive: true,
  pollClose: true,
  ringOpen: true,
  ringClose: true,
  receiveBlock: true,
  closeOnThread: true,
  duplicateFd: true,
};

/** Oldest kernel served: SO_COOKIE came with 4.6, SO_ATTACH_REUSEPORT_CBPF with 4.5. */
const OLDEST_KERNEL = [4, 6] as const;

/** Whether the kernel side works, and why not. */
export interface KernelStatus {
  readonly available: boolean;
  /**
   * "loaded"; "not-built": no binary was found; "wrong-platform": not Linux; "broken": a binary was found and does not
   * load, `message` is the loader's own; "old-kernel": before Linux 4.6.
   */
  readonly reason: "loaded" | "not-built" | "wrong-platform" | "broken" | "old-kernel";
  /** One sentence for people. */
  readonly message: string;
  /** The binary that was loaded. */
  readonly path?: string;
  readonly platform: string;
  readonly arch: string;
  /** Release of the running kernel, as `uname -r` prints it. */
  readonly kernel: string;
}

interface Loaded {
  readonly addon?: Addon;
  readonly status: KernelStatus;
}

let loaded: Loaded | undefined;

/** Whether the addon is there.  Loads it on the first call; the answer stays the same for the life of the process. */
export function status(): KernelStatus {
  loaded ??= load();
  return loaded.status;
}

/**
 * The addon.
 *
 * @throws {BpfError} `not-available` with the reason of {@link status}.
 */
export function loadAddon(): Addon {
  loaded ??= load();
  if (loaded.addon === undefined) throw new BpfError("not-available", loaded.status.message);
  return loaded.addon;
}

/** The machine, and how the binary is found on it; a test gives its own. */
export interface Host {
  readonly platform: string;
  readonly arch: string;
  /** `uname -r` */
  readonly kernel: string;
  /** Finds and loads the binary, as the package `bindings` does. */
  find(): unknown;
}

function load(): Loaded {
  return loadOn({ platform: process.platform, arch: process.arch, kernel: release(), find: findBinary });
}

/** The addon of a machine, or why there is none. */
export function loadOn({ platform, arch, kernel, find }: Host): Loaded {
  const host = { platform, arch, kernel };
  const off = (reason: KernelStatus["reason"], message: string): Loaded => ({
    status: Object.freeze({ available: false, reason, message, ...host }),
  });
  if (platform !== "linux") return off("wrong-platform", `the kernel side needs Linux, this is ${platform}`);
  const [major = 0, minor = 0] = kernel.split(".").map((part) => Number.parseInt(part, 10));
  if (major < OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor < OLDEST_KERNEL[1])) {
    return off("old-kernel", `the kernel side needs Linux ${OLDEST_KERNEL.join(".")}, this is ${kernel}`);
  }
  try {
    const addon = find() as Addon & { path?: string };
    const path = addon.path ?? "the native addon";
    const missing = Object.keys(FUNCTIONS).filter((name) => typeof addon[name as keyof Addon] !== "function");
    if (missing.length > 0) return off("broken", `${path} is of another version: it lacks ${missing.join(", ")}`);
    const message = `native addon loaded from ${path}`;
    return { addon, status: Object.freeze({ available: true, reason: "loaded", message, path, ...host }) };
  } catch (error) {
    // `bindings` lists the paths it tried when there is no file at all; every other error is a file that fails to load.
    if ((error as { tries?: unknown } | null)?.tries !== undefined) {
      return off("not-built", "the native addon is not built; `npx cbpf native build` builds it");
    }
    return off("broken", `the native addon does not load: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function findBinary(): unknown {
  return createRequire(import.meta.url)("bindings")({
    bindings: "cbpf.node",
    // Given, not guessed: `bindings` reads it off a stack trace otherwise, which a bundler breaks.
    module_root: fileURLToPath(new URL("../..", import.meta.url)),
    try: [
      ["module_root", "build", "Release", "bindings"],
      ["module_root", "prebuilds", prebuildFolder(), "bindings"],
    ],
  });
}

/** `linux-x64`, with `-musl` where Node runs on musl: such a program names its loader near its start. */
function prebuildFolder(): string {
  const head = Buffer.alloc(4096);
  const file = openSync(process.execPath, "r");
  try {
    readSync(file, head, 0, head.length, 0);
  } finally {
    closeSync(file);
  }
  return `${process.platform}-${process.arch}${head.includes("/ld-musl-") ? "-musl" : ""}`;
}
