/**
 * Waiting until a descriptor can be read, as a promise.
 *
 * Watching begins with the first wait and goes on between waits, since each start and stop is a system call.  When the
 * descriptor can be read and nobody waits, watching pauses, so that an unread socket does not spin; and only a wait
 * keeps the process alive.
 */
import { BpfError } from "../base/errors.ts";
import { succeed, systemError } from "./errno.ts";
import type { Addon } from "./load.ts";

interface Waiter {
  resolve(readable: boolean): void;
  reject(error: unknown): void;
}

export class Readiness {
  readonly #addon: Addon;
  readonly #fd: number;
  #opened = false;
  /** True while the event loop watches. */
  #active = false;
  #closed = false;
  #keepsAlive = true;
  #waiter: Waiter | undefined;

  constructor(addon: Addon, fd: number) {
    this.#addon = addon;
    this.#fd = fd;
  }

  /**
   * True when the descriptor can be read, false when it was closed meanwhile.  One wait at a time.
   *
   * @throws The signal's reason when it is aborted; {@link BpfError} `bad-argument` for a second wait at once.
   */
  async wait(signal?: AbortSignal): Promise<boolean> {
    signal?.throwIfAborted();
    if (this.#closed) return false;
    if (this.#waiter !== undefined) throw new BpfError("bad-argument", "somebody waits for this socket already");
    return new Promise<boolean>((resolve, reject) => {
      const onAbort = (): void => {
        this.#settle()?.reject(signal?.reason);
      };
      const forget = (): void => signal?.removeEventListener("abort", onAbort);
      this.#waiter = {
        resolve: (readable) => {
          forget();
          resolve(readable);
        },
        reject: (error) => {
          forget();
          reject(error);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#watch();
    });
  }

  /** Whether a wait keeps the process alive; it does by default. */
  keepAlive(keepsAlive: boolean): void {
    this.#keepsAlive = keepsAlive;
    if (this.#waiter !== undefined && !this.#closed) this.#addon.pollRef(this.#fd, keepsAlive);
  }

  /** Ends the wait.  The descriptor is the caller's to close. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#opened) this.#addon.pollClose(this.#fd);
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.resolve(false);
  }

  #watch(): void {
    try {
      if (!this.#opened) {
        const opened = this.#addon.pollOpen(this.#fd, (answer) => this.#onReadable(answer));
        succeed(opened, "epoll_ctl", "watching a socket");
        this.#opened = true;
      } else if (!this.#active) {
        succeed(this.#addon.pollActive(this.#fd, true), "epoll_ctl", "watching a socket");
      }
      this.#active = true;
      this.#addon.pollRef(this.#fd, this.#keepsAlive);
    } catch (error) {
      const waiter = this.#waiter;
      this.#waiter = undefined;
      waiter?.reject(error);
    }
  }

  #onReadable(answer: number): void {
    if (answer < 0 || this.#waiter === undefined) {
      this.#addon.pollActive(this.#fd, false);
      this.#active = false;
    }
    const waiter = this.#settle();
    if (answer < 0) waiter?.reject(systemError(answer, "epoll_wait", "watching a socket"));
    else waiter?.resolve(true);
  }

  /** The waiter, who waits no longer. */
  #settle(): Waiter | undefined {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter !== undefined && !this.#closed && this.#opened) this.#addon.pollRef(this.#fd, false);
    return waiter;
  }
}
