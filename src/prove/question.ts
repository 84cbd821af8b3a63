/**
 * Asking for a packet: a formula over a program's verdict, and the packet and context that make it true.
 */
import { ANCILLARY } from "../isa/ancillary.ts";
import { type PacketContext, packetContext } from "../program/packet-context.ts";
import { type Definitions, fieldName, PRELUDE, word } from "./encode.ts";
import type { SmtSolver } from "./solver.ts";

/** A packet with all that a filter can know about it. */
export interface Witness {
  readonly packet: Uint8Array;
  /** A fresh context; its `random` starts over. */
  context(): PacketContext;
}

export type Found = { readonly found: Witness } | { readonly none: true } | { readonly unknown: string };

/** Longest packets tried, in bytes: short ones are easier to read. */
const LENGTHS = [96, 1514, 65535];
/** Bytes asked for at once. */
const CHUNK = 1024;

/** Questions without arrays go to the SAT solver; what the tactic can not do is left to the general one. */
const BIT_BLAST =
  "(check-sat-using (or-else (then simplify propagate-values solve-eqs elim-uncnstr bit-blast sat) smt))";

/** A plain packet: as long on the wire as captured, nothing in front of it and no device. */
const PLAIN = "(assert (and (= wirelen caplen) (= before #x00000000)))";

/**
 * A packet and context for which the assertions hold, or the proof that there is none.
 *
 * @param definitions  What `assertions` speak of, as made by `encodeProgram`.
 * @param timeLimit    Milliseconds for each question to the solver.
 */
export async function findPacket(
  solver: SmtSolver,
  definitions: Definitions,
  assertions: string,
  timeLimit: number,
): Promise<Found> {
  const deadline = Date.now() + timeLimit;
  const ask = async (text: string, check: string): Promise<string> => {
    const limit = Math.max(1, deadline - Date.now());
    const script = ["(reset)", `(set-option :timeout ${limit})`, PRELUDE, text, assertions, check];
    return (await solver.run(script.join("\n"))).trim();
  };
  if ((await ask(definitions.loose, BIT_BLAST)).startsWith("unsat")) return { none: true };
  const any = await ask(definitions.exact, "(check-sat)");
  if (any.startsWith("unsat")) return { none: true };
  if (!any.startsWith("sat")) return { unknown: any.startsWith("unknown") ? "the time limit was reached" : any };
  // There is one: find a short and plain one that says the same.
  for (const length of LENGTHS) {
    for (const plain of [PLAIN, ""]) {
      const bound = `(push 1)\n(assert (bvule caplen ${word(length)}))\n${plain}\n(check-sat)`;
      const answer = (await solver.run(bound)).trim();
      if (answer.startsWith("sat")) return { found: await readWitness(solver) };
      await solver.run("(pop 1)");
      if (Date.now() > deadline + timeLimit) break;
    }
  }
  return { unknown: "no packet of at most 65,535 bytes was found" };
}

async function readWitness(solver: SmtSolver): Promise<Witness> {
  const number = async (term: string): Promise<number> => {
    const answer = await solver.run(`(get-value (${term}))`);
    return Number.parseInt(/#x([0-9a-f]+)\)/.exec(answer)![1]!, 16);
  };
  const truth = async (term: string): Promise<boolean> => (await solver.run(`(get-value (${term}))`)).includes("true");
  const packet = await readBytes(solver, 0, await number("caplen"));
  const before = await number("before");
  const fields = new Map<string, number>();
  for (const { does, name } of ANCILLARY) {
    if (does.kind === "field" || does.kind === "device") fields.set(does.field, await number(fieldName(name)));
  }
  if (!(await truth("hasdevice"))) fields.set("ifindex", 0);
  else if (fields.get("ifindex") === 0) fields.set("ifindex", 1);
  const draws: number[] = [];
  for (let i = 0; i < 8; i++) draws.push(await number(`(random ${word(i)})`));
  const plain = packetContext({
    ...Object.fromEntries(fields),
    length: await number("wirelen"),
    network: (await number("network")) | 0,
    mac: (await truth("hasmac")) ? (await number("mac")) | 0 : undefined,
    before: await readBytes(solver, -before, before),
  });
  const context = () => {
    let drawn = 0;
    return { ...plain, random: () => draws[drawn++] ?? 0 };
  };
  return { packet, context };
}

async function readBytes(solver: SmtSolver, from: number, count: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(count);
  for (let start = 0; start < count; start += CHUNK) {
    const end = Math.min(count, start + CHUNK);
    const terms: string[] = [];
    for (let i = start; i < end; i++) terms.push(`(select packet ${word(from + i)})`);
    const answer = await solver.run(`(get-value (${terms.join(" ")}))`);
    const values = [...answer.matchAll(/#x([0-9a-f]{2})\)/g)];
    for (const [i, match] of values.entries()) bytes[start + i] = Number.parseInt(match[1]!, 16);
  }
  return bytes;
}
