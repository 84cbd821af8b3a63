/** The corpus on disk, for every test that runs it. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type CorpusFile, readCorpusFile } from "../src/conformance/corpus.ts";

const ROOT = fileURLToPath(new URL("./corpus", import.meta.url));

/** Every file below test/corpus, sorted by name. */
export function corpusFiles(): CorpusFile[] {
  const paths = (readdirSync(ROOT, { recursive: true }) as string[]).filter((path) => path.endsWith(".bpft"));
  return paths
    .sort()
    .map((path) => readCorpusFile(readFileSync(`${ROOT}/${path}`, "utf8"), path.replace(/\.bpft$/, "")));
}
