#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""packets.py - packets that lie, written into the TUN of the device.

    packets.py list                        GROUP, expectation, destination and name, a line each
    packets.py run GROUP,... ENGINE APPTUNNEL RUNDIR
                                           root, in the device's namespace; "ok" or "bad", a line
                                           each; ENGINE is a process ID
    packets.py hold ADDRESS PATH FLAG      a slow download until FLAG exists, then the rest;
                                           prints the SHA-256 of the body

A packet socket on the TUN sends past routing and every check of the kernel's
own, and the reader of the TUN, the engine, gets each byte as it stands here;
the group "routed" goes through raw sockets and routing.  Every kind has a
destination of its own, so that an answer, or what arrives at the far side,
tells which kind it was.  After each kind a ping to the forwarder's address,
which the engine answers itself, shows that all before it was read; then
`apptunnel status` says what was counted.
"""
import hashlib
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True      # nothing is left beside the sources

from packets_build import (         # noqa: E402
    ACK, FIN, PSH, RST, SYN, URG, echo, ext6, frag4, frag6, icmp, ip4, ip6, mend, parse, tcp, udp)
from packets_kinds import (         # noqa: E402
    DST, FENCE, FOREIGN4, FOREIGN6, GOOD, HOP, KINDS, NOBODY, Batch, Raw, fields, quote4, quote6,
    six)

IFACE = "atp0"
OUTGOING = 4                        # sll_pkttype of what this machine sends
SOL_PACKET, PACKET_VNET_HDR = 263, 15
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x800, 0x86dd
SEED = 20260729

# ---- the device's end -------------------------------------------------------------------


class Device:
    def __init__(self, engine, apptunnel, run):
        self.engine, self.started = int(engine), self.start_time(engine)
        self.command = [apptunnel, "--run-dir", run, "status", "--json"]
        self.last = self.status()
        self.addr4, self.addr6 = self.last["interface"]["addresses"]
        self.out = self.socket(0)
        self.batch = self.socket(0)
        self.batch.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.seen, self.lock = {}, threading.Lock()
        self.sent = {}                  # by ports: the last segment of a real flow, both ways
        self.seq = random.randrange(65536)
        tap = self.socket(ETH_P_ALL)
        threading.Thread(target=self.listen, args=(tap,), daemon=True).start()

    @staticmethod
    def socket(proto):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(proto))
        s.bind((IFACE, proto))
        return s

    @staticmethod
    def start_time(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[19]

    def status(self):
        return json.loads(subprocess.run(self.command, capture_output=True, check=True,
                                         timeout=20).stdout)

    def listen(self, tap):
        while True:
            try:
                raw, _, _, where = tap.recvmsg(2048)
            except OSError:             # the interface went with its engine
                return
            p = parse(raw)
            if not p:
                continue
            with self.lock:
                if where[2] != OUTGOING:
                    self.seen.setdefault(p["src"], []).append(p)
                if p["proto"] == 6:
                    self.sent[p["src"], p["dst"], p["sport"], p["dport"]] = p

    def answers(self, addr):
        with self.lock:
            return list(self.seen.get(addr, ()))

    def write(self, packet, dst):
        """Into the TUN.  When its queue is full: the engine has to read first."""
        while True:
            try:
                if isinstance(packet, Raw):
                    s = socket.socket(socket.AF_INET6 if ":" in dst else socket.AF_INET,
                                      socket.SOCK_RAW, packet.proto)
                    with s:
                        s.sendto(packet.body, (dst, 0))
                elif isinstance(packet, Batch):
                    head = struct.pack("=BBHHHH", *packet.vnet)
                    proto = ETH_P_IPV6 if packet.packet[0] >> 4 == 6 else ETH_P_IP
                    self.batch.sendto(head + packet.packet, (IFACE, proto))
                else:
                    proto = ETH_P_IPV6 if packet[0] >> 4 == 6 else ETH_P_IP
                    self.out.sendto(packet, (IFACE, proto))
                return
            except OSError as e:
                if e.errno != 105:      # ENOBUFS
                    raise
                time.sleep(0.002)

    def fence(self):
        """All that was written before is read, when this is answered."""
        end = time.monotonic() + 15
        while time.monotonic() < end:
            self.seq = (self.seq + 1) & 0xffff
            with self.lock:
                self.seen.pop(FENCE, None)
            self.write(ip4(self.addr4, FENCE, 1, echo(self.addr4, FENCE, 0x4645, self.seq)), FENCE)
            until = time.monotonic() + 1
            while time.monotonic() < until:
                if any(p["proto"] == 1 and p["type"] == 0 and p["rest"] & 0xffff == self.seq
                       for p in self.answers(FENCE)):
                    return True
                time.sleep(0.0005)
        return False

    def unwell(self):
        """Look at engine and state.  Return: what is wrong, or None"""
        try:
            if self.start_time(self.engine) != self.started:
                return "the engine is another one"
        except OSError:
            return "the engine is gone"
        try:
            self.before, self.last = self.last, self.status()
        except (subprocess.SubprocessError, ValueError) as e:
            return f"status: {e}"
        if self.last["state"] != "up":
            return f"state {self.last['state']}: {self.last['cause']}"
        return None

    def grown(self, counter):
        return self.last["counters"][counter] - self.before["counters"][counter]


def answer_of(p):
    if p["proto"] == 6:
        return "rst" if p["flags"] & RST else f"TCP flags {p['flags']:#x}"
    if p["proto"] == 1:
        return (p["type"], p["code"])
    if p["proto"] == 58:
        return (p["type"], p["code"], p["rest"]) if p["type"] == 4 else (p["type"], p["code"])
    return f"protocol {p['proto']}"


def wrong(d, k):
    """Try one kind.  Return: what is wrong, or None"""
    try:
        return verdict(d, k)
    except OSError as e:
        return f"the engine is gone? {e}"


def verdict(d, k):
    for p in k.make(d.addr6 if k.v6 else d.addr4, k.dst):
        d.write(p, k.dst)
    if not d.fence():
        return "the engine does not answer"
    bad = d.unwell()
    if bad:
        return bad
    got = [answer_of(p) for p in d.answers(k.dst)]
    if k.answer and k.answer not in got:
        return f"answered by {got or 'nothing'}, not by {k.answer}"
    # what is carried may be answered by the far side, in its own time
    if not k.answer and got and not k.arrives:
        return f"answered by {got}"
    for c, n in k.count.items():
        if d.grown(c) < n or (c == "packets_malformed" and d.grown(c) != n):
            return f"{c} grew by {d.grown(c)}, not by {n}"
    if "packets_malformed" not in k.count and d.grown("packets_malformed"):
        return "counted as malformed"
    return None


# ---- established flows ------------------------------------------------------------------


class Flow:
    """A real connection of the device's kernel to an echo server, and what it says last."""

    def __init__(self, d, dst):
        self.d, self.dst = d, dst
        self.v6 = ":" in dst
        self.s = socket.create_connection((dst, 7), 10)
        self.s.settimeout(10)
        self.src, self.sport = self.s.getsockname()[:2]
        self.echo(100)

    def echo(self, n):
        data = random.randbytes(n)
        got = b""
        self.s.sendall(data)
        while len(got) < n:
            more = self.s.recv(65536)
            if not more:
                raise OSError("end of file")
            got += more
        if got != data:
            raise OSError("other bytes came back")

    def numbers(self):
        """The kernel's next number and what it has received; quiet for a moment."""
        time.sleep(0.01)
        with self.d.lock:
            p = self.d.sent[self.src, self.dst, self.sport, 7]
        return p["seq"] + p["len"], p["ack"]

    def inject(self, seq, ack, flags, window=0, **f):
        nxt, una = self.numbers()
        p = ip6 if self.v6 else ip4
        self.d.write(p(self.src, self.dst, 6, tcp(
            self.src, self.dst, self.sport, 7, flags, seq=(nxt + seq) & 0xffffffff,
            ack=(una + ack) & 0xffffffff, window=window, **f)), self.dst)


OUT = {"segments_out_of_window": 1}
BAD = {"packets_malformed": 1}
STRAYS = (
    ("RST that is off by one", (1, 0, RST), {}, {}),
    ("RST and ACK, off by one", (1, 0, RST | ACK), {}, {}),
    ("RST far away", (1 << 30, 0, RST), {}, {}),
    ("RST one back", (-1, 0, RST | ACK), {}, {}),
    ("RST with a wrong checksum, to the point", (0, 0, RST), {"sum": 0x1234}, BAD),
    ("SYN in the window", (10, 0, SYN), {}, {}),
    ("SYN far away", (1 << 30, 0, SYN), {}, {}),
    ("SYN and ACK", (0, 0, SYN | ACK), {}, {}),
    ("FIN without ACK, to the point", (0, 0, FIN), {}, BAD),
    ("FIN far away", (1 << 30, 0, FIN | ACK), {}, OUT),
    ("no flags, to the point", (0, 0, 0), {"data": b"injected"}, BAD),
    ("xmas, to the point", (0, 0, FIN | PSH | URG), {}, BAD),
    ("SYN and FIN, to the point", (0, 0, SYN | FIN), {}, BAD),
    ("data without ACK", (0, 0, PSH), {"data": b"injected"}, BAD),
    ("data with a wrong checksum, to the point", (0, 0, ACK), {"data": b"injected", "sum": 7}, BAD),
    ("data beyond the window", (1 << 24, 0, ACK), {"data": b"injected"}, OUT),
    ("data far back", (-(1 << 24), 0, ACK), {"data": b"injected"}, OUT),
    ("data that was sent before", (-50, 0, ACK), {"data": b"injected"}, {}),
    ("data, acknowledging what was never sent", (0, 1 << 24, ACK), {"data": b"injected"}, OUT),
    ("data, acknowledging what is long gone", (0, -(1 << 28), ACK), {"data": b"injected"}, OUT),
    ("window shut from far away", (1 << 30, 0, ACK), {}, OUT),
    ("window shut half the numbers away", ((1 << 31) - 5, 0, ACK), {}, OUT),
    ("window shut from beyond", (1 << 19, 1 << 20, ACK), {}, OUT),
    ("urgent pointer and nothing else", (0, 0, ACK | URG), {"urgent": 0xffff, "window": 500}, {}),
    ("option of length 0", (0, 0, ACK), {"options": bytes([5, 0, 0, 0])}, BAD),
    ("SACK of what was never sent", (0, 0, ACK), {
        "options": bytes([1, 1, 5, 10]) + b"\x7f" * 8, "window": 500}, {}),
    ("data offset beyond the packet", (0, 0, ACK), {"offset": 15}, BAD),
)


def strays(d, v6):
    """Segments into a flow that lives; @d's counters, and the flow goes on."""
    dst = "fd00:10:77::f:1" if v6 else "10.77.9.1"
    w = " over IPv6" if v6 else ""
    f = Flow(d, dst)
    d.fence()
    d.unwell()
    for name, how, more, count in STRAYS:
        bad = None
        try:
            f.inject(*how, **more)
            bad = None if d.fence() else "the engine does not answer"
            bad = bad or d.unwell()
            for c in ("packets_malformed", "segments_out_of_window"):
                if not bad and d.grown(c) != count.get(c, 0):
                    bad = f"{c} grew by {d.grown(c)}"
            if not bad:
                f.echo(30000)
        except OSError as e:
            bad = f"the flow: {e!r}"
        yield name + w, bad
        if bad:
            f = Flow(d, dst)
    for mtu in (0, 1, 68, 1279):
        bad = None
        quote = (ip6 if v6 else ip4)(dst, f.src, 6, struct.pack("!HHI", 7, f.sport, 1))
        body = icmp(f.src, dst, 2 if v6 else 3, 0 if v6 else 4, mtu, quote)
        d.write((ip6 if v6 else ip4)(f.src, dst, 58 if v6 else 1, body), dst)
        try:
            d.fence()
            bad = d.unwell()
            f.echo(30000)
        except OSError as e:
            bad = f"the flow: {e!r}"
        yield f"packet too big, MTU {mtu}" + w, bad


# ---- a TCP of our own, with a SYN as no kernel sends it ---------------------------------


SYNS = (
    ("MSS 0", {"options": bytes([2, 4, 0, 0])}),
    ("MSS 1", {"options": bytes([2, 4, 0, 1])}),
    ("MSS 65535", {"options": bytes([2, 4, 255, 255])}),
    ("MSS of a wrong length", {"options": bytes([2, 3, 5, 0])}),
    ("window scale 255", {"options": bytes([3, 3, 255, 0])}),
    ("window scale 14, twice", {"options": bytes([3, 3, 14, 3, 3, 0, 0, 0])}),
    ("40 bytes of options", {"options": bytes([1] * 40)}),
    ("options that nobody knows", {"options": bytes([99, 6, 1, 2, 3, 4, 253, 2])}),
    ("timestamps and SACK", {"options": bytes([4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0])}),
    ("data with it", {"data": b"too early"}),
    ("urgent pointer", {"flags": SYN | URG | PSH, "urgent": 1}),
    ("ECN", {"flags": SYN | 0xc0}),
    ("window 0", {"window": 0}),
)


def odd_syns(d, v6):
    make, src = (ip6, FOREIGN6) if v6 else (ip4, FOREIGN4)
    for i, (name, how) in enumerate(SYNS):
        dst = f"fd00:10:77::f:{0x10 + i:x}" if v6 else f"10.77.9.{16 + i}"
        sport, isn = 5000 + i, random.getrandbits(32)
        far = dst, src, 7, sport

        def send(flags, seq, ack=0, **more):
            d.write(make(src, dst, 6, tcp(src, dst, sport, 7, flags, seq=seq & 0xffffffff,
                                          ack=ack & 0xffffffff, **more)), dst)

        def wait(what, seconds=5):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                with d.lock:
                    list_ = [p for p in d.seen.get(dst, ()) if p["proto"] == 6 and
                             (p["dst"], p["sport"], p["dport"]) == (far[1], 7, sport) and what(p)]
                if list_:
                    return list_[0]
                time.sleep(0.001)
            raise OSError("no answer")

        how = dict(how)
        try:
            send(how.pop("flags", SYN), isn, **how)
            p = wait(lambda p: p["flags"] & 0x3f == SYN | ACK)
            if p["ack"] != (isn + 1) & 0xffffffff:
                raise OSError(f"acknowledges {p['ack'] - isn}")
            send(ACK, isn + 1, p["seq"] + 1)
            send(ACK | PSH, isn + 1, p["seq"] + 1, data=b"0123456789")
            got = wait(lambda q: q["len"] and q["seq"] == (p["seq"] + 1) & 0xffffffff)
            if not b"0123456789".startswith(got["data"]):
                raise OSError(f"other bytes: {got['data']}")
            send(RST, isn + 11)
            bad = None
        except OSError as e:
            bad = repr(e)
        d.fence()
        yield "SYN with " + name + (" over IPv6" if v6 else ""), bad or d.unwell()


# ---- what nobody thought of -------------------------------------------------------------


def random_packets(r, v6, d):
    """Bytes without a meaning, behind the right version."""
    p = bytearray(r.randbytes(r.choice((20, 28, 40, 60, r.randrange(1, 1400)))))
    p[0] = (p[0] & 15) | (0x60 if v6 else 0x40)
    return bytes(p)


def mutated(r, v6, d):
    """A packet in order, a few bytes of it changed, perhaps with the sums made right."""
    S = d.addr6 if v6 else d.addr4
    D = f"fd00:10:78::{r.randrange(1, 9)}" if v6 else f"10.78.0.{r.randrange(1, 9)}"
    make = ip6 if v6 else ip4
    sport = r.randrange(2000, 2020)
    flags = r.choice((SYN, ACK, ACK | PSH, FIN | ACK, RST, SYN | ACK))
    options = bytes([2, 4, 5, 0x50, 1, 3, 3, 7])
    p = bytearray(r.choice((
        lambda: make(S, D, 17, udp(S, D, sport, NOBODY, GOOD)),
        lambda: make(S, D, 17, udp(S, D, sport, 53, GOOD)),
        lambda: make(S, D, 6, tcp(S, D, sport, 7, flags, seq=r.getrandbits(32),
                                  ack=r.getrandbits(32), options=options)),
        lambda: make(S, D, 58 if v6 else 1, echo(S, D, sport, 1)),
        lambda: make(S, D, 58 if v6 else 1, icmp(S, D, 2 if v6 else 3, 0 if v6 else 4, 1300,
                                                 (quote6 if v6 else quote4)(S, D))),
        lambda: (frag6 if v6 else frag4)(S, D, 17, bytes(r.randrange(0, 90) * 8),
                                         r.randrange(0, 200) * 8, bool(r.getrandbits(1)), sport),
        lambda: six(ext6(DST) + ext6(17), HOP)(S, D)[0] if v6 else
        fields(options=bytes([7, 7, 4, 0, 0, 0, 0, 0]))(S, D)[0]))())
    for _ in range(r.randrange(1, 4)):
        p[r.randrange(r.choice((8, 24, len(p)))) % len(p)] = r.getrandbits(8)
    p[0] = (p[0] & 15) | (0x60 if v6 else 0x40)
    if not r.randrange(4):
        p = p[:r.randrange(1, len(p))]
    return mend(bytes(p)) if r.getrandbits(1) else bytes(p)


def storm(d):
    for make, n in ((random_packets, 1500), (mutated, 2500)):
        for v6 in (False, True):
            r = random.Random(SEED + n + v6)
            d.unwell()
            for i in range(n):
                d.write(make(r, v6, d), "10.78.0.1")
                if i % 64 == 63:
                    d.fence()           # never more than the queue of the TUN holds
            bad = None if d.fence() else "the engine does not answer"
            bad = bad or d.unwell()
            if not bad and d.grown("packets_in") < n:
                bad = f"only {d.grown('packets_in')} of {n} were read"
            what = "without a meaning" if make is random_packets else "nearly in order"
            yield f"{n} packets {what}, IPv{6 if v6 else 4}", bad, \
                f"{d.grown('packets_malformed')} malformed" if not bad else ""


# ---- verbs ------------------------------------------------------------------------------


MORE = {"flow4": lambda d: strays(d, False), "flow6": lambda d: strays(d, True),
        "syn4": lambda d: odd_syns(d, False), "syn6": lambda d: odd_syns(d, True),
        "random": storm}


def run(groups, engine, apptunnel, rundir):
    random.seed(SEED)
    d = Device(engine, apptunnel, rundir)
    groups = groups.split(",")
    for group in groups:
        if group in MORE:
            results = MORE[group](d)
        else:
            results = ((k.name, wrong(d, k)) for k in KINDS if k.group == group)
        for name, bad, *more in results:
            print("bad" if bad else "ok", f"{group}: {name}" + (f": {bad}" if bad else "") +
                  "".join(f" ({m})" for m in more if m), flush=True)
            if bad and d.unwell():
                sys.exit(1)             # nothing else would come of it
    # answers that took their time
    time.sleep(0.05)
    for k in KINDS:
        if k.group in groups and not k.answer and not k.arrives and d.answers(k.dst):
            print("bad", f"{k.group}: {k.name}: answered late by",
                  [answer_of(p) for p in d.answers(k.dst)])


def list_kinds():
    for k in KINDS:
        print(k.group, k.arrives if k.arrives == "beside" else "arrives" if k.arrives else
              "dies", k.dst, k.name)


def hold(addr, path, flag):
    s = socket.create_connection((addr, 80), 10)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    s.settimeout(30)
    s.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += s.recv(4096)
    h = hashlib.sha256(data.split(b"\r\n\r\n", 1)[1])
    print("begun", flush=True)
    while data := s.recv(16384):
        h.update(data)
        if not os.path.exists(flag):
            time.sleep(0.05)
    print("sha256", h.hexdigest(), flush=True)


if __name__ == "__main__":
    {"list": list_kinds, "run": run, "hold": hold}[sys.argv[1]](*sys.argv[2:])
