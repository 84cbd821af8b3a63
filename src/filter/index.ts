/**
 * `cbpf/filter`: the pcap-filter(7) language.
 */
export { compileFilter } from "./compile.ts";
export type { Warning } from "./context.ts";
export { type Evaluation, evaluate, type Read, type Step } from "./evaluate.ts";
export { type Decision, type Explanation, explainFilter, explainPacket } from "./explain.ts";
export { formatExpression } from "./format.ts";
export type { Resolver } from "./names.ts";
export type { CompiledFilter, FilterOptions } from "./options.ts";
