/**
 * Warnings about expressions that compile but often mean something else than their writer thinks.
 */
import type { Node } from "./ast.ts";
import type { Warning } from "./context.ts";
import type { Predicate } from "./predicate.ts";

export function advise(_node: Node | undefined, _predicate: Predicate): Warning[] {
  return [];
}
