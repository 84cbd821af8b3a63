/** `cbpf compile` and `cbpf explain`. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { BpfError } from "../src/base/errors.ts";
import { SystemNames } from "../src/cli/system-names.ts";
import { compileFilter } from "../src/filter/compile.ts";
import { cbpf } from "./terminal.ts";

const HTTP = fileURLToPath(new URL("captures/http.pcap", import.meta.url));

describe("cbpf compile", () => {
  test("prints what tcpdump -d prints", async () => {
    const { status, out, err } = await cbpf(["compile", "ip"]);
    expect(out).toBe(
      [
        "(000) ldh      [12]\n",
        "(001) jeq      #0x800           jt 2\tjf 3\n",
        "(002) ret      #262144\n",
        "(003) ret      #0\n",
      ].join(""),
    );
    expect([status, err]).toEqual([0, ""]);
  });

  test("takes the words one by one, a link type, a snaplen and a form", async () => {
    const { out } = await cbpf([
      "compile",
      "-y",
      "RAW",
      "-s",
      "96",
      "--to",
      "bytecode",
      "-O",
      "ip",
      "and",
      "len",
      ">",
      "5",
    ]);
    expect(out).toBe("7,48 0 0 0,84 0 0 240,21 0 3 64,128 0 0 0,37 0 1 5,6 0 0 96,6 0 0 0\n");
  });

  test("shows where an expression is wrong, with status 3", async () => {
    const { status, out, err } = await cbpf(["compile", "tcp port 80 and 1.2.3.4.5.6.7"]);
    expect([status, out]).toEqual([3, ""]);
    expect(err).toContain("unknown port '1.2.3.4.5.6.7'");
    expect(err).toContain("  tcp port 80 and 1.2.3.4.5.6.7\n                  ^^^^^^^^^^^^^\n");
  });

  test("notes warnings", async () => {
    const { err } = await cbpf(["compile", "vlan or ip"]);
    expect(err).toContain('warning: "vlan" moves the decoding position');
    expect((await cbpf(["compile", "--mode", "scoped", "vlan or ip"])).err).toBe("");
  });

  test("refuses options that are none", async () => {
    for (const words of [
      ["-y", "NOTHING"],
      ["--netmask", "300.1.1.1"],
      ["-s", "x"],
      ["--mode", "odd"],
    ]) {
      expect((await cbpf(["compile", ...words, "ip"])).status, words.join(" ")).toBe(2);
    }
    expect((await cbpf(["compile", "--netmask", "255.255.255.0", "ip broadcast"])).status).toBe(0);
  });
});

describe("cbpf explain", () => {
  test("says what an expression means", async () => {
    const { status, out } = await cbpf(["explain", "tcp port 80 or not arp"]);
    expect(out).toBe(
      [
        "(tcp src or dst port 80 or (not arp))\n\n",
        "any of:\n  TCP packets with source or destination port 80\n  none of:\n    ARP packets\n",
      ].join(""),
    );
    expect(status).toBe(0);
  });

  test("says which part decides on a packet, and which bytes it read", async () => {
    const { status, out } = await cbpf(["explain", "arp or tcp port 80", HTTP, "--packet", "1"]);
    expect(status).toBe(0);
    expect(out).toContain("  arp: false; bytes 12..13 = 0x0800\n");
    expect(out).toContain("accepted by tcp port 80\n");
    const refused = await cbpf(["explain", "udp", HTTP, "-n", "1", "--json"]);
    expect(refused.status).toBe(1);
    expect(JSON.parse(refused.out)).toMatchObject({ complete: "udp", accepted: false, decidedBy: "udp" });
  });

  test("a packet that is not there", async () => {
    expect((await cbpf(["explain", "udp", HTTP, "-n", "100000"])).err).toContain("there is no packet 100000");
    expect((await cbpf(["explain", "udp", HTTP])).status).toBe(2);
  });
});

describe("the system's names", () => {
  test("host names are looked up between two tries", async () => {
    const compiled = await SystemNames.with((resolver) => compileFilter("host localhost", { resolver }));
    // Either family, as this system has it.
    expect(compiled.instructions.some(({ k }) => k === 0x7f000001 || k === 1)).toBe(true);
  });

  test("a name nobody knows ends the tries", async () => {
    let tries = 0;
    const attempt = SystemNames.with((resolver) => {
      tries++;
      return compileFilter("host name.invalid", { resolver });
    });
    await expect(attempt).rejects.toThrow(BpfError);
    expect(tries).toBe(2);
  });
});

describe("an expression where a program may stand", () => {
  const captures = new URL("captures/", import.meta.url);
  const at = (name: string): string => fileURLToPath(new URL(name, captures));

  test("cbpf run compiles it for the capture's link type", async () => {
    const http = await cbpf(["run", "--count", "tcp port 80", HTTP]);
    expect([http.status, http.err]).toEqual([0, ""]);
    const { stdout } = spawnSync("tcpdump", ["-r", HTTP, "--count", "tcp port 80"], { encoding: "utf8" });
    if (stdout) expect(http.out.trim()).toBe(/^(\d+) packet/m.exec(stdout)![1]);
    else console.log("filter-cli: tcpdump is not there, its count is not compared");
    expect(Number(http.out)).toBeGreaterThan(0);
    expect((await cbpf(["run", "--count", "arp", HTTP])).status).toBe(1);
    expect((await cbpf(["run", "--count", "--jobs", "2", "tcp port 80", HTTP])).out).toBe(http.out);
  });

  test("two link types in one file: each packet with its own program", async () => {
    const all = await cbpf(["run", "--json", "ip or ip6 or arp", at("two-links.pcapng")]);
    const types = all.out
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { linktype: string }).linktype);
    expect(new Set(types).size).toBe(2);
  });

  test("cbpf trace, too", async () => {
    const { out, status } = await cbpf(["trace", "tcp port 80", HTTP, "--packet", "1"]);
    expect(status).toBe(0);
    expect(out).toContain("ldh");
  });

  test("what is neither is refused as an expression, with its place", async () => {
    const { status, err } = await cbpf(["run", "tcp prt 80", HTTP]);
    expect(status).toBe(3);
    expect(err).toContain("  tcp prt 80\n      ^^^");
    // A program with an error stays a program when it is one by its lines.
    expect((await cbpf(["run", "ldh [12]\nfoo", HTTP])).err).toContain("foo");
  });
});
