#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""hostile_app.py ADDRESS LOG - the apps on the device while Sentry lies.

TCP to port 1000: what comes is sent back, reconnects for ever; TCP to port
1001: waits to be answered; UDP to port 2000: a datagram now and then from one
socket; an ICMP echo request now and then.  What should not arrive is written
to LOG: STRANGER (a datagram from an address that was never sent to), and each
ICMP error as "ERRQ ADDRESS TYPE CODE".
"""
import os
import socket
import struct
import sys
import threading
import time

ADDRESS = sys.argv[1]
LOG = open(sys.argv[2], "a", buffering=1)
IP_RECVERR, MSG_ERRQUEUE = 11, 0x2000
PAUSE = 0.03


def echo():
    while True:
        try:
            with socket.create_connection((ADDRESS, 1000), 30) as s:
                s.settimeout(4)     # a new engine knows nothing of it
                while d := s.recv(65536):
                    s.sendall(d)
        except OSError:
            pass
        time.sleep(PAUSE)


def silent():
    while True:
        try:
            with socket.create_connection((ADDRESS, 1001), 60) as s:
                s.settimeout(60)
                s.recv(1)
        except OSError:
            pass
        time.sleep(PAUSE)


def errors(s):
    while True:
        try:
            _, anc, _, _ = s.recvmsg(100, 500, MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except OSError:
            return
        for level, kind, raw in anc:
            if kind == IP_RECVERR and len(raw) >= 24:
                _, _, kind, code = struct.unpack("=IBBB", raw[:7])
                LOG.write("ERRQ %s %d %d\n" % (socket.inet_ntoa(raw[20:24]), kind, code))


def datagrams():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    s.setsockopt(socket.IPPROTO_IP, 8, 1)
    s.settimeout(PAUSE)
    heard = False
    while True:
        try:
            s.sendto(b"datagram", (ADDRESS, 2000))
        except OSError:
            errors(s)
        end = time.monotonic() + PAUSE
        while time.monotonic() < end:
            try:
                d, who = s.recvfrom(65535)
            except OSError:
                errors(s)
                continue
            if who[0] != ADDRESS or b"STRANGER" in d:
                LOG.write("STRANGER %s %r\n" % (who, d[:40]))
            elif not heard:
                heard = True
                LOG.write("HEARD %s\n" % (who,))


def pings():
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    head = struct.pack(">BBHHH", 8, 0, 0, os.getpid() & 0xFFFF or 1, 1)
    total = sum(struct.unpack(">4H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:2] + struct.pack(">H", ~total & 0xFFFF) + head[4:]
    while True:
        try:
            s.sendto(head, (ADDRESS, 0))
        except OSError:
            pass
        time.sleep(0.1)


for target in (echo, silent, datagrams, pings):
    threading.Thread(target=target, daemon=True).start()
threading.Event().wait()
