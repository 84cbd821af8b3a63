/**
 * Every way in which the compiler is known to differ from the installed libpcap, and why.
 *
 * `version`: libpcap itself changed after 1.10.3, and the newer meaning is the one implemented (measured at f26ae497).
 * `bug`: libpcap does not do what its manual says; the manual's meaning is implemented.
 */
export interface Difference {
  readonly id: string;
  readonly cause: "version" | "bug" | "limit";
  readonly reason: string;
  /** "accepts": this compiler takes what libpcap refuses; "rejects": the other way round; "verdict". */
  readonly kind: "accepts" | "rejects" | "verdict";
  readonly applies: (difference: {
    dlt: number;
    expression: string;
    packet: Uint8Array | undefined;
    theirs: string;
  }) => boolean;
}

const RUN_TIME_HEADERS = new Set([105, 117, 119, 127, 163, 192]);
const BSD_LOOPBACK = new Set([0, 108, 109]);
/** Words that 1.10.3 and its successor read differently in front of a BSD loopback packet. */
const CONTESTED_FAMILIES = new Set([2, 10, 24, 28, 30].flatMap((af) => [af, af * 0x1000000]));

export const DIFFERENCES: readonly Difference[] = [
  {
    id: "ip-multicast",
    cause: "version",
    reason: "1.10.3 takes every destination from 224.0.0.0 up for multicast, later versions 224.0.0.0/4",
    kind: "verdict",
    applies: ({ expression }) => /ip multicast/.test(expression),
  },
  {
    id: "zero-mask",
    cause: "version",
    reason: "1.10.3 loads address words that the mask makes irrelevant, and so refuses packets cut short there",
    kind: "verdict",
    applies: ({ expression }) => /net [0-9a-f]*:[0-9a-f:.]*\/(\d|\d\d)\b|net 0\.0\.0\.0\/0/.test(expression),
  },
  {
    id: "bsd-loopback-family",
    cause: "version",
    reason:
      "1.10.3 compares with Linux's AF_INET6 in this host's byte order; files hold the BSDs' values in either order",
    kind: "verdict",
    applies: ({ dlt, packet }) =>
      BSD_LOOPBACK.has(dlt) &&
      packet !== undefined &&
      packet.length >= 4 &&
      CONTESTED_FAMILIES.has(new DataView(packet.buffer, packet.byteOffset).getUint32(0)),
  },
  {
    id: "bacnet",
    cause: "version",
    reason:
      "1.10.3 tests for a magic number that is no part of BACnet MS/TP; later versions refuse protocols there and know its addresses",
    kind: "rejects",
    applies: ({ dlt }) => dlt === 165,
  },
  {
    id: "bacnet-addresses",
    cause: "version",
    reason: "as bacnet",
    kind: "accepts",
    applies: ({ dlt, expression }) => dlt === 165 && /\$|broadcast/.test(expression),
  },
  {
    id: "protocol-range",
    cause: "version",
    reason: "1.10.3 takes protocol numbers over 255 and EtherTypes over 65535, which nothing can match",
    kind: "rejects",
    applies: ({ expression }) => /proto/.test(expression),
  },
  {
    id: "lldp",
    cause: "version",
    reason: "1.10.3 does not know the names lldp and slow",
    kind: "accepts",
    applies: ({ expression }) => /\\(lldp|slow)/.test(expression),
  },
  {
    id: "ppi-types",
    cause: "version",
    reason: "1.10.3 knows no 802.11 frame types behind a PPI header",
    kind: "accepts",
    applies: ({ dlt, expression }) => dlt === 192 && /type|dir/.test(expression),
  },
  {
    id: "dsa",
    cause: "version",
    reason: "1.10.3 does not know the DSA tags of Ethernet switches",
    kind: "accepts",
    applies: ({ dlt }) => dlt === 281 || dlt === 284,
  },
  {
    id: "moved-last",
    cause: "bug",
    reason:
      "libpcap computes header positions for the link type that the last moving keyword left, so 802.11's and pflog's are unset",
    kind: "verdict",
    applies: ({ dlt, expression }) => RUN_TIME_HEADERS.has(dlt) && /pppoes|geneve/.test(expression),
  },
  {
    id: "mac8",
    cause: "bug",
    reason: "1.10.3 takes the `$` of a one-byte address for a hex digit",
    kind: "verdict",
    applies: ({ expression }) => /\$/.test(expression),
  },
  {
    id: "field-unequal",
    cause: "bug",
    reason: "`!=` on an ATM or SS7 field means `=` in libpcap",
    kind: "verdict",
    applies: ({ expression }) => /(vpi|vci|sio|opc|dpc|sls) *!=/.test(expression),
  },
  {
    id: "byte-and-or",
    cause: "bug",
    reason: "1.10.3 forgets to load the byte in `byte n & m` and `byte n | m`",
    kind: "verdict",
    applies: ({ expression }) => /byte \d+ [&|]/.test(expression),
  },
  {
    id: "false-zero",
    cause: "bug",
    reason:
      "libpcap takes the index in `x / ip[0]` or `x >> ip[40]` for the divisor or the shift count, and likewise in parentheses",
    kind: "accepts",
    applies: ({ theirs }) => /division by zero|modulus by zero|shift by more than 31/.test(theirs),
  },
  {
    id: "live-variable-header",
    cause: "bug",
    reason: "libpcap adds the position of the 802.11 or Ethernet header to the number of an ancillary load",
    kind: "verdict",
    applies: ({ dlt, expression }) =>
      /inbound|outbound|ifindex/.test(expression) && (RUN_TIME_HEADERS.has(dlt) || dlt === 240 || dlt === 241),
  },
  {
    id: "shared-scratch",
    cause: "bug",
    reason:
      "libpcap computes values in the scratch words that hold header positions: these are assigned first but reserved last",
    kind: "verdict",
    applies: ({ dlt, expression }) =>
      (RUN_TIME_HEADERS.has(dlt) && /[<>=]|geneve/.test(expression)) || /geneve.*[<>=]|[<>=].*geneve/.test(expression),
  },
  {
    id: "registers",
    cause: "limit",
    reason: "libpcap spends a scratch word on every value and runs out of sixteen earlier",
    kind: "accepts",
    applies: ({ theirs }) => /too many registers/.test(theirs),
  },
  {
    id: "protochain",
    cause: "bug",
    reason: "libpcap's step over an AH header forgets where that header is; here the walk ends after six headers",
    kind: "verdict",
    applies: ({ expression }) => /protochain/.test(expression),
  },
];
