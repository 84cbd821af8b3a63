import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import { contextOf } from "../src/conformance/corpus.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { trace } from "../src/interpreter/trace.ts";
import { CODE } from "../src/isa/opcodes.ts";
import { stmt } from "../src/program/instruction.ts";
import { packetContext } from "../src/program/packet-context.ts";
import { TEXT_FORMATS, type TextFormat } from "../src/text/formats.ts";
import { verify } from "../src/verify/verify.ts";
import { Context } from "../src/vm/context.ts";
import { Program } from "../src/vm/program.ts";
import { VirtualMachine } from "../src/vm/virtual-machine.ts";
import { corpusFiles } from "./corpus-files.ts";

const IPV4 = "ldh [12]\njeq #0x800, yes, no\nyes: ret #262144\nno: ret #0";

function frame(etherType: number): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes[12] = etherType >> 8;
  bytes[13] = etherType & 0xff;
  return bytes;
}

describe("Program", () => {
  const program = Program.parse(IPV4);

  test("runs on bytes and on contexts", () => {
    expect(program.execute(frame(0x800))).toBe(262144);
    expect(program.matches(frame(0x86dd))).toBe(false);
    expect(program.matches(new Context().setPacket(frame(0x800)))).toBe(true);
    expect(() => program.execute("packet" as never)).toThrow(expect.objectContaining({ code: "bad-argument" }));
  });

  test.each(Object.keys(TEXT_FORMATS) as TextFormat[])("reads back what it writes as %s", (format) => {
    expect(Program.parse(program.toString(format)).equals(program)).toBe(true);
    expect(Program.parse(program.toString(format), { format }).equals(program)).toBe(true);
  });

  test("reads back its bytes and its JSON", () => {
    expect(Program.load(program.toBytes()).equals(program)).toBe(true);
    expect(Program.load(program.toBytes("big")).equals(program)).toBe(true);
    expect(Program.fromInstructions(JSON.parse(JSON.stringify(program))).equals(program)).toBe(true);
    expect(program.toJSON()).toEqual([
      [0x28, 0, 0, 12],
      [0x15, 0, 1, 0x800],
      [6, 0, 0, 262144],
      [6, 0, 0, 0],
    ]);
  });

  test("is immutable and shows its listing in Node", () => {
    expect(Object.isFrozen(program)).toBe(true);
    expect(program.length).toBe(4);
    expect(inspect(program)).toMatch(/^Program \(4 instructions, linux\)\n\(000\) ldh +\[12\]\n/);
  });

  test("refuses what is not valid", () => {
    expect(() => Program.load(new Uint8Array(7))).toThrow(expect.objectContaining({ code: "bad-bytes" }));
    expect(() => Program.parse("ldq [0]")).toThrow(expect.objectContaining({ code: "bad-text" }));
    expect(() => Program.parse("ld #1")).toThrow(expect.objectContaining({ code: "invalid-program" }));
  });
});

describe("trace", () => {
  test("tells each step, the bytes read and why it ended", () => {
    const steps = [...Program.parse(IPV4).trace(frame(0x800))];
    expect(steps.map(({ index, a, taken, next }) => ({ index, a, taken, next }))).toEqual([
      { index: 0, a: 0x800, taken: undefined, next: 1 },
      { index: 1, a: 0x800, taken: true, next: 2 },
      { index: 2, a: 0x800, taken: undefined, next: undefined },
    ]);
    expect(steps[0]!.read).toEqual({ at: 12, size: 2, value: 0x800 });
    expect(steps[2]!.end).toEqual({ verdict: 262144, reason: "return", message: "returned a constant" });
  });

  // biome-ignore format: a table
  test.each([
    ["ld [57]\nret #1",                             0, "out-of-range",     "4 bytes at 57 of a packet with 60 captured bytes"],
    ["ld [0xffdfffff]\nret #1",                     0, "out-of-range",     "the offset is in no area of the packet"],
    ["ld #5\ndiv x\nret #1",                        0, "division-by-zero", "X is 0"],
    ["ld #5\nld #ifidx\nret #1",                    5, "no-device",        "IFINDEX without a device ends with A"],
    ["ld #7\nret a",                                7, "return",           "returned A"],
  ])("%j ends with %i: %s", (text, verdict, reason, message) => {
    const steps = [...Program.parse(text).trace(frame(0x800))];
    expect(steps.at(-1)!.end).toEqual({ verdict, reason, message });
  });

  test("knows which scratch cells were written", () => {
    const [, second] = Program.parse("ld #9\nst M[3]\nret a").trace(new Uint8Array(0));
    expect(second!.mem.map((cell, i) => (cell === undefined ? undefined : [i, cell])).filter(Boolean)).toEqual([
      [3, 9],
    ]);
  });

  test.each(
    corpusFiles()
      .filter(({ runs }) => runs.length > 0)
      .map((file) => [file.name, file] as const),
  )("ends as the corpus says: %s", (_name, { instructions, profile, runs }) => {
    for (const run of runs) {
      const steps = [...trace(verify(instructions, { profile }), run.packet, contextOf(run))];
      expect(steps.at(-1)!.end!.verdict, `line ${run.line}`).toBe(run.verdict);
    }
  });
});

// The three examples of the system whose design this is, in TypeScript.

describe("PacketProcessor: one program, one context a worker", () => {
  class PacketProcessor {
    readonly #program: Program;
    readonly #context = new Context();

    constructor(program: Program) {
      this.#program = program;
    }

    process(packet: Uint8Array): boolean {
      this.#context.reset();
      this.#context.setPacket(packet);
      return this.#program.execute(this.#context) !== 0;
    }
  }

  test("picks packets, and the context can be used again", () => {
    const processor = new PacketProcessor(Program.load(Program.parse(IPV4).toBytes()));
    expect([0x800, 0x806, 0x800].map((type) => processor.process(frame(type)))).toEqual([true, false, true]);
  });
});

describe("CustomInstruction: registered at 0xF0", () => {
  const plain = new VirtualMachine();
  const vm = plain.registerOpcode(0xf0, {
    name: "sum8",
    pseudo: "A = sum of the first k bytes",
    execute(machine, { k }) {
      machine.a = machine.packet.subarray(0, k).reduce((sum, byte) => sum + byte, 0);
    },
  });

  test("runs, assembles and disassembles on that machine", () => {
    const program = vm.parse("sum8 #3\nret a");
    expect(program.execute(Uint8Array.of(1, 2, 3, 4))).toBe(6);
    expect(program.usesExtensions).toBe(true);
    expect(vm.parse(program.toString()).equals(program)).toBe(true);
    expect(vm.load(program.toBytes()).execute(Uint8Array.of(5))).toBe(5);
    expect([...program.trace(Uint8Array.of(1, 2))].at(-1)!.end!.verdict).toBe(3);
  });

  test("is unknown to the machine it came from, and collisions name both rows", () => {
    expect(() => plain.parse("sum8 #3\nret a")).toThrow(BpfError);
    expect(() => plain.fromInstructions([stmt(0xf0, 3), stmt(CODE.ret_a)])).toThrow("code 0xf0");
    expect(() => vm.registerOpcode(0xf0, { name: "other", execute() {} })).toThrow(
      expect.objectContaining({ code: "opcode-taken", message: 'opcode 0xf0 of "other" is taken by "sum8"' }),
    );
    expect(() => vm.registerOpcode(0x06, { name: "mine", execute() {} })).toThrow('taken by "ret_k"');
    expect(() => vm.registerOpcode(0xf1, { name: "no word", execute() {} })).toThrow("no identifier");
  });

  test("can end the program, see jt and jf, and write X and M", () => {
    const machine = new VirtualMachine()
      .registerOpcode(0xf1, { name: "stop", execute: ({ a }) => (a === 1 ? 77 : undefined) })
      .registerOpcode(0xf2, {
        name: "spread",
        execute(m, { jt, jf }) {
          m.x = jt - 256;
          m.mem[2] = jf;
        },
      });
    expect(machine.parse("ld #1\nstop\nret #5").execute(new Uint8Array(0))).toBe(77);
    expect(machine.parse("ld #2\nstop\nret #5").execute(new Uint8Array(0))).toBe(5);
    const program = machine.fromInstructions([
      { code: 0xf2, jt: 7, jf: 9, k: 0 },
      stmt(CODE.st, 3),
      stmt(CODE.txa),
      stmt(CODE.ret_a),
    ]);
    expect(program.execute(new Uint8Array(0))).toBe(0xffffff07);
  });

  test("what it throws reaches the caller, and the filter still works", () => {
    let fail = true;
    const program = new VirtualMachine()
      .registerOpcode(0xf3, {
        name: "risky",
        execute() {
          if (fail) throw new RangeError("boom");
        },
      })
      .parse("risky\nret #1");
    expect(() => program.execute(new Uint8Array(1))).toThrow("boom");
    fail = false;
    expect(program.execute(new Uint8Array(1))).toBe(1);
  });

  test("handlers answer for ancillary offsets that the kernel does not know", () => {
    const machine = new VirtualMachine().registerAncillary(64, "ttl", ({ packet }) => packet[8]!);
    const program = machine.parse("ldb #ttl\nret a");
    expect(program.execute(Uint8Array.from({ length: 20 }, (_zero, i) => i))).toBe(8);
    expect([...program.trace(new Uint8Array(9).fill(3))].at(-1)!.end!.verdict).toBe(3);
    expect(() => machine.registerAncillary(56, "again", () => 0)).toThrow('taken by "RANDOM"');
    expect(() => plain.fromInstructions(program.instructions)).toThrow("names no ancillary value");
  });
});

describe("EnhancedContext: metadata of its own, cleared in reset", () => {
  class EnhancedContext extends Context {
    readonly metadata = new Map<string, number>();

    override reset(): void {
      super.reset();
      this.metadata.clear();
    }
  }

  test("instructions read it, and reset empties it", () => {
    const vm = new VirtualMachine({ context: EnhancedContext }).registerOpcode(0xf0, {
      name: "tenant",
      execute(machine) {
        machine.a = machine.context.metadata.get("tenant") ?? 0;
      },
    });
    const program = vm.parse("tenant\nret a");
    const context = vm.createContext();
    context.metadata.set("tenant", 42);
    expect(program.execute(context.setPacket(frame(0x800)))).toBe(42);
    context.reset();
    expect(program.execute(context.setPacket(frame(0x800)))).toBe(0);
    expect(context).toBeInstanceOf(EnhancedContext);
    expect(program.execute(frame(0x800)), "plain bytes get a context of the class").toBe(0);
  });
});

describe("Context", () => {
  test("reset forgets everything but the source of random numbers", () => {
    const context = new Context({ mark: 7, ifindex: 3, mac: 0, network: 14, random: () => 5 });
    context.setPacket(frame(0x800), 1500);
    context.reset();
    const { randomSource, ...fields } = context;
    const { randomSource: _fresh, ...empty } = new Context();
    expect(fields).toEqual(empty);
    expect(randomSource()).toBe(5);
  });

  test("refuses what is no packet or no length", () => {
    expect(() => new Context().setPacket([1, 2] as never)).toThrow(expect.objectContaining({ code: "bad-argument" }));
    expect(() => new Context().setPacket(new Uint8Array(1), -1)).toThrow("length -1 is outside 0..0xffffffff");
  });

  test("is a packet context for any engine", () => {
    const program = Program.parse("ld #mark\nret a");
    expect(program.execute(new Uint8Array(0), new Context({ mark: 9 }))).toBe(9);
    expect(program.execute(new Uint8Array(0), packetContext({ mark: 0xffffffff }))).toBe(0xffffffff);
  });
});

describe("VirtualMachine", () => {
  test("is frozen, and so is what it makes", () => {
    const vm = new VirtualMachine();
    expect(Object.isFrozen(vm)).toBe(true);
    expect(vm.withEngine(interpreter).engine).toBe(interpreter);
  });

  test("takes a profile", () => {
    const vm = new VirtualMachine({ profile: "libpcap" });
    expect(vm.parse("ld #1\nlsh #33\nret a").execute(new Uint8Array(0))).toBe(2);
    expect(() => new VirtualMachine().parse("ld #1\nlsh #33\nret a")).toThrow("shift count 33");
  });
});
