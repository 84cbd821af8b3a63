// The benchmarks that need no privilege, one after the other: `npm run bench`.
//
//   reading    capture files, beside libpcap's pcap_next_ex
//   engines    every engine, beside libpcap's bpf_filter, Go's x/net/bpf and the program translated to C
//   compile    from a program to compiled code
//   filter     from an expression to a program
//   oracle     what the kernel's verdict costs
//
// `npm run bench:optimizer` and, as root, `npm run bench:kernel` stand beside it: they take minutes.
//
// Options behind `--` go to the engines' benchmark.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const BENCHES = [
  ["reading.mjs"],
  ["engines.mjs", ...process.argv.slice(2)],
  ["compile.mjs"],
  ["filter.mjs"],
  ["oracle.mjs"],
];
for (const [name, ...options] of BENCHES) {
  console.log(`\n== ${name}`);
  const path = fileURLToPath(new URL(name, import.meta.url));
  const { status } = spawnSync(process.execPath, [path, ...options], { stdio: "inherit" });
  if (status !== 0) process.exitCode = 1;
}
