/**
 * SKF_AD_PAY_OFFSET: where the payload starts, as the kernel's flow dissector finds it.
 *
 * The walk starts at the network header with the packet's protocol, follows VLAN tags, PPPoE, tunnels (IPIP, GRE,
 * MPLS over IP) and IPv6 extension headers for at most 15 further headers, and then adds the size of the transport
 * header it ends at.  The answer is relative to byte 0 of the packet.
 *
 * Source: net/core/flow_dissector.c, __skb_flow_dissect() and skb_get_poff(); net/core/filter.c, bpf_skb_get_pay_offset().
 * Measured on Linux 6.18; 6.1 knows no CFM (0x8902).
 */
import { NO_CONTEXT, type PacketContext } from "./packet-context.ts";
import { LOAD_FAILED, loadAt } from "./packet-load.ts";

/** MAX_FLOW_DISSECT_HDRS: headers after the first one. */
const MAX_HEADERS = 15;
/** IP fragment bits: MF and the 13-bit offset. */
const IPV4_FRAGMENT = 0x3fff;
const IPV4_FRAGMENT_OFFSET = 0x1fff;
const IPV6_FRAGMENT_OFFSET = 0xfff8;

const GRE_CHECKSUM = 0x8000;
const GRE_ROUTING = 0x4000;
const GRE_KEY = 0x2000;
const GRE_SEQUENCE = 0x1000;
const GRE_ACK = 0x0080;
const GRE_VERSION = 0x0007;

/** What a step says: go on with another protocol or IP protocol, or stop, with the position or without an answer. */
type Step = "proto" | "ip" | "good" | "bad";

const NOTHING = new Uint8Array(0);

/** Finds payload offsets.  One object serves any number of packets, one after the other, and allocates nothing. */
export class FlowDissector {
  #packet: Uint8Array = NOTHING;
  #start = 0;
  #length = 0;
  #context: PacketContext = NO_CONTEXT;
  /** The protocol at hand, an EtherType. */
  #proto = 0;
  /** Position relative to byte 0; may be negative. */
  #at = 0;
  #ipProto = 0;
  #fragment = false;
  #firstFragment = false;
  #sawVlan = false;
  /** Set by an IP header, whose payload is parsed without counting as a further header. */
  #enteredIp = false;

  /** The payload offset of `packet[start..start + length)`, u32; 0 where the dissector gives up. */
  payOffset(packet: Uint8Array, start: number, length: number, context: PacketContext): number {
    this.#packet = packet;
    this.#start = start;
    this.#length = length;
    this.#context = context;
    this.#proto = context.vlanPresent ? context.vlanTpid : context.protocol;
    this.#at = context.network;
    this.#ipProto = 0;
    this.#fragment = false;
    this.#firstFragment = false;
    this.#sawVlan = false;
    const offset = this.#dissect() ? this.#behindTransport() : 0;
    this.#packet = NOTHING; // a packet is not kept alive by the last filter that saw it
    this.#context = NO_CONTEXT;
    return offset;
  }

  /** Walks the headers; false where there is no answer. */
  #dissect(): boolean {
    let step: Step = "proto";
    for (let headers = 0; headers <= MAX_HEADERS; headers++) {
      this.#enteredIp = false;
      step = step === "proto" ? this.#protocol() : this.#ipProtocol();
      if (this.#enteredIp) step = this.#ipProtocol();
      if (step === "good") return true;
      if (step === "bad") return false;
    }
    return true;
  }

  /** The position behind the transport header: skb_get_poff(). */
  #behindTransport(): number {
    // LEN, not the captured bytes: what a capture cut off is no less there.
    const th = Math.min(this.#at >>> 0, this.#context.length ?? this.#length);
    if (th > 0xffff) return 0;
    if (this.#fragment && !this.#firstFragment) return th;
    switch (this.#ipProto) {
      case 6: {
        const dataOffset = this.#read(th + 12, 1);
        return dataOffset === LOAD_FAILED ? th : th + Math.max(20, (dataOffset >> 4) * 4);
      }
      case 17: // UDP
      case 136: // UDP-Lite
      case 1: // ICMP
      case 58: // ICMPv6
      case 2: // IGMP
        return th + 8;
      case 33: // DCCP
      case 132: // SCTP
        return th + 12;
      default:
        return th;
    }
  }

  #read(at: number, size: 1 | 2 | 4): number {
    return loadAt(this.#packet, this.#start, this.#length, this.#context.before, at, size);
  }

  /** True when `bytes` bytes from the position on are there. */
  #has(bytes: number): boolean {
    return this.#at + bytes <= this.#length && this.#at >= -this.#context.before.length;
  }

  #protocol(): Step {
    switch (this.#proto) {
      case 0x0800: {
        if (!this.#has(20)) return "bad";
        const headerBytes = 4 * (this.#read(this.#at, 1) & 15);
        if (headerBytes < 20) return "bad";
        const fragment = this.#read(this.#at + 6, 2);
        this.#ipProto = this.#read(this.#at + 9, 1);
        this.#at += headerBytes;
        if ((fragment & IPV4_FRAGMENT) !== 0) {
          this.#fragment = true;
          this.#firstFragment = (fragment & IPV4_FRAGMENT_OFFSET) === 0;
          return "good";
        }
        this.#enteredIp = true;
        return "ip";
      }
      case 0x86dd:
        if (!this.#has(40)) return "bad";
        this.#ipProto = this.#read(this.#at + 6, 1);
        this.#at += 40;
        this.#enteredIp = true;
        return "ip";
      case 0x8100:
      case 0x88a8: {
        const inMetadata = !this.#sawVlan && this.#context.vlanPresent !== 0;
        this.#sawVlan = true;
        if (inMetadata) {
          this.#proto = this.#context.protocol;
          return "proto";
        }
        return this.#nested(4, 2);
      }
      case 0x8864:
        return this.#pppoe();
      case 0x8847: // MPLS: the label is skipped, the payload's protocol is not known
      case 0x8848:
        this.#at += 4;
        return "good";
      case 0x0806: // ARP
      case 0x8035: // RARP
      case 0x8902: // CFM
        return "good";
      case 0x88ca: // TIPC
        return this.#has(16) ? "good" : "bad";
      case 0x8906: // FCoE
        return this.#skip(38);
      case 0x88f7: // PTP
        return this.#skip(34);
      case 0x88fb: // PRP
      case 0x892f: // HSR
        return this.#nested(6, 4);
      case 0x4305: // batman-adv, unicast of version 15
        if (!this.#has(24) || this.#read(this.#at, 1) !== 0x40 || this.#read(this.#at + 1, 1) !== 15) return "bad";
        return this.#nested(24, 22);
      default:
        return "bad";
    }
  }

  #ipProtocol(): Step {
    switch (this.#ipProto) {
      case 47:
        return this.#gre();
      case 0: // hop-by-hop
      case 43: // routing
      case 60: // destination options
        if (this.#proto !== 0x86dd) return "good";
        if (!this.#has(2)) return "bad";
        this.#ipProto = this.#read(this.#at, 1);
        this.#at += 8 * (this.#read(this.#at + 1, 1) + 1);
        return "ip";
      case 44: // fragment
        if (this.#proto !== 0x86dd) return "good";
        if (!this.#has(8)) return "bad";
        this.#fragment = true;
        this.#firstFragment = (this.#read(this.#at + 2, 2) & IPV6_FRAGMENT_OFFSET) === 0;
        this.#ipProto = this.#read(this.#at, 1);
        this.#at += 8;
        return "good";
      case 4:
        this.#proto = 0x0800;
        return "proto";
      case 41:
        this.#proto = 0x86dd;
        return "proto";
      case 137:
        this.#proto = 0x8847;
        return "proto";
      default:
        return "good";
    }
  }

  /** A header of fixed size after which nothing more is parsed. */
  #skip(bytes: number): Step {
    if (!this.#has(bytes)) return "bad";
    this.#at += bytes;
    return "good";
  }

  /** A header of fixed size whose next protocol stands at `protoAt`. */
  #nested(bytes: number, protoAt: number): Step {
    if (!this.#has(bytes)) return "bad";
    this.#proto = this.#read(this.#at + protoAt, 2);
    this.#at += bytes;
    return "proto";
  }

  #pppoe(): Step {
    // Version 1, type 1, code 0, and behind the 6-byte header the PPP protocol.
    if (!this.#has(8) || this.#read(this.#at, 2) !== 0x1100) return "bad";
    const ppp = this.#read(this.#at + 6, 2);
    this.#at += 8;
    const inner = PPP_TO_ETHERTYPE.get(ppp);
    // Bit 0 of a PPP protocol's low byte is 1 and of its high byte 0 (RFC 1661 section 2).
    if (inner === undefined) return (ppp & 0x0101) === 1 ? "good" : "bad";
    this.#proto = inner;
    return "proto";
  }

  #gre(): Step {
    if (!this.#has(4)) return "bad";
    const flags = this.#read(this.#at, 2);
    const type = this.#read(this.#at + 2, 2);
    const version = flags & GRE_VERSION;
    if ((flags & GRE_ROUTING) !== 0 || version > 1) return "good";
    this.#proto = type;
    if (version === 1 && (type !== 0x880b || (flags & GRE_KEY) === 0)) return "good";
    let bytes = 4;
    if ((flags & GRE_CHECKSUM) !== 0) bytes += 4;
    if ((flags & GRE_KEY) !== 0) {
      bytes += 4;
      if (!this.#has(bytes)) return "bad";
    }
    if ((flags & GRE_SEQUENCE) !== 0) bytes += 4;
    if (version === 0 && type === 0x6558) {
      // Transparent Ethernet bridging: the inner MAC header
      if (!this.#has(bytes + 14)) return "bad";
      this.#proto = this.#read(this.#at + bytes + 12, 2);
      bytes += 14;
    } else if (version === 1) {
      if ((flags & GRE_ACK) !== 0) bytes += 4;
      if (!this.#has(bytes + 4)) return "bad";
      const ppp = this.#read(this.#at + bytes + 2, 2);
      if (ppp === 0x21) this.#proto = 0x0800;
      else if (ppp === 0x57) this.#proto = 0x86dd;
      bytes += 4;
    }
    this.#at += bytes;
    return "proto";
  }
}

/** PPP protocol numbers that the dissector follows, and their EtherTypes. */
const PPP_TO_ETHERTYPE: ReadonlyMap<number, number> = new Map([
  [0x0021, 0x0800],
  [0x0057, 0x86dd],
  [0x0281, 0x8847],
  [0x0283, 0x8848],
]);
