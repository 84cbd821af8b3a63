/**
 * An instruction set as a value: the 49 rows of Linux, and what a user added.
 *
 * `ISA` is the plain machine.  `ISA.extend(row)` returns a new, larger set and changes nothing: two virtual machines
 * in one process can give the same code different meanings.
 */

import { hex } from "../base/bytes.ts";
import { BpfError } from "../base/errors.ts";
import { ANCILLARY, type AncillaryRow, ancillaryAt } from "./ancillary.ts";
import { SKF_AD_OFF } from "./limits.ts";
import { OPCODES, type OpcodeRow } from "./opcodes.ts";

/** The registers and data that an extension may read and write while a program runs. */
export interface MachineState {
  /** Accumulator, u32.  Written values are taken modulo 2^32. */
  a: number;
  /** Index register, u32.  Written values are taken modulo 2^32. */
  x: number;
  /** Scratch memory M[0]..M[15]; 0 at the start of a program that uses extensions. */
  readonly mem: Uint32Array;
  /** The captured bytes; a view, valid during the call. */
  packet: Uint8Array;
  /** The packet context that the run was given: a `PacketContext`, and in a VM the user's `Context`. */
  context: unknown;
}

/** A user's instruction.  Its code must be free; jt, jf and k mean what `run` makes of them; it falls through. */
export interface ExtensionRow {
  /** 0..0xffff, none of the 49. */
  readonly code: number;
  /** Unique name, as in the table. */
  readonly name: string;
  /** Assembler word; the name when absent.  The operand is `#k`, and may be left out when k is 0. */
  readonly mnemonic?: string;
  /** Meaning in one line, shown by listings. */
  readonly pseudo?: string;
  /**
   * Does the work on the machine state.  Returning a number ends the program with that verdict (modulo 2^32);
   * returning undefined goes on.  What it throws ends the run and reaches the caller.
   */
  run(state: MachineState, instruction: ExtensionOperands): number | undefined;
}

/** The fields of the instruction that an extension is called for. */
export interface ExtensionOperands {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** A user's ancillary load: `ld [SKF_AD_OFF + offset]` for an offset that the kernel does not know. */
export interface AncillaryExtension {
  /** n of SKF_AD_OFF + n: 0..0xfff, none of the kernel's 16. */
  readonly offset: number;
  /** Assembler word: `ld #word`. */
  readonly name: string;
  /** The value for A, taken modulo 2^32. */
  read(state: MachineState): number;
}

/** A row of the table or of a user. */
export type AnyRow = OpcodeRow | ExtensionRow;

export class InstructionSet {
  /** The user's rows by code. */
  readonly extensions: ReadonlyMap<number, ExtensionRow>;
  /** The user's ancillary loads by k. */
  readonly ancillaryExtensions: ReadonlyMap<number, AncillaryExtension>;

  constructor(
    extensions: ReadonlyMap<number, ExtensionRow> = new Map(),
    ancillaryExtensions: ReadonlyMap<number, AncillaryExtension> = new Map(),
  ) {
    this.extensions = extensions;
    this.ancillaryExtensions = ancillaryExtensions;
    Object.freeze(this);
  }

  /** The table's row of a code, or undefined for an unknown or a user's code. */
  known(code: number): OpcodeRow | undefined {
    return KNOWN.get(code);
  }

  /** The row of a code, the table's or a user's. */
  row(code: number): AnyRow | undefined {
    return KNOWN.get(code) ?? this.extensions.get(code);
  }

  /** The ancillary row of an absolute load's k, the kernel's or a user's. */
  ancillary(k: number): AncillaryRow | AncillaryExtension | undefined {
    return ancillaryAt(k) ?? this.ancillaryExtensions.get(k);
  }

  /** True when an instruction means what only its user knows: a registered code, or a registered ancillary load. */
  isExtension({ code, k }: ExtensionOperands): boolean {
    const does = KNOWN.get(code)?.does;
    if (does === undefined) return this.extensions.has(code);
    return does.kind === "packet" && does.at === "abs" && this.ancillaryExtensions.has(k);
  }

  /**
   * A new set with one more instruction.
   *
   * @throws {BpfError} `opcode-taken` when the code or the mnemonic is in use, naming both rows; `bad-argument` when
   *   the code is no integer in 0..0xffff or `run` is no function.
   */
  extend(row: ExtensionRow): InstructionSet {
    if (!Number.isInteger(row.code) || row.code < 0 || row.code > 0xffff) {
      throw new BpfError("bad-argument", `opcode ${row.code} is outside 0..0xffff`);
    }
    if (typeof row.run !== "function")
      throw new BpfError("bad-argument", `opcode ${hex(row.code)}: run is no function`);
    const taken = this.row(row.code);
    if (taken !== undefined) {
      throw new BpfError("opcode-taken", `opcode ${hex(row.code, 2)} of "${row.name}" is taken by "${taken.name}"`);
    }
    const word = row.mnemonic ?? row.name;
    const namesake = [...KNOWN.values(), ...this.extensions.values()].find((r) => (r.mnemonic ?? r.name) === word);
    if (namesake !== undefined) {
      throw new BpfError("opcode-taken", `mnemonic "${word}" of "${row.name}" is taken by "${namesake.name}"`);
    }
    return new InstructionSet(new Map(this.extensions).set(row.code, Object.freeze(row)), this.ancillaryExtensions);
  }

  /**
   * A new set with one more ancillary load.
   *
   * @throws {BpfError} `opcode-taken` when the offset or the name is in use; `bad-argument` when the offset is
   *   outside 0..0xfff or `read` is no function.
   */
  extendAncillary(row: AncillaryExtension): InstructionSet {
    if (!Number.isInteger(row.offset) || row.offset < 0 || row.offset > 0xfff) {
      throw new BpfError("bad-argument", `ancillary offset ${row.offset} is outside 0..0xfff`);
    }
    if (typeof row.read !== "function") {
      throw new BpfError("bad-argument", `ancillary offset ${row.offset}: read is no function`);
    }
    const k = SKF_AD_OFF + row.offset;
    const taken = this.ancillary(k);
    if (taken !== undefined) {
      throw new BpfError("opcode-taken", `ancillary offset ${row.offset} of "${row.name}" is taken by "${taken.name}"`);
    }
    const words = new Set([
      ...ANCILLARY.flatMap((r) => r.words),
      ...[...this.ancillaryExtensions.values()].map((r) => r.name),
    ]);
    if (words.has(row.name)) throw new BpfError("opcode-taken", `ancillary name "${row.name}" is taken`);
    return new InstructionSet(this.extensions, new Map(this.ancillaryExtensions).set(k, Object.freeze(row)));
  }
}

const KNOWN: ReadonlyMap<number, OpcodeRow> = new Map(OPCODES.map((r) => [r.code, r]));

/** The plain machine: the instruction set of Linux. */
export const ISA = new InstructionSet();
