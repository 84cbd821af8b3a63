// Does the optimizer keep every verdict?  Three proofs at scale, each printing what it counted.
//
//   npm run prove:optimizer -- --part verdicts|random|z3 [--seconds N] [--state FILE] [--seed N]
//
//   verdicts  Every expression of the corpus on eight link types, compiled by libpcap without its optimizer and by this
//             package without its own: unoptimized and optimized, for goals balanced and speed, on real, mutated and
//             truncated packets and on packets for each path.  --packets N: about so many for each program.
//   random    --cases N random valid programs and packets of the conformance generator: the optimized program gives
//             the original's verdict in the interpreter and in the kernel, which accepts it whenever it accepted the
//             original.  Wants the addon.
//   z3        verifyEquivalence on every program of the corpus and what became of it, 10 s each.  Wants z3-solver.
//
// --from N and --to N choose programs of the corpus.  With --state a run that --seconds stopped goes on where it was;
// repeat the command until it says "complete".  Exit status 1 when anything differed, in this run or an earlier one.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { corpus, realPackets } from "../bench/optimizer-corpus.mjs";
import { BpfError } from "../dist/base/errors.js";
import { Comparison } from "../dist/conformance/compare.js";
import { oracleContestant } from "../dist/conformance/oracle-contestant.js";
import { readLengths } from "../dist/conformance/packets.js";
import { Random } from "../dist/conformance/random.js";
import { randomTrial } from "../dist/conformance/random-trials.js";
import { localContestant } from "../dist/conformance/trial.js";
import { beyondUnix } from "../dist/conformance/unix-context.js";
import { compileFilter } from "../dist/filter/compile.js";
import { interpreter } from "../dist/interpreter/interpreter.js";
import { unixOracle } from "../dist/kernel/oracle.js";
import { optimize } from "../dist/optimize/optimize.js";
import { packetContext } from "../dist/program/packet-context.js";
import { verifyEquivalence } from "../dist/prove/equivalence.js";
import { pathPackets } from "../dist/prove/paths.js";
import { loadZ3 } from "../dist/prove/solver.js";
import { check, verify } from "../dist/verify/verify.js";

const { values: args } = parseArgs({
  options: {
    part: { type: "string" },
    seconds: { type: "string", default: "Infinity" },
    state: { type: "string" },
    seed: { type: "string", default: "1" },
    from: { type: "string", default: "0" },
    to: { type: "string", default: "Infinity" },
    packets: { type: "string", default: "200" },
    cases: { type: "string", default: "1000000" },
  },
});
const seed = Number(args.seed);
/** Milliseconds for z3, and where it does not answer as many for comparing paths: 10 s together. */
const TIME_LIMIT = 5000;
const GOALS = ["balanced", "speed"];

const makers = { verdicts: verdictsPart, random: randomPart, z3: z3Part };
if (!Object.hasOwn(makers, args.part ?? "")) {
  console.error(`--part is one of ${Object.keys(makers).join(", ")}`);
  process.exit(2);
}

const known = args.state !== undefined && existsSync(args.state);
const state = known ? JSON.parse(readFileSync(args.state, "utf8")) : { next: Number(args.from), counts: {}, bad: 0 };
const part = await makers[args.part]();
const deadline = Date.now() + 1000 * Number(args.seconds);
while (!part.isComplete() && Date.now() < deadline) {
  await part.step(state.next++);
}
part.close?.();
if (args.state !== undefined) writeFileSync(args.state, JSON.stringify(state));
console.log(`${args.part}, seed ${seed}:`, state.counts);
console.log(part.isComplete() ? "complete" : `stopped in front of ${state.next}: ${part.left()} left`);
console.log(state.bad === 0 ? "no difference" : `${state.bad} DIFFERENCES`);
process.exitCode = state.bad === 0 ? 0 : 1;

function count(what, n = 1) {
  state.counts[what] = (state.counts[what] ?? 0) + n;
}

/** Says what is wrong, in enough words to do it again. */
function differs(program, text) {
  state.bad++;
  console.log(`DIFFERENT: ${program.name}: ${text}\n  ${JSON.stringify(program.instructions)}`);
}

/** Both compilers' programs for every expression of the corpus, those that --from and --to choose. */
function programs() {
  const entries = corpus();
  if (typeof entries === "string") {
    console.log(`nothing is proved: ${entries}`);
    process.exit(2);
  }
  return entries.flatMap(({ link, linktype, expression, generated }) => {
    const ours = compiled(expression, linktype);
    return [
      { name: `${link}, libpcap: ${expression}`, linktype, instructions: generated },
      ...(ours === undefined ? [] : [{ name: `${link}, cbpf: ${expression}`, linktype, instructions: ours }]),
    ];
  });
}

/** Our own program without the optimizer; undefined where this package refuses what libpcap takes. */
function compiled(expression, linktype) {
  // pcap_open_dead() counts as live for these, and only for them.
  const live = /bound|ifindex/.test(expression);
  try {
    return compileFilter(expression, { linktype, live, netmask: 0xffffff00, profile: "libpcap" }).instructions;
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}

/** A part that takes the programs of the corpus one by one. */
function overCorpus(step, close) {
  const all = programs();
  const end = Math.min(all.length, Number(args.to));
  return {
    step: (n) => step(all[n], n),
    isComplete: () => state.next >= end,
    left: () => `${end - state.next} programs`,
    close,
  };
}

/** The program as an engine takes it: by Linux's rules where it obeys them. */
function verified(instructions) {
  return verify(instructions, { profile: check(instructions).length === 0 ? "linux" : "libpcap" });
}

function verdictsPart() {
  const real = realPackets(40);
  return overCorpus((program, n) => {
    const random = new Random(seed, n);
    const original = verified(program.instructions);
    const packets = packetsFor(program, real.get(program.linktype) ?? [], random);
    const before = interpreter.load(original);
    count("programs");
    count("packets", packets.length);
    for (const goal of GOALS) {
      const { instructions, unchanged } = optimize(original, { goal });
      if (unchanged !== undefined) count(`unchanged (${goal})`);
      if (original.profile === "linux" && check(instructions).length > 0)
        differs(program, `${goal}: not valid any more`);
      const after = interpreter.load(verified(instructions));
      for (const { data, length } of packets) {
        const context = packetContext({ length, ifindex: 1, pktType: data.length % 5 });
        const [want, got] = [before.run(data, context), after.run(data, context)];
        if (want !== got)
          differs(program, `${goal}: ${want} became ${got} on ${length}, ${Buffer.from(data).toString("hex")}`);
      }
      count("cases", packets.length);
    }
  });
}

/** Real packets, the same with constants of the program and chance in them, the same cut, and packets for each path. */
function packetsFor({ instructions }, real, random) {
  const most = Number(args.packets);
  const ends = readLengths(instructions);
  const packets = [...real];
  const cut = ({ data, length }) => {
    const size =
      random.oneIn(2) && ends.length > 0 ? random.pick(ends) - random.below(2) : random.below(data.length + 1);
    packets.push({ data: data.subarray(0, size), length });
  };
  const constants = instructions.map(({ k }) => k).filter((k) => k > 0);
  const changed = ({ data, length }) => {
    const copy = data.slice();
    for (let n = random.between(1, 4); n > 0 && copy.length > 4; n--) {
      const k = random.oneIn(4) || constants.length === 0 ? random.u32() : random.pick(constants);
      const size = k < 256 ? 1 : k < 65536 ? 2 : 4;
      const end = random.oneIn(4) || ends.length === 0 ? random.between(4, copy.length) : random.pick(ends);
      for (let i = 0; i < size; i++) copy[end - 1 - i] = k >>> (8 * i);
    }
    packets.push({ data: copy, length });
    return { data: copy, length };
  };
  for (let n = 0; real.length > 0 && n < most / 2; n++) cut(changed(random.pick(real)));
  for (const data of pathPackets(instructions, most)) {
    const length = data.length + random.below(3);
    packets.push({ data, length });
    cut({ data, length });
  }
  return packets;
}

/** The conformance comparison, with the optimizer in front of those who are compared with the interpreter. */
function randomPart() {
  const optimizing = ({ judge, ...contestant }) => ({
    ...contestant,
    judge(trial, expected) {
      if (!expected.accepted) return { skip: "no valid program" };
      const goal = GOALS[trial.instructions.length % 2];
      return judge({ ...trial, instructions: optimize(trial.instructions, { goal }).instructions }, expected);
    },
  });
  const reference = localContestant(interpreter);
  const kernel = oracleContestant(unixOracle(), { name: "kernel", version: "", cannotShow: beyondUnix });
  const local = { ...optimizing(localContestant(interpreter)), name: "interpreter, optimized" };
  const scenes = [
    ["unix", new Comparison([reference, kernel, local, { ...optimizing(kernel), name: "kernel, optimized" }])],
    ["anywhere", new Comparison([reference, local])],
  ];
  const settings = { filters: filtersToMutate(), packets: 8 };
  return {
    async step(n) {
      for (const [scene, comparison] of scenes) {
        const { cases, disagreed } = comparison;
        await comparison.run(randomTrial(seed, n, { ...settings, scene }));
        count("programs");
        count("cases", comparison.cases - cases);
        for (const found of comparison.disagreements.slice(disagreed)) {
          differs(
            { name: found.trial.origin, instructions: found.trial.instructions },
            `${found.contestant} says ${found.got} for ${found.expected} on sample ${found.sample}`,
          );
        }
      }
    },
    isComplete: () => (state.counts.cases ?? 0) >= Number(args.cases),
    left: () => `${Number(args.cases) - state.counts.cases} cases`,
    close() {
      kernel.close();
      for (const [scene, { tallies }] of scenes) {
        for (const { contestant, category, programs: judged, refused, cases, agreed } of tallies.values()) {
          console.log(
            `  ${scene}, ${contestant}, ${category}: ${judged} programs, ${refused} refused, ${agreed} of ${cases} cases`,
          );
        }
      }
    },
  };
}

function filtersToMutate() {
  const expressions = [
    "tcp port 80 or 443",
    "ip6 and udp port 53",
    "vlan 5 and ip",
    "host 10.0.0.1 or net 10.1",
    "icmp[0] = 8",
  ];
  return expressions.map((expression) => compileFilter(expression).instructions);
}

async function z3Part() {
  const solver = await loadZ3();
  return overCorpus(
    async (program) => {
      const original = verified(program.instructions);
      const optimized = verified(optimize(original).instructions);
      const answer = await verifyEquivalence(original, optimized, {
        solver,
        engine: interpreter,
        timeLimit: TIME_LIMIT,
      });
      count("programs");
      count(answer.result === "equal" ? `equal, by ${answer.by}` : answer.result);
      if (answer.result === "unknown") console.log(`unknown: ${program.name}: ${answer.reason}`);
      if (answer.result === "different") {
        differs(program, `on ${Buffer.from(answer.witness.packet).toString("hex")}`);
      }
    },
    () => solver.close(),
  );
}
