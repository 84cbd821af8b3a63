/**
 * The installed libpcap's compiler, through a small C program that the test builds: one process for all requests.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Instruction } from "../../src/program/instruction.ts";

export interface Request {
  readonly dlt: number;
  readonly expression: string;
  readonly snaplen?: number;
  readonly optimize?: boolean;
  /** Undefined: not known. */
  readonly netmask?: number | undefined;
}

export type Answer = { readonly error: string } | { readonly instructions: readonly Instruction[] };

export interface Libpcap {
  readonly version: string;
  compile(requests: readonly Request[]): Answer[];
}

/** Builds the helper; a string says why that is not possible here. */
export function buildLibpcap(): Libpcap | string {
  const source = fileURLToPath(new URL("../libpcap/pcap_compile.c", import.meta.url));
  const binary = join(mkdtempSync(join(tmpdir(), "cbpf-libpcap-")), "pcap_compile");
  const built = spawnSync("gcc", ["-O1", "-o", binary, source, "-lpcap"], { encoding: "utf8" });
  if (built.error !== undefined) return `gcc can not be run: ${built.error.message}`;
  if (built.status !== 0) return `gcc fails (is libpcap-dev installed?): ${built.stderr.split("\n")[0]}`;
  const ask = (lines: readonly string[]): string[] => {
    const ran = spawnSync(binary, { input: `${lines.join("\n")}\n`, encoding: "utf8", maxBuffer: 2 ** 30 });
    if (ran.status !== 0) throw new Error(`the libpcap helper ended with ${ran.status ?? ran.signal}: ${ran.stderr}`);
    return ran.stdout.split("\n").slice(0, lines.length);
  };
  return {
    version: ask(["version"])[0]!,
    compile: (requests) => ask(requests.map(requestLine)).map(parseAnswer),
  };
}

function requestLine({ dlt, expression, snaplen = 262144, optimize = false, netmask = 0xffffffff }: Request): string {
  return `${dlt} ${snaplen} ${optimize ? 1 : 0} ${netmask.toString(16)} ${expression.replace(/\n/g, " ")}`;
}

function parseAnswer(line: string): Answer {
  if (!line.startsWith("ok")) return { error: line.replace(/^error /, "") };
  const instructions = line
    .slice(3)
    .split(" ")
    .filter((text) => text !== "")
    .map((text) => {
      const [code, jt, jf, k] = text.split(",").map(Number);
      return { code: code!, jt: jt!, jf: jf!, k: k! };
    });
  return { instructions };
}
