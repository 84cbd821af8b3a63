/*
 * libpcap's bpf_filter() as an engine for `cbpf conform --engine-cmd`: reads questions from standard input, one JSON
 * object a line, and answers each with a line.  The protocol is described in docs/conformance.md.
 *
 *     cc -O2 -o adapter adapter.c -lpcap
 *     cbpf conform --engine-cmd ./adapter test/corpus
 *
 * libpcap is no reference for Linux: it differs on purpose and by age, and the comparison shows where.
 */
#include <ctype.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the reader stands in the line; every reader leaves it behind what it took. */
static const char *at;

static void fail(const char *what) {
  fprintf(stderr, "adapter: %s near \"%.40s\"\n", what, at);
  exit(1);
}

static void blanks(void) {
  while (isspace((unsigned char)*at)) at++;
}

static int take(char c) {
  blanks();
  if (*at != c) return 0;
  at++;
  return 1;
}

static void expect(char c) {
  if (!take(c)) fail("unexpected character");
}

static double number(void) {
  char *end;
  blanks();
  double value = strtod(at, &end);
  if (end == at) fail("expected a number");
  at = end;
  return value;
}

/* A string without escapes, which is all that questions have; returns its length. */
static size_t string(const char **start) {
  expect('"');
  *start = at;
  while (*at != '"' && *at != '\0') at++;
  size_t length = at - *start;
  expect('"');
  return length;
}

/* Passes over any value. */
static void skip(void) {
  const char *ignored;
  blanks();
  if (*at == '"') {
    string(&ignored);
  } else if (*at == '[' || *at == '{') {
    char close = *at++ == '[' ? ']' : '}';
    while (!take(close)) {
      skip();
      if (!take(',')) take(':');
    }
  } else {
    while (*at != '\0' && strchr(",]}", *at) == NULL) at++;
  }
}

static int is(const char *key, size_t length, const char *name) {
  return length == strlen(name) && memcmp(key, name, length) == 0;
}

/* [[code, jt, jf, k], ...] */
static u_int program(struct bpf_insn **out) {
  u_int count = 0, room = 0;
  *out = NULL;
  expect('[');
  while (!take(']')) {
    if (count == room) *out = realloc(*out, (room = 2 * room + 64) * sizeof **out);
    struct bpf_insn *insn = &(*out)[count++];
    expect('[');
    insn->code = (u_short)number();
    expect(',');
    insn->jt = (u_char)number();
    expect(',');
    insn->jf = (u_char)number();
    expect(',');
    insn->k = (bpf_u_int32)number();
    expect(']');
    take(',');
  }
  return count;
}

/* "0102..." */
static u_char *hex_bytes(size_t *length) {
  const char *digits;
  *length = string(&digits) / 2;
  u_char *bytes = malloc(*length + 1);
  for (size_t i = 0; i < *length; i++) {
    char pair[3] = {digits[2 * i], digits[2 * i + 1], '\0'};
    bytes[i] = (u_char)strtoul(pair, NULL, 16);
  }
  return bytes;
}

/* {"bytes": "...", "context": {"length": 60, ...}}; prints the verdict. */
static void packet(const struct bpf_insn *insns) {
  u_char *bytes = NULL;
  size_t length = 0;
  double wire = -1;
  expect('{');
  while (!take('}')) {
    const char *key;
    size_t n = string(&key);
    expect(':');
    if (is(key, n, "bytes")) {
      bytes = hex_bytes(&length);
    } else if (is(key, n, "context")) {
      expect('{');
      while (!take('}')) {
        n = string(&key);
        expect(':');
        if (is(key, n, "length")) wire = number();
        else skip();
        take(',');
      }
    } else {
      skip();
    }
    take(',');
  }
  u_int wirelen = wire < 0 ? (u_int)length : (u_int)wire;
  printf("%u", bpf_filter(insns, bytes, wirelen, (u_int)length));
  free(bytes);
}

/* True when libpcap's interpreter knows every code: on another one it calls abort(). */
static int survives(const struct bpf_insn *insns, u_int count) {
  static const u_short known[] = {
      0x00, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x60, 0x80, 0x01, 0x61, 0x81, 0xb1, 0x02, 0x03, 0x04, 0x0c,
      0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x94, 0x9c, 0x44, 0x4c, 0x54, 0x5c, 0xa4, 0xac, 0x64, 0x6c, 0x74,
      0x7c, 0x84, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d, 0x06, 0x16, 0x07, 0x87};
  for (u_int i = 0; i < count; i++) {
    size_t n = 0;
    while (n < sizeof known / sizeof *known && known[n] != insns[i].code) n++;
    if (n == sizeof known / sizeof *known) return 0;
  }
  return 1;
}

/* True for a jump back, which libpcap takes: such a program may never end. */
static int loops(const struct bpf_insn *insns, u_int count) {
  for (u_int i = 0; i < count; i++) {
    if (insns[i].code == 0x05 && insns[i].k > 0x7fffffff) return 1;
  }
  return 0;
}

static void answer(void) {
  struct bpf_insn *insns = NULL;
  const char *packets = NULL;
  u_int count = 0;
  double id = 0;
  expect('{');
  while (!take('}')) {
    const char *key;
    size_t n = string(&key);
    expect(':');
    if (is(key, n, "id")) {
      id = number();
    } else if (is(key, n, "program")) {
      count = program(&insns);
    } else {
      if (is(key, n, "packets")) packets = at;
      skip();
    }
    take(',');
  }
  printf("{\"id\":%.0f,", id);
  if (!bpf_validate(insns, (int)count)) {
    printf("\"accepted\":false}\n");
  } else {
    const char *why = loops(insns, count)       ? "a jump back may never end"
                      : survives(insns, count) ? NULL
                                               : "libpcap would abort() on an unknown code";
    const char *separator = "";
    printf("\"accepted\":true,\"verdicts\":[");
    at = packets;
    expect('[');
    while (!take(']')) {
      printf("%s", separator);
      separator = ",";
      if (why == NULL) {
        packet(insns);
      } else {
        skip();
        printf("\"%s\"", why);
      }
      take(',');
    }
    printf("]}\n");
  }
  free(insns);
}

int main(void) {
  static char *line = NULL;
  size_t room = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  /* "libpcap version 1.10.3 (...)" */
  printf("{\"name\":\"libpcap\",\"version\":\"%.60s\"}\n", pcap_lib_version());
  while (getline(&line, &room, stdin) > 0) {
    at = line;
    answer();
  }
  return 0;
}
