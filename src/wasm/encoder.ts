/**
 * Writes WebAssembly modules: a byte buffer for function bodies, and the sections around them.
 *
 * It knows the binary format and nothing about packets.  Names are those of the specification's text format.
 * Source: WebAssembly Core Specification 1.0, section 5.5 (modules).
 */
import { EMPTY_BLOCK, PREFIX, VALUE_TYPE, type ValueType, WASM, type WasmName } from "./opcodes.ts";

const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
const SECTION = Object.freeze({ type: 1, import: 2, function: 3, export: 7, code: 10 });
const FUNCTION_TYPE = 0x60;

/** The largest memory a module of this package declares, in pages of 64 KiB: 4 GiB. */
export const MAX_PAGES = 65536;

/** A growing byte buffer with the format's integers. */
export class ByteWriter {
  #bytes: Uint8Array;
  length = 0;

  /** @param expected  bytes that will probably be written; a good guess saves copies. */
  constructor(expected = 256) {
    this.#bytes = new Uint8Array(Math.max(16, expected));
  }

  /** What has been written; a view, valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  byte(value: number): void {
    if (this.length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.length++] = value;
  }

  bytes(values: ArrayLike<number>): void {
    if (this.length + values.length > this.#bytes.length) this.#grow(values.length);
    this.#bytes.set(values, this.length);
    this.length += values.length;
  }

  /** Unsigned LEB128 of a u32. */
  u32(value: number): void {
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** Signed LEB128 of an i32; a u32 is taken modulo 2^32. */
  i32(value: number): void {
    let rest = value | 0;
    while (rest < -64 || rest > 63) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    this.byte(rest & 0x7f);
  }

  f64(value: number): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, true);
    this.bytes(bytes);
  }

  /** A name: length and ASCII bytes. */
  name(text: string): void {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
  }

  /** Another buffer with its length in front. */
  sized(inner: ByteWriter): void {
    this.u32(inner.length);
    this.bytes(inner.view());
  }

  #grow(needed: number): void {
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.length + needed));
    larger.set(this.#bytes.subarray(0, this.length));
    this.#bytes = larger;
  }
}

/** The body of one function.  Blocks are counted, so that a label is its level from outside. */
export class FunctionBody {
  readonly code: ByteWriter;
  #level = 0;

  constructor(expectedBytes = 256) {
    this.code = new ByteWriter(expectedBytes);
  }

  /** An instruction without immediates. */
  op(name: WasmName): void {
    const { code } = WASM[name];
    if (code > 0xff) {
      this.code.byte(PREFIX);
      this.code.u32(code & 0xff);
    } else {
      this.code.byte(code);
    }
  }

  /** local.get, local.set, local.tee or call with its index. */
  index(name: "local.get" | "local.set" | "local.tee" | "call", index: number): void {
    this.code.byte(WASM[name].code);
    this.code.u32(index);
  }

  /** i32.const; a u32 is taken modulo 2^32. */
  constant(value: number): void {
    this.code.byte(WASM["i32.const"].code);
    this.code.i32(value);
  }

  f64(value: number): void {
    this.code.byte(WASM["f64.const"].code);
    this.code.f64(value);
  }

  /** A load or store at the address on the stack + `offset`, without alignment promised. */
  memory(name: "i32.load" | "i32.load8_u" | "i32.load16_u" | "i32.store" | "i32.store8", offset: number): void {
    this.code.byte(WASM[name].code);
    this.code.u32(0);
    this.code.u32(offset);
  }

  memoryFill(): void {
    this.op("memory.fill");
    this.code.byte(0);
  }

  /** Opens a block, loop or if; the returned label is for {@link branch}. */
  open(name: "block" | "loop" | "if"): number {
    this.code.byte(WASM[name].code);
    this.code.byte(EMPTY_BLOCK);
    return this.#level++;
  }

  /** Ends the innermost open block. */
  close(): void {
    this.op("end");
    this.#level--;
  }

  /** br or br_if to the label of an open block. */
  branch(name: "br" | "br_if", label: number): void {
    this.code.byte(WASM[name].code);
    this.code.u32(this.#level - 1 - label);
  }
}

export interface FunctionType {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

export interface ModuleParts {
  /** The one memory, imported as "env" "memory"; a shared one declares its maximum. */
  readonly memory: { readonly shared: boolean };
  /** Imported functions, all from "env"; they take the first function indices. */
  readonly imports: readonly { readonly name: string; readonly type: FunctionType }[];
  /** Functions of the module, each exported. */
  readonly functions: readonly {
    readonly name: string;
    readonly type: FunctionType;
    /** Types of the locals behind the parameters. */
    readonly locals: readonly ValueType[];
    readonly body: FunctionBody;
  }[];
}

/** The module's bytes. */
export function encodeModule({ memory, imports, functions }: ModuleParts): Uint8Array {
  const bodies = functions.reduce((sum, f) => sum + f.body.code.length, 0);
  const out = new ByteWriter(bodies + 256 + 32 * (imports.length + functions.length));
  out.bytes(MAGIC_AND_VERSION);

  const types = [...imports, ...functions].map((f) => f.type);
  section(out, SECTION.type, types.length, (body) => {
    for (const { params, results } of types) {
      body.byte(FUNCTION_TYPE);
      body.u32(params.length);
      for (const type of params) body.byte(VALUE_TYPE[type]);
      body.u32(results.length);
      for (const type of results) body.byte(VALUE_TYPE[type]);
    }
  });
  section(out, SECTION.import, imports.length + 1, (body) => {
    body.name("env");
    body.name("memory");
    body.byte(0x02);
    body.byte(memory.shared ? 0x03 : 0x00); // limits: minimum only, or shared with a maximum
    body.u32(1);
    if (memory.shared) body.u32(MAX_PAGES);
    imports.forEach((f, i) => {
      body.name("env");
      body.name(f.name);
      body.byte(0x00);
      body.u32(i);
    });
  });
  section(out, SECTION.function, functions.length, (body) => {
    functions.forEach((_f, i) => {
      body.u32(imports.length + i);
    });
  });
  section(out, SECTION.export, functions.length, (body) => {
    functions.forEach((f, i) => {
      body.name(f.name);
      body.byte(0x00);
      body.u32(imports.length + i);
    });
  });
  section(out, SECTION.code, functions.length, (body) => {
    for (const f of functions) body.sized(functionCode(f.locals, f.body));
  });
  return out.view();
}

/** Locals in runs of one type, the body, and its end. */
function functionCode(locals: readonly ValueType[], body: FunctionBody): ByteWriter {
  const out = new ByteWriter(body.code.length + 16);
  const runs: { type: ValueType; count: number }[] = [];
  for (const type of locals) {
    const last = runs.at(-1);
    if (last?.type === type) last.count++;
    else runs.push({ type, count: 1 });
  }
  out.u32(runs.length);
  for (const { type, count } of runs) {
    out.u32(count);
    out.byte(VALUE_TYPE[type]);
  }
  out.bytes(body.code.view());
  out.byte(WASM.end.code);
  return out;
}

function section(out: ByteWriter, id: number, count: number, fill: (body: ByteWriter) => void): void {
  const body = new ByteWriter();
  body.u32(count);
  fill(body);
  out.byte(id);
  out.sized(body);
}
