/**
 * Where the next primitive finds its headers.
 *
 * The moving keywords (vlan, mpls, pppoes, geneve, vxlan, lane) change it for what is read after them, whatever the
 * parentheses.  A value of this type is never changed; the keyword makes a new one.
 */
import type { LinkLayer } from "./link-layers.ts";
import { behind, type Place, type Predicate } from "./predicate.ts";

export interface Layers {
  /** The link layer whose header is decoded now. */
  readonly link: LinkLayer;
  /** Where the link-layer header begins. */
  readonly header: Place;
  /** Where its type field is; undefined when it has none. */
  readonly type: Place | undefined;
  /** Where its payload begins: what it carries, or the 802.2 header in front of that. */
  readonly payload: Place;
  /** From the payload to the network header, in bytes; and without a SNAP header, behind 802.2. */
  readonly network: number;
  readonly noSnap: number;
  /** VLAN tags and MPLS labels passed so far. */
  readonly vlans: number;
  readonly labels: number;
  /** A test that there is a link-layer header here at all: inside tunnels and ATM LANE. */
  readonly present?: Predicate | undefined;
  /** True inside geneve and vxlan: the type field then says it all and `present` is not tested with it. */
  readonly tunnelled: boolean;
  /** True on raw ATM, also behind `lane`. */
  readonly atm: boolean;
}

/** Byte n of the network header. */
export function network(layers: Layers, n: number): Place {
  return behind(layers.payload, layers.network + n);
}

/** Byte n of the header behind the IPv4 header. */
export function transport4(layers: Layers, n: number): Place {
  const header = layers.payload.offset + layers.network;
  return { slot: layers.payload.slot, header, offset: header + n };
}

/** Byte n behind the fixed IPv6 header, 40 bytes long. */
export function transport6(layers: Layers, n: number): Place {
  return network(layers, 40 + n);
}
