#!/bin/sh
# Rewrites tcpdump.txt beside this file: what the installed tcpdump prints for a few expressions in all three forms.
set -eu
out=$(dirname "$0")/tcpdump.txt
{
  echo "# For each program its link type, flag and expression, then the output of tcpdump -d, -dd and -ddd."
  echo "# $(tcpdump --version 2>&1 | head -2 | paste -sd ',' -). Written by record.sh."
} > "$out"

record() {
  dlt=$1
  flag=$2
  expression=$3
  echo "=== $dlt $flag $expression" >> "$out"
  for form in -d -dd -ddd; do
    echo "--- $form" >> "$out"
    if [ "$flag" = "-O" ]; then tcpdump -y "$dlt" -O $form "$expression" >> "$out" 2> /dev/null
    else tcpdump -y "$dlt" $form "$expression" >> "$out" 2> /dev/null; fi
  done
}

record EN10MB + 'ip'
record EN10MB + 'host 10.0.0.1 and tcp port 80'
record EN10MB -O 'len > 100 and ip[0] & 0xf * 4 / 3 % 2 ^ 1 << 2 >> 1 = -ip[1] | 1'
record EN10MB + 'ip6 protochain 6'
record EN10MB + 'ether[0] & 1 = 0 and ip[16] >= 224'
record IEEE802_11_RADIO + 'wlan type mgt'
record RAW + 'udp[0:4] = 0xffffffff or tcp[tcpflags] & (tcp-syn|tcp-fin) != 0'
record LINUX_SLL + 'outbound or net 192.168.0.0/16'
record PPP + 'greater 1500'
