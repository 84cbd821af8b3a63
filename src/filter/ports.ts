/**
 * Ports of TCP, UDP and SCTP: IPv6 first, at their place behind the fixed header; then IPv4, in first fragments.
 */
import { IP_PROTOCOL } from "../link/ip-protocols.ts";
import type { Direction } from "./ast.ts";
import type { Context } from "./context.ts";
import { afterExtensions, walk6 } from "./header-walk.ts";
import { directed } from "./hosts.ts";
import { network, transport4, transport6 } from "./layers.ts";
import { and, behind, equal, load, not, or, type Place, type Predicate, test } from "./predicate.ts";
import { firstFragment, isIPv4, isIPv6 } from "./protocols.ts";

type Transport = "tcp" | "udp" | "sctp";

/** Any port from `low` to `high`, of one transport or of all three. */
export function ports(
  c: Context,
  transport: Transport | undefined,
  low: number,
  high: number,
  dir: Direction | undefined,
): Predicate {
  c.atMost("port number", Math.max(low, high), 65535);
  const numbers = (transport === undefined ? (["sctp", "tcp", "udp"] as const) : [transport]).map(
    (t) => IP_PROTOCOL[t],
  );
  const proto = (place: Place) => or(...numbers.map((number) => equal(place, 1, number)));
  const sides = (at: Place) =>
    directed(
      dir,
      () => within(at, low, high),
      () => within(behind(at, 2), low, high),
    );
  return or(overIPv6(), and(isIPv4(c), proto(network(c.layers, 9)), firstFragment(c), sides(transport4(c.layers, 0))));

  function overIPv6(): Predicate {
    if (!c.scoped) return and(isIPv6(c), proto(network(c.layers, 6)), sides(transport6(c.layers, 0)));
    const walk = walk6(c);
    return and(isIPv6(c), afterExtensions(walk), or(...numbers.map(walk.is)), sides({ slot: walk.at, offset: 0 }));
  }
}

function within(place: Place, low: number, high: number): Predicate {
  if (low === high) return equal(place, 2, low);
  return and(test(load(place, 2), "ge", low), not(test(load(place, 2), "gt", high)));
}
