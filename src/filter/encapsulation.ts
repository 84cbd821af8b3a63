/**
 * The moving keywords: each tests for an encapsulation and moves the decoding position for what is read after it.
 */
import { SKF_AD_OFF } from "../isa/limits.ts";
import { ETHERTYPE } from "../link/ethertypes.ts";
import { IP_PROTOCOL } from "../link/ip-protocols.ts";
import type { Encapsulation } from "./ast.ts";
import type { Context } from "./context.ts";
import { network, transport4, transport6 } from "./layers.ts";
import { ethernetAt, pppAt } from "./link-layers.ts";
// biome-ignore format: one line each
import {
  alu, and, assign, behind, bits, effect, equal, load, masked, not, or, type Place, type Predicate, type Slot, test, type Value,
} from "./predicate.ts";
import { firstFragment, isIPv4, isIPv6, linkProtocol } from "./protocols.ts";
import { atmType } from "./type-tests.ts";

export function encapsulation(c: Context, what: Encapsulation, value: number | undefined): Predicate {
  switch (what) {
    case "vlan":
      return vlan(c, value);
    case "mpls":
      return mpls(c, value);
    case "pppoed":
      return linkProtocol(c, ETHERTYPE.pppoed);
    case "pppoes":
      return pppoes(c, value);
    case "geneve":
      if (value !== undefined) c.atMost("Geneve VNI", value, 0xffffff);
      return tunnel(c, GENEVE, value);
    case "vxlan":
      if (value !== undefined) c.atMost("VXLAN VNI", value, 0xffffff);
      return tunnel(c, VXLAN, value);
  }
}

// VLAN tags

const TAG_BYTES = 4;

function vlan(c: Context, id: number | undefined): Predicate {
  if (c.layers.labels > 0) c.fail("no VLAN match after MPLS");
  if (!c.layers.link.vlan) c.unsupported("vlan");
  if (id !== undefined) c.atMost("VLAN tag", id, 4095);
  const ofTags = or(
    linkProtocol(c, ETHERTYPE.vlan),
    linkProtocol(c, ETHERTYPE.vlan8021ad),
    linkProtocol(c, ETHERTYPE.vlanQinQ),
  );
  const inBand = and(ofTags, id === undefined ? undefined : masked(network(c.layers, 0), 2, 0x0fff, id));
  const { layers } = c;
  if (c.live && layers.vlans === 0 && layers.header.slot === undefined && !layers.tunnelled)
    return liveVlan(c, inBand, id);
  c.layers = {
    ...layers,
    type: layers.type && behind(layers.type, layers.link.wlan ? 0 : TAG_BYTES),
    payload: behind(layers.payload, TAG_BYTES),
    vlans: layers.vlans + 1,
  };
  return inBand;
}

/**
 * On Linux the outer tag of a packet just captured is not in the packet but beside it.  Whether there is one decides
 * where everything behind it is, so those positions become run-time values: 0 or 4 bytes further on.
 */
function liveVlan(c: Context, inBand: Predicate, id: number | undefined): Predicate {
  const { layers } = c;
  const shift: Slot = c.slot("tag bytes");
  const tci: Value = { kind: "ancillary", k: SKF_AD_OFF + 44 };
  const present: Value = { kind: "ancillary", k: SKF_AD_OFF + 48 };
  const beside = and(
    test(present, "eq", 1),
    assign(shift, { kind: "number", k: 0 }),
    id === undefined ? undefined : test(alu("and", tci, 0x0fff), "eq", id),
  );
  const inside = and(not(test(present, "eq", 1)), assign(shift, { kind: "number", k: TAG_BYTES }), inBand);
  const moved = (place: Place): Place => ({ slot: shift, offset: place.offset });
  c.layers = {
    ...layers,
    type: layers.type && moved(layers.type),
    payload: moved(layers.payload),
    vlans: layers.vlans + 1,
  };
  return or(beside, inside);
}

// MPLS labels and PPPoE sessions

function mpls(c: Context, label: number | undefined): Predicate {
  const { layers } = c;
  if (layers.labels === 0 && layers.link.mpls === undefined) c.unsupported("mpls");
  if (label !== undefined) c.atMost("MPLS label", label, 0xfffff);
  const bottomOfStack = masked(network(layers, -2), 1, 0x01, 0);
  const found = layers.labels > 0 ? bottomOfStack : linkProtocol(c, layers.link.mpls!);
  const wanted = label === undefined ? undefined : masked(network(layers, 0), 4, 0xfffff000, label << 12);
  c.layers = { ...layers, network: layers.network + 4, noSnap: layers.noSnap + 4, labels: layers.labels + 1 };
  return and(found, wanted);
}

/** Bytes of a PPPoE session header (RFC 2516); PPP's protocol field is behind it. */
const PPPOE_HEADER = 6;

function pppoes(c: Context, session: number | undefined): Predicate {
  if (session !== undefined) c.atMost("PPPoE session number", session, 0xffff);
  const found = linkProtocol(c, ETHERTYPE.pppoes);
  const wanted = session === undefined ? undefined : masked(network(c.layers, 0), 4, 0x0000ffff, session);
  c.layers = { ...c.layers, ...pppAt(network(c.layers, PPPOE_HEADER)), tunnelled: false, present: undefined };
  return and(found, wanted);
}

/** `lane` on raw ATM: Ethernet inside, behind two bytes of LANE header. */
export function lane(c: Context): Predicate {
  if (!c.layers.atm) c.unsupported("lane");
  const control = equal({ offset: 4 }, 2, 0xff00);
  c.layers = { ...c.layers, ...ethernetAt({ offset: 6 }), present: not(control), tunnelled: false };
  return atmType(1);
}

// UDP tunnels

interface Tunnel {
  readonly port: number;
  /** Conditions on the header behind UDP, which begins at `at`. */
  readonly header: (at: Place) => Predicate;
  /** Offset of the network identifier, the upper 24 bits of a word. */
  readonly vni: number;
  /** Stores where the inner headers are. */
  readonly inner: (slots: Inner) => Predicate;
}

interface Inner {
  /** The header of the tunnel itself. */
  readonly tunnel: Slot;
  readonly header: Slot;
  readonly type: Slot;
  readonly payload: Slot;
}

const read = (slot: Slot): Value => ({ kind: "slot", slot });
const plus = (value: Value, n: number): Value => alu("add", value, n);
const UDP_HEADER = 8;

/** RFC 8926: a header of 8 bytes and options; the payload is Ethernet, or what the protocol field says. */
const GENEVE: Tunnel = {
  port: 6081,
  header: (at) => masked(at, 1, 0xc0, 0),
  vni: 4,
  inner: ({ tunnel, header, type, payload }) => {
    const options = alu("mul", alu("and", load({ slot: tunnel, offset: 0 }, 1), 0x3f), 4);
    const isEthernet = equal({ slot: tunnel, offset: 2 }, 2, ETHERTYPE.transparentEthernet);
    return and(
      assign(type, plus(read(tunnel), 2)),
      assign(header, alu("add", plus(options, 8), read(tunnel))),
      assign(payload, read(header)),
      effect(isEthernet, assign(type, plus(read(header), 12)), assign(payload, plus(read(header), 14))),
    );
  },
};

/** RFC 7348: a header of 8 bytes whose I flag is set; Ethernet inside. */
const VXLAN: Tunnel = {
  port: 4789,
  header: (at) => bits(at, 1, 0x08),
  vni: 4,
  inner: ({ tunnel, header, type, payload }) =>
    and(
      assign(header, plus(read(tunnel), 8)),
      assign(type, plus(read(header), 12)),
      assign(payload, plus(read(header), 14)),
    ),
};

function tunnel(c: Context, kind: Tunnel, vni: number | undefined): Predicate {
  const inner = {
    tunnel: c.slot("tunnel"),
    header: c.slot("inner header"),
    type: c.slot("inner type"),
    payload: c.slot("inner payload"),
  };
  const check = (port: Place, at: Place) =>
    and(
      equal(port, 2, kind.port),
      kind.header(at),
      vni === undefined ? undefined : masked(behind(at, kind.vni), 4, 0xffffff00, vni << 8),
      assign(inner.tunnel, { kind: "place", place: at }),
    );
  const { layers } = c;
  const v4 = and(
    isIPv4(c),
    equal(network(layers, 9), 1, IP_PROTOCOL.udp),
    firstFragment(c),
    check(transport4(layers, 2), transport4(layers, UDP_HEADER)),
  );
  const v6 = and(
    isIPv6(c),
    equal(network(layers, 6), 1, IP_PROTOCOL.udp),
    check(transport6(layers, 2), transport6(layers, UDP_HEADER)),
  );
  const at = (slot: Slot): Place => ({ slot, offset: 0 });
  c.layers = {
    ...layers,
    ...ethernetAt(at(inner.header)),
    type: at(inner.type),
    payload: at(inner.payload),
    noSnap: layers.noSnap,
    labels: layers.labels,
    tunnelled: true,
    present: not(test(read(inner.header), "eq", read(inner.payload))),
  };
  return and(or(v4, v6), kind.inner(inner));
}
