/**
 * The passes that each goal tries, as tracks.  The order within a track matters; tracks are independent.
 */
import { group, groupLoaded, specialise } from "./group.ts";
import { imply } from "./imply.ts";
import { joinLegs } from "./legs.ts";
import type { Goal } from "./optimize.ts";
import type { Pass } from "./pass.ts";

export interface Track {
  readonly passes: readonly Pass[];
  /** Cheap enough for graphs with thousands of nodes. */
  readonly large?: boolean;
}

const SMALL: readonly Track[] = [
  { passes: [imply, joinLegs], large: true },
  { passes: [imply, specialise, imply, joinLegs] },
  { passes: [imply, group, imply, joinLegs] },
  { passes: [imply, groupLoaded, imply, joinLegs] },
];

export const TRACKS: Readonly<Record<Goal, readonly Track[]>> = {
  size: SMALL,
  balanced: SMALL,
  speed: SMALL,
};
