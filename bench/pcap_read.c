/*
 * Reads a capture with libpcap and says how fast: one line of JSON per round, a round for each line on standard input.
 * Touches the captured length of every packet, so that the loop has a result.
 */
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	char error[PCAP_ERRBUF_SIZE];
	int line;

	if (argc != 2) {
		fprintf(stderr, "usage: pcap_read FILE\n");
		return 2;
	}
	while ((line = getchar()) != EOF) {
		struct pcap_pkthdr *header;
		const u_char *data;
		unsigned long long packets = 0, bytes = 0;
		double start = seconds();
		int status;
		pcap_t *capture;

		if (line != '\n')
			continue;
		capture = pcap_open_offline(argv[1], error);
		if (capture == NULL) {
			fprintf(stderr, "%s\n", error);
			return 1;
		}
		while ((status = pcap_next_ex(capture, &header, &data)) == 1) {
			packets++;
			bytes += header->caplen;
		}
		if (status != PCAP_ERROR_BREAK) {
			fprintf(stderr, "%s\n", pcap_geterr(capture));
			return 1;
		}
		pcap_close(capture);
		printf("{\"packets\":%llu,\"bytes\":%llu,\"seconds\":%.6f}\n", packets, bytes, seconds() - start);
		fflush(stdout);
	}
	return 0;
}
