/** Capture files, read: every header variant as bytes written by hand, every kind of damage, and what the readers take. */
import { describe, expect, expectTypeOf, test } from "vitest";
import { fromHex } from "../src/base/bytes.ts";
import { BpfError } from "../src/base/errors.ts";
import { CaptureBatch } from "../src/capture/batch.ts";
import {
  type DirectSource,
  isGzip,
  type Packet,
  type PacketMemory,
  pcapngWriter,
  readCapture,
  readCaptureSync,
} from "../src/capture/index.ts";
import { readInto } from "../src/capture/into-memory.ts";
import { Scanner } from "../src/capture/scanner.ts";
import { createArena } from "../src/program/arena.ts";
import type { PacketBatch } from "../src/program/engine.ts";
import { Program } from "../src/vm/program.ts";
import { engineNamed } from "../src/vm/tiers.ts";

/** What a packet is expected to be: time in ns, captured bytes as hex, length on the wire, link type, interface. */
type Row = [timestamp: bigint, data: string, originalLength: number, linktype: number, interfaceId: number];

const rowOf = (packet: Packet): Row => [
  packet.timestamp,
  [...packet.data].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
  packet.originalLength,
  packet.linktype,
  packet.interfaceId,
];

/** The packets of a file, and the error that ended it. */
function readAll(file: Uint8Array | Iterable<Uint8Array>): { rows: Row[]; error: BpfError | undefined } {
  const rows: Row[] = [];
  try {
    for (const packet of readCaptureSync(file)) {
      rows.push(rowOf(packet));
      expect(packet.number).toBe(rows.length);
    }
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    return { rows, error };
  }
  return { rows, error: undefined };
}

/** Hex with comments: everything from `;` to the end of a line is one. */
const file = (text: string) => fromHex(text.replace(/;.*/g, ""));

describe("pcap", () => {
  // Second 0x01020304 = 16909060, fraction 5, 3 of 9 bytes captured.
  const RECORD_BE = "01020304 00000005 00000003 00000009 aabbcc";
  const RECORD_LE = "04030201 05000000 03000000 09000000 aabbcc";
  const TAIL_BE = "0002 0004 00000000 00000000 0000ffff 00000001";
  const TAIL_LE = "0200 0400 00000000 00000000 ffff0000 01000000";

  test.each<[string, string, Row[]]>([
    ["microseconds, big-endian", `a1b2c3d4 ${TAIL_BE} ${RECORD_BE}`, [[16909060_000005000n, "aabbcc", 9, 1, 0]]],
    ["microseconds, little-endian", `d4c3b2a1 ${TAIL_LE} ${RECORD_LE}`, [[16909060_000005000n, "aabbcc", 9, 1, 0]]],
    ["nanoseconds, big-endian", `a1b23c4d ${TAIL_BE} ${RECORD_BE}`, [[16909060_000000005n, "aabbcc", 9, 1, 0]]],
    ["nanoseconds, little-endian", `4d3cb2a1 ${TAIL_LE} ${RECORD_LE}`, [[16909060_000000005n, "aabbcc", 9, 1, 0]]],
    [
      "modified, big-endian: 8 more bytes in the record header",
      `a1b2cd34 ${TAIL_BE} 01020304 00000005 00000003 00000009 00000007 0800 04 00 aabbcc`,
      [[16909060_000005000n, "aabbcc", 9, 1, 0]],
    ],
    [
      "modified, little-endian",
      `34cdb2a1 ${TAIL_LE} 04030201 05000000 03000000 09000000 07000000 0008 04 00 aabbcc`,
      [[16909060_000005000n, "aabbcc", 9, 1, 0]],
    ],
    [
      "two records, the second empty",
      `a1b2c3d4 ${TAIL_BE} ${RECORD_BE} 00000000 00000000 00000000 00000040`,
      [
        [16909060_000005000n, "aabbcc", 9, 1, 0],
        [0n, "", 64, 1, 0],
      ],
    ],
    ["no record", `a1b2c3d4 ${TAIL_BE}`, []],
    [
      "seconds past 2038 and a fraction past a second",
      `a1b2c3d4 ${TAIL_BE} ffffffff 001e8480 00000001 00000001 07`,
      [[4294967297_000000000n, "07", 1, 1, 0]],
    ],
    [
      "version 2.2: the original length comes first",
      "a1b2c3d4 0002 0002 00000000 00000000 0000ffff 00000001 00000001 00000000 00000009 00000003 aabbcc",
      [[1_000000000n, "aabbcc", 9, 1, 0]],
    ],
    [
      "version 2.3: the larger length is the original one, in either place",
      `a1b2c3d4 0002 0003 00000000 00000000 0000ffff 00000001
       00000001 00000000 00000009 00000003 aabbcc
       00000001 00000000 00000003 00000009 aabbcc`,
      [
        [1_000000000n, "aabbcc", 9, 1, 0],
        [1_000000000n, "aabbcc", 9, 1, 0],
      ],
    ],
    [
      "version 543.0 of DG/UX: as 2.2",
      "a1b2c3d4 021f 0000 00000000 00000000 0000ffff 00000001 00000001 00000000 00000009 00000003 aabbcc",
      [[1_000000000n, "aabbcc", 9, 1, 0]],
    ],
    [
      "more captured than the snaplen: cut to it, as libpcap does",
      "a1b2c3d4 0002 0004 00000000 00000000 00000002 00000001 00000001 00000000 00000003 00000009 aabbcc",
      [[1_000000000n, "aabb", 9, 1, 0]],
    ],
    [
      "a frame check sequence in the upper bits of the link type",
      `a1b2c3d4 0002 0004 00000000 00000000 0000ffff 24000001 ${RECORD_BE}`,
      [[16909060_000005000n, "aabbcc", 9, 1, 0]],
    ],
  ])("%s", (_, text, rows) => {
    expect(readAll(file(text))).toEqual({ rows, error: undefined });
  });

  test("says what the header says", () => {
    const capture = readCaptureSync(file("4d3cb2a1 0200 0400 00000000 00000000 00000000 71000024"));
    expect(capture.header).toBeUndefined();
    expect([...capture]).toEqual([]);
    expect(capture.header).toMatchObject({
      format: "pcap",
      version: { major: 2, minor: 4 },
      littleEndian: true,
      // snaplen 0 means no limit: 262144
      interfaces: [{ id: 0, linktype: 113, snaplen: 262144, timestampResolution: 9, fcsBits: 32 }],
    });
  });

  test.each<[string, string, Row[], { offset: number; packet: number; message: RegExp }]>([
    ["empty", "", [], { offset: 0, packet: 1, message: /0 bytes has no magic/ }],
    ["three bytes", "a1b2c3", [], { offset: 0, packet: 1, message: /3 bytes has no magic/ }],
    [
      "no capture",
      "68656c6c6f",
      [],
      { offset: 0, packet: 1, message: /neither a pcap nor a pcapng file .*0x68656c6c/ },
    ],
    ["gzip", "1f8b0800 00000000", [], { offset: 0, packet: 1, message: /a gzip file, which must be unpacked/ }],
    ["magic only", "a1b2c3d4", [], { offset: 0, packet: 1, message: /ends 4 bytes into the file header of 24/ }],
    ["version 1.4", `a1b2c3d4 0001 ${TAIL_BE.slice(5)}`, [], { offset: 4, packet: 1, message: /version 1\.4/ }],
    ["version 2.5", `a1b2c3d4 0002 0005 ${TAIL_BE.slice(10)}`, [], { offset: 4, packet: 1, message: /version 2\.5/ }],
    [
      "one byte of a record header",
      `a1b2c3d4 ${TAIL_BE} 00`,
      [],
      { offset: 24, packet: 1, message: /packet 1, file offset 24: file ends 1 bytes into a record header of 16/ },
    ],
    [
      "packet cut after its second byte",
      `a1b2c3d4 ${TAIL_BE} ${RECORD_BE} ${RECORD_BE.slice(0, -2)}`,
      [[16909060_000005000n, "aabbcc", 9, 1, 0]],
      { offset: 43, packet: 2, message: /file ends 18 bytes into a packet of 19/ },
    ],
    [
      "a captured length of 4 GiB - 1",
      `a1b2c3d4 ${TAIL_BE} ${RECORD_BE} 00000000 00000000 ffffffff ffffffff 00`,
      [[16909060_000005000n, "aabbcc", 9, 1, 0]],
      { offset: 43, packet: 2, message: /captured length 4294967295 is larger than 262144/ },
    ],
    [
      "one byte more than any Ethernet packet, though the snaplen would allow it",
      "a1b2c3d4 0002 0004 00000000 00000000 7fffffff 00000001 00000000 00000000 00040001 00040001",
      [],
      { offset: 24, packet: 1, message: /captured length 262145 is larger than 262144/ },
    ],
  ])("damage: %s", (_, text, rows, { offset, packet, message }) => {
    const read = readAll(file(text));
    expect(read.rows).toEqual(rows);
    expect(read.error).toMatchObject({ code: "bad-capture", offset, packet, message: expect.stringMatching(message) });
  });

  test("D-Bus packets may be larger than others", () => {
    const header = file("a1b2c3d4 0002 0004 00000000 00000000 00000000 000000e7 00000000 00000000 00040001 00040001");
    const [packet] = [...readCaptureSync([header, new Uint8Array(262145)])];
    expect(packet!.data.length).toBe(262145);
  });
});

describe("pcapng", () => {
  const SHB_BE = "0a0d0d0a 0000001c 1a2b3c4d 0001 0000 ffffffffffffffff 0000001c";
  const SHB_LE = "0a0d0d0a 1c000000 4d3c2b1a 0100 0000 ffffffffffffffff 1c000000";
  const IDB_BE = "00000001 00000014 0001 0000 00000000 00000014"; // Ethernet, no snaplen
  const IDB_LE = "01000000 14000000 6500 0000 00000000 14000000"; // raw IP
  // Interface 0, time 2^32 + 5 units, 3 of 9 bytes captured, padded to 4.
  const EPB_BE = "00000006 00000024 00000000 00000001 00000005 00000003 00000009 aabbcc00 00000024";
  const EPB_LE = "06000000 24000000 00000000 01000000 05000000 03000000 09000000 aabbcc00 24000000";
  const idb = (options: string, size: string) => `00000001 000000${size} 0001 0000 00000000 ${options} 000000${size}`;

  test.each<[string, string, Row[]]>([
    [
      "big-endian, microseconds when nothing is said",
      `${SHB_BE} ${IDB_BE} ${EPB_BE}`,
      [[4294967301000n, "aabbcc", 9, 1, 0]],
    ],
    ["little-endian", `${SHB_LE} ${IDB_LE} ${EPB_LE}`, [[4294967301000n, "aabbcc", 9, 101, 0]]],
    [
      "two sections of different byte orders, interfaces forgotten in between",
      `${SHB_BE} ${IDB_BE} ${EPB_BE} ${SHB_LE} ${IDB_LE} ${EPB_LE}`,
      [
        [4294967301000n, "aabbcc", 9, 1, 0],
        [4294967301000n, "aabbcc", 9, 101, 0],
      ],
    ],
    [
      "two interfaces with their own link type and snaplen, the second described after the first packet",
      `${SHB_BE} ${IDB_BE} ${EPB_BE}
       00000001 00000014 0071 0000 00000002 00000014                              ; cooked, snaplen 2
       00000006 00000024 00000001 00000000 00000001 00000002 00000009 aabb0000 00000024
       ${EPB_BE}`,
      [
        [4294967301000n, "aabbcc", 9, 1, 0],
        [1000n, "aabb", 9, 113, 1],
        [4294967301000n, "aabbcc", 9, 1, 0],
      ],
    ],
    [
      "if_tsresol 10^-9",
      `${SHB_BE} ${idb("0009 0001 09000000 0000 0000", "20")} ${EPB_BE}`,
      [[4294967301n, "aabbcc", 9, 1, 0]],
    ],
    [
      "if_tsresol 10^-3, without opt_endofopt",
      `${SHB_BE} ${idb("0009 0001 03000000", "1c")} ${EPB_BE}`,
      [[4294967301000000n, "aabbcc", 9, 1, 0]],
    ],
    [
      "if_tsresol 10^-12: picoseconds are cut off",
      `${SHB_BE} ${idb("0009 0001 0c000000 0000 0000", "20")} ${EPB_BE}`,
      [[4294967n, "aabbcc", 9, 1, 0]],
    ],
    [
      "if_tsresol 2^-32: 1 s and 5/2^32 s, which is 1.16 ns",
      `${SHB_BE} ${idb("0009 0001 a0000000 0000 0000", "20")} ${EPB_BE}`,
      [[1_000000001n, "aabbcc", 9, 1, 0]],
    ],
    [
      "if_tsresol 0: whole seconds",
      `${SHB_BE} ${idb("0009 0001 00000000 0000 0000", "20")} ${EPB_BE}`,
      [[4294967301_000000000n, "aabbcc", 9, 1, 0]],
    ],
    [
      "if_tsoffset 1000 s, and an unknown option before it",
      `${SHB_BE} ${idb("8123 0003 01020300 000e 0008 00000000000003e8 0000 0000", "2c")} ${EPB_BE}`,
      [[4294967301000n + 1000_000000000n, "aabbcc", 9, 1, 0]],
    ],
    [
      "if_tsoffset -5000 s: before 1970",
      `${SHB_BE} ${idb("000e 0008 ffffffffffffec78 0000 0000", "24")} ${EPB_BE}`,
      [[4294967301000n - 5000_000000000n, "aabbcc", 9, 1, 0]],
    ],
    [
      "Simple Packet Block: no time; the length is the original one",
      `${SHB_BE} ${IDB_BE} 00000003 00000014 00000003 aabbcc00 00000014`,
      [[0n, "aabbcc", 3, 1, 0]],
    ],
    [
      "Simple Packet Block cut by the snaplen, 2",
      `${SHB_BE} 00000001 00000014 0001 0000 00000002 00000014 00000003 00000014 00000009 aabb0000 00000014`,
      [[0n, "aabb", 9, 1, 0]],
    ],
    [
      "obsolete Packet Block: 16-bit interface, drops",
      `${SHB_BE} ${IDB_BE} 00000002 00000024 0000 ffff 00000001 00000005 00000003 00000009 aabbcc00 00000024`,
      [[4294967301000n, "aabbcc", 9, 1, 0]],
    ],
    [
      "unknown blocks, name resolution and options of a packet are passed over",
      `${SHB_BE} 80000bad 00000010 01020304 00000010 ${IDB_BE} 00000004 0000000c 0000000c
       00000006 0000002c 00000000 00000001 00000005 00000003 00000009 aabbcc00 7fff 0063 01020304 0000002c`,
      [[4294967301000n, "aabbcc", 9, 1, 0]],
    ],
    [
      "version 1.2",
      `${SHB_BE.replace("0001 0000", "0001 0002")} ${IDB_BE} ${EPB_BE}`,
      [[4294967301000n, "aabbcc", 9, 1, 0]],
    ],
    ["a section without anything", SHB_BE, []],
    [
      "a section length that is wrong",
      `${SHB_BE.replace("f".repeat(16), "0000000000000001")} ${IDB_BE} ${EPB_BE}`,
      [[4294967301000n, "aabbcc", 9, 1, 0]],
    ],
  ])("%s", (_, text, rows) => {
    expect(readAll(file(text))).toEqual({ rows, error: undefined });
  });

  test("says what the interface says", () => {
    // if_name "Fö", if_fcslen 32, if_tsresol 2^-20
    const capture = readCaptureSync(
      file(`${SHB_BE} ${idb("0002 0003 46c3b600 000d 0001 20000000 0009 0001 94000000 0000 0000", "30")}`),
    );
    expect([...capture]).toEqual([]);
    expect(capture.header).toMatchObject({
      format: "pcapng",
      version: { major: 1, minor: 0 },
      littleEndian: false,
      interfaces: [{ id: 0, linktype: 1, snaplen: 262144, name: "Fö", fcsBits: 32, timestampResolution: 0x94 }],
    });
  });

  const BEFORE: Row[] = [[4294967301000n, "aabbcc", 9, 1, 0]];
  // SHB 28, IDB 20, EPB 36 bytes: what follows begins at 84.
  test.each<[string, string, number, RegExp]>([
    [
      "a length below 12",
      "00000063 00000008 00000008",
      84,
      /type 99 with a length of 8, which is not a multiple of 4 in 12\.\./,
    ],
    ["a length that is no multiple of 4", "00000063 0000000d 00000000 0d", 84, /length of 13/],
    ["a length of 4 GiB", "00000063 fffffffc 00000000", 84, /length of 4294967292/],
    ["different lengths in front and behind", "00000063 00000010 00000000 0000000c", 84, /front and behind differ/],
    ["the file ends in a block header", "00000063 0000", 84, /ends 6 bytes into a block header of 12/],
    ["the file ends in a block", "00000063 00000010 00000000", 84, /ends 12 bytes into a block of type 99 of 16/],
    ["an interface nobody described", EPB_BE.replace("24 00000000", "24 00000001"), 84, /interface 1, .*0\.\.0 are/],
    [
      "more captured than the block holds",
      EPB_BE.replace("00000003", "00000005"),
      84,
      /captured length 5 does not fit/,
    ],
    [
      "more captured than any packet has",
      EPB_BE.replace("00000003", "00040001"),
      84,
      /captured length 262145 is larger/,
    ],
    ["a packet block without room", "00000006 00000010 00000000 00000010", 84, /no room for its fields/],
    ["a simple packet longer than its block", "00000003 00000014 00000005 aabbcc00 00000014", 84, /5 does not fit/],
    ["an interface block without room", "00000001 00000010 00010000 00000010", 84, /no room for its fields/],
    ["an option past its block", idb("0002 0190 61000000", "1c"), 100, /option 2 of 400 bytes runs past/],
    ["if_tsresol of two bytes", idb("0009 0002 06060000", "1c"), 100, /option 9 with 2 bytes instead of 1/],
    ["if_tsoffset of four bytes", idb("000e 0004 00000000", "1c"), 100, /option 14 with 4 bytes instead of 8/],
    ["if_tsresol 10^-20", idb("0009 0001 14000000", "1c"), 84, /10\^-20 is finer than 10\^-19/],
    ["if_tsresol 2^-64", idb("0009 0001 c0000000", "1c"), 84, /2\^-64 is finer than 2\^-63/],
    ["two if_tsresol", idb("0009 0001 06000000 0009 0001 06000000", "24"), 108, /second if_tsresol/],
    ["version 2.0", SHB_BE.replace("0001 0000", "0002 0000"), 96, /version 2\.0/],
    ["a new section in no byte order", SHB_BE.replace("1a2b3c4d", "deadbeef"), 92, /byte-order magic/],
    ["a section header of 2 MiB", SHB_BE.replace("0000001c", "00200000"), 84, /length of 2097152/],
  ])("damage: %s", (_, text, offset, message) => {
    const read = readAll(file(`${SHB_BE} ${IDB_BE} ${EPB_BE} ${text}`));
    expect(read.rows).toEqual(BEFORE);
    expect(read.error).toMatchObject({
      code: "bad-capture",
      offset,
      packet: 2,
      message: expect.stringMatching(message),
    });
  });

  test("a packet before any interface is damage", () => {
    const read = readAll(file(`${SHB_BE} ${EPB_BE}`));
    expect(read.error).toMatchObject({ offset: 28, packet: 1, message: expect.stringMatching(/none is described/) });
  });

  test("more captured than the interface's snaplen is damage, as libpcap has it", () => {
    const read = readAll(file(`${SHB_BE} ${IDB_BE.replace("00000000", "00000002")} ${EPB_BE}`));
    expect(read.error).toMatchObject({ offset: 48, packet: 1, message: expect.stringMatching(/3 is larger than 2/) });
  });

  test("interfaces without end are damage, so that they do not fill the memory", () => {
    const interfaceBlock = file(IDB_BE);
    function* source() {
      yield file(SHB_BE);
      for (let i = 0; i < 65_537; i++) yield interfaceBlock;
    }
    const read = readAll(source());
    expect(read.error).toMatchObject({ offset: 28 + 65_536 * 20, message: expect.stringMatching(/more than 65536/) });
  });

  test("a batch holds packets of one section and one link type", () => {
    const second = "00000001 00000014 0071 0000 00000000 00000014";
    const other = EPB_BE.replace("24 00000000", "24 00000001");
    const bytes = file(
      `${SHB_BE} ${IDB_BE} ${second} ${EPB_BE} ${EPB_BE} ${other} ${EPB_BE} ${SHB_LE} ${IDB_LE} ${EPB_LE}`,
    );
    const shapes: number[][] = [];
    for (const { count, linktype, firstNumber } of readCaptureSync(bytes).batches())
      shapes.push([count, linktype, firstNumber]);
    expect(shapes).toEqual([
      [2, 1, 1],
      [1, 113, 3],
      [1, 1, 4],
      [1, 101, 5],
    ]);
  });
});

describe("reading", () => {
  const CAPTURE = file(`a1b2c3d4 0002 0004 00000000 00000000 0000ffff 00000001
    00000001 00000000 00000003 00000009 aabbcc
    00000002 00000000 00000002 00000002 ddee
    00000003 00000000 00000001 00000001 ff`);
  const ROWS: Row[] = [
    [1_000000000n, "aabbcc", 9, 1, 0],
    [2_000000000n, "ddee", 2, 1, 0],
    [3_000000000n, "ff", 1, 1, 0],
  ];

  const asyncRows = async (source: Parameters<typeof readCapture>[0]) => {
    const rows: Row[] = [];
    for await (const packet of readCapture(source)) rows.push(rowOf(packet));
    return rows;
  };

  test("a batch is what engines take", () => {
    expectTypeOf<CaptureBatch>().toExtend<PacketBatch>();
    for (const batch of readCaptureSync(CAPTURE).batches()) {
      expect([...batch.table.subarray(0, 2 * batch.count)]).toEqual([40, 3, 59, 2, 77, 1]);
      expect([...batch.lengths.subarray(0, batch.count)]).toEqual([9, 2, 1]);
      expect(batch.bytes.subarray(40, 43)).toEqual(Uint8Array.of(0xaa, 0xbb, 0xcc));
      expect(batch.data(1)).toEqual(Uint8Array.of(0xdd, 0xee));
      expect(batch.timestamp(2)).toBe(3_000000000n);
    }
  });

  test("packets view the file's bytes, and stay when the next batch comes", () => {
    const packets = [...readCaptureSync(CAPTURE, { batchSize: 1 })];
    expect(packets.map(rowOf)).toEqual(ROWS);
    expect(packets[1]!.data.buffer).toBe(CAPTURE.buffer);
  });

  test("packets across chunks stay too", () => {
    const packets = [...readCaptureSync(Array.from(CAPTURE, (byte) => Uint8Array.of(byte)))];
    expect(packets.map(rowOf)).toEqual(ROWS);
  });

  test.each<[string, () => Parameters<typeof readCapture>[0]]>([
    ["bytes", () => CAPTURE],
    ["an array of chunks", () => [CAPTURE.subarray(0, 30), new Uint8Array(0), CAPTURE.subarray(30)]],
    [
      "an async generator",
      async function* () {
        yield CAPTURE.subarray(0, 50);
        yield CAPTURE.subarray(50);
      },
    ],
    ["a web stream", () => new Blob([CAPTURE as Uint8Array<ArrayBuffer>]).stream()],
    [
      "the reader half of a web stream",
      () => {
        const stream = new Blob([CAPTURE as Uint8Array<ArrayBuffer>]).stream();
        return { getReader: () => stream.getReader() };
      },
    ],
    ["Node buffers", () => [Buffer.from(CAPTURE)]],
  ] as [string, () => Parameters<typeof readCapture>[0]][])("reads %s", async (_, source) => {
    const made: unknown = source();
    expect(await asyncRows(made as Parameters<typeof readCapture>[0])).toEqual(ROWS);
  });

  /** A source that gives at most `most` bytes a time, and never touches what it was not given. */
  function direct(bytes: Uint8Array, into: PacketMemory, most: number): DirectSource {
    let at = 0;
    return {
      into,
      read(target) {
        const part = bytes.subarray(at, at + Math.min(most, target.length));
        target.set(part);
        at += part.length;
        return part.length;
      },
    };
  }

  test.each([1, 7, 64, 1 << 20])("reads straight into an arena, at most %i bytes a time", (most) => {
    const arena = createArena({ bytes: 64, packets: 2, lengths: true });
    const rows: Row[] = [];
    for (const batch of readCaptureSync(direct(CAPTURE, arena, most)).batches()) {
      expect(batch.memory).toBe(arena);
      expect([arena.count, arena.bytes === batch.bytes, arena.table === batch.table]).toEqual([
        batch.count,
        true,
        true,
      ]);
      for (let i = 0; i < batch.count; i++) {
        expect([arena.table[2 * i + 1], arena.lengths[i]]).toEqual([batch.data(i).length, batch.lengths[i]]);
        rows.push(rowOf(batch.packet(i)));
      }
    }
    expect(rows).toEqual(ROWS);
  });

  test("a record that is larger than the arena makes it grow, by the bytes that arrive", () => {
    const header = file("a1b2c3d4 0002 0004 00000000 00000000 00000000 00000001 00000000 00000000 00030d40 00030d40");
    const bytes = new Uint8Array(header.length + 200_000).fill(7);
    bytes.set(header);
    const arena = createArena({ bytes: 4096, packets: 8 });
    const [packet] = [...readCaptureSync(direct(bytes, arena, 5000))];
    expect(packet!.data.length).toBe(200_000);
    expect(packet!.data.every((byte) => byte === 7)).toBe(true);

    const promised = createArena({ bytes: 4096, packets: 8 });
    expect(() => [...readCaptureSync(direct(bytes.subarray(0, 3000), promised, 5000))]).toThrow(/ends 2976 bytes into/);
    expect(promised.byteCapacity).toBe(4096);
    const shared = createArena({ bytes: 4096, packets: 8, shared: true });
    expect(() => [...readCaptureSync(direct(bytes, shared, 5000))]).toThrow(expect.objectContaining({ code: "limit" }));
  });

  test.each([Number.NaN, -1, 4097, undefined, Promise.resolve(3)])("a source that reads %s bytes is refused", (got) => {
    const source = { into: createArena({ bytes: 4096, packets: 8 }), read: () => got as number };
    expect(() => [...readCaptureSync(source)]).toThrow(expect.objectContaining({ code: "bad-argument" }));
  });

  test("a batch that served for one file serves for another", () => {
    const writer = pcapngWriter();
    for (const linktype of [1, 1]) writer.addInterface({ linktype });
    writer.write({ data: Uint8Array.of(1), interfaceId: 1 });
    const batch = new CaptureBatch(8, createArena({ bytes: 4096, packets: 8, lengths: true }));
    const rows: Row[][] = [];
    for (const bytes of [writer.take(), CAPTURE]) {
      const inFile: Row[] = [];
      for (const { count } of readInto(new Scanner(batch), direct(bytes, batch.memory!, 4096))) {
        for (let i = 0; i < count; i++) {
          expect(batch.packet(i).number).toBe(inFile.length + 1);
          inFile.push(rowOf(batch.packet(i)));
        }
      }
      rows.push(inFile);
    }
    expect(rows).toEqual([[[0n, "01", 1, 1, 1]], ROWS]);
  });

  test("a filter runs over the arena that a file is read into", () => {
    const arena = createArena({ bytes: 4096, packets: 2, lengths: true });
    const filter = Program.parse("ld #len\njgt #2, yes, no\nyes: ret #1\nno: ret #0").filter(engineNamed("wasm"));
    const matched: number[] = [];
    for (const _ of readCaptureSync(direct(CAPTURE, arena, 4096)).batches()) matched.push(filter.runBatch(arena));
    expect(matched).toEqual([1, 0]); // 9 and 2 bytes on the wire; 1
  });

  test("a packet's bytes are a plain Uint8Array, not the Buffer they came in", () => {
    const [packet] = [...readCaptureSync([Buffer.from(CAPTURE)])];
    expect(packet!.data.constructor).toBe(Uint8Array);
  });

  test("leaving the loop early closes the source", async () => {
    let closed = 0;
    async function* source() {
      try {
        yield CAPTURE;
      } finally {
        closed++;
      }
    }
    for await (const _ of readCapture(source())) break;
    let cancelled = false;
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(CAPTURE),
      cancel: () => {
        cancelled = true;
      },
    });
    for await (const _ of readCapture({ getReader: () => stream.getReader() })) break;
    expect({ closed, cancelled }).toEqual({ closed: 1, cancelled: true });
  });

  test("an error of the source comes through as it is", async () => {
    async function* source() {
      yield CAPTURE;
      throw new RangeError("disk on fire");
    }
    await expect(asyncRows(source())).rejects.toThrow(RangeError);
  });

  test.each<[string, () => unknown]>([
    ["a batch size of 0", () => readCaptureSync(CAPTURE, { batchSize: 0 })],
    ["a batch size of 1.5", () => readCapture(CAPTURE, { batchSize: 1.5 })],
    [
      "a second iteration",
      () => {
        const capture = readCaptureSync(CAPTURE);
        return [...capture, ...capture];
      },
    ],
    ["chunks that are text", () => [...readCaptureSync(["text"] as unknown as Uint8Array[])]],
    ["chunks of 16-bit numbers", () => [...readCaptureSync([new Uint16Array(2)] as unknown as Uint8Array[])]],
  ])("%s is refused", (_, act) => {
    expect(act).toThrow(expect.objectContaining({ name: "BpfError", code: "bad-argument" }));
  });

  test("a gigabyte goes by in constant memory", () => {
    // One MiB of 64-byte records, whole ones, so that every chunk can be the same memory.
    const chunk = new Uint8Array(1 << 20);
    for (let at = 0; at < chunk.length; at += 64) chunk[at + 11] = chunk[at + 15] = 48;
    function* source() {
      yield CAPTURE.subarray(0, 24);
      for (let i = 0; i < 1024; i++) yield chunk;
    }
    const before = process.memoryUsage().rss;
    let packets = 0;
    let peak = 0;
    for (const batch of readCaptureSync(source()).batches()) {
      packets += batch.count;
      if (batch.firstNumber % 262_144 === 1) peak = Math.max(peak, process.memoryUsage().rss);
    }
    expect(packets).toBe(1024 * 16_384);
    expect(peak).toBeGreaterThan(0);
    expect(peak - before).toBeLessThan(64 * 1024 * 1024);
  });

  test("a promised length allocates nothing", () => {
    // A D-Bus packet may have 128 MiB; this one promises them and has 100 bytes.
    const header = file("a1b2c3d4 0002 0004 00000000 00000000 00000000 000000e7 00000000 00000000 08000000 08000000");
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 50; i++) {
      const read = readAll([header, new Uint8Array(100)]);
      expect(read.error).toMatchObject({ code: "bad-capture", offset: 24, packet: 1 });
      expect(read.error!.message).toMatch(/file ends 116 bytes into a packet of 134217744/);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 * 1024 * 1024);
  });

  test.each([
    ["1f8b08", true],
    ["1f8b", true],
    ["1f", false],
    ["", false],
    ["a1b2c3d4", false],
  ])("isGzip of %s is %s", (bytes, is) => {
    expect(isGzip(fromHex(bytes))).toBe(is);
  });
});
