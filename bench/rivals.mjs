/**
 * The rivals of bench/engines.mjs that can be built here: libpcap's bpf_filter and each program translated to C and
 * compiled by gcc -O3 and clang -O3 (bench/engines.c), and golang.org/x/net/bpf (bench/engines.go).
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startRival, writePackets, writePrograms } from "./rival-process.mjs";
import { translateAll } from "./translate-c.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const CACHE = join(HERE, ".cache");
/** Where Debian's golang-golang-x-net-dev puts its sources. */
const GOPATH = "/usr/share/gocode";
const X_NET_BPF = `${GOPATH}/src/golang.org/x/net/bpf`;

/** Name to version of the compilers that are installed. */
const COMPILERS = new Map(
  [
    ["gcc", "--version"],
    ["clang", "--version"],
    ["go", "version"],
  ].flatMap(([name, flag]) => {
    try {
      const [version] = execFileSync(name, [flag], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).split(
        "\n",
      );
      return [[name, version]];
    } catch {
      return [];
    }
  }),
);
const C_COMPILERS = ["gcc", "clang"].filter((name) => COMPILERS.has(name));
const HAS_GO = COMPILERS.has("go") && existsSync(X_NET_BPF);

/** One line for each rival that has no column, and why. */
export const LEFT_OUT = [
  ...["gcc", "clang"].filter((name) => !COMPILERS.has(name)).map((name) => `no ${name} here: ${name} is left out`),
  ...(C_COMPILERS.length === 0 ? ["no C compiler here: bpf_filter is left out"] : []),
  ...(COMPILERS.has("go") ? [] : ["no go here: x/net/bpf is left out"]),
  ...(COMPILERS.has("go") && !HAS_GO ? [`no ${X_NET_BPF} here: x/net/bpf is left out`] : []),
];

/** Versions of what builds them. */
export const VERSIONS = [...COMPILERS.values()];

/** The engines of the rivals, `p` with prefetch, and the process that each is in. */
const PROCESS_OF = new Map([
  ...(C_COMPILERS.length > 0 ? [["bpf_filter", "c"]] : []),
  ...C_COMPILERS.flatMap((name) => formsOf(name).map((engine) => [engine, "c"])),
  ...(HAS_GO ? [["x/net/bpf", "go"]] : []),
]);
export const RIVALS = [...PROCESS_OF.keys()];

function formsOf(compiler) {
  return [compiler, `${compiler}p`];
}

/**
 * Builds every rival for these programs (name to instructions, [code, jt, jf, k] each).
 *
 * @returns {{ start(set): Promise<{ run(engine, program, count, passes), stop() }> }} starts them on a packet set;
 *   `run` is that of `startRival`.
 */
export function buildRivals(programs) {
  mkdirSync(CACHE, { recursive: true });
  const paths = writePrograms(CACHE, programs);
  const commands = new Map();
  if (C_COMPILERS.length > 0) commands.set("c", buildC(programs));
  if (HAS_GO) commands.set("go", buildGo());
  return {
    async start(set) {
      const packets = writePackets(CACHE, set);
      const started = new Map();
      for (const [name, [binary, ...words]] of commands) {
        started.set(name, await startRival([binary, packets, ...words], paths));
      }
      return {
        run: (engine, ...rest) => started.get(PROCESS_OF.get(engine)).run(engine, ...rest),
        stop() {
          for (const { stop } of started.values()) stop();
        },
      };
    },
  };
}

function buildC(programs) {
  const libraries = C_COMPILERS.map((compiler) => {
    const source = join(CACHE, `filters-${compiler}.c`);
    const library = join(CACHE, `filters-${compiler}.so`);
    writeFileSync(source, translateAll(programs, formsOf(compiler)));
    execFileSync(compiler, ["-O3", "-march=native", "-shared", "-fPIC", "-o", library, source], { stdio: "inherit" });
    return library;
  });
  const binary = join(CACHE, "engines-c");
  const words = ["-O2", "-Wall", "-o", binary, join(HERE, "engines.c"), "-lpcap", "-ldl"];
  execFileSync(C_COMPILERS[0], words, { stdio: "inherit" });
  return [binary, ...libraries];
}

function buildGo() {
  const binary = join(CACHE, "engines-go");
  const env = { ...process.env, GOPATH, GO111MODULE: "off", GOFLAGS: "", GOCACHE: join(CACHE, "go-build") };
  execFileSync("go", ["build", "-o", binary, join(HERE, "engines.go")], { env, stdio: "inherit" });
  return [binary];
}
