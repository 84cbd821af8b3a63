/**
 * The solver behind proofs: anything that answers SMT-LIB 2 scripts, z3-solver when it is installed.
 *
 * z3-solver is an optional dependency of 35 MB; it is imported when a proof asks for it and not before.
 */
import { BpfError } from "../base/errors.ts";

/** Answers scripts one after the other; definitions stay until `(reset)`. */
export interface SmtSolver {
  readonly name: string;
  /** Runs commands and gives what they print. */
  run(script: string): Promise<string>;
  /** Ends the solver's threads, which would keep a process alive.  The solver can not be used afterwards. */
  close(): Promise<void>;
}

/** The part of z3-solver's low-level interface that is used. */
interface Z3Module {
  init(): Promise<{
    readonly Z3: { mk_config(): unknown; mk_context(config: unknown): unknown };
    readonly em: {
      readonly PThread: { terminateAllThreads(): void; readonly runningWorkers: readonly unknown[] };
      readonly HEAPU8: Uint8Array;
      _malloc(bytes: number): number;
      _free(at: number): void;
      async_call(call: unknown, ...args: readonly unknown[]): Promise<string>;
      readonly _async_Z3_eval_smtlib2_string: unknown;
    };
  }>;
}

/** Every host of z3-solver has it; the core is compiled without a host's types. */
declare function setTimeout(then: (value?: unknown) => void, milliseconds: number): unknown;

/** Not a literal in the import below, so that bundlers leave the optional package alone. */
const PACKAGE = "z3-solver";

/** Milliseconds, about, that a thread which has answered has to end by itself. */
const PATIENCE = 1000;

/**
 * Starts z3.
 *
 * @param load  How to import the package; default `import("z3-solver")`.
 * @throws {BpfError} `not-available` when it is not installed.
 */
export async function loadZ3(
  load: () => Promise<unknown> = () => import(/* @vite-ignore */ PACKAGE),
): Promise<SmtSolver> {
  let module: Z3Module;
  try {
    const loaded = (await load()) as { default?: unknown };
    module = ("init" in loaded ? loaded : loaded.default) as Z3Module;
  } catch (cause) {
    throw new BpfError("not-available", "z3-solver is not installed: npm install z3-solver", { cause });
  }
  const { Z3, em } = await module.init();
  const context = Z3.mk_context(Z3.mk_config());
  return {
    name: "z3",
    async run(script) {
      // The package's own eval_smtlib2_string leaves the text on a stack that is reused while z3 still reads it.
      const at = em._malloc(script.length + 1);
      for (let i = 0; i < script.length; i++) em.HEAPU8[at + i] = script.charCodeAt(i); // scripts are ASCII
      em.HEAPU8[at + script.length] = 0;
      try {
        return await em.async_call(em._async_Z3_eval_smtlib2_string, context, at);
      } finally {
        em._free(at);
      }
    },
    async close() {
      // a thread that has answered takes back a timer of ten minutes after that, which would keep the process alive
      for (let waits = 0; em.PThread.runningWorkers.length > 0 && waits < PATIENCE; waits++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      em.PThread.terminateAllThreads();
    },
  };
}
