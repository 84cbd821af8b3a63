/**
 * Packets and contexts as one line of text: `00*12 08 00 45 {proto=0x800 net=14 mac=0}`.
 *
 * A byte times a number is so many of it.  The words between braces are the assembler's words for ancillary values, and
 * `len`, `net`, `mac`, `before`, `linear` and `rand` for the rest of a packet context.
 */
import { fromHex, hex, toHex } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";
import { ANCILLARY } from "../isa/ancillary.ts";
import { U32_MAX } from "../isa/limits.ts";
import { NO_CONTEXT, type PacketContext, packetContext } from "../program/packet-context.ts";

/** A packet context as data: random numbers are a list, given in turn and over again. */
export type ContextFields = Partial<Omit<PacketContext, "random">> & { readonly random?: readonly number[] };

/** Largest packet of a text, in bytes. */
const MAX_PACKET = 4 << 20;
/** From so many equal bytes on, the writer says `00*12`. */
const RUN_LENGTH = 5;

/** Context fields that are plain numbers, by word. */
const NUMBERS: ReadonlyMap<string, keyof ContextFields> = new Map([
  ...ANCILLARY.flatMap(({ words, does }): [string, keyof ContextFields][] =>
    does.kind === "field" || does.kind === "device" ? [[words[0]!, does.field]] : [],
  ),
  ["len", "length"],
  ["net", "network"],
  ["mac", "mac"],
]);

/** Fields that may be negative: positions relative to byte 0. */
const SIGNED: ReadonlySet<keyof ContextFields> = new Set(["network", "mac"]);

/** The context that the fields describe; its random numbers start with the first. */
export function contextFrom({ random, ...fields }: ContextFields): PacketContext {
  if (random === undefined || random.length === 0) return packetContext(fields);
  let next = 0;
  return packetContext({ ...fields, random: () => random[next++ % random.length]! });
}

/**
 * The bytes of `01 02 ff*3`.
 *
 * @throws {BpfError} `bad-text` for what is no pair of hex digits, or for more than 4 MiB.
 */
export function readBytes(text: string): Uint8Array {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (const word of text.split(/\s+/)) {
    if (word === "") continue;
    const [digits = "", count] = word.split("*");
    const bytes = fromHex(digits);
    const copies = count === undefined ? 1 : readNumber(count, "a count", 0, MAX_PACKET);
    length += bytes.length * copies;
    if (length > MAX_PACKET) throw new BpfError("bad-text", `a packet has at most ${MAX_PACKET} bytes`);
    if (copies === 1) parts.push(bytes);
    else if (bytes.length === 1) parts.push(new Uint8Array(copies).fill(bytes[0]!));
    else throw new BpfError("bad-text", `${JSON.stringify(word)}: one byte is repeated, not ${bytes.length}`);
  }
  const packet = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    packet.set(part, at);
    at += part.length;
  }
  return packet;
}

/** Bytes as {@link readBytes} takes them. */
export function writeBytes(packet: Uint8Array): string {
  const words: string[] = [];
  for (let at = 0; at < packet.length; ) {
    let end = at + 1;
    while (end < packet.length && packet[end] === packet[at]) end++;
    const digits = toHex(packet.subarray(at, at + 1));
    if (end - at >= RUN_LENGTH) words.push(`${digits}*${end - at}`);
    else for (let i = at; i < end; i++) words.push(digits);
    at = end;
  }
  return words.join(" ");
}

/**
 * The fields of `len=60 proto=0x800 before=0a0b rand=1,2 linear=no`.
 *
 * @throws {BpfError} `bad-text` for an unknown word or a value that it cannot have.
 */
export function readContext(text: string): ContextFields {
  const fields: Record<string, unknown> = {};
  for (const word of text.split(/\s+/)) {
    if (word === "") continue;
    const equals = word.indexOf("=");
    const [key, value] = [word.slice(0, equals), word.slice(equals + 1)];
    const field = NUMBERS.get(key);
    if (field !== undefined) fields[field] = readNumber(value, key, SIGNED.has(field) ? -0x8000_0000 : 0, U32_MAX);
    else if (key === "before") fields.before = fromHex(value);
    else if (key === "rand") fields.random = value.split(",").map((n) => readNumber(n, key, 0, U32_MAX));
    else if (key === "linear" && (value === "yes" || value === "no")) fields.linear = value === "yes";
    else throw new BpfError("bad-text", `${JSON.stringify(word)} is none of ${contextWords()}`);
  }
  return fields as ContextFields;
}

function contextWords(): string {
  return [...[...NUMBERS.keys()].map((word) => `${word}=N`), "before=HEX", "rand=N,N", "linear=yes|no"].join(", ");
}

/** Fields as {@link readContext} takes them; what is as in {@link NO_CONTEXT} is left out. */
export function writeContext(fields: ContextFields): string {
  const words: string[] = [];
  for (const [word, field] of NUMBERS) {
    const value = fields[field] as number | undefined;
    if (value === undefined || value === (NO_CONTEXT[field] as number | undefined)) continue;
    words.push(`${word}=${SIGNED.has(field) || value < 10 ? value : hex(value)}`);
  }
  if (fields.before !== undefined && fields.before.length > 0) words.push(`before=${toHex(fields.before)}`);
  if (fields.random !== undefined && fields.random.length > 0) {
    words.push(`rand=${fields.random.map((n) => (n < 10 ? n : hex(n))).join(",")}`);
  }
  if (fields.linear === false) words.push("linear=no");
  return words.join(" ");
}

/**
 * A number, decimal or hex.
 *
 * @throws {BpfError} `bad-text` with `what` and the range.
 */
export function readNumber(text: string, what: string, low = 0, high = U32_MAX): number {
  const value = /^-?(0x[0-9a-f]+|[0-9]+)$/i.test(text)
    ? text.startsWith("-")
      ? -Number(text.slice(1))
      : Number(text)
    : Number.NaN;
  if (value >= low && value <= high) return value;
  throw new BpfError("bad-text", `${what}: ${JSON.stringify(text)} is no number in ${low}..${high}`);
}
