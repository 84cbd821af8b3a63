/**
 * Building programs in code: instructions by name, jumps to labels.
 *
 * Labels are strings and may be placed after the jumps that name them.  `build` resolves them and reports every
 * label that is missing, placed twice or too far away.
 */
import { BpfError, type Violation, violationsError } from "../base/errors.ts";
import { CODE, type OPCODES, type OpcodeName } from "../isa/opcodes.ts";
import { type Instruction, instructionsFrom } from "./instruction.ts";

/** Farthest target of a conditional jump, counted from the next instruction (jt and jf are u8). */
const MAX_BRANCH = 0xff;

/** Names of conditional jumps. */
type BranchName = Extract<(typeof OPCODES)[number], { does: { kind: "branch" } }>["name"];

interface Pending {
  readonly code: number;
  readonly k: number;
  /** Labels; undefined falls through. */
  readonly yes?: string | undefined;
  readonly no?: string | undefined;
  readonly goto?: string;
}

/**
 * A program under construction.  Every method returns the builder itself.
 *
 * @example
 * ```ts
 * import { Program, ProgramBuilder } from "cbpf";
 * const arp = new ProgramBuilder()
 *   .op("ldh_abs", 12)
 *   .branch("jeq_k", 0x806, "accept", "drop")
 *   .label("accept").op("ret_k", 0x40000)
 *   .label("drop").op("ret_k", 0)
 *   .build();
 * console.log(Program.fromInstructions(arp).length); // 4
 * ```
 */
export class ProgramBuilder {
  readonly #pending: Pending[] = [];
  readonly #labels = new Map<string, number>();
  readonly #violations: Violation[] = [];

  /** Appends an instruction that is no jump; k is a u32, or negative and taken modulo 2^32. */
  op(name: Exclude<OpcodeName, BranchName | "ja">, k = 0): this {
    this.#pending.push({ code: codeOf(name), k });
    return this;
  }

  /** Appends any code, a user's instruction for example, without jump offsets. */
  raw(code: number, k = 0): this {
    this.#pending.push({ code, k });
    return this;
  }

  /** Appends a conditional jump; an absent label falls through to the next instruction. */
  branch(name: BranchName, k: number, yes?: string, no?: string): this {
    this.#pending.push({ code: codeOf(name), k, yes, no });
    return this;
  }

  /** Appends an unconditional jump. */
  goto(label: string): this {
    this.#pending.push({ code: CODE.ja, k: 0, goto: label });
    return this;
  }

  /** Places a label in front of the next instruction. */
  label(name: string): this {
    if (this.#labels.has(name)) {
      this.#violations.push({
        rule: "duplicate-label",
        message: `label "${name}" is placed twice`,
        index: this.#pending.length,
      });
    } else {
      this.#labels.set(name, this.#pending.length);
    }
    return this;
  }

  /**
   * The instructions, labels resolved; not yet verified.
   *
   * @throws {BpfError} `invalid-program` with one violation for each label that cannot be resolved ("unknown-label",
   *   "duplicate-label", "label-behind", "label-too-far"); `bad-argument` for a k that is no 32-bit integer.
   */
  build(): Instruction[] {
    const violations = [...this.#violations];
    const distance = (label: string | undefined, index: number, limit: number): number => {
      if (label === undefined) return 0;
      const at = this.#labels.get(label);
      const complain = (rule: string, message: string): number => {
        violations.push({ rule, message, index });
        return 0;
      };
      if (at === undefined) return complain("unknown-label", `label "${label}" is placed nowhere`);
      const offset = at - index - 1;
      if (offset < 0) return complain("label-behind", `label "${label}" lies behind; jumps go forward`);
      if (offset > limit) {
        return complain("label-too-far", `label "${label}" is ${offset} instructions away, more than ${limit}`);
      }
      return offset;
    };
    const built = this.#pending.map((p, index) => ({
      code: p.code,
      jt: distance(p.yes, index, MAX_BRANCH),
      jf: distance(p.no, index, MAX_BRANCH),
      k: p.goto === undefined ? p.k : distance(p.goto, index, 0xffffffff),
    }));
    if (violations.length > 0) throw violationsError("invalid-program", violations);
    return instructionsFrom(built);
  }
}

function codeOf(name: OpcodeName): number {
  if (!Object.hasOwn(CODE, name)) throw new BpfError("bad-argument", `no instruction is named ${JSON.stringify(name)}`);
  return CODE[name];
}
