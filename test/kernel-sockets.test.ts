/**
 * Sockets opened behind their filter, with real traffic: on lo, on unix pairs, and in private networks, where root is
 * needed.  Elsewhere the file prints the reason and skips.
 */
import { spawn } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, test } from "vitest";
import { fromHex } from "../src/base/bytes.ts";
import { attachFilter, detachFilter, getFilter, socketDrops } from "../src/kernel/attach.ts";
import { loadAddon } from "../src/kernel/load.ts";
import { openNetlinkSocket, openUnixPair } from "../src/kernel/local-sockets.ts";
import { openPacketSocket, type PacketMessage, type PacketSocket } from "../src/kernel/packet-socket.ts";
import { PrivateNetwork } from "../src/kernel/private-network.ts";
import { openRawSocket } from "../src/kernel/raw-socket.ts";
import { inetAddress, linkAddress, netlinkAddress, readInetAddress } from "../src/kernel/sockaddr.ts";
import { adoptUdpSocket, openReuseportGroup, openUdpSocket } from "../src/kernel/udp-socket.ts";
import { Program } from "../src/vm/program.ts";
import { announce, VethNetwork, withoutAddon, withoutPrivilege } from "./kernel-host.ts";

const noAddon = withoutAddon();
const noPrivilege = withoutPrivilege();
announce("kernel sockets", noAddon);
if (noAddon === undefined) announce("kernel sockets in private networks", noPrivilege);

const DROP = Program.parse("ret #0");
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});
function closeLater<T extends { close(): unknown }>(socket: T): T {
  closing.push(() => socket.close());
  return socket;
}

/** Keeps what arrives.  `settled` waits for `count` messages, and a moment for one too many. */
function collect(socket: Socket): { readonly lengths: number[]; settled(count: number): Promise<number[]> } {
  const lengths: number[] = [];
  socket.on("message", (message) => lengths.push(message.length));
  const settled = async (count: number): Promise<number[]> => {
    for (let i = 0; i < 1000 && lengths.length < count; i++) await sleep(2);
    await sleep(20);
    return lengths;
  };
  return { lengths, settled };
}

function send(socket: Socket, payload: Uint8Array, port: number, address = "127.0.0.1"): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(payload, port, address, (error) => (error === null ? resolve() : reject(error)));
  });
}

describe.skipIf(noAddon !== undefined)("UDP on lo", () => {
  test("a filter judges, cuts and counts from the first datagram on", async () => {
    // Byte 0 is the UDP header: 8 bytes are always kept, and payload byte 0 is P[8].
    const filter = Program.parse(`
            ldb [8]
            jeq #1, whole, next
      next: jeq #2, cut, none
      whole: ret #-1
      cut:  ret #11
      none: ret #0`);
    const server = closeLater(openUdpSocket({ address: "127.0.0.1", filter }));
    const inbox = collect(server);
    const client = closeLater(createSocket("udp4"));
    const { port } = server.address();
    for (const first of [1, 2, 3, 1]) await send(client, Uint8Array.of(first, 0, 0, 0, 0, 0), port);
    await send(client, new Uint8Array(0), port); // no P[8]: dropped
    expect(await inbox.settled(3)).toEqual([6, 3, 6]);
    expect(socketDrops(server)).toBe(2);
    expect(getFilter(server)).toEqual(filter.instructions);
  });

  test("verdicts 1 to 8 deliver an empty datagram", async () => {
    const server = closeLater(openUdpSocket({ address: "127.0.0.1", filter: Program.parse("ret #1") }));
    const inbox = collect(server);
    await send(closeLater(createSocket("udp4")), new Uint8Array(20), server.address().port);
    expect(await inbox.settled(1)).toEqual([0]);
  });

  test("a filter can be replaced and taken off while the socket is open", async () => {
    const server = closeLater(openUdpSocket({ address: "127.0.0.1", filter: DROP }));
    const inbox = collect(server);
    const client = closeLater(createSocket("udp4"));
    const { port } = server.address();
    await send(client, new Uint8Array(1), port);
    attachFilter(server, Program.parse("ld #len\nsub #10\nret a")); // keeps all but the last 10 bytes
    await send(client, new Uint8Array(20), port);
    detachFilter(server);
    await send(client, new Uint8Array(3), port);
    expect(await inbox.settled(2)).toEqual([10, 3]);
  });

  test("over IPv6", async () => {
    const filter = Program.parse("ldh [4]\njeq #12, yes, no\nyes: ret #-1\nno: ret #0");
    const server = closeLater(openUdpSocket({ address: "::1", filter, ipv6Only: true }));
    const inbox = collect(server);
    const client = closeLater(createSocket("udp6"));
    for (const length of [3, 4, 5]) await send(client, new Uint8Array(length), server.address().port, "::1");
    expect(await inbox.settled(1)).toEqual([4]);
  });

  test("an address in use, a port that is none and a host name are refused, and nothing is left open", () => {
    const server = closeLater(openUdpSocket({ address: "127.0.0.1" }));
    const { port } = server.address();
    expect(() => openUdpSocket({ address: "127.0.0.1", port })).toThrow(/EADDRINUSE/);
    expect(() => openUdpSocket({ port: 65536 })).toThrow(/outside 0..65535/);
    expect(() => openUdpSocket({ address: "localhost" })).toThrow(/no numeric IP address/);
    expect(() => openUdpSocket({ filter: [[0x0e, 0, 0, 0]] })).toThrow(/EINVAL.*instruction 0/s);
  });

  test("reuseport: a program steers each datagram to the worker it names", { timeout: 20_000 }, async () => {
    // Byte 0 of a steering program is the first byte of the payload.
    const steering = Program.parse("ldb [0]\nmod #3\nret a");
    const group = closeLater(openReuseportGroup({ address: "127.0.0.1", members: 3, steering }));
    const code = `
      const { parentPort, workerData } = require("node:worker_threads");
      const socket = require("node:dgram").createSocket("udp4");
      socket.on("message", (message) => parentPort.postMessage(message[0]));
      socket.on("listening", () => parentPort.postMessage("listening"));
      socket.bind({ fd: workerData, exclusive: true });
      parentPort.on("message", () => { socket.close(); parentPort.close(); });`;
    const got: number[][] = [[], [], []];
    const workers = [0, 1, 2].map((index) => new Worker(code, { eval: true, workerData: group.take(index) }));
    await Promise.all(workers.map((worker) => once(worker, "message"))); // listening
    for (const [index, worker] of workers.entries()) worker.on("message", (first: number) => got[index]!.push(first));
    const client = closeLater(createSocket("udp4"));
    for (let i = 0; i < 60; i++) await send(client, Uint8Array.of(i), group.port);
    for (let i = 0; i < 100 && got.flat().length < 60; i++) await sleep(20);
    for (const worker of workers) worker.postMessage("stop");
    await Promise.all(workers.map((worker) => once(worker, "exit")));
    for (const index of [0, 1, 2]) {
      expect(got[index]!.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => 3 * i + index));
    }
  });

  test("a member of a reuseport group can be adopted here, and is taken once", async () => {
    const group = closeLater(
      openReuseportGroup({ address: "127.0.0.1", members: 2, steering: Program.parse("ret #1") }),
    );
    const second = closeLater(adoptUdpSocket(group.take(1), 4));
    const inbox = collect(second);
    expect(() => group.take(1)).toThrow(/taken/);
    await send(closeLater(createSocket("udp4")), new Uint8Array(5), group.port);
    expect(await inbox.settled(1)).toEqual([5]);
  });
});

describe.skipIf(noAddon !== undefined)("unix pairs and netlink", () => {
  test.each(["dgram", "seqpacket"] as const)("%s: the filter is on the second end", async (type) => {
    const filter = Program.parse("ld #len\njgt #4, yes, no\nyes: ret #6\nno: ret #0");
    const [first, second] = openUnixPair({ type, filter }).map(closeLater) as unknown as ReturnType<
      typeof openUnixPair
    >;
    for (const length of [4, 5, 9]) first.send(new Uint8Array(length));
    expect([second.receive()?.length, second.receive()?.length, second.receive()]).toEqual([5, 6, undefined]);
    second.send(new Uint8Array(2));
    expect(first.receive()?.length).toBe(2);
  });

  test("messages come as an async iterable, which ends with the socket", async () => {
    const [first, second] = openUnixPair().map(closeLater) as unknown as ReturnType<typeof openUnixPair>;
    const lengths: number[] = [];
    const reading = (async () => {
      for await (const { length } of second) lengths.push(length);
    })();
    for (const length of [1, 2, 3]) {
      first.send(new Uint8Array(length));
      await sleep(5);
    }
    second.close();
    await reading;
    expect(lengths).toEqual([1, 2, 3]);
  });

  test("an aborted signal ends waiting with its reason, and the socket lives on", async () => {
    const [first, second] = openUnixPair().map(closeLater) as unknown as ReturnType<typeof openUnixPair>;
    const abort = new AbortController();
    const waiting = second.messages({ signal: abort.signal }).next();
    setTimeout(() => abort.abort(new Error("enough")), 5);
    await expect(waiting).rejects.toThrow("enough");
    first.send(new Uint8Array(7));
    expect((await second.messages().next()).value?.length).toBe(7);
  });

  test("a second wait at once is refused", async () => {
    const [, second] = openUnixPair().map(closeLater) as unknown as ReturnType<typeof openUnixPair>;
    const waiting = second.messages().next();
    await expect(second.messages().next()).rejects.toThrow(/waits/);
    second.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });

  test("netlink: the kernel's replies and other users' messages are filtered", () => {
    // RTM_GETLINK as a dump; nlmsg_type stands at byte 4 in host order, so a little-endian 16 reads as 0x1000.
    const request = fromHex(`20000000 1200 0103 01000000 00000000 ${"00".repeat(16)}`);
    const open = closeLater(openNetlinkSocket({ protocol: 0 }));
    open.send(request);
    expect(new DataView(open.receive()!.bytes.buffer).getUint16(4, true)).toBe(16);
    const filtered = closeLater(
      openNetlinkSocket({
        protocol: 0,
        filter: Program.parse("ldh [4]\njeq #0x1000, no, yes\nyes: ret #-1\nno: ret #0"),
      }),
    );
    filtered.send(request);
    const types: number[] = [];
    for (let message = filtered.receive(); message !== undefined; message = filtered.receive()) {
      types.push(new DataView(message.bytes.buffer).getUint16(4, true));
      expect(message.from).toBe(0);
    }
    expect(types).not.toContain(16);

    // NETLINK_USERSOCK, from one process to itself.
    const sender = closeLater(openNetlinkSocket({ protocol: 2 }));
    const receiver = closeLater(openNetlinkSocket({ protocol: 2, filter: Program.parse("ldb [0]\nret a") }));
    for (const first of [0, 3, 200]) sender.send(Uint8Array.of(first, 1, 2, 3, 4), netlinkAddress(receiver.port, 0));
    expect([receiver.receive()?.length, receiver.receive()?.length, receiver.receive()]).toEqual([3, 5, undefined]);
  });

  test("socket addresses", () => {
    for (const address of ["1.2.3.4", "::", "::1", "1::", "fe80::1:2", "1:2:3:4:5:6:7:8", "2001:db8::ff00:42:8329"]) {
      expect(readInetAddress(inetAddress(address, 4660))).toEqual({ address, port: 4660 });
    }
    expect(readInetAddress(inetAddress("::ffff:1.2.3.4", 0))?.address).toBe("::ffff:102:304");
    for (const address of ["", "1.2.3", "::g", "fe80::1%lo", "1.2.3.4.5"]) {
      expect(() => inetAddress(address, 0)).toThrow(/numeric/);
    }
  });
});

describe.skipIf(noPrivilege !== undefined)("TCP on lo", () => {
  test("a listener that drops SYN lets no connection through, and heals", { timeout: 20_000 }, async () => {
    const server = closeLater(createServer((socket) => socket.end("hello")));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    // TCP flags stand at P[13]; 0x02 is SYN.
    attachFilter(server, Program.parse("ldb [13]\njset #2, no, yes\nyes: ret #-1\nno: ret #0"));
    const blocked = connect(port, "127.0.0.1");
    const outcome = await Promise.race([
      once(blocked, "connect").then(() => "connected"),
      sleep(400).then(() => "silence"),
    ]);
    blocked.destroy();
    expect(outcome).toBe("silence");
    detachFilter(server);
    const client = connect(port, "127.0.0.1");
    const [data] = await once(client, "data");
    expect(String(data)).toBe("hello");
    client.destroy();
  });
});

/** An ARP-like frame: to, from, EtherType 0x88b5 (local experiments), then the payload. */
function frame(type: number, payload: readonly number[] = []): Uint8Array {
  const header = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, type >> 8, type & 255];
  return Uint8Array.from([...header, ...payload]);
}

/**
 * The packets that wait, once there are `count` of them: on veth and lo the kernel may deliver a moment after sending,
 * when the CPU has much else to do.
 */
async function received(socket: PacketSocket, count: number): Promise<PacketMessage[]> {
  const out: PacketMessage[] = [];
  const deadline = Date.now() + 2000;
  do {
    for (let message = socket.receive(); message !== undefined; message = socket.receive()) out.push(message);
    if (out.length < count) await sleep(1);
  } while (out.length < count && Date.now() < deadline);
  return out;
}

describe.skipIf(noPrivilege !== undefined)("packet sockets", () => {
  test("on a veth pair: what one end sends the other receives, filtered at either type's byte 0", async () => {
    const { netns } = closeLater(new VethNetwork());
    const out = closeLater(openPacketSocket({ netns, interface: "va", protocol: 0x88b5 }));
    const raw = Program.parse("ldb [14]\njeq #7, yes, no\nyes: ret #16\nno: ret #0");
    const dgram = Program.parse("ldb [0]\njeq #7, yes, no\nyes: ret #-1\nno: ret #0");
    const onRaw = closeLater(openPacketSocket({ netns, interface: "vb", protocol: 0x88b5, filter: raw }));
    const onDgram = closeLater(
      openPacketSocket({ netns, interface: "vb", protocol: 0x88b5, type: "dgram", filter: dgram }),
    );
    for (const first of [7, 8, 7]) out.send(frame(0x88b5, [first, 1, 2, 3]));
    // veth pads nothing: 18 bytes, cut to 16; the dgram socket has the 4 behind the MAC header.
    expect((await received(onRaw, 2)).map((m) => [m.length, m.originalLength, m.bytes[14]])).toEqual([
      [16, 18, 7],
      [16, 18, 7],
    ]);
    const messages = await received(onDgram, 2);
    expect(messages.map((m) => [...m.bytes])).toEqual([
      [7, 1, 2, 3],
      [7, 1, 2, 3],
    ]);
    expect(messages[0]!.context).toMatchObject({ protocol: 0x88b5, hatype: 1, network: 0 });
    expect([...messages[0]!.source]).toEqual([2, 0, 0, 0, 0, 2]);
    expect(onRaw.statistics()).toEqual({ packets: 2, drops: 0 });
    expect(onRaw.statistics()).toEqual({ packets: 0, drops: 0 });
  });

  test("a VLAN tag comes as metadata", async () => {
    const network = closeLater(new PrivateNetwork());
    const socket = closeLater(openPacketSocket({ netns: network.netns, interface: "cbpf0", ignoreOutgoing: true }));
    network.write(Uint8Array.from([...frame(0x8100), 0x60, 0x05, 0x88, 0xb5, 9, 9]));
    const [message] = await received(socket, 1);
    expect(message!.length).toBe(16);
    expect([...message!.bytes.subarray(12)]).toEqual([0x88, 0xb5, 9, 9]);
    expect(message!.context).toMatchObject({ vlanPresent: 1, vlanTag: 0x6005, vlanTpid: 0x8100, protocol: 0x88b5 });
    // The context makes user space give the kernel's verdict.
    const tagged = Program.parse("ld vlan_tci\nand #0xfff\nret a");
    expect(tagged.execute(message!.bytes, message!.context)).toBe(5);
  });

  test("lo shows a packet leaving and arriving, and only arriving with ignoreOutgoing", async () => {
    const { netns } = closeLater(new PrivateNetwork());
    const both = closeLater(openPacketSocket({ netns, interface: "lo", protocol: 0x0003 }));
    const arriving = closeLater(openPacketSocket({ netns, interface: "lo", ignoreOutgoing: true }));
    const client = closeLater(openUdpSocket({ netns, address: "127.0.0.1" }));
    const addon = loadAddon();
    const sender = addon.openSocket(2, 2, 0, netns);
    addon.sendBytes(sender, new Uint8Array(4), inetAddress("127.0.0.1", client.address().port));
    addon.closeFd(sender);
    expect((await received(both, 2)).map((m) => m.context.pktType)).toEqual([4, 0]);
    expect((await received(arriving, 1)).map((m) => [m.context.pktType, m.context.protocol, m.length])).toEqual([
      [0, 0x0800, 46],
    ]);
  });

  test("nothing slips by between opening and binding", async () => {
    const { netns } = closeLater(new VethNetwork());
    const out = closeLater(openPacketSocket({ netns, interface: "va", protocol: 0x88b5 }));
    for (let i = 0; i < 50; i++) {
      out.send(frame(0x88b5, [i]));
      const fanout = i % 2 === 0 ? {} : { fanout: { group: 9, mode: "lb" as const } };
      const socket = openPacketSocket({ netns, interface: "vb", filter: DROP, ...fanout });
      out.send(frame(0x88b5, [i]));
      expect(await received(socket, 0)).toEqual([]);
      socket.close();
    }
  });

  test("a program swapped while packets wait judges only what comes after", async () => {
    const { netns } = closeLater(new VethNetwork());
    const out = closeLater(openPacketSocket({ netns, interface: "va", protocol: 0x88b5 }));
    const socket = closeLater(openPacketSocket({ netns, interface: "vb", protocol: 0x88b5 }));
    out.send(frame(0x88b5, [1]));
    for (let i = 0; i < 2000 && socket.statistics().packets === 0; i++) await sleep(1);
    attachFilter(socket, DROP);
    out.send(frame(0x88b5, [2]));
    expect((await received(socket, 1)).map((m) => m.bytes[14])).toEqual([1]);
  });

  test("fanout by program: byte 0 is the network header, the verdict modulo the members chooses", async () => {
    const { netns } = closeLater(new VethNetwork());
    const out = closeLater(openPacketSocket({ netns, interface: "va", protocol: 0x88b5 }));
    const program = Program.parse("ldb [0]\nret a");
    const members = [0, 1, 2].map(() =>
      closeLater(
        openPacketSocket({ netns, interface: "vb", protocol: 0x88b5, fanout: { group: 5, mode: "cbpf", program } }),
      ),
    );
    for (let i = 0; i < 30; i++) out.send(frame(0x88b5, [i]));
    for (const [index, member] of members.entries()) {
      expect((await received(member, 10)).map((m) => m.bytes[14])).toEqual(
        Array.from({ length: 10 }, (_, i) => 3 * i + index),
      );
    }
  });

  test.each(["lb", "hash", "cpu"] as const)("fanout by %s delivers each packet once", async (mode) => {
    const { netns } = closeLater(new VethNetwork());
    const out = closeLater(openPacketSocket({ netns, interface: "va", protocol: 0x88b5 }));
    const members = [0, 1].map(() =>
      closeLater(openPacketSocket({ netns, interface: "vb", protocol: 0x88b5, fanout: { group: 6, mode } })),
    );
    for (let i = 0; i < 20; i++) out.send(frame(0x88b5, [i]));
    const got: number[][] = [[], []];
    for (const deadline = Date.now() + 2000; got.flat().length < 20 && Date.now() < deadline; await sleep(1)) {
      for (const [i, member] of members.entries()) {
        for (let m = member.receive(); m !== undefined; m = member.receive()) got[i]!.push(m.bytes[14]!);
      }
    }
    expect(got.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    if (mode === "lb") expect(got.map((list) => list.length)).toEqual([10, 10]);
  });

  test("options that make no sense are refused before anything is opened", () => {
    const wrong = (options: object): unknown => {
      try {
        return openPacketSocket(options).close();
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(wrong({ type: "cooked" })).toBe("bad-argument");
    expect(wrong({ protocol: 0 })).toBe("bad-argument");
    expect(wrong({ receiveSize: 0 })).toBe("bad-argument");
    expect(wrong({ fanout: { group: 70000, mode: "lb" } })).toBe("bad-argument");
    expect(wrong({ fanout: { group: 1, mode: "toString" } })).toBe("bad-argument");
    expect(wrong({ fanout: { group: 1, mode: "cbpf" } })).toBe("bad-argument");
    expect(wrong({ fanout: { group: 1, mode: "lb", program: DROP } })).toBe("bad-argument");
    expect(wrong({ interface: "x".repeat(16) })).toBe("bad-argument");
    expect(wrong({ interface: "" })).toBe("bad-argument");
    expect(wrong({ netns: -1 })).toBe("bad-argument");
    expect(wrong({ interface: "no-such-if" })).toBe("system");
  });
});

describe.skipIf(noPrivilege !== undefined)("raw sockets", () => {
  test("ICMP with real ping: byte 0 is the IP header, and only the wanted echo passes", {
    timeout: 20_000,
  }, async () => {
    const network = closeLater(new PrivateNetwork());
    const { netns } = network;
    // Echo requests (type 8) whose IP packet has 20 + 8 + 40 bytes.
    const filter = Program.parse(`
          ldb [20]
          jeq #8, length, no
  length: ld #len
          jeq #68, yes, no
     yes: ret #-1
      no: ret #0`);
    const socket = closeLater(openRawSocket({ netns, protocol: 1, filter }));
    for (const size of ["30", "40", "50"]) {
      const ping = spawn("nsenter", [
        `--net=/proc/${process.pid}/fd/${netns}`,
        "ping",
        "-c1",
        "-W2",
        "-s",
        size,
        "127.0.0.1",
      ]);
      const [status] = await once(ping, "exit");
      expect(status).toBe(0);
    }
    const message = (await socket.messages().next()).value;
    expect(message).toMatchObject({ length: 68, from: "127.0.0.1" });
    expect(message!.bytes[0]).toBe(0x45);
    expect(socket.receive()).toBeUndefined();
  });

  test("IPv6: byte 0 is the header behind IPv6's own", async () => {
    const { netns } = closeLater(new PrivateNetwork());
    const filter = Program.parse("ldb [0]\njeq #128, yes, no\nyes: ret #-1\nno: ret #0");
    const socket = closeLater(openRawSocket({ netns, family: 6, protocol: 58, filter }));
    socket.send(Uint8Array.of(128, 0, 0, 0, 0, 1, 0, 1, 42), inetAddress("::1", 0));
    const message = (await socket.messages().next()).value;
    expect(message).toMatchObject({ length: 9, from: "::1" });
    expect([message!.bytes[0], message!.bytes[8]]).toEqual([128, 42]);
    expect(socket.receive()).toBeUndefined(); // the reply, type 129, is dropped
  });

  test("a protocol or family that is none is refused", () => {
    expect(() => openRawSocket({ protocol: 0 })).toThrow(/1..255/);
    expect(() => openRawSocket({ protocol: 1, family: 5 as 4 })).toThrow(/neither 4 nor 6/);
    expect(linkAddress(3, 1)).toHaveLength(20);
  });
});
