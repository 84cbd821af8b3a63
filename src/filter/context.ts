/**
 * What the parts of `check` share: the options, the state that moving keywords change, and where to complain.
 */
import type { Span } from "../base/source-text.ts";
import { Fault } from "./fault.ts";
import type { Layers } from "./layers.ts";
import type { Resolver } from "./names.ts";
import type { Slot } from "./predicate.ts";

/** Advice about an expression that compiles but may not mean what it seems to. */
export interface Warning {
  /** Stable kebab-case id. */
  readonly rule: string;
  readonly message: string;
  readonly span: Span;
}

export class Context {
  /** Where the next primitive finds its headers; moving keywords replace it. */
  layers: Layers;
  /** The part of the expression being checked. */
  span: Span = { start: 0, end: 0 };
  readonly warnings: Warning[] = [];
  readonly scoped: boolean;
  readonly live: boolean;
  readonly netmask: number | undefined;
  readonly resolver: Resolver;
  #slots = 0;

  constructor(
    layers: Layers,
    options: { scoped: boolean; live: boolean; netmask: number | undefined; resolver: Resolver },
  ) {
    this.layers = layers;
    this.scoped = options.scoped;
    this.live = options.live;
    this.netmask = options.netmask;
    this.resolver = options.resolver;
  }

  /** The link type's name as messages show it: `DLT_EN10MB (Ethernet)`. */
  get linkName(): string {
    return this.layers.link.title;
  }

  /** A new word of scratch memory. */
  slot(name: string): Slot {
    return { name: `${name} ${++this.#slots}` };
  }

  fail(message: string, hint?: string): never {
    throw new Fault(message, this.span, hint);
  }

  unknown(message: string, hint?: string): never {
    throw new Fault(message, this.span, hint, "bad-name");
  }

  /** Refuses what the link type can not do, in libpcap's words. */
  unsupported(what: string): never {
    this.fail(`'${what}' not supported on ${this.linkName}`);
  }

  /** Refuses a number over its maximum, in libpcap's words. */
  atMost(what: string, value: number, maximum: number): void {
    if (value > maximum) this.fail(`${what} ${value} greater than maximum ${maximum}`);
  }

  warn(rule: string, message: string, span: Span = this.span): void {
    if (this.warnings.some((w) => w.rule === rule && w.span.start === span.start)) return;
    this.warnings.push({ rule, message, span: { start: span.start, end: span.end } });
  }
}
