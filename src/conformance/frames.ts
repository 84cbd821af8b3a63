/**
 * Random Ethernet frames: stacks of headers as the flow dissector walks them, most of them well-formed, some cut,
 * some with a field changed.
 */
import { Random } from "./random.ts";

/** How deep headers are stacked; past the dissector's own limit of 15, now and then. */
const USUAL_DEPTH = 4;
const EXCESSIVE_DEPTH = 20;

const BROADCAST = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const MULTICAST = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x01];
const STRANGER = [0x02, 0x00, 0x00, 0x00, 0x00, 0x01];
const SOURCE = [0x02, 0x00, 0x00, 0x00, 0x00, 0xfe];

/** Frame number `n` of a seed, 14..~1600 bytes. */
export function randomFrame(seed: number, n: number): Uint8Array {
  return new FrameWriter(new Random(seed, n)).frame();
}

class FrameWriter {
  readonly #random: Random;
  readonly #bytes: number[] = [];
  #depth: number;

  constructor(random: Random) {
    this.#random = random;
    this.#depth = random.oneIn(24) ? EXCESSIVE_DEPTH : random.between(1, USUAL_DEPTH);
  }

  frame(): Uint8Array {
    const random = this.#random;
    this.#bytes.push(...random.pick([BROADCAST, MULTICAST, STRANGER, STRANGER]), ...SOURCE);
    const type = this.#ethertype();
    this.#u16(type);
    this.#body(type);
    const bytes = Uint8Array.from(this.#bytes);
    const header = 14;
    if (random.oneIn(5)) return bytes.slice(0, random.between(header, bytes.length));
    for (let changes = random.oneIn(4) ? random.between(1, 3) : 0; changes > 0; changes--) {
      if (bytes.length > header) bytes[random.between(header, bytes.length - 1)] = random.below(256);
    }
    return bytes;
  }

  /** A protocol to start with or to nest; the ones that nest while there is depth left. */
  #ethertype(): number {
    const random = this.#random;
    if (this.#depth > USUAL_DEPTH) return random.pick([0x8100, 0x88a8, 0x0800, 0x86dd, 0x88fb]);
    if (random.oneIn(20)) return random.below(0x10000);
    return random.pick(ETHERTYPES);
  }

  #body(type: number): void {
    if (this.#depth-- <= 0) {
      this.#filler(random0to(this.#random, 40));
      return;
    }
    switch (type) {
      case 0x0800:
        this.#ipv4();
        return;
      case 0x86dd:
        this.#ipv6();
        return;
      case 0x8100:
      case 0x88a8: {
        const inner = this.#ethertype();
        this.#u16(this.#random.below(0x10000));
        this.#u16(inner);
        this.#body(inner);
        return;
      }
      case 0x8864: {
        const [ppp, inner] = this.#random.pick(PPP);
        this.#bytes.push(0x11, this.#random.oneIn(12) ? 9 : 0);
        this.#u16(1);
        this.#u16(100);
        this.#u16(ppp);
        this.#body(inner);
        return;
      }
      case 0x88fb:
      case 0x892f: {
        const inner = this.#ethertype();
        this.#u16(0x0034);
        this.#u16(this.#random.below(0x10000));
        this.#u16(inner);
        this.#body(inner);
        return;
      }
      case 0x4305: {
        const inner = this.#ethertype();
        this.#bytes.push(0x40, this.#random.oneIn(6) ? 14 : 15);
        this.#filler(20);
        this.#u16(inner);
        this.#body(inner);
        return;
      }
      default:
        this.#filler(random0to(this.#random, 60));
        return;
    }
  }

  #ipv4(): void {
    const random = this.#random;
    const words = random.oneIn(5) ? random.between(4, 15) : 5;
    const protocol = random.oneIn(8) ? random.below(256) : random.pick(IP_PROTOCOLS);
    const fragment = random.oneIn(6) ? random.pick([0x2000, 0x2001, 0x0001, 0x1fff, 0x8000]) : random.pick([0, 0x4000]);
    this.#bytes.push(0x40 | words, 0);
    this.#u16(random.below(0x10000));
    this.#u16(0);
    this.#u16(fragment);
    this.#bytes.push(64, protocol, 0, 0);
    this.#filler(8 + 4 * Math.max(0, words - 5));
    this.#transport(protocol);
  }

  #ipv6(): void {
    const random = this.#random;
    let next = random.oneIn(8) ? random.below(256) : random.pick(IPV6_PROTOCOLS);
    this.#bytes.push(0x60, 0, 0, 0);
    this.#u16(random.below(0x10000));
    this.#bytes.push(next, 64);
    this.#filler(32);
    for (let headers = 0; headers < 6 && [0, 43, 60, 44].includes(next); headers++) {
      const after = random.pick(IPV6_PROTOCOLS);
      if (next === 44) {
        this.#bytes.push(after, 0);
        this.#u16(random.pick([0, 1, 8, 0xfff8, 0xfff9]));
        this.#filler(4);
      } else {
        const length = random.below(3);
        this.#bytes.push(after, length);
        this.#filler(6 + 8 * length);
      }
      next = after;
    }
    this.#transport(next);
  }

  #transport(protocol: number): void {
    const random = this.#random;
    switch (protocol) {
      case 4:
        this.#body(0x0800);
        return;
      case 41:
        this.#body(0x86dd);
        return;
      case 47:
        this.#gre();
        return;
      case 6:
        this.#filler(12);
        this.#bytes.push(random.below(256));
        this.#filler(random0to(random, 30));
        return;
      default:
        this.#filler(random0to(random, 30));
        return;
    }
  }

  #gre(): void {
    const random = this.#random;
    const optional = random.pick([0, 0x8000, 0x2000, 0x1000, 0xb000, 0x3000]);
    if (random.oneIn(4)) {
      // Version 1, as PPTP uses it
      const flags = 0x2001 | random.pick([0, 0x1000, 0x0080, 0x1080]);
      this.#u16(random.oneIn(8) ? flags & ~0x2000 : flags);
      this.#u16(random.oneIn(8) ? 0x0800 : 0x880b);
      this.#filler(4 + ((flags & 0x1000) !== 0 ? 4 : 0) + ((flags & 0x80) !== 0 ? 4 : 0));
      const [ppp, inner] = random.pick(PPP);
      this.#u16(0xff03);
      this.#u16(ppp);
      this.#body(inner);
      return;
    }
    const type = random.oneIn(4) ? 0x6558 : this.#ethertype();
    this.#u16(optional | (random.oneIn(10) ? random.pick([0x4000, 2, 7]) : 0));
    this.#u16(type);
    this.#filler(
      ((optional & 0x8000) !== 0 ? 4 : 0) + ((optional & 0x2000) !== 0 ? 4 : 0) + ((optional & 0x1000) !== 0 ? 4 : 0),
    );
    if (type !== 0x6558) {
      this.#body(type);
      return;
    }
    this.#filler(12);
    const inner = this.#ethertype();
    this.#u16(inner);
    this.#body(inner);
  }

  #u16(value: number): void {
    this.#bytes.push(value >>> 8, value & 0xff);
  }

  #filler(count: number): void {
    for (let i = 0; i < count; i++) this.#bytes.push(this.#random.below(256));
  }
}

// biome-ignore format: one line a group
const ETHERTYPES = [
  0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x86dd, 0x8100, 0x88a8, 0x8864, 0x8847, 0x8848, 0x0806, 0x8035,
  0x88ca, 0x8906, 0x88f7, 0x88fb, 0x892f, 0x4305, 0x8902, 0x0004, 0x0100, 0x05ff, 0x9100,
];
const IP_PROTOCOLS = [6, 6, 17, 17, 1, 2, 4, 41, 47, 47, 50, 51, 33, 132, 136, 137, 58, 0, 43, 44, 60];
const IPV6_PROTOCOLS = [6, 17, 58, 0, 43, 60, 44, 0, 43, 60, 44, 4, 41, 47, 50, 59, 132, 136];
/** PPP protocols and what they carry as an EtherType; 0 for what the dissector does not know. */
const PPP: readonly (readonly [number, number])[] = [
  [0x0021, 0x0800],
  [0x0057, 0x86dd],
  [0x0281, 0x8847],
  [0x0283, 0x8848],
  [0xc021, 0],
  [0xc020, 0],
  [0x0101, 0],
];

/** 0..limit, and nothing at all one time in four. */
function random0to(random: Random, limit: number): number {
  return random.oneIn(4) ? 0 : random.below(limit + 1);
}
