/** The options --pid and --fd, which name a socket of a running process. */
import { type ForeignSocket, openForeignSocket } from "../kernel/foreign-socket.ts";
import { type Arguments, type Option, UsageError } from "./command.ts";

export const FOREIGN_OPTIONS = {
  pid: { type: "string", value: "N", help: "process that has the socket; /proc/N/fd lists its descriptors" },
  fd: { type: "string", value: "N", help: "descriptor of the socket in that process" },
} as const satisfies Record<string, Option>;

export const FOREIGN_DETAILS =
  "The right to ptrace the process is needed: one's own processes, or root.  Linux 5.6 and the native addon.";

/** A copy of the descriptor that is meant; the caller closes it. */
export function foreignSocket(args: Arguments): ForeignSocket {
  const pid = args.number("pid", 1, 0x7fffffff);
  const fd = args.number("fd", 0, 0x7fffffff);
  if (pid === undefined || fd === undefined) throw new UsageError("--pid N and --fd N are needed");
  return openForeignSocket(pid, fd);
}
