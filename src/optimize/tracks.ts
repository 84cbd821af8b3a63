/**
 * The passes that each goal tries, as tracks.  The order within a track matters; tracks are independent.
 */
import { orderChains } from "./chains.ts";
import { group, groupLoaded, specialise } from "./group.ts";
import { imply } from "./imply.ts";
import { joinLegs } from "./legs.ts";
import type { Goal } from "./optimize.ts";
import type { Pass } from "./pass.ts";
import { balance, mergeRanges } from "./switches.ts";

export interface Track {
  readonly passes: readonly Pass[];
  /** Cheap enough for graphs with thousands of nodes. */
  readonly large?: boolean;
}

const FINISH: readonly Pass[] = [mergeRanges, joinLegs];

const SMALL: readonly Track[] = [
  { passes: [imply, orderChains, ...FINISH], large: true },
  { passes: [imply, specialise, imply, ...FINISH] },
  { passes: [imply, group, imply, ...FINISH] },
  { passes: [imply, groupLoaded, imply, ...FINISH] },
];

const FAST: readonly Track[] = SMALL.map(({ passes, ...rest }) => ({ ...rest, passes: [...passes, balance] }));

export const TRACKS: Readonly<Record<Goal, readonly Track[]>> = {
  size: SMALL,
  balanced: SMALL,
  speed: FAST,
};
