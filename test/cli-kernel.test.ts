/** `cbpf capture`, `attach` and `dump-filter`, on lo and on this process's own sockets. */
import { spawnSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { readCaptureSync } from "../src/capture/read.ts";
import { getFilter, lockFilter } from "../src/kernel/attach.ts";
import { loadAddon } from "../src/kernel/load.ts";
import { openUdpSocket } from "../src/kernel/udp-socket.ts";
import { Program } from "../src/vm/program.ts";
import { announce, withoutAddon, withoutPrivilege } from "./kernel-host.ts";
import { cbpf } from "./terminal.ts";

const noAddon = withoutAddon();
const noPrivilege = withoutPrivilege();
announce("cbpf attach and dump-filter", noAddon);
if (noAddon === undefined) announce("cbpf capture", noPrivilege);

const FOLDER = mkdtempSync(join(tmpdir(), "cbpf-cli-kernel-"));
afterAll(() => rmSync(FOLDER, { recursive: true }));
const open: Socket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
});

/** A UDP server on lo, and a client that sends it datagrams until stopped. */
async function traffic(): Promise<{ port: number; program: string; stop(): void }> {
  const server = createSocket("udp4").bind(0, "127.0.0.1");
  const client = createSocket("udp4");
  open.push(server, client);
  await once(server, "listening");
  const { port } = server.address();
  const timer = setInterval(() => client.send("ping", port, "127.0.0.1"), 2);
  // UDP over IPv4 to that port, without options; arriving, not leaving.
  const program = `
        ld type
        jeq #0, a, no
    a:  ldh [12]
        jeq #0x800, b, no
    b:  ldb [23]
        jeq #17, c, no
    c:  ldh [36]
        jeq #${port}, yes, no
    yes: ret #-1
    no: ret #0`;
  return { port, program, stop: () => clearInterval(timer) };
}

describe.skipIf(noPrivilege !== undefined)("cbpf capture", () => {
  test.each([[], ["--immediate"]])("writes files that tcpdump reads %j", async (...how) => {
    const { port, program, stop } = await traffic();
    for (const name of ["five.pcap", "five.pcapng"]) {
      const file = join(FOLDER, name);
      const done = await cbpf(["capture", "-i", "lo", "-c", "5", ...how, "--stats", "-w", file, program]);
      expect(done.err).toMatch(/^5 packets captured, [0-9]+ passed the filter, 0 lost for lack of room\n$/);
      expect([done.status, done.out]).toEqual([0, ""]);
      const packets = [...readCaptureSync(readFileSync(file))];
      expect(packets.map(({ data, linktype }) => [linktype, data.length])).toEqual(new Array(5).fill([1, 46]));
      const run = spawnSync("tcpdump", ["-nn", "-t", "-r", file], { encoding: "utf8" });
      if (run.error !== undefined) console.log(`cbpf capture: tcpdump not run, ${run.error.message}`);
      else expect(run.stdout.match(new RegExp(`> 127.0.0.1.${port}: UDP, length 4`, "g"))).toHaveLength(5);
    }
    stop();
  });

  test("lists packets", async () => {
    const { port, program, stop } = await traffic();
    const { status, out, err } = await cbpf(["capture", "-i", "lo", "-c", "2", program]);
    stop();
    expect([status, err]).toEqual([0, ""]);
    const lines = out.trimEnd().split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[1]).toMatch(/^ {6}2 {2}20\d\d-.* {5}46 bytes {2}IPv4 UDP 127\.0\.0\.1\.\d+ > 127\.0\.0\.1\./);
    expect(lines[1]!.endsWith(`.${port}`)).toBe(true);
  });

  test("takes an expression, compiled for a socket", async () => {
    const { port, stop } = await traffic();
    const { status, out, err } = await cbpf(["capture", "-i", "lo", "-c", "1", `udp dst port ${port} and less 100`]);
    stop();
    expect([status, err]).toEqual([0, ""]);
    expect(out.trimEnd().endsWith(`.${port}`)).toBe(true);
  });

  test("a signal ends it, and nothing captured is status 1", async () => {
    const running = cbpf(["capture", "-i", "lo", "--stats", "ret #0"]);
    setTimeout(() => process.emit("SIGINT"), 50);
    expect(await running).toMatchObject({
      status: 1,
      out: "",
      err: "0 packets captured, 0 passed the filter, 0 lost for lack of room\n",
    });
  });

  test.each([
    [["capture", "ret #0"], 2, /-i INTERFACE is needed/],
    [["capture", "-i", "lo", "-c", "0"], 2, /--count 0/],
    [["capture", "-i", "none0"], 3, /interface none0: ioctl ENODEV/],
    [["capture", "-i", "lo", "ld M[3]\nret a"], 3, /M\[3\]/],
    [["capture", "-i", "lo", "-w", "/nowhere/x.pcap"], 3, /ENOENT/],
  ])("%j fails", async (words, exit, message) => {
    const { status, err } = await cbpf(words);
    expect(err).toMatch(message);
    expect(status).toBe(exit);
  });
});

describe.skipIf(noAddon !== undefined)("cbpf attach and dump-filter", () => {
  test("show and change the filter of a socket", async () => {
    const program = Program.parse("ldb [8]\njeq #1, yes, no\nyes: ret #-1\nno: ret #0");
    const socket = openUdpSocket({ address: "127.0.0.1", filter: program });
    open.push(socket);
    const fd = descriptorOf(socket);
    const at = ["--pid", String(process.pid), "--fd", String(fd)];
    expect(await cbpf(["dump-filter", ...at])).toMatchObject({ status: 0, out: program.toString("asm"), err: "" });
    expect((await cbpf(["dump-filter", ...at, "--to", "bytecode"])).out).toBe(
      `${program.toString("bytecode").trimEnd()}\n`,
    );
    expect(await cbpf(["attach", ...at, "ret #9"])).toMatchObject({ status: 0, out: "", err: "" });
    expect(getFilter(socket)).toEqual(Program.parse("ret #9").instructions);
    expect((await cbpf(["attach", ...at, "--detach"])).status).toBe(0);
    expect(getFilter(socket)).toBeUndefined();
    expect((await cbpf(["attach", ...at, "--detach"])).status).toBe(1);
    expect(await cbpf(["dump-filter", ...at])).toMatchObject({ status: 1, out: "" });
    expect(await cbpf(["attach", ...at])).toMatchObject({ status: 2 });
    expect(await cbpf(["dump-filter", "--pid", "1"])).toMatchObject({ status: 2 });
    lockFilter(socket);
    const locked = await cbpf(["attach", ...at, "ret #1"]);
    expect(locked.status).toBe(3);
    expect(locked.err).toMatch(/locked/);
    const none = await cbpf(["dump-filter", "--pid", String(process.pid), "--fd", "2147483647"]);
    expect(none.err).toMatch(/EBADF/);
    expect(none.status).toBe(3);
  });
});

/** The descriptor of a socket, as /proc would list it. */
function descriptorOf(socket: Socket): number {
  const { port } = socket.address();
  for (let fd = 3; fd < 1024; fd++) {
    const name = loadAddon().socketName(fd);
    if (typeof name !== "number" && name[0] === 2 && name[2] === port >> 8 && name[3] === (port & 255)) return fd;
  }
  throw new Error("no descriptor");
}
