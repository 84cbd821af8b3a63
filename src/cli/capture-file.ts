/**
 * The CAPTURE arguments: files, compressed or not, and standard input, in batches and in constant memory.
 */
import { fstatSync, readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { BpfError } from "../base/errors.ts";
import type { CaptureBatch, PacketMemory } from "../capture/batch.ts";
import { readCapture, readCaptureSync } from "../capture/read.ts";
import { isGzip } from "../capture/scanner.ts";
import { captureMemory } from "./capture-memory.ts";
import { about } from "./command.ts";
import type { Terminal } from "./terminal.ts";

/** Bytes of a pipe, or of a compressed file, that are read at a time. */
const CHUNK = 1 << 18;

/**
 * The packets of a capture file in batches; a batch holds until the next one.
 *
 * @param memory  What plain files are read into.
 * @throws {BpfError} `bad-capture` where the file is damaged, after every packet in front of the damage.
 */
export async function* captureBatches(
  path: string,
  terminal: Terminal,
  memory: PacketMemory = captureMemory(),
): AsyncGenerator<CaptureBatch> {
  const name = path === "-" ? "standard input" : path;
  try {
    if (path === "-") yield* readCapture(await decompressed(terminal.stdin)).batches();
    else yield* fileBatches(path, memory);
  } catch (error) {
    throw about(name, isZlibError(error) ? new BpfError("bad-capture", `damaged gzip data: ${error.message}`) : error);
  }
}

async function* fileBatches(path: string, memory: PacketMemory): AsyncGenerator<CaptureBatch> {
  const file = await open(path);
  try {
    if (isPlain(file.fd)) {
      // Read synchronously: the data is most often in the page cache, and a trip through the thread pool takes as long
      // as a hundred packets.
      yield* readCaptureSync({ into: memory, read: (target) => readSync(file.fd, target) }).batches();
    } else {
      yield* readCapture(await decompressed(chunksOf(file))).batches();
    }
  } finally {
    await file.close();
  }
}

/** True for a regular file that is not compressed. */
function isPlain(fd: number): boolean {
  if (!fstatSync(fd).isFile()) return false;
  const start = new Uint8Array(2);
  readSync(fd, start, 0, 2, 0);
  return !isGzip(start);
}

/** A file in chunks, every one in the same memory. */
async function* chunksOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  const chunk = new Uint8Array(CHUNK);
  for (;;) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK, null);
    if (bytesRead === 0) return;
    yield chunk.subarray(0, bytesRead);
  }
}

/** The chunks, uncompressed where they begin as gzip does. */
async function decompressed(chunks: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const iterator = chunks[Symbol.asyncIterator]();
  const first = await firstOf(iterator);
  const all = resumed(first, iterator);
  if (first.done || !isGzip(first.value)) return all;
  const [{ Readable }, { createGunzip }] = await Promise.all([import("node:stream"), import("node:zlib")]);
  // The stream keeps what it is given for a while, and file chunks share one piece of memory: it gets copies.
  const copies = (async function* () {
    for await (const chunk of all) yield Buffer.from(chunk);
  })();
  const source: Readable = Readable.from(copies, { objectMode: false });
  const gunzip = createGunzip({ chunkSize: CHUNK });
  source.on("error", (error) => gunzip.destroy(error));
  return source.pipe(gunzip);
}

/** The first chunk, with the second behind it where it is too short to tell; a pipe may give a byte at a time. */
async function firstOf(chunks: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
  let first = await chunks.next();
  while (!first.done && first.value.length < 2) {
    const begun = Buffer.from(first.value); // a copy: the next chunk may lie in the same memory
    const next = await chunks.next();
    first = { done: false, value: next.done ? begun : Buffer.concat([begun, next.value]) };
    if (next.done) break;
  }
  return first;
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
