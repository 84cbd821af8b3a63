/**
 * Real Ethernet packets out of a folder of capture files, for the packet sets of the benches.
 *
 * A reader of its own, so that a packet set does not change with the package that is measured.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";

/** The EN10MB packets of 14 to `longest` bytes, one list a capture file; damaged ends are left out. */
export function capturedPackets(folder, longest) {
  if (!existsSync(folder)) return [];
  const lists = [];
  for (const name of readdirSync(folder).sort()) {
    if (!/\.(pcap|pcapng)$/.test(name)) continue;
    const packets = readPackets(readFileSync(`${folder}/${name}`)).filter(
      (packet) => packet.length >= 14 && packet.length <= longest,
    );
    if (packets.length > 0) lists.push(packets);
  }
  return lists;
}

/** EN10MB packets of a pcap or pcapng file. */
function readPackets(file) {
  if (file.length < 24) return [];
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const magic = view.getUint32(0, true);
  if (magic === 0x0a0d0d0a) return readPcapng(file, view);
  const little = magic === 0xa1b2c3d4 || magic === 0xa1b23c4d;
  const big = magic === 0xd4c3b2a1 || magic === 0x4d3cb2a1;
  if ((!little && !big) || (view.getUint32(20, little) & 0xffff) !== 1) return [];
  const out = [];
  for (let at = 24; at + 16 <= file.length; ) {
    const length = view.getUint32(at + 8, little);
    if (at + 16 + length > file.length) break;
    out.push(file.subarray(at + 16, at + 16 + length));
    at += 16 + length;
  }
  return out;
}

function readPcapng(file, view) {
  const little = view.getUint32(8, true) === 0x1a2b3c4d;
  const out = [];
  const linkTypes = [];
  for (let at = 0; at + 12 <= file.length; ) {
    const type = view.getUint32(at, little);
    const total = view.getUint32(at + 4, little);
    if (total < 12 || at + total > file.length) break;
    if (type === 1) linkTypes.push(view.getUint16(at + 8, little));
    if (type === 6 && linkTypes[view.getUint32(at + 8, little)] === 1) {
      const length = view.getUint32(at + 20, little);
      if (28 + length <= total) out.push(file.subarray(at + 28, at + 28 + length));
    }
    at += total;
  }
  return out;
}
