/** `cbpf analyze`: what a program does, and which of it a capture exercises. */

import { type Analysis, analyze, type TouchedBytes } from "../analyze/analyze.ts";
import { type Coverage, CoverageCounter } from "../analyze/coverage.ts";
import { NO_CONTEXT, packetContext } from "../program/packet-context.ts";
import { disassembleOne } from "../text/disassemble.ts";
import { DEFAULT_OPTMEM_MAX } from "../verify/estimate.ts";
import { Program } from "../vm/program.ts";
import { withContexts } from "./capture-context.ts";
import { captureBatches } from "./capture-file.ts";
import { type Command, EXIT } from "./command.ts";
import { readProgram, refuseTwoStdins } from "./program-argument.ts";
import { EXPRESSION_OPTIONS, PROGRAM_OPTIONS } from "./program-options.ts";
import type { Terminal } from "./terminal.ts";

export const command: Command = {
  usage: "[--json] PROGRAM [CAPTURE...]",
  summary: "say what a program reads and returns, and which of it captures exercise",
  options: {
    "optmem-max": { type: "string", value: "BYTES", help: `net.core.optmem_max, default ${DEFAULT_OPTMEM_MAX}` },
    json: { type: "boolean", help: "print JSON" },
    profile: { type: "string", value: "NAME", help: "whose rules the program must obey: linux (default) or libpcap" },
    ...PROGRAM_OPTIONS,
    ...EXPRESSION_OPTIONS,
  },
  positionals: [1, Number.POSITIVE_INFINITY],
  async run(args, terminal) {
    refuseTwoStdins(args.positionals);
    const [programArgument, ...captures] = args.positionals as [string, ...string[]];
    const { instructions } = await readProgram(programArgument, args, terminal);
    const profile = args.choice("profile", ["linux", "libpcap"] as const) ?? "linux";
    const program = Program.fromInstructions(instructions, { profile });
    const optmemMax = args.number("optmem-max", 0, 0xffffffff) ?? DEFAULT_OPTMEM_MAX;
    const analysis = analyze(program.verified, { optmemMax });
    const covered = captures.length === 0 ? undefined : await covering(program, captures, terminal);
    if (args.flag("json")) {
      await terminal.write(`${JSON.stringify({ ...analysis, coverage: covered })}\n`);
    } else {
      await terminal.write(`${report(analysis)}${covered === undefined ? "" : coverageReport(program, covered)}`);
    }
    return EXIT.matched;
  },
};

async function covering(program: Program, captures: readonly string[], terminal: Terminal): Promise<Coverage> {
  const counter = new CoverageCounter(program.verified);
  for (const capture of captures) {
    for await (const batch of captureBatches(capture, terminal)) {
      const contexts = withContexts(batch);
      for (let i = 0; i < batch.count; i++) {
        const context = packetContext({ ...(contexts.context?.(i) ?? NO_CONTEXT), length: batch.lengths[i]! });
        counter.add(program.trace(batch.data(i), context));
      }
    }
  }
  return counter;
}

function report(analysis: Analysis): string {
  const { length, graph, dead, shortestPath, longestPath, touches, scratch, ancillary, verdicts, attach } = analysis;
  const rows: [string, string][] = [
    ["instructions", `${length} in ${graph.blocks.length} blocks`],
    ["dead code", dead.length === 0 ? "none" : dead.join(" ")],
    ["path", pathLength(shortestPath, longestPath)],
    ["packet bytes", touches.length === 0 ? "none" : touches.map(touched).join(", ")],
    ["scratch cells", scratch.length === 0 ? "none" : scratch.map((cell) => `M[${cell}]`).join(" ")],
    ["ancillary", ancillary.length === 0 ? "none" : ancillary.map(({ name }) => name).join(" ")],
    ["verdicts", verdicts.join(" ")],
  ];
  if (attach !== undefined) {
    const fits = attach.errno === "none" ? "fits" : `fails with ${attach.errno} at`;
    rows.push([
      "attach",
      `${attach.converted} instructions after conversion, ${attach.charge} bytes, ${fits} optmem_max ${attach.optmemMax}`,
    ]);
  }
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = rows.map(([left, right]) => `${left.padEnd(width)}  ${right}`);
  const differences = analysis.divergences.map(
    ({ index, message }) => `  ${index === undefined ? "program" : `instruction ${index}`}: ${message}`,
  );
  const agreement = differences.length === 0 ? "Linux, libpcap and x/net/bpf agree on it" : "implementations differ:";
  return `${[...lines, agreement, ...differences].join("\n")}\n`;
}

function pathLength(shortest: number, longest: number | undefined): string {
  if (shortest === Number.POSITIVE_INFINITY) return "none leads to a return";
  return `${shortest} to ${longest ?? "any number of"} instructions`;
}

function touched({ area, from, size, dynamic }: TouchedBytes): string {
  const place = area === "packet" ? "" : `${area} `;
  const at = (byte: number): string => (dynamic ? `X${byte < 0 ? "" : "+"}${byte}` : `${byte}`);
  return `${place}${at(from)}${size === 1 ? "" : `..${at(from + size - 1)}`}`;
}

function coverageReport(program: Program, covered: Coverage): string {
  const listing = program.instructions.map((insn, i) => disassembleOne(insn, i));
  const width = Math.max(...listing.map((line) => line.length));
  const digits = Math.max(4, String(Math.max(...covered.runs)).length);
  const lines = listing.map((line, i) => {
    const branch = covered.branches[i];
    const ways = branch === undefined ? "" : `  true ${branch.yes}, false ${branch.no}`;
    const aborts = covered.aborts[i] === 0 ? "" : `  ended here ${covered.aborts[i]}`;
    return `${line.padEnd(width)}  ${String(covered.runs[i]).padStart(digits)}${ways}${aborts}`;
  });
  const run = covered.runs.filter((n) => n > 0).length;
  return `\n${covered.packets} packets, ${covered.matched} matched, ${run} of ${covered.runs.length} instructions ran\n${lines.join("\n")}\n`;
}
