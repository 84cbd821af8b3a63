/*
 * The C side of bench/engines.mjs: libpcap's bpf_filter, and programs translated to C and compiled by gcc and clang.
 *
 * usage: engines-c PACKETS LIBRARY...   the commands and the format of PACKETS: bench/rival-process.mjs
 * ENGINE is bpf_filter or the prefix of functions in a library.
 */
#define _DEFAULT_SOURCE
#include <sys/types.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pcap/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef uint32_t (*batch_fn)(const uint8_t *, const uint32_t *, uint32_t, uint32_t *);

struct program {
  char name[32];
  struct bpf_insn *code;
};

static struct program programs[64];
static int program_count;
static uint8_t *bytes;
static uint32_t *table, *out, packets;

static void *huge(size_t size) {
  size_t whole = (size + (2u << 20) - 1) & ~(size_t)((2u << 20) - 1);
  void *p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) exit(2);
  madvise(p, whole, MADV_HUGEPAGE);
  return p;
}

static void read_all(int fd, void *to, size_t size) {
  for (size_t at = 0; at < size;) {
    ssize_t n = read(fd, (char *)to + at, size - at);
    if (n <= 0) exit(3);
    at += (size_t)n;
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static struct bpf_insn *find(const char *name) {
  for (int i = 0; i < program_count; i++)
    if (strcmp(programs[i].name, name) == 0) return programs[i].code;
  return NULL;
}

static uint32_t interpret(const struct bpf_insn *code, uint32_t count) {
  uint32_t matched = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t length = table[2 * i + 1];
    out[i] = bpf_filter(code, bytes + table[2 * i], length, length);
    matched += out[i] != 0;
  }
  return matched;
}

int main(int argc, char **argv) {
  int fd = open(argv[1], O_RDONLY);
  uint32_t head[2];
  if (argc < 2 || fd < 0) return 1;
  read_all(fd, head, sizeof head);
  packets = head[0];
  table = huge(8 * (size_t)(packets + 16));
  out = huge(4 * (size_t)packets);
  bytes = huge((size_t)head[1] + 4096);
  read_all(fd, table, 8 * (size_t)packets);
  read_all(fd, bytes, head[1]);
  void *libraries[8];
  for (int i = 2; i < argc; i++)
    if ((libraries[i - 2] = dlopen(argv[i], RTLD_NOW)) == NULL) return fprintf(stderr, "%s\n", dlerror()), 1;

  char line[4096], engine[64], name[64], path[4000];
  unsigned count, passes;
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "load %63s %3999s", name, path) == 2) {
      FILE *f = fopen(path, "rb");
      fseek(f, 0, SEEK_END);
      size_t size = (size_t)ftell(f);
      rewind(f);
      struct program *p = &programs[program_count++];
      snprintf(p->name, sizeof p->name, "%.31s", name);
      p->code = malloc(size);
      if (fread(p->code, 1, size, f) != size) return 4;
      fclose(f);
      printf("ok\n");
    } else if (sscanf(line, "run %63s %63s %u %u", engine, name, &count, &passes) == 4) {
      batch_fn batch = NULL;
      char symbol[160];
      snprintf(symbol, sizeof symbol, "%s_%s", engine, name);
      for (int i = 2; i < argc && batch == NULL; i++) batch = (batch_fn)(uintptr_t)dlsym(libraries[i - 2], symbol);
      const struct bpf_insn *code = find(name);
      if (batch == NULL && strcmp(engine, "bpf_filter") != 0) {
        printf("none no function %s\n", symbol);
        fflush(stdout);
        continue;
      }
      double start = now();
      uint32_t matched = 0;
      for (unsigned i = 0; i < passes; i++) matched = batch ? batch(bytes, table, count, out) : interpret(code, count);
      double ns = (now() - start) / ((double)passes * count);
      uint32_t hash = 0x811c9dc5;
      for (uint32_t i = 0; i < count; i++) hash = (hash ^ out[i]) * 0x01000193u;
      printf("%.4f %u %u\n", ns, hash, matched);
    } else {
      printf("what?\n");
    }
    fflush(stdout);
  }
  return 0;
}
