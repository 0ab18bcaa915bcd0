# SPDX-License-Identifier: MIT
"""packets_kinds.py - the table of lies: how each is made, and what is to become of it."""
import socket
import struct

from packets_build import (
    ACK, FIN, PSH, RST, SYN, URG, ext6, frag4, frag6, icmp, ip4, ip6, tcp, udp)

FENCE = "198.18.53.53"              # the forwarder, which the engine itself is
NOBODY = 99                         # a port of UDP that is in SplitUDPPortList
BESIDE = 5000                       # and one that is not
FOREIGN4, FOREIGN6 = "172.28.13.4", "fd61:7070:7475:1::4"   # nobody here has these


class Kind:
    """One lie.  What is to become of it:

    count:   counters of status and by how much they grow (a dict)
    answer:  None: none at all; (type, code[, pointer]) of ICMP; "rst"
    arrives: at the far side, through the tunnel; "beside": past the tunnel
    """

    def __init__(self, group, name, make, count, answer, arrives, v6):
        self.group, self.name, self.make, self.v6 = group, name, make, v6
        self.count, self.answer, self.arrives = count, answer, arrives
        n = len(KINDS) + 1
        self.dst = f"fd00:10:77::{n:x}" if v6 else f"10.77.{n >> 8}.{n & 255}"


KINDS = []


def kind(group, name, make, count=None, answer=None, arrives=False, v6=False):
    KINDS.append(Kind(group, name, make, count or {}, answer, arrives, v6))


def lie(group, name, make, v6=False, n=1, answer=None, **more):
    """A malformed one: counted, and in general nobody hears of it."""
    kind(group, name, make, {"packets_malformed": n, **more}, answer, v6=v6)


# ---- IPv4 ------------------------------------------------------------------------------
# make(): S and D are the TUN's address and the kind's; returns the packets

GOOD = bytes(range(40))


def fields(**f):
    """A datagram with fields of the IPv4 header set."""
    def make(S, D):
        s, d = f.get("src", S), f.get("dst", D)
        return [ip4(s, d, 17, udp(s, d, 4000, NOBODY, GOOD),
                    **{k: v for k, v in f.items() if k not in ("src", "dst")})]
    return make


def cut(n):
    return lambda S, D: [fields()(S, D)[0][:n]]


for n_ in (1, 19, 27):
    lie("ip4", f"cut to {n_} bytes", cut(n_))
for v_ in (0, 5, 15):
    lie("ip4", f"version {v_}", fields(version=v_))
for l_ in (0, 4):
    lie("ip4", f"header length {l_ * 4}", fields(ihl=l_))
lie("ip4", "header longer than the packet", lambda S, D: [ip4(S, D, 17, b"12345678", ihl=15)])
lie("ip4", "total length 0", fields(total=0))
lie("ip4", "total length below the header's", fields(total=19))
lie("ip4", "total length beyond the packet", fields(total=1300))
kind("ip4", "total length short of the packet", lambda S, D: [fields()(S, D)[0] + bytes(100)],
     arrives=True)
lie("ip4", "header checksum wrong", fields(sum=0x1234))
lie("ip4", "header checksum 0", fields(sum=0))
lie("ip4", "loose source route", fields(options=bytes([131, 7, 4, 10, 1, 0, 10, 0])))
lie("ip4", "strict source route", fields(options=bytes([137, 7, 4, 10, 1, 0, 10, 0])))
lie("ip4", "option of length 0", fields(options=bytes([7, 0, 4, 0])))
lie("ip4", "option of length 1", fields(options=bytes([68, 1, 5, 0])))
lie("ip4", "option beyond the header", fields(options=bytes([7, 39, 4, 0])))
kind("ip4", "a record of the route", fields(options=bytes([7, 7, 4, 0, 0, 0, 0, 0])), arrives=True)
kind("ip4", "40 bytes of options", fields(options=bytes([1] * 40)), arrives=True)
for t_ in (0, 1):
    kind("ip4", f"time to live {t_}", fields(ttl=t_), {"icmp_errors": 1}, (11, 0))
lie("ip4", "source is destination (LAND)", lambda S, D: fields(src=D)(S, D))
kind("ip4", "source that is not ours", fields(src=FOREIGN4), arrives=True)
for a_, s_ in (("multicast", "224.0.0.5"), ("broadcast", "255.255.255.255"),
               ("loopback", "127.0.0.1"), ("no address", "0.0.0.0")):
    lie("ip4", f"from {a_}", fields(src=s_))
for a_, d_ in (("multicast", "239.1.2.3"), ("broadcast", "255.255.255.255")):
    kind("ip4", f"to {a_}", fields(dst=d_), {"packets_multicast": 1})
lie("ip4", "to loopback", fields(dst="127.0.0.1"))
lie("ip4", "to no address", fields(dst="0.0.0.0"))
kind("ip4", "the flag that is reserved", fields(frag=0x8000), arrives=True)
for p_, w_ in ((0, "0"), (41, "IPv6 in IPv4"), (47, "GRE"), (132, "SCTP"), (255, "255")):
    kind("ip4", f"protocol {w_}", lambda S, D, p=p_: [ip4(S, D, p, GOOD)],
         {"packets_other_protocol": 1, "icmp_errors": 1}, (3, 2))
kind("ip4", "a packet as large as the MTU",
     lambda S, D: [ip4(S, D, 17, udp(S, D, 4000, NOBODY, bytes(1372)))], arrives=True)

# ---- IPv6 ------------------------------------------------------------------------------


def six(ext=b"", first=17, **f):
    """A datagram behind extension headers; @first: what the IPv6 header names."""
    def make(S, D):
        s, d = f.get("src", S), f.get("dst", D)
        return [ip6(s, d, first, ext + udp(s, d, 4000, NOBODY, GOOD),
                    **{k: v for k, v in f.items() if k not in ("src", "dst")})]
    return make


HOP, ROUTE, FRAG, NONE, DST = 0, 43, 44, 59, 60
lie("ip6", "cut to 39 bytes", lambda S, D: [six()(S, D)[0][:39]], v6=True)
lie("ip6", "cut in its UDP header", lambda S, D: [six()(S, D)[0][:44]], v6=True)
lie("ip6", "payload length 0", six(length=0), v6=True)
lie("ip6", "payload length beyond the packet", six(length=1300), v6=True)
kind("ip6", "payload length short of the packet", lambda S, D: [six()(S, D)[0] + bytes(100)],
     arrives=True, v6=True)
for t_ in (0, 1):
    kind("ip6", f"hop limit {t_}", six(hops=t_), {"icmp_errors": 1}, (3, 0), v6=True)
lie("ip6", "source is destination (LAND)", lambda S, D: six(src=D)(S, D), v6=True)
kind("ip6", "source that is not ours", six(src=FOREIGN6), arrives=True, v6=True)
for a_, s_ in (("multicast", "ff02::5"), ("loopback", "::1"), ("no address", "::"),
               ("IPv4-mapped", "::ffff:10.1.0.10")):
    lie("ip6", f"from {a_}", six(src=s_), v6=True)
kind("ip6", "to multicast", six(dst="ff05::2"), {"packets_multicast": 1}, v6=True)
for a_, d_ in (("loopback", "::1"), ("no address", "::"), ("IPv4-mapped", "::ffff:10.1.0.10")):
    lie("ip6", f"to {a_}", six(dst=d_), v6=True)
lie("ip6", "extension headers without end", six(ext6(DST) * 8 + ext6(17), DST), v6=True)
kind("ip6", "eight extension headers",
     six(ext6(DST) * 7 + ext6(17), DST), arrives=True, v6=True)
lie("ip6", "extension header cut", lambda S, D: [ip6(S, D, DST, ext6(17)[:6])], v6=True)
lie("ip6", "extension header beyond the packet", six(ext6(17, size=200), DST), v6=True)
lie("ip6", "nothing behind the last extension header", lambda S, D: [ip6(S, D, HOP, ext6(DST))],
    v6=True)
kind("ip6", "extension header that nobody knows", lambda S, D: [ip6(S, D, 253, ext6(17) + GOOD)],
     {"packets_other_protocol": 1}, (4, 1, 6), v6=True)
kind("ip6", "hop-by-hop header in second place", six(ext6(HOP) + ext6(17), DST),
     {"packets_other_protocol": 1}, (4, 1, 40), v6=True)
lie("ip6", "jumbogram", six(ext6(17, bytes([0xc2, 4, 0, 1, 0, 0])), HOP, length=0), v6=True)
lie("ip6", "jumbo option and a length too", six(ext6(17, bytes([0xc2, 4, 0, 1, 0, 0])), HOP),
    answer=(4, 2, 42), v6=True)
lie("ip6", "routing header 0 with segments left",
    lambda S, D: six(struct.pack("!BBBBI", 17, 2, 0, 1, 0) + socket.inet_pton(
        socket.AF_INET6, "fd00:10::10"), ROUTE)(S, D), answer=(4, 0, 42), v6=True)
kind("ip6", "routing header 0 at its end", six(struct.pack("!BBBBI", 17, 2, 0, 0, 0) + bytes(16),
                                              ROUTE), arrives=True, v6=True)
lie("ip6", "option that says: drop me", six(ext6(17, bytes([0x41, 4, 0, 0, 0, 0])), DST), v6=True)
lie("ip6", "option that says: tell me", six(ext6(17, bytes([0x80, 4, 0, 0, 0, 0])), DST),
    answer=(4, 2, 42), v6=True)
lie("ip6", "option beyond its header", six(ext6(17, bytes([5, 9, 0, 0, 0, 0])), DST), v6=True)
kind("ip6", "no next header", lambda S, D: [ip6(S, D, NONE, GOOD)],
     {"packets_other_protocol": 1}, v6=True)
for p_, w_ in ((1, "ICMP of IPv4"), (47, "GRE"), (132, "SCTP"), (255, "255")):
    kind("ip6", f"protocol {w_}", lambda S, D, p=p_: [ip6(S, D, p, GOOD)],
         {"packets_other_protocol": 1, "icmp_errors": 1}, (4, 1, 6), v6=True)
kind("ip6", "an atomic fragment", lambda S, D: [frag6(S, D, 17, udp(S, D, 4000, NOBODY, GOOD),
                                                     0, False)], arrives=True, v6=True)

# ---- fragments -------------------------------------------------------------------------


def pieces(v6, *list_, proto=17, data=None):
    """Fragments (offset, length, more[, id]) of a datagram of 1,600 bytes."""
    frag = frag6 if v6 else frag4

    def make(S, D):
        whole = data(S, D) if data else udp(S, D, 4000, NOBODY, bytes(1592))
        return [frag(S, D, proto, (whole + bytes(70000))[o:o + n], o, more, *ident)
                for o, n, more, *ident in list_]
    return make


def bad_whole(S, D):
    return udp(S, D, 4000, NOBODY, bytes(1592), sum=0x1234)


def long_whole(S, D):
    return udp(S, D, 4000, NOBODY, bytes(1592), length=1700)


for v6_ in (False, True):
    w_ = "frag6" if v6_ else "frag4"
    kind(w_, "honest, the last one first", pieces(v6_, (800, 800, False), (0, 800, True)),
         {"fragments_reassembled": 1}, arrives=True, v6=v6_)
    kind(w_, "a tiny first fragment", pieces(
        v6_, (0, 8, True), (8, 1000, True), (1008, 592, False)),
         {"fragments_reassembled": 1}, arrives=True, v6=v6_)
    kind(w_, "overlapping", pieces(v6_, (0, 808, True), (800, 800, False), (808, 792, False)),
         {"fragments_dropped": 1}, v6=v6_)
    kind(w_, "one inside the other (teardrop)", pieces(v6_, (0, 800, True), (240, 16, False)),
         {"fragments_dropped": 1}, v6=v6_)
    kind(w_, "two ends", pieces(v6_, (800, 800, False), (1600, 80, False)),
         {"fragments_dropped": 1}, v6=v6_)
    kind(w_, "bytes behind the end", pieces(v6_, (800, 800, False), (1600, 80, True)),
         {"fragments_dropped": 1}, v6=v6_)
    lie(w_, "beyond 64 KiB (ping of death)", pieces(v6_, (65528, 800, False)), v6=v6_,
        answer=(4, 0, 42) if v6_ else None)
    lie(w_, "a length that is no multiple of eight", pieces(v6_, (0, 801, True)), v6=v6_,
        answer=(4, 0, 4) if v6_ else None)
    lie(w_, "empty", pieces(v6_, (0, 0, True)), v6=v6_)
    lie(w_, "checksum of the whole is wrong", pieces(v6_, (0, 800, True), (800, 800, False),
                                                     data=bad_whole), v6=v6_)
    lie(w_, "UDP length beyond the whole", pieces(v6_, (0, 800, True), (800, 800, False),
                                                  data=long_whole), v6=v6_)
    kind(w_, "the last hop of a later part", lambda S, D, v=v6_: [
        frag6(S, D, 17, bytes(80), 800, True, hops=1) if v else
        frag4(S, D, 17, bytes(80), 800, True, ttl=1)], answer=(3, 0) if v6_ else None, v6=v6_)
    kind(w_, "2,000 first parts without a second", lambda S, D, v=v6_: [
        (frag6 if v else frag4)(S, D, 17, bytes(1200), 0, True, i) for i in range(2000)],
         {"fragments_dropped": 1800}, v6=v6_)
    kind(w_, "2,000 last parts without a first", lambda S, D, v=v6_: [
        (frag6 if v else frag4)(S, D, 17, bytes(1200), 1600, False, i) for i in range(2000)],
         {"fragments_dropped": 1800}, v6=v6_)
    kind(w_, "honest again", pieces(v6_, (0, 800, True), (800, 800, False)),
         {"fragments_reassembled": 1}, arrives=True, v6=v6_)
lie("frag6", "two fragment headers", lambda S, D: [frag6(S, D, FRAG, struct.pack(
    "!BBHI", 17, 0, 0, 7) + udp(S, D, 4000, NOBODY, GOOD), 0, False)], v6=True)
lie("frag6", "a fragment inside a fragment", pieces(
    True, (0, 800, True), (800, 800, False), proto=FRAG,
    data=lambda S, D: struct.pack("!BBHI", 17, 0, 1, 7) + bytes(1592)), v6=True)
kind("frag6", "the first part ends in its options", pieces(
    True, (0, 8, True), (8, 800, True), (808, 792, False), proto=DST,
    data=lambda S, D: ext6(17, size=1) + bytes(8) + udp(S, D, 4000, NOBODY, bytes(1576))),
     {"fragments_reassembled": 1}, arrives=True, v6=True)

# ---- TCP: segments of no flow ----------------------------------------------------------


def seg(v6, flags=SYN, **f):
    p = ip6 if v6 else ip4
    return lambda S, D: [p(S, D, 6, tcp(S, D, f.get("sport", 4001), f.get("dport", 7), flags, **{
        k: v for k, v in f.items() if k not in ("sport", "dport")}))]


def tcp_cut(v6):
    p = ip6 if v6 else ip4
    return lambda S, D: [p(S, D, 6, tcp(S, D, 4001, 7, SYN)[:19])]


NOFLOW = {"packets_no_flow": 1}
for v6_ in (False, True):
    w_ = "tcp6" if v6_ else "tcp4"
    lie(w_, "header cut", tcp_cut(v6_), v6=v6_)
    lie(w_, "data offset 0", seg(v6_, offset=0), v6=v6_)
    lie(w_, "data offset 4", seg(v6_, offset=4), v6=v6_)
    lie(w_, "data offset beyond the packet", seg(v6_, offset=15), v6=v6_)
    lie(w_, "SYN and FIN", seg(v6_, SYN | FIN), v6=v6_)
    lie(w_, "SYN and RST", seg(v6_, SYN | RST), v6=v6_)
    lie(w_, "all flags", seg(v6_, 0xff), v6=v6_)
    lie(w_, "no flag (null)", seg(v6_, 0), v6=v6_)
    lie(w_, "PSH and URG only", seg(v6_, PSH | URG), v6=v6_)
    lie(w_, "from port 0", seg(v6_, sport=0), v6=v6_)
    lie(w_, "to port 0", seg(v6_, dport=0), v6=v6_)
    lie(w_, "checksum wrong", seg(v6_, sum=0x1234), v6=v6_)
    lie(w_, "checksum 0", seg(v6_, sum=0), v6=v6_)
    lie(w_, "option of length 0", seg(v6_, options=bytes([2, 0, 5, 0])), v6=v6_)
    lie(w_, "option of length 1", seg(v6_, options=bytes([254, 1, 5, 0])), v6=v6_)
    lie(w_, "option beyond the header", seg(v6_, options=bytes([3, 40, 7, 0])), v6=v6_)
    kind(w_, "FIN, PSH and URG (xmas)", seg(v6_, FIN | PSH | URG), NOFLOW, "rst", v6=v6_)
    kind(w_, "ACK for no flow", seg(v6_, ACK, ack=77), NOFLOW, "rst", v6=v6_)
    kind(w_, "data for no flow", seg(v6_, ACK | PSH, data=bytes(1300)), NOFLOW, "rst", v6=v6_)
    kind(w_, "SYN and ACK for no flow", seg(v6_, SYN | ACK, ack=77), NOFLOW, "rst", v6=v6_)
    kind(w_, "RST for no flow", seg(v6_, RST, data=b"why not"), v6=v6_)
    kind(w_, "RST and ACK for no flow", seg(v6_, RST | ACK), v6=v6_)

# ---- UDP -------------------------------------------------------------------------------


def dgram(v6, sport=4000, dport=NOBODY, keep=None, **f):
    p = ip6 if v6 else ip4
    return lambda S, D: [p(S, D, 17, udp(S, D, sport, dport, GOOD, **f)[:keep])]


for v6_ in (False, True):
    w_ = "udp6" if v6_ else "udp4"
    lie(w_, "header cut", dgram(v6_, keep=7), v6=v6_)
    lie(w_, "length 0", dgram(v6_, length=0), v6=v6_)
    lie(w_, "length 7", dgram(v6_, length=7), v6=v6_)
    lie(w_, "length beyond the packet", dgram(v6_, length=49), v6=v6_)
    kind(w_, "length short of the packet", dgram(v6_, length=20), arrives=True, v6=v6_)
    lie(w_, "to port 0", dgram(v6_, dport=0), v6=v6_)
    kind(w_, "from port 0", dgram(v6_, sport=0), arrives=True, v6=v6_)
    lie(w_, "checksum wrong", dgram(v6_, sum=0x1234), v6=v6_)
    if v6_:
        lie(w_, "no checksum", dgram(v6_, sum=0), v6=v6_)
    else:
        kind(w_, "no checksum", dgram(v6_, sum=0), arrives=True)
    kind(w_, "no data", lambda S, D, p=ip6 if v6_ else ip4: [
        p(S, D, 17, udp(S, D, 4000, NOBODY, b""))], arrives=True, v6=v6_)
    kind(w_, "beside the tunnel, in order", dgram(v6_, dport=BESIDE), arrives="beside", v6=v6_)
    lie(w_, "beside the tunnel, checksum wrong", dgram(v6_, dport=BESIDE, sum=0x1234), v6=v6_)
    lie(w_, "beside the tunnel, length beyond", dgram(v6_, dport=BESIDE, length=49), v6=v6_)
for n_, q_ in (("3 bytes", b"abc"), ("an answer", bytes([1, 2, 0x84, 0, 0, 1] + [0] * 11)),
               ("no question", bytes([1, 2, 1, 0] + [0] * 8)),
               ("a name that points at itself", bytes([1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0,
                                                       0xc0, 12, 0, 1, 0, 1])),
               ("a label beyond the end", bytes([1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63, 65])),
               ("1,300 bytes", bytes([1, 2, 1, 0, 0, 1] + [63] * 1294))):
    kind("udp4", f"DNS query: {n_}", lambda S, D, q=q_: [
        ip4(S, FENCE, 17, udp(S, FENCE, 4000, 53, q))])

# ---- ICMP ------------------------------------------------------------------------------


def quote4(S, D):
    return ip4(D, S, 6, struct.pack("!HHI", 7, 4001, 1))


def quote6(S, D):
    return ip6(D, S, 6, struct.pack("!HHI", 7, 4001, 1))


def msg4(type_, code=0, data=None, rest=0, **f):
    return lambda S, D: [ip4(S, D, 1, icmp(S, D, type_, code, rest,
                                           data(S, D) if data else b"", **f))]


def msg6(type_, code=0, data=None, rest=0, hops=64, **f):
    return lambda S, D: [ip6(S, D, 58, icmp(S, D, type_, code, rest,
                                            data(S, D) if data else b"", **f), hops=hops)]


lie("icmp4", "cut to 4 bytes", lambda S, D: [ip4(S, D, 1, icmp(S, D, 8, 0, 0, b"")[:4])])
lie("icmp4", "nothing at all", lambda S, D: [ip4(S, D, 1, b"")])
lie("icmp4", "echo request, checksum wrong", msg4(8, sum=0x1234))
kind("icmp4", "echo request, in order", msg4(8, rest=0x12340001), arrives=True)
kind("icmp4", "echo request with a code", msg4(8, 1))
kind("icmp4", "echo reply that nobody asked for", msg4(0))
for t_, w_ in ((3, "unreachable"), (4, "quench"), (11, "time exceeded"), (12, "parameter")):
    kind("icmp4", f"{w_} that cites nothing", msg4(t_))
    kind("icmp4", f"{w_} with a quote cut", msg4(t_, data=lambda S, D: quote4(S, D)[:21]))
    kind("icmp4", f"{w_} with nonsense for a quote", msg4(t_, data=lambda S, D: b"\xff" * 60))
for n_ in (0, 19, 20, 22):
    kind("icmp4", f"too big, {n_} bytes of a quote", msg4(
        3, 4, lambda S, D, n=n_: quote4(S, D)[:n]))
kind("icmp4", "too big, a quote of header length 60",
     msg4(3, 4, lambda S, D: b"\x4f" + quote4(S, D)[1:]))
kind("icmp4", "redirect", msg4(5, 1, quote4, 0x0a010001))
kind("icmp4", "redirect at its last hop", lambda S, D: [
    ip4(S, D, 1, icmp(S, D, 5, 1, 0x0a010001, quote4(S, D)), ttl=1)])
for t_, w_ in ((9, "router advertisement"), (10, "router solicitation"), (13, "timestamp"),
               (17, "address mask"), (44, "type 44"), (255, "type 255")):
    kind("icmp4", w_, msg4(t_, data=lambda S, D: bytes(12)))
lie("icmp6", "cut to 4 bytes", lambda S, D: [
    ip6(S, D, 58, icmp(S, D, 128, 0, 0, b"")[:4])], v6=True)
lie("icmp6", "echo request, checksum wrong", msg6(128, sum=0x1234), v6=True)
lie("icmp6", "echo request, checksum 0", msg6(128, sum=0), v6=True)
kind("icmp6", "echo request, in order", msg6(128, rest=0x12340001), arrives=True, v6=True)
for t_, w_ in ((1, "unreachable"), (2, "too big"), (3, "time exceeded"), (4, "parameter"),
               (100, "error that nobody knows")):
    kind("icmp6", f"{w_} that cites nothing", msg6(t_), v6=True)
    kind("icmp6", f"{w_} with a quote cut", msg6(t_, data=lambda S, D: quote6(S, D)[:43]), v6=True)
    kind("icmp6", f"{w_} with nonsense for a quote", msg6(
        t_, data=lambda S, D: b"\xff" * 60), v6=True)
for t_, w_ in ((133, "router solicitation"), (134, "router advertisement"),
               (135, "neighbour solicitation"), (136, "neighbour advertisement"), (137, "redirect"),
               (130, "multicast listener query"), (200, "type 200"), (255, "type 255")):
    kind("icmp6", w_, msg6(t_, data=lambda S, D: bytes(32)), v6=True)
kind("icmp6", "redirect at its last hop", msg6(137, data=lambda S, D: bytes(32), hops=1), v6=True)

# ---- through raw sockets and routing ----------------------------------------------------


class Raw:
    """Sent by a raw socket: the kernel makes the IP header and the way."""

    def __init__(self, proto, body):
        self.proto, self.body = proto, body


for v6_ in (False, True):
    w_ = " over IPv6" if v6_ else ""
    kind("routed", "GRE" + w_, lambda S, D: [Raw(47, GOOD)], {"packets_other_protocol": 1},
         (4, 1, 6) if v6_ else (3, 2), v6=v6_)
    lie("routed", "TCP without flags" + w_, lambda S, D: [Raw(6, tcp(S, D, 4001, 7, 0))], v6=v6_)
    lie("routed", "TCP, checksum wrong" + w_,
        lambda S, D: [Raw(6, tcp(S, D, 4001, 7, SYN, sum=0x1234))], v6=v6_)
    lie("routed", "UDP, length beyond" + w_,
        lambda S, D: [Raw(17, udp(S, D, 4000, NOBODY, GOOD, length=49))], v6=v6_)
    lie("routed", "UDP, checksum wrong" + w_,
        lambda S, D: [Raw(17, udp(S, D, 4000, NOBODY, GOOD, sum=0x1234))], v6=v6_)
    kind("routed", "UDP, in order" + w_,
         lambda S, D: [Raw(17, udp(S, D, 4000, NOBODY, GOOD))], arrives=True, v6=v6_)

# ---- batches, which the kernel hands over in one piece ----------------------------------


class Batch:
    """With a virtio header: (flags, GSO type, header length, GSO size, checksum's place)"""

    def __init__(self, packet, *vnet):
        self.packet, self.vnet = packet, vnet


def batch_tcp(v6, size, n, flags=ACK):
    p, at = (ip6, 40) if v6 else (ip4, 20)
    return lambda S, D: [Batch(p(S, D, 6, tcp(S, D, 4001, 7, flags, ack=77, data=bytes(n), sum=0)),
                               1, 4 if v6 else 1, at + 20, size, at, 16)]


def batch_udp(v6, size, n):
    p, at = (ip6, 40) if v6 else (ip4, 20)
    return lambda S, D: [Batch(p(S, D, 17, udp(S, D, 4000, NOBODY, bytes(n), sum=0)),
                               1, 5, at + 8, size, at, 6)]


for v6_ in (False, True):
    w_ = " over IPv6" if v6_ else ""
    kind("batch", "65,000 bytes of TCP for no flow" + w_, batch_tcp(v6_, 1300, 65000),
         NOFLOW, "rst", v6=v6_)
    lie("batch", "65,000 bytes of TCP with SYN and FIN" + w_,
        batch_tcp(v6_, 1300, 65000, SYN | FIN), v6=v6_)
    kind("batch", "60 datagrams of one byte" + w_, batch_udp(v6_, 1, 60), arrives=True, v6=v6_)
    kind("batch", "64,000 bytes of UDP" + w_, batch_udp(v6_, 1300, 64000), arrives=True, v6=v6_)
