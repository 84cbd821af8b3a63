// Bundled and run by jit-hosts.test.ts: prints for each shape of long-programs.ts the tier that each engine's filter is
// on and the verdicts on packets of several lengths.
import { packetContext } from "../../src/program/packet-context.ts";
import { engineNamed } from "../../src/vm/tiers.ts";
import { longPrograms } from "../long-programs.ts";

const [size, lengths] = process.argv.slice(2).map((text) => JSON.parse(text));
const context = packetContext({ ifindex: 3, random: () => 9, before: new Uint8Array(8).fill(7), mac: -8 });

const answers = [...longPrograms(size)].flatMap(([shape, program]) =>
  (["js", "wasm", "auto"] as const).map((name) => {
    const filter = engineNamed(name).load(program).compile();
    const verdicts = lengths.map((length: number) =>
      filter.run(
        Uint8Array.from({ length }, (_, i) => i * 37 + 11),
        context,
      ),
    );
    return { shape, name, tier: filter.tier, verdicts };
  }),
);
console.log(JSON.stringify(answers));
