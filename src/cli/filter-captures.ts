/**
 * What `cbpf run` does with its captures, one after the other, on one thread or several.
 */
import { captureBatches } from "./capture-file.ts";
import { type Arguments, about, EXIT } from "./command.ts";
import { type Cuts, cutCapture } from "./cuts.ts";
import { fileSize } from "./file-size.ts";
import { Picker, type PickerOptions } from "./picker.ts";
import { type ProgramSource, readProgramSource, refuseTwoStdins } from "./program-argument.ts";
import type { RangePool } from "./shard-pool.ts";
import { type CaptureRange, damaged, filterRanges, type RangeResult, rangeFilter } from "./shards.ts";
import { openSink, type Sink } from "./sinks.ts";
import type { Terminal } from "./terminal.ts";

/** Milliseconds between progress lines. */
const PROGRESS_EVERY = 200;
/** Ranges under way for each thread: counts are small, lists of packets are not, and wait for this thread to read the file. */
const AHEAD = { counts: 8, lists: 3 };

/** Threads that filter ranges. */
export interface Threads {
  readonly pool: RangePool;
  /** Bytes of a range. */
  readonly bytes: number;
}

/**
 * Runs the command; returns its exit status.
 *
 * @param counts  Nobody wants the packets.
 */
export async function filterCaptures(
  args: Arguments,
  terminal: Terminal,
  counts: boolean,
  threads: Threads | undefined,
): Promise<number> {
  const [programArgument, ...captures] = args.positionals as [string, ...string[]];
  refuseTwoStdins(args.positionals);
  const options = pickerOptions(args);
  const source = await readProgramSource(programArgument, args, terminal);
  const sink = openSink(args, captures, terminal);
  const totals = { packets: 0, matched: 0 };
  const job: Job = { source, options, counts, sink, totals, terminal, threads };
  if (counts) threads?.pool.join(rangeFilter());
  let complete = false;
  try {
    for (const capture of captures) await runCapture(job, capture);
    complete = true;
  } finally {
    // What stands in front of damage counts, and is written, like everything else.
    await sink.close(complete);
    if (args.flag("count")) {
      await terminal.write(args.flag("json") ? `${JSON.stringify(totals)}\n` : `${totals.matched}\n`);
    }
  }
  return totals.matched > 0 ? EXIT.matched : EXIT.nothing;
}

/** What one call does to all of its captures. */
interface Job {
  readonly source: ProgramSource;
  readonly options: PickerOptions;
  /** Nobody wants the packets. */
  readonly counts: boolean;
  readonly sink: Sink;
  readonly totals: { packets: number; matched: number };
  readonly terminal: Terminal;
  readonly threads: Threads | undefined;
}

type Results = AsyncGenerator<RangeResult, void, undefined>;

function pickerOptions(args: Arguments): PickerOptions {
  return {
    engine: args.choice("engine", ["interpreter", "js", "wasm", "auto"] as const),
    snaplen: args.number("snaplen", 0, 0x7fffffff),
    invert: args.flag("invert"),
  };
}

async function runCapture(job: Job, capture: string): Promise<void> {
  const { source, options, counts, sink, totals, terminal, threads } = job;
  // that a file is not there is said by whoever reads it, as with one thread
  if (threads !== undefined && capture !== "-" && fileSize(capture) !== undefined) {
    const cuts = cutCapture(capture, threads.bytes);
    const oneProgram = !source.dependsOnLinktype || cuts.linktypes.size === 1;
    if (cuts.ranges.length > 1 && oneProgram) return runRanges(job, capture, cuts, threads.pool);
  }
  const pickers = new Map<number, Picker>();
  let shownAt = Date.now();
  for await (const batch of captureBatches(capture, terminal)) {
    const linktype = source.dependsOnLinktype ? batch.linktype : -1;
    let picker = pickers.get(linktype);
    if (picker === undefined) {
      picker = new Picker((await source.forLinktype(linktype)).verified, options);
      pickers.set(linktype, picker);
    }
    sink.see?.(batch);
    totals.packets += batch.count;
    if (counts) totals.matched += picker.count(batch);
    else {
      totals.matched += picker.pick(batch, (i, verdict) => sink.take(batch, i, verdict, capture));
      await sink.flush(false);
    }
    if (Date.now() - shownAt > PROGRESS_EVERY) {
      shownAt = Date.now();
      terminal.progress(`${capture}: ${totals.packets} packets, ${totals.matched} picked`);
    }
  }
}

/** A capture's ranges on several threads; what comes out is what one thread would give. */
async function runRanges(job: Job, capture: string, cuts: Cuts, pool: RangePool): Promise<void> {
  const { source, options, counts } = job;
  const [linktype = 0] = cuts.linktypes;
  const program = await source.forLinktype(linktype);
  const ranges = cuts.ranges.map((range): CaptureRange => {
    return {
      ...range,
      ...options,
      file: capture,
      program: program.toJSON(),
      profile: program.profile,
      list: !counts,
    };
  });
  const results = filterRanges(ranges, (range) => pool.run(range), AHEAD[counts ? "counts" : "lists"] * pool.threads);
  if (counts) await countRanges(job, capture, results);
  else await takeRanges(job, capture, results);
}

async function countRanges({ totals, terminal }: Job, capture: string, results: Results): Promise<void> {
  for await (const { packets, matched, damage } of results) {
    totals.packets += packets;
    totals.matched += matched;
    terminal.progress(`${capture}: ${totals.packets} packets, ${totals.matched} picked`);
    if (damage !== undefined) throw about(capture, damaged(damage));
  }
}

/** This thread reads the file too, and gives the packets that were picked to the sink. */
async function takeRanges({ options, sink, totals, terminal }: Job, capture: string, results: Results): Promise<void> {
  let known = 0; // packets that the results so far speak about
  let picked: readonly number[] = [];
  let verdicts: readonly number[] = [];
  let at = 0;
  let damage: RangeResult["damage"];
  let over = false;
  for await (const batch of captureBatches(capture, terminal)) {
    sink.see?.(batch);
    if (options.snaplen !== undefined) batch.cut(options.snaplen);
    const behind = batch.firstNumber + batch.count;
    for (;;) {
      while (at < picked.length && picked[at]! < behind) {
        sink.take(batch, picked[at]! - batch.firstNumber, verdicts[at]!, capture);
        totals.matched++;
        at++;
      }
      if (known >= behind) break;
      const next = await results.next();
      over = next.done === true;
      if (next.done === true) break;
      known += next.value.packets;
      picked = next.value.picked!;
      verdicts = next.value.verdicts!;
      damage ??= next.value.damage;
      at = 0;
    }
    totals.packets += Math.min(batch.count, known + 1 - batch.firstNumber);
    await sink.flush(false);
    if (over) break; // what the file has grown by since it was cut is not looked at
  }
  // When this thread has found the file sound, threads that did not judge all of it must not pass for an answer.
  if (damage !== undefined) throw about(capture, damaged(damage));
}
