/**
 * The two functions of a program as JavaScript source: `match` for one packet, `batch` for a table of them.
 *
 * Every value that is not in the source by number (contexts, tables, the slow paths) is a parameter of the code, so
 * source and program are the same text for everybody.
 *
 * Words of 32 bits are read through a DataView, which takes a fifth of the instructions that four bytes take.  A
 * batch makes one for its array; `match` makes one for an array that it is given twice in a row, keeps it until it
 * is given another, and reads bytes otherwise: a view for every packet would cost more than it saves.  For 16 bits
 * it saves nothing.  A view to the end of the buffer follows an array that grows; an array without bytes may be one
 * that is detached or out of bounds, and gets none.
 *
 * V8 makes a function part of its caller, which saves some five nanoseconds a packet, when it has at most 460 bytes of bytecode
 * (max_inlined_bytecode_size); so `match` is short, and a longer program has its second part in a function of its own,
 * where it can be cut: a short list of hosts, whose tests lead around one another, is printed whole.
 */
import { cuts } from "./control-flow.ts";
import { asksContext, goesFar, type Lowered, type Op, type Order, usesContext, usesLength } from "./ir.ts";
import { bytesAt, isReturn, type Place, Printer, type Word } from "./js-printer.ts";

/** Parameters of the outer function, in order: what the code needs from outside. */
export const OUTSIDE = Object.freeze(["T", "B", "M", "S", "none", "far", "ancillary", "extension", "outside"] as const);

/** Characters of a program that fits into one `match`: V8 makes 0.53 to 0.75 bytes of bytecode of one. */
const WHOLE = 760;
/** Characters of the first part of a longer one. */
const FIRST_PART = 600;

/**
 * The source of `match(b, o, n)`: the verdict on one packet.  A program that asks for more than the packet's bytes
 * has two parameters more, the context c and the length on the wire w.
 *
 * @throws {BpfError} `unsupported` for a program that the printer does not take.
 */
export function printMatch(lowered: Lowered): string {
  const orders = wordOrders(lowered);
  const words = orders.size > 0;
  const given = ["b", "o", "n", ...(asksContext(lowered) ? ["c", "w"] : [])];
  const state = registers(lowered);
  const toRest = [...given, ...(words ? ["q"] : []), ...state].join(", ");
  const printer = new Printer(lowered, { finish: (value) => `return ${value};`, word: wordOfArray });
  let program = printer.print("  ");
  let rest: string[] = [];
  const cut = printer.size > WHOLE ? lastCut(lowered, printer.begins) : 0;
  if (cut > 0) {
    rest = [`function rest(${toRest}) {`, ...declare(scratch(lowered), "  "), ...program.slice(cut), "}"];
    program = [...program.slice(0, cut), `  return rest(${toRest});`];
  }
  const lines = [
    '"use strict";',
    ...SPAN,
    ...wordFunctions(orders),
    ...rest,
    `return function match(${given.map((name) => (name === "c" ? "c = none" : name)).join(", ")}) {`,
    "  o |= 0;", // a default would cost eight bytes
    "  n = span(b, o, n);",
    ...(usesLength(lowered) ? ["  if (w === undefined) w = n;"] : []),
    ...(words ? ["  const q = b === seen ? view : look(b);"] : []),
    ...machine(lowered, "  "),
    ...program,
    "};",
  ];
  return `${lines.join("\n")}\n`;
}

/** The line with which the second part of a program begins; 0 when it cannot be cut. */
function lastCut({ blocks }: Lowered, begins: readonly Place[]): number {
  let last = 0;
  for (const cut of cuts(blocks, isReturn)) {
    const { line, size } = begins[cut]!;
    if (size > FIRST_PART) break;
    last = line;
  }
  return last;
}

/**
 * The source of `batch(b, t, i, end, d, l, v)`: verdicts on packets i..end-1 of table t into v (or null), with
 * contexts from the function d and wire lengths from l where these are not undefined; returns how many match.
 *
 * @throws {BpfError} as `printMatch`.
 */
export function printBatch(lowered: Lowered): string {
  const lines = [
    '"use strict";',
    "return function batch(b, t, i, end, d, l, v) {",
    "  let matched = 0;",
    ...(wordOrders(lowered).size > 0
      ? [
          "  const q = b.length > 0 ? new DataView(b.buffer, b.byteOffset, b.length) : new DataView(new ArrayBuffer(0));",
        ]
      : []),
    "  for (; i < end; i++) {",
    "    const o = t[2 * i], n = t[2 * i + 1];",
    ...(usesContext(lowered) ? ["    const c = d === undefined ? none : d(i);"] : []),
    ...(usesLength(lowered) ? ["    const w = l !== undefined ? l[i] : d === undefined ? n : d(i).length ?? n;"] : []),
    "    let r = 0;",
    ...machine(lowered, "    "),
    "    packet: {",
    ...new Printer(lowered, {
      finish: (value) => (value === "0" ? "break packet;" : `{ r = ${value}; break packet; }`),
      word: wordOfView,
    }).print("      "),
    "    }",
    "    if (r !== 0) matched++;",
    "    if (v !== null) v[i] = r;",
    "  }",
    "  return matched;",
    "};",
  ];
  return `${lines.join("\n")}\n`;
}

const wordOfView: Word = (at, order) => `q.getInt32(${at}${order === "memory" ? ", true" : ""})`;
const wordOfArray: Word = (at, order) => `${order}(q, b, ${at})`;

/** The length of `match`'s packet; a function of its own in each filter, so that it sees the arrays of that filter only. */
const SPAN: readonly string[] = [
  "function span(b, o, n) {",
  "  n = n === undefined ? b.length - o : n | 0;",
  "  if ((o | n) < 0 || o + n > b.length) outside(b, o, n);",
  "  return n;",
  "}",
];

/** What `match` needs for {@link wordOfArray} with these orders. */
function wordFunctions(orders: ReadonlySet<Order>): readonly string[] {
  return orders.size === 0
    ? []
    : [
        "var seen, view, last;",
        "function look(b) {",
        "  if (b !== last || b.length === 0) {",
        "    last = b;",
        "    seen = undefined;",
        "    return undefined;",
        "  }",
        "  view = new DataView(b.buffer, b.byteOffset);",
        "  seen = b;",
        "  return view;",
        "}",
        ...[...orders].flatMap((order) => [
          `function ${order}(q, b, i) {`,
          `  return q === undefined ? ${bytesAt("i", 0, 4, order)} : ${wordOfView("i", order)};`,
          "}",
        ]),
      ];
}

/** How the program's words of 32 bits lie in A. */
function wordOrders({ blocks }: Lowered): Set<Order> {
  const orders = new Set<Order>();
  for (const { ops } of blocks) {
    for (const op of ops) if ((op.op === "load" || op.op === "load-index") && op.size === 4) orders.add(op.order);
  }
  return orders;
}

/** The registers in front of the first block; scratch cells that user code may look at are elements of M instead. */
function machine(lowered: Lowered, indent: string): string[] {
  const lines = declare([...registers(lowered), ...scratch(lowered)], indent);
  if (lowered.extensions.length > 0) lines.push(`${indent}M.fill(0);`);
  return lines;
}

/** Locals that blocks leave to one another. */
function registers({ cells, extensions }: Lowered): string[] {
  return ["a", "x", ...(extensions.length === 0 ? cells.map((cell) => `m${cell}`) : [])];
}

/** Locals that blocks need for themselves. */
function scratch({ blocks }: Lowered): string[] {
  const some = (asked: (op: Op) => boolean): boolean => blocks.some(({ ops }) => ops.some(asked));
  return [
    ...(some(({ op }) => op === "load-index") ? ["y"] : []),
    ...(some((op) => goesFar(op) || op.op === "extension") ? ["f"] : []),
  ];
}

function declare(names: readonly string[], indent: string): string[] {
  return names.length === 0 ? [] : [`${indent}let ${names.map((name) => `${name} = 0`).join(", ")};`];
}
