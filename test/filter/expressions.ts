/**
 * The hand-written expressions, the link types they are tried on, and a generator of more from the grammar.
 */
import { readFileSync } from "node:fs";
import type { Random } from "./random.ts";

/** Every DLT the installed libpcap can do more than `link[]` on, and two it can not. */
export const DLTS = [
  0, 1, 6, 7, 8, 9, 10, 11, 12, 15, 16, 19, 50, 51, 99, 104, 105, 107, 108, 109, 113, 114, 117, 119, 122, 123, 127, 129,
  130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 147, 163, 164, 165, 166, 167, 168, 178, 179, 180, 181, 183,
  192, 194, 197, 200, 226, 228, 229, 230, 232, 233, 234, 238, 240, 241, 276,
];

/** The expressions of a file in test/filter/expressions. */
export function expressionsOf(name: string): string[] {
  const text = readFileSync(new URL(`./expressions/${name}.txt`, import.meta.url), "utf8");
  return text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));
}

/** A random expression that often compiles. */
export function randomExpression(random: Random, depth = 3): string {
  const join = () => random.pick([" and ", " or ", " and not ", " or not ", " && ", " || "]);
  const count = 1 + random.below(depth);
  let text = randomTerm(random, depth);
  for (let i = 1; i < count; i++) text += join() + (random.chance(0.15) ? randomId(random) : randomTerm(random, depth));
  return text;
}

const PROTOCOLS = [
  "ip",
  "ip6",
  "arp",
  "rarp",
  "tcp",
  "udp",
  "sctp",
  "icmp",
  "icmp6",
  "igmp",
  "pim",
  "ah",
  "esp",
  "iso",
  "stp",
  "ipx",
  "atalk",
  "aarp",
  "netbeui",
  "lat",
  "vrrp",
];
const DIRECTIONS = ["", "", "src ", "dst ", "src or dst ", "src and dst ", "dst and src "];

function randomTerm(random: Random, depth: number): string {
  const dir = () => random.pick(DIRECTIONS);
  switch (random.below(depth > 0 ? 20 : 14)) {
    case 0:
    case 1:
      return random.pick(PROTOCOLS);
    case 2:
      return `${random.pick(["", "ip ", "arp ", "rarp "])}${dir()}host ${ipv4(random)}`;
    case 3:
      return `${dir()}net ${net(random)}`;
    case 4:
    case 5:
      return `${random.pick(["", "tcp ", "udp ", "sctp "])}${dir()}port ${random.pick([22, 53, 80, 443, random.below(65536)])}`;
    case 6:
      return `${random.pick(["", "tcp ", "udp "])}${dir()}portrange ${random.below(3000)}-${random.below(65536)}`;
    case 7:
      return `${random.pick(["", "ip6 "])}${dir()}host ${ipv6(random)}`;
    case 8:
      return `${random.pick(["", "ip ", "ip6 "])}proto ${random.below(256)}`;
    case 9:
      return `ether proto ${random.pick([0x800, 0x806, 0x86dd, 0x8100, 66, 254, random.below(65536)])}`;
    case 10:
      return random.pick(["less 100", "greater 60", "ip multicast", "ip6 multicast", "len > 50", "byte 5 = 3"]);
    case 11:
      return (
        random.pick(["ether ", "link "]) +
        random.pick(["host ", "src ", "dst "]) +
        random.pick(["1:2:3:4:5:6", "ff:ff:ff:ff:ff:ff"])
      );
    case 12:
      return random.pick([
        "vlan",
        `vlan ${random.below(4096)}`,
        "mpls",
        `mpls ${random.below(1 << 20)}`,
        "pppoes",
        `pppoes ${random.below(65536)}`,
      ]);
    case 13:
      return `net ${ipv6(random)}/128`;
    case 14:
    case 15:
      return `(${randomExpression(random, depth - 1)})`;
    case 16:
      return `not ${randomTerm(random, depth - 1)}`;
    case 17:
      return `${random.pick(["tcp port", "host", "udp src port", "port"])} (${randomId(random)} or ${randomId(random)})`;
    default:
      return `${value(random, 3)} ${random.pick(["=", "!=", "<", ">", "<=", ">=", "=="])} ${value(random, 2)}`;
  }
}

function randomId(random: Random): string {
  return random.chance(0.7) ? String(random.pick([22, 53, 80, 443, 8080])) : ipv4(random);
}

function ipv4(random: Random): string {
  return [10, random.below(4), random.below(256), random.below(256)].join(".");
}

function net(random: Random): string {
  return random.pick([
    "10",
    "192.168",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "10.1.2.0/24",
    "0.0.0.0/1",
    "10.0.0.0 mask 255.255.0.0",
  ]);
}

function ipv6(random: Random): string {
  return random.pick([
    "::1",
    "fe80::1",
    "2001:db8::1",
    "::",
    "::ffff:1.2.3.4",
    `2001:db8:${random.below(65536).toString(16)}::`,
  ]);
}

function value(random: Random, depth: number): string {
  if (depth === 0 || random.chance(0.25)) return random.pick(["len", "0", "1", "2", "0x40", "6", "255", "0xffffffff"]);
  const proto = () => random.pick(["ip", "ip", "tcp", "udp", "ether", "icmp", "ip6", "arp", "icmp6", "sctp"]);
  const size = () => random.pick(["", "", ":1", ":2", ":4"]);
  switch (random.below(6)) {
    case 0:
      return `${proto()}[${random.below(24)}${size()}]`;
    case 1:
      return `${proto()}[${value(random, depth - 1)}${size()}]`;
    case 2:
      return `(${value(random, depth - 1)})`;
    case 3:
      return `-${value(random, 0)}`;
    case 4:
      return `${value(random, depth - 1)} ${random.pick(["<<", ">>"])} ${random.below(32)}`;
    default:
      return `${value(random, depth - 1)} ${random.pick(["+", "-", "*", "/", "%", "&", "|", "^"])} ${value(random, depth - 1)}`;
  }
}
