/**
 * Following a chain of extension headers without a loop: unrolled, so that the Linux kernel takes the program.
 *
 * libpcap jumps backward here, which kernels refuse.  A chain longer than {@link DEPTH} headers ends unfollowed.
 * Formats: RFC 8200 section 4 (hop-by-hop, routing, destination options, fragment), RFC 4302 (AH).
 */
import { IP_PROTOCOL } from "../link/ip-protocols.ts";
import type { Context } from "./context.ts";
import { network } from "./layers.ts";
// biome-ignore format: one line each
import {
  alu, and, assign, effect, load, masked, not, or, type Place, type Predicate, type Slot, test, type Value,
} from "./predicate.ts";

/** Most headers that are followed. */
export const DEPTH = 6;

/** A walk's state in scratch memory. */
export interface Walk {
  /** Number of the header reached. */
  readonly next: Slot;
  /** Where that header begins, from byte 0 of the packet. */
  readonly at: Slot;
  /** Sets both to the first header behind IP. */
  readonly begin: Predicate;
  /** Tells which headers can be stepped over. */
  readonly ipv6: boolean;
  /** Holds the next header's number while `at` still points to this one. */
  readonly kept: Slot;
  /** The header reached is this one. */
  is(proto: number): Predicate;
}

export function walk6(c: Context): Walk {
  return walk(c, true, load(network(c.layers, 6), 1), network(c.layers, 40));
}

export function walk4(c: Context): Walk {
  const header = c.layers.payload.offset + c.layers.network;
  return walk(c, false, load(network(c.layers, 9), 1), { slot: c.layers.payload.slot, header, offset: header });
}

function walk(c: Context, ipv6: boolean, first: Value, start: Place): Walk {
  const [next, at, kept] = [c.slot("next header"), c.slot("header position"), c.slot("next header, kept")];
  return {
    next,
    at,
    kept,
    ipv6,
    begin: and(assign(next, first), assign(at, { kind: "place", place: start })),
    is: (proto) => test(read(next), "eq", proto),
  };
}

/** Steps over extension headers until one is none, or is `until`, or {@link DEPTH} are passed.  Always true. */
export function afterExtensions(walk: Walk, until?: number): Predicate {
  const { next, at, ipv6 } = walk;
  const step = (length: Value) =>
    and(
      assign(walk.kept, load({ slot: at, offset: 0 }, 1)),
      assign(at, alu("add", length, read(at))),
      assign(next, read(walk.kept)),
    );
  const units = (more: number, size: number) => alu("mul", alu("add", load({ slot: at, offset: 1 }, 1), more), size);
  const isOne = (...protos: number[]) => or(...protos.map((proto) => test(read(next), "eq", proto)));
  const { "ipv6-opts": options, "ipv6-route": route, "ipv6-frag": fragment, hopopt, ah } = IP_PROTOCOL;
  // A later fragment has no further headers: the walk ends in front of it, unless libpcap's meaning is wanted.
  const firstFragment = masked({ slot: at, offset: 2 }, 2, 0xfff8, 0);
  const skipped =
    until === undefined
      ? or(isOne(hopopt, options, route), and(isOne(fragment), firstFragment))
      : isOne(hopopt, options, route, fragment);
  const hop = or(ipv6 ? and(skipped, step(units(1, 8))) : undefined, and(isOne(ah), step(units(2, 4))));
  const steps: Predicate[] = [];
  for (let i = 0; i < DEPTH; i++) {
    if (until !== undefined) steps.push(not(isOne(until)));
    steps.push(hop);
  }
  return and(walk.begin, effect(and(...steps)));
}

function read(slot: Slot): Value {
  return { kind: "slot", slot };
}
