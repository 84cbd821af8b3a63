/**
 * Joins captures into one pcapng file, an interface for each, packets in order of time.
 *
 *   node scripts/join-captures.mjs OUT.pcapng IN...
 */
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { pcapngWriter, readCaptureSync } from "../dist/capture/index.js";

const [out, ...files] = process.argv.slice(2);
const writer = pcapngWriter();
const packets = files.flatMap((file) => {
  const capture = readCaptureSync(readFileSync(file));
  const read = [...capture];
  const interfaceId = writer.addInterface({ ...capture.header.interfaces[0], name: basename(file) });
  return read.map(({ data, originalLength, timestamp }) => ({ data, originalLength, timestamp, interfaceId }));
});
packets.sort((a, b) => (a.timestamp < b.timestamp ? -1 : a.timestamp > b.timestamp ? 1 : 0));
for (const packet of packets) writer.write(packet);
writeFileSync(out, writer.take());
