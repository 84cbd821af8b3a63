/**
 * Names in expressions: what the tables know, and what a resolver may add.
 *
 * Protocol and service names come from tables; host, network and MAC names have none and need a resolver.
 */
import { ETHERTYPE, NLPID, SAP } from "../link/ethertypes.ts";
import { ipProtocolByName } from "../link/ip-protocols.ts";
import { type Service, serviceByName, type Transport } from "../link/services.ts";
import type { Context } from "./context.ts";

/**
 * Answers for names, each function optional and synchronous; undefined means unknown.  A resolver is asked before the
 * tables for services and protocols.
 */
export interface Resolver {
  /** Addresses of a host, IPv4 and IPv6, as text; at most 100 of each family are used. */
  host?(name: string): readonly string[] | undefined;
  /** A network as text: `10`, `192.168` or `10.0.0.0/8`. */
  net?(name: string): string | undefined;
  /** A MAC address, `aa:bb:cc:dd:ee:ff`. */
  ether?(name: string): string | undefined;
  service?(name: string): Service | undefined;
  /** An IP protocol number. */
  protocol?(name: string): number | undefined;
}

const NO_RESOLVER = "no resolver is given; pass `resolver`, or write the address";

/** A port and the transport it is for; undefined: any of TCP, UDP and SCTP. */
export function portByName(
  c: Context,
  name: string,
  unknown = `unknown port '${name}'`,
): { port: number; transport: Transport | undefined } {
  const service = c.resolver.service?.(name) ?? serviceByName(name);
  const { tcp, udp, sctp } = service ?? {};
  if (tcp !== undefined) return { port: tcp, transport: udp === tcp ? undefined : "tcp" };
  if (udp !== undefined) return { port: udp, transport: "udp" };
  if (sctp !== undefined) return { port: sctp, transport: "sctp" };
  return c.unknown(unknown, hyphenAdvice(name) ?? "the service is in no table; write its number");
}

export function ipProtocolNumber(c: Context, name: string): number {
  const number = c.resolver.protocol?.(name) ?? ipProtocolByName(name);
  return number ?? c.unknown(`unknown 'ip proto' value '${name}'`, "the protocol is in no table; write its number");
}

// biome-ignore format: a table
const LINK_PROTOCOLS: Readonly<Record<string, number>> = {
  aarp: ETHERTYPE.aarp, arp: ETHERTYPE.arp, atalk: ETHERTYPE.atalk, decnet: ETHERTYPE.decnet, ip: ETHERTYPE.ip,
  ip6: ETHERTYPE.ip6, lat: ETHERTYPE.lat, lldp: ETHERTYPE.lldp, loopback: ETHERTYPE.loopback, mopdl: ETHERTYPE.mopdl,
  moprc: ETHERTYPE.moprc, rarp: ETHERTYPE.rarp, sca: ETHERTYPE.sca, slow: ETHERTYPE.slow,
  iso: SAP.iso, stp: SAP.stp, ipx: SAP.ipx, netbeui: SAP.netbeui,
};

export function linkProtocolNumber(c: Context, name: string): number {
  if (Object.hasOwn(LINK_PROTOCOLS, name)) return LINK_PROTOCOLS[name]!;
  return c.unknown(`unknown 'ether proto' value '${name}'`, `known names: ${Object.keys(LINK_PROTOCOLS).join(" ")}`);
}

export function isoProtocolNumber(c: Context, name: string): number {
  const table: Readonly<Record<string, number>> = NLPID;
  if (Object.hasOwn(table, name)) return table[name]!;
  return c.unknown(`unknown 'iso proto' value '${name}'`, "known names: clnp esis isis");
}

/** Addresses of a host name, at most 100 of each family. */
export function hostAddresses(c: Context, name: string): { ipv4: string[]; ipv6: string[] } {
  const found = c.resolver.host?.(name) ?? [];
  if (found.length === 0) {
    c.unknown(
      `unknown host '${name}'`,
      hyphenAdvice(name) ?? (c.resolver.host === undefined ? NO_RESOLVER : undefined),
    );
  }
  const unique = [...new Set(found)];
  return {
    ipv4: unique.filter((address) => !address.includes(":")).slice(0, 100),
    ipv6: unique.filter((address) => address.includes(":")).slice(0, 100),
  };
}

export function netByName(c: Context, name: string): string {
  const found = c.resolver.net?.(name);
  return found ?? c.unknown(`unknown network '${name}'`, c.resolver.net === undefined ? NO_RESOLVER : undefined);
}

export function etherByName(c: Context, name: string): string {
  const found = c.resolver.ether?.(name);
  return (
    found ?? c.unknown(`unknown Ethernet-like host '${name}'`, c.resolver.ether === undefined ? NO_RESOLVER : undefined)
  );
}

function hyphenAdvice(name: string): string | undefined {
  const glued = /^(\d+)(and|or)$/.exec(name);
  if (glued !== null) return `write a space: "${glued[1]} ${glued[2]}"`;
  return /^\d+-\d+$/.test(name) ? `did you mean "portrange ${name}"?` : undefined;
}
