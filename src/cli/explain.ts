/** `cbpf explain`: what a filter expression means, and what it does with one packet. */

import { BpfError } from "../base/errors.ts";
import { explainFilter, explainPacket } from "../filter/explain.ts";
import { packetContext } from "../program/packet-context.ts";
import { withContexts } from "./capture-context.ts";
import { captureBatches } from "./capture-file.ts";
import { type Arguments, type Command, EXIT, UsageError } from "./command.ts";
import { FILTER_OPTIONS, filterOptions, linktypeOption } from "./filter-argument.ts";
import { packetLine } from "./packet-line.ts";
import { SystemNames } from "./system-names.ts";
import { styled, type Terminal } from "./terminal.ts";

export const command: Command = {
  usage: "EXPRESSION [CAPTURE --packet N]",
  summary: "say what a filter expression means, and which part of it decides on a packet",
  details: "With a packet the exit status is 0 when the filter accepts it, 1 when it does not.",
  options: {
    packet: { type: "string", short: "n", value: "N", help: "number of the packet in CAPTURE, from 1" },
    ...FILTER_OPTIONS,
    json: { type: "boolean", help: "print one JSON object" },
  },
  positionals: [1, 2],
  async run(args, terminal) {
    const [expression, capture] = args.positionals as [string, string | undefined];
    const packet = capture === undefined ? undefined : await packetOf(capture, args, terminal);
    const linktype = linktypeOption(args) ?? packet?.linktype ?? 1;
    const options = filterOptions(args, linktype);
    const { complete, words, compiled } = await SystemNames.with((resolver) =>
      explainFilter(expression, { ...options, resolver }),
    );
    const decision = packet && explainPacket(expression, compiled, packet.data, packet.context);
    if (args.flag("json")) {
      const warnings = compiled.warnings.map(({ rule, message }) => ({ rule, message }));
      await terminal.write(`${JSON.stringify({ complete, words, warnings, ...decision })}\n`);
    } else {
      const notes = compiled.warnings.map(({ message }) => `${styled(terminal, "yellow", "warning")}: ${message}\n`);
      await terminal.write(
        `${styled(terminal, "bold", complete)}\n\n${words}\n${notes.length > 0 ? `\n${notes.join("")}` : ""}`,
      );
      if (packet !== undefined && decision !== undefined) {
        const verdict = decision.accepted ? styled(terminal, "green", "accepted") : styled(terminal, "red", "rejected");
        const why = decision.decidedBy === undefined ? "" : ` by ${decision.decidedBy}`;
        await terminal.write(
          `\n${packet.title}\n${decision.lines.map((line) => `  ${line}\n`).join("")}${verdict}${why}\n`,
        );
      }
    }
    return decision?.accepted === false ? EXIT.nothing : EXIT.matched;
  },
};

async function packetOf(capture: string, args: Arguments, terminal: Terminal) {
  const number = args.number("packet", 1, Number.MAX_SAFE_INTEGER);
  if (number === undefined) throw new UsageError("--packet N is needed with a capture");
  let seen = 0;
  for await (const batch of captureBatches(capture, terminal)) {
    seen = batch.firstNumber + batch.count - 1;
    if (number > seen) continue;
    const i = number - batch.firstNumber;
    const data = batch.data(i).slice();
    const known = withContexts(batch).context?.(i);
    return {
      data,
      linktype: batch.linktype,
      context: packetContext({ ...known, length: batch.lengths[i]! }),
      title: `packet ${number}: ${data.length} bytes, ${packetLine(data, batch.linktype)}`,
    };
  }
  throw new BpfError("bad-argument", `${capture} has ${seen} packets, so there is no packet ${number}`);
}
