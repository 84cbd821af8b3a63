/**
 * What a command is: a name, its arguments and options as data, and a function.  Help texts and parsing come from
 * the data.
 */
import { parseArgs } from "node:util";
import { BpfError } from "../base/errors.ts";
import type { Terminal } from "./terminal.ts";

/** Exit statuses of every command; 70 is EX_SOFTWARE of sysexits.h. */
export const EXIT = Object.freeze({ matched: 0, nothing: 1, usage: 2, badInput: 3, defect: 70 });

export interface Option {
  readonly type: "string" | "boolean";
  readonly short?: string;
  /** What stands for the value in help texts; needed for a string. */
  readonly value?: string;
  readonly help: string;
  readonly multiple?: boolean;
}

export interface Command {
  /** Arguments behind the name, in the notation of help texts. */
  readonly usage: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Further lines under the options. */
  readonly details?: string;
  readonly options: Readonly<Record<string, Option>>;
  /** Fewest and most positional arguments. */
  readonly positionals: readonly [least: number, most: number];
  run(args: Arguments, terminal: Terminal): Promise<number>;
}

/** A wrong call: the message, then how to get help; exit status 2. */
export class UsageError extends Error {}

/** Parsed arguments. */
export class Arguments {
  readonly positionals: readonly string[];
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(positionals: readonly string[], values: Readonly<Record<string, unknown>>) {
    this.positionals = positionals;
    this.#values = values;
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === "string" ? value : undefined;
  }

  /** Every value of an option that may be repeated. */
  list(name: string): readonly string[] {
    const values = this.#values[name];
    return Array.isArray(values) ? (values as string[]) : [];
  }

  /** A whole number; throws {@link UsageError} for anything else or outside `low..high`. */
  number(name: string, low: number, high: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^(0x[0-9a-f]+|[0-9]+)$/i.test(text) ? Number(text) : Number.NaN;
    if (value >= low && value <= high) return value;
    throw new UsageError(`--${name} ${text}: expected a whole number, ${low}..${high}`);
  }

  /** One of several words; throws {@link UsageError} for another. */
  choice<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const word = words.find((w) => w === text);
    if (word !== undefined) return word;
    throw new UsageError(`--${name} ${text}: expected one of ${words.join(", ")}`);
  }
}

/** Parses the words behind a command's name; throws {@link UsageError}. */
export function parseArguments(command: Command, words: readonly string[]): Arguments {
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: Object.fromEntries(
        Object.entries(command.options).map(([name, { type, short, multiple }]) => [
          name,
          { type, ...(short === undefined ? {} : { short }), ...(multiple ? { multiple } : {}) },
        ]),
      ),
    });
  } catch (error) {
    throw new UsageError((error as Error).message.split(". ")[0]);
  }
  const [least, most] = command.positionals;
  const given = parsed.positionals.length;
  if (given < least) throw new UsageError(`an argument is missing: ${command.usage}`);
  if (given > most) throw new UsageError(`too many arguments: ${parsed.positionals[most]}`);
  return new Arguments(parsed.positionals, parsed.values);
}

/** The help text of a command. */
export function helpText(name: string, command: Command): string {
  const rows = Object.entries({ ...command.options, help: { type: "boolean", help: "this text" } as Option }).map(
    ([option, { short, value, help }]): [string, string] => [
      `${short === undefined ? "    " : `-${short}, `}--${option}${value === undefined ? "" : ` ${value}`}`,
      help,
    ],
  );
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
  const details = command.details === undefined ? "" : `\n${command.details}\n`;
  return `usage: cbpf ${name} ${command.usage}\n\n${command.summary}\n\n${lines.join("\n")}\n${details}`;
}

/** True for an error of a system call, as Node makes them. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error && !(error instanceof BpfError);
}

/** An error that names what it is about, as `file: message`; a system error that knows its path stays as it is. */
export function about(name: string, error: unknown): unknown {
  if (isSystemError(error) && error.path === undefined) {
    return new BpfError("system", `${name}: ${error.message}`, { cause: error });
  }
  if (!(error instanceof BpfError)) return error;
  return new BpfError(error.code, `${name}: ${error.message}`, { ...error, cause: error });
}
