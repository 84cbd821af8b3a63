/**
 * Large captures in pieces: cutting a file into ranges, and running a program over one of them.
 *
 * A range is plain JSON, so any queue or pool can carry it, and `filterRange` needs nothing but the file.  A pcapng
 * file is cut by walking its blocks.  A pcap file has nothing to walk by but the records themselves, so a cut is
 * looked for where a chain of believable record headers begins; that it was right is proved when the range in front
 * of it ends there to the byte.  {@link filterRange} says so by reporting no damage, and whoever joins ranges reads
 * on from the range that reports any.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { BpfError } from "../base/errors.ts";
import { CaptureBatch } from "../capture/batch.ts";
import { PAGE, readInto } from "../capture/into-memory.ts";
import { Scanner } from "../capture/scanner.ts";
import type { ProfileName } from "../program/engine.ts";
import { verify } from "../verify/verify.ts";
import { captureMemory } from "./capture-memory.ts";
import { cutCapture, type FileRange } from "./cuts.ts";
import { Picker, type PickerOptions } from "./picker.ts";

/** One unit of work. */
export interface CaptureRange extends FileRange, PickerOptions {
  readonly file: string;
  /** [[code, jt, jf, k], ...], what JSON makes of a Program. */
  readonly program: readonly (readonly [code: number, jt: number, jf: number, k: number])[];
  /** Whose rules the program obeys; default "linux". */
  readonly profile?: ProfileName;
  /** Wants the numbers of the picked packets, not only how many there are. */
  readonly list?: boolean;
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

/** Bytes of a range unless somebody says otherwise. */
const DEFAULT_RANGE = 32 << 20;

/**
 * The ranges of a capture file, in file order; together they are all of it.  A file that cannot be cut (compressed,
 * of an old format, shorter than two ranges, or no capture at all) is one range.
 *
 * @throws {BpfError} `bad-argument` for a range size that is no whole number from 1 up; what `node:fs` throws for a file that cannot be read.
 */
export function shardCapture(file: string, { program, bytes = DEFAULT_RANGE }: ShardOptions): CaptureRange[] {
  if (!Number.isInteger(bytes) || bytes < 1)
    throw new BpfError("bad-argument", `${bytes} bytes are no size of a range`);
  return cutCapture(file, bytes).ranges.map((range): CaptureRange => ({ file, ...range, program }));
}

/**
 * Runs a range's program over its packets.
 *
 * @throws {BpfError} `invalid-program`; what `node:fs` throws.  Damage in the file is part of the result.
 */
export function filterRange(range: CaptureRange): RangeResult {
  return rangeFilter()(range);
}

/** A {@link filterRange} for many ranges: what several of them have in common is made once. */
export function rangeFilter(): (range: CaptureRange) => RangeResult {
  const memory = captureMemory();
  const batch = new CaptureBatch(memory.table.length / 2, memory);
  let key = "";
  let picker: Picker;
  return (range) => {
    const { program, profile = "linux", engine, snaplen, invert } = range;
    const wanted = JSON.stringify([program, profile, engine, snaplen, invert]);
    if (wanted !== key) picker = new Picker(verify(program, { profile }), { engine, snaplen, invert });
    key = wanted;
    return pickFrom(range, picker, batch);
  };
}

function pickFrom(range: CaptureRange, picker: Picker, into: CaptureBatch): RangeResult {
  const first = range.first ?? 1;
  const picked: number[] = [];
  const verdicts: number[] = [];
  let packets = 0;
  let matched = 0;
  let damage: RangeResult["damage"];
  try {
    for (const batch of rangeBatches(range, into)) {
      matched += range.list
        ? picker.pick(batch, (i, verdict) => {
            picked.push(first + packets + i);
            verdicts.push(verdict);
          })
        : picker.count(batch);
      packets += batch.count;
    }
  } catch (error) {
    if (!(error instanceof BpfError) || error.code !== "bad-capture") throw error;
    damage = damageOf(error);
  }
  return {
    packets,
    matched,
    ...(range.list ? { picked, verdicts } : {}),
    ...(damage === undefined ? {} : { damage }),
  };
}

/**
 * Results of the ranges of one file, in order, from whatever runs ranges: a pool of threads, a queue, other machines.
 * Packet numbers in them count from packet 1 of the file.
 *
 * At most `ahead` ranges are under way, so memory does not grow with the file.  A range that reports damage is run
 * again in one piece with the next, in case the cut between them was wrong; when that was not it, with all that
 * follows: the file is damaged then, and the last result has `damage`.
 *
 * @param run    Gives the result of a range, as {@link filterRange} does.
 * @param ahead  From 1.
 * @throws {BpfError} `bad-argument` for another `ahead`; what `run` throws.
 */
export async function* filterRanges(
  ranges: readonly CaptureRange[],
  run: (range: CaptureRange) => RangeResult | Promise<RangeResult>,
  ahead = 4,
): AsyncGenerator<RangeResult, void, undefined> {
  if (!(ahead >= 1)) throw new BpfError("bad-argument", `${ahead} ranges under way are none`);
  const underWay = new Map<number, Promise<RangeResult>>();
  const start = async (range: CaptureRange): Promise<RangeResult> => run(range);
  const last = ranges.length - 1;
  let started = 0;
  let packets = 0;
  for (let i = 0; i <= last; i++) {
    for (started = Math.max(started, i); started <= last && started < i + ahead; started++) {
      const promise = start(ranges[started]!);
      promise.catch(() => {}); // an error is met when its turn comes
      underWay.set(started, promise);
    }
    const range = ranges[i]!;
    let result = await underWay.get(i)!;
    for (const through of [i + 1, last]) {
      if (result.damage === undefined || i === last) break;
      for (; i < through; i++) underWay.delete(i);
      result = await start({ ...range, end: ranges[i]!.end });
    }
    underWay.delete(i);
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

// --- reading a range --------------------------------------------------------------------------------------------

/** The packets of a range, as of a file that has the heads and then the range. */
function* rangeBatches({ file, head, start, end, first }: CaptureRange, into: CaptureBatch): Generator<CaptureBatch> {
  const fd = openSync(file, "r");
  const pieces = [...head, [start, end] as const];
  let piece = 0;
  let at = pieces[0]![0];
  const read = (target: Uint8Array): number => {
    while (at === pieces[piece]![1]) {
      if (++piece === pieces.length) return 0;
      at = pieces[piece]![0];
    }
    // to the end of a page first, so that all that follows is read from the start of one: see into-memory.ts
    const most = at % PAGE === 0 ? target.length : PAGE - (at % PAGE);
    const got = readSync(fd, target, 0, Math.min(target.length, pieces[piece]![1] - at, most), at);
    at += got;
    return got;
  };
  try {
    yield* readInto(new Scanner(into), { into: into.memory!, read });
  } catch (error) {
    const headBytes = head.reduce((sum, [from, to]) => sum + to - from, 0);
    throw relocated(error, start - headBytes, (first ?? 1) - 1);
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
