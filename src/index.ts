/**
 * The package `cbpf`: the classic BPF machine.  Re-exports only.
 */
export { type Analysis, analyze, type TouchedBytes } from "./analyze/analyze.ts";
export { type Coverage, CoverageCounter, type CoveredStep, coverage } from "./analyze/coverage.ts";
export type { Divergence, Implementation } from "./analyze/divergences.ts";
export { type Unknowable, unknowableBytes } from "./analyze/unknowable.ts";
export { BpfError, type BpfErrorCode, type BpfErrorDetails, type Violation } from "./base/errors.ts";
export type { Span } from "./base/source-text.ts";
export { interpreter, MAX_BACKWARD_JUMPS } from "./interpreter/interpreter.ts";
export { type EndReason, type PacketRead, type TraceStep, trace } from "./interpreter/trace.ts";
export { ANCILLARY, type AncillaryRow } from "./isa/ancillary.ts";
export {
  type AncillaryExtension,
  type ExtensionOperands,
  type ExtensionRow,
  InstructionSet,
  ISA,
  type MachineState,
} from "./isa/instruction-set.ts";
export * from "./isa/limits.ts";
export { CODE, type Does, OPCODES, type Opcode, type OpcodeName, type OpcodeRow } from "./isa/opcodes.ts";
export { dump, STAGES } from "./jit/inspect.ts";
export { js } from "./jit/js-engine.ts";
export { wasm } from "./jit/wasm-engine.ts";
export { dltOf, LINK_TYPES, type LinkType, linktypeFromName, linktypeName } from "./link/linktypes.ts";
export { type Goal, type Optimized, type OptimizeOptions, optimize, type PassReport } from "./optimize/optimize.ts";
export type { Pass } from "./optimize/pass.ts";
export { Arena, type ArenaAttachOptions, type ArenaOptions, createArena } from "./program/arena.ts";
export { ProgramBuilder } from "./program/builder.ts";
export { type Block, type ControlFlowGraph, controlFlow, type Edge } from "./program/cfg.ts";
export {
  type ByteOrder,
  type DecodeOptions,
  decode,
  detectByteOrder,
  encode,
  HOST_BYTE_ORDER,
} from "./program/codec.ts";
export type { BatchFilter, Engine, Filter, PacketBatch, ProfileName, VerifiedProgram } from "./program/engine.ts";
export { type Instruction, type InstructionLike, jump, stmt } from "./program/instruction.ts";
export {
  ATTACH_POINTS,
  type AttachPoint,
  NO_CONTEXT,
  type PacketContext,
  packetContext,
} from "./program/packet-context.ts";
export { type Equivalence, type ProofOptions, verifyEquivalence } from "./prove/equivalence.ts";
export { type Solution, type SolveOptions, solve } from "./prove/solve.ts";
export { type Assembly, assemble, assembleWithSpans, type TextOptions } from "./text/assemble.ts";
export { disassemble, disassembleOne } from "./text/disassemble.ts";
export {
  formatText,
  type ParsedText,
  type ParseTextOptions,
  parseText,
  recognise,
  TEXT_FORMATS,
  type TextFormat,
} from "./text/formats.ts";
export { type AttachEstimate, type AttachOptions, estimateAttach } from "./verify/estimate.ts";
export { check, type VerifyOptions, verify } from "./verify/verify.ts";
export { type Compilation, type CompileOptions, compile, compileWithAdvice } from "./vm/compile.ts";
export { Context, type ContextFields } from "./vm/context.ts";
export { Program, type ProgramOptions } from "./vm/program.ts";
export { type EngineName, engineNamed, type TieredFilter } from "./vm/tiers.ts";
export {
  type AncillaryHandler,
  type CustomInstruction,
  type Machine,
  VirtualMachine,
  type VirtualMachineOptions,
} from "./vm/virtual-machine.ts";
