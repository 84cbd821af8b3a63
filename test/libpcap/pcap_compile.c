/*
 * The filter compiler of the installed libpcap behind a line protocol, for the differential tests.
 *
 * A request is one line:  dlt snaplen optimize netmask expression     (netmask in hex, ffffffff: unknown)
 * An answer is one line:  ok code,jt,jf,k code,jt,jf,k ...   or   error text
 * A request "version" answers with the library's version, "lookup N" with the name of a DLT and its description.
 */
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_error(const char *text) {
  printf("error ");
  for (; *text; text++) putchar(*text == '\n' ? ' ' : *text);
  putchar('\n');
}

static void compile_line(char *line) {
  int dlt, snaplen, optimize, used = 0;
  unsigned netmask;
  if (sscanf(line, "%d %d %d %x%n", &dlt, &snaplen, &optimize, &netmask, &used) != 4) {
    print_error("bad request");
    return;
  }
  const char *expression = line[used] == ' ' ? line + used + 1 : line + used;
  pcap_t *handle = pcap_open_dead(dlt, snaplen);
  struct bpf_program program;
  if (pcap_compile(handle, &program, expression, optimize, netmask) != 0) {
    print_error(pcap_geterr(handle));
  } else {
    printf("ok");
    for (unsigned i = 0; i < program.bf_len; i++) {
      const struct bpf_insn *insn = program.bf_insns + i;
      printf(" %u,%u,%u,%u", insn->code, insn->jt, insn->jf, insn->k);
    }
    putchar('\n');
    pcap_freecode(&program);
  }
  pcap_close(handle);
}

int main(void) {
  char *line = NULL;
  size_t capacity = 0;
  ssize_t length;
  while ((length = getline(&line, &capacity, stdin)) > 0) {
    if (line[length - 1] == '\n') line[length - 1] = '\0';
    int dlt;
    if (strcmp(line, "version") == 0) {
      printf("%s\n", pcap_lib_version());
    } else if (sscanf(line, "lookup %d", &dlt) == 1) {
      const char *name = pcap_datalink_val_to_name(dlt);
      const char *text = pcap_datalink_val_to_description(dlt);
      printf("%s\t%s\n", name ? name : "", text ? text : "");
    } else {
      compile_line(line);
    }
    fflush(stdout);
  }
  free(line);
  return 0;
}
