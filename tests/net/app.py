#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""app.py - what an app does on the device, one verb each; exit 0 when it went well.

    app.py connect ADDR PORT [TIMEOUT]     prints the errno's name, or "connected"
    app.py halfclose ADDR BYTES            sends, shuts down, reads the digest
    app.py serverfirst ADDR                reads to the end, then sends 1 MiB
    app.py reset ADDR                      expects ECONNRESET
    app.py udp ADDR PORT SIZE [COUNT]      expects the same bytes back
    app.py udperr ADDR PORT                prints the errno of a connected socket
    app.py mapping ADDR1 ADDR2             one socket, two peers: same source seen?
    app.py parallel URL COUNT              that many downloads at once, all equal
    app.py stall ADDR SECONDS              one stalled reader beside a busy one; prints rates
"""
import errno
import hashlib
import os
import select
import socket
import sys
import threading
import time


def family(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def tcp(addr, port, timeout=30):
    s = socket.socket(family(addr), socket.SOCK_STREAM)
    s.settimeout(timeout)
    s.connect((addr, int(port)))
    return s


def connect(addr, port, timeout="40"):
    t = time.monotonic()
    try:
        tcp(addr, port, float(timeout)).close()
        print("connected", f"{time.monotonic() - t:.1f}")
    except socket.timeout:
        print("ETIMEDOUT-local", f"{time.monotonic() - t:.1f}")
    except OSError as e:
        print(errno.errorcode.get(e.errno, e), f"{time.monotonic() - t:.1f}")


def halfclose(addr, size):
    s = tcp(addr, 9001)
    h, left = hashlib.sha256(), int(size)
    while left:
        block = os.urandom(min(left, 1 << 20))
        s.sendall(block)
        h.update(block)
        left -= len(block)
    s.shutdown(socket.SHUT_WR)
    got = b""
    while d := s.recv(4096):
        got += d
    want = f"{size} {h.hexdigest()}\n".encode()
    assert got == want, (got, want)


def serverfirst(addr):
    s = tcp(addr, 9002)
    got = b""
    while d := s.recv(1 << 20):
        got += d
    assert got == bytes(range(256)) * 4096, len(got)
    s.sendall(bytes(1 << 20))       # the far end finished its direction only
    s.shutdown(socket.SHUT_WR)


def reset(addr):
    s = tcp(addr, 9004)
    s.sendall(bytes(1000))
    try:
        while s.recv(100):
            pass
        sys.exit("no reset, end of file")
    except ConnectionResetError:
        pass


def udp(addr, port, size, count="1"):
    s = socket.socket(family(addr), socket.SOCK_DGRAM)
    s.settimeout(3)
    s.connect((addr, int(port)))
    for _ in range(int(count)):
        data = os.urandom(int(size))
        for attempt in range(3):
            s.send(data)
            try:
                got = s.recv(65535)
                break
            except socket.timeout:
                if attempt == 2:
                    sys.exit("no answer")
        assert got == data, (len(got), len(data))


def udperr(addr, port):
    s = socket.socket(family(addr), socket.SOCK_DGRAM)
    s.settimeout(3)
    s.connect((addr, int(port)))
    for _ in range(3):
        try:
            s.send(b"x")
            s.recv(100)
            print("answered")
            return
        except socket.timeout:
            continue
        except OSError as e:
            print(errno.errorcode.get(e.errno, e))
            return
    print("silence")


def mapping(a, b):
    s = socket.socket(family(a), socket.SOCK_DGRAM)
    s.settimeout(3)
    seen = []
    for addr in (a, b):
        s.sendto(b"hello", (addr, 9))
        data, who = s.recvfrom(1000)
        assert who[0] == addr, (who, addr)
        seen.append(data.split()[1])
    assert seen[0] == seen[1], seen


def parallel(url, count):
    import urllib.parse
    u = urllib.parse.urlparse(url)
    digests, errors = set(), []

    def one():
        try:
            s = tcp(u.hostname, u.port or 80, 120)
            s.sendall(f"GET {u.path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
            h, body, head = hashlib.sha256(), False, b""
            while d := s.recv(1 << 16):
                if not body:
                    head += d
                    if b"\r\n\r\n" not in head:
                        continue
                    assert b" 200 " in head.split(b"\r\n")[0], head
                    d, body = head.split(b"\r\n\r\n", 1)[1], True
                h.update(d)
            digests.add(h.hexdigest())
        except Exception as e:          # noqa: BLE001 - every failure counts
            errors.append(repr(e))

    threads = [threading.Thread(target=one) for _ in range(int(count))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors or len(digests) != 1:
        sys.exit(f"{len(errors)} errors, {len(digests)} digests; {errors[:3]}")
    print(digests.pop())


def stall(addr, seconds):
    def rates(s, secs):                 # Mbit/s, second by second
        return [rate(s, 1) for _ in range(secs)]

    def rate(s, secs):
        n, start = 0, time.monotonic()
        while time.monotonic() < start + secs:
            n += len(s.recv(1 << 18))
        return n * 8e-6 / (time.monotonic() - start)

    def usual(values):                  # of the better half: a shared machine takes seconds away
        best = sorted(values)[len(values) // 2:]
        return best[len(best) // 2]

    busy = tcp(addr, 9003)
    rate(busy, 1)
    alone = rates(busy, 4)
    stalled = tcp(addr, 9003)           # never read while the busy one is measured
    time.sleep(1)
    beside = rates(busy, int(seconds))
    wakes = rate(stalled, 2)            # and it goes on where it stood
    stalled.close()
    time.sleep(0.5)
    alone += rates(busy, 4)
    late = usual(beside[-len(beside) // 4:])
    print("%.0f Mbit/s alone, %.0f beside (%.0f at its end), %.0f woken; second by second: %s | %s" % (
        usual(alone), usual(beside), late, wakes,
        " ".join("%.0f" % r for r in alone), " ".join("%.0f" % r for r in beside)))
    assert wakes > 0
    sys.exit(0 if usual(beside) >= 0.8 * usual(alone) and late >= 0.5 * usual(alone) else 1)


verbs = dict(connect=connect, halfclose=halfclose, serverfirst=serverfirst, reset=reset, udp=udp,
             udperr=udperr, mapping=mapping, parallel=parallel, stall=stall)
verbs[sys.argv[1]](*sys.argv[2:])
