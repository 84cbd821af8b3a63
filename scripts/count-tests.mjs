// Adds up vitest's JSON reports and ends with `N passed, N failed` alone on a line.
import { readFileSync } from "node:fs";

let passed = 0;
let failed = 0;
let skipped = 0;
for (const path of process.argv.slice(2)) {
  const report = JSON.parse(readFileSync(path, "utf8"));
  passed += report.numPassedTests;
  // A file that does not load has no tests that could fail.
  const broken = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0);
  failed += report.numFailedTests + broken.length;
  skipped += report.numPendingTests;
}
console.log(`${skipped} skipped, each with a reason above`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
