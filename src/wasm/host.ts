/**
 * The host's WebAssembly, as far as this package uses it.
 *
 * The core is compiled without DOM or Node types, so the names are declared here.  A host may have no WebAssembly: that
 * is a BpfError `unsupported`.  A content security policy may forbid it: that is an error of `compileModule`.
 */
import { BpfError } from "../base/errors.ts";

/** WebAssembly.Memory. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
  /** Adds pages of 64 KiB; a plain memory's old buffer is detached. */
  grow(pages: number): number;
}

export type WasmFunction = (...values: number[]) => number;

interface WasmHost {
  readonly RuntimeError: new () => Error;
  readonly Memory: new (descriptor: { initial: number; maximum?: number; shared?: boolean }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { env: Record<string, unknown> },
  ) => { exports: Record<string, WasmFunction> };
}

export const PAGE_BYTES = 65536;

function host(): WasmHost {
  const found = (globalThis as unknown as { WebAssembly?: WasmHost }).WebAssembly;
  if (found === undefined) throw new BpfError("unsupported", "this host has no WebAssembly");
  return found;
}

/** A new memory of `pages` pages; a shared one (for workers) reserves address space up to `maximum` pages. */
export function createMemory(pages: number, shared = false, maximum = 65536): WasmMemory {
  return new (host().Memory)(shared ? { initial: pages, maximum, shared } : { initial: pages });
}

/** True for the error of code that read outside its memory. */
export function isTrap(error: unknown): boolean {
  return error instanceof host().RuntimeError;
}

/** Compiles a module, synchronously. */
export function compileModule(bytes: Uint8Array): object {
  return new (host().Module)(bytes);
}

/** Instantiates a module with its memory and functions; returns what it exports. */
export function instantiate(
  module: object,
  memory: WasmMemory,
  functions: Record<string, (...values: number[]) => number>,
): Record<string, WasmFunction> {
  return new (host().Instance)(module, { env: { memory, ...functions } }).exports;
}
