/** `cbpf run`: the main job.  A program, captures, and the packets that it picks. */

import { captureBatches } from "./capture-file.ts";
import { type Arguments, about, type Command, EXIT } from "./command.ts";
import { type Cuts, cutCapture } from "./cuts.ts";
import { EXPRESSION_OPTIONS } from "./filter-argument.ts";
import { Picker, type PickerOptions } from "./picker.ts";
import { PROGRAM_OPTIONS, type ProgramSource, readProgramSource, refuseTwoStdins } from "./program-argument.ts";
import { type CaptureRange, damaged, filterRanges, type RangeResult } from "./shards.ts";
import { openSink, type Sink } from "./sinks.ts";
import type { Terminal } from "./terminal.ts";

/** Milliseconds between progress lines. */
const PROGRESS_EVERY = 200;
/** Bytes of a range: some milliseconds of work, so that no thread waits long for another at the end. */
const RANGE = 16 << 20;
/** Ranges under way for each thread. */
const AHEAD = 8;

export const command: Command = {
  usage: "[-w OUT] [--count] [--invert] [--snaplen N] [--json] [--jobs N] PROGRAM CAPTURE...",
  summary: "run a program over capture files and show, count or write the packets it picks",
  details:
    "CAPTURE is a pcap or pcapng file, gzip-compressed or not, or - for standard input.\n" +
    "OUT is written as pcapng when its name ends so, and as pcap otherwise; - is standard output.\n" +
    "With --jobs, standard input, compressed files, and an expression over several link types take one thread.\n" +
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
    const jobs = args.number("jobs", 1, 1024) ?? 1;
    const options = pickerOptions(args);
    const source = await readProgramSource(programArgument, args, terminal);
    const sink = openSink(args, captures, terminal);
    const totals = { packets: 0, matched: 0 };
    const job: Job = { source, options, counts: countsOnly(args), sink, totals, terminal };
    let complete = false;
    try {
      for (const capture of captures) await runCapture(job, capture, jobs);
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

/** What one call does to all of its captures. */
interface Job {
  readonly source: ProgramSource;
  readonly options: PickerOptions;
  /** Nobody wants the packets. */
  readonly counts: boolean;
  readonly sink: Sink;
  readonly totals: { packets: number; matched: number };
  readonly terminal: Terminal;
}

type Results = AsyncGenerator<RangeResult, void, undefined>;

function pickerOptions(args: Arguments): PickerOptions {
  return {
    engine: args.choice("engine", ["interpreter", "js", "wasm", "auto"] as const),
    snaplen: args.number("snaplen", 0, 0x7fffffff),
    invert: args.flag("invert"),
  };
}

function countsOnly(args: Arguments): boolean {
  return args.flag("count") && args.text("write") === undefined;
}

async function runCapture(job: Job, capture: string, jobs: number): Promise<void> {
  const { source, options, counts, sink, totals, terminal } = job;
  if (jobs > 1 && capture !== "-") {
    const cuts = cutCapture(capture, RANGE);
    const oneProgram = !source.dependsOnLinktype || cuts.linktypes.size === 1;
    if (cuts.ranges.length > 1 && oneProgram) return runRanges(job, capture, cuts, jobs);
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
async function runRanges(job: Job, capture: string, cuts: Cuts, jobs: number): Promise<void> {
  const { source, options, counts } = job;
  const { RangePool } = await import("./shard-pool.ts");
  const pool = new RangePool(Math.min(jobs, cuts.ranges.length), counts);
  try {
    // the threads start while the program is compiled
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
    const results = filterRanges(ranges, (range) => pool.run(range), AHEAD * jobs);
    if (counts) await countRanges(job, capture, results);
    else await takeRanges(job, capture, results);
  } finally {
    await pool.stop();
  }
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
}
