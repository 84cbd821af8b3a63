/**
 * A report as one HTML page without anything from elsewhere: no scripts, no fonts, no requests.
 */
import { count, type Report, type ReportedTally, skipReasons } from "./report.ts";

/** The page, UTF-8. */
export function reportHtml(report: Report): string {
  const { contestants, about, tallies, disagreements, cases, disagreed, seconds, trials } = report;
  const verdict =
    disagreed === 0
      ? `<p class="good">${count(cases)} cases, no disagreement.</p>`
      : `<p class="bad">${count(cases)} cases, ${count(disagreed)} disagreements.</p>`;
  const facts = Object.entries({ ...about, trials: count(trials), seconds: seconds.toFixed(1) });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>cbpf conformance</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Classic BPF conformance</h1>
${verdict}
<h2>Who took part</h2>
${table(
  ["engine", "version", ""],
  contestants.map((c) => [c.name, c.version, c.reference ? "reference" : ""]),
)}
<h2>Engine by category</h2>
${table(["engine", "category", "programs", "agreed", "refused", "cases", "agreed", "skipped"], tallies.map(tallyCells))}
<h2>Skipped, and why</h2>
${table(
  ["engine", "cases", "reason"],
  skipReasons(tallies).map(([who, why, n]) => [who, count(n), why]),
)}
<h2>Disagreements</h2>
${disagreements.length === 0 ? "<p>None.</p>" : disagreements.map(disagreementHtml).join("\n")}
<h2>About this run</h2>
${table(["", ""], facts)}
</body>
</html>
`;
}

function tallyCells(tally: ReportedTally): string[] {
  const skipped = Object.values(tally.skipped).reduce((total, n) => total + n, 0);
  const { contestant, category, programs, programsAgreed, refused, cases, agreed } = tally;
  return [contestant, category, ...[programs, programsAgreed, refused, cases, agreed, skipped].map(count)];
}

function disagreementHtml({
  contestant,
  category,
  origin,
  expected,
  got,
  bpft,
}: Report["disagreements"][number]): string {
  const head = `${contestant} says ${got}, expected ${expected} (${category}; ${origin})`;
  return `<h3>${escaped(head)}</h3>${bpft === undefined ? "" : `<pre>${escaped(bpft)}</pre>`}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "<p>Nothing.</p>";
  const cells = (row: readonly string[], tag: "th" | "td"): string =>
    `<tr>${row.map((cell) => `<${tag}${NUMBER.test(cell) ? ' class="n"' : ""}>${escaped(cell)}</${tag}>`).join("")}</tr>`;
  return `<table>\n${cells(head, "th")}\n${rows.map((row) => cells(row, "td")).join("\n")}\n</table>`;
}

const NUMBER = /^[0-9][0-9,.]*$/;

function escaped(text: string): string {
  const names: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (character) => names[character]!);
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; }
th, td { padding: .15rem .8rem; text-align: left; border-bottom: 1px solid #8884; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
pre { padding: .8rem; overflow: auto; background: #8881; }
.good, .bad { font-size: 1.3rem; font-weight: 600; }
.good { color: #1a7f37; } .bad { color: #cf222e; }
`;
