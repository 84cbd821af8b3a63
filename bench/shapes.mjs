/**
 * Programs of many instructions, in shapes that stress whoever works on them.
 */
const RET_K = 0x06;
const RET_A = 0x16;
const JA = 0x05;
const LDW_ABS = 0x20;
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

/** Name to program, each of exactly `length` instructions; Linux accepts all of them up to 4096. */
export function shapes(length) {
  const ends = [ins(RET_K, 1), ins(RET_K, 0)];
  /** `part(i, room)` again and again between `first` and `last`; a jump of `room` leads to the first of `last`. */
  const filled = (first, part, last) => {
    const program = [...first];
    for (let i = 0; ; i++) {
      const next = part(i, length - last.length - program.length);
      if (program.length + next.length + last.length > length) break;
      program.push(...next);
    }
    while (program.length + last.length < length) program.push(ins(TAX));
    return [...program, ...last];
  };
  // biome-ignore format: a table
  return {
    // Every jump to a place of its own.
    "jumps":       filled([ins(LDW_ABS)], (i, room) => [ins(JGT_K, i * 2654435761, Math.min(255, (i * 7) % (room + 1)))], ends),
    // One list of numbers, with a return in reach of every test.
    "one list":    filled([ins(LDW_ABS)], (i, room) =>
      i % 200 === 199 ? [ins(JA, 1), ins(RET_K, 1)] : [ins(JEQ_K, i * 7919, Math.min(199 - (i % 200), room - 1))], ends.toReversed()),
    // A test of another byte each, and one of the first byte again.
    "many fields": filled([], (i, room) => [ins(LDB_ABS, i), ins(JEQ_K, i & 255, Math.min(252, room - 2) & ~1)], ends),
    "two fields":  filled([], (i, room) => [ins(LDB_ABS, i & 1), ins(JEQ_K, i & 255, Math.min(252, room - 2) & ~1)], ends),
    "loads":       filled([], (i) => [ins(LDH_ABS, (i * 37) % 1500)], [ins(RET_A)]),
    "touches":     filled([], (i) => [ins(LDB_ABS, length - i), ins(LDB_IND, i)], [ins(RET_K, 1)]),
    // Each load counts from what the one before it found.
    "anchors":     filled([ins(LDB_ABS)], (i) => [ins(TAX), ins(LDB_IND, i & 63)], [ins(RET_A)]),
    "arithmetic":  filled([ins(LDB_ABS), ins(TAX)], (i) => [ins(ADD_X), ins(XOR_K, i + 1)], [ins(RET_A)]),
    // Paths part and meet again with another A.
    "diamonds":    filled([ins(LDB_ABS)], (i) => [ins(JSET_K, 1 << (i & 7), 0, 1), ins(XOR_K, i + 1)], [ins(RET_A)]),
    // The same in M[], over a test of another byte.
    "scratch":     filled([ins(LDB_ABS), ins(ST)], (i) =>
      [ins(LDB_ABS, i & 63), ins(JGT_K, i & 255, 0, 1), ins(ST), ins(LDX_MEM), ins(JEQ_X, 0, 0, 1), ins(ADD_X)], [ins(RET_A)]),
  };
}

function ins(code, k = 0, jt = 0, jf = 0) {
  return { code, jt, jf, k: k >>> 0 };
}
