/** `cbpf native`: is the native addon there, and making it where an install did not. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { status } from "../kernel/load.ts";
import { type Command, EXIT, UsageError } from "./command.ts";
import { styled, type Terminal } from "./terminal.ts";

const INSTALL = fileURLToPath(new URL("../../native/install.mjs", import.meta.url));

export const command: Command = {
  usage: "build | status",
  summary: "build the native addon, or say whether it is there",
  details: `build needs a C++ compiler, make, Python and node-gyp, which npm brings along.
Exit status 0 when the addon is there afterwards, 1 when it is not.`,
  options: {
    json: { type: "boolean", help: "print the status as JSON" },
  },
  positionals: [1, 1],
  async run(args, terminal) {
    const [action] = args.positionals;
    if (action === "status") return showStatus(terminal, args.flag("json"));
    if (action === "build") return build();
    throw new UsageError(`${action}: expected build or status`);
  },
};

async function showStatus(terminal: Terminal, json: boolean): Promise<number> {
  const found = status();
  if (json) await terminal.write(`${JSON.stringify(found, null, 2)}\n`);
  else {
    const mark = found.available ? styled(terminal, "green", "available") : styled(terminal, "red", found.reason);
    const machine = `${found.platform} ${found.arch}, kernel ${found.kernel}, Node ${process.version}`;
    await terminal.write(`${mark}: ${found.message}\n${machine}\n`);
  }
  return found.available ? EXIT.matched : EXIT.nothing;
}

/** Builds with node-gyp's output on the terminal. */
async function build(): Promise<number> {
  const child = spawn(process.execPath, [INSTALL, "--strict", "--verbose"], { stdio: "inherit" });
  const [code] = await once(child, "close");
  return code === 0 ? EXIT.matched : EXIT.nothing;
}
