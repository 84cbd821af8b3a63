/** `cbpf trace`: one packet's run, an instruction a line. */

import { fromHex, hex } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";
import type { TraceStep } from "../interpreter/trace.ts";
import type { PacketContext } from "../program/packet-context.ts";
import { NO_CONTEXT, packetContext } from "../program/packet-context.ts";
import { disassembleOne } from "../text/disassemble.ts";
import { withContexts } from "./capture-context.ts";
import { captureBatches } from "./capture-file.ts";
import { type Arguments, type Command, EXIT, UsageError } from "./command.ts";
import { packetLine } from "./packet-line.ts";
import { readProgramSource, refuseTwoStdins } from "./program-argument.ts";
import { EXPRESSION_OPTIONS, PROGRAM_OPTIONS } from "./program-options.ts";
import { styled, type Terminal } from "./terminal.ts";

export const command: Command = {
  usage: "PROGRAM CAPTURE --packet N  |  PROGRAM --hex BYTES",
  summary: "show a packet's way through a program, with registers and the bytes read",
  details: "Exit status 0 when the verdict is not 0, 1 when it is.",
  options: {
    packet: { type: "string", short: "n", value: "N", help: "number of the packet in CAPTURE, from 1" },
    hex: { type: "string", value: "BYTES", help: "the packet itself, in hex" },
    json: { type: "boolean", help: "print one JSON object a step" },
    profile: { type: "string", value: "NAME", help: "whose rules the program must obey: linux (default) or libpcap" },
    ...PROGRAM_OPTIONS,
    ...EXPRESSION_OPTIONS,
  },
  positionals: [1, 2],
  async run(args, terminal) {
    refuseTwoStdins(args.positionals);
    const source = await readProgramSource(args.positionals[0]!, args, terminal);
    const { packet, context, title, linktype } = await subject(args, terminal);
    const program = await source.forLinktype(linktype);
    const json = args.flag("json");
    if (!json) await terminal.write(`${title}\n`);
    const width = Math.max(...program.instructions.map((insn, i) => disassembleOne(insn, i).length));
    let verdict = 0;
    for (const step of program.trace(packet, context)) {
      verdict = step.end?.verdict ?? 0;
      await terminal.write(json ? `${JSON.stringify(step)}\n` : stepLine(step, width, terminal));
    }
    return verdict === 0 ? EXIT.nothing : EXIT.matched;
  },
};

interface Subject {
  readonly packet: Uint8Array;
  readonly context: PacketContext;
  readonly title: string;
  readonly linktype: number;
}

async function subject(args: Arguments, terminal: Terminal): Promise<Subject> {
  const [, capture] = args.positionals;
  const bytes = args.text("hex");
  if (bytes !== undefined) {
    if (capture !== undefined) throw new UsageError("--hex and a capture exclude each other");
    const packet = fromHex(bytes);
    return { packet, context: NO_CONTEXT, title: `${packet.length} bytes`, linktype: 1 };
  }
  if (capture === undefined) throw new UsageError("a capture or --hex BYTES is needed");
  const number = args.number("packet", 1, Number.MAX_SAFE_INTEGER);
  if (number === undefined) throw new UsageError("--packet N is needed");
  let seen = 0;
  for await (const batch of captureBatches(capture, terminal)) {
    seen = batch.firstNumber + batch.count - 1;
    if (number > seen) continue;
    const i = number - batch.firstNumber;
    const packet = batch.data(i).slice();
    const known = withContexts(batch).context?.(i) ?? NO_CONTEXT;
    const context = packetContext({ ...known, length: batch.lengths[i]! });
    return {
      packet,
      context,
      title: `packet ${number}: ${packet.length} bytes, ${packetLine(packet, batch.linktype)}`,
      linktype: batch.linktype,
    };
  }
  throw new BpfError("bad-argument", `${capture} has ${seen} packets, so there is no packet ${number}`);
}

function stepLine(step: TraceStep, width: number, terminal: Terminal): string {
  const { index, instruction, a, x, mem, read, taken, end } = step;
  const cells = mem.flatMap((cell, i) => (cell === undefined ? [] : [`M[${i}]=${hex(cell)}`]));
  const notes = [
    `A=${hex(a)} X=${hex(x)}`,
    ...cells,
    ...(read === undefined ? [] : [`read ${hex(read.value, 2 * read.size)} at ${read.at}`]),
    ...(taken === undefined ? [] : [taken ? "true" : "false"]),
  ].join("  ");
  const line = `${disassembleOne(instruction, index).padEnd(width)}  ${styled(terminal, "dim", notes)}\n`;
  if (end === undefined) return line;
  const verdict = `verdict ${end.verdict}${end.verdict > 9 ? ` (${hex(end.verdict)})` : ""}: ${end.message}`;
  return `${line}${styled(terminal, end.verdict === 0 ? "red" : "green", verdict)}\n`;
}
