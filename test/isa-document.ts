/** The text of docs/isa.md: the instruction set as a page, made from the tables. */
import { ANCILLARY } from "../src/isa/ancillary.ts";
import { OPCODES } from "../src/isa/opcodes.ts";

const REGISTERS: Record<string, string> = { A: "A", X: "X", M: "M[k]", P: "packet" };

function registers(letters: string): string {
  return [...letters].map((letter) => REGISTERS[letter]!).join(", ");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const escaped = rows.map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = head.map((title, i) => Math.max(title.length, ...escaped.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string => `| ${cells.map((c, i) => c.padEnd(widths[i]!)).join(" | ")} |`;
  return [line(head), `|${widths.map((w) => "-".repeat(w + 2)).join("|")}|`, ...escaped.map(line)].join("\n");
}

export function isaDocument(): string {
  const opcodes = OPCODES.map(({ code, name, mnemonic, operand, reads, writes, pseudo }) => [
    `\`${code.toString(16).padStart(2, "0")}\``,
    name,
    `\`${`${mnemonic} ${operand}`.trim()}\``,
    `\`${pseudo}\``,
    registers(reads),
    registers(writes),
  ]);
  const ancillary = ANCILLARY.map(({ k, name, words, doc }) => [
    `\`${k.toString(16)}\``,
    name,
    words.map((word) => `\`ld #${word}\``).join(", "),
    doc,
  ]);
  return `# The instruction set

Generated from \`src/isa/opcodes.ts\` and \`src/isa/ancillary.ts\` by \`npm run docs\`.

The machine has an accumulator A, an index register X and sixteen scratch cells M[0] to M[15], all 32 bits wide. A and
X start as 0, and a cell must be written before it is read. Arithmetic is modulo 2^32 and unsigned. Packet loads are
big-endian. A load beyond the packet, or a division by X = 0, ends the program with verdict 0.

One instruction is \`u16 code, u8 jt, u8 jf, u32 k\` in host byte order. Linux accepts these ${OPCODES.length} codes and no other.

${table(["code", "name", "assembler", "meaning", "reads", "writes"], opcodes)}

## Packet offsets

| offset | area |
|--------|------|
| 0 to 7fffffff | the packet |
| 80000000 to ffdfffff | nothing: the program returns 0 |
| ffe00000 to ffefffff | LL: counted from the MAC header |
| fff00000 to ffffffff | NET: counted from the network header |
| fffff000 to ffffffff, \`[k]\` only | ancillary values |

\`[x + k]\` is taken modulo 2^32 first, and never reaches ancillary values.

## Ancillary loads

Any of \`ld\`, \`ldh\` and \`ldb\` with one of these offsets; the size makes no difference.

${table(["k", "name", "assembler", "value in A"], ancillary)}
`;
}
