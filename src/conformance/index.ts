/** Proving that engines agree: the sub-path `cbpf/conformance`. */
export { Comparison, type ComparisonOptions, type Disagreement, type Findings, type Tally } from "./compare.ts";
export {
  type CorpusAttach,
  type CorpusFile,
  type CorpusReject,
  type CorpusRun,
  contextOf,
  corpusTrial,
  readCorpusFile,
} from "./corpus.ts";
export { type CorpusDraft, writeCorpusFile } from "./corpus-write.ts";
export { exhaustiveTrials } from "./exhaustive.ts";
export { randomFrame } from "./frames.ts";
export { type Observed, type Observer, observe } from "./observed.ts";
export { type Oracle, type OracleAcceptance, type OracleOptions, oracleContestant } from "./oracle-contestant.ts";
export type { ContextFields } from "./packet-text.ts";
export { type RandomTrialOptions, randomTrial, type Scene } from "./random-trials.ts";
export { type Report, type ReportInput, reportOf, summaryTable } from "./report.ts";
export { reportHtml } from "./report-html.ts";
export { reproduce } from "./reproduce.ts";
export { type ShrinkOptions, type Shrunk, type StillFails, shrink } from "./shrink.ts";
export {
  type Abstention,
  type Answer,
  type Asking,
  type Contestant,
  type Failure,
  type Judgement,
  type LocalOptions,
  localContestant,
  type Sample,
  type SkipReason,
  type Trial,
} from "./trial.ts";
export { beyondUnix, unixContext } from "./unix-context.ts";
