/**
 * Where a capture file can be cut into ranges.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { readU16BE, readU16LE, readU32BE, readU32LE } from "../base/bytes.ts";
import { LINE, READ_BYTES } from "../capture/into-memory.ts";
import { MAXIMUM_INTERFACES } from "../capture/limits.ts";
import { LINKTYPE_BITS, PCAP_MAGIC } from "../capture/pcap.ts";
import { BLOCK, BYTE_ORDER_MAGIC, SMALLEST_BLOCK } from "../capture/pcapng.ts";
import { isGzip } from "../capture/scanner.ts";
import { captureMemory } from "./capture-memory.ts";

/** A stretch of whole records. */
export interface FileRange {
  /** Bytes of the file, `end` not included. */
  readonly start: number;
  readonly end: number;
  /** Number of the first packet, from 1; null where the packets in front are not counted: numbers then start at 1. */
  readonly first: number | null;
  /** Pieces of the file, as [start, end], that say what the packets are and belong in front of the range. */
  readonly head: readonly (readonly [start: number, end: number])[];
}

export interface Cuts {
  /** In file order, and together all of the file but the first one's head. */
  readonly ranges: readonly FileRange[];
  /** LINKTYPE_* numbers of the interfaces; empty for a file that is not cut. */
  readonly linktypes: ReadonlySet<number>;
}

type Cut = Omit<FileRange, "end">;
type ReadNumber = (bytes: Uint8Array, at: number) => number;

const LITTLE_ENDIAN = { readU16: readU16LE, readU32: readU32LE };
const BIG_ENDIAN = { readU16: readU16BE, readU32: readU32BE };

/** Cuts a file about every `bytes` bytes; one that cannot be cut, or is shorter than two ranges, is one range. */
export function cutCapture(path: string, bytes: number): Cuts {
  const { size, cuts, linktypes } = statSync(path).isFile() ? cutsOf(path, bytes) : notCut(0);
  return { ranges: cuts.map((cut, i): FileRange => ({ ...cut, end: cuts[i + 1]?.start ?? size })), linktypes };
}

interface Found {
  /** Bytes of the file. */
  readonly size: number;
  readonly cuts: readonly Cut[];
  readonly linktypes: ReadonlySet<number>;
}

function notCut(size: number): Found {
  return { size, cuts: [{ start: 0, head: [], first: 1 }], linktypes: new Set() };
}

function cutsOf(path: string, bytes: number): Found {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    const reader = new Reader(fd);
    const start = reader.at(0, PCAP_HEADER);
    if (start.length < PCAP_HEADER || isGzip(start) || size < 2 * bytes) return notCut(size);
    if (readU32BE(start, 0) === BLOCK.sectionHeader) return walkBlocks(reader, size, bytes);
    const pcap = pcapOf(start);
    return pcap === undefined ? notCut(size) : cutRecords(reader, size, bytes, pcap);
  } finally {
    closeSync(fd);
  }
}

/** The bytes of a file from any offset on; they hold until the next call. */
class Reader {
  readonly #fd: number;
  readonly #memory = captureMemory(LINE + SEARCH).bytes;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** At most `length` bytes, up to {@link SEARCH}. */
  at(offset: number, length: number): Uint8Array {
    const skew = offset % LINE; // see LINE
    const bytes = this.#memory.subarray(skew, skew + length);
    let got = 0;
    while (got < length) {
      const read = readSync(this.#fd, bytes, got, length - got, offset + got);
      if (read === 0) break;
      got += read;
    }
    return bytes.subarray(0, got);
  }
}

const PCAP_HEADER = 24;
const RECORD_HEADER = 16;
/** Bytes looked through for a record: a packet of the largest size, and the chain behind it. */
const SEARCH = 1 << 20;
/** Bytes that are nearly always enough. */
const FIRST_SEARCH = 1 << 15;
/** Searches in a row that may fail: each takes as long as the packets of some MiB. */
const MOST_FAILURES = 4;
/** Record headers in a row that make a cut believable. */
const CHAIN = 12;
/** Seconds between two neighbouring packets that are believable. */
const MOST_SECONDS = 86_400;
/**
 * Seconds between a packet and the file's first that are believable: ten years.  Where headers are read four bytes too
 * late, as the chain of packets that were captured whole allows, fractions of a second stand for seconds.
 */
const MOST_YEARS = 315_360_000;
/** Bytes of a packet that are believable, captured and on the wire. */
const MOST_CAPTURED = 262_144;
const MOST_ORIGINAL = 1 << 20;

interface Pcap {
  readonly readU32: ReadNumber;
  /** Fractions of a second in a second. */
  readonly fractions: number;
  readonly linktype: number;
}

/** The parameters of a plain pcap file of version 2.4; undefined for its older and patched relatives. */
function pcapOf(header: Uint8Array): Pcap | undefined {
  for (const { readU16, readU32 } of [LITTLE_ENDIAN, BIG_ENDIAN]) {
    const magic = readU32(header, 0);
    const fractions =
      magic === PCAP_MAGIC.microseconds ? 1_000_000 : magic === PCAP_MAGIC.nanoseconds ? 1_000_000_000 : 0;
    if (fractions > 0 && readU16(header, 4) === 2 && readU16(header, 6) === 4) {
      return { readU32, fractions, linktype: readU32(header, 20) & LINKTYPE_BITS };
    }
  }
  return undefined;
}

function cutRecords(reader: Reader, size: number, bytes: number, pcap: Pcap): Found {
  const head = [[0, PCAP_HEADER]] as const;
  const cuts: Cut[] = [{ start: PCAP_HEADER, head, first: 1 }];
  const firstSeconds = pcap.readU32(reader.at(PCAP_HEADER, RECORD_HEADER), 0);
  let failures = 0;
  for (let at = bytes; at < size - bytes / 2 && failures < MOST_FAILURES; at += bytes) {
    if (at <= cuts.at(-1)!.start) continue;
    let found = -1;
    for (const length of [FIRST_SEARCH, SEARCH]) {
      const window = reader.at(at, length);
      found = findRecord(window, pcap, firstSeconds, at + window.length === size);
      if (found >= 0) break;
    }
    failures = found < 0 ? failures + 1 : 0;
    if (found >= 0) cuts.push({ start: at + found, head, first: null });
  }
  return { size, cuts, linktypes: new Set([pcap.linktype]) };
}

/** Where a chain of believable records begins, or -1. */
function findRecord(window: Uint8Array, { readU32, fractions }: Pcap, firstSeconds: number, atEnd: boolean): number {
  for (let from = 0; from + RECORD_HEADER <= window.length; from++) {
    let at = from;
    let links = 0;
    let seconds = -1;
    while (links < CHAIN && at + RECORD_HEADER <= window.length) {
      const captured = readU32(window, at + 8); // first: nearly every wrong place is found out by it
      if (captured === 0 || captured > MOST_CAPTURED) break;
      const now = readU32(window, at);
      const original = readU32(window, at + 12);
      const believable =
        original >= captured &&
        original <= MOST_ORIGINAL &&
        readU32(window, at + 4) < fractions &&
        Math.abs(now - firstSeconds) <= MOST_YEARS &&
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

const PACKET_BLOCKS: ReadonlySet<number> = new Set([BLOCK.packet, BLOCK.simplePacket, BLOCK.enhancedPacket]);

/** Cuts between blocks; the section header and the interfaces so far go in front of every range. */
function walkBlocks(reader: Reader, size: number, bytes: number): Found {
  const cuts: Cut[] = [{ start: 0, head: [], first: 1 }];
  const linktypes = new Set<number>();
  let head: (readonly [number, number])[] = [];
  let interfaces = 0;
  let { readU16, readU32 } = LITTLE_ENDIAN;
  let packets = 0;
  let chunk: Uint8Array = new Uint8Array(0);
  let chunkAt = 0;
  for (let at = 0; at + SMALLEST_BLOCK <= size; ) {
    if (at < chunkAt || at + SMALLEST_BLOCK > chunkAt + chunk.length) {
      chunk = reader.at(at, READ_BYTES);
      chunkAt = at;
      if (chunk.length < SMALLEST_BLOCK) break;
    }
    const i = at - chunkAt;
    const isSection = readU32BE(chunk, i) === BLOCK.sectionHeader;
    if (isSection) {
      ({ readU16, readU32 } = readU32LE(chunk, i + 8) === BYTE_ORDER_MAGIC ? LITTLE_ENDIAN : BIG_ENDIAN);
    }
    const type = readU32(chunk, i);
    const length = readU32(chunk, i + 4);
    if (length < SMALLEST_BLOCK || length % 4 !== 0 || at + length > size) break; // damage: left to whoever reads it
    const last = cuts.at(-1)!.start;
    if (at - last >= bytes && size - at >= bytes / 2) {
      cuts.push({ start: at, head: isSection ? [] : [...head], first: packets + 1 });
    }
    if (isSection) {
      head = [[at, at + length]];
      interfaces = 0;
    } else if (type === BLOCK.interfaceDescription) {
      if (++interfaces > MAXIMUM_INTERFACES) break; // damage, too
      const [from, to] = head.at(-1)!;
      if (to === at) head[head.length - 1] = [from, at + length];
      else head.push([at, at + length]);
      linktypes.add(readU16(chunk, i + 8));
    } else if (PACKET_BLOCKS.has(type)) packets++;
    at += length;
  }
  return { size, cuts, linktypes };
}
