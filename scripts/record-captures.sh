#!/bin/bash
# Records the captures of test/captures from real clients and servers in two private network namespaces.
#
#   sudo scripts/record-captures.sh [FOLDER]
#
# Needs root and Debian's iproute2, ethtool, tcpdump, iputils-ping, curl, python3, bind9-dnsutils, dnsmasq-base, udhcpc,
# openssh-server, and `npm run build` for the pcapng file.  Addresses are those for documentation (RFC 5737, RFC 3849),
# MAC addresses locally administered, the host name is "host".  Namespaces, processes and temporary files are the
# script's own and go with it; nothing leaves the machine.
set -euo pipefail

if [ -z "${CBPF_RECORDING:-}" ]; then
  exec env CBPF_RECORDING=1 unshare --uts "$0" "$@" # a host name of its own
fi
hostname host

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../test/captures}
mkdir -p "$out"
temporary=$(mktemp -d)
client=cbpf-client-$$ server=cbpf-server-$$ switch=cbpf-switch-$$
started=() # process ids; every one is of a simple command, so that it is the program's own

clean() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  for namespace in $client $server $switch; do ip netns del "$namespace" 2>/dev/null || true; done
  rm -rf "$temporary"
  [ -z "${made_run_sshd:-}" ] || rmdir /run/sshd
}
trap clean EXIT

in_client() { timeout 20 ip netns exec "$client" "$@"; }

# A pair of interfaces: namespace, name, MAC address, twice.
join_namespaces() {
  ip link add "$2" netns "$1" address "$3" type veth peer name "$5" netns "$4" address "$6"
  for side in "$1 $2" "$4 $5"; do
    set -- $side
    # Checksums and segments as they would be on a cable.
    ip netns exec "$1" ethtool -K "$2" rx off tx off tso off gso off gro off >/dev/null
    ip netns exec "$1" ip link set "$2" up
  done
}

# Waits up to 5 s for a command to succeed.
until_true() {
  for _ in $(seq 50); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo "gave up waiting for: $*" >&2
  return 1
}

# record NAMESPACE INTERFACE FILE COMMAND...: what the interface sees while the command runs.
record() {
  local namespace=$1 interface=$2 file=$out/$3 dump
  shift 3
  ip netns exec "$namespace" tcpdump -Z root -U --immediate-mode -s 0 -i "$interface" -w "$file" 2>"$temporary/tcpdump" &
  dump=$!
  started+=("$dump")
  until_true grep -q listening "$temporary/tcpdump"
  "$@" >"$temporary/output" 2>&1 || { echo "$(basename "$file"): $* failed"; cat "$temporary/output"; return 1; }
  sleep 0.5
  kill -INT "$dump"
  wait "$dump" || true
  echo "$(basename "$file"): $(tcpdump -r "$file" 2>/dev/null | wc -l) packets, $(stat -c %s "$file") bytes"
}

for namespace in $client $server $switch; do
  ip netns add "$namespace"
  ip -n "$namespace" link set lo up
done

# IPv6 neighbours at once: no duplicate address detection.
for namespace in $client $server; do
  ip netns exec "$namespace" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
done
join_namespaces "$client" c0 02:00:00:00:00:01 "$server" s0 02:00:00:00:00:02
ip -n "$client" address add 192.0.2.1/24 dev c0
ip -n "$server" address add 192.0.2.2/24 dev s0
ip -n "$client" address add 2001:db8::1/64 dev c0 nodad
ip -n "$server" address add 2001:db8::2/64 dev s0 nodad

mkdir "$temporary/www"
printf '<!doctype html>\n<title>cbpf</title>\n<p>A page to be captured.\n' >"$temporary/www/index.html"
head -c 5000 /dev/zero | tr '\0' x >"$temporary/www/long.txt"
(cd "$temporary/www" && exec ip netns exec "$server" python3 -m http.server --bind :: 80) >/dev/null 2>&1 &
started+=($!)

ip netns exec "$server" dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file= \
  --interface=s0 --bind-interfaces --no-ping --dhcp-authoritative --domain=example.com \
  --dhcp-range=192.0.2.100,192.0.2.110,1h --dhcp-leasefile="$temporary/leases" \
  --host-record=www.example.com,192.0.2.2,2001:db8::2 --txt-record=example.com,"a text" \
  --cname=alias.example.com,www.example.com >/dev/null 2>&1 &
started+=($!)

ssh-keygen -q -t ed25519 -N '' -C '' -f "$temporary/host_key"
[ -d /run/sshd ] || { mkdir /run/sshd && made_run_sshd=1; } # sshd insists on it
ip netns exec "$server" /usr/sbin/sshd -D -f /dev/null -p 22 -h "$temporary/host_key" -o PidFile=none -o UsePAM=no \
  -o DebianBanner=no -o AuthenticationMethods=publickey >/dev/null 2>&1 &
started+=($!)

until_true in_client curl -s http://192.0.2.2/
until_true in_client dig +time=1 +tries=1 @192.0.2.2 www.example.com
until_true in_client ssh-keyscan -T 1 192.0.2.2

forget() { ip -n "$client" neigh flush all; ip -n "$server" neigh flush all; } # so that ARP and ND are recorded too

pings() {
  in_client ping -q -c 3 -i 0.2 192.0.2.2
  in_client ping -q -c 2 -i 0.2 -s 1000 -p 6362 192.0.2.2
  in_client ping -q -c 1 -W 1 -t 1 192.0.2.77 || true # nobody answers: ARP only
}
pings6() {
  in_client ping -6 -q -c 3 -i 0.2 2001:db8::2
  in_client ping -6 -q -c 2 -i 0.2 ff02::1%c0
}
fragments() {
  in_client ping -q -c 2 -i 0.2 -s 4000 192.0.2.2
  in_client ping -6 -q -c 2 -i 0.2 -s 4000 2001:db8::2
}
http() {
  in_client curl -s -A curl http://192.0.2.2/
  in_client curl -s -A curl http://192.0.2.2/nothing
  in_client curl -s -A curl -g 'http://[2001:db8::2]/long.txt'
  in_client curl -s --max-time 2 http://192.0.2.2:81/ || true # refused: a reset
}
dns() {
  for query in "A www.example.com" "AAAA www.example.com" "TXT example.com" "A alias.example.com" "A nothing.example.com" \
    "PTR 2.2.0.192.in-addr.arpa"; do
    in_client dig +time=2 +tries=1 @192.0.2.2 ${query#* } "${query%% *}"
  done
  in_client dig +tcp +time=2 +tries=1 @192.0.2.2 www.example.com
  in_client dig +time=2 +tries=1 @2001:db8::2 www.example.com
}
ssh_handshake() { # the key exchange and a refused login
  in_client ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -o IdentityFile=none -o IdentityAgent=none nobody@192.0.2.2 true || true
}
dhcp() { in_client udhcpc -i c0 -f -q -n -t 3 -T 1 -C -s /bin/true; }
mixture() {
  in_client ping -q -c 1 192.0.2.2
  in_client curl -s -A curl http://192.0.2.2/
  in_client dig +time=2 +tries=1 @192.0.2.2 www.example.com
  in_client ping -q -c 1 127.0.0.1
}

forget
record "$server" s0 ping.pcap pings
forget
record "$server" s0 ping6.pcap pings6
record "$client" c0 fragments.pcap fragments
record "$server" s0 http.pcap http
record "$server" s0 dns.pcap dns
record "$server" s0 ssh.pcap ssh_handshake
record "$server" s0 dhcp.pcap dhcp
record "$client" any cooked.pcap mixture

# The same pings through VLAN 42, seen on the trunk.
join_namespaces "$client" c1 02:00:00:00:00:11 "$switch" left 02:00:00:00:00:21
join_namespaces "$server" s1 02:00:00:00:00:12 "$switch" right 02:00:00:00:00:22
join_namespaces "$switch" trunk0 02:00:00:00:00:31 "$switch" trunk1 02:00:00:00:00:32
ip -n "$client" address add 198.51.100.1/24 dev c1
ip -n "$server" address add 198.51.100.2/24 dev s1
mkfifo "$temporary/switch"
ip netns exec "$switch" python3 "$here/vlan-switch.py" 42 left trunk0 trunk1 right <"$temporary/switch" &
started+=($!)
exec 3>"$temporary/switch" # closed when the script ends, which ends the switch
tagged() {
  in_client ping -q -c 3 -i 0.2 -W 2 198.51.100.2
  in_client ping -q -c 1 -W 2 -s 2000 198.51.100.2
}
until_true in_client ping -q -c 1 -W 1 198.51.100.2
forget
record "$switch" trunk0 vlan.pcap tagged
exec 3>&-

node "$here/join-captures.mjs" "$out/two-links.pcapng" "$out/ping.pcap" "$out/cooked.pcap"
echo "two-links.pcapng: $(stat -c %s "$out/two-links.pcapng") bytes"
