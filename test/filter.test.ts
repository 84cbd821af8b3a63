/**
 * The filter compiler by itself: what it accepts and says, what the parts of a compiled filter have to do with each
 * other, and its limits.  What expressions mean is settled against libpcap in filter-libpcap.test.ts.
 */
import { describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import { evaluate } from "../src/filter/evaluate.ts";
import {
  type CompiledFilter,
  compileFilter,
  explainFilter,
  explainPacket,
  type FilterOptions,
  formatExpression,
} from "../src/filter/index.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { optimize } from "../src/optimize/optimize.ts";
import { sameInstructions } from "../src/program/instruction.ts";
import { packetContext } from "../src/program/packet-context.ts";
import { check } from "../src/verify/verify.ts";
import { DLTS, expressionsOf, randomExpression } from "./filter/expressions.ts";
import { pathPackets } from "./filter/path-packets.ts";
import { Random } from "./filter/random.ts";

const LONG = process.env.CBPF_LONG === "1";
const SEED = Number(process.env.SEED ?? 6);

/** The error of an expression; fails when it compiles. */
function errorOf(expression: string, options: FilterOptions = {}): BpfError {
  try {
    compileFilter(expression, options);
  } catch (error) {
    if (error instanceof BpfError) return error;
    throw error;
  }
  throw new Error(`${expression} compiles`);
}

function compiles(expression: string, options: FilterOptions = {}): CompiledFilter | undefined {
  try {
    return compileFilter(expression, options);
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}

const matches = (compiled: CompiledFilter, packet: Uint8Array, context = {}): boolean =>
  interpreter.load(compiled.program).run(packet, packetContext(context)) !== 0;

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replace(/[^0-9a-f]/g, ""), "hex"));

// Packets, by hand: Ethernet headers, IPv4 and IPv6 without options, TCP and UDP.
const MACS = "0102030405060708090a0b0c";
const IPV4 = (proto: string) => `45 00 0028 0000 0000 40 ${proto} 0000 0a000001 0a000002`;
const IPV6 = (next: string) => `60000000 0014 ${next} 40 ${"20010db8".padEnd(32, "0")} ${"20010db8".padEnd(31, "0")}1`;
const TCP = "0050 1f90 00000000 00000000 5002 0000 0000 0000";
const TCP4 = bytes(`${MACS} 0800 ${IPV4("06")} ${TCP}`);
const TCP6 = bytes(`${MACS} 86dd ${IPV6("06")} ${TCP}`);
const ARP = bytes(`${MACS} 0806 0001 0800 06 04 0001 010203040506 0a000001 000000000000 0a000002`);
const TAGGED_TCP4 = bytes(`${MACS} 8100 0064 0800 ${IPV4("06")} ${TCP}`);

describe("errors", () => {
  // One row for each shape of message that libpcap has; the text is what libpcap's newer versions say.
  test.each([
    // expression                     linktype  what the message contains
    ["tcp host 1.2.3.4", 1, "'tcp' is not a valid qualifier for 'host <IPv4 address>'"],
    ["tcp net 10", 1, "'tcp' is not a valid qualifier for 'net <IPv4 prefix>'"],
    ["tcp host ::1", 1, "'tcp' is not a valid qualifier for 'host <IPv6 address>'"],
    ["arp net ::/8", 1, "'arp' is not a valid qualifier for 'net <IPv6 prefix>'"],
    ["ip port 80", 1, "'ip' is not a valid qualifier for 'port'"],
    ["ip portrange 1-2", 1, "'ip' is not a valid qualifier for 'portrange'"],
    ["tcp proto 5", 1, "'tcp' is not a valid qualifier for 'proto'"],
    ["tcp protochain 5", 1, "'tcp' is not a valid qualifier for 'protochain'"],
    ["tcp gateway x", 1, "'tcp' is not a valid qualifier for 'gateway'"],
    ["tcp broadcast", 1, "'tcp' is not a valid qualifier for 'broadcast'"],
    ["src 10.0.0.0/8", 1, "'<invalid type 0>' is not a valid qualifier for '10.0.0.0/8'"],
    ["host 10.0.0.0/8", 1, "'host' is not a valid qualifier for '10.0.0.0/8'"],
    ["vlan", 12, "'vlan' not supported on DLT_RAW"],
    ["mpls", 113, "'mpls' not supported on DLT_LINUX_SLL"],
    ["llc", 9, "'llc' not supported on DLT_PPP"],
    ["type mgt", 1, "'type' not supported on DLT_EN10MB (Ethernet)"],
    ["subtype beacon", 1, "'subtype' not supported on DLT_EN10MB (Ethernet)"],
    ["dir tods", 1, "'dir' not supported on DLT_EN10MB (Ethernet)"],
    ["gateway x", 12, "'gateway' not supported on DLT_RAW"],
    ["broadcast", 12, "'broadcast' not supported on DLT_RAW"],
    ["multicast", 12, "'multicast' not supported on DLT_RAW"],
    ["ether host 1:2:3:4:5:6", 12, "'link host' not supported on DLT_RAW"],
    ["link host $1", 1, "'link host' not supported on DLT_EN10MB"],
    ["fisu", 1, "'fisu' not supported on DLT_EN10MB"],
    ["vpi 1", 1, "'vpi' not supported on DLT_EN10MB"],
    ["on en0", 1, "'ifname' not supported on DLT_EN10MB"],
    ["ip", 147, "link-layer type filtering not implemented for DLT_USER0"],
    ["port 1.2.3.4", 1, "'port' qualifier applied to IPv4 address"],
    ["port 1.2.3.0/24", 1, "'port' qualifier applied to IPv4 address and prefix length"],
    ["port 1.2.3.0 mask 255.255.255.0", 1, "'port' qualifier applied to IPv4 address and netmask"],
    ["port ::1", 1, "'port' qualifier applied to IPv6 address"],
    ["wlan addr1 1:2:3:4:5:6", 1, "'addr1' is valid for 802.11 syntax only"],
    ["addr2 1.2.3.4", 105, "'addr2' is valid for 802.11 syntax only"],
    ["host 1:2:3:4:5:6", 1, "Ethernet address used in non-ether expression"],
    ["src $12", 7, "ARCnet address used in non-arc expression"],
    ["host nowhere", 1, "unknown host 'nowhere'"],
    ["ether host nobody", 1, "unknown Ethernet-like host 'nobody'"],
    ["port nothing", 1, "unknown port 'nothing'"],
    ["net nowhere", 1, "unknown network 'nowhere'"],
    ["proto nothing", 1, "unknown 'ip proto' value 'nothing'"],
    ["ether proto nothing", 1, "unknown 'ether proto' value 'nothing'"],
    ["iso proto nothing", 1, "unknown 'iso proto' value 'nothing'"],
    ["tcp port tftp", 1, "port 'tftp' is udp"],
    ["port 65536", 1, "port number 65536 greater than maximum 65535"],
    ["vlan 4096", 1, "VLAN tag 4096 greater than maximum 4095"],
    ["mpls 1048576", 1, "MPLS label 1048576 greater than maximum 1048575"],
    ["pppoes 65536", 1, "PPPoE session number 65536 greater than maximum 65535"],
    ["geneve 16777216", 1, "Geneve VNI 16777216 greater than maximum 16777215"],
    ["vxlan 16777216", 1, "VXLAN VNI 16777216 greater than maximum 16777215"],
    ["ip proto 256", 1, "protocol number 256 greater than maximum 255"],
    ["ether proto 65536", 1, "EtherType 65536 greater than maximum 65535"],
    ["net 10.0.0.0/33", 1, "netmask length 33 greater than maximum 32"],
    ["net ::/129", 1, "netmask length 129 greater than maximum 128"],
    ["sio 256", 140, "sio 256 greater than maximum 255"],
    ["opc 16384", 140, "opc 16384 greater than maximum 16383"],
    ["sls 16", 140, "sls 16 greater than maximum 15"],
    ["vpi 256", 123, "VPI 256 greater than maximum 255"],
    ["vci 65536", 123, "VCI 65536 greater than maximum 65535"],
    ["tcp and", 1, "can't parse filter expression: syntax error"],
    ["inbound", 1, "not a live capture, 'inbound' not supported on DLT_EN10MB"],
    ["ifindex 3", 1, "not a live capture, 'ifindex' not supported on DLT_EN10MB"],
    ["ip broadcast", 1, "netmask not known, so 'ip broadcast' not supported"],
    ["protochain 6", 105, "'protochain' not supported with variable length headers"],
    ["radio[0] = 1", 1, "radio information not present in capture"],
    ["radio", 1, "'radio' is not a valid protocol type"],
    ["link", 1, "link layer applied in wrong context"],
    ["ip[0:3] = 1", 1, "data size must be 1, 2, or 4"],
    ["ah[0] = 1", 1, "unsupported index operation"],
    ["mpls and vlan", 1, "no VLAN match after MPLS"],
    ["mpls and arp", 1, "unsupported protocol over mpls"],
    ["net 10.0.0.1/8", 1, 'non-network bits set in "10.0.0.1/8"'],
    ["net ::1/64", 1, 'non-network bits set in "::1/64"'],
    ["net 10.0.0.1 mask 255.0.0.0", 1, 'non-network bits set in "10.0.0.1 mask 255.0.0.0"'],
    ["host 300.1.1.1", 1, "invalid IPv4 address '300.1.1.1'"],
    ["len / 0 = 1", 1, "division by zero"],
    ["len % 0 = 1", 1, "modulus by zero"],
    ["len << 32 = 1", 1, "shift by more than 31 bits"],
    ["less 0x100000000", 1, "hexadecimal number 0x100000000 overflows 32 bits"],
    ["less 0400000000000", 1, "octal number 0400000000000 overflows 32 bits"],
    ["less 4294967296", 1, "decimal number 4294967296 overflows 32 bits"],
    ["less 09", 1, "number 09 contains non-octal digit"],
    ["1:2:3", 1, "invalid Ethernet address 1:2:"],
    ["ip[0:2:1] = 1", 1, "invalid Ethernet address 0:2:"],
    ["tcp and 80", 1, "syntax error in filter expression"],
    ["tcp @ udp", 1, 'illegal char "@"'],
    ["type 5", 105, "invalid 802.11 type value 0x05"],
    ["type mgt subtype 8", 105, "invalid 802.11 subtype value 0x08"],
    ["type foo", 105, 'unknown 802.11 type name "foo"'],
    ["type mgt subtype qos", 105, 'unknown 802.11 subtype name "qos"'],
    ["dir foo", 105, "unknown 802.11 direction"],
    ["llc foo", 1, 'unknown LLC type name "foo"'],
    ["reason foo", 117, 'unknown PF reason "foo"'],
    ["action foo", 117, 'unknown PF action "foo"'],
    ["on abcdefghijklmnop", 117, "ifname interface names can only be 15 characters"],
    ["portrange 5-foo", 1, "unknown port in range '5-foo'"],
    ["decnet host foo", 1, "unknown decnet host name 'foo'"],
    ["gateway 5", 1, "'gateway' requires a name"],
  ])("%s", (expression, linktype, message) => {
    const error = errorOf(expression, { linktype });
    expect(error.message).toContain(message);
    expect(["bad-expression", "bad-name"]).toContain(error.code);
    // The place is inside the expression, and the text shows it with a caret.
    const { span } = error.violations[0]!;
    expect(span!.start).toBeGreaterThanOrEqual(0);
    expect(span!.end).toBeLessThanOrEqual(expression.length);
    expect(error.message).toContain("^");
  });

  test.each([
    ["udp 53", 'did you mean "udp port 53"?'],
    ["1.2.3.4", 'did you mean "host 1.2.3.4"?'],
    ["ip 1.2.3.4", 'did you mean "ip host 1.2.3.4"?'],
    ["len-4 > 1", 'as in "len - 4"'],
    ["port 80 and len-4 > 1", 'as in "len - 4"'],
    ["src 10.0.0.0/8", 'write "src net 10.0.0.0/8"'],
    ["port 80and", 'write a space: "80 and"'],
    ["port 1-5", 'did you mean "portrange 1-5"?'],
    ["ip proto tcp", '"\\tcp"'],
    ["TCP", 'keywords are lower case: "tcp"'],
    ["eth.addr == 1", "Wireshark"],
    ["1:2:3:4:5:6", 'did you mean "ether host 1:2:3:4:5:6"?'],
    ["tcp and 80", 'as in "port 80"'],
    ["net 10.0.0.1/8", "the network is 10.0.0.0/8"],
    ["host foo", "resolver"],
    ["1:2:3", "one colon"],
  ])("advice: %s", (expression, hint) => {
    expect(errorOf(expression).violations[0]!.hint).toContain(hint);
  });

  test("the place is the token, the id or the term at fault", () => {
    const spanOf = (expression: string): string => {
      const { start, end } = errorOf(expression).violations[0]!.span!;
      return expression.slice(start, end);
    };
    expect(spanOf("tcp and (udp or 53)")).toBe("53");
    expect(spanOf("tcp port 80 and host 300.1.2.3")).toBe("host 300.1.2.3");
    expect(spanOf("ip and len / 0 = 1")).toBe("0");
    expect(spanOf("ip and and tcp")).toBe("and");
    expect(spanOf("vlan 1 and vlan 5000")).toBe("vlan 5000");
    expect(spanOf("ip and # tcp")).toBe("#");
  });

  test("options are checked", () => {
    expect(() => compileFilter("ip", { linktype: -1 })).toThrow("linktype -1 is outside");
    expect(() => compileFilter("ip", { snaplen: 2 ** 32 })).toThrow("snaplen");
    expect(() => compileFilter("ip", { netmask: 0.5 })).toThrow("netmask");
    expect(() => compileFilter("ip", { mode: "odd" as "scoped" })).toThrow("mode");
    expect(() => compileFilter(5 as unknown as string)).toThrow("no string");
  });
});

describe("meaning", () => {
  test("an empty expression accepts everything, whatever its length", () => {
    for (const expression of ["", "  \n\t"]) {
      const compiled = compileFilter(expression, { snaplen: 77 });
      expect(interpreter.load(compiled.program).run(new Uint8Array(0))).toBe(77);
    }
  });

  test.each([
    ["%", "ip[8] % 3 + 1 = 2", "ip[8] % (3 + 1) = 2"],
    ["* and %", "ip[8] * 2 % 3 = 5", "ip[8] * (2 % 3) = 5"],
    ["%, twice", "ip[8] % 3 % 2 = 0", "ip[8] % (3 % 2) = 0"],
    ["^", "ip[8] & 1 ^ 3 = 2", "ip[8] & (1 ^ 3) = 2"],
    ["and, or", "tcp or port 80 and udp", "(tcp or port 80) and udp"],
    ["a protocol in front of a port", "tcp or udp port 53", "tcp or (udp port 53)"],
    [
      "inherited qualifiers",
      "tcp dst port 80 or 443 or 8080",
      "tcp dst port 80 or tcp dst port 443 or tcp dst port 8080",
    ],
    ["inherited behind not", "not port 80 and 443", "(not port 80) and port 443"],
    ["inherited over a list", "tcp port 80 and (443 or 22)", "tcp port 80 and (tcp port 443 or tcp port 22)"],
    ["a number is a host", "port 80 or host 1.2.3.4 or 443", "port 80 or host 1.2.3.4 or host 0.0.1.187"],
    ["decimal octets", "host 010.1.2.3", "host 10.1.2.3"],
    ["short nets", "net 192.168", "net 192.168.0.0/16"],
    ["synonyms", "ether host 1:2:3:4:5:6", "wlan host 01-02-03-04-05-06"],
    ["reversed ranges", "portrange 90-80", "portrange 80-90"],
  ])("%s: %s reads as %s", (_, a, b) => {
    expect(compileFilter(a).instructions).toEqual(compileFilter(b).instructions);
  });

  test("lowered programs give what the predicate means, on every link type", () => {
    const random = new Random(SEED);
    let cases = 0;
    const expressions = [...expressionsOf("common"), ...expressionsOf("ethernet")];
    for (const linktype of DLTS) {
      for (const expression of expressions) {
        if (!LONG && random.chance(0.92)) continue;
        const compiled = compiles(expression, {
          linktype,
          netmask: 0xffffff00,
          mode: random.pick(["compatible", "scoped"]),
        });
        if (compiled === undefined) continue;
        const filter = interpreter.load(compiled.program);
        const seed = Uint8Array.from({ length: 120 }, () => random.below(256));
        for (const packet of pathPackets(compiled.instructions, [new Uint8Array(120), seed], 8, random)) {
          cases++;
          const context = packetContext({ length: packet.length });
          const { accepted } = evaluate(compiled.predicate, packet, context);
          if ((filter.run(packet, context) !== 0) !== accepted) {
            expect.fail(
              `DLT ${linktype} ${expression}: predicate ${accepted} on ${Buffer.from(packet).toString("hex")}`,
            );
          }
        }
      }
    }
    expect(cases).toBeGreaterThan(15_000);
  }, 300_000);

  test("the complete form compiles to the same program", () => {
    const random = new Random(SEED);
    const expressions = [...expressionsOf("common"), ...expressionsOf("ethernet")];
    for (let i = 0; i < 300; i++) expressions.push(randomExpression(random));
    let compared = 0;
    for (const linktype of [1, 7, 105, 117, 123, 127, 140]) {
      for (const expression of expressions) {
        const compiled = compiles(expression, { linktype, netmask: 0xffffff00 });
        if (compiled === undefined) continue;
        const complete = formatExpression(compiled.ast);
        const again = compileFilter(complete, { linktype, netmask: 0xffffff00 });
        if (!sameInstructions(again.instructions, compiled.instructions))
          expect.fail(`${expression} became ${complete}`);
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(1500);
  });

  test("every instruction but the returns belongs to a part of the expression", () => {
    const expression = "tcp port 80 and not host 1.2.3.4";
    const { instructions, spans } = compileFilter(expression);
    expect(spans.length).toBe(instructions.length);
    const parts = new Set(spans.map((span) => span && expression.slice(span.start, span.end)));
    expect(parts).toEqual(new Set(["tcp port 80", "host 1.2.3.4", undefined]));
    expect(spans.filter((span) => span === undefined).length).toBe(2);
  });

  test("an optimizer is a function from instructions to instructions", () => {
    const { instructions, spans } = compileFilter("ip", { optimize: (list) => [list.at(-1)!] });
    expect(instructions).toEqual([{ code: 0x06, jt: 0, jf: 0, k: 0 }]);
    expect(spans).toEqual([]);
  });

  test("with the package's optimizer the spans stay, and the verdicts", () => {
    const random = new Random(SEED);
    for (const expression of [
      "port 80 or 443 or 8080",
      "tcp[13] & 2 != 0 and not net 10",
      "vlan 5 and ip6",
      "geneve and tcp",
    ]) {
      const plain = compileFilter(expression);
      const small = compileFilter(expression, { optimize: (list, spans) => optimize(list, { spans }) });
      expect(small.instructions.length).toBeLessThan(plain.instructions.length);
      expect(small.spans.length).toBe(small.instructions.length);
      expect(small.spans.some((span) => span !== undefined)).toBe(true);
      const [a, b] = [interpreter.load(plain.program), interpreter.load(small.program)];
      for (const packet of pathPackets(plain.instructions, [new Uint8Array(100)], 60, random)) {
        expect(b.run(packet)).toBe(a.run(packet));
      }
    }
  });
});

describe("vxlan (not in libpcap 1.10.3)", () => {
  const udp4 = `${MACS} 0800 45 00 0050 0000 0000 40 11 0000 0a000001 0a000002 3039 12b5 003c 0000`;
  const inner = `0000000000aa 0000000000bb 0800 ${IPV4("06")} ${TCP}`;
  const packet = bytes(`${udp4} 08000000 00002a00 ${inner}`);
  test.each([
    ["vxlan", true],
    ["vxlan 42", true],
    ["vxlan 43", false],
    ["vxlan and ip", true],
    ["vxlan and tcp port 80", true],
    ["vxlan 42 and ether dst 0:0:0:0:0:aa", true],
    ["vxlan and arp", false],
    ["udp and vxlan and tcp", true],
    ["vxlan and udp", false],
  ])("%s", (expression, expected) => {
    expect(matches(compileFilter(expression), packet)).toBe(expected);
    expect(matches(compileFilter(expression), packet.slice(0, 42))).toBe(false);
  });
  test("without its I flag it is none", () => {
    const flagless = packet.slice();
    flagless[42] = 0;
    expect(matches(compileFilter("vxlan"), flagless)).toBe(false);
  });
});

describe("names", () => {
  const resolver = {
    host: (name: string) => (name === "both" ? ["1.2.3.4", "::1"] : name === "v4" ? ["1.2.3.4", "5.6.7.8"] : undefined),
    net: (name: string) => ({ lan: "10.1", wan: "192.168.0.0/16" })[name],
    ether: (name: string) => (name === "v4" ? "1:2:3:4:5:6" : undefined),
    service: (name: string) => (name === "ours" ? { tcp: 4000 } : undefined),
    protocol: (name: string) => (name === "ours" ? 99 : undefined),
  };
  test.each([
    ["host both", "host 1.2.3.4 or host ::1"],
    ["ip host both", "ip host 1.2.3.4"],
    ["ip6 src both", "ip6 src ::1"],
    ["src host v4", "src host 1.2.3.4 or src host 5.6.7.8"],
    ["net lan", "net 10.1"],
    ["dst net wan", "dst net 192.168.0.0/16"],
    ["ether src v4", "ether src 1:2:3:4:5:6"],
    ["port ours", "tcp port 4000"],
    ["proto ours", "proto 99"],
    ["gateway v4", "ether host 1:2:3:4:5:6 and not (host 1.2.3.4 or host 5.6.7.8)"],
    ["ip gateway v4", "ether host 1:2:3:4:5:6 and not (ip host 1.2.3.4 or ip host 5.6.7.8)"],
    ["port domain", "port 53"],
    ["port tftp", "udp port 69"],
    ["tcp portrange smtp-domain", "tcp portrange 25-53"],
    ["ip proto icmp", "ip proto \\icmp"],
  ])("%s is %s", (named, plain) => {
    if (named === "ip proto icmp") return expect(errorOf(named).violations[0]!.hint).toContain("\\icmp");
    const strip = (expression: string) => compileFilter(expression, { resolver }).instructions;
    expect(strip(named)).toEqual(strip(plain));
  });
  test("a host without an address of the family asked for", () => {
    expect(errorOf("ip6 host v4", { resolver }).message).toContain("unknown host 'v4' for specified address family");
    expect(errorOf("ip6 host v4", { resolver }).code).toBe("bad-name");
  });
});

describe("warnings", () => {
  const rules = (expression: string, options: FilterOptions = {}) =>
    compileFilter(expression, options).warnings.map((w) => w.rule);
  test.each([
    ["tcp or udp and port 53", ["mixed-and-or"]],
    ["tcp and udp or port 53", []],
    ["(tcp or udp) and port 53", []],
    ["port 80 or host 1.2.3.4 or 443", ["inherited-id"]],
    ["port 80 or 443", []],
    ["vlan or ip", ["moving-keyword"]],
    ["(vlan and ip) or ip", ["moving-keyword"]],
    ["ip or (vlan and ip)", []],
    ["not vlan and ip", ["moving-keyword"]],
    ["mpls or tcp", ["moving-keyword"]],
    ["pppoes or tcp", ["moving-keyword"]],
    ["pppoed or tcp", []],
    ["tcp[13] = 2", ["ipv4-only"]],
    ["ip6 and tcp[13] = 2", ["ipv4-only", "rejects-all"]],
    ["ip and ip6", ["rejects-all"]],
    ["ip and not ip6", []],
    ["1 = 2", ["rejects-all"]],
    ["1 = 1", ["accepts-all"]],
    ["ip[8] % 3 + 1 = 2", ["free-precedence"]],
    ["ip[8] * 2 % 3 = 2", ["free-precedence"]],
    ["ip[8] % (3 + 1) = 2", []],
    ["(ip[8] % 3) + 1 = 2", []],
    ["ip[0] + udp[0] = 5", ["ipv4-only", "lost-guard"]],
    ["host 1.2.3.4 and not port 22", []],
  ])("%s", (expression, expected) => {
    expect(rules(expression)).toEqual(expected);
  });
  test("scoped mode has no leaks to warn of", () => {
    expect(rules("vlan or ip", { mode: "scoped" })).toEqual([]);
  });
});

describe("scoped mode", () => {
  const scoped = (expression: string) => compileFilter(expression, { mode: "scoped" });
  test.each([
    // expression                    plain  tagged  what libpcap says to the two
    ["vlan or ip", true, true, [false, true]],
    ["(vlan and ip) or ip", true, true, [false, true]],
    ["not vlan and ip", true, false, [false, false]],
    ["vlan and tcp port 80", false, true, [false, true]],
    ["(vlan and tcp) or (tcp port 80)", true, true, [false, true]],
    ["ip or (vlan and ip)", true, true, [true, true]],
  ])("%s", (expression, plain, tagged, compatible) => {
    expect([matches(scoped(expression), TCP4), matches(scoped(expression), TAGGED_TCP4)]).toEqual([plain, tagged]);
    const old = compileFilter(expression);
    expect([matches(old, TCP4), matches(old, TAGGED_TCP4)]).toEqual(compatible);
  });

  const extended = (headers: string, first: string) => bytes(`${MACS} 86dd ${IPV6(first)} ${headers} ${TCP}`);
  test.each([
    ["no extension header", TCP6, true],
    ["hop-by-hop options", extended("06 00 000000000000", "00"), true],
    ["two headers", extended("3c 00 000000000000 06 01 0000000000000000000000000000", "00"), true],
    ["a first fragment", extended("06 00 0001 00000000", "2c"), true],
    ["a later fragment", extended("06 00 0101 00000000", "2c"), false],
    ["an authentication header", extended("06 02 0000 00000000 00000000 00000000".slice(0, -9), "33"), false],
    ["six headers", extended(`${"00 00 000000000000".repeat(5)} 06 00 000000000000`, "00"), true],
    ["seven headers", extended(`${"00 00 000000000000".repeat(6)} 06 00 000000000000`, "00"), false],
  ])("ports and tcp[] behind %s", (_, packet, expected) => {
    for (const expression of ["tcp port 80", "tcp[0:2] = 80", "tcp[tcpflags] & tcp-syn != 0", "src port 80"]) {
      expect(matches(scoped(expression), packet), expression).toBe(expected);
    }
    expect(matches(scoped("tcp[0:2] = 80"), TCP4)).toBe(true);
    expect(matches(scoped("tcp port 80"), ARP)).toBe(false);
  });

  test("what it makes, Linux takes", () => {
    for (const expression of [
      "tcp port 80",
      "port 53 or port 80",
      "tcp[13] & 2 != 0",
      "geneve or ip",
      "protochain 6",
    ]) {
      expect(check(scoped(expression).instructions)).toEqual([]);
    }
  });
});

describe("live capture on Linux", () => {
  const live = (expression: string) => compileFilter(expression, { live: true });
  const beside = { vlanPresent: 1, vlanTag: 0x2064 };
  test.each([
    // expression            packet, context               matches
    ["vlan", TCP4, beside, true],
    ["vlan", TCP4, {}, false],
    ["vlan", TAGGED_TCP4, {}, true],
    ["vlan 100", TCP4, beside, true],
    ["vlan 101", TCP4, beside, false],
    ["vlan 100", TAGGED_TCP4, {}, true],
    ["vlan 100 and tcp port 80", TCP4, beside, true],
    ["vlan 100 and tcp port 80", TAGGED_TCP4, {}, true],
    ["vlan 100 and tcp[0:2] = 80", TAGGED_TCP4, {}, true],
    ["vlan and vlan 100", TAGGED_TCP4, beside, true],
    ["vlan and vlan", TCP4, beside, false],
    ["inbound", TCP4, { pktType: 0 }, true],
    ["inbound", TCP4, { pktType: 4 }, false],
    ["outbound", TCP4, { pktType: 4 }, true],
    ["ifindex 3", TCP4, { ifindex: 3 }, true],
    ["ifindex 3", TCP4, { ifindex: 4 }, false],
  ])("%s", (expression, packet, context, expected) => {
    expect(matches(live(expression), packet, { ifindex: 1, ...context })).toBe(expected);
  });
});

describe("protochain", () => {
  const ah = "06 04 0000 00000000 00000000 000000000000000000000000";
  const behindAh = bytes(`${MACS} 0800 45 00 0050 0000 0000 40 33 0000 0a000001 0a000002 ${ah} ${TCP}`);
  const behindOptions = bytes(`${MACS} 86dd ${IPV6("00")} 06 00 000000000000 ${TCP}`);
  test.each([
    ["ip protochain 6", TCP4, true],
    ["ip protochain 6", behindAh, true],
    ["ip protochain 51", behindAh, true],
    ["ip protochain 17", behindAh, false],
    ["ip6 protochain 6", behindOptions, true],
    ["ip6 protochain 0", behindOptions, true],
    ["protochain 6", behindOptions, true],
    ["protochain 6", behindAh, true],
    ["protochain 6", ARP, false],
  ])("%s", (expression, packet, expected) => {
    const compiled = compileFilter(expression);
    expect(matches(compiled, packet)).toBe(expected);
    expect(compiled.program.profile).toBe("linux");
  });
});

describe("limits", () => {
  test("10,000 nested parentheses are a clear error, 900 a program", () => {
    expect(compileFilter(`${"(".repeat(900)}tcp${")".repeat(900)}`).instructions).toEqual(
      compileFilter("tcp").instructions,
    );
    const deep = errorOf(`${"(".repeat(10_000)}tcp${")".repeat(10_000)}`);
    expect([deep.code, deep.message.split("\n")[0]]).toEqual([
      "limit",
      expect.stringContaining("limit of 1000 levels"),
    ]);
    for (const text of [
      "not ".repeat(10_000),
      "- ".repeat(10_000),
      "ip[".repeat(10_000),
      `1${"+1".repeat(10_000)} = 1`,
      `len = ${"(".repeat(10_000)}`,
    ]) {
      expect(errorOf(text).code).toBe("limit");
    }
  });

  test("100,000 or-ed terms are a clear error", () => {
    for (const term of ["port 80", "len = 5"]) {
      const error = errorOf(new Array(100_000).fill(term).join(" or "), { optimize: (list) => list });
      expect(error.code).toBe("limit");
      expect(error.message).toMatch(/needs (more than )?\d+ instructions/);
    }
    const some = errorOf(new Array(400).fill("host 1.2.3.4").join(" or "));
    expect([some.code, some.message]).toEqual([
      "limit",
      expect.stringMatching(/^the expression needs \d+ instructions, the limit is 4096$/),
    ]);
  });

  test("jumps over more than 255 instructions", () => {
    const hosts = Array.from({ length: 150 }, (_, i) => `host 10.0.${i}.7`);
    const compiled = compileFilter(hosts.join(" or "));
    expect(compiled.instructions.length).toBeGreaterThan(3000);
    const from = (i: number) =>
      bytes(`${MACS} 0800 45 00 0028 0000 0000 40 06 0000 0a00${i.toString(16).padStart(2, "0")}07 01020304 ${TCP}`);
    for (const i of [0, 1, 50, 100, 148, 149]) expect(matches(compiled, from(i))).toBe(true);
    for (const i of [150, 200, 255]) expect(matches(compiled, from(i))).toBe(false);
    const none = compileFilter(`not (${hosts.join(" or ")})`);
    for (const i of [0, 149, 150]) expect(matches(none, from(i))).toBe(i === 150);
  });

  test("values that need too many registers", () => {
    let text = "ip[0] * ip[1]";
    for (let i = 0; i < 14; i++) text = `ip[0] * (${text})`;
    expect(compiles(`${text} = 1`)).toBeDefined();
    for (let i = 0; i < 3; i++) text = `ip[0] * (${text})`;
    expect(errorOf(`${text} = 1`).message).toContain("too many registers needed to evaluate expression");
  });
});

describe("explain", () => {
  test("in complete form and in words", () => {
    const { complete, words } = explainFilter("tcp dst port 80 or 443 and not src net 10 or arp");
    expect(complete).toBe("(((tcp dst port 80 or tcp dst port 443) and (not src net 10)) or arp)");
    expect(words).toBe(
      [
        "any of:",
        "  all of:",
        "    any of:",
        "      TCP packets with destination port 80",
        "      TCP packets with destination port 443",
        "    none of:",
        "      IPv4, ARP or RARP packets with source network 10",
        "  ARP packets",
      ].join("\n"),
    );
    expect(explainFilter("").words).toBe("every packet");
  });

  test("on a packet: the deciding term, and the bytes it read", () => {
    const expression = "arp or (ip and tcp port 22) or tcp dst port 8080";
    const decision = explainPacket(expression, compileFilter(expression), TCP4);
    expect(decision.accepted).toBe(true);
    expect(decision.decidedBy).toBe("tcp dst port 8080");
    expect(decision.lines[0]).toBe("arp: false; bytes 12..13 = 0x0800");
    expect(decision.lines.at(-1)).toContain("true");
    expect(decision.lines.at(-1)).toContain("bytes 36..37 = 0x1f90");
    expect(decision.steps.map(({ outcome }) => outcome)).toEqual([false, true, false, true]);
  });

  test("on a packet that is too short", () => {
    const expression = "ip[9] = 6 or arp";
    const decision = explainPacket(expression, compileFilter(expression), TCP4.slice(0, 20));
    expect(decision).toMatchObject({ accepted: false, decidedBy: "ip[9] = 6" });
    expect(decision.lines).toEqual(["ip[9] = 6: ends the filter; bytes 12..13 = 0x0800, byte 23 past the end"]);
  });
});

describe("random text", () => {
  const COUNT = LONG ? 1_000_000 : 20_000;
  const PIECES = [
    "tcp",
    "udp",
    "ip",
    "ip6",
    "arp",
    "ether",
    "wlan",
    "host",
    "net",
    "port",
    "portrange",
    "proto",
    "src",
    "dst",
    "and",
    "or",
    "not",
    "(",
    ")",
    "[",
    "]",
    ":",
    "=",
    "<",
    ">=",
    "!=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "&",
    "|",
    "<<",
    "80",
    "0x10",
    "09",
    "1-2",
    "10.0.0.1",
    "10.0.0.0/8",
    "/",
    "mask",
    "::1",
    "1:2:3:4:5:6",
    "1:2:",
    "$5",
    "len",
    "vlan",
    "mpls",
    "pppoes",
    "geneve",
    "vxlan",
    "llc",
    "type",
    "mgt",
    "\\tcp",
    "foo",
    "a-b-",
    "'",
    "#",
    "\u0000",
    "é",
    "😀",
    "lane",
    "vpi",
    "sio",
    "inbound",
    "gateway",
    "protochain",
    "broadcast",
    "multicast",
    "less",
    "byte",
    "tcpflags",
    "tcp-syn",
    "4294967295",
    "99999999999",
    "\n",
    "\t",
  ]; // prettier-ignore

  test(`${COUNT} expressions are a program or a BpfError`, () => {
    const random = new Random(SEED);
    const base = [...expressionsOf("common"), ...expressionsOf("ethernet"), ...expressionsOf("rejected")];
    let accepted = 0;
    for (let i = 0; i < COUNT; i++) {
      const text = random.chance(0.4)
        ? pieces(random)
        : mutated(random, random.chance(0.7) ? random.pick(base) : randomExpression(random));
      const linktype = random.pick(DLTS);
      const mode = random.pick(["compatible", "scoped"] as const);
      try {
        compileFilter(text, { linktype, mode, live: random.chance(0.3), netmask: 0xff000000 });
        accepted++;
      } catch (error) {
        if (!(error instanceof BpfError))
          throw new Error(`DLT ${linktype}, ${mode}: ${JSON.stringify(text)}`, { cause: error });
        if (error.code === "invalid-program")
          throw new Error(`invalid program for ${JSON.stringify(text)} on ${linktype}: ${error.message}`);
      }
    }
    // Both sides must be exercised.
    expect(accepted).toBeGreaterThan(COUNT / 100);
    expect(accepted).toBeLessThan(COUNT);
  }, 3_600_000);

  function pieces(random: Random): string {
    return Array.from({ length: 1 + random.below(9) }, () => random.pick(PIECES)).join(random.chance(0.9) ? " " : "");
  }

  function mutated(random: Random, text: string): string {
    const at = random.below(text.length + 1);
    switch (random.below(4)) {
      case 0:
        return text.slice(0, at) + random.pick(PIECES) + text.slice(at);
      case 1:
        return text.slice(0, at) + text.slice(at + 1 + random.below(3));
      case 2:
        return text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1);
      default:
        return `${text} ${random.pick(["and", "or", "and not", ""])} ${random.pick(PIECES)} ${text.slice(at)}`;
    }
  }
});
