/** The table of link types, against libpcap's header and tcpdump where they are installed. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { pcapWriter } from "../src/capture/index.ts";
import { dltOf, LINK_TYPES, linktypeFromName, linktypeName, linktypeRow } from "../src/link/linktypes.ts";

const HEADER = "/usr/include/pcap/dlt.h";
const noTcpdump = spawnSync("tcpdump", ["--version"]).error !== undefined;
if (!existsSync(HEADER)) console.log(`linktypes.test: ${HEADER} is not there (Debian: libpcap-dev), not compared`);
if (noTcpdump) console.log("linktypes.test: tcpdump is not there, not compared");

test("numbers and names are unique, rows are in order", () => {
  const numbers = LINK_TYPES.map(({ linktype }) => linktype);
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
  const names = LINK_TYPES.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
  expect(new Set(names).size).toBe(names.length);
});

test.each<[string, number | undefined]>([
  ["EN10MB", 1],
  ["en10mb", 1],
  ["ethernet", 1],
  ["DLT_EN10MB", 1],
  ["LINKTYPE_ETHERNET", 1],
  ["RAW", 101],
  ["linux_sll2", 276],
  ["PPP_HDLC", 50],
  ["12", 12],
  ["65535", 65535],
  ["65536", undefined],
  ["-1", undefined],
  ["etherne", undefined],
  ["", undefined],
  ["constructor", undefined],
])("linktypeFromName(%j) is %s", (name, linktype) => {
  expect(linktypeFromName(name)).toBe(linktype);
});

test.each([
  // linktype, name, DLT on Linux
  [1, "EN10MB", 1],
  [101, "RAW", 12],
  [12, "RAW", 12], // a file with the DLT number, as some writers left it
  [100, "ATM_RFC1483", 11],
  [113, "LINUX_SLL", 113],
  [65535, "65535", 65535],
])("%i is %s, DLT %i", (linktype, name, dlt) => {
  expect(linktypeName(linktype)).toBe(name);
  expect(dltOf(linktype)).toBe(dlt);
});

describe.skipIf(!existsSync(HEADER))("against libpcap's header", () => {
  test("every DLT_* of Linux is there under its number", () => {
    // The names that stand in preprocessor branches, or are no link types.
    const left =
      /^(MATCHING_M|CLASS|NETBSD_RAWAF|IS_|HIPPI|CHDLC|USB$|PFSYNC|HHDLC|SLIP_BSDOS|PPP_BSDOS|RAW|LOOP|ENC|HDLC|PKTAP|IEEE802_15_4$)/;
    let compared = 0;
    for (const [, name, number] of readFileSync(HEADER, "utf8").matchAll(/^#\s*define\s+DLT_(\w+)\s+(\d+)/gm)) {
      if (left.test(name!)) continue;
      const row = LINK_TYPES.find((row) => row.name === name || row.alias === name);
      expect(row?.dlt, `DLT_${name}`).toBe(Number(number));
      compared++;
    }
    expect(compared).toBeGreaterThan(150);
  });
});

describe.skipIf(noTcpdump)("against tcpdump", () => {
  test("tcpdump gives every row the same name", () => {
    const folder = mkdtempSync(join(tmpdir(), "cbpf-linktypes-"));
    let named = 0;
    try {
      for (const { linktype, name } of LINK_TYPES) {
        const file = join(folder, "empty.pcap");
        writeFileSync(file, pcapWriter({ linktype }).take());
        const { stderr } = spawnSync("tcpdump", ["-r", file], { encoding: "utf8" });
        const [, printed] = /link-type (\w+)/.exec(stderr) ?? [];
        expect(printed, `${linktype}: ${stderr}`).toBeDefined();
        if (/^\d+$/.test(printed!)) continue; // a type that libpcap has no name for
        expect(printed, `link type ${linktype}`).toBe(name);
        named++;
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect(named).toBeGreaterThan(100);
  });
});

test("rows are what linktypeRow finds", () => {
  for (const row of LINK_TYPES) expect(linktypeRow(row.linktype)).toBe(row);
});
