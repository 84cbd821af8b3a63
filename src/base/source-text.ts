/**
 * Places in a text: spans, lines and columns, and the excerpt with a caret that an error shows.
 *
 * Offsets count UTF-16 code units, as JavaScript strings do.  Lines and columns count from 1.
 */

/** A half-open range `[start, end)` of a text. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Longest excerpt line in characters; a longer source line is cut on both sides of the caret. */
const EXCERPT_WIDTH = 100;

/** Line and column, both from 1, of an offset; an offset past the end is the end. */
export function locate(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, Math.max(0, offset));
  const lineStart = before.lastIndexOf("\n") + 1;
  let line = 1;
  for (let i = before.indexOf("\n"); i >= 0; i = before.indexOf("\n", i + 1)) line++;
  return { line, column: before.length - lineStart + 1 };
}

/**
 * The source line of a span with carets under it, indented by two spaces:
 *
 *       jeq #0x800, next, drpo
 *                         ^^^^
 *
 * Tabs become one space and control characters a dot, so that the caret stands where it should.
 */
export function excerpt(text: string, span: Span): string {
  const start = Math.min(Math.max(0, span.start), text.length);
  const lineStart = start === 0 ? 0 : text.lastIndexOf("\n", start - 1) + 1; // lastIndexOf takes -1 for 0
  const nextBreak = text.indexOf("\n", start);
  const lineEnd = nextBreak < 0 ? text.length : nextBreak;
  const from = Math.max(lineStart, Math.min(start - EXCERPT_WIDTH / 2, lineEnd - EXCERPT_WIDTH));
  const to = Math.min(lineEnd, from + EXCERPT_WIDTH);
  const shown = printable(text.slice(from, to));
  const carets = Math.max(1, Math.min(span.end, to) - start);
  return `  ${shown}\n  ${" ".repeat(start - from)}${"^".repeat(carets)}`;
}

/** One printed character for each code unit, so that columns stay put. */
function printable(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
  return line.replace(/\t/g, " ").replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]/g, ".");
}
