/**
 * The compiler against libpcap's: the same expressions accepted, and the same verdicts on packets that lead both
 * programs down their paths.  Differences must be in the table of test/filter/explained.ts.
 *
 * CBPF_LONG=1 takes twenty times as many generated expressions; SEED=n another set.
 */
import { describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import { compileFilter } from "../src/filter/compile.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { packetContext } from "../src/program/packet-context.ts";
import { verify } from "../src/verify/verify.ts";
import { DIFFERENCES, type Difference } from "./filter/explained.ts";
import { DLTS, expressionsOf, randomExpression } from "./filter/expressions.ts";
import { type Answer, buildLibpcap, type Request } from "./filter/libpcap.ts";
import { pathPackets } from "./filter/path-packets.ts";
import { Random } from "./filter/random.ts";

const LONG = process.env.CBPF_LONG === "1";
const SEED = Number(process.env.SEED ?? 20260);
const GENERATED = LONG ? 40_000 : 2_000;
const PACKETS_PER_PROGRAM = LONG ? 24 : 10;
const NETMASK = 0xffffff00;

const libpcap = buildLibpcap();
if (typeof libpcap === "string") console.log(`skipped: comparison with libpcap: ${libpcap}`);

/** What happened to one expression. */
type Outcome =
  | { readonly kind: "agree"; readonly accepted: boolean; readonly cases: number }
  | { readonly kind: "accepts" | "rejects" | "verdict"; readonly detail: string; readonly packet?: Uint8Array };

describe.skipIf(typeof libpcap === "string")("libpcap", () => {
  const { compile, version } = libpcap as Exclude<typeof libpcap, string>;

  test.each([
    ["hand-written expressions on every link type", handWritten()],
    ["refused expressions", expressionsOf("rejected").map((expression) => ({ dlt: 1, expression }))],
    [`generated expressions, seed ${SEED}`, generated()],
  ])(
    "%s",
    (name, requests) => {
      const answers = compile(requests);
      const random = new Random(SEED);
      const counts = { expressions: requests.length, accepted: 0, rejected: 0, verdicts: 0, explained: 0 };
      const used = new Map<string, number>();
      const unexplained: string[] = [];
      requests.forEach((request, i) => {
        const outcome = compare(request, answers[i]!, random);
        if (outcome.kind === "agree") {
          counts[outcome.accepted ? "accepted" : "rejected"]++;
          counts.verdicts += outcome.cases;
          return;
        }
        const known = whyDifferent(outcome, request, answers[i]!);
        if (known === undefined)
          unexplained.push(`${outcome.kind}: DLT ${request.dlt} ${request.expression}: ${outcome.detail}`);
        else {
          counts.explained++;
          used.set(known.id, (used.get(known.id) ?? 0) + 1);
        }
      });
      console.log(`${name} against ${version}:`, counts, Object.fromEntries(used));
      expect(unexplained).toEqual([]);
      expect(counts.accepted + counts.rejected + counts.explained).toBe(requests.length);
    },
    1_200_000,
  );
});

function handWritten(): Request[] {
  const expressions = expressionsOf("common");
  const all = DLTS.flatMap((dlt) => expressions.map((expression) => ({ dlt, expression, netmask: NETMASK })));
  return [...all, ...expressionsOf("ethernet").map((expression) => ({ dlt: 1, expression, netmask: NETMASK }))];
}

function generated(): Request[] {
  const random = new Random(SEED);
  const dlts = LONG ? [1, 1, 12, 105, 113, 127, ...DLTS] : [1, 1, 1, 1, 0, 9, 10, 12, 104, 105, 113, 127, 276];
  return Array.from({ length: GENERATED }, () => ({
    dlt: random.pick(dlts),
    expression: randomExpression(random),
    netmask: NETMASK,
  }));
}

function whyDifferent(
  outcome: Outcome & { kind: Difference["kind"] },
  request: Request,
  answer: Answer,
): Difference | undefined {
  const theirs = "error" in answer ? answer.error : "";
  return DIFFERENCES.find((d) => d.kind === outcome.kind && d.applies({ ...request, packet: outcome.packet, theirs }));
}

/** Both compilers on one expression, and both programs on packets made for them. */
function compare({ dlt, expression, netmask }: Request, theirs: Answer, random: Random): Outcome {
  // pcap_open_dead() counts as live for these three, and only for them.
  const live = /bound|ifindex/.test(expression);
  let ours: ReturnType<typeof compileFilter>;
  try {
    ours = compileFilter(expression, { linktype: dlt, live, ...(netmask === undefined ? {} : { netmask }) });
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    if ("error" in theirs) return { kind: "agree", accepted: false, cases: 0 };
    return { kind: "rejects", detail: error.message };
  }
  if ("error" in theirs) return { kind: "accepts", detail: `libpcap says: ${theirs.error}` };
  const mine = interpreter.load(ours.program);
  const other = interpreter.load(verify(theirs.instructions, { profile: "libpcap" }));
  const seeds = [new Uint8Array(160), Uint8Array.from({ length: 100 + random.below(100) }, () => random.below(256))];
  const packets = [ours.instructions, theirs.instructions].flatMap((program) =>
    pathPackets(program, seeds, PACKETS_PER_PROGRAM, random),
  );
  let explained: Outcome | undefined;
  for (const packet of packets) {
    const context = packetContext({
      length: packet.length + random.below(3),
      ifindex: 1 + random.below(6),
      pktType: random.below(5),
    });
    const [a, b] = [mine.run(packet, context), other.run(packet, context)];
    if (a === b) continue;
    const difference: Outcome = {
      kind: "verdict",
      detail: `${a}, libpcap ${b} on ${Buffer.from(packet).toString("hex")}`,
      packet,
    };
    // One explained packet does not excuse the others.
    if (whyDifferent(difference, { dlt, expression }, theirs) === undefined) return difference;
    explained = difference;
  }
  return explained ?? { kind: "agree", accepted: true, cases: packets.length };
}
