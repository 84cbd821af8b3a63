/**
 * Attaching, detaching, locking and reading back: on real sockets, and with an addon that answers as it is told.
 */
import { createSocket } from "node:dgram";
import { closeSync, openSync } from "node:fs";
import { connect, createServer, type Server, Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import { ISA } from "../src/isa/instruction-set.ts";
import {
  attachFilter,
  attachSteering,
  detachFilter,
  type FilterProgram,
  getFilter,
  isFilterLocked,
  lockFilter,
} from "../src/kernel/attach.ts";
import { explainRefusal } from "../src/kernel/explain.ts";
import { type Addon, loadAddon } from "../src/kernel/load.ts";
import { openUnixPair } from "../src/kernel/local-sockets.ts";
import type { MessageSocket } from "../src/kernel/message-socket.ts";
import type { SocketTarget } from "../src/kernel/target.ts";
import { jump, stmt } from "../src/program/instruction.ts";
import { Program } from "../src/vm/program.ts";
import { announce, withoutAddon } from "./kernel-host.ts";

const reason = withoutAddon();
announce("kernel attach", reason);

const ACCEPT = Program.parse("ret #-1");
const DROP = Program.parse("ret #0");
const LONG_ONES = Program.parse("ld #len\njgt #3, yes, no\nyes: ret #-1\nno: ret #0");

function thrown(call: () => unknown): BpfError {
  try {
    call();
  } catch (error) {
    if (error instanceof BpfError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** An addon on which every descriptor is one good socket, but for the answers given. */
function fakeAddon(answers: Partial<Addon>): Addon {
  const refuse = (name: string) => (): never => {
    throw new Error(`${name} was called`);
  };
  return new Proxy(answers as Addon, {
    get(target, name: keyof Addon) {
      if (name in target) return target[name];
      if (name === "getOption")
        return (_fd: number, _level: number, _name: number, size: number) => new Uint8Array(size);
      return refuse(name);
    },
  });
}

describe("with an addon that answers as told", () => {
  test.each([
    [-22, [stmt(0x0e), stmt(0x06, 1)], "EINVAL", /instruction 0/],
    [-22, [stmt(0x64, 40), stmt(0x06, 1)], "EINVAL", /instruction 0: .*40/],
    [-12, new Array(4000).fill(stmt(0x20, 4)).concat(stmt(0x06, 1)), "ENOMEM", /valid, but its charge of \d+ bytes/],
    [-1, [stmt(0x06, 1)], "EPERM", /may not attach/],
    [-524, [stmt(0x06, 1)], "ENOTSUPP", /JIT/],
    [-92, [stmt(0x06, 1)], "ENOPROTOOPT", /takes no such filter/],
  ] as const)("errno %i is explained", (answer, program, errnoName, text) => {
    const error = thrown(() => attachFilter(5, program, { addon: fakeAddon({ attachProgram: () => answer }) }));
    expect(error).toMatchObject({ code: "system", errno: answer, errnoName, syscall: "setsockopt" });
    expect(error.cause).toMatchObject({ errno: answer, code: errnoName, syscall: "setsockopt" });
    expect(error.message).toMatch(text);
  });

  test("EINVAL carries the violations, and their first index", () => {
    const program = [stmt(0x00, 1), stmt(0x0e), stmt(0xffff)];
    const error = thrown(() => attachFilter(5, program, { addon: fakeAddon({ attachProgram: () => -22 }) }));
    expect(error.index).toBe(1);
    expect(error.violations.map((v) => v.index)).toEqual(expect.arrayContaining([1, 2]));
  });

  test("a program with extensions is refused before any system call", () => {
    const isa = ISA.extend({ code: 0xf0, name: "twice", run: () => undefined });
    const program = Program.fromInstructions([stmt(0xf0), stmt(0x16)], { isa });
    const untouched = new Proxy({} as Addon, {
      get: () => {
        throw new Error("a system call");
      },
    });
    expect(thrown(() => attachFilter(5, program, { addon: untouched }))).toMatchObject({ code: "extension", index: 0 });
    const ancillary = ISA.extendAncillary({ offset: 64, name: "mood", read: () => 1 });
    const loads = Program.fromInstructions([stmt(0x20, 0xfffff040), stmt(0x16)], { isa: ancillary });
    expect(thrown(() => attachFilter(5, loads, { addon: untouched }))).toMatchObject({ code: "extension", index: 0 });
  });

  test("a locked filter and TCP are told apart", () => {
    const program = [stmt(0x06, 1)];
    expect(explainRefusal("EPERM", program, { locked: true, protocol: 6 }).text).toMatch(/locked/);
    expect(explainRefusal("EPERM", program, { locked: false, protocol: 6 }).text).toMatch(/CAP_NET_ADMIN/);
    expect(explainRefusal("EPERM", program, { locked: false, protocol: 17 }).text).not.toMatch(/CAP_NET_ADMIN|locked/);
  });

  test("memory: too large at all, too large beside the old filter, or neither", () => {
    const program = [...new Array(200).fill(stmt(0x20, 4)), stmt(0x06, 1)];
    const says = (facts: Parameters<typeof explainRefusal>[2]): string => explainRefusal("ENOMEM", program, facts).text;
    expect(says({ optmemMax: 20480, charged: 0 })).toMatch(/exceeds net.core.optmem_max 20480/);
    expect(says({ optmemMax: 40000, charged: 30000 })).toMatch(/30000 bytes charged already.*detach it first/);
    expect(says({ optmemMax: 131072, charged: 0 })).toMatch(/out of memory/);
    expect(says({})).toMatch(/unknown/);
  });

  test("a jump that the conversion cannot express is found", () => {
    const program = [jump(0x05, 3000, 0, 0), ...new Array(3000).fill(stmt(0x20, 4)), stmt(0x06, 1)];
    const { violations } = explainRefusal("EINVAL", program, {});
    expect(violations[0]).toMatchObject({ rule: "conversion-limit", index: 0 });
  });

  test.each([
    ["a string", "eth0"],
    ["null", null],
    ["NaN", Number.NaN],
    ["-1", -1],
    ["2^31", 2 ** 31],
    ["an object", {}],
    ["a closed socket", { fd: -1 }],
  ])("%s is no target", (_name, target) => {
    const addon = fakeAddon({});
    expect(thrown(() => attachFilter(target as SocketTarget, ACCEPT, { addon })).code).toBe("bad-argument");
  });

  test.each([
    ["null", null],
    ["a number", 3],
    ["half an instruction", [[6, 0, 0]]],
    ["a code too large", [[0x10000, 0, 0, 0]]],
    ["more than struct sock_fprog can say", new Array(65536).fill(stmt(0x06))],
  ])("%s is no program", (_name, program) => {
    const addon = fakeAddon({});
    const error = thrown(() => attachFilter(5, program as unknown as FilterProgram, { addon }));
    expect(["bad-argument", "limit"]).toContain(error.code);
  });

  test("a descriptor that belongs to another socket by now is refused", () => {
    let cookie = 7;
    const addon = fakeAddon({
      getOption: (_fd, _level, _name, size) => new Uint8Array(size).fill(cookie, 0, 1),
      attachProgram: () => 0,
      detachFilter: () => 0,
    });
    const socket = { fd: 9 };
    const ref = attachFilter(socket, ACCEPT, { addon });
    expect(ref).toMatchObject({ fd: 9, cookie: 7n });
    expect(detachFilter(ref, { addon })).toBe(true);
    cookie = 8;
    expect(thrown(() => detachFilter(ref, { addon }))).toMatchObject({ code: "bad-argument" });
    expect(thrown(() => detachFilter(socket, { addon })).message).toMatch(/another socket by now/);
  });
});

describe.skipIf(reason !== undefined)("on real sockets", () => {
  const open: { close(): void }[] = [];
  afterEach(() => {
    for (const socket of open.splice(0)) socket.close();
  });
  const pair = (): readonly [MessageSocket, MessageSocket] => {
    const ends = openUnixPair();
    open.push(...ends);
    return ends;
  };
  const passes = ([sender, receiver]: readonly [MessageSocket, MessageSocket], length: number): boolean => {
    sender.send(new Uint8Array(length));
    return receiver.receive() !== undefined;
  };

  test("attach, replace, read back, detach", () => {
    const ends = pair();
    const [, receiver] = ends;
    expect(getFilter(receiver)).toBeUndefined();
    expect(detachFilter(receiver)).toBe(false);
    attachFilter(receiver, LONG_ONES);
    expect([passes(ends, 3), passes(ends, 4)]).toEqual([false, true]);
    expect(getFilter(receiver)).toEqual(LONG_ONES.instructions);
    attachFilter(receiver, DROP);
    expect(passes(ends, 4)).toBe(false);
    expect(detachFilter(receiver)).toBe(true);
    expect(passes(ends, 3)).toBe(true);
  });

  test("ignored fields come back as they went in", () => {
    const [, receiver] = pair();
    const program = [jump(0x87, 0xdeadbeef, 1, 2), jump(0x16, 99, 3, 4)];
    attachFilter(receiver, program);
    expect(getFilter(receiver)).toEqual(program);
  });

  test("a failed attach leaves the old filter in place", () => {
    const ends = pair();
    attachFilter(ends[1], LONG_ONES);
    const error = thrown(() => attachFilter(ends[1], [stmt(0x60, 3), stmt(0x16)]));
    expect(error).toMatchObject({ errnoName: "EINVAL", index: 0 });
    expect([passes(ends, 3), passes(ends, 4)]).toEqual([false, true]);
  });

  test("a lock cannot be undone, and reading still works", () => {
    const [, receiver] = pair();
    attachFilter(receiver, ACCEPT, { lock: true });
    expect(isFilterLocked(receiver)).toBe(true);
    for (const call of [() => attachFilter(receiver, DROP), () => detachFilter(receiver)]) {
      expect(thrown(call)).toMatchObject({ code: "system", errnoName: "EPERM" });
      expect(thrown(call).message).toMatch(/locked/);
    }
    expect(getFilter(receiver)).toEqual(ACCEPT.instructions);
    lockFilter(receiver);
  });

  test("a valid program whose charge is too large says by how much", () => {
    const [, receiver] = pair();
    const program = [...new Array(4000).fill(stmt(0x20, 4)), stmt(0x06, 1)];
    const error = thrown(() => attachFilter(receiver, program));
    expect(error).toMatchObject({ errnoName: "ENOMEM", violations: [] });
    expect(error.message).toMatch(/valid, but its charge of 448\d\d\d bytes exceeds net.core.optmem_max/);
  });

  test("beside an old filter that is charged still, the message says to detach", () => {
    const [, receiver] = pair();
    const program = [...new Array(700).fill(stmt(0x20, 4)), stmt(0x06, 1)];
    attachFilter(receiver, program);
    expect(thrown(() => attachFilter(receiver, program)).message).toMatch(/detach it first/);
  });

  test("dgram, net.Server and net.Socket are found", async () => {
    const udp = createSocket("udp4");
    open.push(udp);
    expect(thrown(() => attachFilter(udp, ACCEPT)).message).toMatch(/bind it first/);
    await new Promise<void>((resolve) => udp.bind(0, "127.0.0.1", resolve));
    attachFilter(udp, ACCEPT);
    expect(getFilter(udp)).toEqual(ACCEPT.instructions);

    const server: Server = createServer();
    expect(thrown(() => getFilter(server)).message).toMatch(/listen first/);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    open.push(server);
    expect(getFilter(server)).toBeUndefined();
    const client = connect((server.address() as { port: number }).port, "127.0.0.1");
    await new Promise<void>((resolve) => client.once("connect", resolve));
    expect(getFilter(client)).toBeUndefined();
    client.destroy();
    expect(thrown(() => getFilter(client)).code).toBe("bad-argument");
    expect(thrown(() => getFilter(new Socket())).message).toMatch(/connect it first/);
  });

  test("a unix stream socket is refused: the kernel would take the filter and never run it", () => {
    const addon = loadAddon();
    const [a, b] = addon.openPair(1, 1) as readonly [number, number];
    expect(thrown(() => attachFilter(a, DROP)).code).toBe("unsupported");
    addon.closeFd(a);
    addon.closeFd(b);
  });

  test("what is no socket, and what is not open, is named", () => {
    const file = openSync("/dev/null", "r");
    expect(thrown(() => attachFilter(file, ACCEPT))).toMatchObject({ errnoName: "ENOTSOCK" });
    closeSync(file);
    expect(thrown(() => attachFilter(file, ACCEPT))).toMatchObject({ errnoName: "EBADF" });
  });

  test("a closed socket opened here is refused", () => {
    const [first, second] = pair();
    second.close();
    expect(thrown(() => attachFilter(second, ACCEPT)).code).toBe("bad-argument");
    expect(thrown(() => second.receive()).code).toBe("bad-argument");
    expect(first.fd).toBeGreaterThan(2);
  });

  test("steering goes only where there is something to steer", () => {
    const [, receiver] = pair();
    expect(thrown(() => attachSteering(receiver, "fanout", ACCEPT)).code).toBe("system");
    expect(thrown(() => attachSteering(receiver, "nowhere" as "fanout", ACCEPT)).code).toBe("bad-argument");
  });
});
