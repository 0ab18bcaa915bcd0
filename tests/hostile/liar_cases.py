# SPDX-License-Identifier: MIT
"""How a Sentry may lie: the list of cases, and the lies told before a session is up.

A case is a function and what must come of it:

    stage   tcp     fn(raw socket): before TLS
            http    fn(peer): the POST was read, nothing was answered
            config  fn(conn): 101 was sent, CONFIG was not
            live    fn(conn): a session that is up, with apps in it (liar_frames.py)
    expect  refused CODE   told twice, it ends in state `refused`, exit 14, that cause
            revoked CODE   the same, told once, exit 13
            redials CODE   the connection is lost with that cause and dialled again
            lives          the session goes on
            up             a new session comes up all the same
    why     a regular expression that the cause's detail must match
    fresh   the profile must not have been connected before
"""

import json
import os
import socket
import struct
import time

from atp import *  # noqa: F403

CASES = {}


class Case:
    def __init__(self, name, stage, expect, why, fn, fresh):
        self.name, self.stage, self.why, self.fn, self.fresh = name, stage, why, fn, fresh
        self.expect, _, self.code = expect.partition(" ")
        self.times = 2 if self.expect == "refused" else 1


def case(name, stage, expect, why=".", fresh=False):
    def add(fn):
        assert name not in CASES, name
        CASES[name] = Case(name, stage, expect, why, fn, fresh)
        return fn
    return add


# ---- helpers -----------------------------------------------------------------------


def until_gone(peer, seconds=8):
    """The client must end the connection."""
    try:
        return peer.wait_end(seconds)
    except ProtocolError as e:
        raise AssertionError("the client sent nonsense: %s" % e) from None
    except TimeoutError:
        raise AssertionError("the client did not end the connection") from None


def flood(peer, chunk, most=64 << 20):
    """Send the chunk again and again until the client has enough of it."""
    sent = 0
    try:
        while sent < most:
            peer.send_bytes(chunk)
            sent += len(chunk)
    except (Closed, OSError):
        pass
    assert sent < most, "%d bytes were taken" % sent
    return "%d KiB went out" % (sent >> 10)


# ---- TLS ---------------------------------------------------------------------------


def tcp_says(name, answer, expect, why=".", read=True):
    @case(name, "tcp", expect, why)
    def _(sock):
        if read:
            sock.recv(65536)
        sock.sendall(answer)
        try:
            while sock.recv(65536):
                pass
        except OSError:
            pass


@case("tls-closed-at-once", "tcp", "redials tls_io")
def _(sock):
    sock.close()


@case("tls-closed-after-hello", "tcp", "redials tls_io")
def _(sock):
    sock.recv(65536)
    sock.close()


@case("tls-reset", "tcp", "redials tls_io")
def _(sock):
    sock.recv(65536)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@case("tls-endless-record", "tcp", "redials tls_io")
def _(sock):
    sock.recv(65536)
    sent = 0
    try:
        sock.sendall(b"\x16\x03\x03\x40\x00" + b"\x02\xff\xff\xff")
        while sent < 64 << 20:
            sock.sendall(bytes(65536))
            sent += 65536
    except OSError:
        pass
    assert sent < 64 << 20, "%d bytes were taken" % sent


tcp_says("tls-not-tls-http", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
         "redials tls_io")
tcp_says("tls-not-tls-ssh", b"SSH-2.0-OpenSSH_9.2\r\n", "redials tls_io", read=False)
tcp_says("tls-record-too-long", b"\x16\x03\x03\xff\xff" + bytes(70000), "redials tls_io")


@case("tls-half-server-hello", "tcp", "redials tls_io")
def _(sock):
    sock.recv(65536)
    sock.sendall(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(20))
    sock.close()


# ---- the answer to the POST --------------------------------------------------------

GOOD = ["Connection: Upgrade", "Upgrade: atp/1", "ATP-Session: " + "A" * 22,
        "ATP-Resumed: 0", "ATP-Received: 0"]


def head(*extra, first="HTTP/1.1 101 Switching Protocols", lines=None, without=None, end="\r\n"):
    out = [first] + [x for x in (GOOD if lines is None else lines)
                     if not without or not x.startswith(without)] + list(extra)
    return end.join(out).encode("latin-1") + end.encode() * 2


def answers(name, raw, why=".", expect="refused odd_answer"):
    @case(name, "http", expect, why)
    def _(peer):
        try:
            peer.send_bytes(raw)
        except Closed:
            pass
        return until_gone(peer)


def refusal(status, body=b"", *extra, length=None):
    lines = ["Connection: close", "Content-Type: application/json",
             "Content-Length: %s" % (len(body) if length is None else length)]
    return head(*extra, first="HTTP/1.1 %s" % status, lines=lines) + body


@case("head-1gb", "http", "refused odd_answer", "over 16 KiB")
def _(peer):
    peer.send_bytes(b"HTTP/1.1 101 Switching Protocols\r\nX-Long: ")
    return flood(peer, b"a" * 65536)


@case("head-endless-lines", "http", "refused odd_answer", "over 16 KiB")
def _(peer):
    peer.send_bytes(b"HTTP/1.1 101 Switching Protocols\r\n")
    return flood(peer, b"X: y\r\n" * 10000)


@case("1xx-flood", "http", "refused odd_answer", "interim")
def _(peer):
    return flood(peer, b"HTTP/1.1 102 Processing\r\n\r\n" * 1000)


@case("bytes-before-101", "http", "refused odd_answer")
def _(peer):
    return flood(peer, bytes(65536))


answers("head-10k-headers", head(*["X-%d: y" % i for i in range(10000)]), "over 16 KiB")
answers("head-65-lines", head(*["X-%d: y" % i for i in range(60)]), "more than 64")
answers("head-no-crlf", b"HTTP/1.1 101 " + b"a" * 20000, "over 16 KiB")
answers("head-nul", head("X: a\0b"), "NUL")
answers("head-bare-lf", head(end="\n"), "bare LF")
answers("head-one-bare-lf", head("X: a\nY: b"), "bare LF")
answers("head-bare-cr", head("X: a\rY: b"), "bare CR")
answers("head-folded", head("X: a", " b"), "folded")
answers("head-tab-folded", head("X: a", "\tb"), "folded")
answers("head-no-colon", head("just words"), "malformed header")
answers("head-space-before-colon", head("X : y"), "malformed header")
answers("head-no-name", head(": y"), "malformed header")
answers("head-escape", head("X: \x1b[2J"), "0x20 to 0x7E")
answers("head-latin1", head("X: \xe9"), "0x20 to 0x7E")
answers("head-tab", head("X: a\tb"), "0x20 to 0x7E")
answers("head-empty-first", b"\r\n" + head(), "first line|malformed header")
answers("http-0.9", b"Hello from something else\r\n\r\n", "status line")
answers("http-1.0-101", head(first="HTTP/1.0 101 Switching Protocols"), "status line")
answers("http-2", head(first="HTTP/2.0 101 Switching Protocols"), "status line")
answers("http-status-letters", head(first="HTTP/1.1 1O1 Switching"), "status line")
answers("http-status-4-digits", head(first="HTTP/1.1 1010 Switching"), "status line")
answers("http-status-099", head(first="HTTP/1.1 099 Odd"), "status line")
answers("100-first", b"HTTP/1.1 100 Continue\r\n\r\n" + head(), "interim")
answers("102-first", b"HTTP/1.1 102 Processing\r\n\r\n" + head(), "interim")
answers("chunked-101", head("Transfer-Encoding: chunked"), "Transfer-Encoding")
answers("chunked-403", head("Transfer-Encoding: chunked", first="HTTP/1.1 403 No", lines=[]) +
        b"5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding")
answers("two-lengths", head("Content-Length: 2", "Content-Length: 20", first="HTTP/1.1 403 No",
                            lines=[]) + b"{}", "second Content-Length")
answers("length-negative", refusal("403 No", b"{}", length=-1), "malformed Content-Length")
answers("length-2^64", refusal("403 No", b"{}", length=1 << 64), "malformed Content-Length")
answers("length-hex", refusal("403 No", b"{}", length="0x10"), "malformed Content-Length")
answers("body-1gb", refusal("403 No", b"a" * 65536, length=1 << 30), "body is over 16 KiB")
answers("body-16k+1", refusal("403 No", b"a" * 16385), "body is over 16 KiB")
answers("101-no-connection", head(without="Connection"), "without Connection")
answers("101-no-upgrade", head(without="Upgrade"), "without Connection")
answers("101-websocket", head("Upgrade: websocket", without="Upgrade"), "without Connection")
answers("101-atp-2", head("Upgrade: atp/2", without="Upgrade"), "without Connection")
answers("session-missing", head(without="ATP-Session"), "exactly one")
answers("session-short", head("ATP-Session: AAAA", without="ATP-Session"), "ATP-Session")
answers("session-long", head("ATP-Session: " + "A" * 2000, without="ATP-Session"), "ATP-Session")
answers("session-alphabet", head("ATP-Session: " + "+" * 22, without="ATP-Session"), "ATP-Session")
answers("session-spare-bits", head("ATP-Session: " + "A" * 21 + "B", without="ATP-Session"),
        "ATP-Session")
answers("session-twice", head("ATP-Session: " + "B" * 22), "exactly one")
answers("resumed-2", head("ATP-Resumed: 2", without="ATP-Resumed"), "ATP-Resumed")
answers("resumed-unasked", head("ATP-Resumed: 1", without="ATP-Resumed"), "ATP-Resumed|resum")
answers("received-missing", head(without="ATP-Received"), "exactly one")
answers("received-words", head("ATP-Received: lots", without="ATP-Received"), "ATP-Received")
answers("received-2^70", head("ATP-Received: %d" % (1 << 70), without="ATP-Received"),
        "ATP-Received")
answers("received-5-of-new", head("ATP-Received: 5", without="ATP-Received"), "ATP-Received")
answers("status-200", refusal("200 OK", b"{}"), "status 200")
answers("status-302", head("Location: http://portal.example/", first="HTTP/1.1 302 Found",
                           lines=["Content-Length: 0"]), "status 302")
answers("status-999", refusal("999 What", b""), "status 999")
answers("403-unknown-code", refusal("403 No", b'{"error": "because", "message": "no"}'),
        "because: no")
answers("403-html", refusal("403 No", b"<html>\x1b[31mPortal</html>"), "status 403")
answers("403-deep-json", refusal("403 No", b"[" * 16000), "status 403")
answers("403-control-characters",
        refusal("403 No", json.dumps({"error": "device\x1b[2J", "message": "a\r\nb\x1b[31m" + "é" * 9})
                .encode()), r"device\?\[2J: a\?\?b\?\[31m")
answers("403-long-message", refusal("403 No", json.dumps({"error": "x" * 5000, "message": "y" * 9000})
                                    .encode()), "y{100}")
answers("426-upgrade", refusal("426 Upgrade Required", b'{"error": "upgrade_required"}'),
        "status 426", "revoked upgrade_required")

# ---- cut short ---------------------------------------------------------------------


@case("close-after-tls", "http", "redials cut")
def _(peer):
    peer.close()


@case("reset-after-tls", "http", "redials tls_io|cut")
def _(peer):
    peer.raw_reset()


@case("close-in-head", "http", "redials cut")
def _(peer):
    peer.send_bytes(head()[:40])
    peer.close()


@case("close-in-body", "http", "redials cut")
def _(peer):
    peer.send_bytes(refusal("403 No", b'{"error"', length=50))
    peer.close()


@case("close-before-config", "config", "redials cut")
def _(c):
    c.peer.close()


@case("close-in-config", "config", "redials cut")
def _(c):
    c.peer.send_bytes(config({"interface4": "172.28.13.1"})[:20])
    c.peer.close()


@case("close-before-probe-reply", "config", "redials cut")
def _(c):
    c.peer.send(config({"interface4": "172.28.13.1"}))
    c.peer.want(PROBE, timeout=5)
    c.peer.close()


# these take the full time that the client gives a Sentry: run beside the others


@case("slow-no-tls", "tcp", "redials timeout")
def _(sock):
    time.sleep(14)


@case("slow-no-answer", "http", "redials timeout")
def _(peer):
    time.sleep(14)


@case("slow-1-byte-a-second", "http", "redials timeout")
def _(peer):
    try:
        for b in head():
            peer.send_bytes(bytes([b]))
            time.sleep(1)
    except Closed:
        pass


@case("slow-no-config", "config", "redials timeout")
def _(c):
    time.sleep(14)


@case("slow-no-probe-reply", "config", "redials timeout")
def _(c):
    # "up" takes the answer to the question that was asked, not any
    c.peer.send(config({"interface4": "172.28.13.77", "dns": []}))
    end = time.monotonic() + 14
    try:
        while time.monotonic() < end:
            c.peer.send(*[probe_reply(n) for n in (0, 1, 1 << 63, 0xFFFFFFFFFFFFFFFF)])
            time.sleep(0.5)
    except Closed:
        pass


# ---- CONFIG ------------------------------------------------------------------------

OFFER = {"interface4": "172.28.13.1", "interface6": "fd00:28:13::1", "dns": ["10.1.0.53"],
         "search": ["corp.internal"]}


def offers(name, body, why, expect="refused protocol_error", fresh=False):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    @case("config-" + name, "config", expect, why, fresh)
    def _(c):
        try:
            c.peer.send(config(raw))
        except Closed:
            pass
        return c.come_up() if expect == "up" else c.refused()


def bad_offer(name, why, **members):
    offers(name, {**OFFER, **members}, why)


offers("not-json", b"interface4=172.28.13.1", "not JSON")
offers("empty", b"", "not JSON")
offers("a-list", b'["172.28.13.1"]', "not a JSON object")
offers("cut", b'{"interface4": "172.28.13.1"', "not JSON")
offers("trailing", b'{"interface4": "172.28.13.1"} {}', "not JSON")
offers("duplicate", b'{"interface4": "172.28.13.1", "interface4": "172.28.13.1"}', "duplicate")
offers("duplicate-inside", b'{"interface4": "172.28.13.1", "x": {"a": 1, "a": 2}}', "duplicate")
offers("deep", b'{"x":' + b"[" * 8000 + b"]" * 8000 + b"}", "deep")
offers("bad-utf8", b'{"interface4": "172.28.13.1", "x": "\xff\xfe"}', "not JSON")
offers("nul-in-string", b'{"interface4": "172.28.13.1\\u0000x"}', "not JSON")
offers("huge-number", b'{"interface4": "172.28.13.1", "mtu": 1e999}', "not JSON|mtu")
offers("integer-2^70", b'{"interface4": "172.28.13.1", "mtu": %d}' % (1 << 70), "not JSON|mtu")
offers("no-address", {}, "no interface address", fresh=True)
offers("16k+1", b'{"interface4": "172.28.13.1", "x": "' + b"a" * 16400 + b'"}', "over 16 KiB")
for n, bad in enumerate((5, None, ["172.28.13.1"], "", "172.28.13.1/33", "172.28.13.1 ", "0x7f.1",
                         "fd00::1", "$(id)")):
    bad_offer("interface4-type-%d" % n, "interface4", interface4=bad)
for bad in ("0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"):
    bad_offer("interface4-%s" % bad, "interface4", interface4=bad)
for n, bad in enumerate(("::", "::1", "ff02::1", "172.28.13.1", "fd00::1%lo", "::ffff:127.0.0.1")):
    bad_offer("interface6-%d" % n, "interface6", interface6=bad)
for n, bad in enumerate(("10.1.0.53", 5, ["10.1.0.53"] * 9, {})):
    bad_offer("dns-type-%d" % n, "dns", dns=bad)
for n, bad in enumerate(("corp.internal", 5, ["a"] * 33, {})):
    bad_offer("search-type-%d" % n, "search", search=bad)
for n, bad in enumerate(("x", "1400", -1, 65536, 1.5, True, None, [])):
    bad_offer("mtu-type-%d" % n, "mtu", mtu=bad)
for n, bad in enumerate((0, -1, (1 << 20) + 1, "x", 1.5)):
    bad_offer("max_streams-%d" % n, "max_streams", max_streams=bad)
for n, bad in enumerate((-1, 3601, "x", 1e9)):
    bad_offer("resume_window-%d" % n, "resume_window", resume_window_s=bad)
bad_offer("resume_host-type", "resume_host", resume_host=443)

# an address that the machine has, or that is ours already: only the daemon knows
offers("own-address-4", {**OFFER, "interface4": "192.0.2.2"}, "already has", fresh=True)
offers("own-address-6", {**OFFER, "interface6": "2001:db8:1::2"}, "already has", fresh=True)
offers("service-address", {**OFFER, "interface4": "198.18.53.53"}, ".", fresh=True)
offers("mtu-0", {**OFFER, "mtu": 0}, "mtu 1280", "up", True)
offers("mtu-1279", {**OFFER, "mtu": 1279}, "mtu 1280", "up", True)
offers("mtu-65535", {**OFFER, "mtu": 65535}, "mtu 1400", "up", True)

# entries that are left out with a warning; the session comes up
offers("dns-shell", {**OFFER, "dns": ["$(touch /tmp/x)", "10.1.0.53; reboot", "`id`", "10.1.0.53\n"
                                      "nameserver 6.6.6.6", 7, None]}, ".", "up")
offers("dns-nobody", {**OFFER, "dns": ["127.0.0.1", "0.0.0.0", "224.0.0.251", "::1", "ff02::fb",
                                       "999.1.1.1", ""]}, ".", "up")
offers("search-shell", {**OFFER, "search": ["$(touch /tmp/x)", "a;b", "`id`", "a b", "-rf /*", "x'y",
                                            'x"y', "a\\b", "a|b", "a&b"]}, ".", "up")
offers("search-control", {**OFFER, "search": ["x\nnameserver 6.6.6.6", "x\ry", "x\ty", "\x1b[2J",
                                              "\x7f", "x\u2028y", "é.internal"]}, ".", "up")
offers("search-long", {**OFFER, "search": ["a" * 64, ".".join(["abcdefgh"] * 29), "a..b", ".", "",
                                           5, None, {}]}, ".", "up")
offers("resume_host-odd", {**OFFER, "resume_host": "$(id):443"}, ".", "up")
offers("resume_host-loopback", {**OFFER, "resume_host": "127.0.0.1:22"}, ".", "up")
offers("resume_host-long", {**OFFER, "resume_host": "a" * 4000}, ".", "up")
offers("unknown-members", {**OFFER, "routes": ["0.0.0.0/0"], "pins": ["sha256:00"], "exec": "/bin/sh",
                           "AtpProbeIdleSec": 1, "script": "$(id)"}, ".", "up")
offers("other-address", {**OFFER, "interface4": "172.28.13.5", "mtu": 1300}, ".", "up")

for kind, raw in (("PROBE", probe(1)), ("PROBE_REPLY", probe_reply(1)), ("ACK", ack(0)),
                  ("OPENED", opened(1)), ("DATA", data(1, b"x")), ("DGRAM", dgram(1, "10.1.0.53", 53, b"x")),
                  ("0x80", frame(0x80, 0, b"x"))):
    def _first(c, raw=raw):
        c.peer.send_bytes(raw)
        return c.refused()
    case("first-" + kind, "config", "refused protocol_error", "CONFIG|never opened")(_first)


@case("first-goaway", "config", "redials goaway_internal")
def _(c):
    c.peer.send(goaway(INTERNAL))
    until_gone(c.peer)
