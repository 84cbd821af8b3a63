/**
 * A virtual machine: an instruction set, an engine, a profile and a context class, as one frozen value.
 *
 * Registering something returns a new machine.  Programs remember the machine's set, so they run the same wherever
 * they go in user space; the kernel side refuses programs that use extensions.
 */
import { BpfError } from "../base/errors.ts";
import { interpreter } from "../interpreter/interpreter.ts";
import { type ExtensionOperands, type InstructionSet, ISA, type MachineState } from "../isa/instruction-set.ts";
import type { DecodeOptions } from "../program/codec.ts";
import type { Engine, ProfileName } from "../program/engine.ts";
import type { InstructionLike } from "../program/instruction.ts";
import type { TextFormat } from "../text/formats.ts";
import { Context } from "./context.ts";
import { Program, type ProgramOptions } from "./program.ts";

/** The machine as a registered instruction sees it; `context` is the user's own when the run was given one. */
export interface Machine<C = unknown> extends MachineState {
  context: C;
}

/** A registered instruction. */
export interface CustomInstruction<C = unknown> {
  /** Unique name, and the assembler's word for it; an identifier. */
  readonly name: string;
  /** Its meaning in one line. */
  readonly pseudo?: string;
  /**
   * Reads and writes A, X, M and looks at the packet.  A returned number ends the program with that verdict.  What
   * it throws reaches the caller of `execute`.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: a method without a return statement gives void, in classes too
  execute(machine: Machine<C>, instruction: ExtensionOperands): number | undefined | void;
}

/** A registered ancillary load: gives the value for A. */
export type AncillaryHandler<C = unknown> = (machine: Machine<C>) => number;

export interface VirtualMachineOptions<C extends Context = Context> {
  readonly isa?: InstructionSet;
  /** Default "linux". */
  readonly profile?: ProfileName;
  /** Default the interpreter. */
  readonly engine?: Engine;
  /** Class of the contexts that {@link VirtualMachine.createContext} makes; default {@link Context}. */
  readonly context?: new () => C;
}

/**
 * @example
 * ```ts
 * import { VirtualMachine } from "cbpf";
 * const vm = new VirtualMachine().registerOpcode(0xf0, {
 *   name: "popcnt",
 *   execute(machine) {
 *     let bits = 0;
 *     for (let a = machine.a; a !== 0; a &= a - 1) bits++;
 *     machine.a = bits;
 *   },
 * });
 * const program = vm.parse("ld [0]\npopcnt\nret a");
 * console.log(program.execute(Uint8Array.of(0xff, 0, 0, 0x0f))); // 12
 * ```
 */
export class VirtualMachine<C extends Context = Context> {
  readonly isa: InstructionSet;
  readonly profile: ProfileName;
  readonly engine: Engine;
  readonly #context: new () => C;

  constructor(options: VirtualMachineOptions<C> = {}) {
    this.isa = options.isa ?? ISA;
    this.profile = options.profile ?? "linux";
    this.engine = options.engine ?? interpreter;
    this.#context = options.context ?? (Context as new () => C);
    Object.freeze(this);
  }

  /** As {@link Program.load}, on this machine. */
  load(bytes: Uint8Array, options: DecodeOptions = {}): Program {
    return Program.load(bytes, { ...options, ...this.#options() });
  }

  /** As {@link Program.parse}, on this machine; registered instructions are assembler words. */
  parse(text: string, options: { readonly format?: TextFormat } = {}): Program {
    return Program.parse(text, { ...options, ...this.#options() });
  }

  /** As {@link Program.fromInstructions}, on this machine. */
  fromInstructions(instructions: Iterable<InstructionLike>): Program {
    return Program.fromInstructions(instructions, this.#options());
  }

  /** A new context of this machine's class. */
  createContext(): C {
    return new this.#context();
  }

  /**
   * A machine with one more instruction; this one stays as it is.
   *
   * @param code  0..0xffff, none of the 49 and not registered.
   * @throws {BpfError} `opcode-taken`, naming both rows, when the code or the name is in use; `bad-argument` otherwise.
   */
  registerOpcode(code: number, instruction: CustomInstruction<C>): VirtualMachine<C> {
    if (instruction === null || typeof instruction !== "object" || typeof instruction.execute !== "function") {
      throw new BpfError("bad-argument", "an instruction is an object with a name and an execute function");
    }
    assembleable(instruction.name);
    const { name, pseudo } = instruction;
    return this.#with(
      this.isa.extend({
        code,
        name,
        ...(pseudo === undefined ? {} : { pseudo }),
        run: (state, operands) => instruction.execute(state as Machine<C>, operands) ?? undefined,
      }),
    );
  }

  /**
   * A machine on which `ld [0xfffff000 + offset]`, and `ld #name`, ask a function.
   *
   * @param offset  0..0xfff, none of the kernel's 16.
   * @throws {BpfError} `opcode-taken` when the offset or the name is in use; `bad-argument` otherwise.
   */
  registerAncillary(offset: number, name: string, handler: AncillaryHandler<C>): VirtualMachine<C> {
    if (typeof handler !== "function") throw new BpfError("bad-argument", "an ancillary handler is a function");
    assembleable(name);
    return this.#with(this.isa.extendAncillary({ offset, name, read: (state) => handler(state as Machine<C>) }));
  }

  /** A machine with another engine. */
  withEngine(engine: Engine): VirtualMachine<C> {
    return new VirtualMachine<C>({ ...this.#options(), engine, context: this.#context });
  }

  #with(isa: InstructionSet): VirtualMachine<C> {
    return new VirtualMachine<C>({ ...this.#options(), isa, context: this.#context });
  }

  #options() {
    const createContext = this.#context === (Context as new () => Context) ? undefined : () => this.createContext();
    return { isa: this.isa, profile: this.profile, engine: this.engine, createContext } satisfies ProgramOptions;
  }
}

/** Names become assembler words. */
function assembleable(name: unknown): asserts name is string {
  if (typeof name === "string" && /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return;
  throw new BpfError("bad-argument", `name ${JSON.stringify(name)} is no identifier`);
}
