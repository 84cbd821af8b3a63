/**
 * Tables of figures: printed while they grow, and kept in bench/record with the machine and the date.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** What a figure depends on, besides the code. */
export function machine() {
  return {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    cpu: `${cpus()[0].model.trim()}, ${availableParallelism()} cores`,
    kernel: release().split("-")[0],
    load: loadavg()[0].toFixed(1),
  };
}

/** A table that prints itself row by row. */
export class Table {
  #title;
  #columns;
  #rows = [];

  constructor(title, columns) {
    this.#title = title;
    this.#columns = columns;
    console.log(`\n${title}`);
    this.#print(["", ...columns]);
  }

  /** Adds a row and prints it. */
  add(name, cells) {
    const row = [name, ...cells];
    this.#rows.push(row);
    this.#print(row);
  }

  markdown() {
    const line = (cells) => `| ${cells.join(" | ")} |`;
    const head = [line(["", ...this.#columns]), line(["---", ...this.#columns.map(() => "---:")])];
    return [`## ${this.#title}`, "", ...head, ...this.#rows.map(line), ""].join("\n");
  }

  #print([name, ...cells]) {
    const padded = cells.map((cell, i) => cell.padStart(Math.max(15, this.#columns[i].length + 2)));
    console.log(`${name.padEnd(22)}${padded.join("")}`);
  }
}

/** Writes bench/record/DATE-nodeMAJOR-CPU.md; returns its path. */
export function writeRecord(title, facts, notes, tables) {
  const slug = (text) =>
    text
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "");
  const folder = fileURLToPath(new URL("record", import.meta.url));
  const cpu = slug(cpus()[0].model);
  const path = join(folder, `${facts.date}-node${process.versions.node.split(".")[0]}-${cpu}.md`);
  const lines = [
    `# ${title}`,
    "",
    ...Object.entries(facts).map(([name, value]) => `* ${name}: ${value}`),
    ...notes.map((note) => `* ${note}`),
    "",
    ...tables.map((table) => table.markdown()),
  ];
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, `${lines.join("\n").trimEnd()}\n`);
  return relative(".", path);
}
