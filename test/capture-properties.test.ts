/**
 * Capture files, read and written, as properties: any chunking gives the same packets, a file cut anywhere gives the
 * packets before the cut, what is written is read back, and no bytes whatever do worse than a BpfError.
 *
 * CBPF_LONG=1 raises the counts; SEED=n repeats a run.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import {
  type InterfaceToWrite,
  type PacketToWrite,
  pcapngWriter,
  pcapWriter,
  readCapture,
  readCaptureSync,
  type SyncSource,
} from "../src/capture/index.ts";
import { createArena } from "../src/program/arena.ts";

const LONG = process.env.CBPF_LONG === "1";
const SEED = process.env.SEED === undefined ? {} : { seed: Number(process.env.SEED) };
const runs = (short: number, long: number) => ({ numRuns: LONG ? long : short, ...SEED });

interface Plain {
  number: number;
  data: number[];
  originalLength: number;
  timestamp: bigint;
  interfaceId: number;
  linktype: number;
}

/** Every packet of a file, copied, and the code, offset and number of the error that ended it. */
function readAll(file: SyncSource, batchSize = 64) {
  const packets: Plain[] = [];
  try {
    for (const { number, data, originalLength, timestamp, interfaceId, linktype } of readCaptureSync(file, {
      batchSize,
    })) {
      packets.push({ number, data: [...data], originalLength, timestamp, interfaceId, linktype });
    }
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    return { packets, error: { code: error.code, offset: error.offset, packet: error.packet } };
  }
  return { packets, error: undefined };
}

/** A file that is read into an arena, at most `most` bytes a time. */
function intoArena(file: Uint8Array, most: number): SyncSource {
  let at = 0;
  const read = (target: Uint8Array): number => {
    const part = file.subarray(at, at + Math.min(target.length, most));
    target.set(part);
    at += part.length;
    return part.length;
  };
  return { into: createArena({ bytes: 64, packets: 8, lengths: true }), read };
}

/** Writes 32-bit words and bytes, so that the sample files owe nothing to the writers under test. */
function bytesOf(littleEndian: boolean, ...parts: (number | Uint8Array)[]): Uint8Array {
  const pieces = parts.map((part) => {
    if (typeof part !== "number") return part;
    const word = new Uint8Array(4);
    new DataView(word.buffer).setUint32(0, part, littleEndian);
    return word;
  });
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}

const payload = (size: number) => Uint8Array.from({ length: size }, (_, i) => i * 7 + size);
const pad = (size: number) => new Uint8Array(-size & 3);
const SIZES = [0, 1, 3, 4, 60, 17];

/** A file, and where each of its packets ends. */
interface Sample {
  readonly file: Uint8Array;
  readonly ends: readonly number[];
  /** Offsets where the file could end without damage. */
  readonly clean: readonly number[];
}

/** A sample from its pieces: [bytes, is a packet]. */
function sampleOf(pieces: readonly (readonly [bytes: Uint8Array, packet: boolean])[]): Sample {
  const ends: number[] = [];
  const clean: number[] = [];
  let at = 0;
  for (const [bytes, packet] of pieces) {
    at += bytes.length;
    clean.push(at);
    if (packet) ends.push(at);
  }
  return { file: Uint8Array.from(pieces.flatMap(([bytes]) => [...bytes])), ends, clean };
}

function pcapSample(magic: number, littleEndian: boolean): Sample {
  const extra = magic === 0xa1b2cd34 ? [7, 0] : [];
  return sampleOf([
    [bytesOf(littleEndian, magic, littleEndian ? 0x0004_0002 : 0x0002_0004, 0, 0, 65535, 1), false],
    ...SIZES.map((n, i) => [bytesOf(littleEndian, i, 5, n, n + 9, ...extra, payload(n)), true] as const),
  ]);
}

/** Two sections, the second in the other byte order; two interfaces; every kind of packet block. */
function pcapngSample(first: boolean): Sample {
  const section = (le: boolean): [Uint8Array, boolean][] => {
    const block = (type: number, ...body: (number | Uint8Array)[]): Uint8Array => {
      const inner = bytesOf(le, ...body);
      return bytesOf(le, type, inner.length + 12, inner, inner.length + 12);
    };
    const shorts = (a: number, b: number) => (le ? (b << 16) | a : (a << 16) | b) >>> 0;
    return [
      [block(0x0a0d0d0a, 0x1a2b3c4d, shorts(1, 0), 0xffff_ffff, 0xffff_ffff), false],
      [block(1, shorts(1, 0), 0, shorts(9, 1), Uint8Array.of(9, 0, 0, 0), shorts(0, 0)), false],
      ...SIZES.map((n): [Uint8Array, boolean] => [block(6, 0, 1, 2, n, n + 9, payload(n), pad(n)), true]),
      [block(1, shorts(101, 0), 0), false],
      [block(0x0bad, payload(8)), false],
      ...SIZES.map((n): [Uint8Array, boolean] => [block(2, shorts(1, 0), 1, 2, n, n + 9, payload(n), pad(n)), true]),
      ...SIZES.map((n): [Uint8Array, boolean] => [block(3, n, payload(n), pad(n)), true]),
    ];
  };
  return sampleOf([...section(first), ...section(!first)]);
}

const SAMPLES: readonly (readonly [string, Sample])[] = [
  ["pcap, microseconds", pcapSample(0xa1b2c3d4, true)],
  ["pcap, nanoseconds, big-endian", pcapSample(0xa1b23c4d, false)],
  ["pcap, modified", pcapSample(0xa1b2cd34, true)],
  ["pcapng, little-endian first", pcapngSample(true)],
  ["pcapng, big-endian first", pcapngSample(false)],
];

describe.each(SAMPLES)("%s", (_, { file, ends, clean }) => {
  const whole = readAll(file);

  test("reads to its end", () => {
    expect(whole.error).toBeUndefined();
    expect(whole.packets.length).toBe(ends.length);
    expect(whole.packets.map(({ data }) => data.length)).toEqual(ends.map((_, i) => SIZES[i % SIZES.length]));
  });

  test("cut at every byte: the packets before the cut, then an error unless the cut is between records", () => {
    for (let size = 0; size <= file.length; size++) {
      const cut = readAll(file.slice(0, size));
      expect(readAll(intoArena(file.subarray(0, size), 100)), `cut at ${size}, in an arena`).toEqual(cut);
      const before = ends.filter((end) => end <= size).length;
      expect(cut.packets, `cut at ${size}`).toEqual(whole.packets.slice(0, before));
      if (clean.includes(size)) expect(cut.error, `cut at ${size}`).toBeUndefined();
      else {
        const offset = clean.filter((end) => end < size).at(-1) ?? 0;
        expect(cut.error, `cut at ${size}`).toEqual({ code: "bad-capture", offset, packet: before + 1 });
      }
    }
  });

  test("in chunks of every size up to 100 bytes", () => {
    for (let size = 1; size <= 100; size++) {
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < file.length; at += size) chunks.push(file.slice(at, at + size));
      expect(readAll(chunks), `chunks of ${size}`).toEqual(whole);
    }
  });

  test("in any chunks and any batches, and with every chunk in the same memory", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(file.length)), fc.integer({ min: 1, max: 9 }), async (cuts, batchSize) => {
        const places = [0, ...cuts.sort((a, b) => a - b), file.length];
        const chunks = places.slice(1).map((end, i) => file.slice(places[i], end));
        expect(readAll(chunks, batchSize)).toEqual(whole);

        const shared = new Uint8Array(file.length);
        function* inSharedMemory() {
          for (const chunk of chunks) {
            shared.fill(0xee).set(chunk);
            yield shared.subarray(0, chunk.length);
          }
        }
        const seen: number[][] = [];
        for (const batch of readCaptureSync(inSharedMemory(), { batchSize }).batches()) {
          for (let i = 0; i < batch.count; i++) seen.push([...batch.data(i)]);
        }
        expect(seen).toEqual(whole.packets.map(({ data }) => data));

        // the same read into memory, a chunk's length at a time
        const arena = createArena({ bytes: 1 + (cuts[0] ?? 0), packets: batchSize, lengths: true });
        const lengths = chunks.map(({ length }) => length).filter((length) => length > 0);
        let at = 0;
        let turn = 0;
        const read = (target: Uint8Array): number => {
          const part = file.subarray(at, at + Math.min(target.length, lengths[turn++ % lengths.length]!));
          target.set(part);
          at += part.length;
          return part.length;
        };
        const inArena: number[][] = [];
        for (const batch of readCaptureSync({ into: arena, read }).batches()) {
          expect(arena.count).toBe(batch.count);
          for (let i = 0; i < batch.count; i++) {
            const offset = arena.table[2 * i]!;
            inArena.push([...arena.bytes.subarray(offset, offset + arena.table[2 * i + 1]!)]);
          }
        }
        expect(inArena).toEqual(seen);

        let n = 0;
        for await (const packet of readCapture(chunks, { batchSize })) expect([...packet.data]).toEqual(seen[n++]);
        expect(n).toBe(seen.length);
      }),
      runs(100, 5000),
    );
  }, 600_000);

  test("with any bytes changed: packets and a BpfError, in memory bounded by the file", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(file.length - 1), fc.oneof(fc.nat(255), fc.constantFrom(0, 0x7f, 0xff))), {
          minLength: 1,
          maxLength: 8,
        }),
        fc.integer({ min: 1, max: 64 }),
        (changes, chunk) => {
          const broken = file.slice();
          for (const [at, byte] of changes) broken[at] = byte;
          const all = readAll(broken, 16);
          const bytes = all.packets.reduce((sum, { data }) => sum + data.length, 0);
          expect(bytes).toBeLessThanOrEqual(broken.length);
          if (all.error !== undefined)
            expect(all.error).toMatchObject({ code: "bad-capture", packet: all.packets.length + 1 });
          const chunks: Uint8Array[] = [];
          for (let at = 0; at < broken.length; at += chunk) chunks.push(broken.slice(at, at + chunk));
          expect(readAll(chunks, 16)).toEqual(all);
          expect(readAll(intoArena(broken, chunk), 16)).toEqual(all);
        },
      ),
      runs(1000, 20_000),
    );
  }, 600_000);
});

describe("random bytes", () => {
  const heads = [new Uint8Array(0), ...SAMPLES.map(([, { file }]) => file.slice(0, 64))];
  const seed = SEED.seed ?? Date.now() >>> 0;

  test("do no worse than a BpfError, whatever header stands in front, and memory does not grow", () => {
    let state = seed;
    const below = (n: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return (state >>> 8) % n;
    };
    const buffer = new Uint8Array(400);
    const before = process.memoryUsage().rss;
    const outcomes = { whole: 0, damaged: 0 };
    for (let run = 0; run < (LONG ? 1_000_000 : 50_000); run++) {
      const head = heads[below(heads.length)]!;
      const keep = below(head.length + 1);
      const size = keep + below(300);
      buffer.set(head.subarray(0, keep));
      for (let i = keep; i < size; i++) buffer[i] = below(3) === 0 ? below(256) : 0; // zeros make short lengths likely
      const file = buffer.subarray(0, size);
      let bytes = 0;
      try {
        for (const packet of readCaptureSync(file, { batchSize: 16 })) bytes += packet.data.length;
        outcomes.whole++;
      } catch (error) {
        if (!(error instanceof BpfError && error.code === "bad-capture")) {
          throw new Error(`SEED=${seed}, run ${run}: ${[...file]}`, { cause: error });
        }
        outcomes.damaged++;
      }
      if (bytes > size) throw new Error(`SEED=${seed}, run ${run}: ${bytes} bytes of packets in ${size} bytes`);
    }
    expect(outcomes.whole).toBeGreaterThan(0);
    expect(outcomes.damaged).toBeGreaterThan(outcomes.whole);
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * 1024 * 1024);
  }, 600_000);
});

describe("written and read back", () => {
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 80 }), fc.nat(3000).map(payload));
  const packetIn = (timestamp: fc.Arbitrary<bigint>, interfaces: number) =>
    fc.record({
      data: bytes,
      originalLength: fc.nat(0xffff_ffff),
      timestamp,
      interfaceId: fc.nat(interfaces - 1),
    });
  const plain = (
    packets: readonly Required<Omit<PacketToWrite, "linktype">>[],
    linktypes: readonly number[],
  ): Plain[] =>
    packets.map(({ data, interfaceId, ...rest }, i) => ({
      number: i + 1,
      ...rest,
      data: [...data],
      interfaceId,
      linktype: linktypes[interfaceId]!,
    }));

  test("pcap", () => {
    const options = fc.record({
      linktype: fc.nat(0xffff),
      timestampUnit: fc.constantFrom("us", "ns"),
      littleEndian: fc.boolean(),
    });
    const last = 0xffff_ffffn * 1_000_000_000n + 999_999_999n;
    fc.assert(
      fc.property(
        options,
        fc.array(packetIn(fc.bigInt({ min: 0n, max: last }), 1)),
        fc.nat(5),
        (options, packets, every) => {
          const writer = pcapWriter(options);
          const chunks: Uint8Array[] = [];
          packets.forEach((packet, i) => {
            writer.write(packet);
            if (i % (every + 1) === 0) chunks.push(writer.take());
          });
          chunks.push(writer.take());
          expect(writer.pending).toBe(0);
          const unit = options.timestampUnit === "ns" ? 1n : 1000n;
          const wanted = packets.map((packet) => ({
            ...packet,
            timestamp: packet.timestamp - (packet.timestamp % unit),
          }));
          expect(readAll(chunks)).toEqual({ packets: plain(wanted, [options.linktype]), error: undefined });
        },
      ),
      runs(300, 10_000),
    );
  }, 600_000);

  test("pcapng", () => {
    const description: fc.Arbitrary<InterfaceToWrite> = fc.record(
      {
        linktype: fc.nat(0xffff),
        snaplen: fc.constantFrom(0, 262144, 4000),
        name: fc.string({ unit: "grapheme", maxLength: 20 }).filter((name) => !name.includes("\0")),
        fcsBits: fc.nat(255),
        timestampResolution: fc.constantFrom(6, 9, 10, 12, 0x80 | 30, 0x80 | 32),
        timestampOffset: fc.bigInt({ min: -100n, max: 100n }),
      },
      { requiredKeys: ["linktype"] },
    );
    fc.assert(
      fc.property(
        fc.array(description, { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        fc.array(fc.tuple(fc.nat(3), packetIn(fc.bigInt({ min: 100_000_000_000n, max: 1_000_000_000_000_000n }), 1))),
        (interfaces, littleEndian, drawn) => {
          const packets = drawn.map(([n, packet]) => ({ ...packet, interfaceId: n % interfaces.length }));
          const writer = pcapngWriter({ interfaces, littleEndian });
          for (const packet of packets) writer.write(packet);
          const capture = readCaptureSync(writer.take());
          const read: Plain[] = [];
          for (const { number, data, originalLength, timestamp, interfaceId, linktype } of capture) {
            read.push({ number, data: [...data], originalLength, timestamp, interfaceId, linktype });
          }
          const wanted = packets.map((packet) => {
            const microseconds = interfaces[packet.interfaceId]!.timestampResolution === 6;
            return {
              ...packet,
              timestamp: microseconds ? packet.timestamp - (packet.timestamp % 1000n) : packet.timestamp,
            };
          });
          expect(read).toEqual(
            plain(
              wanted,
              interfaces.map(({ linktype }) => linktype),
            ),
          );
          expect(capture.header!.interfaces.length).toBe(interfaces.length);
          for (const [i, { snaplen, ...wanted }] of interfaces.entries()) {
            expect(capture.header!.interfaces[i]).toMatchObject(wanted);
          }
        },
      ),
      runs(300, 10_000),
    );
  }, 600_000);

  test("packets read can be written as they are", () => {
    const [, { file }] = SAMPLES[0]!;
    const writer = pcapngWriter({ littleEndian: false });
    for (const packet of readCaptureSync(file)) {
      if (packet.number === 1) writer.addInterface(packet.interface);
      writer.write(packet);
    }
    expect(readAll(writer.take())).toEqual(readAll(file));
  });

  test.each<[string, () => void, RegExp]>([
    ["a link type above 65535", () => pcapWriter({ linktype: 65536 }), /link type 65536/],
    ["a snaplen of 0 in pcap", () => pcapWriter({ linktype: 1, snaplen: 0 }), /snaplen/],
    [
      "a time before 1970",
      () => pcapWriter({ linktype: 1 }).write({ data: payload(1), timestamp: -1n }),
      /1970\.\.2106/,
    ],
    [
      "a time after 2106",
      () => pcapWriter({ linktype: 1 }).write({ data: payload(1), timestamp: 4294967296n * 10n ** 9n }),
      /1970\.\.2106/,
    ],
    [
      "an interface of pcap",
      () => pcapWriter({ linktype: 1 }).write({ data: payload(1), interfaceId: 1 }),
      /interface 1/,
    ],
    [
      "another link type",
      () => pcapWriter({ linktype: 1 }).write({ data: payload(1), linktype: 113 }),
      /link type 113/,
    ],
    [
      "a packet above the snaplen",
      () => pcapWriter({ linktype: 1, snaplen: 9 }).write({ data: payload(10) }),
      /10 bytes is larger than 9/,
    ],
    [
      "a length past 32 bits",
      () => pcapWriter({ linktype: 1 }).write({ data: payload(1), originalLength: 2 ** 32 }),
      /original length/,
    ],
    ["an interface nobody described", () => pcapngWriter().write({ data: payload(1) }), /interface 0, of which 0/],
    [
      "a resolution nobody reads",
      () => pcapngWriter({ interfaces: [{ linktype: 1, timestampResolution: 20 }] }),
      /10\^-20/,
    ],
    [
      "a time before the clock begins",
      () => pcapngWriter({ interfaces: [{ linktype: 1, timestampOffset: 5n }] }).write({ data: payload(1) }),
      /clock counts/,
    ],
  ])("the writers refuse %s", (_, act, message) => {
    expect(act).toThrow(expect.objectContaining({ code: "bad-argument", message: expect.stringMatching(message) }));
  });
});
