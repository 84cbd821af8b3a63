// A terminal that keeps what a command writes, for tests of the command line.
import { main } from "../src/cli/main.ts";
import type { Terminal } from "../src/cli/terminal.ts";

export interface Outcome {
  readonly status: number;
  readonly out: string;
  readonly bytes: Buffer;
  readonly err: string;
}

/** Runs a command line in this process. */
export async function cbpf(words: readonly string[], stdin: Uint8Array | string = ""): Promise<Outcome> {
  const out: Buffer[] = [];
  let err = "";
  const terminal: Terminal = {
    stdin: (async function* () {
      yield typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin;
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
  const status = await main(words, terminal);
  const bytes = Buffer.concat(out);
  return { status, out: bytes.toString("utf8"), bytes, err };
}
