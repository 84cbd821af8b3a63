/**
 * Where a command reads and writes: the process's streams, or a test's.
 */
import { styleText } from "node:util";

export interface Terminal {
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Writes to standard output; waits while its reader is slow. */
  write(data: string | Uint8Array): Promise<void>;
  /** Writes a line to standard error. */
  note(line: string): void;
  /** Shows a line on standard error that the next one replaces; nothing where that is no terminal. */
  progress(line: string): void;
  /** True where colours belong: standard output is a terminal and NO_COLOR is not set. */
  readonly colour: boolean;
}

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

/** The text in a style where the terminal shows colours. */
export function styled(terminal: Terminal, style: Style, text: string): string {
  return terminal.colour ? styleText(style, text, { validateStream: false }) : text;
}

/** The process's own terminal. */
export function processTerminal(): Terminal {
  let shown = false;
  const clear = (): void => {
    if (shown) process.stderr.write("\r\x1b[K");
    shown = false;
  };
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0); // a reader that went away, as `head` does, ends the program quietly
    process.stderr.write(`cbpf: standard output: ${error.message}\n`);
    process.exit(3);
  });
  return {
    // opened when somebody reads it
    get stdin() {
      return process.stdin;
    },
    colour: process.stdout.isTTY === true && !process.env.NO_COLOR,
    write: (data) =>
      new Promise((resolve) => {
        clear();
        if (process.stdout.write(data)) resolve();
        else process.stdout.once("drain", resolve);
      }),
    note(line) {
      clear();
      process.stderr.write(`${line}\n`);
    },
    progress(line) {
      if (process.stderr.isTTY !== true) return;
      process.stderr.write(`\r\x1b[K${line}`);
      shown = true;
    },
  };
}
