/**
 * IP and DECnet addresses: `host`, `net`, `src`, `dst`.
 *
 * Without a protocol an IPv4 address is looked for in IPv4, ARP and RARP packets.  A mask of 0 is no test.
 */
import { ETHERTYPE } from "../link/ethertypes.ts";
import type { Direction, Qualifiers } from "./ast.ts";
import type { Context } from "./context.ts";
import { network } from "./layers.ts";
import { and, behind, equal, masked, or, type Place, type Predicate } from "./predicate.ts";
import { linkProtocol } from "./protocols.ts";

/** Both directions in libpcap's order: source first. */
export function directed(dir: Direction | undefined, source: () => Predicate, destination: () => Predicate): Predicate {
  if (dir === "src") return source();
  if (dir === "dst") return destination();
  return dir === "src and dst" ? and(source(), destination()) : or(source(), destination());
}

/** Where IPv4, ARP and RARP have the addresses of the two hosts. */
const ADDRESSES = {
  ip: { type: ETHERTYPE.ip, source: 12, destination: 16 },
  arp: { type: ETHERTYPE.arp, source: 14, destination: 24 },
  rarp: { type: ETHERTYPE.rarp, source: 14, destination: 24 },
} as const;

/** An IPv4 address under a mask. */
export function ipHost(c: Context, address: number, mask: number, q: Qualifiers): Predicate {
  if (q.proto !== undefined && !Object.hasOwn(ADDRESSES, q.proto)) {
    const what = q.type === "net" ? "net <IPv4 prefix>" : "host <IPv4 address>";
    c.fail(`'${q.proto}' is not a valid qualifier for '${what}'`, "ip, arp, rarp and decnet are, or none");
  }
  const all = c.layers.labels > 0 ? (["ip"] as const) : (["ip", "arp", "rarp"] as const);
  const legs = q.proto === undefined ? all : [q.proto as keyof typeof ADDRESSES];
  return or(
    ...legs.map((leg) => {
      const { type, source, destination } = ADDRESSES[leg];
      const side = (offset: number) => () =>
        and(linkProtocol(c, type), wordUnderMask(network(c.layers, offset), mask, address));
      return mask === 0 ? linkProtocol(c, type) : directed(q.dir, side(source), side(destination));
    }),
  );
}

/** An IPv6 address under a mask, each four words. */
export function ipv6Host(c: Context, words: readonly number[], masks: readonly number[], q: Qualifiers): Predicate {
  if (q.proto !== undefined && q.proto !== "ip6") {
    const what = q.type === "net" ? "net <IPv6 prefix>" : "host <IPv6 address>";
    c.fail(`'${q.proto}' is not a valid qualifier for '${what}'`, "ip6 is, or none");
  }
  const side = (offset: number) => () =>
    and(
      linkProtocol(c, ETHERTYPE.ip6),
      ...words.map((word, i) => wordUnderMask(network(c.layers, offset + 4 * i), masks[i]!, word)),
    );
  return masks.every((mask) => mask === 0) ? linkProtocol(c, ETHERTYPE.ip6) : directed(q.dir, side(8), side(24));
}

function wordUnderMask(place: Place, mask: number, value: number): Predicate | undefined {
  if (mask === 0) return undefined;
  return mask === 0xffffffff ? equal(place, 4, value) : masked(place, 4, mask, value);
}

/** A DECnet phase IV address, in the four forms of its routing header: short or long, padded or not. */
export function decnetHost(c: Context, address: number, dir: Direction | undefined): Predicate {
  const value = ((address & 0xff) << 8) | (address >> 8); // low byte first in the packet
  const forms = (short: number, long: number) => () => {
    const at = (n: number) => network(c.layers, n);
    return or(
      and(masked(at(2), 1, 0x07, 0x02), equal(at(short), 2, value)),
      and(masked(at(2), 2, 0xff07, 0x8102), equal(behind(at(short), 1), 2, value)),
      and(masked(at(2), 1, 0x07, 0x06), equal(at(long), 2, value)),
      and(masked(at(2), 2, 0xff07, 0x8106), equal(behind(at(long), 1), 2, value)),
    );
  };
  return and(linkProtocol(c, ETHERTYPE.decnet), directed(dir, forms(5, 17), forms(3, 9)));
}
