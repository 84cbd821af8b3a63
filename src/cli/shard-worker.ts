/** A worker of `cbpf run --jobs`: filters the ranges that it is the first to claim. */
import { parentPort } from "node:worker_threads";
import { claims, type RangeAnswer, type RangeOffer } from "./shard-pool.ts";
import { rangeFilter } from "./shards.ts";

const filterRange = rangeFilter();
parentPort!.on("message", (offer: RangeOffer) => {
  if (!claims(offer)) return;
  const answer: RangeAnswer = { number: offer.number, result: filterRange(offer.range) };
  parentPort!.postMessage(answer);
});
