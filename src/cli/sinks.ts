/**
 * Where the packets that `cbpf run` picks go: lines of text, or a capture file.
 */
import { statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { BpfError } from "../base/errors.ts";
import type { CaptureBatch } from "../capture/batch.ts";
import type { CaptureWriter } from "../capture/write.ts";
import { pcapWriter } from "../capture/write-pcap.ts";
import { pcapngWriter } from "../capture/write-pcapng.ts";
import { linktypeName } from "../link/linktypes.ts";
import { type Arguments, about, UsageError } from "./command.ts";
import { packetLine, timeText } from "./packet-line.ts";
import { styled, type Terminal } from "./terminal.ts";

/** Bytes collected before they are written. */
const WRITE_EVERY = 1 << 18;

/** Where picked packets go. */
export interface Sink {
  /** Told of every batch, whether packets of it are picked or not. */
  see?(batch: CaptureBatch): void;
  take(batch: CaptureBatch, i: number, verdict: number, capture: string): void;
  /** Writes what was collected; `all` or when it is much. */
  flush(all: boolean): Promise<void>;
  /** Writes the rest; `complete` when every capture was read to its end. */
  close(complete: boolean): Promise<void>;
}

export function openSink(args: Arguments, captures: readonly string[], terminal: Terminal): Sink {
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
    const [one, other] = [statSync(a, { bigint: true }), statSync(b, { bigint: true })];
    return one.dev === other.dev && one.ino === other.ino; // a link's path would not tell
  } catch {
    return false;
  }
}
