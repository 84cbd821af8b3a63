/**
 * The machine's numbers, with the kernel's spelling (include/uapi/linux/filter.h, bpf_common.h).
 */

/** Longest program that Linux takes, in instructions. */
export const BPF_MAXINSNS = 4096;
/** Cells of scratch memory, M[0]..M[15]. */
export const BPF_MEMWORDS = 16;

/** Absolute loads from here up are ancillary data: 0xfffff000, -4096 as the kernel writes it. */
export const SKF_AD_OFF = 0xfffff000;
/** NET area, relative to the network header: offsets 0xfff00000..0xffffffff, -0x100000 as the kernel writes it. */
export const SKF_NET_OFF = 0xfff00000;
/** LL area, relative to the MAC header: offsets 0xffe00000..0xffefffff, -0x200000 as the kernel writes it. */
export const SKF_LL_OFF = 0xffe00000;

/** Bytes of one struct sock_filter. */
export const INSTRUCTION_BYTES = 8;
/** Largest u32. */
export const U32_MAX = 0xffffffff;
