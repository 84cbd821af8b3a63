/**
 * What a comparison found, as data and as a table.
 */
import type { Comparison, Tally } from "./compare.ts";

export interface ReportedDisagreement {
  readonly contestant: string;
  readonly category: string;
  /** How to get the case again. */
  readonly origin: string;
  readonly expected: string;
  readonly got: string;
  /** The smallest case found, a `.bpft` file; absent when it was not looked for. */
  readonly bpft?: string;
}

export interface ReportedTally {
  readonly contestant: string;
  readonly category: string;
  readonly programs: number;
  readonly programsAgreed: number;
  readonly refused: number;
  readonly cases: number;
  readonly agreed: number;
  /** Cases without a verdict, by reason. */
  readonly skipped: Readonly<Record<string, number>>;
}

/** Everything about a run; JSON as it is. */
export interface Report {
  readonly contestants: readonly { readonly name: string; readonly version: string; readonly reference: boolean }[];
  /** Facts about machine and run: kernel release, JIT state, Node version, seed, date ... */
  readonly about: Readonly<Record<string, string>>;
  readonly seconds: number;
  readonly trials: number;
  /** Program x packet cases that a contestant beside the reference had a verdict on. */
  readonly cases: number;
  readonly disagreed: number;
  readonly tallies: readonly ReportedTally[];
  readonly disagreements: readonly ReportedDisagreement[];
}

export interface ReportInput {
  readonly about: Readonly<Record<string, string>>;
  readonly seconds: number;
}

export function reportOf(comparison: Comparison, { about, seconds }: ReportInput): Report {
  return {
    contestants: comparison.contestants.map(({ name, version }, i) => ({ name, version, reference: i === 0 })),
    about,
    seconds,
    trials: comparison.trials,
    cases: comparison.cases,
    disagreed: comparison.disagreed,
    tallies: [...comparison.tallies.values()].map(reportedTally),
    disagreements: comparison.disagreements.map(({ contestant, trial, expected, got, bpft }) => {
      const { category, origin } = trial;
      return { contestant, category, origin, expected, got, ...(bpft === undefined ? {} : { bpft }) };
    }),
  };
}

function reportedTally({ skipped, ...counts }: Tally): ReportedTally {
  return { ...counts, skipped: Object.fromEntries(skipped) };
}

/** The engine x category table, totals per engine last, and the reasons for what was skipped. */
export function summaryTable({ tallies, contestants }: Report): string {
  const rows: string[][] = [["engine", "category", "programs", "agreed", "cases", "agreed", "skipped"]];
  for (const { name, reference } of contestants) {
    const own = tallies.filter(({ contestant }) => contestant === name);
    for (const tally of own) rows.push(tableRow(name, tally.category, [tally]));
    if (own.length > 1) rows.push(tableRow(name, reference ? "all (reference)" : "all", own));
  }
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
  const reasons = skipReasons(tallies).map(([who, reason, n]) => `skipped by ${who}: ${count(n)}, ${reason}`);
  return [...lines, ...reasons, ""].join("\n");
}

function tableRow(name: string, category: string, tallies: readonly ReportedTally[]): string[] {
  const sum = (key: "programs" | "programsAgreed" | "cases" | "agreed"): number =>
    tallies.reduce((total, tally) => total + tally[key], 0);
  const skipped = tallies.reduce((total, tally) => total + skippedIn(tally), 0);
  const numbers = [sum("programs"), sum("programsAgreed"), sum("cases"), sum("agreed"), skipped];
  return [name, category, ...numbers.map(count)];
}

function skippedIn({ skipped }: ReportedTally): number {
  return Object.values(skipped).reduce((total, n) => total + n, 0);
}

/** Contestant, reason and number of cases, the most frequent first. */
export function skipReasons(tallies: readonly ReportedTally[]): [contestant: string, reason: string, cases: number][] {
  const sums = new Map<string, [string, string, number]>();
  for (const { contestant, skipped } of tallies) {
    for (const [reason, n] of Object.entries(skipped)) {
      const key = `${contestant}\0${reason}`;
      sums.set(key, [contestant, reason, (sums.get(key)?.[2] ?? 0) + n]);
    }
  }
  return [...sums.values()].sort((a, b) => b[2] - a[2]);
}

/** 1234567 as "1,234,567". */
export function count(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ",");
}
