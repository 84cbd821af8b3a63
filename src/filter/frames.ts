/**
 * Terms about the frame: 802.2 and 802.11 types, packet filter logs, ATM and SS7 signalling, direction, interface.
 */

import { SKF_AD_OFF } from "../isa/limits.ts";
import { ETHERNET_MTU } from "../link/ethertypes.ts";
import type { FieldValue, NumberOrWord } from "./ast.ts";
import type { Context } from "./context.ts";
import { lane } from "./encapsulation.ts";
import {
  alu,
  and,
  behind,
  bits,
  equal,
  load,
  masked,
  not,
  or,
  type Predicate,
  sameBytes,
  TRUE,
  test,
  type Value,
} from "./predicate.ts";
import { RELATIONS } from "./relation.ts";
import { atmType, wlanDataFrame } from "./type-tests.ts";

// 802.2

/** Control fields: S and U frames; the mask leaves out sequence numbers and the poll bit. */
const LLC_SUPERVISORY: Readonly<Record<string, number>> = { rr: 0x01, rnr: 0x05, rej: 0x09 };
// biome-ignore format: a table
const LLC_UNNUMBERED: Readonly<Record<string, number>> = {
  ui: 0x03, ua: 0x63, disc: 0x43, dm: 0x0f, sabme: 0x6f, test: 0xe3, xid: 0xaf, frmr: 0x87,
};

export function llcTerm(c: Context, word: string | undefined): Predicate {
  const frame = llcFrame(c);
  if (word === undefined) return frame;
  const control = behind(c.layers.payload, 2);
  const name = word.toLowerCase();
  if (name === "i") return and(frame, not(bits(control, 1, 0x01)));
  if (name === "s") return and(frame, masked(control, 1, 0x03, 0x01));
  if (name === "u") return and(frame, masked(control, 1, 0x03, 0x03));
  if (Object.hasOwn(LLC_SUPERVISORY, name)) return and(frame, masked(control, 1, 0x0f, LLC_SUPERVISORY[name]!));
  if (Object.hasOwn(LLC_UNNUMBERED, name)) return and(frame, masked(control, 1, 0xef, LLC_UNNUMBERED[name]!));
  const known = ["i", "s", "u", ...Object.keys(LLC_SUPERVISORY), ...Object.keys(LLC_UNNUMBERED)].join(" ");
  return c.fail(`unknown LLC type name "${word}"`, `known names: ${known}`);
}

function llcFrame(c: Context): Predicate {
  const { layers } = c;
  switch (layers.link.llc) {
    case "length": // a length in the type field, and not Novell's raw 802.3
      return and(not(test(load(layers.type!, 2), "gt", ETHERNET_MTU)), not(equal(layers.payload, 2, 0xffff)));
    case "always":
      return TRUE;
    case "wlan":
      return wlanDataFrame(layers);
    case "atm":
      return atmType(2);
    default:
      return c.unsupported("llc");
  }
}

// 802.11 frame control

const WLAN_TYPES: Readonly<Record<string, number>> = {
  mgt: 0x00,
  management: 0x00,
  ctl: 0x04,
  control: 0x04,
  data: 0x08,
};
/** Subtypes as they stand in the first byte of frame control, by type. */
const WLAN_SUBTYPES: ReadonlyMap<number, Readonly<Record<string, number>>> = new Map([
  [
    0x00,
    {
      "assoc-req": 0x00,
      "assoc-resp": 0x10,
      "reassoc-req": 0x20,
      "reassoc-resp": 0x30,
      "probe-req": 0x40,
      "probe-resp": 0x50,
      beacon: 0x80,
      atim: 0x90,
      disassoc: 0xa0,
      disassociation: 0xa0,
      auth: 0xb0,
      authentication: 0xb0,
      deauth: 0xc0,
      deauthentication: 0xc0,
    },
  ],
  [0x04, { "ps-poll": 0xa0, rts: 0xb0, cts: 0xc0, ack: 0xd0, "cf-end": 0xe0, "cf-end-ack": 0xf0 }],
  [0x08, {
    data: 0x00, "data-cf-ack": 0x10, "data-cf-poll": 0x20, "data-cf-ack-poll": 0x30, null: 0x40, "cf-ack": 0x50,
    "cf-poll": 0x60, "cf-ack-poll": 0x70, "qos-data": 0x80, "qos-data-cf-ack": 0x90, "qos-data-cf-poll": 0xa0,
    "qos-data-cf-ack-poll": 0xb0, qos: 0xc0, "qos-cf-poll": 0xe0, "qos-cf-ack-poll": 0xf0,
  }],
  // biome-ignore format: a table
]);

/** A name without regard to case, and with or without its hyphens. */
function lookUp(table: Readonly<Record<string, number>>, word: string): number | undefined {
  const wanted = word.toLowerCase();
  for (const [name, value] of Object.entries(table)) {
    if (name === wanted || name.replace(/-/g, "") === wanted) return value;
  }
  return undefined;
}

export function wlanType(c: Context, type: NumberOrWord | undefined, subtype: NumberOrWord | undefined): Predicate {
  if (!c.layers.link.wlan) {
    c.fail(
      `'${type === undefined ? "subtype" : "type"}' not supported on ${c.linkName}`,
      "802.11 link-layer types supported only on 802.11",
    );
  }
  const { header } = c.layers;
  if (type === undefined) {
    for (const [typeBits, names] of WLAN_SUBTYPES) {
      const value = lookUp(names, String(subtype));
      if (value !== undefined) return masked(header, 1, 0xfc, typeBits | value);
    }
    return c.fail(`unknown 802.11 type name "${subtype}"`);
  }
  const typeBits = wlanTypeNumber(c, type);
  return subtype === undefined
    ? masked(header, 1, 0x0c, typeBits)
    : masked(header, 1, 0xfc, typeBits | wlanSubtypeNumber(c, typeBits, subtype));
}

function wlanTypeNumber(c: Context, type: NumberOrWord): number {
  if (typeof type === "number") {
    if ((type & ~0x0c) !== 0)
      c.fail(
        `invalid 802.11 type value 0x${type.toString(16).padStart(2, "0")}`,
        "0x00 management, 0x04 control, 0x08 data",
      );
    return type;
  }
  return (
    lookUp(WLAN_TYPES, type) ??
    c.fail(`unknown 802.11 type name "${type}"`, `known names: ${Object.keys(WLAN_TYPES).join(" ")}`)
  );
}

function wlanSubtypeNumber(c: Context, typeBits: number, subtype: NumberOrWord): number {
  if (typeof subtype === "number") {
    if ((subtype & ~0xf0) !== 0)
      c.fail(
        `invalid 802.11 subtype value 0x${subtype.toString(16).padStart(2, "0")}`,
        "the subtype is the upper four bits of the byte",
      );
    return subtype;
  }
  const names = WLAN_SUBTYPES.get(typeBits) ?? {};
  return (
    lookUp(names, subtype) ??
    c.fail(`unknown 802.11 subtype name "${subtype}"`, `known names: ${Object.keys(names).join(" ")}`)
  );
}

const WLAN_DIRECTIONS: Readonly<Record<string, number>> = { nods: 0, tods: 1, fromds: 2, dstods: 3 };

export function wlanDirection(c: Context, value: NumberOrWord): Predicate {
  if (!c.layers.link.wlan)
    c.fail(`'dir' not supported on ${c.linkName}`, "frame direction supported only with 802.11 headers");
  const bitsWanted = typeof value === "number" ? value : lookUp(WLAN_DIRECTIONS, value);
  if (bitsWanted === undefined)
    c.fail("unknown 802.11 direction", `known names: ${Object.keys(WLAN_DIRECTIONS).join(" ")}`);
  return masked(behind(c.layers.header, 1), 1, 0x03, bitsWanted);
}

// pflog (OpenBSD net/if_pflog.h, pfvar.h)

const PF_NAME_FIELDS: Readonly<Record<string, readonly [at: number, size: number, what: string]>> = {
  on: [4, 16, "ifname interface names"],
  rset: [20, 16, "ruleset names"],
};
// biome-ignore format: a list of words
const PF_REASONS = [
  "match", "bad-offset", "fragment", "short", "normalize", "memory", "bad-timestamp", "congestion", "ip-option",
  "proto-cksum", "state-mismatch", "state-insert", "state-limit", "src-limit", "synproxy",
];
// biome-ignore format: a table
const PF_ACTIONS: Readonly<Record<string, number>> = {
  pass: 0, accept: 0, drop: 1, block: 1, scrub: 2, noscrub: 3, nat: 4, nonat: 5, binat: 6, nobinat: 7, rdr: 8, nordr: 9,
};

export function pfTerm(c: Context, field: string, value: NumberOrWord): Predicate {
  if (!c.layers.link.pflog) c.unsupported(field === "on" ? "ifname" : field);
  const { header } = c.layers;
  const name = PF_NAME_FIELDS[field];
  if (name !== undefined) {
    const [at, size, what] = name;
    const text = String(value);
    if (text.length >= size) c.fail(`${what} can only be ${size - 1} characters`);
    return sameBytes(
      behind(header, at),
      Uint8Array.from(text, (char) => char.charCodeAt(0)),
    );
  }
  if (field === "rnr" || field === "srnr") return equal(behind(header, field === "rnr" ? 36 : 40), 4, Number(value));
  if (field === "reason") {
    const reason = typeof value === "number" ? value : PF_REASONS.indexOf(value.toLowerCase());
    if (reason < 0) c.fail(`unknown PF reason "${value}"`, `known reasons: ${PF_REASONS.join(" ")}`);
    return equal(behind(header, 3), 1, reason);
  }
  const action = PF_ACTIONS[String(value).toLowerCase()];
  if (action === undefined)
    c.fail(`unknown PF action "${value}"`, `known actions: ${Object.keys(PF_ACTIONS).join(" ")}`);
  return equal(behind(header, 2), 1, action);
}

// Raw ATM (Sun pseudo-header: traffic type, VPI, VCI) and SS7

/** Virtual channels of VPI 0 with a fixed use. */
// biome-ignore format: a table
const ATM_CHANNELS: Readonly<Record<string, readonly number[]>> = {
  metac: [1], bcc: [2], oam: [3, 4], oamf4: [3, 4], oamf4sc: [3], oamf4ec: [4], sc: [5], ilmic: [16],
};
/** Q.2931 and Q.2971 message types that make and release connections, in the order libpcap tests them. */
const ATM_CONNECT = [0x5a, 0x4d, 0x0f, 0x07, 0x05, 0x02];
const ATM_MESSAGE = 9;

/** Signal units by length indicator: over `low`, up to `high`. */
// biome-ignore format: a table
const SS7_UNITS: Readonly<Record<string, readonly [low: number, high: number]>> = {
  fisu: [-1, 0], lssu: [0, 2], msu: [2, Infinity],
};

export function signal(c: Context, word: string): Predicate {
  if (word === "lane") return lane(c);
  const unit = SS7_UNITS[word.replace(/^h(?!$)/, "")];
  if (unit !== undefined) return ss7Unit(c, word, unit);
  if (!c.layers.atm) c.unsupported(word);
  const channel = (vci: readonly number[]) =>
    and(equal({ offset: 1 }, 1, 0), or(...vci.map((n) => equal({ offset: 2 }, 2, n))));
  const messages = (types: readonly number[]) => or(...types.map((type) => equal({ offset: ATM_MESSAGE }, 1, type)));
  if (word === "connectmsg") return and(channel([5]), messages(ATM_CONNECT));
  if (word === "metaconnect") return and(channel([1]), messages(ATM_CONNECT.filter((type) => type !== 0x0f)));
  return channel(ATM_CHANNELS[word]!);
}

function ss7Unit(c: Context, word: string, [low, high]: readonly [number, number]): Predicate {
  const { ss7 } = c.layers.link;
  if (ss7 === undefined) c.unsupported(word);
  const extended = word.startsWith("h");
  const scale = extended ? 0x80 : 1;
  const length: Value = extended
    ? alu("and", load({ offset: ss7.hli }, 2), 0xff80)
    : alu("and", load({ offset: ss7.li }, 1), 0x3f);
  if (high === 0) return test(length, "eq", 0);
  const over = test(length, "gt", low * scale);
  return high === Infinity ? over : and(over, not(test(length, "gt", high * scale)));
}

/** Fields with relations: where they are, how wide, their largest value, and how a value looks in the packet. */
export function fieldTerm(c: Context, field: string, values: readonly FieldValue[]): Predicate {
  const { value: read, what, maximum, encode } = fieldRow(c, field);
  return or(
    ...values.map(({ op, value }) => {
      c.atMost(what, value, maximum);
      const [cond, negated] = RELATIONS[op];
      const found = test(read, cond, encode(value));
      return negated ? not(found) : found;
    }),
  );
}

interface FieldRow {
  readonly value: Value;
  readonly what: string;
  readonly maximum: number;
  readonly encode: (value: number) => number;
}

function fieldRow(c: Context, field: string): FieldRow {
  const same = (value: number) => value;
  if (field === "vpi" || field === "vci") {
    if (!c.layers.atm) c.unsupported(field);
    return field === "vpi"
      ? { value: load({ offset: 1 }, 1), what: "VPI", maximum: 0xff, encode: same }
      : { value: load({ offset: 2 }, 2), what: "VCI", maximum: 0xffff, encode: same };
  }
  const { ss7 } = c.layers.link;
  if (ss7 === undefined) c.unsupported(field);
  // High-speed signal units have three more bytes in front; the routing label is behind the SIO (Q.704, 14.2).
  const sio = ss7.sio + (field.startsWith("h") ? 3 : 0);
  const label = (mask: number) => alu("and", load({ offset: sio + 1 }, 4), mask);
  switch (field.replace(/^h/, "")) {
    case "sio":
      return { value: load({ offset: sio }, 1), what: field, maximum: 0xff, encode: same };
    case "opc":
      return {
        value: label(0x00c0ff0f),
        what: field,
        maximum: 0x3fff,
        encode: (v) => ((v & 0x3c00) >> 10) | ((v & 0x3fc) << 6) | ((v & 3) << 22),
      };
    case "dpc":
      return {
        value: label(0xff3f0000),
        what: field,
        maximum: 0x3fff,
        encode: (v) => ((v & 0xff) << 24) | ((v & 0x3f00) << 8),
      };
    default:
      return { value: alu("and", load({ offset: sio + 4 }, 1), 0xf0), what: field, maximum: 15, encode: (v) => v << 4 };
  }
}

// Direction and interface

const PACKET_OUTGOING = 4;

export function direction(c: Context, out: boolean): Predicate {
  const found = c.layers.link.direction;
  if (found !== undefined) return found(c.layers, out);
  const what = out ? "outbound" : "inbound";
  if (!c.live)
    c.fail(
      `not a live capture, '${what}' not supported on ${c.linkName}`,
      "capture files of this link type do not say which way a packet went",
    );
  const outgoing = test({ kind: "ancillary", k: SKF_AD_OFF + 4 }, "eq", PACKET_OUTGOING);
  return out ? outgoing : not(outgoing);
}

export function ifindex(c: Context, index: number): Predicate {
  const at = c.layers.link.ifindex;
  if (at !== undefined) return equal(behind(c.layers.header, at), 4, index);
  if (!c.live)
    c.fail(
      `not a live capture, 'ifindex' not supported on ${c.linkName}`,
      "only Linux cooked v2 files hold interface indices",
    );
  return test({ kind: "ancillary", k: SKF_AD_OFF + 8 }, "eq", index);
}
