/**
 * Every form between a program and its machine code, as text: for people, `cbpf dump` and golden files.
 */

import { hex } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";
import { ANCILLARY } from "../isa/ancillary.ts";
import { WORK_AREA } from "../program/arena.ts";
import { controlFlow } from "../program/cfg.ts";
import type { VerifiedProgram } from "../program/engine.ts";
import { disassembleOne } from "../text/disassemble.ts";
import { toWat } from "../wasm/wat.ts";
import type { Ending, Op, Order, Test } from "./ir.ts";
import { printBatch, printMatch } from "./js-functions.ts";
import { lower } from "./lower.ts";
import { printModule } from "./wasm-printer.ts";

/**
 * cfg      basic blocks of the program with its instructions
 * blocks   what both printers read: operations and endings, checks placed, tests merged
 * js       the JavaScript of one packet
 * js-batch the JavaScript of a batch
 * wat      the WebAssembly of one packet
 * wat-batch the WebAssembly of a batch
 */
export const STAGES = Object.freeze(["cfg", "blocks", "js", "js-batch", "wat", "wat-batch"] as const);
export type Stage = (typeof STAGES)[number];

/** Where the packet bytes start in the printed WebAssembly; an arena chooses its own place. */
const PACKETS = 0x10000;

/**
 * The text of a stage, with a newline at its end.
 *
 * @throws {BpfError} `bad-argument` for an unknown stage; `unsupported` when the program has no such form: backward
 *   jumps, or too long for JavaScript.
 */
export function dump(program: VerifiedProgram, stage: Stage): string {
  switch (stage) {
    case "cfg":
      return dumpGraph(program);
    case "blocks":
      return dumpBlocks(program);
    case "js":
      return printMatch(lower(program));
    case "js-batch":
      return printBatch(lower(program));
    case "wat":
    case "wat-batch":
      return toWat(
        printModule(lower(program), {
          output: stage === "wat" ? "run" : "verdicts",
          shared: false,
          workArea: WORK_AREA,
          packets: PACKETS,
          prefetch: false,
        }),
      );
    default:
      throw new BpfError(
        "bad-argument",
        `stage ${JSON.stringify(stage)} is none of ${STAGES.map((known) => JSON.stringify(known)).join(", ")}`,
      );
  }
}

function dumpGraph({ instructions, isa }: VerifiedProgram): string {
  const lines: string[] = [];
  controlFlow(instructions, isa).blocks.forEach(({ start, end, successors, reachable }, number) => {
    lines.push(`block ${number}${reachable ? "" : " (unreachable)"}`);
    for (let i = start; i < end; i++) lines.push(`  ${disassembleOne(instructions[i]!, i, isa).trimEnd()}`);
    for (const { to, when } of successors) lines.push(`  -> block ${to}${when === "always" ? "" : ` when ${when}`}`);
  });
  return `${lines.join("\n")}\n`;
}

function dumpBlocks(program: VerifiedProgram): string {
  const { blocks, constants, cells, clearsCells } = lower(program);
  const lines: string[] = [];
  blocks.forEach(({ start, ops, ending }, number) => {
    lines.push(`block ${number}: from instruction ${start}`);
    for (const op of ops) lines.push(`  ${describeOp(op)}`);
    for (const line of describeEnding(ending)) lines.push(`  ${line}`);
  });
  if (cells.length > 0) lines.push(`scratch cells ${cells.join(" ")}${clearsCells ? ", cleared" : ""}`);
  if (constants.length > 0) lines.push(`tables of ${constants.length} slots`);
  return `${lines.join("\n")}\n`;
}

function describeOp(op: Op): string {
  switch (op.op) {
    case "constant":
      return `${op.dst} = ${hex(op.value)}`;
    case "check":
      return `check ${op.bytes} bytes`;
    case "load":
      return `a = ${bytes(op.size, `${op.k}`, op.order)}`;
    case "msh":
      return `x = 4 * (P[${op.k}] & 15)`;
    case "load-index": {
      const known = [...(op.near ? [] : ["may wrap"]), ...(op.enough ? [`${op.size} bytes are there`] : [])];
      return `a = checked ${bytes(op.size, `x + ${op.k}`, op.order)}${known.length > 0 ? ` (${known.join(", ")})` : ""}`;
    }
    case "far":
      return `${op.dst} = far ${bytes(op.size, hex(op.k), "host")}${op.dst === "x" ? ", header length" : ""}`;
    case "length":
      return `${op.dst} = LEN`;
    case "field":
      return `a = ${op.field} of the context`;
    case "device":
      return `a = ${op.field} of the device, verdict a without one`;
    case "ancillary":
      return `a = ${ANCILLARY[op.row]!.name}(a, x)`;
    case "extension":
      return `call user instruction ${op.number}`;
    case "load-cell":
      return `${op.dst} = M[${op.cell}]`;
    case "store-cell":
      return `M[${op.cell}] = ${op.src}`;
    case "alu":
      return `a = a ${op.alu} ${op.src === "k" ? hex(op.k) : "x"}`;
    case "divisor":
      return "verdict 0 when x is 0";
    case "neg":
      return "a = -a";
    case "move":
      return op.dst === "a" ? "a = x" : "x = a";
  }
}

function bytes(size: number, at: string, order: Order): string {
  const note = { host: "", memory: " in memory order", spread: " spread" }[order];
  return `P[${at}:${size}]${note}`;
}

function describeTest(test: Test): string {
  switch (test.test) {
    case "compare":
      return `a ${test.cond} ${test.src === "k" ? hex(test.k) : "x"}`;
    case "probe":
      return `a among ${test.table.keys} hashed keys`;
    case "sieve":
      return `P[${test.places.map(({ k }) => `${k}:2`).join("] or P[")}] in a sieve`;
    case "captured":
      return `${test.bytes} bytes are captured`;
  }
}

function describeEnding(ending: Ending): string[] {
  switch (ending.end) {
    case "return":
      return [`return ${ending.value === "a" ? "a" : hex(ending.value)}`];
    case "jump":
      return [`-> block ${ending.to}`];
    case "branch":
      return [`${describeTest(ending.test)} -> block ${ending.yes}, else block ${ending.no}`];
    case "decide":
      return [`return ${hex(ending.yes)} if ${describeTest(ending.test)}, else ${hex(ending.no)}`];
    case "search":
      return [...ending.cases.map(({ key, to }) => `a is ${hex(key)} -> block ${to}`), `else -> block ${ending.no}`];
  }
}
