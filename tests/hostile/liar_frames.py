# SPDX-License-Identifier: MIT
"""The lies of a session that is up: frames that are wrong, in wrong states, or too many.

hostile_app.py talks through it: TCP port 1000 (echoes what it gets), port 1001
(never answered), UDP port 2000 and echo requests, all to 10.1.0.99.
"""

import os
import struct
import time

from atp import *  # noqa: F403
from liar_cases import OFFER, case, flood

STRANGER = "10.66.6.6"


def bad(name, why):
    """A protocol error: GOAWAY and the end, at once."""
    def add(fn):
        def run(c):
            try:
                fn(c)
            except Closed:
                pass            # it had enough before we were done
            return c.refused()
        case(name, "live", "refused protocol_error", why)(run)
        return fn
    return add


def lives(name):
    """Nothing happens: the same session answers and carries data afterwards."""
    def add(fn):
        def run(c):
            detail = fn(c)
            c.alive()
            return detail
        case(name, "live", "lives")(run)
        return fn
    return add


def says(name, why, make):
    @bad(name, why)
    def _(c):
        c.peer.send_bytes(make(c))


# ---- headers: lengths, types, streams ----------------------------------------------

LENGTHS = {     # wrong payload lengths of each type
    CONFIG: (16385,), OPENED: (0, 6, 8, 24), REFUSED: (0, 2), DATA: (0, 65537), WINDOW: (3, 5),
    FIN: (1,), RESET: (0, 2), RETURN: (3, 5), DGRAM: (0, 11, 65537), DGRAM_ERROR: (19, 33),
    ACK: (7, 9), PROBE: (0, 9), PROBE_REPLY: (7, 9), GOAWAY: (5, 263)}

for kind, sizes in LENGTHS.items():
    for n in sizes:
        def _make(c, kind=kind, n=n):
            body = bytes([0, 0, 0, 1, 4]) + bytes(70000) if kind == OPENED else \
                bytes([4]) + bytes(70000) if kind in (DGRAM, DGRAM_ERROR) else bytes(70000)
            sid = 0 if kind in SESSION_ONLY else \
                c.assoc().sid if kind in (DGRAM, DGRAM_ERROR) else c.stream().sid
            return frame(kind, sid, body[:n], length=n)
        says("length-%s-%d" % (NAMES[kind], n), "wrong length|over|empty", _make)

says("length-max", "over 65,536", lambda c: frame(DATA, c.stream().sid, b"x", length=0xffffff))
says("length-max-unknown", "over 65,536", lambda c: frame(0xff, 0, b"x", length=0xffffff))
for kind in (0x00, 0x0C, 0x0F, 0x14, 0x7F):
    says("type-0x%02x" % kind, "unknown frame type", lambda c, kind=kind: frame(kind, 0, b"x"))
says("type-0x14-on-stream", "unknown frame type", lambda c: frame(0x14, c.stream().sid, b"x"))


@lives("type-above-0x80")
def _(c):
    for kind in (0x80, 0xC3, 0xFF):
        for sid in (0, c.stream().sid, 1 << 20, 0xFFFFFFFF):
            c.peer.send(frame(kind, sid), frame(kind, sid, os.urandom(300)))
    c.peer.send(frame(0x90, 7, bytes(65536)))
    c.all_acked()               # skipped, and counted


ON_STREAM = {"OPENED": opened, "REFUSED": lambda s: refused(s, 1), "DATA": lambda s: data(s, b"x"),
             "WINDOW": lambda s: window(s, 1), "FIN": fin, "RESET": reset,
             "RETURN": lambda s: give_back(s, 1),
             "DGRAM": lambda s: dgram(s, "10.1.0.99", 2000, b"x"),
             "DGRAM_ERROR": lambda s: dgram_error(s, "10.1.0.99", 2000, 3, 3)}
ON_SESSION = {"CONFIG": config(OFFER), "ACK": ack(0), "PROBE": probe(1), "PROBE_REPLY": probe_reply(1),
              "GOAWAY": goaway(BYE)}
for name, make in ON_STREAM.items():
    says("stream0-" + name, "on stream 0", lambda c, make=make: make(0))
    says("stream-2^31-" + name, "2\\^31", lambda c, make=make: make(1 << 31))
    if not name.startswith("DGRAM"):
        says("unopened-" + name, "never opened", lambda c, make=make: make(1 << 20))
for name, raw in ON_SESSION.items():
    says("stream1-" + name, "session frame on a stream",
         lambda c, raw=raw: raw[:4] + struct.pack(">I", c.stream().sid) + raw[8:])
says("open-from-server", "wrong direction", lambda c: open_frame(1 << 20, TCP, "10.1.0.1", 80))


@lives("unopened-datagrams")
def _(c):
    for sid in (1 << 20, (1 << 31) - 1):
        c.peer.send(dgram(sid, "10.1.0.99", 2000, b"STRANGER"),
                    dgram_error(sid, "10.1.0.99", 2000, 3, 3))


# ---- states ------------------------------------------------------------------------

for name, make in ON_STREAM.items():
    if name in ("DATA", "WINDOW", "RETURN", "FIN"):
        says("before-opened-" + name, "before OPENED",
             lambda c, make=make: make(c.pending().sid))
    if name in ("OPENED", "REFUSED"):
        says("after-opened-" + name, "answered before", lambda c, make=make: make(c.stream().sid))
    if name in ("DATA", "WINDOW", "RETURN", "FIN"):
        says("association-" + name, "association", lambda c, make=make: make(c.assoc().sid))
    if name.startswith("DGRAM"):
        says("tcp-" + name, "datagram on a TCP", lambda c, make=make: make(c.stream().sid))
        says("tcp-unanswered-" + name, "datagram on a TCP",
             lambda c, make=make: make(c.pending().sid))
says("association-window", "association with a window",
     lambda c: opened(c.assoc(answer=False).sid, 1))
says("fin-then-DATA", "after FIN", lambda c: fin(c.stream().sid) + data(c.stream().sid, b"x"))
says("fin-then-RETURN", "after FIN", lambda c: fin(c.stream().sid) + give_back(c.stream().sid, 1))
says("fin-then-FIN", "second FIN", lambda c: fin(c.stream().sid) * 2)
says("refused-then-OPENED-bad", "wrong length",
     lambda c: refused(c.pending().sid, 1) + frame(OPENED, c.pending().sid, bytes(6)))


@lives("closed-all-types")
def _(c):
    s = c.stream()
    c.peer.send(reset(s.sid))
    c.peer.send(*[make(s.sid) for make in ON_STREAM.values()])
    c.peer.send(data(s.sid, bytes(65536)), give_back(s.sid, 0x7FFFFFFF), refused(s.sid, 99))
    c.all_acked()


@lives("refused-then-everything")
def _(c):
    s = c.pending()
    c.peer.send(refused(s.sid, 2), opened(s.sid), data(s.sid, b"x"), fin(s.sid), reset(s.sid))
    c.all_acked()


@lives("reset-before-opened")
def _(c):
    c.peer.send(reset(c.pending().sid, 2))


@lives("unknown-reasons")
def _(c):
    c.peer.send(refused(c.pending().sid, 0))
    c.peer.send(reset(c.stream().sid, 0), reset(c.assoc().sid, 255))


@lives("fin-then-WINDOW")
def _(c):
    s = c.stream()
    c.peer.send(fin(s.sid), window(s.sid, 1))


says("closed-WINDOW-0", "WINDOW of 0", lambda c: reset(c.stream().sid) + window(c.stream().sid, 0))
says("closed-length", "wrong length",
     lambda c: reset(c.stream().sid) + frame(WINDOW, c.stream().sid, bytes(3)))

# ---- credit ------------------------------------------------------------------------

says("data-beyond-window", "beyond the window",
     lambda c: b"".join(data(c.stream().sid, bytes(65536)) for _ in
                        range(c.stream().window // 65536 + 1)))
says("data-1-beyond-window", "beyond the window",
     lambda c: data(c.stream().sid, bytes(c.stream().window + 1)))
says("window-0", "WINDOW of 0", lambda c: window(c.stream().sid, 0))
says("window-2^31", "2\\^31", lambda c: window(c.stream().sid, 1 << 31))
says("window-2^32-1", "2\\^31", lambda c: window(c.stream().sid, 0xFFFFFFFF))
says("window-sum", "2\\^31", lambda c: window(c.stream().sid, 0x7FFFFFFF) * 2)
says("initial-window-2^31", "2\\^31", lambda c: opened(c.pending().sid, 1 << 31))
says("return-0", "RETURN of 0", lambda c: give_back(c.stream().sid, 0))
says("return-2^31", "2\\^31", lambda c: give_back(c.stream().sid, 1 << 31))
says("return-too-much", "unused credit", lambda c: give_back(c.stream().sid, c.stream().window + 1))
says("return-then-DATA", "beyond the window",
     lambda c: give_back(c.stream().sid, c.stream().window) + data(c.stream().sid, b"x"))


@lives("window-flood")
def _(c):
    s = c.stream()
    for _ in range(100):
        c.peer.send(*[window(s.sid, 1)] * 1000)
    c.all_acked()


@lives("window-0-initial")
def _(c):
    s = c.pending()
    c.peer.send(opened(s.sid, 0))
    c.pump(0.1)
    c.peer.send(reset(s.sid))


# ---- ACK ---------------------------------------------------------------------------

says("ack-too-much", "more than was sent", lambda c: ack(c.peer.received + 1000000))
says("ack-max", "more than was sent", lambda c: ack(0xFFFFFFFFFFFFFFFF))
says("ack-backwards", "less than before", lambda c: ack(c.acked()) + ack(c.acked() - 8))
says("ack-inside-a-frame", "frame boundary", lambda c: ack(c.hold_ack() - 3))

# ---- datagrams ---------------------------------------------------------------------


def odd_dgram(c, family=4, zero=0, port=2000, segment=0, zero2=0, address=bytes([10, 1, 0, 99]),
              body=b"x", kind=DGRAM):
    return frame(kind, c.assoc().sid, struct.pack(">BBHHH", family, zero, port, segment, zero2) +
                 address + body)


says("dgram-family-5", "family", lambda c: odd_dgram(c, family=5))
says("dgram-family-0", "family", lambda c: odd_dgram(c, family=0))
says("dgram-family-6", "family", lambda c: odd_dgram(c, family=6, address=bytes(16)))
says("dgram-reserved-1", "reserved", lambda c: odd_dgram(c, zero=1))
says("dgram-reserved-2", "reserved", lambda c: odd_dgram(c, zero2=0x100))
says("dgram-segment-empty", "empty data", lambda c: odd_dgram(c, segment=100, body=b""))
says("dgram-65-segments", "over 64", lambda c: odd_dgram(c, segment=1, body=bytes(65)))
says("dgram-error-segment", "segment size",
     lambda c: odd_dgram(c, segment=1, body=bytes([3, 3, 0, 0, 0, 0, 0, 0]), kind=DGRAM_ERROR))
says("dgram-error-reserved", "reserved",
     lambda c: odd_dgram(c, body=bytes([3, 3, 1, 0, 0, 0, 0, 0]), kind=DGRAM_ERROR))
says("dgram-closed-reserved", "reserved",
     lambda c: reset(c.assoc().sid) + odd_dgram(c, zero=1))
says("echo-without-sequence", "sequence",
     lambda c: dgram(c.assoc(ICMP).sid, "10.1.0.99", c.assoc(ICMP).ident, b"x"))


@lives("dgram-stranger")
def _(c):
    a = c.assoc()
    for address in (STRANGER, "127.0.0.1", "0.0.0.0", "255.255.255.255", "192.0.2.2", "172.28.13.1"):
        c.peer.send(dgram(a.sid, address, 2000, b"STRANGER"),
                    dgram(a.sid, address, 2000, b"STRANGER" * 64, 8))
    return c.datagrams()


@lives("dgram-error-stranger")
def _(c):
    a = c.assoc()
    c.peer.send(dgram_error(a.sid, STRANGER, 2000, 3, 3))
    return c.datagrams()


@lives("dgram-error-odd")
def _(c):
    a = c.assoc()
    for kind in (0, 5, 8, 13, 255):
        c.peer.send(dgram_error(a.sid, "10.1.0.99", 2000, kind, 255, 0xFFFFFFFF))
    c.peer.send(dgram_error(a.sid, "10.1.0.99", 2000, 3, 4, 0))
    return c.datagrams()


@lives("dgram-error-control")
def _(c):           # an honest one arrives: the app's error queue shows it
    c.peer.send(dgram_error(c.assoc().sid, "10.1.0.99", 2000, 3, 13))
    c.pump(0.1)


@lives("dgram-flood")
def _(c):
    a = c.assoc()
    for _ in range(200):
        c.peer.send(*[dgram(a.sid, "10.1.0.99", 2000, b"flood" * 200)] * 20)
    return c.datagrams()


@lives("dgram-huge")
def _(c):
    a = c.assoc()
    for size in (65507, 65508, 65520, 65524):
        c.peer.send(dgram(a.sid, "10.1.0.99", 2000, bytes(size)))
    c.peer.send(dgram(a.sid, "10.1.0.99", 2000, bytes(64), 1),
                dgram(a.sid, "10.1.0.99", 2000, bytes(65000), 0xFFFF))
    return c.datagrams()


# ---- PROBE, GOAWAY, CONFIG: too many, too late -------------------------------------


@lives("probe-flood")
def _(c):
    before = c.n_replies
    for _ in range(10):
        c.peer.send(*[probe(n) for n in range(1000)])
    c.pump(1.0)
    got = c.n_replies - before
    assert 1 <= got <= 20, "%d replies within a second" % got
    c.pump(1.1)                 # so that the next question is answered
    return "%d replies" % got


@lives("probe-reply-unasked")
def _(c):
    c.peer.send(*[probe_reply(n) for n in range(2000)])


@lives("config-flood")
def _(c):
    for _ in range(50):
        c.peer.send(*[config({**OFFER, "search": ["n%d.internal" % n]}) for n in range(100)])
    c.all_acked(20)


@lives("config-flood-large")
def _(c):
    pad = "x" * 16000
    for _ in range(200):
        c.peer.send(config({**OFFER, "pad": pad}))
    c.all_acked(20)


@lives("config-later-other-address")
def _(c):
    c.peer.send(config({**OFFER, "interface4": "172.28.13.99", "interface6": "fd00:28:13::99",
                        "mtu": 1300}))
    c.pump(0.2)


@lives("config-later-own-address")
def _(c):
    c.peer.send(config({**OFFER, "interface4": "192.0.2.2"}))
    c.pump(0.2)


@lives("config-later-shell")
def _(c):
    c.peer.send(config({**OFFER, "dns": ["$(id)", "10.1.0.53"], "search": ["`id`", "x\ny"]}))
    c.pump(0.2)
    c.peer.send(config(OFFER))
    c.pump(0.1)


says("config-later-not-json", "not JSON", lambda c: config(b"{"))
says("config-later-127", "interface4", lambda c: config({**OFFER, "interface4": "127.0.0.1"}))
says("config-later-max_streams", "max_streams", lambda c: config({**OFFER, "max_streams": 0}))


@case("max_streams-1", "live", "lives")
def _(c):       # no room for anything new, what is there goes on
    c.stream(), c.assoc()
    c.peer.send(config({**OFFER, "max_streams": 1}))
    c.pump(0.3)
    c.alive()
    c.peer.send(config(OFFER))
    c.pump(0.1)


def leaves(name, expect, raw, why="."):
    @case(name, "live", expect, why)
    def _(c):
        try:
            c.peer.send_bytes(raw)
        except Closed:
            pass
        return c.ended()


leaves("goaway-bye", "redials goaway_bye", goaway(BYE))
leaves("goaway-draining", "redials draining", goaway(DRAINING))
leaves("goaway-replaced", "redials replaced", goaway(REPLACED))
leaves("goaway-internal", "redials goaway_internal", goaway(INTERNAL))
leaves("goaway-unknown", "redials goaway_internal", goaway(77))
leaves("goaway-65535", "redials goaway_internal", goaway(65535, 0xFFFFFFFF))
leaves("goaway-text", "redials goaway_internal", goaway(INTERNAL, 0, b"\x1b[2J\r\n\xff$(id)" * 20),
       r"\?\[2J\?\?")
leaves("goaway-flood", "redials goaway_bye", goaway(BYE) * 20000)
leaves("goaway-and-more", "redials goaway_bye", goaway(BYE) + frame(0, 0, bytes(100)) * 1000)
leaves("goaway-revoked", "revoked revoked", goaway(REVOKED))
leaves("goaway-protocol-error", "refused protocol_error", goaway(PROTOCOL_ERROR, 0, b"you lie"),
       "you lie")

# ---- cut ---------------------------------------------------------------------------


@lives("byte-by-byte")
def _(c):
    s, a = c.stream(), c.assoc()
    raw = (window(s.sid, 1), data(s.sid, b"slow"), dgram(a.sid, "10.1.0.99", 2000, b"slow"),
           frame(0x80, 5, b"later"), config(OFFER), probe(9))
    for f in raw:
        if is_counted(f[0]):
            c.peer.sent += len(f)
        for b in f:
            c.peer.send_bytes(bytes([b]))
    c.all_acked()


for k in (1, 3, 4, 7, 8, 9, 15):
    def _cut(c, k=k):
        c.peer.send_bytes(data(c.stream().sid, b"12345678")[:k])
        c.peer.close()
    case("cut-after-%d" % k, "live", "redials cut")(_cut)


@case("cut-reset", "live", "redials cut|tls_io")
def _(c):
    c.stream()
    c.peer.raw_reset()


@lives("many-small-frames")
def _(c):
    s = c.stream()
    c.peer.send(*[data(s.sid, b"%d" % (n % 10)) for n in range(min(s.window, 16000))])
    c.all_acked()


@lives("stops-reading")
def _(c):
    time.sleep(2)               # what the apps say meanwhile waits
