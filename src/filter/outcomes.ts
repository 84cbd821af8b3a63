/**
 * Which outcomes a predicate can have at all: finds what can never be true, such as `ip and ip6`.
 *
 * Only equalities of one field are followed, along terms joined by and.  "Can" is a may: false only where it is sure.
 */
import { CONDITION } from "../isa/semantics.ts";
import type { Predicate, Value } from "./predicate.ts";

export interface Outcomes {
  readonly yes: boolean;
  readonly no: boolean;
}

/** Fields that are known to hold a value. */
type Facts = ReadonlyMap<string, number>;

const EITHER: Outcomes = { yes: true, no: true };
/** Terms of a chain that are looked at; longer ones are lists of alternatives. */
const LONGEST = 64;

export function outcomes(predicate: Predicate, facts: Facts = new Map()): Outcomes {
  switch (predicate.kind) {
    case "constant":
      return { yes: predicate.value, no: !predicate.value };
    case "assign":
    case "effect":
      return { yes: true, no: false };
    case "source":
      return outcomes(predicate.term, facts);
    case "not": {
      const { yes, no } = outcomes(predicate.term, facts);
      return { yes: no, no: yes };
    }
    case "test": {
      const constant = known(predicate.value, facts);
      const operand = typeof predicate.operand === "number" ? predicate.operand : known(predicate.operand, facts);
      if (constant === undefined || operand === undefined) return EITHER;
      const outcome = CONDITION[predicate.cond](constant, operand);
      return { yes: outcome, no: !outcome };
    }
    case "chain": {
      if (predicate.rest.length > LONGEST) return EITHER;
      let sofar = outcomes(predicate.first, facts);
      let held: Facts = new Map([...facts, ...implied(predicate.first)]);
      for (const { op, term } of predicate.rest) {
        if (op === "and") {
          const then = sofar.yes ? outcomes(term, held) : { yes: false, no: false };
          sofar = { yes: sofar.yes && then.yes, no: sofar.no || then.no };
          held = new Map([...held, ...implied(term)]);
        } else {
          const then = sofar.no ? outcomes(term, facts) : { yes: false, no: false };
          sofar = { yes: sofar.yes || then.yes, no: sofar.no && then.no };
          held = facts;
        }
      }
      return sofar;
    }
  }
}

/** What must hold when a predicate is true. */
function implied(predicate: Predicate): [string, number][] {
  switch (predicate.kind) {
    case "source":
      return implied(predicate.term);
    case "test": {
      const key = fieldKey(predicate.value);
      return predicate.cond === "eq" && typeof predicate.operand === "number" && key !== undefined
        ? [[key, predicate.operand]]
        : [];
    }
    case "chain":
      if (predicate.rest.length > LONGEST || predicate.rest.some(({ op }) => op === "or")) return [];
      return [predicate.first, ...predicate.rest.map(({ term }) => term)].flatMap(implied);
    default:
      return [];
  }
}

function known(value: Value, facts: Facts): number | undefined {
  if (value.kind === "number") return value.k;
  const key = fieldKey(value);
  return key === undefined ? undefined : facts.get(key);
}

/** A name for a field whose place is the same wherever it is read; undefined for other values. */
function fieldKey(value: Value): string | undefined {
  if (value.kind === "length") return "len";
  if (value.kind === "alu" && value.op === "and" && value.right.kind === "number") {
    const key = fieldKey(value.left);
    return key === undefined ? undefined : `${key} & ${value.right.k}`;
  }
  if (value.kind !== "load" || value.index !== undefined) return undefined;
  const { slot, header, offset } = value.place;
  if (slot !== undefined && slot.definition === undefined) return undefined;
  return `${slot?.name ?? ""} ${header ?? ""} ${offset} ${value.size}`;
}
