/**
 * Builds and drives the C rivals of bench/engines.mjs: libpcap's bpf_filter in its own process, and each filter
 * translated to C, one statement an instruction, compiled with gcc -O3 and clang -O3 in a batch loop.
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { benchFilter } from "./packets.mjs";

const CACHE = fileURLToPath(new URL(".cache", import.meta.url));

/** The compilers that are installed; a missing one is reported by the caller. */
export const COMPILERS = ["gcc", "clang"].filter((name) => {
  try {
    execFileSync(name, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
});

/** Names of the engines a started process has: bpf_filter, gcc, gccp (with prefetch), clang, clangp. */
export const C_ENGINES = ["bpf_filter", ...COMPILERS.flatMap((name) => [name, `${name}p`])];

/**
 * Starts the process on a packet set.
 *
 * @returns {Promise<{ run(engine: string, filter: string, count: number, passes: number):
 *   Promise<{ ns: number, hash: number, matched: number }>, stop(): void }>}
 */
export async function startC(set, filters) {
  mkdirSync(CACHE, { recursive: true });
  const packets = `${CACHE}/packets-${set.count}.bin`;
  const head = Uint32Array.of(set.count, set.bytes.length);
  writeFileSync(packets, head);
  writeFileSync(packets, new Uint8Array(set.table.buffer, set.table.byteOffset, 8 * set.count), { flag: "a" });
  writeFileSync(packets, set.bytes, { flag: "a" });
  const libraries = COMPILERS.map((compiler) => buildLibrary(compiler, filters));
  const program = `${CACHE}/engines-c`;
  const source = fileURLToPath(new URL("engines.c", import.meta.url));
  execFileSync(COMPILERS[0], ["-O2", "-Wall", "-o", program, source, "-lpcap", "-ldl"], { stdio: "inherit" });
  const child = spawn(program, [packets, ...libraries], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (command) => {
    child.stdin.write(`${command}\n`);
    return (await lines.next()).value;
  };
  for (const name of filters) {
    const path = `${CACHE}/${name}.insns`;
    writeFileSync(path, encode(benchFilter(name)));
    await ask(`load ${name} ${path}`);
  }
  return {
    async run(engine, filter, count, passes) {
      const [ns, hash, matched] = (await ask(`run ${engine} ${filter} ${count} ${passes}`)).split(" ").map(Number);
      return { ns, hash, matched };
    },
    stop: () => child.stdin.end(),
  };
}

function encode(instructions) {
  const view = new DataView(new ArrayBuffer(8 * instructions.length));
  instructions.forEach(([code, jt, jf, k], i) => {
    view.setUint16(8 * i, code, true);
    view.setUint8(8 * i + 2, jt);
    view.setUint8(8 * i + 3, jf);
    view.setUint32(8 * i + 4, k, true);
  });
  return new Uint8Array(view.buffer);
}

function buildLibrary(compiler, filters) {
  const source = `${CACHE}/filters-${compiler}.c`;
  const library = `${CACHE}/filters-${compiler}.so`;
  writeFileSync(source, translateAll(compiler, filters));
  execFileSync(compiler, ["-O3", "-march=native", "-shared", "-fPIC", "-o", library, source], { stdio: "inherit" });
  return library;
}

function translateAll(prefix, filters) {
  const out = ["#include <stdint.h>", "#include <string.h>"];
  out.push("static inline uint32_t w(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }");
  out.push("static inline uint32_t h(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }");
  for (const name of filters) {
    out.push(`static inline uint32_t body_${name}(const uint8_t *p, uint32_t n) {`);
    out.push("  uint32_t A = 0, X = 0, M[16] = {0}; (void)A; (void)X; (void)M;");
    benchFilter(name).forEach((instruction, i) => {
      out.push(`  L${i}: __attribute__((unused)); ${translate(instruction, i)}`);
    });
    out.push("}");
    for (const ahead of [0, 8]) {
      out.push(
        `uint32_t ${prefix}${ahead > 0 ? "p" : ""}_${name}(const uint8_t *b, const uint32_t *t, uint32_t n, uint32_t *v) {`,
        "  uint32_t matched = 0;",
        "  for (uint32_t i = 0; i < n; i++) {",
        ...(ahead > 0 ? [`    __builtin_prefetch(b + t[2 * (i + ${ahead})]);`] : []),
        `    uint32_t r = body_${name}(b + t[2 * i], t[2 * i + 1]);`,
        "    v[i] = r; matched += r != 0;",
        "  }",
        "  return matched;",
        "}",
      );
    }
  }
  return `${out.join("\n")}\n`;
}

const ALU = { 0: "+", 1: "-", 2: "*", 3: "/", 4: "|", 5: "&", 6: "<<", 7: ">>", 9: "%", 10: "^" };
const JUMP = { 1: "==", 2: ">", 3: ">=", 4: "&" };

function translate([code, jt, jf, k], i) {
  const operand = (code & 8) !== 0 ? "X" : `${k}u`;
  const load = { 0: "w", 8: "h", 16: "" }[code & 0x18];
  const bytes = { 0: 4, 8: 2, 16: 1 }[code & 0x18];
  switch (code & 7) {
    case 0:
    case 1: {
      const register = (code & 7) === 0 ? "A" : "X";
      const value = (at) => (load === "" ? `p[${at}]` : `${load}(p + ${at})`);
      switch (code & 0xe0) {
        case 0x00:
          return `${register} = ${k}u;`;
        case 0x20:
          return `if (${k}ull + ${bytes} > n) return 0; A = ${value(`${k}u`)};`;
        case 0x40:
          return `if ((uint64_t)X + ${k}ull + ${bytes} > n) return 0; A = ${value(`X + ${k}u`)};`;
        case 0x60:
          return `${register} = M[${k}];`;
        case 0x80:
          return `${register} = n;`;
        default:
          return `if (${k}ull + 1 > n) return 0; X = (p[${k}u] & 15) << 2;`;
      }
    }
    case 2:
      return `M[${k}] = A;`;
    case 3:
      return `M[${k}] = X;`;
    case 4:
      if (code >> 4 === 8) return "A = -A;";
      return `A = A ${ALU[code >> 4]} ${operand};`;
    case 5:
      if (code === 5) return `goto L${i + 1 + k};`;
      return `if (A ${JUMP[code >> 4]} ${operand}) goto L${i + 1 + jt}; else goto L${i + 1 + jf};`;
    case 6:
      return (code & 0x18) === 0x10 ? "return A;" : `return ${k}u;`;
    default:
      return code === 7 ? "X = A;" : "A = X;";
  }
}
