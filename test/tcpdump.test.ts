// `cbpf run` with programs made by `tcpdump -dd` picks exactly the packets that tcpdump itself picks.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import { readCaptureSync } from "../src/capture/read.ts";
import { NO_CONTEXT } from "../src/program/packet-context.ts";
import { Program } from "../src/vm/program.ts";
import { cbpf } from "./terminal.ts";

const OWN = fileURLToPath(new URL("./captures", import.meta.url));
const SHARED = process.env.CBPF_SHARED ?? fileURLToPath(new URL("../../shared", import.meta.url));

// biome-ignore format: a list
const EXPRESSIONS = [
  "", "ip", "ip6", "arp", "tcp", "udp", "icmp", "icmp6", "not ip", "ip or arp",
  "port 80", "tcp port 80", "tcp port 22", "udp port 53", "port 53 or port 67 or port 68", "portrange 1-1023",
  "src port 53", "dst port 53", "tcp dst port 80 or 443", "host 127.0.0.1", "src host 127.0.0.1", "net 10.0.0.0/8",
  "net 192.168.0.0/16", "src net 127.0.0.0/8 and tcp", "dst host 224.0.0.5", "ip6 host ff02::5", "net fe80::/10",
  "ether multicast", "ether broadcast", "ip multicast", "ip6 multicast", "ether host 01:00:5e:00:00:05",
  "less 64", "greater 500", "len = 60 or len > 1000", "vlan", "vlan and ip", "vlan 100 and udp", "mpls", "pppoes", "pppoed",
  "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "tcp[13] = 2", "ip[0] & 0xf != 5", "ip[6:2] & 0x1fff != 0", "icmp[0] = 8",
  "icmp[icmptype] = icmp-unreach", "udp[4:2] > 100", "ether[12:2] > 1500", "ip[2:2] = 60", "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420",
  "ip proto 89", "proto 47", "ip6 proto 58", "ah", "esp", "vrrp", "pim", "igmp", "sctp", "stp", "ipx", "isis", "llc",
  "host 192.0.2.1 and not port 22", "not (tcp or udp)", "(tcp or udp) and (port 53 or port 80) and not net 10.0.0.0/8",
  "ether proto 0x88cc", "ether[0] & 1 = 0 and ip[16] >= 224", "not ether dst ff:ff:ff:ff:ff:ff", "gateway 0:0:0:0:0:1 or arp",
];

/** Half of them, spread over the list, in ordinary runs; every one with CBPF_LONG. */
const CHOSEN = process.env.CBPF_LONG ? EXPRESSIONS : EXPRESSIONS.filter((_expression, i) => i % 2 === 0);

/** Seconds in a pcap file are a u32: what tcpdump writes has lost what lies above. */
const ERA = 0x1_0000_0000n * 1_000_000_000n;

const HAS_TCPDUMP = spawnSync("tcpdump", ["--version"]).status === 0;
const FOLDER = mkdtempSync(join(tmpdir(), "cbpf-tcpdump-"));
afterAll(() => rmSync(FOLDER, { recursive: true }));

/** The program of an expression, or undefined where tcpdump refuses it. */
function compiled(expression: string): string | undefined {
  const { status, stdout } = spawnSync("tcpdump", ["-y", "EN10MB", "-dd", expression], { encoding: "utf8" });
  return status === 0 ? stdout : undefined;
}

const PROGRAMS = HAS_TCPDUMP
  ? CHOSEN.flatMap((expression): [string, string][] => {
      const text = compiled(expression);
      return text === undefined ? [] : [[expression, text]];
    })
  : [];

function captures(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /\.pcap(ng)?$/.test(name))
    .map((name) => join(folder, name))
    .filter(isEthernetForBoth);
}

/** Ethernet captures that tcpdump reads to the end. */
function isEthernetForBoth(path: string): boolean {
  try {
    for (const { linktype } of readCaptureSync(readFileSync(path))) if (linktype !== 1) return false;
    return spawnSync("tcpdump", ["-r", path, "-w", "/dev/null"]).status === 0;
  } catch (error) {
    if (error instanceof BpfError) return false;
    throw error;
  }
}

const FILES = HAS_TCPDUMP ? [...captures(OWN), ...captures(join(SHARED, "captures"))] : [];
if (!HAS_TCPDUMP) console.log("tcpdump comparison: skipped, tcpdump is not installed");
else if (!existsSync(join(SHARED, "captures"))) console.log("tcpdump comparison: own captures only, no shared folder");

describe.skipIf(!HAS_TCPDUMP)("the packets tcpdump picks", () => {
  test("at least 30 expressions compile, and there are captures", () => {
    expect(PROGRAMS.length).toBeGreaterThanOrEqual(30);
    expect(FILES.length).toBeGreaterThan(0);
  });

  test.each(FILES.map((path) => [path.split("/").at(-1)!, path] as const))("%s", async (name, path) => {
    const packets = readFileSync(path);
    for (const [expression, text] of PROGRAMS) {
      const theirs = join(FOLDER, "theirs.pcap");
      execFileSync("tcpdump", ["--nano", "-r", path, "-w", theirs, ...(expression === "" ? [] : [expression])], {
        stdio: "ignore",
      });
      const want = [...readCaptureSync(readFileSync(theirs))].map((p) => [
        p.timestamp % ERA,
        p.originalLength,
        Buffer.from(p.data).toString("hex"),
      ]);
      const program = Program.parse(text);
      const got = [...readCaptureSync(packets)]
        .filter((p) => program.matches(p.data, { ...NO_CONTEXT, length: p.originalLength }))
        .map((p) => [p.timestamp % ERA, p.originalLength, Buffer.from(p.data).toString("hex")]);
      expect(got, `${name}: ${expression}`).toEqual(want);
    }
  });

  test("the command line picks the same", async () => {
    const path = FILES[0]!;
    for (const [expression, text] of PROGRAMS) {
      const ours = join(FOLDER, "ours.pcap");
      const theirs = join(FOLDER, "theirs.pcap");
      await cbpf(["run", "-w", ours, text, path]);
      execFileSync("tcpdump", ["-r", path, "-w", theirs, ...(expression === "" ? [] : [expression])], {
        stdio: "ignore",
      });
      expect(readFileSync(ours).subarray(24).equals(readFileSync(theirs).subarray(24)), expression).toBe(true);
    }
  });
});
