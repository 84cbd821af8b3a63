import { expect, test } from "vitest";
import { compileFilter } from "../src/filter/compile.ts";
import { interpreter } from "../src/interpreter/interpreter.ts";
import { verify } from "../src/verify/verify.ts";
import { BpfError } from "../src/base/errors.ts";
import { DLTS, expressionsOf, randomExpression } from "./filter/expressions.ts";
import { buildLibpcap } from "./filter/libpcap.ts";
import { pathPackets } from "./filter/path-packets.ts";
import { Random } from "./filter/random.ts";
import { writeFileSync } from "node:fs";

test("dev", () => {
  const lib = buildLibpcap();
  if (typeof lib === "string") throw new Error(lib);
  const requests = [
    ...DLTS.flatMap((dlt) => expressionsOf("common").map((expression) => ({ dlt, expression }))),
    ...expressionsOf("rejected").map((expression) => ({ dlt: 1, expression })),
  ];
  const r = new Random(1);
  for (let i = 0; i < Number(process.env.GEN ?? 1500); i++) requests.push({ dlt: r.pick([1, 1, 1, 12, 0, 113, 9, 105, 127, 276, 10]), expression: randomExpression(r) });
  const answers = lib.compile(requests);
  const out: string[] = [];
  let [same, rejected, cases] = [0, 0, 0];
  const random = new Random(7);
  for (const [i, { dlt, expression }] of requests.entries()) {
    if (process.env.ONLY && !`${dlt} ${expression}`.match(process.env.ONLY)) continue;
    const theirs = answers[i]!;
    let ours;
    try {
      ours = compileFilter(expression, { linktype: dlt, live: /bound|ifindex/.test(expression) });
    } catch (e) {
      if (!(e instanceof BpfError)) { out.push(`CRASH ${dlt} | ${expression} | ${(e as Error).stack}`); continue; }
      if ("error" in theirs) { rejected++; continue; }
      out.push(`OURS-REJECTS ${dlt} | ${expression} | ${e.message.split("\n")[0]}`);
      continue;
    }
    if ("error" in theirs) { out.push(`OURS-ACCEPTS ${dlt} | ${expression} | ${theirs.error}`); continue; }
    const a = interpreter.load(ours.program);
    const b = interpreter.load(verify(theirs.instructions, { profile: "libpcap" }));
    const seeds = [new Uint8Array(160), Uint8Array.from({ length: 160 }, () => random.below(256))];
    const packets = [...pathPackets(theirs.instructions, seeds, 24, random), ...pathPackets(ours.instructions, seeds, 24, random)];
    let bad = false;
    for (const p of packets) {
      cases++;
      if (a.run(p) !== b.run(p)) {
        out.push(`VERDICT ${dlt} | ${expression} | ours ${a.run(p)} theirs ${b.run(p)} on ${p.length}: ${Buffer.from(p).toString("hex").replace(/(00)+$/, "")}`);
        bad = true; break;
      }
    }
    if (!bad) same++;
  }
  writeFileSync("/tmp/f/diff.txt", out.join("\n"));
  console.log({ same, rejected, cases, different: out.length, total: requests.length });
  expect(1).toBe(1);
}, 600000);
