/**
 * Programs of 4096 instructions, the most that Linux takes, in shapes that stress whoever works on them.
 */
const N = 4096;

const ins = (code, k = 0, jt = 0, jf = 0) => ({ code, jt, jf, k: k >>> 0 });
const RET_K = 0x06;
const RET_A = 0x16;
const LDH_ABS = 0x28;
const LDB_ABS = 0x30;
const LDB_IND = 0x50;
const TAX = 0x07;
const ST = 0x02;
const LDX_MEM = 0x61;
const ADD_X = 0x0c;
const XOR_K = 0xa4;
const JEQ_K = 0x15;
const JGT_K = 0x25;
const JSET_K = 0x45;
const JEQ_X = 0x1d;

/** `part(i)` until the instructions are enough, between `first` and `last`. */
function filled(first, part, last) {
  const program = [...first];
  for (let i = 0; ; i++) {
    const next = part(i, N - program.length - last.length);
    if (program.length + next.length + last.length > N) break;
    program.push(...next);
  }
  while (program.length + last.length < N) program.push(ins(TAX));
  return [...program, ...last];
}

const ENDS = [ins(RET_K, 1), ins(RET_K, 0)];

/** name → program */
export const SHAPES = {
  // Every jump to a place of its own.
  "jumps": filled([ins(LDB_ABS, 0)], (i, room) => [ins(JGT_K, i, Math.min(255, (i * 7) % Math.max(1, room - 1)), 0)], ENDS),
  // One list of numbers, with a return in reach of every test.
  "one list": filled([ins(0x20, 0)], (i) => (i % 200 === 199 ? [ins(0x05, 1), ins(RET_K, 1)] : [ins(JEQ_K, i * 7919, 199 - (i % 200), 0)]), [ins(RET_K, 0), ins(RET_K, 1)]),
  // A list in which every test looks at another byte.
  "many fields": filled([], (i, room) => [ins(LDB_ABS, i), ins(JEQ_K, i & 255, Math.min(253, Math.max(0, room - 2)), 0)], ENDS),
  "loads": filled([], (i) => [ins(LDH_ABS, (i * 37) % 1500)], [ins(RET_A)]),
  "touches": filled([], (i) => [ins(LDB_ABS, N - i), ins(LDB_IND, i)], [ins(RET_K, 1)]),
  // Each load counts from what the one before it found.
  "anchors": filled([ins(LDB_ABS, 0)], (i) => [ins(TAX), ins(LDB_IND, i & 63)], [ins(RET_A)]),
  "arithmetic": filled([ins(LDB_ABS, 0), ins(TAX)], (i) => [ins(ADD_X), ins(XOR_K, i + 1)], [ins(RET_A)]),
  // Paths part and meet again with another A.
  "diamonds": filled([ins(LDB_ABS, 0)], (i) => [ins(JSET_K, 1 << (i & 7), 0, 1), ins(XOR_K, i + 1)], [ins(RET_A)]),
  // The same, kept in M[] over a test of another byte.
  "scratch": filled([ins(LDB_ABS, 0), ins(ST, 0)], (i) => [ins(LDB_ABS, i & 63), ins(JGT_K, i & 255, 0, 1), ins(ST, 0), ins(LDX_MEM, 0), ins(JEQ_X, 0, 0, 1), ins(ADD_X)], [ins(RET_A)]),
};
