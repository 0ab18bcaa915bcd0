# SPDX-License-Identifier: MIT
"""packets_build.py - packets in order, in which any field may be told to lie.

Addresses are text; what is None is filled in as it should be.
"""
import socket
import struct

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
FRAGMENT = 44
SUM_AT = {ICMP: 2, TCP: 16, UDP: 6, ICMP6: 2}


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def checksum(data):
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def transport(src, dst, proto, data, wanted=None):
    """@data with its checksum: the right one, or @wanted."""
    at = SUM_AT[proto]
    if wanted is None:
        head = b""
        if proto != ICMP:
            head = address(src) + address(dst) + struct.pack("!II", len(data), proto)
        wanted = checksum(head + data[:at] + b"\0\0" + data[at + 2:])
        if proto == UDP and not wanted:
            wanted = 0xffff
    return data[:at] + struct.pack("!H", wanted) + data[at + 2:]


def udp(src, dst, sport, dport, data, length=None, sum=None):
    if length is None:
        length = 8 + len(data)
    whole = struct.pack("!HHHH", sport, dport, length, 0) + data
    # the checksum is of what the length says; what follows is nobody's
    n = length if 8 <= length <= len(whole) else len(whole)
    return transport(src, dst, UDP, whole[:n], sum) + whole[n:]


def tcp(src, dst, sport, dport, flags, seq=1, ack=0, window=8192, urgent=0, options=b"", data=b"",
        offset=None, sum=None):
    options += bytes(-len(options) % 4)
    if offset is None:
        offset = 5 + len(options) // 4
    return transport(src, dst, TCP, struct.pack(
        "!HHIIBBHHH", sport, dport, seq, ack, offset << 4, flags, window, 0, urgent) +
        options + data, sum)


def icmp(src, dst, kind, code, rest, data, sum=None):
    return transport(src, dst, ICMP6 if ":" in src else ICMP,
                     struct.pack("!BBHI", kind, code, 0, rest) + data, sum)


def echo(src, dst, ident, seq):
    return icmp(src, dst, 128 if ":" in src else 8, 0, ident << 16 | seq, b"is anybody there")


def ip4(src, dst, proto, body, version=4, ihl=None, total=None, ident=1, frag=0, ttl=64,
        options=b"", sum=None):
    options += bytes(-len(options) % 4)
    if ihl is None:
        ihl = 5 + len(options) // 4
    if total is None:
        total = 20 + len(options) + len(body)
    head = struct.pack("!BBHHHBBH", version << 4 | ihl, 0, total, ident, frag, ttl, proto, 0)
    head += address(src) + address(dst) + options
    if sum is None:
        # over what its length says it is
        sum = checksum((head + body)[:max(ihl, 5) * 4])
    return head[:10] + struct.pack("!H", sum) + head[12:] + body


def ip6(src, dst, following, body, length=None, hops=64):
    if length is None:
        length = len(body)
    head = struct.pack("!IHBB", 6 << 28, length, following, hops)
    return head + address(src) + address(dst) + body


def ext6(following, data=bytes(6), size=0):
    """An extension header that says to be 8 + 8 * @size bytes long."""
    return bytes([following, size]) + data


def frag4(src, dst, proto, body, offset, more, ident=7, ttl=64):
    return ip4(src, dst, proto, body, ident=ident, ttl=ttl, frag=offset // 8 | (more << 13))


def frag6(src, dst, proto, body, offset, more, ident=7, hops=64):
    return ip6(src, dst, FRAGMENT, struct.pack("!BBHI", proto, 0, offset | more, ident) + body,
               hops=hops)


def parse(p):
    """What the head of a packet says, as far as it is here; None: nothing sensible."""
    try:
        if p[0] >> 4 == 4:
            at, proto, fragment = (p[0] & 15) * 4, p[9], (p[6] & 0x3f) << 8 | p[7]
            size = struct.unpack_from("!H", p, 2)[0] - at
            src, dst = socket.inet_ntoa(p[12:16]), socket.inet_ntoa(p[16:20])
        elif p[0] >> 4 == 6:
            at, proto, fragment = 40, p[6], p[6] == FRAGMENT
            size = struct.unpack_from("!H", p, 4)[0]
            src, dst = (socket.inet_ntop(socket.AF_INET6, p[n:n + 16]) for n in (8, 24))
        else:
            return None
        q = {"src": src, "dst": dst, "proto": proto, "at": at, "fragment": bool(fragment)}
        if proto in (TCP, UDP):
            q["sport"], q["dport"] = struct.unpack_from("!HH", p, at)
        if proto == TCP:
            q["seq"], q["ack"] = struct.unpack_from("!II", p, at + 4)
            q["flags"], offset = p[at + 13], (p[at + 12] >> 4) * 4
            q["len"] = size - offset + bool(q["flags"] & SYN) + bool(q["flags"] & FIN)
            q["data"] = p[at + offset:]
        if proto in (ICMP, ICMP6):
            q["type"], q["code"] = p[at], p[at + 1]
            q["rest"] = struct.unpack_from("!I", p, at + 4)[0]
        return q
    except (struct.error, IndexError, ValueError, OSError):
        return None


def mend(p):
    """Make IPv4's and the transport's checksum right, where there is one."""
    q = parse(p)
    if not q:
        return p
    if p[0] >> 4 == 4:
        p = p[:10] + struct.pack("!H", checksum(p[:10] + b"\0\0" + p[12:q["at"]])) + p[12:]
    if q["proto"] in SUM_AT and not q["fragment"] and len(p) >= q["at"] + 20:
        p = p[:q["at"]] + transport(q["src"], q["dst"], q["proto"], p[q["at"]:])
    return p
