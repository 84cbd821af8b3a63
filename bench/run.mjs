// Every benchmark that needs no privilege, one after the other: `npm run bench`.
//
//   reading   capture files, beside libpcap's pcap_next_ex
//   engines   every engine, beside libpcap's bpf_filter and the program translated to C
//
// Options behind `--` go to the engines' benchmark.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

for (const [name, ...options] of [["reading.mjs"], ["engines.mjs", ...process.argv.slice(2)]]) {
  console.log(`\n== ${name}`);
  const path = fileURLToPath(new URL(name, import.meta.url));
  const { status } = spawnSync(process.execPath, [path, ...options], { stdio: "inherit" });
  if (status !== 0) process.exitCode = 1;
}
