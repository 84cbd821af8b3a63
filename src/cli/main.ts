#!/usr/bin/env node
/**
 * `cbpf`: the command line.  Each command is a file of its own, loaded when it is called.
 */
import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BpfError } from "../base/errors.ts";
import { type Command, EXIT, helpText, isSystemError, parseArguments, UsageError } from "./command.ts";
import { processTerminal, type Terminal } from "./terminal.ts";

const COMMANDS: Readonly<Record<string, () => Promise<{ readonly command: Command }>>> = {
  run: () => import("./run.ts"),
  compile: () => import("./compile.ts"),
  explain: () => import("./explain.ts"),
  asm: () => import("./asm.ts"),
  disasm: () => import("./disasm.ts"),
  convert: () => import("./convert.ts"),
  verify: () => import("./verify.ts"),
  analyze: () => import("./analyze.ts"),
  optimize: () => import("./optimize.ts"),
  prove: () => import("./prove.ts"),
  solve: () => import("./solve.ts"),
  trace: () => import("./trace.ts"),
  dump: () => import("./dump.ts"),
  conform: () => import("./conform.ts"),
  native: () => import("./native.ts"),
  capture: () => import("./capture.ts"),
  attach: () => import("./attach.ts"),
  "dump-filter": () => import("./dump-filter.ts"),
};

/** Runs a command line, without the program's name, and gives the exit status; throws only what is a defect. */
export async function main(words: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = words;
  if (name === undefined) {
    terminal.note((await overview()).trimEnd());
    return EXIT.usage;
  }
  if (name === "help" && rest.length > 0) return main([...rest, "--help"], terminal);
  if (name === "--help" || name === "-h" || name === "help") {
    await terminal.write(await overview());
    return 0;
  }
  if (name === "--version") {
    await terminal.write(`${version()}\n`);
    return 0;
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    terminal.note(`cbpf: no command ${JSON.stringify(name)}; cbpf --help lists them`);
    return EXIT.usage;
  }
  const { command } = await COMMANDS[name]!();
  if (rest.includes("--help") || rest.includes("-h")) {
    await terminal.write(helpText(name, command));
    return 0;
  }
  try {
    return await command.run(parseArguments(command, rest), terminal);
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.note(`cbpf ${name}: ${error.message}\ncbpf ${name} --help says more`);
      return EXIT.usage;
    }
    if (error instanceof BpfError || isSystemError(error)) {
      terminal.note(`cbpf ${name}: ${error.message}`);
      return EXIT.badInput;
    }
    throw error;
  }
}

async function overview(): Promise<string> {
  const rows = await Promise.all(
    Object.entries(COMMANDS).map(
      async ([name, load]): Promise<[string, string]> => [name, (await load()).command.summary],
    ),
  );
  const width = Math.max(...rows.map(([name]) => name.length));
  const list = rows.map(([name, summary]) => `  ${name.padEnd(width)}  ${summary}`).join("\n");
  return `usage: cbpf COMMAND ...\n\nClassic BPF: run, read, write, verify and explain packet filters.\n\n${list}\n
A PROGRAM is a file, - for standard input, the text itself, in any form: assembly, tcpdump -d, -dd, -ddd, an
iptables or tc bytecode string, a C array, hex, JSON, the bytes of struct sock_filter; or a filter expression.  In assembly given on one
line of the command, ; ends an instruction: cbpf run 'ldh [12]; jne #0x806, no; ret #-1; no: ret #0' FILE

cbpf COMMAND --help says more.  Exit status: 0 matched or done, 1 nothing matched, 2 wrong call, 3 bad input,
70 a defect of cbpf.\n`;
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** The process.  Node's own status for an exception is 1, which here means that nothing matched. */
async function runProcess(): Promise<void> {
  process.exitCode = EXIT.defect; // until there is one: Node ends when nobody is left to settle a promise, too
  try {
    process.exitCode = await main(process.argv.slice(2), processTerminal());
  } catch (error) {
    console.error(error);
  }
}

// not awaited: dist/bin is CommonJS
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  void runProcess();
