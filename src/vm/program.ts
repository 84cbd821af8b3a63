/**
 * `Program`: what users hold.  An immutable, verified program that can be read from and written to every form, and
 * run on packets.
 */
import { BpfError } from "../base/errors.ts";
import { interpreter } from "../interpreter/interpreter.ts";
import { type TraceStep, trace } from "../interpreter/trace.ts";
import type { InstructionSet } from "../isa/instruction-set.ts";
import { type ByteOrder, type DecodeOptions, decode, encode } from "../program/codec.ts";
import type { Engine, Filter, ProfileName, VerifiedProgram } from "../program/engine.ts";
import { type Instruction, type InstructionLike, sameInstructions } from "../program/instruction.ts";
import type { PacketContext } from "../program/packet-context.ts";
import { formatText, parseText, type TextFormat } from "../text/formats.ts";
import { type VerifyOptions, verify } from "../verify/verify.ts";
import { Context } from "./context.ts";

export interface ProgramOptions extends VerifyOptions {
  /** The engine behind {@link Program.execute}; default the interpreter. */
  readonly engine?: Engine;
  /** Makes the context of packets that {@link Program.execute} gets as plain bytes; default none, nothing known. */
  readonly createContext?: (() => Context) | undefined;
}

export type { TextFormat };

/**
 * A classic BPF program.
 *
 * @example
 * ```ts
 * import { Program } from "cbpf";
 * const ipv4 = Program.parse(`
 *         ldh [12]
 *         jeq #0x800, accept, drop
 * accept: ret #-1
 * drop:   ret #0
 * `);
 * const frame = new Uint8Array(60);
 * frame.set([0x08, 0x00], 12);
 * console.log(ipv4.matches(frame)); // true
 * console.log(ipv4.toString("bytecode")); // "4,40 0 0 12,21 0 1 2048,6 0 0 4294967295,6 0 0 0"
 * ```
 */
export class Program {
  readonly #verified: VerifiedProgram;
  readonly #engine: Engine;
  /** Made on the first run; holds scratch memory only, so a program stays a value to its users. */
  #filter: Filter | undefined;

  /** The context of packets given as plain bytes; made when it is needed. */
  #context: Context | undefined;
  readonly #createContext: (() => Context) | undefined;

  private constructor(verified: VerifiedProgram, { engine = interpreter, createContext }: ProgramOptions) {
    this.#verified = verified;
    this.#engine = engine;
    this.#createContext = createContext;
    if (engine !== interpreter) this.#filter = this.filter(); // an engine that refuses the program says so now
    Object.freeze(this);
  }

  /**
   * The program in an array of struct sock_filter, 8 bytes an instruction, of either byte order.
   *
   * @throws {BpfError} `bad-bytes` for a length that is no multiple of 8, `invalid-program` with every broken rule.
   */
  static load(bytes: Uint8Array, options: ProgramOptions & DecodeOptions = {}): Program {
    return Program.fromInstructions(decode(bytes, options), options);
  }

  /**
   * The program in a text: assembly, `tcpdump -d`, `-dd` or `-ddd`, an iptables or tc bytecode string, a C array, hex
   * or JSON.  The form is recognised unless `format` names it.
   *
   * @throws {BpfError} `bad-text` with every error in the text, `invalid-program` with every broken rule.
   */
  static parse(text: string, options: ProgramOptions & { readonly format?: TextFormat } = {}): Program {
    return Program.fromInstructions(parseText(text, options).instructions, options);
  }

  /**
   * The program of a list of instructions, `{code, jt, jf, k}` or `[code, jt, jf, k]`.
   *
   * @throws {BpfError} `bad-argument` for a field outside its range, `invalid-program` with every broken rule.
   */
  static fromInstructions(instructions: Iterable<InstructionLike>, options: ProgramOptions = {}): Program {
    return new Program(verify(instructions, options), options);
  }

  /** The program as engines and passes take it. */
  get verified(): VerifiedProgram {
    return this.#verified;
  }

  /** Number of instructions, 1..4096. */
  get length(): number {
    return this.#verified.instructions.length;
  }

  get instructions(): readonly Instruction[] {
    return this.#verified.instructions;
  }

  /** Whose rules the program obeys. */
  get profile(): ProfileName {
    return this.#verified.profile;
  }

  get isa(): InstructionSet {
    return this.#verified.isa;
  }

  /** True when the program uses registered instructions or ancillary loads, which no kernel knows. */
  get usesExtensions(): boolean {
    return this.instructions.some((insn) => this.isa.isExtension(insn));
  }

  /** Loads the program into an engine of the caller's choice; every filter has registers and scratch memory of its own. */
  filter(): Filter;
  filter<F extends Filter>(engine: Engine<F>): F;
  filter(engine: Engine = this.#engine): Filter {
    return engine.load(this.#verified);
  }

  /**
   * The verdict on a packet, a u32: bytes to keep, 0 to drop.
   *
   * @param subject  The packet's bytes, or a {@link Context} that holds a packet.
   * @param context  What is known about a packet given as bytes.
   */
  execute(subject: Uint8Array | Context, context?: PacketContext): number {
    const filter = this.#loaded();
    if (subject instanceof Uint8Array) return filter.run(subject, context ?? this.#contextOf(subject));
    if (subject instanceof Context) return filter.run(subject.packet, subject);
    throw new BpfError("bad-argument", "expected a packet (Uint8Array) or a Context");
  }

  /** True when the verdict is not 0. */
  matches(subject: Uint8Array | Context, context?: PacketContext): boolean {
    return this.execute(subject, context) !== 0;
  }

  /** The run on a packet, one instruction at a time. */
  trace(subject: Uint8Array | Context, context?: PacketContext): Generator<TraceStep, void, undefined> {
    return subject instanceof Context
      ? trace(this.#verified, subject.packet, subject)
      : trace(this.#verified, subject, context ?? this.#contextOf(subject));
  }

  /** struct sock_filter[], in the host's byte order unless told otherwise. */
  toBytes(byteOrder?: ByteOrder): Uint8Array {
    return encode(this.instructions, byteOrder);
  }

  /** The program as text, assembly unless told otherwise; every form parses to the same program. */
  toString(format: TextFormat = "asm"): string {
    return formatText(this.instructions, format, { isa: this.isa });
  }

  /** `[[code, jt, jf, k], ...]`, which {@link Program.fromInstructions} takes. */
  toJSON(): [code: number, jt: number, jf: number, k: number][] {
    return this.instructions.map(({ code, jt, jf, k }) => [code, jt, jf, k]);
  }

  /** True when both have the same instructions, ignored fields included. */
  equals(other: Program): boolean {
    return sameInstructions(this.instructions, other.instructions);
  }

  get [Symbol.toStringTag](): string {
    return "Program";
  }

  /** What console.log shows in Node: the listing. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `Program (${this.length} instructions, ${this.profile})\n${this.toString("tcpdump-d")}`;
  }

  /** The machine's own context for a packet given as plain bytes; undefined on a machine without a class for it. */
  #contextOf(packet: Uint8Array): Context | undefined {
    if (this.#createContext === undefined) return undefined;
    this.#context ??= this.#createContext();
    this.#context.reset();
    return this.#context.setPacket(packet);
  }

  #loaded(): Filter {
    this.#filter ??= this.filter();
    return this.#filter;
  }
}
