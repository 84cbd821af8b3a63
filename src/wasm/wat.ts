/**
 * Prints a module of this package's encoder as text, from its bytes: what is shown is what runs.
 *
 * The output is the flat form of the text format (section 6), one instruction a line, indented by block.  Only the
 * sections and instructions that the encoder writes are known.
 */
import { PREFIX, VALUE_TYPE, WASM, type WasmName } from "./opcodes.ts";

const NAME_OF: ReadonlyMap<number, WasmName> = new Map(
  Object.entries(WASM).map(([name, row]) => [row.code, name as WasmName]),
);
const TYPE_NAME: ReadonlyMap<number, string> = new Map(Object.entries(VALUE_TYPE).map(([name, code]) => [code, name]));

/** The text of a module. */
export function toWat(module: Uint8Array): string {
  const reader = new Reader(module, 8);
  const types: string[] = [];
  const functions: { name: string; type: string }[] = [];
  const lines = ["(module"];
  let imported = 0;
  while (reader.at < module.length) {
    const id = reader.byte();
    const end = reader.u32() + reader.at;
    const count = reader.u32();
    for (let i = 0; i < count; i++) {
      if (id === 1) types.push(functionType(reader));
      if (id === 2) {
        const [from, name] = [reader.name(), reader.name()];
        if (reader.byte() === 0x02) {
          const shared = reader.byte() === 0x03;
          const limits = shared ? `${reader.u32()} ${reader.u32()} shared` : `${reader.u32()}`;
          lines.push(`  (import "${from}" "${name}" (memory ${limits}))`);
        } else {
          const type = types[reader.u32()]!;
          functions.push({ name, type });
          imported++;
          lines.push(`  (import "${from}" "${name}" (func $${name}${type}))`);
        }
      }
      if (id === 3) functions.push({ name: "", type: types[reader.u32()]! });
      if (id === 7) {
        const name = reader.name();
        reader.byte();
        functions[reader.u32()]!.name = name;
      }
      if (id === 10) {
        const size = reader.u32();
        const stop = reader.at + size;
        const { name, type } = functions[imported + i]!;
        lines.push(`  (func $${name} (export "${name}")${type}`, ...locals(reader));
        lines.push(
          ...body(
            reader,
            stop,
            functions.map((f) => f.name),
          ),
          "  )",
        );
      }
    }
    reader.at = end;
  }
  lines.push(")");
  return `${lines.join("\n")}\n`;
}

function functionType(reader: Reader): string {
  reader.byte();
  const list = (word: string): string => {
    const types = Array.from({ length: reader.u32() }, () => TYPE_NAME.get(reader.byte()));
    return types.length === 0 ? "" : ` (${word} ${types.join(" ")})`;
  };
  return list("param") + list("result");
}

function locals(reader: Reader): string[] {
  const out: string[] = [];
  for (let runs = reader.u32(); runs > 0; runs--) {
    const count = reader.u32();
    out.push(...Array<string>(count).fill(TYPE_NAME.get(reader.byte())!));
  }
  return out.length === 0 ? [] : [`    (local ${out.join(" ")})`];
}

function body(reader: Reader, stop: number, functions: readonly string[]): string[] {
  const lines: string[] = [];
  let depth = 2;
  while (reader.at < stop - 1) {
    const first = reader.byte();
    const name = NAME_OF.get(first === PREFIX ? (PREFIX << 8) | reader.u32() : first);
    if (name === undefined) throw new Error(`internal: no row for wasm byte ${first}`);
    if (name === "end" || name === "else") depth--;
    lines.push(`${"  ".repeat(depth)}${name}${immediate(reader, name, functions)}`);
    if (name === "else" || WASM[name].immediate === "block") depth++;
  }
  return lines;
}

function immediate(reader: Reader, name: WasmName, functions: readonly string[]): string {
  switch (WASM[name].immediate) {
    case "none":
      return "";
    case "label":
    case "local":
      return ` ${reader.u32()}`;
    case "func":
      return ` $${functions[reader.u32()]}`;
    case "i32":
      return ` ${reader.i32()}`;
    case "f64":
      return ` ${reader.f64()}`;
    case "block":
    case "memory":
      reader.byte();
      return "";
    case "memarg": {
      reader.u32();
      const offset = reader.u32();
      return offset === 0 ? "" : ` offset=${offset}`;
    }
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  byte(): number {
    return this.#bytes[this.at++]!;
  }

  u32(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }

  i32(): number {
    let value = 0;
    for (let shift = 0; ; ) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      shift += 7;
      if (byte < 0x80) return shift < 32 && (byte & 0x40) !== 0 ? value | (-1 << shift) : value;
    }
  }

  f64(): number {
    const value = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.at).getFloat64(0, true);
    this.at += 8;
    return value;
  }

  name(): string {
    const length = this.u32();
    let text = "";
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.byte());
    return text;
  }
}
