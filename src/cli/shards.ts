/**
 * Large captures in pieces: cutting a file into ranges, and running a program over one of them.
 *
 * A range is plain JSON, so any queue or pool can carry it, and `filterRange` needs nothing but the file.  A pcapng
 * file is cut by walking its blocks.  A pcap file has nothing to walk by but the records themselves, so a cut is
 * looked for where a chain of believable record headers begins; that it was right is proved when the range in front
 * of it ends there to the byte.  {@link filterRange} says so by reporting no damage, and whoever joins ranges reads
 * on from the range that reports any.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { readU16BE, readU16LE, readU32BE, readU32LE } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";
import type { CaptureBatch } from "../capture/batch.ts";
import { readCaptureSync } from "../capture/read.ts";
import { isGzip } from "../capture/scanner.ts";
import { type Arena, createArena } from "../program/arena.ts";
import type { PacketBatch, ProfileName } from "../program/engine.ts";
import { verify } from "../verify/verify.ts";
import { type EngineName, engineNamed } from "../vm/tiers.ts";
import { needsContext, withContexts } from "./capture-context.ts";

/** One unit of work. */
export interface CaptureRange {
  readonly file: string;
  /** Bytes of the file, `end` not included; whole records. */
  readonly start: number;
  readonly end: number;
  /** Number of the first packet, from 1; null where the packets in front are not counted: numbers then start at 1. */
  readonly first: number | null;
  /** [[code, jt, jf, k], ...], what JSON makes of a Program. */
  readonly program: readonly (readonly [code: number, jt: number, jf: number, k: number])[];
  /** Pieces of the file, as [start, end], that say what the packets are and belong in front of the range. */
  readonly head: readonly (readonly [start: number, end: number])[];
  /** Whose rules the program obeys; default "linux". */
  readonly profile?: ProfileName;
  /** Cuts packets to so many bytes before the program sees them. */
  readonly snaplen?: number;
  /** Wants the numbers of the picked packets, not only how many there are. */
  readonly list?: boolean;
  /** Picks the packets with verdict 0. */
  readonly invert?: boolean;
  /** Default "auto". */
  readonly engine?: EngineName;
}

/** What a range gives; plain JSON too. */
export interface RangeResult {
  readonly packets: number;
  /** Packets picked. */
  readonly matched: number;
  /** With `list`: their numbers, ascending, and their verdicts. */
  readonly picked?: readonly number[];
  readonly verdicts?: readonly number[];
  /** Where the range stopped before its end: a damaged file, or a wrong cut. */
  readonly damage?: { readonly what: string; readonly offset: number; readonly packet: number };
}

export interface ShardOptions {
  /** [[code, jt, jf, k], ...] of every range. */
  readonly program: CaptureRange["program"];
  /** Bytes of a range, about; default 32 MiB. */
  readonly bytes?: number;
}

/** Bytes read at a time. */
const CHUNK = 1 << 20;
const DEFAULT_RANGE = 32 << 20;

/**
 * The ranges of a capture file, in file order; together they are all of it.  A file that cannot be cut (compressed,
 * of an old format, shorter than two ranges, or no capture at all) is one range.
 *
 * @throws {BpfError} `bad-argument` for a range size below 1; what `node:fs` throws for a file that cannot be read.
 */
export function shardCapture(file: string, { program, bytes = DEFAULT_RANGE }: ShardOptions): CaptureRange[] {
  if (!(bytes >= 1)) throw new BpfError("bad-argument", `${bytes} bytes are no size of a range`);
  const fd = openSync(file, "r");
  try {
    const { size } = fstatSync(fd);
    const cuts = cutsOf(fd, size, bytes);
    return cuts.map(({ start, head, first }, i): CaptureRange => {
      return { file, start, end: cuts[i + 1]?.start ?? size, first, program, head };
    });
  } finally {
    closeSync(fd);
  }
}

/**
 * Runs a range's program over its packets.
 *
 * @throws {BpfError} `invalid-program`; what `node:fs` throws.  Damage in the file is part of the result.
 */
export function filterRange(range: CaptureRange): RangeResult {
  const program = verify(range.program, { profile: range.profile ?? "linux" });
  const filter = engineNamed(range.engine ?? "auto").load(program);
  const contexts = needsContext(program);
  const arena = chunkArena();
  const first = range.first ?? 1;
  const picked: number[] = [];
  const kept: number[] = [];
  let verdicts = new Uint32Array(0);
  let packets = 0;
  let matched = 0;
  const plain = !contexts && range.list !== true;
  try {
    for (const batch of rangeBatches(range, arena)) {
      if (range.snaplen !== undefined) cutBatch(batch, range.snaplen);
      packets += batch.count;
      const subject: PacketBatch = contexts ? withContexts(batch) : inArena(arena, batch) ? arena : batch;
      if (plain) {
        const here = filter.runBatch(subject);
        matched += range.invert === true ? batch.count - here : here;
        continue;
      }
      if (verdicts.length < batch.count) verdicts = new Uint32Array(batch.count);
      filter.runBatch(subject, verdicts);
      for (let i = 0; i < batch.count; i++) {
        if ((verdicts[i] === 0) !== (range.invert === true)) continue;
        matched++;
        if (range.list !== true) continue;
        picked.push(first + packets - batch.count + i);
        kept.push(verdicts[i]!);
      }
    }
  } catch (error) {
    if (!(error instanceof BpfError) || error.code !== "bad-capture") throw error;
    return { packets, matched, ...(range.list === true ? { picked, verdicts: kept } : {}), damage: damageOf(error) };
  }
  return { packets, matched, ...(range.list === true ? { picked, verdicts: kept } : {}) };
}

/**
 * Results of the ranges of one file, in order, from whatever runs ranges: a pool of threads, a queue, other machines.
 * Packet numbers in them count from packet 1 of the file.
 *
 * At most `ahead` ranges are under way, so memory does not grow with the file.  A range that reports damage is run
 * again to the end of the file, in one piece: either a cut was wrong, and that puts it right, or the file is damaged,
 * and it says where; then the last result has `damage`.
 *
 * @param run  Gives the result of a range, as {@link filterRange} does.
 */
export async function* filterRanges(
  ranges: readonly CaptureRange[],
  run: (range: CaptureRange) => RangeResult | Promise<RangeResult>,
  ahead = 4,
): AsyncGenerator<RangeResult, void, undefined> {
  const underWay: Promise<RangeResult>[] = [];
  const start = async (range: CaptureRange): Promise<RangeResult> => run(range);
  let next = 0;
  let packets = 0;
  for (let i = 0; i < ranges.length; i++) {
    while (next < ranges.length && next < i + ahead) {
      const promise = start(ranges[next++]!);
      promise.catch(() => {}); // an error is met when its turn comes
      underWay.push(promise);
    }
    const range = ranges[i]!;
    let result = await underWay.shift()!;
    if (result.damage !== undefined && i < ranges.length - 1) {
      result = await start({ ...range, end: ranges.at(-1)!.end });
      i = ranges.length;
    }
    yield renumbered(result, range.first === null ? packets : 0);
    packets += result.packets;
  }
}

/** A result whose numbers count from packet 1 of the file. */
function renumbered(result: RangeResult, packets: number): RangeResult {
  if (packets === 0) return result;
  const { picked, damage } = result;
  return {
    ...result,
    ...(picked === undefined ? {} : { picked: picked.map((number) => number + packets) }),
    ...(damage === undefined ? {} : { damage: { ...damage, packet: damage.packet + packets } }),
  };
}

/** Memory that chunks of a file are read into, where compiled filters read packets without a copy. */
export function chunkArena(): Arena {
  return createArena({ bytes: CHUNK, packets: 4096, lengths: true });
}

/** Cuts the captured bytes of every packet; lengths on the wire stay. */
export function cutBatch(batch: CaptureBatch, snaplen: number): void {
  for (let i = 0; i < batch.count; i++) batch.table[2 * i + 1] = Math.min(batch.table[2 * i + 1]!, snaplen);
}

/** Hands a batch whose packets lie in the arena's memory over to the arena; false when they lie elsewhere. */
export function inArena(arena: Arena, batch: CaptureBatch): boolean {
  if (batch.count > arena.packetCapacity) return false;
  const { bytes, table, lengths } = arena;
  if (batch.bytes.buffer !== bytes.buffer) return false;
  const shift = batch.bytes.byteOffset - bytes.byteOffset;
  const { count } = batch;
  const from = batch.table;
  for (let i = 0; i < 2 * count; i += 2) {
    table[i] = from[i]! + shift;
    table[i + 1] = from[i + 1]!;
  }
  lengths.set(count === batch.lengths.length ? batch.lengths : batch.lengths.subarray(0, count));
  arena.count = count;
  return true;
}

// --- reading a range --------------------------------------------------------------------------------------------

/** The packets of a range, as of a file that has the heads and then the range. */
function* rangeBatches(range: CaptureRange, arena: Arena): Generator<CaptureBatch> {
  const fd = openSync(range.file, "r");
  const headBytes = range.head.reduce((sum, [from, to]) => sum + to - from, 0);
  function* chunks(): Generator<Uint8Array> {
    for (const [from, to] of range.head) yield readFully(fd, from, to - from);
    for (let at = range.start; at < range.end; ) {
      const read = readSync(fd, arena.bytes, 0, Math.min(CHUNK, range.end - at), at);
      if (read === 0) return;
      yield arena.bytes.subarray(0, read);
      at += read;
    }
  }
  try {
    yield* readCaptureSync(chunks()).batches();
  } catch (error) {
    throw relocated(error, range.start - headBytes, (range.first ?? 1) - 1);
  } finally {
    closeSync(fd);
  }
}

/** An error about damage, with the place in the file instead of the place in what was read. */
function relocated(error: unknown, offset: number, packets: number): unknown {
  if (!(error instanceof BpfError) || error.code !== "bad-capture" || error.offset === undefined) return error;
  return damaged({ what: whatOf(error), offset: error.offset + offset, packet: (error.packet ?? 1) + packets });
}

function whatOf(error: BpfError): string {
  return error.message.replace(/^packet \d+, file offset \d+: /, "");
}

function damageOf(error: BpfError): NonNullable<RangeResult["damage"]> {
  return { what: whatOf(error), offset: error.offset ?? 0, packet: error.packet ?? 1 };
}

/** The error for damage that a range reported. */
export function damaged({ what, offset, packet }: NonNullable<RangeResult["damage"]>): BpfError {
  return new BpfError("bad-capture", `packet ${packet}, file offset ${offset}: ${what}`, { offset, packet });
}

function readFully(fd: number, from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let got = 0;
  while (got < length) {
    const read = readSync(fd, bytes, got, length - got, from + got);
    if (read === 0) break;
    got += read;
  }
  return bytes.subarray(0, got);
}

// --- cutting ----------------------------------------------------------------------------------------------------

interface Cut {
  readonly start: number;
  readonly head: CaptureRange["head"];
  readonly first: number | null;
}

const WHOLE: readonly Cut[] = [{ start: 0, head: [], first: 1 }];

function cutsOf(fd: number, size: number, bytes: number): readonly Cut[] {
  const start = readFully(fd, 0, PCAP_HEADER);
  if (start.length < PCAP_HEADER || isGzip(start) || size < 2 * bytes) return WHOLE;
  if (readU32BE(start, 0) === PCAPNG_SECTION) return walkBlocks(fd, size, bytes);
  const pcap = pcapOf(start);
  return pcap === undefined ? WHOLE : cutRecords(fd, size, bytes, pcap);
}

const PCAP_HEADER = 24;
const RECORD_HEADER = 16;
/** Bytes looked through for a record: a packet of the largest size, and the chain behind it. */
const SEARCH = 1 << 20;
/** Record headers in a row that make a cut believable. */
const CHAIN = 12;
/** Seconds between two neighbouring packets that are believable. */
const MOST_SECONDS = 86_400;
/** Captured bytes that are believable. */
const MOST_CAPTURED = 262_144;

interface Pcap {
  readonly readU32: (bytes: Uint8Array, at: number) => number;
  /** Fractions of a second in a second. */
  readonly fractions: number;
}

/** The parameters of a plain pcap file of version 2.4; undefined for its older and patched relatives. */
function pcapOf(header: Uint8Array): Pcap | undefined {
  for (const [readU16, readU32] of [
    [readU16LE, readU32LE],
    [readU16BE, readU32BE],
  ] as const) {
    const magic = readU32(header, 0);
    const fractions = magic === 0xa1b2c3d4 ? 1_000_000 : magic === 0xa1b23c4d ? 1_000_000_000 : 0;
    if (fractions > 0 && readU16(header, 4) === 2 && readU16(header, 6) === 4) return { readU32, fractions };
  }
  return undefined;
}

function cutRecords(fd: number, size: number, bytes: number, pcap: Pcap): Cut[] {
  const head = [[0, PCAP_HEADER]] as const;
  const cuts: Cut[] = [{ start: PCAP_HEADER, head, first: 1 }];
  for (let at = bytes; at < size - bytes / 2; at += bytes) {
    const window = readFully(fd, at, SEARCH);
    const found = findRecord(window, pcap, at + window.length === size);
    if (found >= 0) cuts.push({ start: at + found, head, first: null });
  }
  return cuts;
}

/** Where a chain of believable records begins, or -1. */
function findRecord(window: Uint8Array, pcap: Pcap, atEnd: boolean): number {
  for (let from = 0; from + RECORD_HEADER <= window.length; from++) {
    let at = from;
    let links = 0;
    let seconds = -1;
    while (links < CHAIN && at + RECORD_HEADER <= window.length) {
      const now = pcap.readU32(window, at);
      const captured = pcap.readU32(window, at + 8);
      const believable =
        captured > 0 &&
        captured <= MOST_CAPTURED &&
        pcap.readU32(window, at + 12) >= captured &&
        pcap.readU32(window, at + 4) < pcap.fractions &&
        (seconds < 0 || Math.abs(now - seconds) <= MOST_SECONDS);
      if (!believable) break;
      seconds = now;
      at += RECORD_HEADER + captured;
      links++;
    }
    if (links === CHAIN || (links > 0 && atEnd && at === window.length)) return from;
  }
  return -1;
}

const PCAPNG_SECTION = 0x0a0d0d0a;
const PCAPNG_INTERFACE = 1;
/** Packet blocks: obsolete, simple, enhanced. */
const PCAPNG_PACKETS: ReadonlySet<number> = new Set([2, 3, 6]);
const LITTLE_ENDIAN_MAGIC = 0x1a2b3c4d;

/** Cuts between blocks; the section header and the interfaces so far go in front of every range. */
function walkBlocks(fd: number, size: number, bytes: number): Cut[] {
  const cuts: Cut[] = [{ start: 0, head: [], first: 1 }];
  let head: (readonly [number, number])[] = [];
  let readU32 = readU32LE;
  let packets = 0;
  let chunk: Uint8Array = new Uint8Array(0);
  let chunkAt = 0;
  for (let at = 0; at + 12 <= size; ) {
    if (at < chunkAt || at + 12 > chunkAt + chunk.length) {
      chunk = readFully(fd, at, CHUNK);
      chunkAt = at;
      if (chunk.length < 12) break;
    }
    const i = at - chunkAt;
    const isSection = readU32BE(chunk, i) === PCAPNG_SECTION;
    if (isSection) readU32 = readU32LE(chunk, i + 8) === LITTLE_ENDIAN_MAGIC ? readU32LE : readU32BE;
    const type = readU32(chunk, i);
    const length = readU32(chunk, i + 4);
    if (length < 12 || length % 4 !== 0 || at + length > size) break; // damage: left to whoever reads it
    const last = cuts.at(-1)!.start;
    if (at - last >= bytes && size - at >= bytes / 2) {
      cuts.push({ start: at, head: isSection ? [] : [...head], first: packets + 1 });
    }
    if (isSection) head = [[at, at + length]];
    else if (type === PCAPNG_INTERFACE) head.push([at, at + length]);
    else if (PCAPNG_PACKETS.has(type)) packets++;
    at += length;
  }
  return cuts;
}
