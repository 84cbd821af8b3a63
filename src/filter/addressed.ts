/**
 * Terms with an id: hosts, nets, ports, protocols and gateways, by address, number or name.
 */
import { parseDecnet, parseIPv4, parseIPv6, parseMac48, prefixMask, prefixWords } from "./addresses.ts";
import type { Direction, Id, Qualifiers } from "./ast.ts";
import type { Context } from "./context.ts";
import { decnetHost, ipHost, ipv6Host } from "./hosts.ts";
import { macHost, shortMacHost } from "./macs.ts";
// biome-ignore format: one line each
import {
  etherByName, hostAddresses, ipProtocolNumber, isoProtocolNumber, linkProtocolNumber, netByName, portByName,
} from "./names.ts";
import { ports } from "./ports.ts";
import { and, not, or, type Predicate } from "./predicate.ts";
import { protochain, protoNumber } from "./protocols.ts";

const ADDRESS_DIRECTIONS = new Set<Direction | undefined>(["addr1", "addr2", "addr3", "addr4", "ra", "ta"]);

/** The meaning of an id under its qualifiers. */
export function addressed(c: Context, q: Qualifiers, id: Id): Predicate {
  if (
    ADDRESS_DIRECTIONS.has(q.dir) &&
    (id.kind !== "mac48" || c.layers.link.wlan === undefined) &&
    id.kind !== "name"
  ) {
    c.fail(
      `'${q.dir}' is valid for 802.11 syntax only`,
      "it needs an 802.11 link type and a MAC address, as in `wlan addr1 1:2:3:4:5:6`",
    );
  }
  switch (id.kind) {
    case "name":
      return named(c, q, id.text);
    case "number":
      return numbered(c, q, id.value);
    case "ipv4":
      return ipv4(c, q, id);
    case "ipv6":
      return ipv6(c, q, id);
    case "mac48":
      return mac48(c, q, parseMac48(id.text));
    case "mac8":
      if (c.layers.link.shortMac === undefined)
        c.fail(`'link host' not supported on ${c.linkName}`, "aid supported only on ARCnet");
      if (q.proto !== "link" || !isHost(q)) c.fail("ARCnet address used in non-arc expression", "write `link host $x`");
      return shortMacHost(c, id.value, q.dir);
  }
}

function isHost(q: Qualifiers): boolean {
  return q.type === undefined || q.type === "host";
}

function mac48(c: Context, q: Qualifiers, mac: Uint8Array): Predicate {
  if (!isHost(q) || q.proto !== "link") {
    c.fail("Ethernet address used in non-ether expression", 'write "ether host" in front of a MAC address');
  }
  return macHost(c, mac, q.dir);
}

/** An address or netmask as libpcap shows it in messages. */
function notValid(c: Context, q: Qualifiers, what: string, hint?: string): never {
  return c.fail(`'${q.proto}' is not a valid qualifier for '${what}'`, hint);
}

// Numbers

function numbered(c: Context, q: Qualifiers, value: number): Predicate {
  switch (q.type) {
    case undefined:
    case "host":
      if (q.proto === "decnet") return decnetHost(c, value, q.dir);
      if (q.proto === "link") notValid(c, q, "host <IPv4 address>");
      return ipHost(c, value, 0xffffffff, q);
    case "net": {
      // A short number is a network: `net 10` is 10.0.0.0/8.
      let [net, mask] = [value, 0xffffffff];
      while (net !== 0 && net < 0x1000000) {
        net = (net << 8) >>> 0;
        mask = (mask << 8) >>> 0;
      }
      return ipHost(c, net, mask, q);
    }
    case "port":
    case "portrange":
      return ports(c, transportOf(c, q), value, value, q.dir);
    case "gateway":
      return c.fail("'gateway' requires a name");
    case "proto":
      return protoNumber(c, value, q.proto);
    case "protochain":
      return protochain(c, value, q.proto);
  }
}

/** The transport that `tcp port`, `udp port`, `sctp port` ask for; undefined for a bare `port`. */
function transportOf(c: Context, q: Qualifiers): "tcp" | "udp" | "sctp" | undefined {
  if (q.proto === undefined || q.proto === "tcp" || q.proto === "udp" || q.proto === "sctp") return q.proto;
  const hint =
    q.proto === "ip" || q.proto === "ip6"
      ? `illegal qualifier of 'port'; write "${q.proto} and port ..."`
      : "illegal qualifier of 'port'; only tcp, udp and sctp have ports";
  return notValid(c, q, q.type === "portrange" ? "portrange" : "port", hint);
}

// IPv4

function ipv4(c: Context, q: Qualifiers, id: Id & { kind: "ipv4" }): Predicate {
  const shown =
    id.mask !== undefined
      ? `${id.text} mask ${id.mask}`
      : id.prefix !== undefined
        ? `${id.text}/${id.prefix}`
        : id.text;
  if (q.proto === "decnet" && isHost(q) && shown === id.text) {
    return decnetHost(c, parseDecnet(id.text) ?? c.fail(`invalid DECnet address '${id.text}'`), q.dir);
  }
  if (q.type !== undefined && q.type !== "host" && q.type !== "net") {
    const extra = id.mask !== undefined ? " and netmask" : id.prefix !== undefined ? " and prefix length" : "";
    c.fail(
      `'${q.type}' qualifier applied to IPv4 address${extra}`,
      q.type === "gateway" ? "'gateway' requires a name" : undefined,
    );
  }
  const address = parseIPv4(id.text) ?? c.fail(`invalid IPv4 address '${id.text}'`, "four decimal octets up to 255");
  const value = (address.value * 2 ** (32 - address.bits)) >>> 0;
  if (shown === id.text) {
    if (q.proto === "link")
      notValid(
        c,
        q,
        q.type === "net" ? "net <IPv4 prefix>" : "host <IPv4 address>",
        "a MAC address belongs here, or `ip`",
      );
    return ipHost(c, value, prefixMask(address.bits), q);
  }
  if (q.type !== "net") {
    const given = q.type ?? "<invalid type 0>";
    c.fail(
      `'${given}' is not a valid qualifier for '${shown}'`,
      `Mask syntax for networks only: write "${q.dir === undefined ? "" : `${q.dir} `}net ${shown}"`,
    );
  }
  const mask = netmask(c, id);
  if ((value & ~mask) >>> 0 !== 0) {
    const dotted = [24, 16, 8, 0].map((shift) => ((value & mask) >>> shift) & 0xff).join(".");
    c.fail(
      `non-network bits set in "${shown}"`,
      `the network is ${dotted}${id.prefix === undefined ? "" : `/${id.prefix}`}`,
    );
  }
  return ipHost(c, value, mask, q);
}

function netmask(c: Context, id: Id & { kind: "ipv4" }): number {
  if (id.mask === undefined) {
    c.atMost("netmask length", id.prefix!, 32);
    return prefixMask(id.prefix!);
  }
  const mask = parseIPv4(id.mask) ?? c.fail(`invalid IPv4 netmask '${id.mask}'`);
  return (mask.value * 2 ** (32 - mask.bits)) >>> 0;
}

// IPv6

function ipv6(c: Context, q: Qualifiers, id: Id & { kind: "ipv6" }): Predicate {
  const { prefix } = id;
  const shown = prefix === undefined ? id.text : `${id.text}/${prefix}`;
  if (q.type !== undefined && q.type !== "host" && q.type !== "net") {
    c.fail(
      `'${q.type}' qualifier applied to IPv6 address${prefix === undefined ? "" : " and prefix length"}`,
      "invalid qualifier against IPv6 address",
    );
  }
  const length = prefix ?? 128;
  c.atMost("netmask length", length, 128);
  const bytes = parseIPv6(id.text)!;
  const view = new DataView(bytes.buffer);
  const words = [0, 4, 8, 12].map((at) => view.getUint32(at));
  const masks = prefixWords(length);
  if (words.some((word, i) => (word & ~masks[i]!) >>> 0 !== 0)) c.fail(`non-network bits set in "${shown}"`);
  if (q.type !== "net" && length !== 128) {
    c.fail(
      `'${q.type ?? "<invalid type 0>"}' is not a valid qualifier for '${shown}'`,
      `Mask syntax for networks only: write "net ${shown}"`,
    );
  }
  return ipv6Host(c, words, masks, q);
}

// Names

function named(c: Context, q: Qualifiers, name: string): Predicate {
  switch (q.type) {
    case undefined:
    case "host":
      return namedHost(c, q, name);
    case "net": {
      const [address, prefix] = netByName(c, name).split("/");
      return ipv4(c, q, { kind: "ipv4", text: address!, ...(prefix === undefined ? {} : { prefix: Number(prefix) }) });
    }
    case "port": {
      const wanted = transportOf(c, q);
      const { port, transport } = portByName(c, name);
      if (wanted !== undefined && transport !== undefined && wanted !== transport)
        c.fail(`port '${name}' is ${transport}`);
      return ports(c, wanted ?? transport, port, port, q.dir);
    }
    case "portrange":
      return namedRange(c, q, name);
    case "gateway":
      return gateway(c, q, name);
    case "proto":
      return protoNumber(c, protocolNumber(c, q, name), q.proto);
    case "protochain":
      return protochain(c, protocolNumber(c, q, name), q.proto);
  }
}

function protocolNumber(c: Context, q: Qualifiers, name: string): number {
  if (q.proto === "link") return linkProtocolNumber(c, name);
  if (q.proto === "iso") return isoProtocolNumber(c, name);
  if (q.proto === undefined || q.proto === "ip" || q.proto === "ip6") return ipProtocolNumber(c, name);
  return notValid(c, q, q.type!, `unknown protocol: ${name}`);
}

/** `low-high`, each a number or a name; a reversed range is swapped. */
function namedRange(c: Context, q: Qualifiers, text: string): Predicate {
  const wanted = transportOf(c, q);
  const [low, high] = text.split(/-(.*)/s);
  const ends = high === undefined ? [low!] : [low!, high];
  const found = ends.map((end) => {
    if (/^\d+$/.test(end)) return { port: Number(end), transport: undefined };
    return portByName(c, end, `unknown port in range '${text}'`);
  });
  for (const { port } of found) c.atMost("port number", port, 65535);
  for (const { transport } of found) {
    if (wanted !== undefined && transport !== undefined && wanted !== transport)
      c.fail(`port in range '${text}' is ${transport}`);
  }
  const transports = new Set(found.map(({ transport }) => transport));
  const numbers = found.map(({ port }) => port);
  const only = transports.size === 1 ? found[0]!.transport : undefined;
  return ports(c, wanted ?? only, Math.min(...numbers), Math.max(...numbers), q.dir);
}

function namedHost(c: Context, q: Qualifiers, name: string): Predicate {
  if (q.proto === "link") return macHost(c, parseMac48(etherByName(c, name)), q.dir);
  if (q.proto === "decnet") return c.unknown(`unknown decnet host name '${name}'`, "write it as area.node");
  if (ADDRESS_DIRECTIONS.has(q.dir)) {
    c.fail(`'${q.dir}' is valid for 802.11 syntax only`, "it needs an 802.11 link type and a MAC address");
  }
  const { ipv4: v4, ipv6: v6 } = hostAddresses(c, name);
  if (q.proto === "ip6" && v6.length === 0) c.unknown(`unknown host '${name}' for specified address family`);
  if (q.proto !== undefined && q.proto !== "ip6" && v4.length === 0)
    c.unknown(`unknown host '${name}' for specified address family`);
  const host = { ...q, type: "host" } as const;
  return or(
    ...(q.proto === "ip6" ? [] : v4).map((text) => ipv4(c, host, { kind: "ipv4", text })),
    ...(q.proto === undefined || q.proto === "ip6" ? v6 : []).map((text) => ipv6(c, host, { kind: "ipv6", text })),
  );
}

/** Frames from or to a host's MAC address whose packets are neither from nor to its IP address. */
function gateway(c: Context, q: Qualifiers, name: string): Predicate {
  if (q.proto !== undefined && q.proto !== "ip" && q.proto !== "arp" && q.proto !== "rarp") {
    notValid(c, q, "gateway", "illegal modifier of 'gateway'");
  }
  if (c.layers.link.mac === undefined && c.layers.link.wlan === undefined) c.unsupported("gateway");
  const mac = macHost(c, parseMac48(etherByName(c, name)), undefined);
  const { ipv4: addresses } = hostAddresses(c, name);
  const host = { proto: q.proto, dir: undefined, type: "host" } as const;
  return and(mac, not(or(...addresses.map((text) => ipv4(c, host, { kind: "ipv4", text })))));
}
