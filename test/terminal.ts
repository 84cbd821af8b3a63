// A terminal that keeps what a command writes, for tests of the command line.
import { main } from "../src/cli/main.ts";
import type { Terminal } from "../src/cli/terminal.ts";

export interface Outcome {
  readonly status: number;
  readonly out: string;
  readonly bytes: Buffer;
  readonly err: string;
}

/** Runs a command line in this process; standard input comes in one chunk or several. */
export async function cbpf(
  words: readonly string[],
  stdin: Uint8Array | string | readonly Uint8Array[] = "",
  run = main,
): Promise<Outcome> {
  const out: Buffer[] = [];
  let err = "";
  const terminal: Terminal = {
    stdin: (async function* () {
      if (typeof stdin === "string") yield new TextEncoder().encode(stdin);
      else if (stdin instanceof Uint8Array) yield stdin;
      else yield* stdin;
    })(),
    async write(data) {
      out.push(Buffer.from(data));
    },
    note(line) {
      err += `${line}\n`;
    },
    progress() {},
    colour: false,
  };
  const status = await run(words, terminal);
  const bytes = Buffer.concat(out);
  return { status, out: bytes.toString("utf8"), bytes, err };
}
