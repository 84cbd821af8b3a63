/**
 * A disagreement made small, as a `.bpft` file.
 */
import type { Instruction } from "../program/instruction.ts";
import { check } from "../verify/verify.ts";
import type { Disagreement } from "./compare.ts";
import { writeCorpusFile } from "./corpus-write.ts";
import type { ContextFields } from "./packet-text.ts";
import { shrink } from "./shrink.ts";
import type { Contestant, Judgement, Trial } from "./trial.ts";
import { beyondUnix, unixContext } from "./unix-context.ts";

/**
 * The smallest case that shows the same kind of disagreement between the two contestants.
 *
 * @param authority  The contestant whose verdict the file states; the other's is in its title.
 */
export async function reproduce(
  disagreement: Disagreement,
  reference: Contestant,
  contestant: Contestant,
  authority: Contestant,
): Promise<string> {
  const { trial, sample } = disagreement;
  const packet = sample === undefined ? new Uint8Array(0) : trial.samples[sample]!.packet;
  const contextFor = contextFollower(sample === undefined ? {} : trial.samples[sample]!.context, packet);
  const judgeBoth = async (program: readonly Instruction[], bytes: Uint8Array): Promise<Judgements | undefined> => {
    const samples = sample === undefined ? [] : [{ packet: bytes, context: contextFor(bytes) }];
    const { expected: _, ...rest } = trial;
    const small: Trial = { ...rest, instructions: program, samples };
    const mine = await reference.judge(small, undefined);
    if (!("accepted" in mine)) return undefined;
    const theirs = await contestant.judge(small, mine);
    return "accepted" in theirs ? { mine, theirs } : undefined;
  };
  const stillFails = async (program: readonly Instruction[], bytes: Uint8Array): Promise<boolean> => {
    const both = await judgeBoth(program, bytes);
    return both !== undefined && (sample === undefined ? programsDiffer(both) : verdictsDiffer(both));
  };
  const small = await shrink(trial.instructions, packet, stillFails);
  const both = await judgeBoth(small.program, small.packet);
  const trusted = authority === reference ? both?.mine : both?.theirs;
  const other = authority === reference ? both?.theirs : both?.mine;
  const otherName = authority === reference ? contestant.name : reference.name;
  const verdict = trusted?.verdicts[0];
  return writeCorpusFile({
    title: `${otherName} says ${said(other, sample)}, ${authority.name} says ${said(trusted, sample)}.`,
    source: `${authority.name} ${authority.version}; found by ${trial.origin}`,
    profile: trial.profile,
    instructions: small.program,
    ...(sample !== undefined && typeof verdict === "number"
      ? { runs: [{ packet: small.packet, context: contextFor(small.packet), verdict }] }
      : {}),
    ...(sample === undefined && trusted !== undefined ? programClaim(trusted, small.program, trial) : {}),
  });
}

interface Judgements {
  readonly mine: Judgement;
  readonly theirs: Judgement;
}

function programsDiffer({ mine, theirs }: Judgements): boolean {
  if (mine.attach !== undefined && theirs.attach !== undefined) return mine.attach !== theirs.attach;
  return mine.accepted !== theirs.accepted;
}

function verdictsDiffer({ mine, theirs }: Judgements): boolean {
  const [a, b] = [mine.verdicts[0], theirs.verdicts[0]];
  return typeof a === "number" && typeof b === "number" && a !== b;
}

/** On AF_UNIX the context follows from the packet; elsewhere it stays as it was. */
function contextFollower(context: ContextFields, packet: Uint8Array): (bytes: Uint8Array) => ContextFields {
  if (beyondUnix({ packet, context }) === undefined) return (bytes) => unixContext(bytes, context.cpu);
  return () => context;
}

function said(judgement: Judgement | undefined, sample: number | undefined): string {
  if (judgement === undefined) return "nothing";
  if (sample === undefined) return judgement.attach ?? (judgement.accepted ? "valid" : "invalid");
  const verdict = judgement.verdicts[0];
  return typeof verdict === "number" ? `0x${verdict.toString(16)}` : (verdict ?? "nothing");
}

/** What the file says of the program: the rules it is known to break, or what attaching it gives. */
function programClaim(trusted: Judgement, program: readonly Instruction[], { profile }: Trial): object {
  if (trusted.accepted) return { attach: "ok" };
  const rejects = check(program, { profile }).map(({ rule, index }) => ({
    rule,
    ...(index === undefined ? {} : { index }),
  }));
  return rejects.length > 0 ? { rejects } : { attach: trusted.attach ?? "EINVAL" };
}
