// User space against the kernel: the corpus, everything that can be listed, and random programs, with all 32 bits of
// every verdict.  Needs the addon; the part on real packets needs CAP_SYS_ADMIN.  Where they are missing it prints the
// reason and skips.  CBPF_LONG=1 raises the counts.
import { availableParallelism } from "node:os";
import { afterAll, describe, expect, test } from "vitest";
import { optmemMax } from "../src/cli/conform-engines.ts";
import { Comparison, type Disagreement } from "../src/conformance/compare.ts";
import { corpusTrial } from "../src/conformance/corpus.ts";
import {
  ancillaryTrials,
  arithmeticTrials,
  attributeTrials,
  borderTrials,
  opcodeTrials,
  payOffsetTrials,
} from "../src/conformance/exhaustive.ts";
import { randomFrame } from "../src/conformance/frames.ts";
import { generateProgram } from "../src/conformance/generate.ts";
import { observe } from "../src/conformance/observed.ts";
import { oracleContestant } from "../src/conformance/oracle-contestant.ts";
import { generatePacket } from "../src/conformance/packets.ts";
import { Random } from "../src/conformance/random.ts";
import { randomTrial, type Scene } from "../src/conformance/random-trials.ts";
import { type Contestant, localContestant, type Trial } from "../src/conformance/trial.ts";
import { beyondUnix } from "../src/conformance/unix-context.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { CODE } from "../src/isa/opcodes.ts";
import { status } from "../src/kernel/load.ts";
import { type NetworkOracle, tapOracle, udpOracle } from "../src/kernel/network-oracle.ts";
import { type KernelOracle, unixOracle } from "../src/kernel/oracle.ts";
import { PrivateNetwork } from "../src/kernel/private-network.ts";
import { type Instruction, stmt } from "../src/program/instruction.ts";
import { estimateAttach } from "../src/verify/estimate.ts";
import { corpusFiles } from "./corpus-files.ts";

const SEED = Number(process.env.SEED ?? 1);
const LONG = process.env.CBPF_LONG === "1";
const SECONDS = 1000;

const { available, message } = status();
if (!available) console.log(`conformance with the kernel: skipped, ${message}`);

const limit = optmemMax();
const reference = localContestant(interpreter, { optmemMax: limit });

/** Puts the trials to the interpreter and the contestant; every verdict must be the same. */
async function agree(contestant: Contestant, trials: Iterable<Trial>): Promise<Comparison> {
  const comparison = new Comparison([reference, contestant], { keep: 3 });
  for (const trial of trials) await comparison.run(trial);
  expect(comparison.disagreements.map(shown)).toEqual([]);
  expect(comparison.disagreed).toBe(0);
  return comparison;
}

function shown({ contestant, trial, sample, expected, got }: Disagreement): string {
  return `${contestant}, ${trial.origin}, packet ${sample}: ${got} for ${expected}; rerun: SEED=${SEED} npx vitest run test/conformance-kernel.test.ts`;
}

function* random(scene: Scene, cases: number): Generator<Trial> {
  for (let n = 0; n < cases / 8; n++) yield randomTrial(SEED, n, { scene, cpus: availableParallelism() });
}

describe.skipIf(!available)("AF_UNIX", () => {
  let oracle: KernelOracle;
  let kernel: Contestant;
  if (available) {
    oracle = unixOracle();
    kernel = oracleContestant(oracle, {
      name: "kernel",
      version: "",
      cannotShow: beyondUnix,
      cpus: availableParallelism(),
    });
  }
  afterAll(() => oracle.close());

  test("the corpus; what the kernel can not show is skipped for a reason", async () => {
    const files = corpusFiles();
    const comparison = await agree(kernel, files.map(corpusTrial));
    const { cases, skipped, programsAgreed, programs } = comparison.tallies.get("kernel\0corpus")!;
    expect(programsAgreed).toBe(programs);
    expect(cases).toBeGreaterThan(400);
    expect([...skipped.keys()].sort()).toEqual([
      ...(availableParallelism() < 4 ? ["a CPU that is not there"] : []),
      "context of another attach point",
      "larger than a unix datagram",
      "profile libpcap",
      "random numbers can not be chosen",
      "rewritten program beyond the kernel's limits: only min(verdict, LEN) compared",
      "the kernel decides what is linear",
      "the kernel has every byte of a packet",
    ]);
  });

  test("what the corpus says of attaching", () => {
    for (const { name, profile, instructions, rejects, attach } of corpusFiles()) {
      if (profile !== "linux" || (attach !== undefined && limit !== 131_072)) continue;
      const acceptance = oracle.accepts(instructions);
      const said = acceptance.accepted ? "ok" : acceptance.errno;
      expect(said, name).toBe(attach ?? (rejects.length > 0 ? "EINVAL" : "ok"));
    }
  });

  test(
    "all 65,536 codes",
    async () => {
      const comparison = await agree(kernel, opcodeTrials());
      expect(comparison.tallies.get("kernel\0opcodes")!.programsAgreed).toBeGreaterThan(131_072);
    },
    60 * SECONDS,
  );

  test(
    "every ancillary offset, size and mode",
    async () => {
      const every = LONG ? 1 : 8;
      let n = 0;
      const some = (function* () {
        // Offsets up to 72 hold all that the kernel knows; the others are all refused, or plain NET offsets.
        for (const trial of ancillaryTrials()) {
          const offset = Number(/\d+/.exec(trial.origin)![0]);
          if (offset <= 72 || offset % every === n % every) yield trial;
        }
        n++;
      })();
      await agree(kernel, some);
    },
    60 * SECONDS,
  );

  test(
    "every border of every area in every form of load",
    async () => {
      const { cases } = await agree(kernel, borderTrials());
      expect(cases).toBeGreaterThan(30_000);
    },
    60 * SECONDS,
  );

  test(
    "arithmetic and conditions on the edge grid",
    async () => {
      const { cases } = await agree(kernel, arithmeticTrials());
      expect(cases).toBeGreaterThan(30_000);
    },
    60 * SECONDS,
  );

  test(
    "48,000 attribute searches",
    async () => {
      const { cases } = await agree(kernel, attributeTrials(SEED, 1000, 48));
      expect(cases).toBe(48_000);
    },
    60 * SECONDS,
  );

  test(
    "random programs, valid and not",
    async () => {
      const wanted = LONG ? 1_000_000 : 20_000;
      const { cases } = await agree(kernel, random("unix", wanted));
      expect(cases).toBeGreaterThan(wanted * 0.8);
    },
    900 * SECONDS,
  );

  // The charge of a program, in bytes, is below the limit or not: programs are filled up with instructions of 8 bytes
  // until they stand right at it.
  test(
    "the memory charge, exact to the byte around the limit",
    () => {
      let [fits, refused] = [0, 0];
      for (let n = 0; n < (LONG ? 2000 : 200); n++) {
        const draw = new Random(SEED, n);
        const body: Instruction[] = [];
        while (estimateAttach({ instructions: body }).charge < limit - 8 * 600) {
          // Nothing that jumps out of its own program, and no loads from cells of another one.
          const { instructions } = generateProgram(draw);
          if (instructions.length > 100) continue;
          const moved = instructions.filter(
            ({ code }) => (code & 7) !== 5 && code !== CODE.ld_mem && code !== CODE.ldx_mem,
          );
          body.push(...moved, ...Array.from({ length: 6 }, () => stmt(CODE.ldw_abs, draw.below(40000))));
        }
        const missing = Math.ceil((limit - estimateAttach({ instructions: [...body, stmt(CODE.ret_a)] }).charge) / 8);
        for (const more of [-2, -1, 0, 1]) {
          const filler = new Array<Instruction>(missing + more).fill(stmt(CODE.tax));
          const instructions = [...body, ...filler, stmt(CODE.ret_a)];
          if (instructions.length > 4096) continue;
          const { errno, charge } = estimateAttach({ instructions }, { optmemMax: limit });
          const acceptance = oracle.accepts(instructions);
          expect(acceptance.accepted ? "none" : acceptance.errno, `program ${n}, charge ${charge}`).toBe(errno);
          if (acceptance.accepted) fits++;
          else refused++;
        }
      }
      expect(fits).toBeGreaterThan(50);
      expect(refused).toBeGreaterThan(50);
    },
    300 * SECONDS,
  );

  test(
    "jumps that the conversion to eBPF can not express",
    () => {
      const seen = new Map<string, number>();
      for (let n = 0; n < (LONG ? 2000 : 150); n++) {
        const draw = new Random(SEED, n);
        const [code, size] = draw.pick([
          [CODE.ldw_abs, 14],
          [CODE.ldxb_msh, 19],
          [CODE.ldw_ind, 9],
        ] as const);
        const count = Math.floor(32_767 / size) + draw.between(-3, 3);
        const loads = new Array<Instruction>(count).fill(stmt(code, 4));
        const filler = new Array<Instruction>(draw.below(size + 2)).fill(stmt(CODE.tax));
        const lead = new Array<Instruction>(draw.oneIn(4) ? draw.below(200) : 0).fill(stmt(CODE.txa));
        const jumps = draw.oneIn(3)
          ? [
              { code: CODE.jeq_k, jt: 1, jf: 0, k: draw.oneIn(2) ? 5 : 0x8000_0000 },
              stmt(CODE.ja, loads.length + filler.length),
            ]
          : [stmt(CODE.ja, loads.length + filler.length)];
        const end = draw.oneIn(4) ? [stmt(CODE.ja, 0), stmt(CODE.ret_a)] : [stmt(CODE.ret_a)];
        const instructions = [...lead, ...jumps, ...loads, ...filler, ...end];
        if (instructions.length > 4096) continue;
        const { errno } = estimateAttach({ instructions }, { optmemMax: limit });
        const acceptance = oracle.accepts(instructions);
        const said = acceptance.accepted ? "none" : acceptance.errno;
        expect(said, `program ${n}`).toBe(errno);
        seen.set(said, (seen.get(said) ?? 0) + 1);
      }
      expect([...seen.keys()].sort()).toEqual(["EINVAL", "ENOMEM"]);
    },
    120 * SECONDS,
  );
});

const noNetwork = whyNoNetwork();
if (available && noNetwork !== undefined) console.log(`conformance on real packets: skipped, ${noNetwork}`);

function whyNoNetwork(): string | undefined {
  if (!available) return message;
  try {
    new PrivateNetwork().close();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

describe.skipIf(noNetwork !== undefined)("real packets", () => {
  const payloads = (seed: number) =>
    Array.from({ length: 300 }, (_, n) => generatePacket(new Random(seed, n), 40, [], []));
  const frames = (count: number) => Array.from({ length: count }, (_, n) => randomFrame(SEED, n));

  async function withOracle<T>(oracle: NetworkOracle, use: (oracle: NetworkOracle) => Promise<T>): Promise<T> {
    try {
      return await use(oracle);
    } finally {
      oracle.close();
    }
  }

  test.each(["raw", "dgram"] as const)(
    "PAY_OFFSET, %s",
    (type) =>
      withOracle(tapOracle(type), async (oracle) => {
        const sent = LONG ? 62_000 : 6_200;
        const { pool, contestant, lost } = observe(oracle, frames(sent), { name: `tap-${type}`, version: "" });
        const { cases } = await agree(contestant, payOffsetTrials(type, pool));
        expect(cases + lost).toBe(sent);
        expect(lost / sent).toBeLessThan(0.03); // a tag cut short is dropped in front of every filter
      }),
    120 * SECONDS,
  );

  test.each([
    ["tap-raw", () => tapOracle("raw"), () => frames(300)],
    ["tap-dgram", () => tapOracle("dgram"), () => frames(300)],
    ["udp4", () => udpOracle(4, 0xfeed_beef), () => payloads(SEED)],
    ["udp6", () => udpOracle(6, 0xfeed_beef), () => payloads(SEED)],
  ] as const)(
    "random programs, %s",
    (name, open, packets) =>
      withOracle(open(), async (oracle) => {
        const { pool, contestant } = observe(oracle, packets(), { name, version: "" });
        const wanted = LONG ? 100_000 : 8_000;
        const { cases } = await agree(contestant, random({ name, pool }, wanted));
        expect(cases).toBeGreaterThan(wanted * 0.7);
      }),
    300 * SECONDS,
  );

  // The values themselves, so that nobody can agree on zeros.
  test("contexts hold what was sent", () =>
    withOracle(udpOracle(6, 0xfeed_beef), async (oracle) => {
      const { pool } = observe(oracle, payloads(SEED), { name: "udp6", version: "" });
      for (const { packet, context } of pool) {
        expect(context).toMatchObject({ protocol: 0x86dd, mark: 0xfeed_beef, hatype: 772, network: -40, mac: -54 });
        expect(context.rxhash).not.toBe(0);
        expect(packet.slice(0, 4)).toEqual(Uint8Array.of(0x12, 0xb6, 0x12, 0xb7));
      }
    }));
});
