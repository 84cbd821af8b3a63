/** `cbpf capture`: the packets of an interface that a program picks in the kernel. */
import { type FileHandle, open } from "node:fs/promises";
import { BpfError } from "../base/errors.ts";
import type { CaptureWriter } from "../capture/write.ts";
import { pcapWriter } from "../capture/write-pcap.ts";
import { pcapngWriter } from "../capture/write-pcapng.ts";
import type { FilterProgram } from "../kernel/attach.ts";
import { type CaptureOptions, capture, interfaceLinktype, type LiveCapture } from "../kernel/capture.ts";
import type { LiveBatch } from "../kernel/live-batch.ts";
import { type Arguments, type Command, EXIT, UsageError } from "./command.ts";
import { packetLine, timeText } from "./packet-line.ts";
import { readProgram } from "./program-argument.ts";
import { EXPRESSION_OPTIONS, PROGRAM_OPTIONS } from "./program-options.ts";
import { styled, type Terminal } from "./terminal.ts";

/** Milliseconds between progress lines. */
const PROGRESS_EVERY = 200;

export const command: Command = {
  usage: "-i INTERFACE [-w OUT] [-c N] [--stats] [PROGRAM|EXPRESSION]",
  summary: "capture on an interface, filtered in the kernel",
  details:
    "Without a program every packet is captured.  Ctrl-C ends the capture.  Needs CAP_NET_RAW and the native addon.\n" +
    "OUT is written as pcapng when its name ends so, and as pcap otherwise; - is standard output.\n" +
    "Exit status 0 when a packet was captured, 1 when none was.",
  options: {
    interface: { type: "string", short: "i", value: "NAME", help: "interface to capture on" },
    write: { type: "string", short: "w", value: "OUT", help: "write the packets to a capture file" },
    count: { type: "string", short: "c", value: "N", help: "end after N packets" },
    stats: { type: "boolean", help: "say on standard error how many packets were received and lost" },
    immediate: { type: "boolean", help: "hand packets over one by one as they come: less delay, more work" },
    snaplen: { type: "string", short: "s", value: "N", help: "keep N bytes of a packet at most, default 262144" },
    promiscuous: { type: "boolean", short: "p", help: "put the interface into promiscuous mode" },
    incoming: { type: "boolean", help: "leave out packets that this machine sends" },
    buffer: { type: "string", short: "B", value: "KIB", help: "kernel memory for packets, default 16384 KiB" },
    ...PROGRAM_OPTIONS,
    ...EXPRESSION_OPTIONS,
  },
  positionals: [0, 1],
  async run(args, terminal) {
    const most = args.number("count", 1, Number.MAX_SAFE_INTEGER) ?? Number.POSITIVE_INFINITY;
    const live = capture(await optionsFrom(args, terminal));
    const end = (): void => live.close();
    process.once("SIGINT", end).once("SIGTERM", end);
    let count = 0;
    try {
      const sink = await openSink(args.text("write"), live, terminal);
      try {
        count = await run(live, most, sink, terminal);
      } finally {
        await sink.close();
      }
    } finally {
      process.off("SIGINT", end).off("SIGTERM", end);
      await live[Symbol.asyncDispose]();
    }
    if (args.flag("stats")) {
      const { received, dropped, freezes } = live.statistics();
      const full = freezes === 0 ? "" : `, ring full ${freezes} times`;
      terminal.note(
        `${count} packets captured, ${received} passed the filter, ${dropped} lost for lack of room${full}`,
      );
    }
    return count > 0 ? EXIT.matched : EXIT.nothing;
  },
};

async function optionsFrom(args: Arguments, terminal: Terminal): Promise<CaptureOptions> {
  const name = args.text("interface");
  if (name === undefined) throw new UsageError("-i INTERFACE is needed");
  const [programArgument] = args.positionals;
  const snaplen = args.number("snaplen", 1, 262_144);
  const buffer = args.number("buffer", 8, 4_194_303);
  return {
    interface: name,
    vlan: "restore",
    promiscuous: args.flag("promiscuous"),
    ignoreOutgoing: args.flag("incoming"),
    mode: args.flag("immediate") ? "receive" : "ring",
    ...(programArgument === undefined ? {} : { filter: await filterFrom(programArgument, name, args, terminal) }),
    ...(snaplen === undefined ? {} : { snaplen }),
    ...(buffer === undefined ? {} : { bufferSize: buffer * 1024 }),
  };
}

/** The program; an expression is compiled for what a socket sees of this interface. */
async function filterFrom(
  argument: string,
  interfaceName: string,
  args: Arguments,
  terminal: Terminal,
): Promise<FilterProgram> {
  const linktype = interfaceLinktype(interfaceName) ?? 1;
  return readProgram(argument, args, terminal, undefined, { linktype, live: true });
}

/** Hands packets on until the capture ends or `most` were seen; returns how many. */
async function run(live: LiveCapture, most: number, sink: Sink, terminal: Terminal): Promise<number> {
  let count = 0;
  let shownAt = Date.now();
  for await (const batch of live) {
    const wanted = Math.min(batch.count, most - count);
    for (let i = 0; i < wanted; i++) sink.take(batch, i, ++count);
    await sink.flush();
    if (count >= most) break;
    if (Date.now() - shownAt <= PROGRESS_EVERY) continue;
    shownAt = Date.now();
    terminal.progress(`${live.interface}: ${count} packets`);
  }
  return count;
}

/** Where packets go. */
interface Sink {
  take(batch: LiveBatch, i: number, number: number): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

async function openSink(out: string | undefined, live: LiveCapture, terminal: Terminal): Promise<Sink> {
  if (out === undefined) return listSink(live.linktype ?? 0, terminal);
  const writer = writerFor(out, live);
  const file: FileHandle | undefined = out === "-" ? undefined : await open(out, "w");
  const flush = async (): Promise<void> => {
    if (writer.pending === 0) return;
    const bytes = writer.take();
    if (file === undefined) await terminal.write(bytes);
    else await file.write(bytes);
  };
  await flush(); // the header, so that a reader behind a pipe can begin
  return {
    take: (batch, i) =>
      writer.write({ data: batch.data(i), originalLength: batch.lengths[i]!, timestamp: batch.timestamp(i) }),
    flush,
    async close() {
      try {
        await flush();
      } finally {
        await file?.close();
      }
    },
  };
}

function writerFor(out: string, { linktype, interface: name }: LiveCapture): CaptureWriter {
  if (linktype === undefined) {
    throw new BpfError("unsupported", `${name} is of a kind whose packets have no link type in capture files here`);
  }
  if (out.endsWith(".pcapng")) return pcapngWriter({ interfaces: [{ linktype, name }] });
  return pcapWriter({ linktype });
}

function listSink(linktype: number, terminal: Terminal): Sink {
  let text = "";
  const flush = async (): Promise<void> => {
    if (text !== "") await terminal.write(text);
    text = "";
  };
  return {
    take(batch, i, number) {
      const start = styled(terminal, "dim", String(number).padStart(7));
      const length = String(batch.lengths[i]).padStart(6);
      text += `${start}  ${timeText(batch.timestamp(i))} ${length} bytes  ${packetLine(batch.data(i), linktype)}\n`;
    },
    flush,
    close: flush,
  };
}
