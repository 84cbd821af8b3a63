/**
 * Programs translated to C, one statement an instruction: what a compiler makes of a filter that it knows.
 *
 * For each program and each PREFIX of `prefetch` the source has a batch loop over packets,
 * `uint32_t PREFIX_NAME(bytes, table, count, verdicts)`, which returns how many match.
 */

/** Packets that the prefetching form is ahead. */
const AHEAD = 8;

/**
 * @param programs  name to instructions, each [code, jt, jf, k].
 * @param prefixes  [plain, prefetching] names of the two forms.
 */
export function translateAll(programs, [plain, prefetching]) {
  const out = ["#include <stdint.h>", "#include <string.h>"];
  out.push("static inline uint32_t w(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }");
  out.push("static inline uint32_t h(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }");
  for (const [name, instructions] of programs) {
    out.push(`static inline uint32_t body_${name}(const uint8_t *p, uint32_t n) {`);
    out.push("  uint32_t A = 0, X = 0, M[16] = {0}; (void)A; (void)X; (void)M;");
    instructions.forEach((instruction, i) => {
      out.push(`  L${i}: __attribute__((unused)); ${translate(instruction, i)}`);
    });
    out.push("}");
    for (const prefix of [plain, prefetching]) {
      out.push(
        `uint32_t ${prefix}_${name}(const uint8_t *b, const uint32_t *t, uint32_t n, uint32_t *v) {`,
        "  uint32_t matched = 0;",
        "  for (uint32_t i = 0; i < n; i++) {",
        ...(prefix === prefetching ? [`    __builtin_prefetch(b + t[2 * (i + ${AHEAD})]);`] : []),
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
