// Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer and makes hostile calls to it:
// node native/asan.mjs [CALLS] [SEED].  Exit status 0 when no sanitizer complains.
//
// Needs g++ with libasan.  Leaks are not looked for: Node's own would drown them; descriptors are counted instead.
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { buildCopy, ROOT } from "./gyp.mjs";

const [calls = "100000", seed = "1"] = process.argv.slice(2);
const addon = buildCopy(["--", "-Dcbpf_asan=1"]);
const script = [process.execPath, join(ROOT, "test/hostile-calls.mjs"), addon, calls, seed];
// As root, in a network namespace of its own: random calls may then bring interfaces up and make taps.
const [command, ...args] = process.getuid?.() === 0 ? ["unshare", "-n", ...script] : script;
const library = (name) => execFileSync("g++", [`-print-file-name=${name}`], { encoding: "utf8" }).trim();
const run = spawnSync(command, args, {
  stdio: "inherit",
  env: {
    ...process.env,
    LD_PRELOAD: `${library("libasan.so")} ${library("libubsan.so")}`,
    ASAN_OPTIONS: "detect_leaks=0:exitcode=99",
    UBSAN_OPTIONS: "halt_on_error=1:print_stacktrace=1:exitcode=98",
  },
});
if (run.signal !== null) console.error(`cbpf: ended by ${run.signal}`);
process.exit(run.status ?? 1);
