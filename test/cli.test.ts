import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readCaptureSync } from "../src/capture/read.ts";
import { pcapWriter } from "../src/capture/write-pcap.ts";
import { cbpf } from "./terminal.ts";

const FOLDER = mkdtempSync(join(tmpdir(), "cbpf-cli-"));
afterAll(() => rmSync(FOLDER, { recursive: true }));
const at = (name: string): string => join(FOLDER, name);

const IPV4 = "ldh [12]\njeq #0x800, yes, no\nyes: ret #262144\nno: ret #0";

/** Four frames: IPv4 TCP, ARP, IPv4 UDP, and one cut to 10 of 60 bytes. */
function frames(): Uint8Array {
  const writer = pcapWriter({ linktype: 1 });
  const frame = (etherType: number, rest: readonly number[]): Uint8Array => {
    const bytes = new Uint8Array(60);
    bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, etherType >> 8, etherType & 0xff, ...rest]);
    return bytes;
  };
  const ip = (protocol: number): number[] => [
    ...[0x45, 0, 0, 46, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2],
    ...[0, 80, 0xc3, 0x50],
  ];
  const data = [frame(0x800, ip(6)), frame(0x806, [0, 1]), frame(0x800, ip(17)), frame(0x800, ip(6)).subarray(0, 10)];
  data.forEach((bytes, i) => {
    writer.write({
      data: bytes,
      originalLength: 60,
      timestamp: 1_700_000_000_000_001_000n + BigInt(i) * 1_000_000_000n,
    });
  });
  return writer.take();
}
writeFileSync(at("frames.pcap"), frames());

describe("cbpf run", () => {
  test("lists what it picks", async () => {
    const { status, out, err } = await cbpf(["run", IPV4, at("frames.pcap")]);
    expect(out).toBe(
      [
        "      1  2023-11-14 22:13:20.000001     60 bytes  IPv4 TCP 192.0.2.1.80 > 192.0.2.2.50000\n",
        "      3  2023-11-14 22:13:22.000001     60 bytes  IPv4 UDP 192.0.2.1.80 > 192.0.2.2.50000\n",
      ].join(""),
    );
    expect([status, err]).toEqual([0, ""]);
  });

  // biome-ignore format: a table
  test.each([
    [["--count"],                    "2\n",                                0],
    [["--count", "--invert"],        "2\n",                                0],
    [["--count", "--snaplen", "13"], "0\n",                                1],
    [["--count", "--json"],          '{"packets":4,"matched":2}\n',        0],
  ])("%j", async (options, want, exit) => {
    const { status, out } = await cbpf(["run", ...options, IPV4, at("frames.pcap")]);
    expect([status, out]).toEqual([exit, want]);
  });

  test("prints JSON lines", async () => {
    const { out } = await cbpf(["run", "--json", IPV4, at("frames.pcap")]);
    expect(JSON.parse(out.split("\n")[1]!)).toEqual({
      file: at("frames.pcap"),
      number: 3,
      timestamp: "1700000002000001000",
      captured: 60,
      length: 60,
      interface: 0,
      linktype: "EN10MB",
      verdict: 262144,
    });
  });

  test.each(["out.pcap", "out.pcapng"])("writes %s", async (name) => {
    const { status } = await cbpf(["run", "-w", at(name), IPV4, at("frames.pcap")]);
    const [first, second, ...more] = readCaptureSync(readFileSync(at(name)));
    expect([status, more]).toEqual([0, []]);
    expect([first!.timestamp, second!.timestamp]).toEqual([1_700_000_000_000_001_000n, 1_700_000_002_000_001_000n]);
    expect(second!.data.length).toBe(60);
  });

  test("writes an empty capture when nothing matches", async () => {
    expect((await cbpf(["run", "-w", at("none.pcap"), "ret #0", at("frames.pcap")])).status).toBe(1);
    expect([...readCaptureSync(readFileSync(at("none.pcap")))]).toEqual([]);
  });

  test("an empty capture has the link type of what was read", async () => {
    const raw = pcapWriter({ linktype: 101 });
    raw.write({ data: new Uint8Array(20) });
    writeFileSync(at("raw-only.pcap"), raw.take());
    expect((await cbpf(["run", "-w", at("none.pcap"), "ret #0", at("raw-only.pcap")])).status).toBe(1);
    const empty = readCaptureSync(readFileSync(at("none.pcap")));
    expect([...empty]).toEqual([]);
    expect(empty.header!.interfaces[0]!.linktype).toBe(101);
  });

  test("leaves OUT as it is when no capture can be read, and names what cannot be written", async () => {
    writeFileSync(at("precious.pcap"), frames());
    for (const capture of [at("typo.pcap"), at("text.pcap")]) {
      writeFileSync(at("text.pcap"), "no capture at all");
      const { status, err } = await cbpf(["run", "-w", at("precious.pcap"), "ret #-1", capture]);
      expect([status, err.includes(capture)]).toEqual([3, true]);
      expect(readFileSync(at("precious.pcap"))).toEqual(Buffer.from(frames()));
    }
    const folder = await cbpf(["run", "ret #-1", FOLDER]);
    expect([folder.status, folder.err.includes(FOLDER)]).toEqual([3, true]);
    const nowhere = await cbpf(["run", "-w", at("none/out.pcap"), "ret #-1", at("frames.pcap")]);
    expect([nowhere.status, nowhere.err.includes("none/out.pcap")]).toEqual([3, true]);
  });

  test("reads standard input, gzip, and several captures in order", async () => {
    const zipped = at("frames.pcap.gz");
    writeFileSync(zipped, gzipSync(frames()));
    expect((await cbpf(["run", "--count", IPV4, "-"], frames())).out).toBe("2\n");
    expect((await cbpf(["run", "--count", IPV4, zipped, at("frames.pcap")])).out).toBe("4\n");
    expect((await cbpf(["run", "--count", "-", at("frames.pcap")], IPV4)).out).toBe("2\n");
    const bytewise = Array.from(gzipSync(frames()), (byte) => Uint8Array.of(byte));
    expect((await cbpf(["run", "--count", IPV4, "-"], bytewise)).out).toBe("2\n");
    const one = await cbpf(["run", "--count", IPV4, "-"], Uint8Array.of(0x1f));
    expect([one.status, one.err.includes("file of 1 bytes has no magic number")]).toEqual([3, true]);
    const piped = await cbpf(["run", "-w", "-", IPV4, zipped]);
    expect([...readCaptureSync(piped.bytes)]).toHaveLength(2);
  });

  test("gives a program what the file says about a packet", async () => {
    const protocol = "ld #proto\njeq #0x806, yes, no\nyes: ret #1\nno: ret #0";
    const network = "ldb [0xfff00009]\njeq #17, yes, no\nyes: ret #1\nno: ret #0";
    expect((await cbpf(["run", "--json", protocol, at("frames.pcap")])).out).toContain('"number":2,');
    expect((await cbpf(["run", "--json", network, at("frames.pcap")])).out).toContain('"number":3,');
  });

  test("picks what stands in front of damage, then says where it is", async () => {
    writeFileSync(at("cut.pcap"), frames().subarray(0, 24 + 76 + 76 + 50));
    const { status, out, err } = await cbpf(["run", "--count", IPV4, at("cut.pcap")]);
    expect(status).toBe(3);
    expect(out).toBe("1\n");
    expect(err).toMatch(/^cbpf run: .*cut\.pcap: .*packet 3/);
    await cbpf(["run", "-w", at("saved.pcap"), IPV4, at("cut.pcap")]);
    expect([...readCaptureSync(readFileSync(at("saved.pcap")))]).toHaveLength(1);
  });

  test("says what is wrong with a damaged gzip file", async () => {
    const zipped = gzipSync(frames());
    zipped[20]! ^= 0xff;
    writeFileSync(at("bad.gz"), zipped);
    const { status, err } = await cbpf(["run", IPV4, at("bad.gz")]);
    expect([status, err.includes("damaged gzip data")]).toEqual([3, true]);
  });

  test("refuses to overwrite what it reads, and one pcap for two link types", async () => {
    expect((await cbpf(["run", "-w", at("frames.pcap"), IPV4, at("frames.pcap")])).status).toBe(2);
    linkSync(at("frames.pcap"), at("hard.pcap"));
    symlinkSync(at("frames.pcap"), at("soft.pcap"));
    for (const link of ["hard.pcap", "soft.pcap"]) {
      expect((await cbpf(["run", "-w", at(link), IPV4, at("frames.pcap")])).status, link).toBe(2);
    }
    expect(readFileSync(at("frames.pcap"))).toEqual(Buffer.from(frames()));
    const raw = pcapWriter({ linktype: 101 });
    raw.write({ data: new Uint8Array(20) });
    writeFileSync(at("raw.pcap"), raw.take());
    const mixed = await cbpf(["run", "-w", at("mixed.pcap"), "ret #-1", at("frames.pcap"), at("raw.pcap")]);
    expect(mixed.err).toContain(
      "a pcap file holds one link type, and there are EN10MB and RAW; write a file named *.pcapng",
    );
    expect((await cbpf(["run", "-w", at("mixed.pcapng"), "ret #-1", at("frames.pcap"), at("raw.pcap")])).status).toBe(
      0,
    );
    expect([...readCaptureSync(readFileSync(at("mixed.pcapng")))].map((p) => p.linktype)).toEqual([1, 1, 1, 1, 101]);
  });
});

describe("filter expressions as programs", () => {
  // biome-ignore format: a table
  test.each([
    ["ip",                                     [1, 3]],
    ["tcp port 80",                            [1]],
    ["icmp or arp",                            [2]],
    ["port 80 and not arp",                    [1, 3]],
    ["src host 192.0.2.1 and udp",             [3]],
    ["less 60",                                [1, 2, 3, 4]],
    ["ether[12:2] = 0x806",                    [2]],
  ])("%s", async (expression, numbers) => {
    const { out } = await cbpf(["run", "--json", expression, at("frames.pcap")]);
    expect(out.split("\n").filter(Boolean).map((line) => JSON.parse(line).number)).toEqual(numbers);
  });

  test("mean other programs on other link types, in one capture", async () => {
    const raw = pcapWriter({ linktype: 101 });
    const ip = frames().subarray(24 + 16 + 14, 24 + 16 + 60);
    raw.write({ data: ip });
    writeFileSync(at("raw-ip.pcap"), raw.take());
    const { out } = await cbpf(["run", "--count", "tcp port 80", at("frames.pcap"), at("raw-ip.pcap")]);
    expect(out).toBe("2\n");
    expect((await cbpf(["run", "--count", "--jobs", "2", "tcp port 80", at("frames.pcap")])).out).toBe("1\n");
  });

  test("are traced, verified and converted for Ethernet", async () => {
    expect((await cbpf(["trace", "arp", at("frames.pcap"), "-n", "2"])).status).toBe(0);
    expect((await cbpf(["verify", "tcp port 80"])).out).toContain("valid for linux, 17 instructions");
    expect((await cbpf(["convert", "--to", "bytecode", "arp"])).out).toBe(
      "4,40 0 0 12,21 0 1 2054,6 0 0 262144,6 0 0 0\n",
    );
  });

  test("a word that is no keyword may be a file that is not there", async () => {
    const { status, err } = await cbpf(["run", "filter.bpf", at("frames.pcap")]);
    expect(status).toBe(3);
    expect(err).toContain("filter.bpf: no such file; as an expression: ");
    expect((await cbpf(["run", "udp 53", at("frames.pcap")])).err).toContain('did you mean "udp port 53"?');
  });
});

describe("programs in and out", () => {
  test("asm prints bytecode, and convert any form", async () => {
    const bytecode = "4,40 0 0 12,21 0 1 2048,6 0 0 262144,6 0 0 0";
    expect((await cbpf(["asm", IPV4])).out).toBe(`${bytecode}\n`);
    expect(JSON.parse((await cbpf(["convert", "--to", "json", bytecode])).out)[1]).toEqual([21, 0, 1, 2048]);
    const raw = await cbpf(["convert", "--to", "raw", bytecode]);
    writeFileSync(at("program.bin"), raw.bytes);
    expect(raw.bytes).toHaveLength(32);
    expect((await cbpf(["disasm", "--listing", at("program.bin")])).out.split("\n")[0]).toMatch(
      /^\(000\) ldh +\[12\]$/,
    );
    await cbpf(["convert", "--to", "tcpdump-ddd", "-o", at("program.txt"), at("program.bin")]);
    expect(readFileSync(at("program.txt"), "utf8")).toBe("4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n");
  });

  test("assembly on one line of the command: a semicolon ends an instruction", async () => {
    const oneLine = IPV4.replaceAll("\n", "; ");
    expect((await cbpf(["run", "--count", oneLine, at("frames.pcap")])).out).toBe("2\n");
    expect((await cbpf(["asm", oneLine])).out).toBe("4,40 0 0 12,21 0 1 2048,6 0 0 262144,6 0 0 0\n");
    expect((await cbpf(["asm", "ret #1 ; comment\nret #2"])).out).toBe("2,6 0 0 1,6 0 0 2\n");
    expect((await cbpf(["disasm", "struct sock_filter f[] = { { 6, 0, 0, 1 } };"])).out).toBe("ret   #1\n");
    expect((await cbpf(["asm", "ret #1; rte #2"])).err).toContain('line 2, column 2: unknown instruction "rte"');
  });

  test("the README's command lines run", async () => {
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    const programs = [...readme.matchAll(/^npx cbpf run '([^']*)'/gm)].map(([, program]) => program!);
    const counts = [];
    for (const program of programs) counts.push((await cbpf(["run", "-c", program, at("frames.pcap")])).out);
    expect(counts).toEqual(["2\n", "1\n"]); // tcp port 80 or arp; arp in assembly
  });

  test("refuses what is too large for a program, a capture in its place for example", async () => {
    const large = Buffer.alloc((4 << 20) + 8);
    writeFileSync(at("large"), large);
    for (const program of [at("large"), "-"]) {
      const { status, err } = await cbpf(["disasm", program], large);
      expect([status, err]).toEqual([3, expect.stringContaining("a program of more than 4194304 bytes")]);
    }
  });

  test("disasm shows any bytes", async () => {
    const { status, out } = await cbpf(["disasm", "-"], Uint8Array.from([0xff, 0xee, 1, 2, 3, 0, 0, 0]));
    expect([status, out.trim()]).toEqual([0, ".word 0xeeff, 1, 2, 0x3"]);
  });

  test("errors show every place with a caret", async () => {
    const { status, err } = await cbpf(["asm", "ldq [0]\njeq #1, here, there\nhere: ret #0"]);
    expect(status).toBe(3);
    expect(err).toContain("line 1, column 1");
    expect(err).toContain("line 2, column 15");
    expect(err).toContain("^^^^^");
  });
});

describe("verify, analyze, trace", () => {
  test("verify says valid and the price", async () => {
    expect(await cbpf(["verify", IPV4])).toMatchObject({
      status: 0,
      out:
        "the argument: valid for linux, 4 instructions\n" +
        "attached to a socket: 26 instructions after conversion, 304 bytes charged, fits optmem_max 131072\n",
    });
    expect((await cbpf(["verify", "--optmem-max", "300", IPV4])).out).toContain("fails with ENOMEM at optmem_max 300");
  });

  test("verify lists violations, by profile", async () => {
    const shift = "lsh #33\nret a";
    expect(await cbpf(["verify", shift])).toMatchObject({ status: 1 });
    expect((await cbpf(["verify", shift])).out).toContain("shift count 33 is outside 0..31 [shift-count]");
    expect((await cbpf(["verify", "--profile", "libpcap", shift])).status).toBe(0);
    expect(JSON.parse((await cbpf(["verify", "--json", shift])).out)).toMatchObject({
      valid: false,
      violations: [{ index: 0 }],
    });
  });

  test("analyze reports what is read, and coverage", async () => {
    const { out } = await cbpf(["analyze", IPV4, at("frames.pcap")]);
    expect(out).toContain("packet bytes   12..13");
    expect(out).toContain("path           3 to 3 instructions");
    expect(out).toContain("Linux, libpcap and x/net/bpf agree on it");
    expect(out).toContain("4 packets, 2 matched, 4 of 4 instructions ran");
    expect(out).toMatch(/\(000\).* 4 {2}ended here 1\n/);
    expect((await cbpf(["analyze", "ld #1\nlsh x\nret a"])).out).toContain("X above 31 shifts by X & 31 on Linux");
  });

  test("trace shows a packet's way", async () => {
    const { status, out } = await cbpf(["trace", IPV4, at("frames.pcap"), "--packet", "2"]);
    expect(status).toBe(1);
    expect(out).toContain("packet 2: 60 bytes, ARP\n");
    expect(out).toContain("A=0x806 X=0x0  read 0x0806 at 12\n");
    expect(out).toContain("verdict 0: returned a constant\n");
    expect((await cbpf(["trace", "ldb [1]\nret a", "--hex", "00 2a"])).out).toContain("verdict 42 (0x2a): returned A");
    expect((await cbpf(["trace", IPV4, at("frames.pcap"), "-n", "9"])).err).toContain(
      "has 4 packets, so there is no packet 9",
    );
  });
});

/** The commands that the overview lists. */
async function commandNames(): Promise<string[]> {
  const { out } = await cbpf(["--help"]);
  return [...out.matchAll(/^ {2}([a-z-]+) {2,}/gm)].map((match) => match[1]!);
}

describe("calls", () => {
  // biome-ignore format: a table
  test.each([
    [["frobnicate"],                         'cbpf: no command "frobnicate"'],
    [["constructor"],                        'cbpf: no command "constructor"'],
    [["run"],                                "an argument is missing"],
    [["run", "--frob", "x", "y"],            "Unknown option '--frob'"],
    [["run", "--snaplen", "many", "ret #1", "y"], "--snaplen many: expected a whole number"],
    [["verify", "--profile", "bsd", "ret #1"], "--profile bsd: expected one of linux, libpcap"],
    [["convert", "ret #1"],                  "--to is needed"],
    [["run", "-", "-"],                      "standard input can be read only once"],
    [["trace", "ret #1"],                    "a capture or --hex BYTES is needed"],
  ])("%j exits with 2", async (words, message) => {
    const { status, err } = await cbpf(words);
    expect(status).toBe(2);
    expect(err).toContain(message);
  });

  test("a file that is not there is bad input", async () => {
    expect(await cbpf(["run", "ret #1", at("absent.pcap")])).toMatchObject({ status: 3 });
    expect((await cbpf(["verify", at("absent.bpf")])).err).toContain("no such file");
  });

  test("no command at all is a wrong call; help COMMAND is COMMAND --help", async () => {
    expect(await cbpf([])).toMatchObject({ status: 2, out: "" });
    expect(await cbpf(["help", "run"])).toEqual(await cbpf(["run", "--help"]));
  });

  test("help is there for everything", async () => {
    const names = await commandNames();
    expect(names).toContain("run");
    for (const name of names) expect((await cbpf([name, "--help"])).out).toContain(`usage: cbpf ${name} `);
  });
});

describe("the program itself", () => {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const dist = join(root, "dist/bin/main.js");
  beforeAll(() => {
    execFileSync(process.execPath, [join(root, "scripts/bundle.mjs")]);
  }, 300_000);

  /** The bundle's own process, with a module in front of it, in its threads too. */
  const processWith = (preload: string, ...words: string[]): { status: number | null; stderr: string } => {
    writeFileSync(at("preload.cjs"), preload);
    const { status, stderr } = spawnSync(process.execPath, ["-r", at("preload.cjs"), dist, ...words], {
      encoding: "utf8",
    });
    return { status, stderr };
  };

  test("a pipe that closes early is no error, a full disk is one", () => {
    const list = `'${process.execPath}' '${dist}' run 'ret #-1' '${at("frames.pcap")}'`;
    const run = spawnSync("sh", ["-c", `${list} | head -n 1`], { encoding: "utf8" });
    expect(run.stdout.split("\n")).toHaveLength(2);
    expect(run.stderr).toBe("");
    if (!existsSync("/dev/full")) return console.log("a full disk: not tried, there is no /dev/full");
    const full = spawnSync("sh", ["-c", `${list} >/dev/full`], { encoding: "utf8" });
    expect([full.status, full.stderr]).toEqual([3, expect.stringContaining("standard output: ENOSPC")]);
  });

  test("knows its version, by whatever name it is called", () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    symlinkSync(dist, at("called #1 100%"));
    for (const name of [dist, at("called #1 100%")]) {
      expect(spawnSync(process.execPath, [name, "--version"], { encoding: "utf8" }).stdout).toBe(`${version}\n`);
    }
  });

  test("every command of the bundle is that of the sources", async () => {
    const { main } = createRequire(import.meta.url)(dist) as typeof import("../src/cli/main.ts");
    const names = await commandNames();
    expect(names.length).toBeGreaterThan(15);
    // biome-ignore format: a table
    const calls = [
      ["--help"],
      ...names.map((name) => [name, "--help"]),
      ["run", "--json", "tcp port 80", at("frames.pcap")],
      ["run", "-w", "-", "arp", at("frames.pcap")],
      ["trace", "arp", at("frames.pcap"), "-n", "2"],
      ["asm", "rte #2"],
      ["explain", "udp 53"],
      ["prove", "--by", "paths", "tcp", "udp"],
    ];
    for (const words of calls) expect(await cbpf(words, "", main), `${words}`).toEqual(await cbpf(words));
    const conform = ["conform", "--engines", "interpreter,js,wasm", "--cases", "100", "--workers", "2"];
    expect(await cbpf(conform, "", main)).toMatchObject({ status: 0, out: expect.stringContaining("no disagreement") });
  });

  test("is as strict as the modules that it is made of", () => {
    const scripts = readdirSync(dirname(dist)).filter((name) => name.endsWith(".js"));
    expect(scripts.length).toBeGreaterThan(20);
    for (const name of scripts) {
      expect(readFileSync(join(dirname(dist), name), "utf8"), name).toMatch(/^(#!.*\n)?"use strict";/);
    }
  });

  test("what nobody foresaw is a defect: an exception, a promise that nobody settles, a thread without an answer", () => {
    const thrown = processWith(
      'Object.defineProperty(process, "stdout", { get() { throw new Error("none"); } })',
      "asm",
    );
    expect([thrown.status, thrown.stderr]).toEqual([70, expect.stringContaining("Error: none")]);
    const never = "{ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }";
    expect(processWith(`Object.defineProperty(process, "stdin", { value: ${never} })`, "asm", "-").status).toBe(70);
    const silent = processWith(
      'if (!require("node:worker_threads").isMainThread) process.exit(0)',
      ...["conform", "--engines", "interpreter", "--cases", "10", "--workers", "2"],
    );
    expect([silent.status, silent.stderr]).toEqual([70, expect.stringContaining("a worker ended with status 0")]);
  });
});
