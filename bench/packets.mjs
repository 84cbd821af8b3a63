/**
 * The packet sets every bench uses: seeded Ethernet frames, back to back and unaligned, 64..1514 bytes, mean 320.
 *
 *   hot    1,000 packets: fit the caches, and the branch predictor knows them; pure instruction cost
 *   cold   1,000,000 packets (320 MB), streamed: memory and mispredicted branches
 *
 * 42 % are real EN10MB packets out of `../shared/captures` with other addresses and ports, where the folder is there;
 * the rest is a synthetic Internet mix (64, 594 and 1514 bytes; TCP, UDP, ICMP, ARP, IPv6, VLAN tags, fragments).
 * Addresses and ports are drawn so that each filter of `../shared/bench-filters` matches some packets.  Checksums
 * are not kept right: no filter reads them.
 *
 *   node bench/packets.mjs [count] [seed]     prints what is in a set
 */
import { fileURLToPath } from "node:url";
import { benchExpression, SHARED } from "./bench-filters.mjs";
import { capturedPackets } from "./captured-packets.mjs";

export const HOT_PACKETS = 1_000;
export const COLD_PACKETS = 1_000_000;
export const DEFAULT_SEED = 20_261_123;

const REAL_SHARE = 0.42;
const MEAN_BYTES = 320;
const MIN_BYTES = 64;
const MAX_BYTES = 1514;

/**
 * `count` packets from `seed`; the same seed and folder give the same bytes.
 *
 * @returns {{ bytes: Uint8Array, table: Uint32Array, count: number, real: number }} a PacketBatch: offset and length of
 *   packet i are table[2i] and table[2i + 1]; `real` is how many came from captures.
 */
export function packetSet(count = HOT_PACKETS, seed = DEFAULT_SEED) {
  const random = mulberry32(seed);
  const sources = SHARED === undefined ? [] : capturedPackets(`${SHARED}/captures`, MAX_BYTES);
  const pools = addressPools();
  const size = sizes(sources);
  const table = new Uint32Array(2 * count);
  let bytes = new Uint8Array(Math.ceil(count * MEAN_BYTES * 1.05) + 8 * MAX_BYTES);
  let at = 0;
  let real = 0;
  for (let i = 0; i < count; i++) {
    if (at + MAX_BYTES > bytes.length) bytes = grown(bytes);
    let length;
    if (sources.length > 0 && random() < REAL_SHARE) {
      length = putReal(bytes, at, pick(pick(sources, random), random), pools, random);
      real++;
    } else {
      length = putSynthetic(bytes, at, size(random), pools, random);
    }
    table[2 * i] = at;
    table[2 * i + 1] = length;
    at += length;
  }
  return { bytes: bytes.subarray(0, at), table, count, real };
}

/** A small seeded generator of numbers in [0, 1). */
export function mulberry32(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

function grown(bytes) {
  const larger = new Uint8Array(Math.ceil(bytes.length * 1.25) + 8 * MAX_BYTES);
  larger.set(bytes);
  return larger;
}

function pick(list, random) {
  return list[Math.floor(random() * list.length)];
}

/** IMIX sizes, the share of small packets chosen so that the whole set has the wanted mean. */
function sizes(sources) {
  const meanOf = (list) => list.reduce((sum, n) => sum + n, 0) / list.length;
  const realMean = sources.length === 0 ? 0 : meanOf(sources.map((packets) => meanOf(packets.map((p) => p.length))));
  const wanted = sources.length === 0 ? MEAN_BYTES : (MEAN_BYTES - REAL_SHARE * realMean) / (1 - REAL_SHARE);
  const large = (4 * 594 + 1514) / 5;
  const small = Math.min(1, Math.max(0, (large - wanted) / (large - MIN_BYTES)));
  return (random) => {
    if (random() < small) return MIN_BYTES;
    return random() < 0.8 ? 594 : MAX_BYTES;
  };
}

// --- addresses and ports --------------------------------------------------------------------------------------

/** Hosts and (host, port) pairs that the list filters name, so that they match something. */
function addressPools() {
  const hosts = [...benchExpression("hosts100").matchAll(/host ([\d.]+)/g)].map((m) => address(m[1]));
  const pairs = [...benchExpression("acl1000").matchAll(/host ([\d.]+) and port (\d+)/g)].map((m) => [
    address(m[1]),
    Number(m[2]),
  ]);
  return { hosts, pairs };
}

function address(dotted) {
  return dotted.split(".").reduce((value, byte) => value * 256 + Number(byte), 0);
}

const HOST = address("10.0.0.1");
const NET24 = address("178.79.150.0");
const NET16 = address("192.168.0.0");

function drawAddress(pools, random) {
  const r = random();
  if (r < 0.03) return HOST;
  if (r < 0.06) return NET24 + Math.floor(random() * 256);
  if (r < 0.26) return NET16 + Math.floor(random() * 65536);
  if (r < 0.38 && pools.hosts.length > 0) return pick(pools.hosts, random);
  if (r < 0.5) return HOST + Math.floor(random() * 65536);
  return Math.floor(random() * 0xe0000000);
}

const SERVICES = [80, 80, 80, 443, 443, 443, 53, 53, 22, 25, 8080, 8443, 3306, 6000];

function drawPort(random) {
  const r = random();
  if (r < 0.45) return pick(SERVICES, random);
  return r < 0.55 ? Math.floor(random() * 6001) : 1024 + Math.floor(random() * 64512);
}

/** Writes addresses and, where `ports` is a position, ports; now and then a pair that an access list names. */
function putFlow(bytes, ip, ports, pools, random) {
  const listed = pools.pairs.length > 0 && random() < 0.05 ? pick(pools.pairs, random) : undefined;
  const asSource = random() < 0.5;
  putU32(bytes, ip + 12, listed !== undefined && asSource ? listed[0] : drawAddress(pools, random));
  putU32(bytes, ip + 16, listed !== undefined && !asSource ? listed[0] : drawAddress(pools, random));
  if (ports === undefined) return;
  putPorts(bytes, ports, listed?.[1], random);
}

function putPorts(bytes, at, listed, random) {
  const service = listed ?? drawPort(random);
  const other = 1024 + Math.floor(random() * 64512);
  const toServer = random() < 0.5;
  putU16(bytes, at, toServer ? other : service);
  putU16(bytes, at + 2, toServer ? service : other);
}

// --- real packets -----------------------------------------------------------------------------------------------

/** Writes a real packet with other addresses and ports, padded to 64 bytes as Ethernet does; returns its length. */
function putReal(bytes, at, packet, pools, random) {
  const length = Math.max(MIN_BYTES, packet.length);
  bytes.fill(0, at, at + length);
  bytes.set(packet, at);
  let ether = at + 12;
  while (u16(bytes, ether) === 0x8100 || u16(bytes, ether) === 0x88a8) {
    ether += 4;
    if (ether + 2 > at + packet.length) return length;
  }
  const end = at + packet.length;
  const ip = ether + 2;
  if (u16(bytes, ether) === 0x0800 && ip + 20 <= end) {
    const transport = ip + 4 * (bytes[ip] & 15);
    const fragment = (u16(bytes, ip + 6) & 0x1fff) !== 0;
    const hasPorts = (bytes[ip + 9] === 6 || bytes[ip + 9] === 17) && !fragment && transport + 4 <= end;
    putFlow(bytes, ip, hasPorts ? transport : undefined, pools, random);
  } else if (u16(bytes, ether) === 0x86dd && ip + 40 <= end) {
    putU32(bytes, ip + 20, Math.floor(random() * 0x1_0000_0000));
    putU32(bytes, ip + 36, Math.floor(random() * 0x1_0000_0000));
    if ((bytes[ip + 6] === 6 || bytes[ip + 6] === 17) && ip + 44 <= end) putPorts(bytes, ip + 40, undefined, random);
  }
  return length;
}

// --- synthetic packets ------------------------------------------------------------------------------------------

/** Writes one packet of the mix; returns its length. */
function putSynthetic(bytes, at, length, pools, random) {
  for (let i = at; i < at + length; i++) bytes[i] = i * 31; // payload: anything but zeros
  for (let i = 0; i < 12; i++) bytes[at + i] = random() * 256;
  bytes[at] &= 0xfe; // unicast destination
  let ether = at + 12;
  if (random() < 0.05) {
    putU16(bytes, ether, 0x8100);
    putU16(bytes, ether + 2, Math.floor(random() * 4096));
    ether += 4;
  }
  const r = random();
  if (r < 0.03) return putArp(bytes, ether, at + length, pools, random) - at;
  if (r < 0.15) putIpv6(bytes, ether, at + length, random);
  else putIpv4(bytes, ether, at + length, pools, random);
  return length;
}

function putArp(bytes, ether, end, pools, random) {
  putU16(bytes, ether, 0x0806);
  bytes.set([0, 1, 8, 0, 6, 4, 0, random() < 0.5 ? 1 : 2], ether + 2);
  putU32(bytes, ether + 16, drawAddress(pools, random));
  putU32(bytes, ether + 26, drawAddress(pools, random));
  return end;
}

function protocol(random) {
  const r = random();
  if (r < 0.62) return 6;
  return r < 0.94 ? 17 : 1;
}

function putIpv4(bytes, ether, end, pools, random) {
  putU16(bytes, ether, 0x0800);
  const ip = ether + 2;
  const words = random() < 0.03 ? 6 : 5;
  const proto = protocol(random);
  const fragment = random() < 0.03 ? 1 + Math.floor(random() * 200) : 0;
  bytes[ip] = 0x40 | words;
  bytes[ip + 1] = 0;
  putU16(bytes, ip + 2, end - ip);
  putU16(bytes, ip + 4, Math.floor(random() * 65536));
  putU16(bytes, ip + 6, fragment === 0 ? 0x4000 : 0x2000 | fragment);
  bytes[ip + 8] = 64;
  bytes[ip + 9] = proto;
  const transport = ip + 4 * words;
  putFlow(bytes, ip, proto === 1 || fragment > 0 ? undefined : transport, pools, random);
  if (fragment === 0) putTransport(bytes, transport, end, proto, random);
}

function putIpv6(bytes, ether, end, random) {
  putU16(bytes, ether, 0x86dd);
  const ip = ether + 2;
  const proto = protocol(random) === 6 ? 6 : 17;
  putU32(bytes, ip, 0x60000000);
  putU16(bytes, ip + 4, end - ip - 40);
  bytes[ip + 6] = proto;
  bytes[ip + 7] = 64;
  putU32(bytes, ip + 8, 0x20010db8);
  putU32(bytes, ip + 24, 0x20010db8);
  putU32(bytes, ip + 20, Math.floor(random() * 0x1_0000_0000));
  putU32(bytes, ip + 36, Math.floor(random() * 0x1_0000_0000));
  // 64 bytes hold only the start of the transport header behind a tag
  if (ip + 44 <= end) putPorts(bytes, ip + 40, undefined, random);
}

function putTransport(bytes, at, end, proto, random) {
  if (proto === 6 && at + 20 <= end) {
    bytes[at + 12] = 0x50;
    const r = random();
    bytes[at + 13] = r < 0.08 ? 0x02 : r < 0.14 ? 0x12 : r < 0.22 ? 0x11 : r < 0.6 ? 0x10 : 0x18;
  } else if (proto === 17) {
    putU16(bytes, at + 4, end - at);
  } else if (proto === 1) {
    bytes[at] = random() < 0.5 ? 8 : 0;
    bytes[at + 1] = 0;
  }
}

function u16(bytes, at) {
  return (bytes[at] << 8) | bytes[at + 1];
}

function putU16(bytes, at, value) {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function putU32(bytes, at, value) {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Prints what the set holds. */
function describe(count, seed) {
  const started = performance.now();
  const set = packetSet(count, seed);
  const ms = performance.now() - started;
  const kinds = new Map();
  for (let i = 0; i < count; i++) {
    const type = u16(set.bytes, set.table[2 * i] + 12);
    kinds.set(type, (kinds.get(type) ?? 0) + 1);
  }
  console.log(
    `${count} packets, ${set.bytes.length} bytes, mean ${(set.bytes.length / count).toFixed(1)}, ${ms.toFixed(0)} ms`,
  );
  console.log(`real ${((100 * set.real) / count).toFixed(1)} %`);
  for (const [type, n] of [...kinds].sort((a, b) => b[1] - a[1]).slice(0, 8)) {
    console.log(`  0x${type.toString(16).padStart(4, "0")} ${((100 * n) / count).toFixed(1)} %`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  describe(Number(process.argv[2] ?? HOT_PACKETS), Number(process.argv[3] ?? DEFAULT_SEED));
}
