/** `cbpf run`: the main job.  A program, captures, and the packets that it picks. */

import { realpathSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { BpfError } from "../base/errors.ts";
import type { CaptureBatch } from "../capture/batch.ts";
import type { CaptureWriter } from "../capture/write.ts";
import { pcapWriter } from "../capture/write-pcap.ts";
import { pcapngWriter } from "../capture/write-pcapng.ts";
import { linktypeName } from "../link/linktypes.ts";
import type { Filter } from "../program/engine.ts";
import type { Program } from "../vm/program.ts";
import { type EngineName, engineNamed } from "../vm/tiers.ts";
import { needsContext, withContexts } from "./capture-context.ts";
import { captureBatches } from "./capture-file.ts";
import { type Arguments, about, type Command, EXIT, UsageError } from "./command.ts";
import { EXPRESSION_OPTIONS } from "./filter-argument.ts";
import { packetLine, timeText } from "./packet-line.ts";
import { PROGRAM_OPTIONS, type ProgramSource, readProgramSource, refuseTwoStdins } from "./program-argument.ts";
import { RangePool } from "./shard-pool.ts";
import {
  type CaptureRange,
  chunkArena,
  cutBatch,
  damaged,
  filterRanges,
  inArena,
  type RangeResult,
  shardCapture,
} from "./shards.ts";
import { styled, type Terminal } from "./terminal.ts";

/** Milliseconds between progress lines. */
const PROGRESS_EVERY = 200;
/** Bytes collected before they are written. */
const WRITE_EVERY = 1 << 18;

export const command: Command = {
  usage: "[-w OUT] [--count] [--invert] [--snaplen N] [--json] [--jobs N] PROGRAM CAPTURE...",
  summary: "run a program over capture files and show, count or write the packets it picks",
  details:
    "CAPTURE is a pcap or pcapng file, gzip-compressed or not, or - for standard input.\n" +
    "OUT is written as pcapng when its name ends so, and as pcap otherwise; - is standard output.\n" +
    "With --jobs, standard input and compressed files still take one thread.\n" +
    "Exit status 0 when a packet was picked, 1 when none was.",
  options: {
    write: { type: "string", short: "w", value: "OUT", help: "write the picked packets to a capture file" },
    count: { type: "boolean", short: "c", help: "print only how many packets were picked" },
    invert: { type: "boolean", short: "v", help: "pick the packets with verdict 0" },
    jobs: { type: "string", short: "j", value: "N", help: "filter on N threads; the output is that of one" },
    engine: { type: "string", value: "NAME", help: "interpreter, js, wasm or auto (default)" },
    snaplen: { type: "string", value: "N", help: "cut packets to N bytes before the program sees them" },
    json: { type: "boolean", help: "print one JSON object a picked packet" },
    profile: { type: "string", value: "NAME", help: "whose rules the program must obey: linux (default) or libpcap" },
    ...PROGRAM_OPTIONS,
    ...EXPRESSION_OPTIONS,
  },
  positionals: [2, Number.POSITIVE_INFINITY],
  async run(args, terminal) {
    const [programArgument, ...captures] = args.positionals as [string, ...string[]];
    refuseTwoStdins(args.positionals);
    const source = await readProgramSource(programArgument, args, terminal);
    const sink = openSink(args, captures, terminal);
    const totals = { packets: 0, matched: 0 };
    let complete = false;
    try {
      for (const capture of captures) await runCapture(source, capture, sink, totals, args, terminal);
      complete = true;
    } finally {
      // What stands in front of damage counts, and is written, like everything else.
      await sink.close(complete);
      if (args.flag("count")) {
        await terminal.write(args.flag("json") ? `${JSON.stringify(totals)}\n` : `${totals.matched}\n`);
      }
    }
    return totals.matched > 0 ? EXIT.matched : EXIT.nothing;
  },
};

async function runCapture(
  source: ProgramSource,
  capture: string,
  sink: Sink,
  totals: { packets: number; matched: number },
  args: Arguments,
  terminal: Terminal,
): Promise<void> {
  const jobs = args.number("jobs", 1, 1024) ?? 1;
  const ranges =
    jobs > 1 && capture !== "-" && !source.dependsOnLinktype
      ? rangesOf(await source.forLinktype(0), capture, args)
      : [];
  if (ranges.length > 1) return runRanges(ranges, jobs, capture, sink, totals, args, terminal);
  const snaplen = args.number("snaplen", 0, 0x7fffffff);
  const picksZero = args.flag("invert");
  const counts = args.flag("count") && args.text("write") === undefined;
  let linktype = -1;
  let filter: Filter | undefined;
  let contexts = false;
  const arena = chunkArena();
  let verdicts = new Uint32Array(0);
  let shownAt = Date.now();
  for await (const batch of captureBatches(capture, terminal, () => arena.bytes)) {
    if (filter === undefined || (source.dependsOnLinktype && batch.linktype !== linktype)) {
      const program = await source.forLinktype(batch.linktype);
      filter = engineNamed(engineOf(args)).load(program.verified);
      contexts = needsContext(program.verified);
      ({ linktype } = batch);
    }
    sink.see?.(batch);
    if (snaplen !== undefined) cutBatch(batch, snaplen);
    const subject = contexts ? withContexts(batch) : inArena(arena, batch) ? arena : batch;
    totals.packets += batch.count;
    if (counts) {
      const here = filter.runBatch(subject);
      totals.matched += picksZero ? batch.count - here : here;
    } else {
      if (verdicts.length < batch.count) verdicts = new Uint32Array(batch.count);
      filter.runBatch(subject, verdicts);
      for (let i = 0; i < batch.count; i++) {
        if ((verdicts[i] === 0) !== picksZero) continue;
        totals.matched++;
        sink.take(batch, i, verdicts[i]!, capture);
      }
      await sink.flush(false);
    }
    if (Date.now() - shownAt > PROGRESS_EVERY) {
      shownAt = Date.now();
      terminal.progress(`${capture}: ${totals.packets} packets, ${totals.matched} picked`);
    }
  }
}

function engineOf(args: Arguments): EngineName {
  return args.choice("engine", ["interpreter", "js", "wasm", "auto"] as const) ?? "auto";
}

function rangesOf(program: Program, capture: string, args: Arguments): CaptureRange[] {
  const snaplen = args.number("snaplen", 0, 0x7fffffff);
  const common = {
    profile: program.profile,
    engine: engineOf(args),
    list: !args.flag("count") || args.text("write") !== undefined,
    invert: args.flag("invert"),
    ...(snaplen === undefined ? {} : { snaplen }),
  };
  return shardCapture(capture, { program: program.toJSON() }).map((range) => ({ ...range, ...common }));
}

/**
 * Ranges on several threads.  Counting needs their sums; otherwise this thread reads the file too, and gives the
 * packets that were picked to the sink, so that what comes out is what one thread would give.
 */
async function runRanges(
  ranges: readonly CaptureRange[],
  jobs: number,
  capture: string,
  sink: Sink,
  totals: { packets: number; matched: number },
  args: Arguments,
  terminal: Terminal,
): Promise<void> {
  const pool = new RangePool(Math.min(jobs, ranges.length));
  const results = filterRanges(ranges, (range) => pool.run(range), 2 * jobs);
  try {
    if (ranges[0]!.list !== true) {
      for await (const { packets, matched, damage } of results) {
        totals.packets += packets;
        totals.matched += matched;
        terminal.progress(`${capture}: ${totals.packets} packets, ${totals.matched} picked`);
        if (damage !== undefined) throw about(capture, damaged(damage));
      }
      return;
    }
    const snaplen = args.number("snaplen", 0, 0x7fffffff);
    let known = 0; // packets that the results so far speak about
    let picked: readonly number[] = [];
    let verdicts: readonly number[] = [];
    let at = 0;
    let damage: RangeResult["damage"];
    for await (const batch of captureBatches(capture, terminal)) {
      sink.see?.(batch);
      if (snaplen !== undefined) cutBatch(batch, snaplen);
      const behind = batch.firstNumber + batch.count;
      for (;;) {
        while (at < picked.length && picked[at]! < behind) {
          sink.take(batch, picked[at]! - batch.firstNumber, verdicts[at]!, capture);
          totals.matched++;
          at++;
        }
        if (known + 1 >= behind) break;
        const next = await results.next();
        if (next.done === true) break;
        known += next.value.packets;
        picked = next.value.picked!;
        verdicts = next.value.verdicts!;
        damage ??= next.value.damage;
        at = 0;
      }
      totals.packets += batch.count;
      await sink.flush(false);
    }
    // This thread has found the file sound; threads that did not judge all of it must not pass for an answer.
    if (damage !== undefined) throw about(capture, damaged(damage));
  } finally {
    await pool.stop();
  }
}

/** Where picked packets go. */
interface Sink {
  /** Told of every batch, whether packets of it are picked or not. */
  see?(batch: CaptureBatch): void;
  take(batch: CaptureBatch, i: number, verdict: number, capture: string): void;
  /** Writes what was collected; `all` or when it is much. */
  flush(all: boolean): Promise<void>;
  /** Writes the rest; `complete` when every capture was read to its end. */
  close(complete: boolean): Promise<void>;
}

function openSink(args: Arguments, captures: readonly string[], terminal: Terminal): Sink {
  const out = args.text("write");
  if (out !== undefined) {
    if (args.flag("json") || (args.flag("count") && out === "-"))
      throw new UsageError("-w goes with neither --json nor --count to standard output");
    return fileSink(out, captures, terminal);
  }
  if (args.flag("count")) return { take() {}, async flush() {}, async close() {} };
  return textSink(
    args.flag("json") ? jsonLine : (batch, i, verdict) => listLine(terminal, batch, i, verdict),
    terminal,
  );
}

type Line = (batch: CaptureBatch, i: number, verdict: number, capture: string) => string;

function textSink(line: Line, terminal: Terminal): Sink {
  let text = "";
  const flush = async (all: boolean): Promise<void> => {
    if (text === "" || (!all && text.length < WRITE_EVERY)) return;
    const data = text;
    text = "";
    await terminal.write(data);
  };
  return {
    take(...packet) {
      text += line(...packet);
    },
    flush,
    close: () => flush(true),
  };
}

function jsonLine(batch: CaptureBatch, i: number, verdict: number, capture: string): string {
  const row = {
    file: capture,
    number: batch.firstNumber + i,
    timestamp: batch.timestamp(i).toString(),
    captured: batch.table[2 * i + 1],
    length: batch.lengths[i],
    interface: batch.interfaceIds[i],
    linktype: linktypeName(batch.linktype),
    verdict,
  };
  return `${JSON.stringify(row)}\n`;
}

function listLine(terminal: Terminal, batch: CaptureBatch, i: number, verdict: number): string {
  const number = String(batch.firstNumber + i).padStart(7);
  const length = `${batch.lengths[i]}`.padStart(6);
  const summary = packetLine(batch.data(i), batch.linktype);
  return `${styled(terminal, "dim", number)}  ${timeText(batch.timestamp(i))} ${length} bytes  ${summary}${verdict === 0 ? "  (verdict 0)" : ""}\n`;
}

/**
 * A capture file.  It is opened when there is something to write, or when everything was read: a capture that cannot be
 * read leaves an older file of that name as it is.
 */
function fileSink(out: string, captures: readonly string[], terminal: Terminal): Sink {
  if (out !== "-" && captures.some((capture) => sameFile(capture, out))) {
    throw new UsageError(`-w ${out} would overwrite a capture that is read`);
  }
  let file: FileHandle | undefined;
  const target = out.endsWith(".pcapng") ? pcapngTarget() : pcapTarget(out);
  let seen = false;
  const flush = async (all: boolean): Promise<void> => {
    if (!all && target.pending() < WRITE_EVERY) return;
    const bytes = target.take();
    if (bytes.length === 0) return;
    if (out === "-") return terminal.write(bytes);
    try {
      file ??= await open(out, "w");
      await file.writeFile(bytes); // at the file's position; write() may write less than it is given
    } catch (error) {
      throw about(out, error);
    }
  };
  return {
    see(batch) {
      seen = true;
      target.see(batch);
    },
    take: (batch, i) => target.write(batch, i),
    flush,
    async close(complete) {
      try {
        if (complete || seen) await flush(true);
      } finally {
        await file?.close();
      }
    },
  };
}

interface Target {
  /** Told of every batch: a file without packets has the link type of what was read. */
  see(batch: CaptureBatch): void;
  write(batch: CaptureBatch, i: number): void;
  pending(): number;
  take(): Uint8Array;
}

/** One link type, microseconds or, when the first interface has finer times, nanoseconds. */
function pcapTarget(out: string): Target {
  let writer: CaptureWriter | undefined;
  let linktype: number | undefined;
  return {
    see(batch) {
      linktype ??= batch.linktype;
    },
    write(batch, i) {
      if (writer === undefined) {
        ({ linktype } = batch);
        const { timestampResolution } = batch.interfaces[batch.interfaceIds[i]!]!;
        writer = pcapWriter({ linktype, timestampUnit: timestampResolution === 6 ? "us" : "ns" });
      }
      if (batch.linktype !== linktype) {
        throw new BpfError(
          "unsupported",
          `${out}: a pcap file holds one link type, and there are ${linktypeName(linktype!)} and ` +
            `${linktypeName(batch.linktype)}; write a file named *.pcapng`,
        );
      }
      const { data, originalLength, timestamp } = batch.packet(i);
      writer.write({ data, originalLength, timestamp });
    },
    pending: () => writer?.pending ?? 0,
    take() {
      writer ??= pcapWriter({ linktype: linktype ?? 1 });
      return writer.take();
    },
  };
}

/** Every interface that was read gets one of its own. */
function pcapngTarget(): Target {
  const writer = pcapngWriter();
  const numbers = new Map<unknown, number>();
  return {
    see() {},
    write(batch, i) {
      const packet = batch.packet(i);
      let interfaceId = numbers.get(packet.interface);
      if (interfaceId === undefined) {
        interfaceId = writer.addInterface(packet.interface);
        numbers.set(packet.interface, interfaceId);
      }
      const { data, originalLength, timestamp } = packet;
      writer.write({ data, originalLength, timestamp, interfaceId });
    },
    pending: () => writer.pending,
    take: () => writer.take(),
  };
}

function sameFile(a: string, b: string): boolean {
  try {
    return realpathSync(a) === realpathSync(b);
  } catch {
    return false;
  }
}
