/**
 * `cbpf run`: the main job.  A program, captures, and the packets that it picks.
 *
 * What does the work is loaded when threads have been started: a thread takes some fifty milliseconds to be ready.
 */
import type { Command } from "./command.ts";
import { fileSize } from "./file-size.ts";
import { EXPRESSION_OPTIONS, PROGRAM_OPTIONS } from "./program-options.ts";
import { RangePool } from "./shard-pool.ts";

/** Bytes of a range: some milliseconds of work, so that no thread waits long for another at the end. */
const RANGE = 16 << 20;

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
    const jobs = args.number("jobs", 1, 1024) ?? 1;
    // nobody wants the packets: this thread is one of those that filter
    const counts = args.flag("count") && args.text("write") === undefined;
    const ranges = Math.max(...args.positionals.slice(1).map((capture) => Math.floor(sizeOf(capture) / RANGE)));
    const wanted = Math.min(jobs, ranges);
    const pool = wanted > 1 ? new RangePool(counts ? wanted - 1 : wanted) : undefined;
    // a host that gives no thread has this one
    const threads = pool === undefined || pool.threads === 0 ? undefined : { pool, bytes: RANGE };
    try {
      const { filterCaptures } = await import("./filter-captures.ts");
      return await filterCaptures(args, terminal, counts, threads);
    } finally {
      await pool?.stop();
    }
  },
};

/** Bytes of a file; 0 for standard input and for what is none, which whoever reads it will say. */
function sizeOf(capture: string): number {
  return capture === "-" ? 0 : (fileSize(capture) ?? 0);
}
