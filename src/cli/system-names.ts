/**
 * Names in filter expressions, as this system knows them: /etc/services, protocols, networks and ethers, and DNS.
 *
 * The compiler asks synchronously and DNS answers later, so host names are looked up between two tries.
 */
import { readFileSync } from "node:fs";
import { BpfError } from "../base/errors.ts";
import type { Resolver } from "../filter/names.ts";

/** A resolver over the system's files and the host names looked up so far. */
export class SystemNames implements Resolver {
  readonly #hosts = new Map<string, readonly string[]>();
  readonly #wanted = new Set<string>();
  readonly #files = new Map<string, readonly (readonly string[])[]>();

  /**
   * Runs `attempt` with a resolver, again after looking up the host names that it lacked.
   *
   * @throws What `attempt` throws when all names are looked up.
   */
  static async with<T>(attempt: (names: SystemNames) => T): Promise<T> {
    const names = new SystemNames();
    for (;;) {
      try {
        return attempt(names);
      } catch (error) {
        if (!(error instanceof BpfError) || error.code !== "bad-name" || !(await names.#lookUp())) throw error;
      }
    }
  }

  host(name: string): readonly string[] | undefined {
    const known = this.#hosts.get(name);
    if (known === undefined) this.#wanted.add(name);
    return known;
  }

  net(name: string): string | undefined {
    return this.#rows("/etc/networks").find(([first, , ...aliases]) => first === name || aliases.includes(name))?.[1];
  }

  ether(name: string): string | undefined {
    return this.#rows("/etc/ethers").find(([, second]) => second === name)?.[0];
  }

  service(name: string): Partial<Record<"tcp" | "udp" | "sctp", number>> | undefined {
    const service: Partial<Record<"tcp" | "udp" | "sctp", number>> = {};
    for (const [first, entry, ...aliases] of this.#rows("/etc/services")) {
      if (first !== name && !aliases.includes(name)) continue;
      const [port, transport] = (entry ?? "").split("/");
      if (transport === "tcp" || transport === "udp" || transport === "sctp") service[transport] ??= Number(port);
    }
    return Object.keys(service).length === 0 ? undefined : service;
  }

  protocol(name: string): number | undefined {
    const row = this.#rows("/etc/protocols").find(([first, , ...aliases]) => first === name || aliases.includes(name));
    return row === undefined ? undefined : Number(row[1]);
  }

  /** Looks up the host names asked for since the last time; false when there were none. */
  async #lookUp(): Promise<boolean> {
    const wanted = [...this.#wanted];
    this.#wanted.clear();
    if (wanted.length === 0) return false;
    const { lookup } = await import("node:dns/promises");
    await Promise.all(
      wanted.map(async (name) => {
        const found = await lookup(name, { all: true }).catch(() => []);
        this.#hosts.set(name, found.map(({ address }) => address.replace(/%.*/, "")).sort());
      }),
    );
    return true;
  }

  /** The words of a file's lines; none when there is no such file. */
  #rows(path: string): readonly (readonly string[])[] {
    let rows = this.#files.get(path);
    if (rows === undefined) {
      rows = textOf(path)
        .split("\n")
        .map((line) => line.replace(/#.*/, "").trim())
        .filter((line) => line !== "")
        .map((line) => line.split(/\s+/));
      this.#files.set(path, rows);
    }
    return rows;
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
