/**
 * Somebody else's engine: a program that reads questions from standard input and writes answers to standard output, one
 * JSON object a line.  The protocol is described in docs/conformance.md.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { createInterface, type Interface } from "node:readline";
import { toHex } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";
import type { ContextFields } from "../conformance/packet-text.ts";
import type { Abstention, Answer, Contestant, Failure, Judgement, Trial } from "../conformance/trial.ts";

/** Longest wait for an answer, in ms; a program that takes longer is ended and started again. */
const PATIENCE = 10_000;

/** The command as a contestant; it is started at the first trial, and again when it died. */
export function commandContestant(command: string): Contestant {
  const engine = new CommandEngine(command);
  return {
    get name() {
      return engine.name;
    },
    get version() {
      return engine.version;
    },
    judge: (trial) => engine.judge(trial),
    close: () => engine.close(),
  };
}

class CommandEngine {
  readonly #command: string;
  name: string;
  version = "";
  #process: ChildProcess | undefined;
  #lines: AsyncIterator<string> | undefined;
  #reader: Interface | undefined;
  #id = 0;

  constructor(command: string) {
    this.#command = command;
    this.name = command;
  }

  async judge(trial: Trial): Promise<Answer> {
    const id = ++this.#id;
    try {
      if (this.#process === undefined) await this.#start();
      const answer = await this.#ask({ id, ...question(trial) });
      if (answer.id !== id) throw new Error(`answer ${JSON.stringify(answer.id)} to question ${id}`);
      return readAnswer(answer, trial);
    } catch (error) {
      // A program that will not even start is a wrong call; one that breaks at a question is a finding.
      if (error instanceof BpfError) throw error;
      const how = await this.#end();
      return { failed: `${(error as Error).message}${how === "" ? "" : ` (${how})`}` } satisfies Failure;
    }
  }

  close(): void {
    this.#reader?.close();
    this.#process?.kill();
    this.#process = undefined;
  }

  async #start(): Promise<void> {
    const child = spawn(this.#command, { shell: true, stdio: ["pipe", "pipe", "inherit"] });
    child.stdin!.on("error", () => {}); // seen as the end of its output
    this.#process = child;
    this.#reader = createInterface({ input: child.stdout! });
    this.#lines = this.#reader[Symbol.asyncIterator]();
    try {
      const hello = await this.#line();
      if (typeof hello.name !== "string") throw new Error("its first line names no engine");
      this.name = hello.name;
      this.version = typeof hello.version === "string" ? hello.version : "";
    } catch (error) {
      const how = await this.#end();
      throw new BpfError("bad-argument", `--engine-cmd ${this.#command}: ${(error as Error).message} ${how}`.trim());
    }
  }

  async #ask(message: object): Promise<Record<string, unknown>> {
    this.#process!.stdin!.write(`${JSON.stringify(message)}\n`);
    return await this.#line();
  }

  async #line(): Promise<Record<string, unknown>> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE / 1000} s`)), PATIENCE);
    });
    try {
      const { value, done } = await Promise.race([this.#lines!.next(), late]);
      if (done === true) throw new Error("ended without an answer");
      const answer: unknown = JSON.parse(value);
      if (answer === null || typeof answer !== "object") throw new Error(`no JSON object: ${value.slice(0, 80)}`);
      return answer as Record<string, unknown>;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the program; says how it had ended by itself. */
  async #end(): Promise<string> {
    const child = this.#process;
    this.#process = undefined;
    this.#reader?.close();
    if (child === undefined) return "";
    if (child.exitCode === null && child.signalCode === null) {
      // Its output ended a moment before it: give it that moment, so as to see the signal it died of.
      await Promise.race([once(child, "exit"), new Promise((resolve) => setTimeout(resolve, 200))]);
    }
    if (child.signalCode !== null) return child.signalCode;
    if (child.exitCode !== null) return signalOf(child.exitCode) ?? `exit status ${child.exitCode}`;
    child.kill("SIGKILL");
    return "";
  }
}

/** The shell reports a signal as 128 and its number. */
function signalOf(status: number): string | undefined {
  return Object.entries(constants.signals).find(([, number]) => status === 128 + number)?.[0];
}

/** The question without its number. */
function question({ instructions, samples, profile }: Trial): object {
  return {
    profile,
    program: instructions.map(({ code, jt, jf, k }) => [code, jt, jf, k]),
    packets: samples.map(({ packet, context }) => ({ bytes: toHex(packet), context: plainContext(context) })),
  };
}

function plainContext({ before, ...fields }: ContextFields): object {
  return before === undefined ? fields : { ...fields, before: toHex(before) };
}

function readAnswer(answer: Record<string, unknown>, { samples }: Trial): Judgement | Abstention {
  const { skip, accepted, verdicts = [] } = answer;
  if (typeof skip === "string") return { skip };
  if (typeof accepted !== "boolean") throw new Error('an answer has "accepted" or "skip"');
  if (!accepted) return { accepted, verdicts: [] };
  if (!Array.isArray(verdicts) || verdicts.length !== samples.length) {
    throw new Error(`${samples.length} verdicts are needed`);
  }
  for (const verdict of verdicts) {
    const isVerdict = Number.isInteger(verdict) && verdict >= 0 && verdict <= 0xffff_ffff;
    if (!isVerdict && typeof verdict !== "string") throw new Error(`${JSON.stringify(verdict)} is no verdict`);
  }
  return { accepted, verdicts: verdicts as (number | string)[] };
}
