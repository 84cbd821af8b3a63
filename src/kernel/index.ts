/**
 * cbpf/kernel: filters on real Linux sockets, and the kernel as an oracle.  Node only; the native addon is loaded at
 * the first call that needs it, and {@link status} says whether it is there.
 */
export {
  type AttachFilterOptions,
  attachFilter,
  attachSteering,
  detachFilter,
  type FilterOptions,
  type FilterProgram,
  getFilter,
  isFilterLocked,
  lockFilter,
  type SteeringPoint,
  socketDrops,
} from "./attach.ts";
export {
  type CaptureMode,
  type CaptureOptions,
  type CaptureStatistics,
  capture,
  interfaceLinktype,
  LiveCapture,
} from "./capture.ts";
export type { Acceptance } from "./channel.ts";
export { type FilteredSocket, type FilterSocketOptions, filterSocket } from "./fallback.ts";
export { ForeignSocket, openForeignSocket } from "./foreign-socket.ts";
export { type CapturedPacket, LiveBatch, type VlanTag } from "./live-batch.ts";
export { type KernelStatus, status } from "./load.ts";
export {
  type NetlinkMessage,
  NetlinkSocket,
  type NetlinkSocketOptions,
  openNetlinkSocket,
  openUnixPair,
  type UnixPairOptions,
} from "./local-sockets.ts";
export { type Message, MessageSocket } from "./message-socket.ts";
export {
  NetworkOracle,
  type NetworkOracleOptions,
  type Observation,
  tapOracle,
  udpOracle,
} from "./network-oracle.ts";
export type { OpenOptions } from "./open.ts";
export { type Comparison, KernelOracle, type Mismatch, unixOracle } from "./oracle.ts";
export {
  type FanoutMode,
  type FanoutOptions,
  openPacketSocket,
  type PacketMessage,
  PacketSocket,
  type PacketSocketOptions,
} from "./packet-socket.ts";
export { PrivateNetwork } from "./private-network.ts";
export { openRawSocket, type RawMessage, type RawSocketOptions } from "./raw-socket.ts";
export { inetAddress, linkAddress, netlinkAddress } from "./sockaddr.ts";
export { SocketRef, type SocketTarget } from "./target.ts";
export type { UdpHeaderValues } from "./udp-headers.ts";
export {
  adoptUdpSocket,
  openReuseportGroup,
  openUdpSocket,
  type ReuseportGroup,
  type ReuseportOptions,
  type UdpSocketOptions,
} from "./udp-socket.ts";
