/**
 * Sockets of other processes: a copy of a descriptor, to look at or change the filter of the socket behind it.
 */
import { BpfError } from "../base/errors.ts";
import { succeed } from "./errno.ts";
import { type Addon, loadAddon } from "./load.ts";
import type { SocketHolder } from "./target.ts";

/** A copy of another process's socket; the socket itself is the same.  Close it. */
export class ForeignSocket implements SocketHolder {
  readonly #addon: Addon;
  #fd: number;

  /** Owns the descriptor. */
  constructor(addon: Addon, fd: number) {
    this.#addon = addon;
    this.#fd = fd;
  }

  /** The descriptor here; -1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  /** Closes the copy; the other process's socket stays. */
  close(): void {
    if (this.#fd < 0) return;
    this.#addon.closeFd(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Copies descriptor `fd` of process `pid` (pidfd_getfd(2), Linux 5.6).  Needs the right to ptrace that process.
 *
 * @throws {BpfError} `system` with EPERM without that right, ESRCH for no such process, EBADF for no such descriptor,
 *   ENOSYS on an older kernel; `bad-argument` for numbers out of range; `not-available`.
 */
export function openForeignSocket(pid: number, fd: number, options: { readonly addon?: Addon } = {}): ForeignSocket {
  for (const [name, value, low] of [
    ["pid", pid, 1],
    ["fd", fd, 0],
  ] as const) {
    if (Number.isInteger(value) && value >= low && value <= 0x7fffffff) continue;
    throw new BpfError("bad-argument", `${name} ${value} is outside ${low}..2147483647`);
  }
  const addon = options.addon ?? loadAddon();
  return new ForeignSocket(addon, succeed(addon.duplicateFd(pid, fd), "pidfd_getfd", `fd ${fd} of process ${pid}`));
}
