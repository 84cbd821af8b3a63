// Calls every function of the addon at random with wrong, extreme and dying arguments, in a process of its own: a crash
// must not take the test runner along.  Usage: node hostile-calls.mjs ADDON CALLS SEED
//
// Prints one line of JSON: calls, answers, the names of what was thrown, descriptors before and after.
import { closeSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { setImmediate as turn } from "node:timers/promises";

const [, , path, callsText, seedText] = process.argv;
const addon = createRequire(import.meta.url)(path);
const calls = Number(callsText);

let state = (Number(seedText) * 2 + 1) | 0;
function next() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
}
const pick = (list) => list[next() % list.length];

function detached(Kind) {
  const array = new Kind(8);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}
function shrunk() {
  const buffer = new ArrayBuffer(64, { maxByteLength: 128 });
  const array = new Uint8Array(buffer, 32, 16);
  buffer.resize(8);
  return array;
}
function explosive() {
  const boom = () => {
    throw new Error("user code ran");
  };
  return new Proxy(() => {}, { get: boom, has: boom, apply: boom, getPrototypeOf: boom });
}

const HOSTILE = [
  () => undefined,
  () => null,
  () => Number.NaN,
  () => Infinity,
  () => -Infinity,
  () => -0,
  () => 0.5,
  () => -1,
  () => 2 ** 31,
  () => 2 ** 32,
  () => 2 ** 53,
  () => 1e308,
  () => 12n,
  () => "12",
  () => "",
  () => Symbol("fd"),
  () => true,
  () => [],
  () => ({}),
  () => ({ valueOf: explosive() }),
  () => explosive(),
  () => () => {},
  () => new Uint8Array(0),
  () => new Uint8Array(3),
  () => new Uint16Array(4),
  () => new Float64Array(4),
  () => new BigUint64Array(2),
  () => new DataView(new ArrayBuffer(8)),
  () => new ArrayBuffer(8),
  () => new SharedArrayBuffer(8),
  () => detached(Uint8Array),
  () => detached(Uint32Array),
  () => detached(Int32Array),
  () => shrunk(),
  () => new Date(),
  () => Promise.resolve(1),
];

// Descriptors by fate: open here, released to nobody, closed behind the addon's back, never open, the process's own.
const own = [];
const rings = [];
const KINDS = {
  fd: () =>
    own.length > 0 && next() % 4 !== 0 ? pick(own) : pick([0, 1, 2, 99, 1023, 1048576, 2147483647, next() % 40]),
  int: () => pick([0, 1, 2, 3, 5, 10, 16, 17, 26, 44, 57, 263, 524288, -1, 2147483647, -2147483648, next() | 0]),
  size: () => pick([0, 1, 4, 8, 64, 4096, 4097, next()]),
  level: () => pick([0, 1, 6, 17, 41, 263, 270]),
  bytes: () =>
    pick([
      new Uint8Array(next() % 200),
      new Uint8Array(8 * (next() % 20)).fill(6),
      new Uint8Array(new SharedArrayBuffer(64)),
      new Uint8Array(new ArrayBuffer(64, { maxByteLength: 65 })),
      new Uint8Array(new ArrayBuffer(40), 13, 9),
    ]),
  program: () =>
    pick([
      Uint8Array.of(6, 0, 0, 0, 255, 0, 0, 0),
      new Uint8Array(8 * (next() % 5000)),
      new Uint8Array(8 * 65536),
      new Uint8Array(7),
    ]),
  address: () =>
    pick([
      undefined,
      new Uint8Array(0),
      new Uint8Array(16).fill(2, 0, 1),
      new Uint8Array(28).fill(10, 0, 1),
      new Uint8Array(20).fill(17, 0, 1),
      new Uint8Array(128),
      new Uint8Array(129),
      new Uint8Array(3),
    ]),
  table: () => Uint32Array.from({ length: pick([0, 1, 2, 8, 64]) }, () => pick([0, 1, 8, 40, 0xffffffff, next()])),
  goodTable: () => Uint32Array.from({ length: 8 }, () => next() % 8),
  results: () => new Int32Array(pick([0, 1, 8, 64])),
  name: () =>
    pick(["lo", "cbpf0", "", "x".repeat(15), "x".repeat(16), "x".repeat(100000), "a\0b", "\ud800", "é%d", "tap%d"]),
  callback: () =>
    pick([
      () => {},
      () => {
        throw new Error("from a callback");
      },
      (answer) => meddle(answer),
    ]),
  bool: () => next() % 2 === 0,
  blockSize: () => pick([0, 4096, 4097, 8192, 65536, 1 << 20]),
  count: () => pick([0, 1, 2, 3, 16, 65537]),
  ring: () => (rings.length > 0 && next() % 2 === 0 ? pick(rings) : pick([new ArrayBuffer(8), new ArrayBuffer(0)])),
  pid: () => pick([process.pid, 2 ** 31 - 1]),
  // Only descriptors of the addon's: a copy of standard output could be written to.
  copied: () => (own.length > 0 ? pick(own) : 2147483647),
};

/** What a callback may do while the addon calls it. */
function meddle() {
  for (let i = 0; i < 3; i++) call(pick(["pollClose", "closeFd", "pollActive", "pollOpen", "receive", "deliver"]));
}

// biome-ignore format: a table
const ARGUMENTS = {
  attachProgram: ["fd", "level", "int", "program"],
  detachFilter: ["fd"],
  getFilter: ["fd"],
  openSocket: ["int", "int", "int", "fd"],
  openPair: ["int", "int"],
  closeFd: ["fd"],
  releaseFd: ["fd"],
  bindSocket: ["fd", "address"],
  connectSocket: ["fd", "address"],
  socketName: ["fd"],
  setOption: ["fd", "level", "int", "int"],
  getOption: ["fd", "level", "int", "size"],
  sendBytes: ["fd", "bytes", "address"],
  receive: ["fd", "bytes"],
  interfaceInfo: ["fd", "name"],
  interfaceUp: ["fd", "name"],
  openTap: ["name", "fd"],
  newNamespace: [],
  deliver: ["fd", "fd", "bytes", "goodTable", "results", "int", "address"],
  pollOpen: ["fd", "callback"],
  pollRef: ["fd", "bool"],
  pollActive: ["fd", "bool"],
  pollClose: ["fd"],
  ringOpen: ["fd", "blockSize", "count", "count"],
  ringClose: ["ring"],
  receiveBlock: ["fd", "bytes", "size"],
  closeOnThread: ["fd", "callback"],
  duplicateFd: ["pid", "copied"],
};

const thrown = {};
let answers = 0;
let done = 0;

function call(name) {
  const kinds = ARGUMENTS[name] ?? [];
  let args = kinds.map((kind) =>
    next() % 5 === 0 ? pick(HOSTILE)() : KINDS[kind === "goodTable" && next() % 4 === 0 ? "table" : kind](),
  );
  if (next() % 20 === 0) args = args.slice(0, next() % (args.length + 1));
  if (next() % 50 === 0) args = [...args, ...HOSTILE.map((make) => make())];
  done++;
  try {
    const answer = next() % 100 === 0 ? addon[name].apply(pick(HOSTILE)(), args) : addon[name](...args);
    answers++;
    keep(name, answer, args);
  } catch (error) {
    const kind = error instanceof TypeError || error instanceof RangeError ? error.name : `${name}: ${error}`;
    thrown[kind] = (thrown[kind] ?? 0) + 1;
  }
}

function keep(name, answer, args) {
  if (Array.isArray(answer)) own.push(...answer);
  else if (answer instanceof ArrayBuffer) rings.push(answer);
  else if (/^open|^newN|^dupl/.test(name) && answer >= 0) own.push(answer);
  else if ((name === "releaseFd" || name.startsWith("close")) && answer === 0) {
    own.splice(own.indexOf(args[0]), 1);
    if (name === "releaseFd") strays.push(args[0]);
  }
  if (own.length > 40) closeSome();
  if (rings.length > 20) touchAndForget(rings.splice(next() % 10, 10));
}

/** Writes into rings, closed ones too, and leaves the open ones to the garbage collector. */
function touchAndForget(some) {
  for (const ring of some) new Uint8Array(ring).fill(next());
}

// Descriptors released here are nobody's: they are closed behind the addon's back, before the process has too many.
const strays = [];
const MOST_STRAYS = 1000;
function closeSome() {
  for (const fd of own.splice(0, 20)) {
    try {
      addon.closeFd(fd);
    } catch {
      // closed, or given away
    }
  }
}
function closeStrays() {
  for (const fd of new Set(strays.splice(0))) {
    try {
      closeSync(fd);
    } catch {
      // given to another socket since, and closed with it
    }
  }
}

process.on("uncaughtException", (error) => {
  // The second is a callback too, one that cannot be called.
  if (error.message !== "from a callback" && error.message !== "user code ran") throw error;
  thrown.callback = (thrown.callback ?? 0) + 1;
});

const names = Object.keys(addon).filter((name) => typeof addon[name] === "function");
const unknown = names.filter((name) => !(name in ARGUMENTS));
const costly = new Set(["newNamespace", "openTap"]);
const before = readdirSync("/proc/self/fd").length;
// Pairs to begin with, so that most calls meet an open socket.
for (let i = 0; i < 8; i++) own.push(...addon.openPair(1, 2));
while (done < calls) {
  const name = pick(names);
  if (costly.has(name) && next() % 500 !== 0) continue;
  if (own.length < 8) {
    own.push(...addon.openPair(1, 2));
    const packets = addon.openSocket(17, 3, 0); // refused but to root
    if (packets >= 0) own.push(packets);
  }
  call(name);
  if (strays.length > MOST_STRAYS) closeStrays();
  if (done % 50 === 0) await turn();
}
while (own.length > 0) closeSome();
await turn();
await turn();
closeStrays();
const after = readdirSync("/proc/self/fd").length;
process.stdout.write(`${JSON.stringify({ calls: done, answers, thrown, unknown, before, after })}\n`, () =>
  process.exit(0),
);
