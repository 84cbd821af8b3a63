/**
 * Link-layer addresses: `ether host`, `broadcast`, `multicast`, and those of 802.11 and ARCNET.
 *
 * 802.11 has up to four addresses whose roles depend on the frame type and the ToDS and FromDS bits
 * (IEEE 802.11-2020, 9.2.4.1.4 and table 9-30).
 */
import type { Direction } from "./ast.ts";
import type { Context } from "./context.ts";
import { directed } from "./hosts.ts";
import { network } from "./layers.ts";
import { and, behind, bits, equal, masked, not, or, type Place, type Predicate, sameBytes } from "./predicate.ts";
import { isIPv4, isIPv6 } from "./protocols.ts";

const BROADCAST = new Uint8Array(6).fill(0xff);
const WHERE = "ethernet/FDDI/token ring/802.11/ATM LANE/Fibre Channel";

/** A MAC-48 address as source, destination or both. */
export function macHost(c: Context, mac: Uint8Array, dir: Direction | undefined): Predicate {
  const { link, header, present } = c.layers;
  if (link.wlan) return wlanHost(c, mac, dir);
  if (dir?.startsWith("addr") || dir === "ra" || dir === "ta") {
    c.fail(`'${dir}' is valid for 802.11 syntax only`, `this link type is ${c.linkName}`);
  }
  const at = link.mac;
  if (at === undefined) {
    c.fail(`'link host' not supported on ${c.linkName}`, `ethernet addresses supported only on ${WHERE}`);
  }
  const side = (offset: number) => () => sameBytes(behind(header, offset), mac);
  return and(present, directed(dir, side(at.source), side(at.destination)));
}

/** A one-byte address, on link types that have them. */
export function shortMacHost(c: Context, address: number, dir: Direction | undefined): Predicate {
  const at = c.layers.link.shortMac!;
  const side = (offset: number) => () => equal(behind(c.layers.header, offset), 1, address);
  return directed(dir, side(at.source), side(at.destination));
}

/** `broadcast`, `ether broadcast`, `ip broadcast`. */
export function broadcast(c: Context, proto: string | undefined): Predicate {
  if (proto === "ip") {
    const { netmask } = c;
    if (netmask === undefined) {
      c.fail("netmask not known, so 'ip broadcast' not supported", "give the `netmask` option, a u32 as in 0xffffff00");
    }
    const host = ~netmask >>> 0;
    const destination = network(c.layers, 16);
    return and(isIPv4(c), or(masked(destination, 4, host, 0), masked(destination, 4, host, host)));
  }
  if (proto !== undefined && proto !== "link") {
    c.fail(`'${proto}' is not a valid qualifier for 'broadcast'`, "only link-layer/IP broadcast filters supported");
  }
  const { link, header, present } = c.layers;
  if (link.shortMac !== undefined) return equal(behind(header, link.shortMac.destination), 1, link.shortMac.broadcast);
  if (link.wlan) return wlanHost(c, BROADCAST, "dst");
  if (link.mac === undefined) c.fail(`'broadcast' not supported on ${c.linkName}`, "not a broadcast link");
  return and(present, sameBytes(behind(header, link.mac.destination), BROADCAST));
}

/** `multicast`, `ether multicast`, `ip multicast`, `ip6 multicast`. */
export function multicast(c: Context, proto: string | undefined): Predicate {
  if (proto === "ip") return and(isIPv4(c), masked(network(c.layers, 16), 1, 0xf0, 0xe0));
  if (proto === "ip6") return and(isIPv6(c), equal(network(c.layers, 24), 1, 0xff));
  if (proto !== undefined && proto !== "link") {
    c.fail(
      `'${proto}' is not a valid qualifier for 'multicast'`,
      "only IP multicast filters supported on ethernet/FDDI",
    );
  }
  const { link, header, present } = c.layers;
  if (link.shortMac?.broadcast === 0) return equal(behind(header, link.shortMac.destination), 1, 0);
  const group = (place: Place) => bits(place, 1, 0x01);
  if (link.wlan) return wlanDestination(c, group);
  if (link.mac === undefined) {
    c.fail(`'multicast' not supported on ${c.linkName}`, `link-layer multicast filters supported only on ${WHERE}`);
  }
  return and(present, group(behind(header, link.mac.destination)));
}

// 802.11

/** Offsets of the four addresses in the header. */
const ADDR1 = 4;
const ADDR2 = 10;
const ADDR3 = 16;
const ADDR4 = 24;

function wlanHost(c: Context, mac: Uint8Array, dir: Direction | undefined): Predicate {
  const address = (at: number) => sameBytes(behind(c.layers.header, at), mac);
  switch (dir) {
    case "addr1":
      return address(ADDR1);
    case "addr2":
      return and(hasSecondAddress(c), address(ADDR2));
    case "addr3":
      return and(not(controlFrame(c)), address(ADDR3));
    case "addr4":
      return and(masked(behind(c.layers.header, 1), 1, 0x03, 0x03), address(ADDR4));
    case "ra": // not in management frames
      return and(bits(c.layers.header, 1, 0x08), address(ADDR1));
    case "ta":
      return and(bits(c.layers.header, 1, 0x08), hasSecondAddress(c), address(ADDR2));
    default: {
      const same = (place: Place) => sameBytes(place, mac);
      return directed(
        dir,
        () => wlanSource(c, same),
        () => wlanDestination(c, same),
      );
    }
  }
}

function controlFrame(c: Context): Predicate {
  return masked(c.layers.header, 1, 0x0c, 0x04);
}

/** CTS and ACK frames have one address only. */
function hasSecondAddress(c: Context): Predicate {
  const subtype = (value: number) => masked(c.layers.header, 1, 0xf0, value);
  return not(and(controlFrame(c), or(subtype(0xc0), subtype(0xd0))));
}

/** Data frames: by ToDS and FromDS; management frames: address 1; control frames have none. */
function wlanDestination(c: Context, is: (place: Place) => Predicate): Predicate {
  const { header } = c.layers;
  const at = (n: number) => is(behind(header, n));
  const toDS = bits(behind(header, 1), 1, 0x01);
  const data = and(bits(header, 1, 0x08), or(and(not(toDS), at(ADDR1)), and(toDS, at(ADDR3))));
  return and(not(bits(header, 1, 0x04)), or(and(not(bits(header, 1, 0x08)), at(ADDR1)), data));
}

function wlanSource(c: Context, is: (place: Place) => Predicate): Predicate {
  const { header } = c.layers;
  const at = (n: number) => is(behind(header, n));
  const toDS = bits(behind(header, 1), 1, 0x01);
  const fromDS = bits(behind(header, 1), 1, 0x02);
  const relayed = and(fromDS, or(and(not(toDS), at(ADDR3)), and(toDS, at(ADDR4))));
  const data = and(bits(header, 1, 0x08), or(and(not(fromDS), at(ADDR2)), relayed));
  return and(not(bits(header, 1, 0x04)), or(and(not(bits(header, 1, 0x08)), at(ADDR2)), data));
}
