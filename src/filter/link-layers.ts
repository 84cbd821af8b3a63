/**
 * The link layers: for each where its type field and payload are, and what it can do.
 *
 * This is the only list of link types in the compiler.  A link type that is not here supports `link[]`, `byte` and
 * `len`, which need to know nothing.
 */
import { ETHERTYPE, PPP_MPLS } from "../link/ethertypes.ts";
import { linktypeRow } from "../link/linktypes.ts";
import type { Layers } from "./layers.ts";
import type { Predicate, Slot } from "./predicate.ts";
import { alu, and, assign, behind, bits, effect, equal, load, masked, not, number, or } from "./predicate.ts";
import * as type from "./type-tests.ts";

export interface LinkLayer {
  /** DLT_* number, as on Linux. */
  readonly dlt: number;
  /** `DLT_EN10MB (Ethernet)`, for messages. */
  readonly title: string;
  /** Offset of the link-layer header, behind what the capturing system put in front; 0 when left out. */
  readonly header?: number;
  /** Offset of the type field; left out when there is none. */
  readonly type?: number;
  /** Offset of the payload. */
  readonly payload: number;
  /** From there to the network header, and to that of protocols without SNAP, in bytes; 0 when left out. */
  readonly network?: number;
  readonly noSnap?: number;
  /** "Is the payload protocol P?"; left out when the link layer can not tell. */
  readonly carries?: type.TypeTest;
  /** MAC addresses, relative to the header. */
  readonly mac?: { readonly source: number; readonly destination: number };
  /** 802.11: addresses depend on the frame; types, subtypes and directions. */
  readonly wlan?: true;
  /** One-byte addresses, relative to the header, and the one that all stations listen to. */
  readonly shortMac?: { readonly source: number; readonly destination: number; readonly broadcast: number };
  /** VLAN tags may follow. */
  readonly vlan?: true | undefined;
  /** The type value of MPLS. */
  readonly mpls?: number;
  /** What makes a frame an 802.2 one. */
  readonly llc?: "length" | "always" | "wlan" | "atm" | undefined;
  /** The frame was seen going out, or coming in. */
  readonly direction?: (layers: Layers, out: boolean) => Predicate;
  /** Offset of the interface index, 4 bytes. */
  readonly ifindex?: number;
  /** OSI protocols: the byte that names one, relative to `noSnap`; frame relay has it in the header. */
  readonly osi?: number | "frame relay";
  /** A header in front whose length is in it. */
  readonly preamble?: "radiotap" | "prism" | "avs" | "ppi";
  /** The payload begins where this says, when that is not a constant. */
  readonly start?: (slot: { name: string }, header: Slot | undefined) => Predicate;
  /** A condition on every packet. */
  readonly only?: Predicate;
  /** Radio information: `radio[...]` is the packet from byte 0. */
  readonly radio?: true;
  readonly pflog?: true;
  readonly atm?: true;
  /** SS7: offsets of the length indicator, its extended form, and the service information octet. */
  readonly ss7?: { readonly li: number; readonly hli: number; readonly sio: number };
}

type Row = Omit<LinkLayer, "dlt" | "title">;

// Directions

/** A field is the one value going out, the other coming in. */
function field(at: number, size: 1 | 2, out: number, incoming: number): NonNullable<LinkLayer["direction"]> {
  return (layers, isOut) => equal(behind(layers.header, at), size, isOut ? out : incoming);
}

/** A field is this value going out, and anything else coming in. */
function outgoing(at: number, size: 1 | 2, out: number): NonNullable<LinkLayer["direction"]> {
  return (layers, isOut) => {
    const test = equal(behind(layers.header, at), size, out);
    return isOut ? test : not(test);
  };
}

const cookedDirection = outgoing(0, 2, 4);
const juniperDirection: NonNullable<LinkLayer["direction"]> = (layers, out) =>
  masked(behind(layers.header, 3), 1, 0x01, out ? 0 : 1);
const slipDirection: NonNullable<LinkLayer["direction"]> = (layers, out) => {
  const test = equal(layers.header, 1, 0);
  return out ? not(test) : test;
};

// Families

const ethernet: Row = {
  type: 12,
  payload: 14,
  noSnap: 3,
  carries: type.ethernet,
  mac: { source: 6, destination: 0 },
  vlan: true,
  mpls: ETHERTYPE.mpls,
  llc: "length",
};
const shiftedEthernet = (by: number): Row => ({ ...ethernet, header: by, type: 12 + by, payload: 14 + by });
const ppp: Row = { type: 2, payload: 4, carries: type.ppp };
const raw: Row = { payload: 0, carries: type.version };
const wlan: Row = {
  payload: 24,
  network: 8,
  noSnap: 3,
  carries: type.wlan,
  wlan: true,
  vlan: true,
  llc: "wlan",
  start: (slot, header) => wlanPayload(slot, header, false),
};
const juniper = (network: number, noSnap: number): Row => ({
  payload: 0,
  network,
  noSnap,
  carries: type.juniper,
  direction: juniperDirection,
});
const ARCNET = { source: 0, destination: 1, broadcast: 0 };
/** PICs whose payload libpcap does not know: it computes with two unset offsets of -1. */
const JUNIPER_UNKNOWN = juniper(-2, -2);

// biome-ignore format: a table
const ROWS: Readonly<Record<string, Row>> = {
  NULL: { type: 0, payload: 4, carries: type.family("host") },
  EN10MB: ethernet,
  IEEE802: { type: 14, payload: 14, network: 8, noSnap: 3, carries: type.llc, mac: { source: 8, destination: 2 }, llc: "always" },
  ARCNET: { type: 2, payload: 6, carries: type.arcnet, shortMac: ARCNET },
  SLIP: { ...raw, payload: 16, direction: slipDirection },
  PPP: { ...ppp, mpls: PPP_MPLS },
  FDDI: { type: 13, payload: 13, network: 8, noSnap: 3, carries: type.llc, mac: { source: 7, destination: 1 }, llc: "always" },
  ATM_RFC1483: { type: 0, payload: 0, network: 8, noSnap: 3, carries: type.llc, llc: "always" },
  RAW: raw,
  SLIP_BSDOS: { ...raw, payload: 24 },
  PPP_BSDOS: { type: 5, payload: 24, carries: type.pppBsdos },
  ATM_CLIP: { type: 0, payload: 0, network: 8, noSnap: 3, carries: type.llc },
  PPP_SERIAL: ppp,
  PPP_ETHER: { ...ppp, type: 6, payload: 8 },
  SYMANTEC_FIREWALL: { type: 6, payload: 44, carries: type.plain },
  C_HDLC: { type: 2, payload: 4, carries: type.chdlc, mpls: ETHERTYPE.mpls, osi: 1 },
  IEEE802_11: wlan,
  FRELAY: { payload: 0, carries: type.frameRelay, osi: "frame relay" },
  LOOP: { type: 0, payload: 4, carries: type.family("network") },
  ENC: { type: 0, payload: 12, carries: type.family("host") },
  LINUX_SLL: { type: 14, payload: 16, carries: type.cooked, direction: cookedDirection },
  LTALK: { payload: 0, carries: type.always(ETHERTYPE.atalk) },
  PFLOG: { payload: 0, carries: type.familyByte(1, 2, 10), direction: field(60, 1, 2, 1), pflog: true, start: pflogPayload },
  PRISM_HEADER: { ...wlan, preamble: "prism", radio: true },
  IP_OVER_FC: { type: 16, payload: 16, network: 8, noSnap: 3, carries: type.llc, mac: { source: 10, destination: 2 } },
  SUNATM: { type: 4, payload: 4, network: 8, noSnap: 3, carries: type.atm, atm: true, llc: "atm" },
  IEEE802_11_RADIO: { ...wlan, preamble: "radiotap", radio: true, start: (slot, header) => wlanPayload(slot, header, true) },
  ARCNET_LINUX: { type: 4, payload: 8, carries: type.arcnet, shortMac: ARCNET },
  JUNIPER_MLPPP: juniper(4, 3), JUNIPER_MLFR: juniper(4, 3), JUNIPER_ES: JUNIPER_UNKNOWN, JUNIPER_GGSN: juniper(12, 11), JUNIPER_MFR: juniper(4, 3),
  JUNIPER_ATM2: juniper(8, 18), JUNIPER_SERVICES: JUNIPER_UNKNOWN, JUNIPER_ATM1: juniper(4, 14),
  APPLE_IP_OVER_IEEE1394: { type: 16, payload: 18, carries: type.plain },
  MTP2_WITH_PHDR: { payload: 0, ss7: { li: 6, hli: 8, sio: 7 } },
  MTP2: { payload: 0, ss7: { li: 2, hli: 4, sio: 3 } },
  IEEE802_11_RADIO_AVS: { ...wlan, preamble: "avs", radio: true },
  JUNIPER_MONITOR: juniper(12, 11),
  BACNET_MS_TP: { payload: 0, shortMac: { source: 4, destination: 3, broadcast: 0xff } },
  PPP_PPPD: { ...ppp, direction: field(0, 1, 1, 0) },
  JUNIPER_PPPOE: juniper(32, 35), JUNIPER_PPPOE_ATM: juniper(6, 5), JUNIPER_ETHER: juniper(32, 35), JUNIPER_PPP: juniper(4, 3), JUNIPER_FRELAY: juniper(4, 3),
  JUNIPER_CHDLC: juniper(4, 3), JUNIPER_VP: JUNIPER_UNKNOWN,
  PPI: { ...wlan, preamble: "ppi", only: equal({ offset: 4 }, 4, 0x69000000), vlan: undefined },
  JUNIPER_ISM: JUNIPER_UNKNOWN,
  ERF: { payload: 0, ss7: { li: 22, hli: 24, sio: 23 } },
  JUNIPER_ST: JUNIPER_UNKNOWN,
  IPNET: { type: 1, payload: 24, noSnap: -1, carries: type.familyByte(1, 2, 26), direction: field(2, 2, 1, 2) },
  IPV4: { payload: 0, carries: type.always(ETHERTYPE.ip) },
  IPV6: { payload: 0, carries: type.always(ETHERTYPE.ip6) },
  JUNIPER_VS: JUNIPER_UNKNOWN, JUNIPER_SRX_E2E: JUNIPER_UNKNOWN, JUNIPER_FIBRECHANNEL: JUNIPER_UNKNOWN, JUNIPER_ATM_CEMIC: JUNIPER_UNKNOWN,
  NETANALYZER: { ...shiftedEthernet(4), llc: undefined },
  NETANALYZER_TRANSPARENT: { ...shiftedEthernet(12), llc: undefined },
  LINUX_SLL2: { type: 0, payload: 20, carries: type.plain, direction: outgoing(10, 1, 4), ifindex: 4 },
  DSA_TAG_BRCM: { ...ethernet, type: 16, payload: 18 },
  DSA_TAG_DSA: { ...ethernet, type: 16, payload: 18 },
};

/** The row of a link type, by its DLT_* or LINKTYPE_* number. */
export function linkLayer(linktype: number): LinkLayer {
  const known = linktypeRow(linktype);
  const dlt = known?.dlt ?? linktype;
  const row = known !== undefined && Object.hasOwn(ROWS, known.name) ? ROWS[known.name]! : { payload: 0 };
  const about = known?.description === undefined ? "" : ` (${known.description})`;
  return { dlt, title: `DLT_${known?.name ?? dlt}${about}`, ...row };
}

/** Where everything is at the start of a packet. */
export function outermost(link: LinkLayer): Layers {
  const header = link.preamble === undefined ? undefined : headerSlot(link.preamble);
  const place = header === undefined ? { offset: link.header ?? 0 } : { slot: header, offset: 0 };
  const payload =
    link.start === undefined ? { offset: link.payload } : { slot: startSlot(link.start, header), offset: 0 };
  return {
    link,
    header: place,
    type: link.type === undefined ? undefined : { offset: link.type },
    payload,
    network: link.network ?? 0,
    noSnap: link.noSnap ?? 0,
    vlans: 0,
    labels: 0,
    tunnelled: false,
    atm: link.atm === true,
  };
}

/** Ethernet that begins at a place, inside something else. */
export function ethernetAt(
  header: Layers["header"],
): Pick<Layers, "link" | "header" | "type" | "payload" | "network" | "noSnap"> {
  const link = linkLayer(1);
  return { link, header, type: behind(header, 12), payload: behind(header, 14), network: 0, noSnap: 3 };
}

/** PPP's protocol field at a place. */
export function pppAt(
  header: Layers["header"],
): Pick<Layers, "link" | "header" | "type" | "payload" | "network" | "noSnap"> {
  return { link: linkLayer(9), header, type: header, payload: behind(header, 2), network: 0, noSnap: 0 };
}

// Positions that depend on the packet

function startSlot(start: NonNullable<LinkLayer["start"]>, header: Slot | undefined): Slot {
  const slot: { name: string; definition?: Predicate; after: Slot | undefined } = { name: "payload", after: header };
  slot.definition = start(slot, header);
  return slot;
}

/** Where the 802.11 header begins, behind a header of radio information. */
function headerSlot(preamble: NonNullable<LinkLayer["preamble"]>): Slot {
  const slot: { name: string; definition?: Predicate } = { name: "802.11 header" };
  const word = (offset: number) => load({ offset }, 4);
  switch (preamble) {
    case "radiotap":
    case "ppi": // a 16-bit length, low byte first
      slot.definition = assign(slot, alu("or", alu("lsh", load({ offset: 3 }, 1), 8), load({ offset: 2 }, 1)));
      break;
    case "avs":
      slot.definition = assign(slot, word(4));
      break;
    case "prism": // an AVS header in disguise has its length at 4, a real Prism header has 144 bytes
      slot.definition = and(
        assign(slot, number(144)),
        effect(masked({ offset: 0 }, 4, 0xfffff000, 0x80211000), assign(slot, word(4))),
      );
  }
  return slot;
}

/** Behind the 802.11 header: 24 bytes, 26 in QoS data frames; radiotap says when data frames are padded to 4 bytes. */
function wlanPayload(slot: Slot, header: Slot | undefined, radiotap: boolean): Predicate {
  const control = { slot: header, offset: 0 };
  const dataFrame = and(bits(control, 1, 0x08), not(bits(control, 1, 0x04)));
  const more = [effect(bits(control, 1, 0x80), assign(slot, alu("add", { kind: "slot", slot }, 2)))];
  if (radiotap) {
    // The flags field is there, there is no second word of presence bits, and where it is depends on TSFT.
    const padded = and(
      bits({ offset: 4 }, 4, 0x02000000),
      not(bits({ offset: 4 }, 4, 0x00000080)),
      or(
        and(bits({ offset: 4 }, 4, 0x01000000), bits({ offset: 16 }, 1, 0x20)),
        and(not(bits({ offset: 4 }, 4, 0x01000000)), bits({ offset: 8 }, 1, 0x20)),
      ),
    );
    const rounded = alu("and", alu("add", { kind: "slot", slot }, 3), 0xfffffffc);
    more.push(effect(padded, assign(slot, rounded)));
  }
  return and(assign(slot, { kind: "place", place: { slot: header, offset: 24 } }), effect(dataFrame, ...more));
}

/** Behind the pflog header, whose length is in its first byte, padded to a multiple of 4. */
function pflogPayload(slot: Slot): Predicate {
  return assign(slot, alu("and", alu("add", load({ offset: 0 }, 1), 3), 0xfffffffc));
}
