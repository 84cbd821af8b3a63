/**
 * Socket numbers of Linux that Node does not have, with the kernel's spelling.
 *
 * Values of asm-generic/socket.h, which x64, arm64, arm, ia32, riscv64, s390x and loong64 use as it is.
 */

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;

export const SOL_SOCKET = 1;
export const SO_TYPE = 3;
export const SO_ERROR = 4;
export const SO_RCVBUF = 8;
export const SO_REUSEPORT = 15;
export const SO_ATTACH_FILTER = 26;
export const SO_RCVBUFFORCE = 33;
export const SO_TIMESTAMPNS = 35;
export const SO_MARK = 36;
export const SO_PROTOCOL = 38;
export const SO_DOMAIN = 39;
export const SO_LOCK_FILTER = 44;
export const SO_ATTACH_REUSEPORT_CBPF = 51;
export const SO_MEMINFO = 55;
export const SO_COOKIE = 57;

export const IPPROTO_IP = 0;
export const IP_MTU_DISCOVER = 10;
export const IP_PMTUDISC_DO = 2;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;

export const SOL_PACKET = 263;
export const PACKET_ADD_MEMBERSHIP = 1;
export const PACKET_STATISTICS = 6;
export const PACKET_AUXDATA = 8;
export const PACKET_FANOUT = 18;
export const PACKET_FANOUT_DATA = 22;
export const PACKET_IGNORE_OUTGOING = 23;
export const PACKET_MR_PROMISC = 1;

export const ETH_P_ALL = 3;

/** Bits of tpacket_auxdata.tp_status: there is a VLAN TCI, and the TPID beside it is valid. */
export const TP_STATUS_VLAN_VALID = 16;
export const TP_STATUS_VLAN_TPID_VALID = 64;
