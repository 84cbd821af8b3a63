/**
 * Hazards: conditions that must hold for an evaluation not to end the program with verdict 0.
 *
 * A set of hazards maps a key to a level, and a higher level implies every lower one:
 *   end          the packet holds at least `level` bytes
 *   from<v>      the packet holds at least v + level bytes, for an anchor v that never makes the sum wrap
 *   at<address>  `level` bytes can be read at an address that may lie in the NET or LL area
 *   divisor<v>   v is not 0
 *   device       the packet has a device
 * What a user's instruction can change (where the areas are, the device) holds since a place in the program, `@n`.
 * The same sets say what a program is certain to require later (anticipated) and what a path has shown (proven).
 */

export interface Hazards {
  /** Every hazard there is: what lies in front of a plain `return 0`. */
  readonly everything: boolean;
  readonly levels: ReadonlyMap<string, number>;
  /** Largest value of the anchor behind each `from` key. */
  readonly anchors: ReadonlyMap<string, number>;
}

const NONE: ReadonlyMap<string, number> = new Map();

/** Nothing can go wrong. */
export const ALWAYS_SAFE: Hazards = Object.freeze({ everything: false, levels: NONE, anchors: NONE });
/** The neutral element of {@link meet}. */
export const EVERYTHING: Hazards = Object.freeze({ everything: true, levels: NONE, anchors: NONE });

export function hazard(key: string, level: number, anchorMax?: number): Hazards {
  const anchors = anchorMax === undefined ? NONE : new Map([[key, anchorMax]]);
  return { everything: false, levels: new Map([[key, level]]), anchors };
}

/** Both: the higher level of each key. */
export function join(a: Hazards, b: Hazards): Hazards {
  if (a === b || b.levels.size === 0 || a.everything) return b.everything ? b : a;
  if (a.levels.size === 0 || b.everything) return b;
  if (contains(a, b)) return a;
  if (contains(b, a)) return b;
  const levels = new Map(a.levels);
  for (const [key, level] of b.levels) if ((levels.get(key) ?? -1) < level) levels.set(key, level);
  return { everything: false, levels, anchors: both(a.anchors, b.anchors) };
}

/** Common to both: the lower level of each key that both have. */
export function meet(a: Hazards, b: Hazards): Hazards {
  if (a === b || b.everything || (a.levels.size === 0 && !a.everything)) return a;
  if (a.everything || b.levels.size === 0) return b;
  if (contains(a, b)) return b;
  if (contains(b, a)) return a;
  const levels = new Map<string, number>();
  for (const [key, level] of a.levels) {
    const other = b.levels.get(key);
    if (other !== undefined) levels.set(key, Math.min(level, other));
  }
  return { everything: false, levels, anchors: both(a.anchors, b.anchors) };
}

/** True when `shown` implies every hazard of `wanted`. */
export function covers(shown: Hazards, wanted: Hazards): boolean {
  if (shown === wanted || shown.everything) return true;
  if (wanted.everything) return false;
  if (wanted.levels.size === 0) return true;
  const end = shown.levels.get("end") ?? 0;
  for (const [key, level] of wanted.levels) {
    if ((shown.levels.get(key) ?? -1) >= level) continue;
    const anchorMax = wanted.anchors.get(key);
    if (anchorMax === undefined || anchorMax + level > end) return false;
  }
  return true;
}

/** The hazards of `wanted` that `shown` does not imply. */
export function unproven(wanted: Hazards, shown: Hazards): Hazards {
  const levels = new Map<string, number>();
  for (const [key, level] of wanted.levels) {
    if (!covers(shown, { everything: false, levels: new Map([[key, level]]), anchors: wanted.anchors })) {
      levels.set(key, level);
    }
  }
  return { everything: false, levels, anchors: wanted.anchors };
}

function contains(a: Hazards, b: Hazards): boolean {
  if (a.levels.size < b.levels.size) return false;
  for (const [key, level] of b.levels) if ((a.levels.get(key) ?? -1) < level) return false;
  return true;
}

function both(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  if (b.size === 0 || a === b) return a;
  return a.size === 0 ? b : new Map([...a, ...b]);
}
