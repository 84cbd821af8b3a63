/**
 * Protocol numbers of link layers: EtherTypes, 802.2 SAPs, PPP protocols, NLPIDs.
 *
 * Sources: IEEE RA EtherType registry; IEEE 802.2 SAPs; IANA PPP DLL protocol numbers; ISO/IEC TR 9577.
 */

// biome-ignore format: a table
export const ETHERTYPE = Object.freeze({
  ip: 0x0800, arp: 0x0806, rarp: 0x8035, ip6: 0x86dd,
  vlan: 0x8100, vlan8021ad: 0x88a8, vlanQinQ: 0x9100,
  mpls: 0x8847, pppoed: 0x8863, pppoes: 0x8864,
  moprc: 0x6002, mopdl: 0x6001, decnet: 0x6003, lat: 0x6004, sca: 0x6007,
  atalk: 0x809b, aarp: 0x80f3, ipx: 0x8137, ns: 0x0600,
  lldp: 0x88cc, loopback: 0x9000, slow: 0x8809,
  transparentEthernet: 0x6558,
} as const);

/** Largest value of an Ethernet type field that is a length (IEEE 802.3). */
export const ETHERNET_MTU = 1500;

/** 802.2 service access points. */
export const SAP = Object.freeze({ stp: 0x42, ipx: 0xe0, netbeui: 0xf0, iso: 0xfe, global: 0xff } as const);

/** PPP protocol numbers, by the EtherType or SAP of the same protocol. */
// biome-ignore format: a table
export const PPP_PROTOCOL: ReadonlyMap<number, number> = new Map([
  [ETHERTYPE.ip, 0x21], [ETHERTYPE.ip6, 0x57], [ETHERTYPE.decnet, 0x27], [ETHERTYPE.atalk, 0x29],
  [ETHERTYPE.ns, 0x25], [SAP.iso, 0x23], [SAP.stp, 0x31], [SAP.ipx, 0x2b],
]);
/** PPP: MPLS unicast, and the two kinds of compressed TCP/IP. */
export const PPP_MPLS = 0x281;
export const PPP_VJ_COMPRESSED = 0x2d;
export const PPP_VJ_UNCOMPRESSED = 0x2f;

/** Network layer protocol identifiers of the OSI protocols (ISO/IEC TR 9577). */
export const NLPID = Object.freeze({ clnp: 0x81, esis: 0x82, isis: 0x83 } as const);
