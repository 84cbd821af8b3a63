/**
 * The filters that engines are measured with: those of `../shared/bench-filters`, by their names there.
 *
 * NAME.bpf is libpcap's optimised program, as `tcpdump -ddd` prints it; NAME.txt is the expression that it was made
 * of, empty for `accept` and for the synthetic `alu4000`.
 */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder of shared captures and filters, or undefined where it is not there. */
export const SHARED = [process.env.CBPF_SHARED, fileURLToPath(new URL("../../shared", import.meta.url))].find(
  (path) => path !== undefined && existsSync(path),
);

/** The small filters, and with the list filters. */
export const SMALL_8 = ["ip", "tcp", "tcp80", "host", "dns_https", "synfin", "portrange", "srcnet"];
export const ALL_10 = [...SMALL_8, "hosts100", "acl1000"];
export const ALL_FILTERS = ["accept", ...ALL_10, "alu4000"];

/** The instructions of a filter as [code, jt, jf, k]. */
export function benchFilter(name) {
  const lines = readFileSync(`${SHARED}/bench-filters/${name}.bpf`, "utf8").trim().split("\n");
  return lines.slice(1).map((line) => line.trim().split(/\s+/).map(Number));
}

/** The expression of a filter; empty where there is none. */
export function benchExpression(name) {
  const path = `${SHARED}/bench-filters/${name}.txt`;
  return SHARED !== undefined && existsSync(path) ? readFileSync(path, "utf8").trim() : "";
}
