#!/usr/bin/python3
"""rogue_engine - stands where apptunnel-engine does, and lies to the daemon.

The file `mode` beside it says how.  Struct layouts are those of
platform/helper_msg.h on this machine; the size of a message is learned from
the first one that the daemon sends.
"""
import array
import os
import select
import signal
import socket
import struct
import sys
import time

MAGIC = 0x41544832
FILE, START, SOCKETS, APPLIED, CONTROL, NETWORK, DIAL, STOP = range(1, 9)
WANT_SOCKETS, OFFER, STATE = 32, 33, 34
UP, FAILED = 6, 10

here = os.path.dirname(os.path.abspath(sys.argv[0]))
mode = open(os.path.join(here, "mode")).read().strip()
s = socket.socket(fileno=3)
size = 0


def receive():
    global size
    s.setblocking(True)
    data, anc, _, _ = s.recvmsg(65536, 4096)
    if not data:
        sys.exit(0)
    size = len(data)
    fds = array.array("i")
    for _, _, body in anc:
        fds.frombytes(body[: len(body) - len(body) % 4])
    kind = struct.unpack_from("=IHH", data)[1]
    if kind != APPLIED:     # that one is the TUN
        for fd in fds:
            os.close(fd)
    return kind, data


def message(kind, body=b"", magic=MAGIC, n_fds=0):
    return (struct.pack("=IHH", magic, kind, n_fds) + body).ljust(size, b"\0")


def send(data, fds=()):
    anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    s.sendmsg([data], anc)


def addr(text):
    if not text:
        return bytes(17)
    f = socket.AF_INET6 if ":" in text else socket.AF_INET
    return bytes([6 if ":" in text else 4]) + socket.inet_pton(f, text).ljust(16, b"\0")


def offer(a4="172.28.13.77", a6="", mtu=1400, resolvers=("10.1.0.53",), n=None, search=b"corp.internal"):
    b = addr(a4) + addr(a6) + struct.pack("=HII", mtu, len(resolvers) if n is None else n, 1 if search else 0)
    b += b"".join(addr(r) for r in resolvers).ljust(8 * 17, b"\0")
    return message(OFFER, b + search)


def state(what, exit=0, over=0, text=b""):
    return message(STATE, bytes([what, exit, over]) + text)


def want(kind=0, family=4, count=32):
    return message(WANT_SOCKETS, struct.pack("=BBH", kind, family, count))


def wait_applied():
    while receive()[0] != APPLIED:
        pass


while receive()[0] != START:
    pass
null = os.open("/dev/null", os.O_RDWR)
try:
    if mode == "magic":
        send(message(STATE, b"\1", magic=1))
    elif mode == "short":
        send(b"x")
    elif mode == "empty":
        send(b"")
    elif mode == "long":
        send(state(1) + bytes(100))
    elif mode == "type":
        send(message(99))
    elif mode == "daemons-own":
        send(message(SOCKETS, struct.pack("=BBH", 0, 4, 32), n_fds=32), [null] * 32)
    elif mode == "descriptors":
        send(message(STATE, b"\1", n_fds=1), [null])
    elif mode == "descriptors-uncounted":
        send(state(1), [null] * 20)
    elif mode == "state":
        send(state(200))
    elif mode == "exit":
        send(state(FAILED, exit=99))
    elif mode == "text":
        send(state(FAILED, exit=4, text=b"\x1b[2Jhello"))
    elif mode == "text-endless":
        send(state(FAILED, exit=4, text=b"A" * 512))
    elif mode == "text-long":
        send(state(FAILED, exit=4, text=b"A" * 500))
    elif mode == "up":
        send(state(UP))
    elif mode == "mtu":
        send(offer(mtu=100))
    elif mode == "mtu-large":
        send(offer(mtu=9000))
    elif mode == "loopback":
        send(offer(a4="127.0.0.1"))
    elif mode == "own-address":
        send(offer(a4="192.0.2.2"))
    elif mode == "count":
        send(offer(n=4000000000))
    elif mode == "search":
        send(offer(search=b"x; reboot"))
    elif mode == "offer-flood":
        for i in range(100000):
            send(offer(a4="172.28.13.%d" % (1 + i % 200)))
            while select.select([s], [], [], 0)[0]:
                receive()
    elif mode == "state-flood":
        for i in range(1000000):
            send(state(1 + i % 5, text=b"once more"))
    elif mode == "socket-flood":        # asks, and never reads
        for i in range(1000000):
            send(want())
    elif mode == "socket-hunger":       # asks and reads, for ever
        end = time.monotonic() + 3
        while time.monotonic() < end:
            send(want(kind=1, family=6))
            receive()
        os._exit(3)
    elif mode == "sockets":
        send(want(count=33))
    elif mode == "twice":               # a good engine, but for saying it twice
        send(offer())
        wait_applied()
        send(offer(a4="172.28.13.78"))
        wait_applied()
        send(state(UP))
    elif mode == "deaf":                # neither reads nor ends when told
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        send(offer())
        send(state(1))
        time.sleep(3600)
    elif mode == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        if receive()[0] == STOP:
            break
except OSError:
    sys.exit(1)
