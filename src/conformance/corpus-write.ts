/**
 * A case as a `.bpft` file, to be put into the corpus as it is.
 */
import type { ProfileName } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import { disassemble } from "../text/disassemble.ts";
import { type ContextFields, writeBytes, writeContext } from "./packet-text.ts";

export interface CorpusDraft {
  /** Lines of prose. */
  readonly title: string;
  readonly source: string;
  readonly profile: ProfileName;
  readonly instructions: readonly Instruction[];
  readonly runs?: readonly { readonly packet: Uint8Array; readonly context: ContextFields; readonly verdict: number }[];
  readonly rejects?: readonly { readonly rule: string; readonly index?: number }[];
  readonly attach?: string;
}

/** The text of a file that `readCorpusFile` reads back to the same program and runs. */
export function writeCorpusFile(draft: CorpusDraft): string {
  const { title, source, profile, instructions, runs = [], rejects = [], attach } = draft;
  const listing = disassemble(instructions).split("\n").slice(0, -1);
  const width = Math.max(0, ...listing.map((line) => line.length)) + 4;
  const program = listing.map((line, index) => {
    const rules = rejects.filter((reject) => reject.index === index).map(({ rule }) => `; reject: ${rule}`);
    return rules.length === 0 ? `    ${line}` : `    ${line.padEnd(width)}${rules.join(" ")}`;
  });
  return [
    ...title.split("\n").map((line) => `; ${line}`),
    `; source: ${source}`,
    ...(profile === "linux" ? [] : [`; profile: ${profile}`]),
    ...rejects.filter(({ index }) => index === undefined).map(({ rule }) => `; reject: ${rule}`),
    ...program,
    ...runs.map(({ packet, context, verdict }) => `; run: ${runText(packet, context)}=> 0x${verdict.toString(16)}`),
    ...(attach === undefined ? [] : [`; attach: ${attach}`]),
    "",
  ].join("\n");
}

function runText(packet: Uint8Array, context: ContextFields): string {
  const words = writeContext(context);
  return [writeBytes(packet), words === "" ? "" : `{${words}}`, ""]
    .filter((part, i) => part !== "" || i === 2)
    .join(" ");
}
