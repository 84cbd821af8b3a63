/**
 * Listings of compiled expressions, one file a family in test/filter/*.filter.
 *
 * An entry is `filter LINKTYPE: expression` and the unoptimized program.  CBPF_GOLDEN=1 rewrites the programs; what
 * they mean is settled in filter-libpcap.test.ts.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { compileFilter } from "../src/filter/compile.ts";
import { linktypeFromName } from "../src/link/linktypes.ts";
import { assemble } from "../src/text/assemble.ts";
import { disassemble } from "../src/text/disassemble.ts";

const REWRITE = process.env.CBPF_GOLDEN === "1";
const folder = new URL("./filter/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".filter"));

interface Entry {
  readonly linktype: string;
  readonly flags: string;
  readonly expression: string;
  readonly program: string;
}

/** `filter EN10MB live scoped: vlan 5`, then the program. */
const HEAD = /^filter (\S+?)((?: (?:live|scoped))*): (.*)$/;

function entriesOf(text: string): { header: string; entries: Entry[] } {
  const [header, ...parts] = text.split(/^(?=filter )/m);
  const entries = parts.map((part) => {
    const end = part.indexOf("\n");
    const [, linktype, flags, expression] = HEAD.exec(part.slice(0, end))!;
    return { linktype: linktype!, flags: flags!, expression: expression!, program: part.slice(end + 1).trimEnd() };
  });
  return { header: header!, entries };
}

function listing({ linktype, flags, expression }: Entry): string {
  const { instructions } = compileFilter(expression, {
    linktype: linktypeFromName(linktype)!,
    live: flags.includes("live"),
    mode: flags.includes("scoped") ? "scoped" : "compatible",
  });
  return disassemble(instructions).trimEnd();
}

describe.each(files)("%s", (name) => {
  const { header, entries } = entriesOf(readFileSync(new URL(name, folder), "utf8"));
  if (REWRITE) {
    const text = entries.map((e) => `filter ${e.linktype}${e.flags}: ${e.expression}\n${listing(e)}\n`).join("\n");
    writeFileSync(new URL(name, folder), header + text);
  }
  test.each(entries.map((entry) => [`${entry.linktype}${entry.flags}: ${entry.expression}`, entry] as const))(
    "%s",
    (_, entry) => {
      if (!REWRITE) expect(listing(entry)).toBe(entry.program);
      expect(assemble(listing(entry)).length).toBeGreaterThan(0);
    },
  );
});

test("there are golden files", () => {
  expect(files.length).toBeGreaterThan(4);
});
