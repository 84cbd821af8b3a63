/**
 * Capture files against tcpdump and tshark: the same packets, bytes and times, the same judgement on damaged files, and
 * both accept what the writers write.
 *
 * tcpdump rewrites a file as a nanosecond pcap in host byte order, which sixteen lines here take apart.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { HOST_LITTLE_ENDIAN } from "../src/base/bytes.ts";
import { BpfError } from "../src/base/errors.ts";
import { pcapngWriter, pcapWriter, readCaptureSync } from "../src/capture/index.ts";

const shared = process.env.CBPF_SHARED ?? fileURLToPath(new URL("../../shared", import.meta.url));
const folders = [join(shared, "captures"), fileURLToPath(new URL("captures", import.meta.url))];
const captures = folders
  .filter((folder) => existsSync(folder))
  .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
  .filter((path) => /\.pcap(ng)?$/.test(path));

const missing = (tool: string) => spawnSync(tool, ["--version"]).error !== undefined;
const noTcpdump = missing("tcpdump");
const noTshark = missing("tshark");
if (noTcpdump) console.log("capture-tcpdump.test: tcpdump is not there, nothing is compared with it");
if (noTshark) console.log("capture-tcpdump.test: tshark is not there, nothing is compared with it");
if (!existsSync(folders[0]!))
  console.log(`capture-tcpdump.test: no folder of foreign captures, only the project's own are compared`);

interface Plain {
  timestamp: bigint;
  data: Buffer;
  originalLength: number;
}

const folder = mkdtempSync(join(tmpdir(), "cbpf-capture-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The packets of a file as tcpdump sees them, and whether it found the file whole. */
function byTcpdump(path: string): { packets: Plain[]; whole: boolean; stderr: string } {
  const out = join(folder, "tcpdump.pcap");
  rmSync(out, { force: true });
  const { stderr, status } = spawnSync("tcpdump", ["--nano", "-r", path, "-w", out], { encoding: "utf8" });
  const packets: Plain[] = [];
  if (existsSync(out)) {
    const file = readFileSync(out);
    const u32 = (at: number) => (HOST_LITTLE_ENDIAN ? file.readUInt32LE(at) : file.readUInt32BE(at));
    expect(u32(0)).toBe(0xa1b23c4d);
    for (let at = 24; at < file.length; at += 16 + u32(at + 8)) {
      const timestamp = BigInt(u32(at)) * 1_000_000_000n + BigInt(u32(at + 4));
      packets.push({ timestamp, data: file.subarray(at + 16, at + 16 + u32(at + 8)), originalLength: u32(at + 12) });
    }
  }
  return { packets, whole: status === 0, stderr };
}

function byUs(path: string): { packets: Plain[]; error: BpfError | undefined } {
  const packets: Plain[] = [];
  try {
    for (const { timestamp, data, originalLength } of readCaptureSync(readFileSync(path))) {
      packets.push({ timestamp, data: Buffer.from(data), originalLength });
    }
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    return { packets, error };
  }
  return { packets, error: undefined };
}

/** libpcap refuses a file whose interfaces differ in link type, so this one is compared part by part. */
const TWO_LINKS = "two-links.pcapng";

describe.skipIf(noTcpdump)("read as tcpdump reads", () => {
  test("two interfaces of different link types: the packets of the two captures that were joined", () => {
    const own = folders[1]!;
    for (const [id, linktype, part] of [
      [0, 1, "ping.pcap"],
      [1, 276, "cooked.pcap"],
    ] as const) {
      const joined: Plain[] = [];
      for (const { interfaceId, interface: from, timestamp, data, originalLength } of readCaptureSync(
        readFileSync(join(own, TWO_LINKS)),
      )) {
        if (interfaceId !== id) continue;
        expect(from).toMatchObject({ linktype, name: part });
        joined.push({ timestamp, data: Buffer.from(data), originalLength });
      }
      expect(joined).toEqual(byTcpdump(join(own, part)).packets);
      expect(joined.length).toBeGreaterThan(0);
    }
  });

  const comparable = captures.filter((path) => !path.endsWith(TWO_LINKS));
  test.each(comparable.map((path) => [path.split("/").at(-1)!, path]))("%s", (name, path) => {
    const theirs = byTcpdump(path);
    const ours = byUs(path);
    // tcpdump -w keeps 32 bits of the seconds.
    const wrapped = ours.packets.map((packet) => ({
      ...packet,
      timestamp: packet.timestamp % (0x1_0000_0000n * 1_000_000_000n),
    }));
    expect(wrapped.length, theirs.stderr).toBe(theirs.packets.length);
    expect(wrapped).toEqual(theirs.packets);
    expect(ours.error === undefined, `${theirs.stderr} ${ours.error?.message}`).toBe(theirs.whole);
    if (ours.error !== undefined)
      expect(ours.error).toMatchObject({ code: "bad-capture", packet: ours.packets.length + 1 });
    if (name === "time_2106_overflow.pcapng")
      expect(ours.packets[0]!.timestamp).toBeGreaterThan(0xffff_ffffn * 1_000_000_000n);
  });

  // What tcpdump 4.99.3 says of each, and where the damage lies.
  test.skipIf(!existsSync(folders[0]!)).each([
    ["derived-corrupt-caplen.pcap", 1, 118, /captured length 2147483647/],
    ["derived-cut-midheader.pcap", 0, 24, /ends 5 bytes into a record header of 16/],
    ["derived-cut-midpacket.pcap", 9, 6539, /ends 45 bytes into a packet of 82/],
    ["pcap-invalid-version-1.pcap", 0, 4, /version 1\.4/],
    ["pcapng-invalid-vers-1.pcapng", 0, 12, /version 0\.1/],
    ["shb-option-too-long.pcapng", 0, 0, /front and behind differ/],
  ])("%s: %i packets, damage at offset %i", (name, packets, offset, message) => {
    const read = byUs(join(folders[0]!, name));
    expect(read.packets.length).toBe(packets);
    expect(read.error).toMatchObject({ offset, message: expect.stringMatching(message) });
  });
});

const PACKETS = [0, 1, 2, 59, 60, 1514, 9000].map((size, i) => ({
  data: Uint8Array.from({ length: size }, (_, j) => i + j),
  originalLength: size + i + 1,
  timestamp: 1_700_000_000_123_456_789n + BigInt(i) * 1_000_000_001n,
}));

describe.each(["us", "ns"] as const)("pcap written in %s", (timestampUnit) => {
  test.skipIf(noTcpdump).each([true, false])("is what tcpdump reads, little-endian: %s", (littleEndian) => {
    const writer = pcapWriter({ linktype: 1, timestampUnit, littleEndian });
    for (const packet of PACKETS) writer.write(packet);
    const path = join(folder, "written.pcap");
    writeFileSync(path, writer.take());
    const { packets, whole, stderr } = byTcpdump(path);
    expect(whole, stderr).toBe(true);
    const unit = timestampUnit === "us" ? 1000n : 1n;
    expect(packets).toEqual(
      PACKETS.map(({ timestamp, data, originalLength }) => ({
        timestamp: timestamp - (timestamp % unit),
        data: Buffer.from(data),
        originalLength,
      })),
    );
  });
});

describe.each([true, false])("pcapng written, little-endian: %s", (littleEndian) => {
  function written(linktypes: readonly [number, number]): string {
    const writer = pcapngWriter({
      littleEndian,
      interfaces: [
        { linktype: linktypes[0], name: "left", timestampOffset: 1000n },
        { linktype: linktypes[1], name: "rechts ü", timestampResolution: 0x80 | 32, fcsBits: 32 },
      ],
    });
    for (const [i, packet] of PACKETS.entries()) writer.write({ ...packet, interfaceId: i % 2 });
    const path = join(folder, "written.pcapng");
    writeFileSync(path, writer.take());
    return path;
  }

  test.skipIf(noTcpdump)("is what tcpdump reads", () => {
    // libpcap reads a file only when all its interfaces have one link type.
    const { packets, whole, stderr } = byTcpdump(written([1, 1]));
    expect(whole, stderr).toBe(true);
    expect(packets).toEqual(PACKETS.map((packet) => ({ ...packet, data: Buffer.from(packet.data) })));
  });

  test.skipIf(noTshark)("is what tshark reads, with two link types", () => {
    const fields = ["frame.interface_id", "frame.interface_name", "frame.time_epoch", "frame.cap_len", "frame.len"];
    const args = ["-r", written([1, 113]), "-T", "fields", ...fields.flatMap((field) => ["-e", field])];
    const { stdout, status, stderr } = spawnSync("tshark", args, { encoding: "utf8" });
    expect(status, stderr).toBe(0);
    const rows = stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split("\t"));
    expect(rows).toEqual(
      PACKETS.map(({ data, originalLength, timestamp }, i) => [
        String(i % 2),
        i % 2 === 0 ? "left" : "rechts ü",
        `${timestamp / 1_000_000_000n}.${String(timestamp % 1_000_000_000n).padStart(9, "0")}`,
        String(data.length),
        String(originalLength),
      ]),
    );
  });
});
