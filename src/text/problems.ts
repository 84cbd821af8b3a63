/**
 * The errors of one text: readers report into a {@link Problems} and go on, so that all of them reach the user.
 *
 * The first {@link MAX_REPORTED} are kept with their place, the rest are counted: a megabyte of rubbish gives a message
 * that can be read.
 */
import { BpfError, type Violation, violationsError } from "../base/errors.ts";
import type { Span } from "../base/source-text.ts";

/** Errors that are reported in full. */
export const MAX_REPORTED = 100;
/** Longest piece of the source that a message repeats, in UTF-16 units. */
const MAX_QUOTED = 40;
/** Names that are compared with a misspelt one; a text with more labels than this gets no better advice. */
const MAX_CANDIDATES = 2000;

/** What a problem can carry beside its rule, message and place. */
export interface ProblemDetails {
  readonly hint?: string | undefined;
  readonly index?: number | undefined;
}

export class Problems {
  readonly source: string;
  readonly #found: Violation[] = [];
  #more = 0;

  constructor(source: string) {
    this.source = source;
  }

  /** Number of problems so far, reported or only counted. */
  get count(): number {
    return this.#found.length + this.#more;
  }

  /** True once further problems are only counted: a hint for them would be thrown away. */
  get full(): boolean {
    return this.#found.length >= MAX_REPORTED;
  }

  add(rule: string, message: string, span: Span, details: ProblemDetails = {}): void {
    if (this.full) {
      this.#more++;
      return;
    }
    const { hint, index } = details;
    this.#found.push({
      rule,
      message,
      span: { start: span.start, end: span.end },
      ...(hint === undefined ? {} : { hint }),
      ...(index === undefined ? {} : { index }),
    });
  }

  /**
   * Ends a reading.
   *
   * @throws {BpfError} `bad-text` with every problem, when there is one.
   */
  throwIfAny(): void {
    if (this.count > 0) throw this.error();
  }

  /** The error of all problems, in the order of the text: labels are resolved after everything else has been read. */
  error(): BpfError {
    const all = this.#found.toSorted((a, b) => a.span!.start - b.span!.start);
    if (this.#more > 0) all.push({ rule: "too-many-errors", message: `and ${this.#more} more errors` });
    return violationsError("bad-text", all, { source: this.source });
  }
}

/** The text as it stands in a message: quoted, cut when long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}...` : text);
}

/** `did you mean "jeq"?` for the candidate nearest to `word`, or undefined when none is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > MAX_QUOTED) return undefined;
  let allowed = word.length < 4 ? 1 : 2;
  let best: string | undefined;
  let looked = 0;
  for (const candidate of candidates) {
    if (++looked > MAX_CANDIDATES) break;
    if (Math.abs(candidate.length - word.length) > allowed) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance > allowed || (best !== undefined && distance === allowed)) continue;
    best = candidate;
    allowed = distance;
  }
  return best === undefined ? undefined : `did you mean ${quote(best)}?`;
}

/** Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b` (Damerau, restricted). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const now = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(last[j]! + 1, now[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, beforeLast[j - 2]! + 1);
      now.push(cost);
    }
    beforeLast = last;
    last = now;
  }
  return last[b.length]!;
}

/** @throws {BpfError} `bad-argument` for a source that is no string. */
export function checkSource(source: unknown): asserts source is string {
  if (typeof source !== "string") throw new BpfError("bad-argument", "expected the text of a program as a string");
}
