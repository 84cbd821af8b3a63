/**
 * Capturing on a veth pair in a private network: both modes, with real frames.  Needs root; elsewhere the file prints
 * the reason and skips.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { fromHex, toHex } from "../src/base/bytes.ts";
import { pcapngWriter } from "../src/capture/write-pcapng.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { type CaptureMode, type CaptureOptions, capture, type LiveCapture } from "../src/kernel/capture.ts";
import type { LiveBatch } from "../src/kernel/live-batch.ts";
import { loadAddon } from "../src/kernel/load.ts";
import { openPacketSocket, type PacketSocket } from "../src/kernel/packet-socket.ts";
import { linkAddress } from "../src/kernel/sockaddr.ts";
import { Program } from "../src/vm/program.ts";
import { announce, VethNetwork, withoutPrivilege } from "./kernel-host.ts";

const noPrivilege = withoutPrivilege();
announce("kernel capture", noPrivilege);

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});
function closeLater<T extends { close(): unknown }>(thing: T): T {
  closing.push(() => thing.close());
  return thing;
}

/** A veth pair; what is sent at `va` arrives at `vb`. */
class Wire {
  readonly network = closeLater(new VethNetwork());
  readonly sender: PacketSocket;
  readonly #to: Uint8Array;

  constructor() {
    const { netns } = this.network;
    this.sender = closeLater(openPacketSocket({ interface: "va", netns, filter: Program.parse("ret #0") }));
    const { index } = loadAddon().interfaceInfo(this.sender.fd, "va") as { index: number };
    this.#to = linkAddress(3, index);
  }

  /** A wire that carries: the kernel puts an interface into service a while after it was brought up. */
  static async open(): Promise<Wire> {
    const wire = new Wire();
    const probe = openPacketSocket({ interface: "vb", netns: wire.network.netns, ignoreOutgoing: true });
    while (probe.receive() === undefined) {
      wire.send(frame(0));
      await sleep(1);
    }
    probe.close();
    return wire;
  }

  send(...frames: readonly Uint8Array[]): void {
    for (const frame of frames) expect(this.sender.send(frame, this.#to)).toBe(frame.length);
  }

  capture(options: Partial<CaptureOptions> = {}): LiveCapture {
    // IPv6 neighbours introduce themselves on a new interface; nobody asked.
    const filter = options.filter ?? Program.parse("ldh [12]\njeq #0x86dd, drop, keep\nkeep: ret #-1\ndrop: ret #0");
    return closeLater(
      capture({ interface: "vb", netns: this.network.netns, ignoreOutgoing: true, ...options, filter }),
    );
  }
}

/** An Ethernet frame to broadcast: EtherType, then a number in 4 bytes, then filling. */
function frame(number: number, size = 60, type = "0800"): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set(fromHex(`ffffffffffff 020000000001 ${type}`));
  new DataView(bytes.buffer).setUint32(14, number);
  return bytes;
}

function numbersOf(batch: LiveBatch): number[] {
  return Array.from({ length: batch.count }, (_, i) => {
    const data = batch.data(i);
    return new DataView(data.buffer, data.byteOffset).getUint32(14);
  });
}

/** The numbers of the next `count` packets. */
async function take(live: LiveCapture, count: number): Promise<number[]> {
  const numbers: number[] = [];
  while (numbers.length < count) numbers.push(...numbersOf((await live.next())!));
  return numbers;
}

const MODES: readonly CaptureMode[] = ["ring", "receive"];

describe.skipIf(noPrivilege !== undefined).each(MODES)("capturing, mode %s", (mode) => {
  test("packets arrive in order, with their bytes, lengths and times", async () => {
    const wire = await Wire.open();
    const live = wire.capture({ mode });
    expect([live.mode, live.linktype, live.interface]).toEqual([mode, 1, "vb"]);
    const before = BigInt(Date.now()) * 1_000_000n;
    const frames = [frame(1), frame(2, 1514), frame(3, 14 + 46), frame(4, 100)];
    wire.send(...frames);
    const seen = [];
    while (seen.length < frames.length) {
      const batch = (await live.next())!;
      for (let i = 0; i < batch.count; i++) seen.push(batch.packet(i));
    }
    expect(seen.map(({ data }) => toHex(data))).toEqual(frames.map((bytes) => toHex(bytes)));
    expect(seen.map((packet) => packet.originalLength)).toEqual([60, 1514, 60, 100]);
    const after = BigInt(Date.now() + 1) * 1_000_000n;
    for (const { timestamp } of seen) expect(timestamp >= before && timestamp <= after).toBe(true);
    expect(live.statistics()).toEqual({ received: 4, dropped: 0, freezes: 0 });
  });

  test("the filter runs in the kernel; its verdict and snaplen cut", async () => {
    const wire = await Wire.open();
    const filter = Program.parse("ld [14]\njset #1, odd, even\nodd: ret #20\neven: ret #0");
    const live = wire.capture({ mode, filter, snaplen: 18 });
    wire.send(...[1, 2, 3, 4, 5].map((n) => frame(n)));
    expect(await take(live, 3)).toEqual([1, 3, 5]);
    wire.send(frame(7));
    const batch = (await live.next())!;
    expect([batch.data(0).length, batch.lengths[0]]).toEqual([18, 60]);
    expect(live.statistics().received).toBe(4);
  });

  test("the filter may be an expression, with tags and packets of the other direction beside the bytes", async () => {
    const wire = await Wire.open();
    const live = wire.capture({ mode, filter: "arp or vlan 7" });
    const tagged = new Uint8Array([...frame(2).subarray(0, 12), 0x81, 0, 0, 7, ...frame(2).subarray(12)]);
    wire.send(frame(1), tagged, frame(3, 60, "0806"), frame(4));
    expect(await take(live, 2)).toEqual([2, 3]);
    await live.replaceFilter("ether[14:4] = 6");
    wire.send(frame(5), frame(6));
    expect(await take(live, 1)).toEqual([6]);
    expect(() => wire.capture({ mode, filter: "arpp" })).toThrow(expect.objectContaining({ code: "bad-expression" }));
  });

  test("an engine gives the same verdicts on a batch as the kernel gave", async () => {
    const wire = await Wire.open();
    // A VLAN tag is in the metadata, PROTOCOL and PKTTYPE beside the packet; the verdict says which.
    const tagged = fromHex(`ffffffffffff 020000000001 8100 6005 0800 ${"00".repeat(60)}`);
    const toOther = frame(9);
    toOther.set(fromHex("020000000077"));
    const live = wire.capture({ mode });
    wire.send(frame(1), tagged, toOther);
    const programs = ["vlan_avail", "vlan_tci", "vlan_tpid", "proto", "type", "ifidx", "hatype", "#len"].map((what) =>
      Program.parse(`ld ${what}\nret a`),
    );
    const seen: number[][] = [];
    while (seen.length < 3) {
      const batch = (await live.next())!;
      for (let i = 0; i < batch.count; i++) {
        seen.push(programs.map(({ verified }) => interpreter.load(verified).run(batch.data(i), batch.context(i))));
      }
    }
    const { index } = loadAddon().interfaceInfo(live.fd, "vb") as { index: number };
    expect(seen).toEqual([
      [0, 0, 0, 0x0800, 1, index, 1, 60],
      [1, 0x6005, 0x8100, 0x0800, 1, index, 1, 74],
      [0, 0, 0, 0x0800, 3, index, 1, 60],
    ]);
    // NET loads begin behind the MAC header.
    wire.send(frame(0x01020304));
    const batch = (await live.next())!;
    const verdicts = new Uint32Array(1);
    interpreter.load(Program.parse("ld [0xfff00000]\nret a").verified).runBatch(batch, verdicts);
    expect(verdicts[0]).toBe(0x01020304);
  });

  test("VLAN tags are metadata, or put back", async () => {
    const wire = await Wire.open();
    const single = fromHex(`ffffffffffff 020000000001 8100 6005 0800 ${"11".repeat(60)}`);
    const double = fromHex(`ffffffffffff 020000000001 88a8 0001 8100 0002 0800 ${"22".repeat(60)}`);
    const plain = frame(3);
    const apart = wire.capture({ mode });
    const together = wire.capture({ mode, vlan: "restore" });
    wire.send(single, double, plain);
    const all = async (live: LiveCapture): Promise<[string, unknown, number, number][]> => {
      const seen: [string, unknown, number, number][] = [];
      while (seen.length < 3) {
        const batch = (await live.next())!;
        for (let i = 0; i < batch.count; i++) {
          seen.push([toHex(batch.data(i)), batch.vlan(i), batch.lengths[i]!, batch.protocol(i)]);
        }
      }
      return seen;
    };
    const without = (bytes: Uint8Array): string => toHex(bytes.subarray(0, 12)) + toHex(bytes.subarray(16));
    expect(await all(apart)).toEqual([
      [without(single), { tci: 0x6005, tpid: 0x8100 }, single.length - 4, 0x0800],
      [without(double), { tci: 1, tpid: 0x88a8 }, double.length - 4, 0x8100],
      [toHex(plain), undefined, 60, 0x0800],
    ]);
    expect(await all(together)).toEqual([
      [toHex(single), undefined, single.length, 0x8100],
      [toHex(double), undefined, double.length, 0x88a8],
      [toHex(plain), undefined, 60, 0x0800],
    ]);
  });

  test("copies stay when the capture goes on and when it closes", async () => {
    const wire = await Wire.open();
    const live = wire.capture({ mode });
    wire.send(frame(1), frame(2));
    await sleep(30);
    const batch = (await live.next())!;
    const copy = batch.copy();
    const packet = batch.packet(1);
    expect(batch.count).toBe(2);
    for (let i = 0; i < 3; i++) {
      wire.send(frame(100 + i));
      await live.next();
    }
    live.close();
    expect(numbersOf(copy)).toEqual([1, 2]);
    expect(copy.pktType(1)).toBe(1);
    expect(toHex(packet.data)).toBe(toHex(frame(2)));
  });

  test("closing ends the loop, an abort breaks it, and leaving it closes", async () => {
    const wire = await Wire.open();
    const first = wire.capture({ mode });
    setTimeout(() => first.close(), 10);
    let batches = 0;
    for await (const _ of first) batches++;
    expect([batches, first.fd]).toEqual([0, -1]);
    expect(await first.next()).toBeUndefined();
    expect(first.statistics()).toEqual({ received: 0, dropped: 0, freezes: 0 });

    const controller = new AbortController();
    const second = wire.capture({ mode, signal: controller.signal });
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), 10);
    await expect(second.next()).rejects.toBe(reason);
    expect(second.fd).toBe(-1);
    expect(() => wire.capture({ mode, signal: controller.signal })).toThrow(reason);

    const third = wire.capture({ mode });
    wire.send(frame(1));
    for await (const batch of third) {
      expect(numbersOf(batch)).toEqual([1]);
      break;
    }
    expect(third.fd).toBe(-1);

    const fourth = wire.capture({ mode });
    await (async () => {
      await using _ = fourth;
    })();
    expect(fourth.fd).toBe(-1);
  });

  test("one reader at a time", async () => {
    const live = (await Wire.open()).capture({ mode });
    const waiting = live.next();
    await expect(live.next()).rejects.toMatchObject({ code: "bad-argument" });
    live.close();
    expect(await waiting).toBeUndefined();
  });

  test("an interface that goes down ends it with ENETDOWN, after what came before", async () => {
    const wire = await Wire.open();
    const live = wire.capture({ mode });
    wire.send(frame(1));
    const seen: number[] = [];
    const all = (async () => {
      for await (const batch of live) seen.push(...numbersOf(batch));
    })();
    await sleep(30);
    const result = expect(all).rejects.toMatchObject({ code: "system", errnoName: "ENETDOWN" });
    const run = spawnSync("nsenter", [
      `--net=/proc/${process.pid}/fd/${wire.network.netns}`,
      "ip",
      "link",
      "set",
      "vb",
      "down",
    ]);
    expect([run.status, String(run.stderr)]).toEqual([0, ""]);
    await result;
    expect([live.statistics(), seen]).toEqual([{ received: 1, dropped: 0, freezes: 0 }, [1]]);
  });

  test("a replaced filter lets no packet of the old one through", async () => {
    const wire = await Wire.open();
    const odd = Program.parse("ld [14]\njset #1, yes, no\nyes: ret #-1\nno: ret #0");
    const even = Program.parse("ld [14]\njset #1, no, yes\nyes: ret #-1\nno: ret #0");
    const live = wire.capture({ mode, filter: odd });
    let number = 0;
    // Two halves: packets that wait when the filter changes, and packets that come while it does.
    wire.send(...Array.from({ length: 50 }, () => frame(number++)));
    let sending = true;
    const sender = (async () => {
      while (sending) {
        wire.send(...Array.from({ length: 20 }, () => frame(number++)));
        await turn();
      }
    })();
    expect((await take(live, 100)).filter((n) => n % 2 === 0)).toEqual([]);
    await live.replaceFilter(even);
    const after = await take(live, 200);
    expect(after.filter((n) => n % 2 === 1)).toEqual([]);
    const replacing = live.replaceFilter(odd); // and with a reader that does not wait for it
    expect((await take(live, 200)).filter((n) => n % 2 === 0)).toEqual([]);
    await replacing;
    sending = false;
    await sender;
  });

  test("a program that the kernel refuses leaves the old filter in force", async () => {
    const wire = await Wire.open();
    const live = wire.capture({
      mode,
      filter: Program.parse("ldh [12]\njeq #0x86dd, no, yes\nyes: ret #-1\nno: ret #0"),
    });
    wire.send(frame(1));
    const wrong = live.replaceFilter([{ code: 0xff, jt: 0, jf: 0, k: 0 }]);
    await expect(wrong).rejects.toMatchObject({ code: "system", errnoName: "EINVAL" });
    wire.send(frame(2));
    expect(await take(live, 2)).toEqual([1, 2]);
  });

  test("fanout shares packets out among captures", async () => {
    const wire = await Wire.open();
    const fanout = { group: 77, mode: "cbpf", program: Program.parse("ld [0]\nret a") } as const; // byte 0: network header
    const members = [0, 1].map(() => wire.capture({ mode, fanout }));
    wire.send(...Array.from({ length: 10 }, (_, n) => frame(n)));
    expect(await take(members[0]!, 5)).toEqual([0, 2, 4, 6, 8]);
    expect(await take(members[1]!, 5)).toEqual([1, 3, 5, 7, 9]);
  });

  test("tcpdump reads what is written", async () => {
    const wire = await Wire.open();
    const live = wire.capture({ mode, vlan: "restore" });
    const udp = fromHex(
      `ffffffffffff 020000000001 8100 0007 0800 4500001e00000000 4011 26cd 0a000001 0a000002 0035 1234 000a 0000 6869`,
    );
    wire.send(udp);
    const batch = (await live.next())!;
    const writer = pcapngWriter({ interfaces: [{ linktype: live.linktype!, name: live.interface }] });
    writer.write(batch.packet(0));
    const folder = mkdtempSync(join(tmpdir(), "cbpf-"));
    closing.push(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "one.pcapng"), writer.take());
    const run = spawnSync("tcpdump", ["-nn", "-e", "-t", "-r", join(folder, "one.pcapng")], { encoding: "utf8" });
    if (run.error !== undefined) return console.log(`kernel capture: tcpdump not run, ${run.error.message}`);
    expect(run.stdout).toMatch(/vlan 7, p 0, ethertype IPv4.*10\.0\.0\.1\.53 > 10\.0\.0\.2\.4660/);
  });

  test("bad options are refused before any system call", async () => {
    const wire = await Wire.open();
    for (const wrong of [
      { mode: "fast" },
      { vlan: "both" },
      { snaplen: 0 },
      { snaplen: 1.5 },
      { bufferSize: 100 },
      { blockSize: 5000 },
      { blockSize: 1 << 24 },
      { timeout: 0 },
      { fanout: { group: -1, mode: "hash" } },
      { interface: "a name far too long for one" },
    ]) {
      expect(() => wire.capture({ mode, ...(wrong as object) }), JSON.stringify(wrong)).toThrow(
        expect.objectContaining({ code: "bad-argument" }),
      );
    }
    expect(() => wire.capture({ mode, interface: "none0" })).toThrow(
      expect.objectContaining({ code: "system", errnoName: "ENODEV" }),
    );
  });
});

describe.skipIf(noPrivilege !== undefined)("rings", () => {
  test("views of a closed ring have length 0", async () => {
    const wire = await Wire.open();
    const live = wire.capture();
    wire.send(frame(1));
    const batch = (await live.next())!;
    const { bytes } = batch;
    const view = batch.data(0);
    expect(view.length).toBe(60);
    live.close();
    expect([view.length, bytes.length, view[0]]).toEqual([0, 0, undefined]);
  });

  test("a ring that overflows counts what it lost, and goes on", async () => {
    const wire = await Wire.open();
    const live = wire.capture({ bufferSize: 4 * 4096, blockSize: 4096, timeout: 1 });
    wire.send(...Array.from({ length: 300 }, (_, n) => frame(n)));
    const { received, dropped } = live.statistics();
    expect(received).toBe(300);
    expect(dropped).toBeGreaterThan(100);
    const kept = await take(live, received - dropped);
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, n) => n));
    wire.send(frame(1000));
    expect(await take(live, 1)).toEqual([1000]);
    expect(live.statistics().freezes).toBeGreaterThan(0);
  });

  test("a runtime without external memory gets the other mode", async () => {
    const wire = await Wire.open();
    const addon = loadAddon();
    const before = process.getActiveResourcesInfo().length;
    const live = wire.capture({ addon: { ...addon, ringOpen: () => -95 } });
    expect(live.mode).toBe("receive");
    wire.send(frame(5));
    expect(await take(live, 1)).toEqual([5]);
    live.close();
    expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(before + 1);
  });
});
