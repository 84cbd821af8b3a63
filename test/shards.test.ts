/**
 * Captures in ranges: the ranges of a file are the file, and several threads give what one gives.
 */
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { readCaptureSync } from "../src/capture/read.ts";
import { pcapWriter } from "../src/capture/write-pcap.ts";
import { pcapngWriter } from "../src/capture/write-pcapng.ts";
import { parseArguments } from "../src/cli/command.ts";
import { filterCaptures } from "../src/cli/filter-captures.ts";
import { command } from "../src/cli/run.ts";
import { claims, RangePool } from "../src/cli/shard-pool.ts";
import {
  type CaptureRange,
  filterRange,
  filterRanges,
  type RangeResult,
  rangeFilter,
  shardCapture,
} from "../src/cli/shards.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import { assemble } from "../src/text/assemble.ts";
import { below, mulberry32, pick } from "./random-programs.ts";
import { cbpf } from "./terminal.ts";

/** How many threads the host still gives. */
const host = vi.hoisted(() => ({ threadsLeft: Number.POSITIVE_INFINITY }));
vi.mock("node:worker_threads", async (original) => {
  const real = await original<typeof import("node:worker_threads")>();
  class Worker extends real.Worker {
    constructor(script: URL) {
      if (host.threadsLeft-- <= 0) throw Object.assign(new Error("EAGAIN"), { code: "ERR_WORKER_INIT_FAILED" });
      super(script);
    }
  }
  return { ...real, Worker };
});

const FOLDER = mkdtempSync(join(tmpdir(), "cbpf-shards-"));
afterAll(() => rmSync(FOLDER, { recursive: true }));
const at = (name: string): string => join(FOLDER, name);
const SHARED = [process.env.CBPF_SHARED, fileURLToPath(new URL("../../shared", import.meta.url))].find(
  (path) => path !== undefined && existsSync(path),
);

const SOURCE = "ldh [12]\njeq #0x800, yes, no\nyes: ldb [23]\nret a\nno: ret #0";
const PROGRAM: CaptureRange["program"] = assemble(SOURCE).map(({ code, jt, jf, k }) => [code, jt, jf, k]);

/** Frames whose payloads look like record headers and blocks now and then: what a search for a cut must not take. */
function frames(count: number, seed: number): { data: Uint8Array; originalLength: number; timestamp: bigint }[] {
  const random = mulberry32(seed);
  return Array.from({ length: count }, (_, i) => {
    const data = new Uint8Array(14 + below(random, 400));
    if (random() < 0.5) data.set([0x08, 0x00], 12);
    if (data.length > 23) data[23] = pick(random, [0, 6, 17]);
    for (let o = 30; o + 16 <= data.length && random() < 0.9; o += 16) {
      new DataView(data.buffer).setUint32(o, 1_700_000_000, true);
      data.set([1, 0, 0, 0, below(random, 3), 0, 0, 0, 8, 0, 0, 0], o + 4);
    }
    return { data, originalLength: data.length + 4, timestamp: (1_700_000_000n + BigInt(i)) * 1_000_000_000n };
  });
}

const PACKETS = 3000;

beforeAll(() => {
  for (const unit of ["us", "ns"] as const) {
    const pcap = pcapWriter({ linktype: 1, timestampUnit: unit });
    for (const frame of frames(PACKETS, 1)) pcap.write(frame);
    writeFileSync(at(`${unit}.pcap`), pcap.take());
  }
  const ng = pcapngWriter();
  const first = ng.addInterface({ linktype: 1 });
  frames(PACKETS, 2).forEach((frame, i) => {
    if (i === 1500) ng.addInterface({ linktype: 101 });
    ng.write({ ...frame, interfaceId: first + (i > 1500 && i % 3 === 0 ? 1 : 0) });
  });
  const section = ng.take();
  writeFileSync(at("one.pcapng"), section);
  writeFileSync(at("two.pcapng"), Buffer.concat([section, section]));
});

const FILES = ["us.pcap", "ns.pcap", "one.pcapng", "two.pcapng"];

/** Packet numbers that the program picks, read in one go. */
function pickedAtOnce(file: string): number[] {
  const out: number[] = [];
  for (const packet of readCaptureSync(readFileSync(file))) {
    const { data } = packet;
    if (data.length >= 24 && data[12] === 8 && data[13] === 0 && data[23] !== 0) out.push(packet.number);
  }
  return out;
}

/** The same from ranges, numbered as a joiner of ranges numbers them. */
function pickedInRanges(ranges: readonly CaptureRange[]): { picked: number[]; damaged: number } {
  const picked: number[] = [];
  let packets = 0;
  let damaged = 0;
  for (const range of ranges) {
    const result = filterRange({ ...(JSON.parse(JSON.stringify(range)) as CaptureRange), list: true });
    if (range.first !== null) expect(range.first).toBe(packets + 1);
    picked.push(...result.picked!.map((n) => (range.first === null ? n + packets : n)));
    packets += result.packets;
    if (result.damage !== undefined) damaged++;
  }
  return { picked, damaged };
}

describe.each(FILES)("%s", (name) => {
  test.each([1, 1000, 20_000, 100_000, 1 << 30])(
    "ranges of %i bytes are the file, in order, without a gap",
    (bytes) => {
      const ranges = shardCapture(at(name), { program: PROGRAM, bytes: Math.max(bytes, 2000) });
      const size = readFileSync(at(name)).length;
      if (bytes === 1 << 30) expect(ranges).toHaveLength(1);
      else expect(ranges.length).toBeGreaterThan(Math.floor(size / Math.max(bytes, 2000) / 3));
      expect(ranges.at(-1)!.end).toBe(size);
      expect(ranges.slice(1).map(({ start }) => start)).toEqual(ranges.slice(0, -1).map(({ end }) => end));
    },
  );

  test("ranges give together what the whole file gives", () => {
    const { picked, damaged } = pickedInRanges(shardCapture(at(name), { program: PROGRAM, bytes: 50_000 }));
    expect(damaged).toBe(0);
    expect(picked.length).toBeGreaterThan(100);
    expect(picked).toEqual(pickedAtOnce(at(name)));
  });
});

test("a wrong cut and a damaged file show as damage where the reading stopped, with the file's own offset", () => {
  const [first, second] = shardCapture(at("us.pcap"), { program: PROGRAM, bytes: 100_000 });
  const result = filterRange({ ...first!, end: second!.start - 5 });
  expect(result.damage?.what).toMatch(/^file ends \d+ bytes into a packet/);
  const shifted = filterRange({ ...second!, start: second!.start + 3 });
  expect(shifted.damage?.offset).toBeGreaterThanOrEqual(second!.start + 3);
});

test("what cannot be cut is one range", () => {
  writeFileSync(at("short.pcap"), readFileSync(at("us.pcap")).subarray(0, 20));
  writeFileSync(at("text"), "no capture\n".repeat(10_000));
  for (const name of ["short.pcap", "text"]) {
    expect(shardCapture(at(name), { program: PROGRAM, bytes: 1000 })).toHaveLength(1);
  }
  expect(filterRange(shardCapture(at("text"), { program: PROGRAM })[0]!).damage?.what).toMatch(/neither a pcap nor/);
  for (const bytes of [0, -1, 1000.5, Number.NaN]) {
    expect(() => shardCapture(at("us.pcap"), { program: PROGRAM, bytes })).toThrow(/no size of a range/);
  }
});

const DIST = fileURLToPath(new URL("../dist/bin/main.js", import.meta.url));

describe.skipIf(!existsSync(DIST))(
  `cbpf run --jobs${existsSync(DIST) ? "" : " (skipped: npm run build first)"}`,
  () => {
    const cbpf = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [DIST, "run", ...args], { encoding: "utf8" });
      return { status, stdout, stderr };
    };
    const large = (name: string): string => at(`large-${name}`);

    beforeAll(() => {
      // ranges are of 16 MiB: files of a little more than four
      const pcap = readFileSync(at("us.pcap"));
      const body = pcap.subarray(24);
      const times = Math.ceil((70 << 20) / body.length);
      writeFileSync(large("pcap"), Buffer.concat([pcap.subarray(0, 24), ...Array<Buffer>(times).fill(body)]));
      const ng = readFileSync(at("one.pcapng"));
      writeFileSync(large("pcapng"), Buffer.concat(Array<Buffer>(Math.ceil((70 << 20) / ng.length)).fill(ng)));
      writeFileSync(large("cut"), readFileSync(large("pcap")).subarray(0, (70 << 20) - 3));
      const broken = readFileSync(large("pcap"));
      broken.fill(0xff, 20 << 20, (20 << 20) + 4096);
      writeFileSync(large("broken"), broken);
    });

    test.each(["pcap", "pcapng", "cut", "broken"])("%s: every output is that of one thread", (name) => {
      for (const flags of [["--count"], ["--count", "--invert"], ["--count", "--snaplen", "20"]]) {
        const one = cbpf(...flags, SOURCE, large(name));
        expect(cbpf(...flags, "--jobs", "2", SOURCE, large(name))).toEqual(one);
        expect(one.status).toBe(name === "cut" || name === "broken" ? 3 : flags.includes("20") ? 1 : 0);
      }
    });

    test.each(["pcap", "pcapng", "cut"])("%s: an expression as well, over one link type or two", (name) => {
      const one = cbpf("--count", "udp or tcp", large(name));
      expect(cbpf("--count", "--jobs", "2", "udp or tcp", large(name))).toEqual(one);
      expect(Number(one.stdout)).toBeGreaterThan(0);
    });

    test.each(["pcap", "pcapng"])(
      "%s: a host without WebAssembly counts the same, on one thread and on two",
      (name) => {
        const want = cbpf("--count", SOURCE, large(name));
        for (const jobs of ["1", "2"]) {
          const args = [DIST, "run", "--count", "--jobs", jobs, SOURCE, large(name)];
          const { status, stdout, stderr } = spawnSync(process.execPath, ["--no-expose-wasm", ...args], {
            encoding: "utf8",
          });
          expect({ status, stdout, stderr }).toEqual(want);
        }
      },
    );

    test("pcap: the packets written, and the lines printed, are the same", () => {
      const rare = "ldb [23]\njeq #17, next, no\nnext: ld #len\njgt #412, yes, no\nyes: ret #64\nno: ret #0";
      expect(cbpf("--json", "--jobs", "3", rare, large("pcap"))).toEqual(cbpf("--json", rare, large("pcap")));
      expect(cbpf("-w", at("one.out"), rare, large("pcapng")).status).toBe(0);
      expect(cbpf("-w", at("two.out"), "-j", "2", rare, large("pcapng")).status).toBe(0);
      expect(readFileSync(at("two.out")).equals(readFileSync(at("one.out")))).toBe(true);
    });

    test("a capture that is not there is the same error, behind the count of those in front of it", () => {
      symlinkSync("loop", at("loop"));
      for (const missing of [at("missing"), join(at("us.pcap"), "in a file"), at("loop"), FOLDER]) {
        const one = cbpf("--count", SOURCE, large("pcap"), missing);
        expect(cbpf("--count", "--jobs", "2", SOURCE, large("pcap"), missing)).toEqual(one);
        expect([one.status, Number(one.stdout) > 0]).toEqual([3, true]);
        expect(one.stderr).toMatch(/^cbpf run: .*(ENOENT|ENOTDIR|ELOOP|EISDIR)/);
      }
    });
  },
);

/** Files in docs/parallel.md: fences that name one. */
function documentedFiles(): Map<string, string> {
  const text = readFileSync(new URL("../docs/parallel.md", import.meta.url), "utf8");
  return new Map([...text.matchAll(/```js file=(\S+)\n([\s\S]*?)```/g)].map((m) => [m[1]!, m[2]!]));
}

test("the example with piscina in docs/parallel.md runs", () => {
  if (!existsSync(fileURLToPath(new URL("../node_modules/piscina", import.meta.url)))) {
    return console.log("skipped: piscina is not installed");
  }
  const root = fileURLToPath(new URL("..", import.meta.url));
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    exports: Record<string, { default: string }>;
  };
  if (exports["./shards"] === undefined || !existsSync(DIST)) {
    return console.log("skipped: no cbpf/shards in package.json, or npm run build has not run");
  }
  const files = documentedFiles();
  expect([...files.keys()]).toEqual(["filter-worker.mjs", "filter-day.mjs"]);
  mkdirSync(at("node_modules"));
  symlinkSync(root, at("node_modules/cbpf"));
  symlinkSync(join(root, "node_modules/piscina"), at("node_modules/piscina"));
  for (const [name, text] of files) writeFileSync(at(name), text);
  const { stdout, stderr } = spawnSync(process.execPath, [at("filter-day.mjs"), at("us.pcap")], { encoding: "utf8" });
  const ipv4 = [...readCaptureSync(readFileSync(at("us.pcap")))].filter(
    ({ data }) => data.length >= 14 && data[12] === 8 && data[13] === 0,
  ).length;
  expect(stderr).toBe("");
  expect(stdout).toMatch(new RegExp(`^${ipv4} IPv4 packets in [5-9] ranges\\n$`));
});

test("a header that is read four bytes late is no record, though such headers form a chain", () => {
  // Captured whole and a few microseconds apart, with MAC addresses that pass for lengths: read from their second word
  // on, these headers have the fraction as seconds, and both lengths in order.
  const pcap = pcapWriter({ linktype: 1, timestampUnit: "us" });
  const data = new Uint8Array(100);
  data.set([0, 1, 0, 0], 0);
  for (let i = 0n; i < 200n; i++) pcap.write({ data, timestamp: 1_700_000_000_000_000_000n + i * 1000n });
  writeFileSync(at("late.pcap"), pcap.take());
  for (let late = 0; late < 116; late++) {
    // the search begins `late` bytes behind the start of a record
    const [, second] = shardCapture(at("late.pcap"), { program: PROGRAM, bytes: 24 + 116 * 80 + late });
    expect((second!.start - 24) % 116, `${late} bytes late`).toBe(0);
  }
});

test("a stretch without records to cut at is one range, and a search that keeps failing ends", () => {
  const pcap = readFileSync(at("us.pcap"));
  const second = 24 + 16 + pcap.readUInt32LE(24 + 8);
  /** The ranges of a file with so many zeros behind the first record. */
  const rangesAround = (name: string, gap: number, bytes: number): CaptureRange[] => {
    writeFileSync(at(name), Buffer.concat([pcap.subarray(0, second), Buffer.alloc(gap), pcap.subarray(second)]));
    return shardCapture(at(name), { program: PROGRAM, bytes });
  };
  const ranges = rangesAround("gap.pcap", 300_000, 20_000);
  expect(ranges.length).toBeGreaterThan(10);
  expect(ranges.filter(({ start, end }) => start >= end)).toEqual([]);
  const [MiB, records] = [1 << 20, pcap.length - 24];
  // searches begin at 1, 2, ... MiB and look through one each
  expect(rangesAround("gap4.pcap", 5 * MiB - records, MiB)).toHaveLength(2);
  expect(rangesAround("gap5.pcap", 6 * MiB - records, MiB)).toHaveLength(1);
});

test("the interfaces of a section go in front of a range in one piece, and no more than are read", async () => {
  const [section, description] = [Buffer.alloc(28), Buffer.alloc(20)];
  section.set([0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1]);
  section[24] = 28;
  description.set([1, 0, 0, 0, 20, 0, 0, 0, 1]);
  description[16] = 20;
  const descriptions = (count: number): Buffer[] => Array<Buffer>(count).fill(description);
  writeFileSync(at("many.pcapng"), Buffer.concat([section, ...descriptions(70_000)]));
  const ranges = shardCapture(at("many.pcapng"), { program: PROGRAM, bytes: 100_000 });
  expect(ranges.length).toBeGreaterThan(10);
  expect(ranges.slice(1).map(({ head }) => head)).toEqual(ranges.slice(1).map(({ start }) => [[0, start]]));
  expect(ranges.at(-1)!.start).toBeLessThanOrEqual(28 + 20 * 65_536);
  const results: RangeResult[] = [];
  for await (const result of filterRanges(ranges, filterRange)) results.push(result);
  expect(results.at(-1)!.damage).toEqual({
    what: "more than 65536 interfaces in one section",
    offset: 28 + 20 * 65_536,
    packet: 1,
  });
});

test("what is no regular file is one range, and nothing is read of it", () => {
  const made = spawnSync("mkfifo", [at("fifo")]);
  if (made.status !== 0) return console.log("skipped: mkfifo did not work");
  expect(shardCapture(at("fifo"), { program: PROGRAM })).toMatchObject([{ start: 0, end: 0, head: [] }]);
});

test("many ranges through one filter, whatever changes between them", () => {
  const run = rangeFilter();
  const [range] = shardCapture(at("us.pcap"), { program: PROGRAM });
  const all: CaptureRange["program"] = [[6, 0, 0, 1]];
  const changes: Partial<CaptureRange>[] = [
    {},
    { invert: true },
    { program: all },
    { snaplen: 20 },
    { engine: "interpreter" },
    { list: true },
    { profile: "libpcap" },
    {},
  ];
  const matched = changes.map((change) => run({ ...range!, ...change }).matched);
  expect(matched).toEqual(changes.map((change) => filterRange({ ...range!, ...change }).matched));
  expect(matched[1]).toBe(PACKETS - matched[0]!);
  expect(matched[2]).toBe(PACKETS);
  expect(matched[3]).toBe(0);
});

test("ranges through one filter leave nothing behind", () => {
  const run = rangeFilter();
  const [first, second] = shardCapture(at("us.pcap"), { program: PROGRAM, bytes: 20_000 });
  run(first!);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 200; i++) run(second!);
  // tables for a batch are 48 KiB, 9.4 MiB in all: what is not made need not be collected
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
});

test("an error of whoever runs a range comes when it is that range's turn, and some range is always under way", async () => {
  const ranges = shardCapture(at("us.pcap"), { program: PROGRAM, bytes: 50_000 });
  const run = (range: CaptureRange): RangeResult => {
    if (range === ranges[2]) throw new Error("no such machine");
    return filterRange(range);
  };
  for (const ahead of [1, 2, 100]) {
    let results = 0;
    const joined = (async () => {
      for await (const _ of filterRanges(ranges, run, ahead)) results++;
    })();
    await expect(joined).rejects.toThrow("no such machine");
    expect(results).toBe(2);
  }
  for (const ahead of [0, -1, Number.NaN]) {
    await expect(filterRanges(ranges, run, ahead).next()).rejects.toMatchObject({ code: "bad-argument" });
  }
});

test.each([
  ["throws before it has work", 'throw new Error("no memory left")', /no memory left/],
  ["stops before it has work", "process.exit(0)", /thread .* stopped/],
  [
    "stops at work",
    'import { parentPort } from "node:worker_threads"; parentPort.on("message", () => process.exit(0));',
    /thread .* stopped/,
  ],
])("a thread that %s is an error of every range it should filter", async (_name, code, message) => {
  const pool = new RangePool(1, new URL(`data:text/javascript,${encodeURIComponent(code)}`));
  const [range] = shardCapture(at("us.pcap"), { program: PROGRAM });
  const first = pool.run(range!);
  await expect(first).rejects.toThrow(message);
  await expect(pool.run(range!)).rejects.toThrow(message);
  await pool.stop();
});

/** A thread that leaves every range to others. */
const IDLE = new URL(
  'data:text/javascript,import { parentPort } from "node:worker_threads"; parentPort.on("message", () => {});',
);

test("a range is filtered once, and a pool that was told to stop filters nothing more, on the calling thread either", async () => {
  const offer = { number: 0, range: {} as CaptureRange, claim: new Int32Array(1) };
  expect([claims(offer), claims(offer)]).toEqual([true, false]);
  const ranges = shardCapture(at("us.pcap"), { program: PROGRAM, bytes: 20_000 }).slice(0, 8);
  const filtered: CaptureRange[] = [];
  const pool = new RangePool(2, IDLE);
  pool.join((range) => {
    filtered.push(range);
    return filterRange(range);
  });
  expect(pool.threads).toBe(3);
  const results = ranges.map((range) => pool.run(range));
  const settled = Promise.allSettled(results);
  await results[1];
  await pool.stop();
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  expect(filtered).toEqual(ranges.slice(0, 2));
  expect((await settled).map(({ status }) => status)).toEqual([
    "fulfilled",
    "fulfilled",
    ...Array<string>(6).fill("rejected"),
  ]);
  await expect(pool.run(ranges[0]!)).rejects.toThrow("told to stop");
});

test("a host that gives fewer threads than wanted, or none, has those that it gives", async () => {
  const pcap = readFileSync(at("us.pcap"));
  const times = Math.ceil((33 << 20) / pcap.length); // of two ranges
  writeFileSync(at("two-ranges.pcap"), Buffer.concat([pcap, ...Array<Buffer>(times).fill(pcap.subarray(24))]));
  const rest = ["--json", "ld #len\njgt #412, yes, no\nyes: ret #64\nno: ret #0", at("two-ranges.pcap")];
  const want = await cbpf(["run", ...rest]);
  expect(want.status).toBe(0);
  try {
    for (const given of [2, 0]) {
      host.threadsLeft = given;
      const pool = new RangePool(5, IDLE);
      expect(pool.threads).toBe(given);
      await pool.stop();
    }
    expect(await cbpf(["run", "--jobs", "3", ...rest])).toEqual(want);
  } finally {
    host.threadsLeft = Number.POSITIVE_INFINITY;
  }
});

test.each([1_000_000, 9])("a capture that grows by up to %i bytes while it is filtered stays as it was", async (by) => {
  const path = at("grows.pcap");
  const bytes = readFileSync(at("us.pcap"));
  writeFileSync(path, bytes);
  const words = ["--json", SOURCE, path];
  const { out } = await cbpf(["run", ...words]);
  let written = "";
  const terminal = {
    async write(text: string) {
      written += text;
    },
    note() {},
    progress() {},
    colour: false,
  };
  let grown = false;
  const pool = {
    threads: 1,
    run(range: CaptureRange): RangeResult {
      if (!grown) appendFileSync(path, bytes.subarray(24, 24 + by));
      grown = true;
      return filterRange(range);
    },
  };
  const threads = { pool: pool as unknown as RangePool, bytes: 20_000 };
  const args = parseArguments(command, words);
  expect(await filterCaptures(args, terminal as unknown as Terminal, false, threads)).toBe(0);
  expect(grown).toBe(true);
  expect(written).toBe(out);
});

test("a wrong cut costs the next range, not all that follow", async () => {
  const ranges = shardCapture(at("us.pcap"), { program: PROGRAM, bytes: 50_000 });
  const wrong = ranges.map((range, i) =>
    i === 2 ? { ...range, end: range.end - 7 } : i === 3 ? { ...range, start: range.start - 7 } : range,
  );
  const asked: [start: number, end: number][] = [];
  let packets = 0;
  for await (const result of filterRanges(wrong, (range) => {
    asked.push([range.start, range.end]);
    return filterRange(range);
  })) {
    packets += result.packets;
  }
  expect(packets).toBe(PACKETS);
  const again = asked.filter(([start, end]) => !wrong.some((range) => range.start === start && range.end === end));
  expect(again).toEqual([[wrong[2]!.start, wrong[3]!.end]]);
});

test("ranges that run anywhere are joined in order, and a wrong cut is put right", async () => {
  const ranges = shardCapture(at("us.pcap"), { program: PROGRAM, bytes: 50_000 });
  const wrong = ranges.map((range, i) => ({
    ...range,
    ...(i === 2 ? { end: range.end - 7 } : i === 3 ? { start: range.start - 7 } : {}),
    list: true,
  }));
  for (const list of [wrong, ranges.map((range) => ({ ...range, list: true }))]) {
    const picked: number[] = [];
    for await (const result of filterRanges(list, filterRange)) {
      expect(result.damage).toBeUndefined();
      picked.push(...result.picked!);
    }
    expect(picked).toEqual(pickedAtOnce(at("us.pcap")));
  }
});

test("every shared capture gives the same in small ranges", async () => {
  if (SHARED === undefined) return console.log("skipped: no ../shared/captures");
  for (const name of readdirSync(`${SHARED}/captures`).filter((n) => /\.pcap(ng)?$/.test(n))) {
    const file = `${SHARED}/captures/${name}`;
    const ranges = shardCapture(file, { program: PROGRAM, bytes: 3000 });
    const whole = filterRange({ file, start: 0, end: readFileSync(file).length, first: 1, program: PROGRAM, head: [] });
    const parts: RangeResult[] = [];
    for await (const part of filterRanges(ranges, filterRange)) parts.push(part);
    expect(
      parts.reduce((sum, part) => sum + part.packets, 0),
      name,
    ).toBe(whole.packets);
    expect(
      parts.reduce((sum, part) => sum + part.matched, 0),
      name,
    ).toBe(whole.matched);
    expect(parts.at(-1)!.damage, name).toEqual(whole.damage);
  }
});
