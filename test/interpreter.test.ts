import { describe, expect, test } from "vitest";
import { interpreter, MAX_BACKWARD_JUMPS } from "../src/interpreter/interpreter.ts";
import { CODE } from "../src/isa/opcodes.ts";
import { jump, stmt } from "../src/program/instruction.ts";
import { packetContext } from "../src/program/packet-context.ts";
import { verify } from "../src/verify/verify.ts";

const PACKET = Uint8Array.from([0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0]);

describe("the corpus covers each instruction; here are the seams of the engine", () => {
  test("a verdict is unsigned, and 0xffffffff is no negative number", () => {
    expect(interpreter.load(verify([stmt(CODE.ret_k, 0xffffffff)])).run(PACKET)).toBe(0xffffffff);
    expect(interpreter.load(verify([stmt(CODE.ldw_abs, 4), stmt(CODE.ret_a)])).run(PACKET)).toBe(0x9abcdef0);
  });

  test("LEN is the length on the wire, loads are bounded by the captured bytes", () => {
    const filter = interpreter.load(
      verify([stmt(CODE.ldx_len), stmt(CODE.ldb_abs, 8), stmt(CODE.txa), stmt(CODE.ret_a)]),
    );
    const length = interpreter.load(verify([stmt(CODE.ld_len), stmt(CODE.ret_a)]));
    expect(length.run(PACKET, packetContext({ length: 1500 }))).toBe(1500);
    expect(filter.run(PACKET, packetContext({ length: 1500 }))).toBe(0);
  });

  test("a batch gives the verdicts of its packets one by one", () => {
    const filter = interpreter.load(verify([stmt(CODE.ldb_abs, 1), stmt(CODE.ret_a)]));
    const table = Uint32Array.from([0, 8, 2, 1, 3, 4, 5, 2]);
    const verdicts = new Uint32Array(4);
    expect(filter.runBatch({ bytes: PACKET, table, count: 4 }, verdicts)).toBe(3);
    expect([...verdicts]).toEqual([0x34, 0, 0x9a, 0xde]);
  });

  test("a batch takes wire lengths and contexts per packet", () => {
    const filter = interpreter.load(
      verify([stmt(CODE.ld_len), stmt(CODE.tax), stmt(CODE.ldw_abs, 0xfffff014), stmt(CODE.add_x), stmt(CODE.ret_a)]),
    );
    const verdicts = new Uint32Array(2);
    filter.runBatch(
      {
        bytes: PACKET,
        table: Uint32Array.from([0, 8, 0, 8]),
        lengths: Uint32Array.from([100, 200]),
        count: 2,
        context: (i) => packetContext({ mark: i + 1 }),
      },
      verdicts,
    );
    expect([...verdicts]).toEqual([101, 202]);
  });

  test("a loop that only libpcap loads ends with verdict 0", () => {
    const loop = verify([stmt(CODE.ja, 0xffffffff), stmt(CODE.ret_k, 1)], { profile: "libpcap" });
    expect(MAX_BACKWARD_JUMPS).toBe(65536);
    expect(interpreter.load(loop).run(PACKET)).toBe(0);
  });

  test("scratch cells that libpcap reads unwritten are 0, also on the second packet", () => {
    const filter = interpreter.load(
      verify([stmt(CODE.ld_mem, 3), stmt(CODE.add_k, 1), stmt(CODE.st, 3), stmt(CODE.ret_a)], { profile: "libpcap" }),
    );
    expect([filter.run(PACKET), filter.run(PACKET)]).toEqual([1, 1]);
  });

  test("RANDOM comes from the context, so that runs repeat", () => {
    let n = 40;
    const filter = interpreter.load(verify([stmt(CODE.ldb_abs, 0xfffff038), stmt(CODE.ret_a)]));
    const context = packetContext({ random: () => ++n });
    expect([filter.run(PACKET, context), filter.run(PACKET, context)]).toEqual([41, 42]);
  });

  test("a filter that runs itself from inside keeps its own scratch memory", () => {
    const program = verify([
      stmt(CODE.ldb_abs, 0),
      stmt(CODE.st, 0),
      stmt(CODE.ldw_abs, 0xfffff038),
      stmt(CODE.ld_mem, 0),
      stmt(CODE.ret_a),
    ]);
    const filter = interpreter.load(program);
    const inner = packetContext({ random: () => 0 });
    const outer = packetContext({ random: () => filter.run(Uint8Array.of(7), inner) });
    expect(filter.run(Uint8Array.of(9), outer)).toBe(9);
  });

  test("jumps of every length land where they should", () => {
    const far = [
      jump(CODE.jeq_k, 0, 255, 0),
      stmt(CODE.ret_k, 1),
      ...Array(254).fill(stmt(CODE.ret_k, 2)),
      stmt(CODE.ret_k, 3),
    ];
    expect(interpreter.load(verify(far)).run(PACKET)).toBe(3);
  });
});
