/**
 * Lanes that run in turns, and what is made of their samples.
 *
 * A lane is one engine with one program: `{ name, time(passes), hash() }`.  `time` runs so many passes over the packets
 * and gives nanoseconds a packet; `hash` is over the verdicts of the last pass.  Lanes of one race run on the same
 * packets and must have the same hash.
 */

/** Milliseconds that a lane in this process runs before it is measured: V8 optimises in the background meanwhile. */
const WARM_UP = 300;

/** Part of a sample that a hot lane runs in front of it. */
const SETTLE = 1 / 10;

/** A lane of ours: `run` and `verdicts` are those of `ourEngines`. */
export function ourLane(name, { run, verdicts }, count) {
  return {
    name,
    warmUp: WARM_UP,
    time(passes) {
      const start = performance.now();
      for (let i = 0; i < passes; i++) run();
      return ((performance.now() - start) * 1e6) / (passes * count);
    },
    hash: () => hashOf(verdicts(), count),
  };
}

/** A lane of a rival in `rivals`, or why it has none. */
export async function rivalLane(name, rivals, engine, program, count) {
  let last = await rivals.run(engine, program, count, 1);
  if ("none" in last) return last;
  return {
    name,
    warmUp: 0,
    async time(passes) {
      last = await rivals.run(engine, program, count, passes);
      return last.ns;
    },
    hash: () => last.hash,
  };
}

/**
 * Runs the lanes in turns, round by round.
 *
 * @param span  Nanoseconds that one sample should last.
 * @param hot   {@link SETTLE} of a sample goes in front of it: the lane before has left its own in caches and branch
 *   predictors.
 * @returns name to one sample (ns a packet) a round.
 */
export async function race(lanes, count, { rounds, span, hot = false }) {
  const passes = new Map();
  const hashes = new Map();
  for (const lane of lanes) {
    const until = performance.now() + lane.warmUp;
    let ns = Number.POSITIVE_INFINITY; // the best: one that was interrupted would ask for too few passes
    do ns = Math.min(ns, await lane.time(2));
    while (performance.now() < until);
    passes.set(lane, Math.max(1, Math.round(span / (ns * count))));
    hashes.set(lane.name, lane.hash());
  }
  if (new Set(hashes.values()).size > 1) throw new Error(`verdicts differ: ${JSON.stringify([...hashes])}`);
  const samples = Object.fromEntries(lanes.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const lane of lanes) {
      if (hot) await lane.time(Math.ceil(SETTLE * passes.get(lane)));
      samples[lane.name].push(await lane.time(passes.get(lane)));
    }
  }
  return samples;
}

/** FNV-1a over whole verdicts, as the rivals do it. */
function hashOf(verdicts, count) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < count; i++) hash = Math.imul(hash ^ verdicts[i], 0x01000193);
  return hash >>> 0;
}

export function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The median of the rounds' ratios; with `best` the ratio of the best rounds. */
export function ratio(above, below, best) {
  return best ? Math.min(...above) / Math.min(...below) : median(above.map((ns, i) => ns / below[i]));
}

export function geometricMean(list) {
  return Math.exp(list.reduce((sum, x) => sum + Math.log(x), 0) / list.length);
}
