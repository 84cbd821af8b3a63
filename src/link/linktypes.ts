/**
 * Link types: what stands at byte 0 of a packet.  Numbers and names only.
 *
 * A capture file holds a LINKTYPE_* number, a filter is compiled for a DLT_* number.  They are the same but for a few
 * early ones whose DLT_* numbers differ between systems; the `dlt` column has those of Linux.
 *
 * Numbers, names and sizes: tcpdump.org/linktypes.html and libpcap pcap/dlt.h, pcap-common.c.
 */

export interface LinkType {
  /** The number in capture files. */
  readonly linktype: number;
  /** The number in a compiled filter's world, on Linux. */
  readonly dlt: number;
  /** Its DLT_* name without the prefix: "EN10MB". */
  readonly name: string;
  /** Its LINKTYPE_* name without the prefix, where that differs: "ETHERNET". */
  readonly alias?: string;
  /** A few words for people, where they say more than the name. */
  readonly description?: string;
  /** Bytes that one packet can have, where that is more than {@link MAXIMUM_PACKET}. */
  readonly maximumPacket?: number;
}

/** Bytes that one packet of most link types can have: MAXIMUM_SNAPLEN, libpcap pcap-int.h. */
export const MAXIMUM_PACKET = 262_144;

const MIB = 1024 * 1024;

// biome-ignore format: a table
export const LINK_TYPES: readonly LinkType[] = [
  row(0,   "NULL",                       "BSD loopback"),
  row(1,   "EN10MB",                     "Ethernet", { alias: "ETHERNET" }),
  row(2,   "EN3MB",                      undefined, { alias: "EXP_ETHERNET" }),
  row(3,   "AX25"),
  row(4,   "PRONET"),
  row(5,   "CHAOS"),
  row(6,   "IEEE802",                    "802.5 token ring", { alias: "IEEE802_5" }),
  row(7,   "ARCNET",                     "ARCNET, BSD header", { alias: "ARCNET_BSD" }),
  row(8,   "SLIP",                       "SLIP"),
  row(9,   "PPP",                        "PPP"),
  row(10,  "FDDI",                       "FDDI"),
  row(32,  "REDBACK_SMARTEDGE"),
  row(50,  "PPP_SERIAL",                 "PPP, HDLC framing", { alias: "PPP_HDLC" }),
  row(51,  "PPP_ETHER",                  "PPPoE session"),
  row(99,  "SYMANTEC_FIREWALL"),
  row(100, "ATM_RFC1483",                "LLC over ATM", { dlt: 11 }),
  row(101, "RAW",                        "IPv4 or IPv6, no link header", { dlt: 12 }),
  row(102, "SLIP_BSDOS",                 undefined, { dlt: 15 }),
  row(103, "PPP_BSDOS",                  undefined, { dlt: 16 }),
  row(104, "C_HDLC",                     "Cisco HDLC"),
  row(105, "IEEE802_11",                 "802.11"),
  row(106, "ATM_CLIP",                   "classical IP over ATM", { dlt: 19 }),
  row(107, "FRELAY",                     "frame relay"),
  row(108, "LOOP",                       "OpenBSD loopback"),
  row(109, "ENC",                        "OpenBSD IPsec"),
  row(112, "HDLC",                       undefined, { alias: "NETBSD_HDLC" }),
  row(113, "LINUX_SLL",                  "Linux cooked, v1"),
  row(114, "LTALK",                      "LocalTalk"),
  row(115, "ECONET"),
  row(116, "IPFILTER"),
  row(117, "PFLOG",                      "OpenBSD packet filter log"),
  row(118, "CISCO_IOS"),
  row(119, "PRISM_HEADER",               "802.11, Prism header"),
  row(120, "AIRONET_HEADER"),
  row(121, "HHDLC"),
  row(122, "IP_OVER_FC",                 "IP over Fibre Channel"),
  row(123, "SUNATM",                     "ATM, SunATM header"),
  row(124, "RIO"),
  row(125, "PCI_EXP"),
  row(126, "AURORA"),
  row(127, "IEEE802_11_RADIO",           "802.11, radiotap header"),
  row(128, "TZSP"),
  row(129, "ARCNET_LINUX",               "ARCNET, Linux header"),
  row(130, "JUNIPER_MLPPP"),
  row(131, "JUNIPER_MLFR"),
  row(132, "JUNIPER_ES"),
  row(133, "JUNIPER_GGSN"),
  row(134, "JUNIPER_MFR"),
  row(135, "JUNIPER_ATM2"),
  row(136, "JUNIPER_SERVICES"),
  row(137, "JUNIPER_ATM1"),
  row(138, "APPLE_IP_OVER_IEEE1394",     "IP over FireWire"),
  row(139, "MTP2_WITH_PHDR",             "SS7 MTP2, pseudo-header"),
  row(140, "MTP2",                       "SS7 MTP2"),
  row(141, "MTP3",                       "SS7 MTP3"),
  row(142, "SCCP",                       "SS7 SCCP"),
  row(143, "DOCSIS",                     "DOCSIS"),
  row(144, "LINUX_IRDA",                 "Linux IrDA"),
  row(145, "IBM_SP"),
  row(146, "IBM_SN"),
  row(147, "USER0"),
  row(148, "USER1"),
  row(149, "USER2"),
  row(150, "USER3"),
  row(151, "USER4"),
  row(152, "USER5"),
  row(153, "USER6"),
  row(154, "USER7"),
  row(155, "USER8"),
  row(156, "USER9"),
  row(157, "USER10"),
  row(158, "USER11"),
  row(159, "USER12"),
  row(160, "USER13"),
  row(161, "USER14"),
  row(162, "USER15"),
  row(163, "IEEE802_11_RADIO_AVS",       "802.11, AVS header"),
  row(164, "JUNIPER_MONITOR"),
  row(165, "BACNET_MS_TP",               "BACnet MS/TP"),
  row(166, "PPP_PPPD",                   "PPP of pppd, with direction", { alias: "LINUX_PPP_WITHDIRECTION" }),
  row(167, "JUNIPER_PPPOE"),
  row(168, "JUNIPER_PPPOE_ATM"),
  row(169, "GPRS_LLC",                   "GPRS LLC"),
  row(170, "GPF_T"),
  row(171, "GPF_F"),
  row(172, "GCOM_T1E1"),
  row(173, "GCOM_SERIAL"),
  row(174, "JUNIPER_PIC_PEER"),
  row(175, "ERF_ETH"),
  row(176, "ERF_POS"),
  row(177, "LINUX_LAPD",                 "LAPD of vISDN"),
  row(178, "JUNIPER_ETHER"),
  row(179, "JUNIPER_PPP"),
  row(180, "JUNIPER_FRELAY"),
  row(181, "JUNIPER_CHDLC"),
  row(182, "MFR",                        "multilink frame relay"),
  row(183, "JUNIPER_VP"),
  row(184, "A429"),
  row(185, "A653_ICM"),
  row(186, "USB_FREEBSD",                "USB, FreeBSD header"),
  row(187, "BLUETOOTH_HCI_H4",           "Bluetooth HCI"),
  row(188, "IEEE802_16_MAC_CPS",         "802.16 MAC"),
  row(189, "USB_LINUX",                  "USB, Linux header"),
  row(190, "CAN20B",                     "CAN 2.0B"),
  row(191, "IEEE802_15_4_LINUX",         "802.15.4, Linux padding"),
  row(192, "PPI",                        "per-packet information header"),
  row(193, "IEEE802_16_MAC_CPS_RADIO"),
  row(194, "JUNIPER_ISM"),
  row(195, "IEEE802_15_4",               "802.15.4 with FCS", { alias: "IEEE802_15_4_WITHFCS" }),
  row(196, "SITA"),
  row(197, "ERF",                        "Endace ERF"),
  row(198, "RAIF1"),
  row(199, "IPMB_KONTRON"),
  row(200, "JUNIPER_ST"),
  row(201, "BLUETOOTH_HCI_H4_WITH_PHDR", "Bluetooth HCI with direction"),
  row(202, "AX25_KISS",                  "AX.25, KISS framing"),
  row(203, "LAPD",                       "LAPD"),
  row(204, "PPP_WITH_DIR",               "PPP with direction"),
  row(205, "C_HDLC_WITH_DIR",            "Cisco HDLC with direction"),
  row(206, "FRELAY_WITH_DIR",            "frame relay with direction"),
  row(207, "LAPB_WITH_DIR"),
  row(209, "IPMB_LINUX",                 "IPMB, Linux header"),
  row(210, "FLEXRAY"),
  row(211, "MOST"),
  row(212, "LIN"),
  row(213, "X2E_SERIAL"),
  row(214, "X2E_XORAYA"),
  row(215, "IEEE802_15_4_NONASK_PHY",    "802.15.4 with PHY header"),
  row(216, "LINUX_EVDEV",                "Linux input events"),
  row(217, "GSMTAP_UM"),
  row(218, "GSMTAP_ABIS"),
  row(219, "MPLS",                       "MPLS"),
  row(220, "USB_LINUX_MMAPPED",          "USB, long Linux header"),
  row(221, "DECT",                       "DECT"),
  row(222, "AOS"),
  row(223, "WIHART",                     "WirelessHART"),
  row(224, "FC_2",                       "Fibre Channel"),
  row(225, "FC_2_WITH_FRAME_DELIMS",     "Fibre Channel with delimiters"),
  row(226, "IPNET",                      "Solaris ipnet"),
  row(227, "CAN_SOCKETCAN",              "CAN, SocketCAN header"),
  row(228, "IPV4",                       "IPv4"),
  row(229, "IPV6",                       "IPv6"),
  row(230, "IEEE802_15_4_NOFCS",         "802.15.4 without FCS"),
  row(231, "DBUS",                       "D-Bus messages", { maximumPacket: 128 * MIB }),
  row(232, "JUNIPER_VS"),
  row(233, "JUNIPER_SRX_E2E"),
  row(234, "JUNIPER_FIBRECHANNEL"),
  row(235, "DVB_CI",                     "DVB common interface"),
  row(236, "MUX27010"),
  row(237, "STANAG_5066_D_PDU"),
  row(238, "JUNIPER_ATM_CEMIC"),
  row(239, "NFLOG",                      "Linux netfilter log"),
  row(240, "NETANALYZER",                "Ethernet, netANALYZER header"),
  row(241, "NETANALYZER_TRANSPARENT"),
  row(242, "IPOIB",                      "IP over InfiniBand"),
  row(243, "MPEG_2_TS",                  "MPEG-2 transport stream"),
  row(244, "NG40"),
  row(245, "NFC_LLCP",                   "NFC LLCP"),
  row(246, "PFSYNC",                     "pfsync"),
  row(247, "INFINIBAND",                 "InfiniBand"),
  row(248, "SCTP",                       "SCTP"),
  row(249, "USBPCAP",                    "USB, USBPcap header", { maximumPacket: MIB }),
  row(250, "RTAC_SERIAL"),
  row(251, "BLUETOOTH_LE_LL",            "Bluetooth LE"),
  row(252, "WIRESHARK_UPPER_PDU"),
  row(253, "NETLINK",                    "Linux netlink"),
  row(254, "BLUETOOTH_LINUX_MONITOR",    "Bluetooth monitor of Linux"),
  row(255, "BLUETOOTH_BREDR_BB",         "Bluetooth baseband"),
  row(256, "BLUETOOTH_LE_LL_WITH_PHDR",  "Bluetooth LE, pseudo-header"),
  row(257, "PROFIBUS_DL",                "PROFIBUS"),
  row(258, "PKTAP",                      "Apple PKTAP"),
  row(259, "EPON",                       "EPON Ethernet"),
  row(260, "IPMI_HPM_2",                 "IPMI trace"),
  row(261, "ZWAVE_R1_R2",                "Z-Wave R1 and R2"),
  row(262, "ZWAVE_R3",                   "Z-Wave R3"),
  row(263, "WATTSTOPPER_DLM"),
  row(264, "ISO_14443",                  "ISO 14443 contactless cards"),
  row(265, "RDS",                        "RDS groups"),
  row(266, "USB_DARWIN",                 "USB, Darwin header"),
  row(267, "OPENFLOW",                   "OpenBSD OpenFlow"),
  row(268, "SDLC",                       "SDLC"),
  row(269, "TI_LLN_SNIFFER"),
  row(270, "LORATAP",                    "LoRa, LoRaTap header"),
  row(271, "VSOCK",                      "Linux vsock"),
  row(272, "NORDIC_BLE",                 "Bluetooth LE of Nordic sniffers"),
  row(273, "DOCSIS31_XRA31",             "DOCSIS 3.1 of XRA-31"),
  row(274, "ETHERNET_MPACKET",           "802.3br mPackets"),
  row(275, "DISPLAYPORT_AUX",            "DisplayPort AUX"),
  row(276, "LINUX_SLL2",                 "Linux cooked, v2"),
  row(277, "SERCOS_MONITOR",             "Sercos monitor"),
  row(278, "OPENVIZSLA",                 "USB of OpenVizsla"),
  row(279, "EBHSCR",                     "EBHSCR frames", { maximumPacket: 8 * MIB }),
  row(280, "VPP_DISPATCH",               "VPP graph trace"),
  row(281, "DSA_TAG_BRCM",               "Ethernet, Broadcom tag"),
  row(282, "DSA_TAG_BRCM_PREPEND",       "Broadcom tag before Ethernet"),
  row(283, "IEEE802_15_4_TAP",           "802.15.4, TAP header"),
  row(284, "DSA_TAG_DSA",                "Ethernet, Marvell DSA tag"),
  row(285, "DSA_TAG_EDSA",               "Ethernet, Marvell EDSA tag"),
  row(286, "ELEE",                       "ELEE lawful interception"),
  row(287, "Z_WAVE_SERIAL",              "Z-Wave serial"),
  row(288, "USB_2_0",                    "USB 1.0 to 2.0 on the cable"),
  row(289, "ATSC_ALP",                   "ATSC ALP"),
];

function row(
  linktype: number,
  name: string,
  description?: string,
  other: { readonly alias?: string; readonly dlt?: number; readonly maximumPacket?: number } = {},
): LinkType {
  return Object.freeze({
    linktype,
    dlt: linktype,
    name,
    ...(description === undefined ? {} : { description }),
    ...other,
  });
}

/** The row of a LINKTYPE_* number; a number that files do not use is looked up as the DLT_* number it is on Linux. */
export function linktypeRow(linktype: number): LinkType | undefined {
  return LINK_TYPES.find((row) => row.linktype === linktype) ?? LINK_TYPES.find((row) => row.dlt === linktype);
}

/** The name of a LINKTYPE_* number, as tcpdump prints it: "EN10MB"; the number itself where it has none. */
export function linktypeName(linktype: number): string {
  return linktypeRow(linktype)?.name ?? String(linktype);
}

/**
 * The LINKTYPE_* number of a name, in any case: "EN10MB", "DLT_EN10MB", "LINKTYPE_ETHERNET", "ethernet", "1".
 *
 * @returns  Undefined for no known name and no number in 0..65535.
 */
export function linktypeFromName(name: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name) <= 0xffff ? Number(name) : undefined;
  const wanted = name.toUpperCase().replace(/^(DLT|LINKTYPE)_/, "");
  return LINK_TYPES.find((row) => row.name === wanted || row.alias === wanted)?.linktype;
}

/** The DLT_* number, on Linux, that a filter for packets of this LINKTYPE_* is compiled for. */
export function dltOf(linktype: number): number {
  return linktypeRow(linktype)?.dlt ?? linktype;
}

/** Bytes that one packet of a LINKTYPE_* can have at most, as libpcap's max_snaplen_for_dlt() has it. */
export function maximumPacketOf(linktype: number): number {
  return linktypeRow(linktype)?.maximumPacket ?? MAXIMUM_PACKET;
}
