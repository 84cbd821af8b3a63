/**
 * `.bpft` files: a program in assembler, and in its comments what is true of it.
 *
 *     ; A shift count in X is taken modulo 32.
 *     ; source: linux kernel/bpf/core.c, ALU_LSH_X
 *         ld   #1
 *         ldx  #33
 *         lsh  x
 *         ret  a
 *     ; run: 00 01 02 {len=60 proto=0x800} => 2
 *
 * The directives and the words between braces are described in docs/conformance.md.  This file reads them; the
 * assembler reads the program; who runs it is not this file's business.
 */
import { BpfError, type Violation, violationsError } from "../base/errors.ts";
import type { Span } from "../base/source-text.ts";
import type { ProfileName } from "../program/engine.ts";
import type { Instruction } from "../program/instruction.ts";
import type { PacketContext } from "../program/packet-context.ts";
import { assembleWithSpans } from "../text/assemble.ts";
import { type ContextFields, contextFrom, readBytes, readContext, readNumber } from "./packet-text.ts";
import { relocated } from "./relocate.ts";
import type { Trial } from "./trial.ts";

/** One packet and what the program must say to it. */
export interface CorpusRun {
  readonly packet: Uint8Array;
  readonly context: ContextFields;
  readonly verdict: number;
  /** Line in the file, from 1. */
  readonly line: number;
}

/** A rule that the program breaks; `index` is absent where the whole program does. */
export interface CorpusReject {
  readonly rule: string;
  readonly index?: number;
  readonly line: number;
}

/** What SO_ATTACH_FILTER says to a valid program on a fresh socket, with the default memory limit of Linux 6.18. */
export type CorpusAttach = "ok" | "EINVAL" | "ENOMEM";

export interface CorpusFile {
  /** Path below the corpus folder without ".bpft", such as "alu/add_k"; given by the reader's caller. */
  readonly name: string;
  /** The comment that says what the file shows; may be empty. */
  readonly title: string;
  /** Where the expectations come from: at least one. */
  readonly sources: readonly string[];
  readonly profile: ProfileName;
  readonly instructions: readonly Instruction[];
  readonly runs: readonly CorpusRun[];
  readonly rejects: readonly CorpusReject[];
  /** Bytes that attaching charges to the socket, on Linux 6.18. */
  readonly charge?: number;
  readonly attach?: CorpusAttach;
}

/** A comment `; word: value`, and where it stands. */
interface Directive extends Span {
  readonly word: string;
  readonly value: string;
  readonly line: number;
  /** True on a line of its own; false behind an instruction. */
  readonly alone: boolean;
}

const WORDS = ["source", "profile", "run", "reject", "times", "charge", "attach"];
/** Most copies that `times` makes: one more than any kernel takes, so that this rule can be shown broken. */
const MAX_TIMES = 4096;

/**
 * Reads one file.
 *
 * @param name  What errors and reports call it.
 * @throws {BpfError} `bad-text` with every mistake in directives; or with every mistake in the program.
 */
export function readCorpusFile(text: string, name: string): CorpusFile {
  const { directives, title } = findDirectives(text);
  const problems: Violation[] = [];
  const read = <T>(directive: Directive, reader: (value: string) => T): T | undefined => {
    try {
      return reader(directive.value);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      problems.push({ rule: "bad-directive", message: error.message, span: directive });
      return undefined;
    }
  };
  const complain = (directive: Directive, message: string): void => {
    problems.push({ rule: "bad-directive", message, span: directive });
  };
  const all = (word: string): Directive[] => directives.filter((directive) => directive.word === word);
  const single = (word: string): Directive | undefined => {
    const [first, second] = all(word);
    if (second !== undefined) complain(second, `"${word}" is given twice`);
    return first;
  };

  for (const directive of directives) {
    if (!WORDS.includes(directive.word)) {
      complain(directive, `unknown directive "${directive.word}"; ${WORDS.join(", ")} are known`);
    }
  }
  const program = assembleLines(text, all("times"), complain, read);
  const runs = all("run").flatMap((directive) => read(directive, (value) => [readRun(value, directive.line)]) ?? []);
  const rejects = all("reject").map(({ value, line, alone }): CorpusReject => {
    const index = alone ? undefined : program.firstOnLine.get(line);
    return index === undefined ? { rule: value, line } : { rule: value, line, index };
  });
  const profile = single("profile");
  const chargeLine = single("charge");
  const attachLine = single("attach");
  const charge = chargeLine && read(chargeLine, (value) => readNumber(value, "a charge", 0));
  const attach = attachLine && read(attachLine, readAttach);
  const sources = all("source").map(({ value }) => value);
  if (sources.length === 0) problems.push({ rule: "no-source", message: 'a corpus file names its "; source:"' });
  const file: CorpusFile = {
    name,
    title,
    sources,
    profile: (profile && read(profile, readProfile)) ?? "linux",
    instructions: program.instructions,
    runs,
    rejects,
    ...(charge === undefined ? {} : { charge }),
    ...(attach === undefined ? {} : { attach }),
  };
  if (runs.length + rejects.length === 0 && charge === undefined && attach === undefined) {
    problems.push({ rule: "no-expectation", message: "a corpus file has a run, a reject, a charge or an attach" });
  }
  if (problems.length > 0) throw violationsError("bad-text", problems, { source: text });
  return file;
}

/** The context of a run, new at each call: a sequence of random numbers starts over. */
export function contextOf(run: CorpusRun): PacketContext {
  return contextFrom(run.context);
}

/** A file as a trial: what it says of verdicts is what they must be. */
export function corpusTrial({ name, profile, instructions, runs }: CorpusFile): Trial {
  return {
    category: "corpus",
    origin: `corpus ${name}`,
    profile,
    instructions,
    samples: runs.map(({ packet, context }) => ({ packet, context })),
    expected: runs.map(({ verdict }) => verdict),
  };
}

/** Every `; word: value`, and the prose of the remaining comment lines. */
function findDirectives(text: string): { directives: Directive[]; title: string } {
  const directives: Directive[] = [];
  const prose: string[] = [];
  let at = 0;
  for (const [number, line] of text.split("\n").entries()) {
    let start = line.indexOf(";");
    const alone = start >= 0 && line.slice(0, start).trim() === "";
    while (start >= 0) {
      const next = line.indexOf(";", start + 1);
      // A directive of its own line goes to the end of that line; behind an instruction several may follow each other.
      const end = alone || next < 0 ? line.length : next;
      const comment = line.slice(start + 1, end);
      const found = /^\s*([a-z]+):(.*)$/s.exec(comment);
      if (found !== null) {
        const place = { start: at + start, end: at + end };
        directives.push({ word: found[1]!, value: found[2]!.trim(), line: number + 1, alone, ...place });
      } else if (alone && directives.length === 0) prose.push(comment.trim());
      start = alone ? -1 : next;
    }
    at += line.length + 1;
  }
  return { directives, title: prose.join("\n") };
}

/** The program, its `times` carried out, and the first instruction of each line. */
function assembleLines(
  text: string,
  times: readonly Directive[],
  complain: (directive: Directive, message: string) => void,
  read: <T>(directive: Directive, reader: (value: string) => T) => T | undefined,
): { instructions: Instruction[]; firstOnLine: Map<number, number> } {
  const firstOnLine = new Map<number, number>();
  if (!text.split("\n").some((line) => line.replace(/;.*/, "").trim() !== "")) return { instructions: [], firstOnLine };
  const { instructions, spans } = assembleWithSpans(text);
  const lines = spans.map(({ start }) => lineOf(text, start));
  const copies = instructions.map(() => 1);
  for (const directive of times) {
    const index = lines.indexOf(directive.line);
    if (directive.alone || index < 0) complain(directive, '"times" stands behind an instruction');
    else copies[index] = read(directive, (value) => readNumber(value, "times", 1, MAX_TIMES)) ?? 1;
  }
  const positions: number[] = [0];
  for (const count of copies) positions.push(positions.at(-1)! + count);
  const out: Instruction[] = [];
  for (const [index, insn] of instructions.entries()) {
    if (!firstOnLine.has(lines[index]!)) firstOnLine.set(lines[index]!, positions[index]!);
    const moved = times.length === 0 ? insn : relocated(insn, index, instructions.length, (i) => positions[i]!);
    if (moved === undefined) {
      throw new BpfError("bad-text", `instruction ${index}: "times" puts a branch target out of reach`, { index });
    }
    for (let copy = 0; copy < copies[index]!; copy++) out.push(moved);
  }
  return { instructions: out, firstOnLine };
}

function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) line++;
  return line;
}

/** `00 01 {len=60} => 2` */
function readRun(value: string, line: number): CorpusRun {
  const found = /^([^{}]*?)(?:\{([^{}]*)\})?\s*=>\s*(\S+)$/.exec(value);
  if (found === null) throw new BpfError("bad-text", 'a run is "<hex bytes> {context} => <verdict>"');
  const [, bytes = "", context = "", verdict = ""] = found;
  const packet = readBytes(bytes);
  return { packet, context: readContext(context), verdict: readNumber(verdict, "a verdict", 0, 0xffffffff), line };
}

function readProfile(value: string): ProfileName {
  if (value === "linux" || value === "libpcap") return value;
  throw new BpfError("bad-text", `profile ${JSON.stringify(value)} is neither "linux" nor "libpcap"`);
}

function readAttach(value: string): CorpusAttach {
  if (value === "ok" || value === "EINVAL" || value === "ENOMEM") return value;
  throw new BpfError("bad-text", `attach ${JSON.stringify(value)} is none of "ok", "EINVAL", "ENOMEM"`);
}
