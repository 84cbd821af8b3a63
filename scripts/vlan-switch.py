"""
A switch with two access ports and a trunk between them, for kernels without 802.1Q and bridges.

    vlan-switch.py VID LEFT TRUNK_LEFT TRUNK_RIGHT RIGHT

Frames from LEFT leave on TRUNK_LEFT with a tag, those that reach TRUNK_RIGHT leave on RIGHT without, and the same from
right to left.  A kernel takes the tag off before a packet socket sees the frame, so that untagging is its work.
Ends when its standard input does.
"""
import select
import socket
import struct
import sys

ETH_P_ALL = 3
PACKET_OUTGOING = 4

vid = int(sys.argv[1])
tag = struct.pack("!HH", 0x8100, vid)
ports = []
for name in sys.argv[2:6]:
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    port.bind((name, 0))
    ports.append(port)
left, trunk_left, trunk_right, right = ports
forward = {left: (trunk_left, True), trunk_right: (right, False), right: (trunk_right, True), trunk_left: (left, False)}

while True:
    readable, _, _ = select.select([sys.stdin, *ports], [], [])
    if sys.stdin in readable and not sys.stdin.buffer.read1(1):
        break
    for port in readable:
        if port is sys.stdin:
            continue
        frame, address = port.recvfrom(65535)
        if address[2] == PACKET_OUTGOING:
            continue
        out, tagged = forward[port]
        out.send(frame[:12] + tag + frame[12:] if tagged else frame)
