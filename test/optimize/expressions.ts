/**
 * The expressions that the optimizer is measured on, by link type, and the programs of them that libpcap made.
 */
import { readFileSync } from "node:fs";
import { type Instruction, instructionsFrom } from "../../src/program/instruction.ts";

/** Link types as tcpdump names them. */
export const LINKS = [
  "EN10MB",
  "RAW",
  "NULL",
  "LINUX_SLL",
  "LINUX_SLL2",
  "PPP",
  "IEEE802_11",
  "IEEE802_11_RADIO",
] as const;

export type Link = (typeof LINKS)[number];

/** Every expression tried on a link type; libpcap refuses some. */
export function expressionsFor(link: Link): string[] {
  const special = link === "EN10MB" ? lines("ethernet.txt") : link.startsWith("IEEE") ? lines("wlan.txt") : [];
  return [...lines("any.txt"), ...special];
}

export interface Recorded {
  readonly link: string;
  readonly expression: string;
  /** Instructions after libpcap's own optimizer. */
  readonly libpcap: number;
  readonly instructions: readonly Instruction[];
}

/** Programs recorded from libpcap 1.10.3, so that the tests need no libpcap. */
export function recordedPrograms(): Recorded[] {
  return lines("programs.tsv").map((line) => {
    const [link, expression, libpcap, program] = line.split("\t");
    const quads = program!.split(" ").map((quad) => quad.split(",").map(Number) as [number, number, number, number]);
    return { link: link!, expression: expression!, libpcap: Number(libpcap), instructions: instructionsFrom(quads) };
  });
}

function lines(file: string): string[] {
  const text = readFileSync(new URL(`./${file}`, import.meta.url), "utf8");
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}
