// Sends Ethernet frames of one size on an interface as fast as it can, or at a rate, with sendmmsg().
//
//   kernel-send INTERFACE SIZE SECONDS RATE    RATE in packets a second, 0 for no limit
//
// Every frame is UDP over IPv4 and broadcast; bytes 42..49 hold CLOCK_MONOTONIC in nanoseconds, high byte first, and
// the source port counts, so that a filter can choose among the frames.  Prints the number of frames sent.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, LARGEST = 9000 };

static uint8_t frames[BATCH][LARGEST];

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void stamp(uint8_t *frame, uint64_t time, uint16_t port) {
  for (int i = 0; i < 8; i++) frame[42 + i] = (uint8_t)(time >> (56 - 8 * i));
  frame[34] = (uint8_t)(port >> 8);
  frame[35] = (uint8_t)port;
}

int main(int argc, char **argv) {
  if (argc != 5) return fprintf(stderr, "usage: kernel-send INTERFACE SIZE SECONDS RATE\n"), 2;
  size_t size = strtoul(argv[2], NULL, 10);
  double seconds = strtod(argv[3], NULL);
  double rate = strtod(argv[4], NULL);
  if (size < 60 || size > LARGEST) return fprintf(stderr, "size: 60..%d\n", LARGEST), 2;
  int fd = socket(AF_PACKET, SOCK_RAW, 0);
  struct sockaddr_ll to = {.sll_family = AF_PACKET,
                           .sll_protocol = htons(ETH_P_IP),
                           .sll_ifindex = (int)if_nametoindex(argv[1]),
                           .sll_halen = 6};
  if (fd < 0 || to.sll_ifindex == 0) return perror(argv[1]), 1;

  static const uint8_t head[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 0, 0, 0, 0,
                                   0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 0, 0x12, 0x34};
  struct mmsghdr messages[BATCH] = {0};
  struct iovec parts[BATCH];
  for (int i = 0; i < BATCH; i++) {
    memcpy(frames[i], head, sizeof head);
    frames[i][16] = (uint8_t)((size - 14) >> 8);
    frames[i][17] = (uint8_t)(size - 14);
    frames[i][38] = (uint8_t)((size - 34) >> 8);
    frames[i][39] = (uint8_t)(size - 34);
    parts[i] = (struct iovec){frames[i], size};
    messages[i].msg_hdr = (struct msghdr){.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &parts[i], .msg_iovlen = 1};
  }
  uint64_t start = now();
  uint64_t end = start + (uint64_t)(seconds * 1e9);
  unsigned long sent = 0;
  for (uint64_t time = start; time < end; time = now()) {
    unsigned long due = rate == 0 ? sent + BATCH : (unsigned long)((double)(time - start) * rate / 1e9) + 1;
    if (due <= sent) continue;  // spins: a sleeping generator would add its own wake-up time to the latency
    unsigned count = due - sent < BATCH ? (unsigned)(due - sent) : BATCH;
    for (unsigned i = 0; i < count; i++) stamp(frames[i], time, (uint16_t)(sent + i));
    int done = sendmmsg(fd, messages, count, 0);
    if (done > 0) sent += (unsigned long)done;
  }
  printf("%lu\n", sent);
  return 0;
}
