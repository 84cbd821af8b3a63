/**
 * How each family of link layers says what it carries: "is the payload protocol P?".
 *
 * A protocol is an EtherType, or below 1501 an 802.2 SAP.  The order of the loads is libpcap's, because a load past
 * the end of the packet decides the verdict.
 */
import { HOST_LITTLE_ENDIAN } from "../base/bytes.ts";
// biome-ignore format: one line each
import {
  ETHERNET_MTU, ETHERTYPE, PPP_PROTOCOL, PPP_VJ_COMPRESSED, PPP_VJ_UNCOMPRESSED, SAP,
} from "../link/ethertypes.ts";
import type { Context } from "./context.ts";
import type { Layers } from "./layers.ts";
import {
  and,
  behind,
  bits,
  equal,
  FALSE,
  load,
  masked,
  not,
  or,
  type Predicate,
  sameBytes,
  TRUE,
  test,
} from "./predicate.ts";

/** True when the payload is protocol P; undefined where the link layer can not tell. */
export type TypeTest = (layers: Layers, proto: number, c: Context) => Predicate;

const OUI_ENCAPSULATED_ETHERNET = 0x000000;
const OUI_APPLE = 0x080007;

/** The type field, which must be there, holds a value. */
function typeIs(layers: Layers, value: number): Predicate {
  return equal(layers.type!, 2, value);
}

/** An 802.2 header for SNAP with this organisation and protocol. */
function snap(layers: Layers, oui: number, proto: number): Predicate {
  const bytes = [0xaa, 0xaa, 0x03, oui >> 16, (oui >> 8) & 0xff, oui & 0xff, proto >> 8, proto & 0xff];
  return sameBytes(layers.payload, Uint8Array.from(bytes));
}

/** DSAP and SSAP are both this one. */
function bothSaps(layers: Layers, sap: number): Predicate {
  return equal(layers.payload, 2, (sap << 8) | sap);
}

/** Type fields of Ethernet's kind: up to 1500 a length, with 802.2 behind it. */
export const ethernet: TypeTest = (layers, proto) => {
  const is8023 = not(test(load(layers.type!, 2), "gt", ETHERNET_MTU));
  const found = etherOr8022(layers, proto, is8023, "ethernet");
  return layers.tunnelled ? found : and(layers.present, found);
};

/** Linux cooked: a type field whose value 1 is raw 802.3 and 4 is 802.2. */
export const cooked: TypeTest = (layers, proto) => etherOr8022(layers, proto, typeIs(layers, 4), "cooked");

function etherOr8022(layers: Layers, proto: number, is8022: Predicate, kind: "ethernet" | "cooked"): Predicate {
  switch (proto) {
    case SAP.iso:
    case SAP.netbeui:
      return and(is8022, bothSaps(layers, proto));
    case SAP.ipx: {
      const inSnap = snap(layers, OUI_ENCAPSULATED_ETHERNET, ETHERTYPE.ipx);
      const inLlc = equal(layers.payload, 1, SAP.ipx);
      const etherII = typeIs(layers, ETHERTYPE.ipx);
      // Novell's raw 802.3 frames have no 802.2 header; their checksum field of all ones stands there.
      return kind === "ethernet"
        ? or(etherII, and(is8022, or(inSnap, inLlc, equal(layers.payload, 2, 0xffff))))
        : or(etherII, typeIs(layers, 1), and(is8022, or(inLlc, inSnap)));
    }
    case ETHERTYPE.atalk:
      return or(typeIs(layers, proto), and(is8022, snap(layers, OUI_APPLE, proto)));
    case ETHERTYPE.aarp:
      return or(typeIs(layers, proto), and(is8022, snap(layers, OUI_ENCAPSULATED_ETHERNET, proto)));
    default:
      // The DSAP is behind the type field; in a geneve packet without Ethernet the payload is elsewhere.
      return proto <= ETHERNET_MTU ? and(is8022, equal(behind(layers.type!, 2), 1, proto)) : typeIs(layers, proto);
  }
}

/** 802.2 in front of everything. */
export const llc: TypeTest = (layers, proto) => {
  switch (proto) {
    case SAP.iso:
    case SAP.netbeui:
      return bothSaps(layers, proto);
    case ETHERTYPE.atalk:
      return snap(layers, OUI_APPLE, proto);
    default:
      return proto <= ETHERNET_MTU ? equal(layers.payload, 1, proto) : equal(behind(layers.payload, 6), 2, proto);
  }
};

/** 802.11: 802.2 in data frames. */
export const wlan: TypeTest = (layers, proto, c) => and(wlanDataFrame(layers), llc(layers, proto, c));

/** Frame type 2, data, in the first byte of frame control. */
export function wlanDataFrame(layers: Layers): Predicate {
  return and(not(bits(layers.header, 1, 0x04)), bits(layers.header, 1, 0x08));
}

/** Raw ATM: 802.2 in packets that the pseudo-header marks so. */
export const atm: TypeTest = (layers, proto, c) => and(atmType(2), llc(layers, proto, c));

/** The traffic type in the SunATM pseudo-header: 1 LANE, 2 LLC. */
export function atmType(type: number): Predicate {
  return masked({ offset: 0 }, 1, 0x0f, type);
}

/** A type field that holds EtherTypes and SAPs as they are. */
export const plain: TypeTest = typeIs;

/** Cisco HDLC: EtherTypes; OSI protocols by both SAPs. */
export const chdlc: TypeTest = (layers, proto) => typeIs(layers, proto === SAP.iso ? (SAP.iso << 8) | SAP.iso : proto);

export const ppp: TypeTest = (layers, proto) => typeIs(layers, PPP_PROTOCOL.get(proto) ?? proto);

/** BSD/OS PPP: IPv4 also in its two header-compressed forms. */
export const pppBsdos: TypeTest = (layers, proto, c) =>
  proto === ETHERTYPE.ip
    ? or(...[PPP_PROTOCOL.get(proto)!, PPP_VJ_COMPRESSED, PPP_VJ_UNCOMPRESSED].map((value) => typeIs(layers, value)))
    : ppp(layers, proto, c);

/** No type field: the version number in the first byte of the packet. */
export const version: TypeTest = (layers, proto) => {
  if (proto === ETHERTYPE.ip) return masked(layers.header, 1, 0xf0, 0x40);
  return proto === ETHERTYPE.ip6 ? masked(layers.header, 1, 0xf0, 0x60) : FALSE;
};

/** Always the same protocol. */
export function always(only: number): TypeTest {
  return (_, proto) => (proto === only ? TRUE : FALSE);
}

/** AF_INET everywhere, and AF_INET6 of NetBSD and OpenBSD, FreeBSD, Darwin. */
const AF_INET = 2;
const BSD_AF_INET6 = [24, 28, 30];
const LINUX_AF_INET6 = 10;

/** BSD loopback: an address family, in network byte order or in that of the host that captured. */
export function family(order: "host" | "network"): TypeTest {
  return (layers, proto, c) => {
    if (proto !== ETHERTYPE.ip && proto !== ETHERTYPE.ip6) return FALSE;
    const families = proto === ETHERTYPE.ip ? [AF_INET] : c.live ? [LINUX_AF_INET6] : BSD_AF_INET6;
    const values = families.flatMap((af) => {
      if (order === "network") return [af];
      return c.live ? [HOST_LITTLE_ENDIAN ? af * 0x1000000 : af] : [af * 0x1000000, af];
    });
    return or(...values.map((value) => equal(layers.header, 4, value)));
  };
}

/** One byte with an address family. */
export function familyByte(at: number, inet: number, inet6: number): TypeTest {
  return (layers, proto) => {
    if (proto === ETHERTYPE.ip) return equal(behind(layers.header, at), 1, inet);
    return proto === ETHERTYPE.ip6 ? equal(behind(layers.header, at), 1, inet6) : FALSE;
  };
}

/** ARCNET system codes: RFC 1201, RFC 1051 for the old forms. */
const ARCNET_TYPES: ReadonlyMap<number, readonly number[]> = new Map([
  [ETHERTYPE.ip6, [0xc4]],
  [ETHERTYPE.ip, [0xd4, 0xf0]],
  [ETHERTYPE.arp, [0xd5, 0xf1]],
  [ETHERTYPE.rarp, [0xd6]],
  [ETHERTYPE.atalk, [0xdd]],
]);
export const arcnet: TypeTest = (layers, proto) =>
  or(...(ARCNET_TYPES.get(proto) ?? []).map((code) => equal(layers.type!, 1, code)));

/** Frame relay: the NLPID behind a two-byte address, Q.922 control in front of it. */
const FRAME_RELAY: ReadonlyMap<number, readonly number[]> = new Map([
  [ETHERTYPE.ip, [0x03cc]],
  [ETHERTYPE.ip6, [0x038e]],
  [SAP.iso, [0x0381, 0x0382, 0x0383]],
]);
export const frameRelay: TypeTest = (layers, proto) =>
  or(...(FRAME_RELAY.get(proto) ?? []).map((value) => equal(behind(layers.header, 2), 2, value)));

/** Juniper PICs: only the magic number is looked at, whatever the protocol. */
export const juniper: TypeTest = (layers) => masked(layers.header, 4, 0xffffff00, 0x4d474300);
