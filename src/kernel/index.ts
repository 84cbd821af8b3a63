/**
 * cbpf/kernel: filters on real Linux sockets, and the kernel as an oracle.  Node only; the native addon is loaded at
 * the first call that needs it, and {@link status} says whether it is there.
 */

export {
  type AttachFilterOptions,
  attachFilter,
  attachSteering,
  detachFilter,
  type FilterProgram,
  getFilter,
  isFilterLocked,
  lockFilter,
  type SteeringPoint,
} from "./attach.ts";
export type { Acceptance } from "./channel.ts";
export { type KernelStatus, status } from "./load.ts";
export { type NetworkOracle, type Observation, tapOracle, udpOracle } from "./network-oracle.ts";
export { type Comparison, KernelOracle, type Mismatch, unixOracle } from "./oracle.ts";
export { SocketRef, type SocketTarget } from "./target.ts";
