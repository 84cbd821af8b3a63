/**
 * A socket of whole messages, opened here: packet, raw, netlink, unix datagram.  What a message is, beside its bytes, is
 * the kind of socket's to say.
 */
import { BpfError } from "../base/errors.ts";
import { ERRNO, succeed } from "./errno.ts";
import type { Addon, Received } from "./load.ts";
import { Readiness } from "./readiness.ts";
import type { SocketHolder } from "./target.ts";

/** A received message; the bytes are a copy that stays. */
export interface Message {
  readonly bytes: Uint8Array;
  /** Length that the kernel delivered, behind the filter; more than `bytes` holds when `receiveSize` was too small. */
  readonly length: number;
}

/** Turns what the kernel says of a message into what the socket gives. */
export type Reader<M extends Message> = (message: Message, received: Received) => M;

/** Longest message received by default, bytes: the largest IP packet, and a MAC header. */
export const DEFAULT_RECEIVE_SIZE = 65536 + 64;

export class MessageSocket<M extends Message = Message> implements SocketHolder {
  readonly #addon: Addon;
  readonly #read: Reader<M>;
  readonly #readiness: Readiness;
  readonly #memory: Uint8Array;
  #fd: number;

  /** Owns the descriptor. */
  constructor(addon: Addon, fd: number, read: Reader<M>, receiveSize = DEFAULT_RECEIVE_SIZE) {
    this.#addon = addon;
    this.#fd = fd;
    this.#read = read;
    this.#readiness = new Readiness(addon, fd);
    this.#memory = new Uint8Array(receiveSize);
  }

  /** The descriptor; -1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * The next message, or undefined when none waits.  Never blocks.
   *
   * @throws {BpfError} `system` for the socket's own errors (ENETDOWN when the interface goes), `bad-argument` when closed.
   */
  receive(): M | undefined {
    const received = this.#addon.receive(this.#open(), this.#memory);
    if (received === -ERRNO.EAGAIN) return undefined;
    const message = succeed(received, "recvmsg", "receiving") as Received;
    const bytes = this.#memory.slice(0, Math.min(message.length, this.#memory.length));
    return this.#read({ bytes, length: message.length }, message);
  }

  /**
   * Messages as they come, until the socket is closed.
   *
   * @throws The signal's reason when it is aborted; {@link BpfError} as {@link receive}.
   */
  async *messages(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<M, void, undefined> {
    while (this.#fd >= 0) {
      options.signal?.throwIfAborted();
      const message = this.receive();
      if (message !== undefined) yield message;
      else if (!(await this.#readiness.wait(options.signal))) return;
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<M, void, undefined> {
    return this.messages();
  }

  /**
   * Sends one message, without waiting.
   *
   * @param address  struct sockaddr bytes (see sockaddr functions); absent for a connected socket.
   * @returns The number of bytes sent, or undefined when the socket's buffer is full.
   * @throws {BpfError} `system` with the kernel's errno, `bad-argument` when closed.
   */
  send(bytes: Uint8Array, address?: Uint8Array): number | undefined {
    const answer = this.#addon.sendBytes(this.#open(), bytes, address);
    return answer === -ERRNO.EAGAIN ? undefined : succeed(answer, "sendto", "sending");
  }

  /** Lets waiting for messages keep the process alive; the default. */
  ref(): this {
    this.#readiness.keepAlive(true);
    return this;
  }

  /** Lets the process end though somebody waits for messages. */
  unref(): this {
    this.#readiness.keepAlive(false);
    return this;
  }

  /** Closes the socket; waiting iterations end.  Closing twice does nothing. */
  close(): void {
    if (this.#fd < 0) return;
    this.#readiness.close();
    this.#addon.closeFd(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #open(): number {
    if (this.#fd >= 0) return this.#fd;
    throw new BpfError("bad-argument", "the socket is closed");
  }
}
