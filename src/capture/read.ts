/**
 * Reading captures: from bytes in memory, from iterables of chunks, from streams.
 *
 * Reading is in constant memory.  The fast way is by batches; iterating packet by packet makes an object for each.
 */
import { BpfError } from "../base/errors.ts";
import { CaptureBatch, type CaptureHeader, type Packet } from "./batch.ts";
import { ChunkReader } from "./from-chunks.ts";
import { type DirectSource, readInto } from "./into-memory.ts";
import { Scanner } from "./scanner.ts";

export interface ReadOptions {
  /** Packets in a batch at most, 1..1048576; 4096 by default. */
  readonly batchSize?: number;
}

/** The part of a web ReadableStream that reading needs. */
export interface ReadableStreamLike {
  getReader(): {
    read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
    cancel(reason?: unknown): Promise<unknown>;
    releaseLock(): void;
  };
}

/** What {@link readCaptureSync} takes. */
export type SyncSource = Uint8Array | Iterable<Uint8Array> | DirectSource;

/** What {@link readCapture} takes. */
export type Source = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array> | ReadableStreamLike;

/** An open capture; it can be iterated once, by packets or by batches. */
export interface SyncCapture extends Iterable<Packet> {
  /** What the file says in front of the packets read so far; undefined before iteration has begun. */
  readonly header: CaptureHeader | undefined;
  /** The packets in batches.  A batch and its tables hold until the next step. */
  batches(): Iterable<CaptureBatch>;
}

/** An open capture that must be waited for; it can be iterated once, by packets or by batches. */
export interface Capture extends AsyncIterable<Packet> {
  /** What the file says in front of the packets read so far; undefined before iteration has begun. */
  readonly header: CaptureHeader | undefined;
  /** The packets in batches.  A batch and its tables hold until the next step. */
  batches(): AsyncIterable<CaptureBatch>;
}

/**
 * Reads a pcap or pcapng file that is at hand: its bytes, an iterable of chunks of any size, or a function that reads
 * into memory of the caller's choice, such as an arena, where compiled filters take the packets from.
 *
 * Packet bytes are views of the chunks.  They stay valid as long as the source leaves its chunks alone, so a source that
 * reads every chunk into the same buffer makes them valid until the next chunk; of a file that is read into memory they
 * are valid until the next batch.
 *
 * Iterating throws {@link BpfError} `bad-capture` with `offset` and `packet` where the file is damaged, after every
 * packet in front of the damage.  A capture length that no packet can have is damage.
 *
 * @throws {BpfError} `bad-argument` for a batch size outside its range.
 * @example
 * ```ts
 * import { readCaptureSync } from "cbpf/capture";
 * const file = Uint8Array.from([0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 1]);
 * for (const packet of readCaptureSync(file)) console.log(packet.number, packet.timestamp, packet.data);
 * ```
 */
export function readCaptureSync(source: SyncSource, options: ReadOptions = {}): SyncCapture {
  const scanner = new Scanner(new CaptureBatch(batchSize(options), "into" in source ? source.into : undefined));
  const once = onlyOnce();
  function* batches() {
    once();
    if ("into" in source) return yield* readInto(scanner, source);
    const reader = new ChunkReader(scanner);
    for (const chunk of isBytes(source) ? [source] : source) yield* reader.push(chunk);
    reader.finish();
  }
  return {
    get header() {
      return scanner.header;
    },
    batches,
    *[Symbol.iterator]() {
      for (const batch of batches()) for (let i = 0; i < batch.count; i++) yield batch.packet(i);
    },
  };
}

/**
 * Reads a pcap or pcapng file from any source: a Node or web stream, bytes, an iterable of chunks, asynchronous or not.
 * Everything else is as for {@link readCaptureSync}.  Leaving the loop early closes the source.
 *
 * Waiting for every packet costs more than reading it: for speed, iterate `batches()`.
 *
 * @throws {BpfError} `bad-argument` for a batch size outside its range.
 */
export function readCapture(source: Source, options: ReadOptions = {}): Capture {
  const scanner = new Scanner(new CaptureBatch(batchSize(options)));
  const reader = new ChunkReader(scanner);
  const once = onlyOnce();
  async function* batches() {
    once();
    for await (const chunk of chunksOf(source)) yield* reader.push(chunk);
    reader.finish();
  }
  return {
    get header() {
      return scanner.header;
    },
    batches,
    async *[Symbol.asyncIterator]() {
      for await (const batch of batches()) for (let i = 0; i < batch.count; i++) yield batch.packet(i);
    },
  };
}

function chunksOf(source: Source): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  if (isBytes(source)) return [source];
  if (Symbol.asyncIterator in source || Symbol.iterator in source) return source;
  return chunksOfStream(source);
}

async function* chunksOfStream(stream: ReadableStreamLike): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  let over = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (value !== undefined) yield value;
    }
    over = true;
  } finally {
    if (!over) await reader.cancel();
    reader.releaseLock();
  }
}

/** A Uint8Array is iterable too, by its numbers: it must be asked for first. */
function isBytes(source: object): source is Uint8Array {
  return ArrayBuffer.isView(source);
}

function batchSize({ batchSize = 4096 }: ReadOptions): number {
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > 1_048_576) {
    throw new BpfError("bad-argument", `batch size ${batchSize} is no whole number in 1..1048576`);
  }
  return batchSize;
}

function onlyOnce(): () => void {
  let begun = false;
  return () => {
    if (begun) throw new BpfError("bad-argument", "a capture can be iterated once");
    begun = true;
  };
}
