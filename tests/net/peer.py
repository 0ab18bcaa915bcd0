#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""peer.py - the small servers that the scenarios talk to.

    peer.py ADDRESS... [--udp PORT...]

TCP, on each address:
    7     echo
    9001  reads to the end, then answers with length and SHA-256 (half-close by the client)
    9002  sends 1 MiB and finishes, then reads to the end and reports it (half-close by the server)
    9003  sends zeros for ever
    9004  resets after 1,000 bytes were read
UDP echo on port 7 and on each --udp port; answers "ADDRESS PORT " + data on
port 9 so that a test sees what the far end saw.
"""
import asyncio
import hashlib
import socket
import struct
import sys


async def echo(r, w):
    try:
        while data := await r.read(65536):
            w.write(data)
            await w.drain()
        w.close()
    except OSError:
        pass


async def count(r, w):
    h, n = hashlib.sha256(), 0
    try:
        while data := await r.read(1 << 20):
            h.update(data)
            n += len(data)
        w.write(f"{n} {h.hexdigest()}\n".encode())
        await w.drain()
        w.close()
    except OSError:
        pass


async def serve_first(r, w):
    try:
        block = bytes(range(256)) * 4096
        w.write(block)
        w.write_eof()
        n = 0
        while data := await r.read(1 << 20):
            n += len(data)
        print(f"9002 got {n}", flush=True)
        w.close()
    except OSError:
        pass


async def flood(r, w):
    block = bytes(1 << 18)
    try:
        while True:
            w.write(block)
            await w.drain()
    except OSError:
        pass


async def resetter(r, w):
    try:
        await r.readexactly(1000)
    except (OSError, asyncio.IncompleteReadError):
        return
    s = w.get_extra_info("socket")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    w.transport.abort()


class UdpEcho(asyncio.DatagramProtocol):
    def __init__(self, tell):
        self.tell = tell

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        if self.tell:
            data = f"{addr[0]} {addr[1]} ".encode() + data
        self.transport.sendto(data, addr)


def udp_socket(addr, port):
    s = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, socket.SOCK_DGRAM)
    if s.family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)    # as asyncio does for TCP
    s.setblocking(False)
    s.bind((addr, port))
    return s


async def main():
    args, udp, addrs = sys.argv[1:], [7, 9], []
    while args:
        a = args.pop(0)
        if a == "--udp":
            udp += [int(x) for x in args]
            break
        addrs.append(a)
    loop = asyncio.get_running_loop()
    for a in addrs:
        for port, fn in ((7, echo), (9001, count), (9002, serve_first), (9003, flood), (9004, resetter)):
            await asyncio.start_server(fn, a, port, backlog=4096)
        for port in udp:
            await loop.create_datagram_endpoint(lambda port=port: UdpEcho(port == 9),
                                                sock=udp_socket(a, port))
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
