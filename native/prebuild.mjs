// Makes prebuilt binaries under prebuilds/, which travel in the package: node native/prebuild.mjs [ARCH...]
//
// ARCH is x64 or arm64; default this machine's.  Another architecture needs its cross compiler: Debian's
// g++-aarch64-linux-gnu or g++-x86-64-linux-gnu.  Node-API 8 makes one binary serve Node 20 and later.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { buildCopy, ROOT } from "./gyp.mjs";

/** Debian's names for the tools of an architecture. */
const TOOLS = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" };

const architectures = process.argv.length > 2 ? process.argv.slice(2) : [process.arch];
for (const arch of architectures) {
  if (!Object.hasOwn(TOOLS, arch)) {
    console.error(`cbpf: no tools are known for ${arch}; expected some of ${Object.keys(TOOLS).join(", ")}`);
    process.exit(2);
  }
  const tool = (name) => (arch === process.arch ? name : `${TOOLS[arch]}-${name}`);
  const cross = arch === process.arch ? {} : { CC: tool("gcc"), CXX: tool("g++"), LINK: tool("g++"), AR: tool("ar") };
  const built = buildCopy([`--arch=${arch}`], cross);
  const folder = join(ROOT, "prebuilds", `linux-${arch}`);
  mkdirSync(folder, { recursive: true });
  const binary = join(folder, "cbpf.node");
  copyFileSync(built, binary);
  execFileSync(tool("strip"), ["--strip-unneeded", binary]);
  console.log(`prebuilds/linux-${arch}/cbpf.node: ${statSync(binary).size} bytes`);
}
