/*
 * Prints what libpcap's bpf_image() makes of every code of one byte, for a few constants and fields: the lines of
 * bpf-image.txt, "code jt jf k index|image".  Build: cc bpf-image.c -lpcap
 */
#include <pcap/pcap.h>
#include <stdio.h>

static void show(unsigned code, unsigned jt, unsigned jf, unsigned k, int index) {
  struct bpf_insn insn = {code, jt, jf, k};
  printf("%u %u %u %u %d|%s\n", code, jt, jf, k, index, bpf_image(&insn, index));
}

int main(void) {
  static const unsigned known[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x14, 0x15, 0x20, 0x24, 0x25, 0x28, 0x30,
                                   0x34, 0x35, 0x40, 0x44, 0x45, 0x48, 0x50, 0x54, 0x60, 0x61, 0x64, 0x74, 0x94, 0xa4,
                                   0xb1};
  static const unsigned constants[] = {5, 0x7fffffff, 0x80000000, 0xffffffff, 0xfff00004};
  printf("# bpf_image() of %s, Linux; bpf-image.c prints it\n", pcap_lib_version());
  for (unsigned code = 0; code < 0x100; code++) {
    int branch = (code & 7) == 5 && (code & 0xf0) != 0;
    show(code, branch ? 2 : 0, branch ? 253 : 0, 0, 7);
  }
  for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
    for (unsigned j = 0; j < sizeof constants / sizeof *constants; j++) show(known[i], 0, 0, constants[j], 1000);
  for (unsigned n = 0; n <= 64; n += 2) show(n % 3 == 0 ? 0x20 : n % 3 == 1 ? 0x28 : 0x30, 0, 0, 0xfffff000 + n, 12);
  show(0x1234, 0, 0, 0, 0);
  show(0x8015, 1, 2, 0, 0);
  return 0;
}
