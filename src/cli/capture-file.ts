/**
 * The CAPTURE arguments: files, compressed or not, and standard input, in batches and in constant memory.
 */
import { readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { type Readable, Readable as ReadableStream } from "node:stream";
import { createGunzip } from "node:zlib";
import { BpfError } from "../base/errors.ts";
import type { CaptureBatch } from "../capture/batch.ts";
import { readCapture } from "../capture/read.ts";
import { isGzip } from "../capture/scanner.ts";
import { about } from "./command.ts";
import type { Terminal } from "./terminal.ts";

/** Bytes read at a time: large enough that the reader, not the system calls, sets the pace. */
const CHUNK = 1 << 20;

/**
 * The packets of a capture file in batches; a batch holds until the next one.
 *
 * @param memory  Where file chunks are read to, asked for every chunk; an arena's bytes, say.
 * @throws {BpfError} `bad-capture` where the file is damaged, after every packet in front of the damage.
 */
export async function* captureBatches(
  path: string,
  terminal: Terminal,
  memory: () => Uint8Array = ownChunk(),
): AsyncGenerator<CaptureBatch> {
  const name = path === "-" ? "standard input" : path;
  try {
    yield* readCapture(await decompressed(path === "-" ? terminal.stdin : fileChunks(path, memory))).batches();
  } catch (error) {
    throw about(name, isZlibError(error) ? new BpfError("bad-capture", `damaged gzip data: ${error.message}`) : error);
  }
}

function ownChunk(): () => Uint8Array {
  const chunk = new Uint8Array(CHUNK);
  return () => chunk;
}

/**
 * A file in chunks, every one in the same memory.  Regular files are read synchronously: the data is most often in
 * the page cache, and a trip through the thread pool takes as long as a hundred packets.
 */
async function* fileChunks(path: string, memory: () => Uint8Array): AsyncGenerator<Uint8Array> {
  const file: FileHandle = await open(path);
  try {
    const regular = (await file.stat()).isFile();
    for (;;) {
      const chunk = memory();
      const bytesRead = regular
        ? readSync(file.fd, chunk, 0, chunk.length, null)
        : (await file.read(chunk, 0, chunk.length, null)).bytesRead;
      if (bytesRead === 0) return;
      yield chunk.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** The chunks, uncompressed where they begin as gzip does. */
async function decompressed(chunks: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const iterator = chunks[Symbol.asyncIterator]();
  const first = await iterator.next();
  const all = resumed(first, iterator);
  if (first.done || !isGzip(first.value)) return all;
  // The stream keeps what it is given for a while, and file chunks share one piece of memory: it gets copies.
  const copies = (async function* () {
    for await (const chunk of all) yield Buffer.from(chunk);
  })();
  const source: Readable = ReadableStream.from(copies, { objectMode: false });
  const gunzip = createGunzip({ chunkSize: CHUNK });
  source.on("error", (error) => gunzip.destroy(error));
  return source.pipe(gunzip);
}

async function* resumed(
  first: IteratorResult<Uint8Array>,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let item = first; !item.done; item = await rest.next()) yield item.value;
  } finally {
    await rest.return?.();
  }
}

function isZlibError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && String((error as NodeJS.ErrnoException).code).startsWith("Z_");
}
