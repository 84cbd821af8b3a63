/** The WebAssembly encoder and printer: integers of every length, and modules that the host takes. */
import { expect, test } from "vitest";
import { ByteWriter, encodeModule, FunctionBody } from "../src/wasm/encoder.ts";
import { compileModule, createMemory, instantiate } from "../src/wasm/host.ts";
import { toWat } from "../src/wasm/wat.ts";

const I32 = [
  0, 1, -1, 63, 64, -64, -65, 127, 128, 8191, 8192, -8192, -8193, 0x7fffffff, -0x80000000, 0xffffffff, 0x80000000,
];

function constantModule(value: number): Uint8Array {
  const body = new FunctionBody(4);
  body.constant(value);
  return encodeModule({
    memory: { shared: false },
    imports: [],
    functions: [{ name: "f", type: { params: [], results: ["i32"] }, locals: [], body }],
  });
}

test.each(I32)("i32.const %i reads back, in the host and in the text", (value) => {
  const module = constantModule(value);
  expect(instantiate(compileModule(module), createMemory(1), {}).f!()).toBe(value | 0);
  expect(toWat(module)).toContain(`i32.const ${value | 0}\n`);
});

test.each([
  [0, [0]],
  [127, [0x7f]],
  [128, [0x80, 1]],
  [16384, [0x80, 0x80, 1]],
  [0xffffffff, [0xff, 0xff, 0xff, 0xff, 0x0f]],
])("u32 %i in LEB128 (specification, section 5.2.2)", (value, bytes) => {
  const writer = new ByteWriter(1);
  writer.u32(value);
  expect([...writer.view()]).toEqual(bytes);
});

test("labels count from the inside, runs of locals are joined, a shared memory has a maximum", () => {
  const body = new FunctionBody();
  const outer = body.open("block");
  const loop = body.open("loop");
  body.index("local.get", 0);
  body.branch("br_if", outer);
  body.branch("br", loop);
  body.close();
  body.close();
  body.f64(1.5);
  body.op("i32.trunc_sat_f64_u");
  const module = encodeModule({
    memory: { shared: true },
    imports: [{ name: "log", type: { params: ["i32"], results: [] } }],
    functions: [{ name: "f", type: { params: ["i32"], results: ["i32"] }, locals: ["i32", "i32", "f64", "i32"], body }],
  });
  expect(toWat(module)).toBe(`(module
  (import "env" "memory" (memory 1 65536 shared))
  (import "env" "log" (func $log (param i32)))
  (func $f (export "f") (param i32) (result i32)
    (local i32 i32 f64 i32)
    block
      loop
        local.get 0
        br_if 1
        br 0
      end
    end
    f64.const 1.5
    i32.trunc_sat_f64_u
  )
)
`);
  expect(instantiate(compileModule(module), createMemory(1, true, 2), { log: () => 0 }).f!(1)).toBe(1);
});
