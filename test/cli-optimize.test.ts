// cbpf optimize, prove, solve, and dump --stage graph.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readCaptureSync } from "../src/capture/read.ts";
import { cbpf } from "./terminal.ts";

const FOLDER = mkdtempSync(join(tmpdir(), "cbpf-optimize-"));
afterAll(() => rmSync(FOLDER, { recursive: true }));

const IPV4 = "ldh [12]; jeq #0x800, yes, no; yes: ret #1; no: ret #0";
const IPV4_TWICE = "ldh [12]; jeq #0x800, more, no; more: ldh [12]; jeq #0x800, yes, no; yes: ret #1; no: ret #0";

describe("cbpf optimize", () => {
  test("prints the shorter program", async () => {
    const { status, out } = await cbpf(["optimize", IPV4_TWICE]);
    expect(out).toBe(
      "(000) ldh      [12]\n(001) jeq      #0x800           jt 2\tjf 3\n(002) ret      #1\n(003) ret      #0\n",
    );
    expect(status).toBe(0);
  });

  test("takes an expression, and says what each pass saved", async () => {
    const { out } = await cbpf(["optimize", "--explain", "port 80 or port 443"]);
    expect(out).toMatch(/^\d+ to 2[0-9] instructions, \d+ % fewer\n {2}imply +\d+ to \d+\n/);
  });

  test("says why a program stays as it is", async () => {
    const { out } = await cbpf(["optimize", "--explain", IPV4]);
    expect(out).toBe("4 instructions, unchanged: nothing smaller was found\n");
  });

  test("refuses a goal that is none", async () => {
    const { status, err } = await cbpf(["optimize", "--goal", "small", IPV4]);
    expect(status).toBe(2);
    expect(err).toContain("--goal small: expected one of size, speed, balanced");
  });
});

describe("cbpf prove", () => {
  test.each(["z3", "paths"])("equal, by %s", async (by) => {
    expect(await cbpf(["prove", "--by", by, IPV4, IPV4_TWICE])).toMatchObject({ status: 0, out: `equal, by ${by}\n` });
  });

  test("expressions that differ, with a packet in a file", async () => {
    const file = join(FOLDER, "different.pcap");
    const { status, out } = await cbpf(["prove", "-o", file, "tcp port 80", "port 80"]);
    expect(out).toMatch(/^different: verdicts (0 and 262144|262144 and 0) on \d+ bytes\n[0-9a-f]+\n$/);
    expect(status).toBe(1);
    const [packet] = [...readCaptureSync(readFileSync(file))];
    expect(out).toContain(Buffer.from(packet!.data).toString("hex"));
  });
});

describe("cbpf solve", () => {
  test("writes a packet that the filter accepts", async () => {
    const file = join(FOLDER, "solved.pcap");
    expect(await cbpf(["solve", "-o", file, "icmp6 or (tcp and port 443)"])).toMatchObject({ status: 0 });
    const { out } = await cbpf(["compile", "--to", "tcpdump-ddd", "icmp6 or (tcp and port 443)"]);
    expect(await cbpf(["run", "--count", out, file])).toMatchObject({ out: "1\n" });
  });

  test("proves that there is none", async () => {
    expect(await cbpf(["solve", "tcp", "udp"])).toMatchObject({ status: 1, out: "none: no packet is accepted\n" });
  });
});

test("cbpf dump --stage graph shows the graph before and after", async () => {
  const { out } = await cbpf(["dump", "--stage", "graph", IPV4_TWICE]);
  expect(out).toBe(
    [
      "lifted:",
      "n0: if P2[12] == 0x800 then n1 else return 0",
      "n1: if P2[12] == 0x800 then return 1 else return 0",
      "",
      "after imply:",
      "n0: if P2[12] == 0x800 then return 1 else return 0",
      "",
    ].join("\n"),
  );
});
