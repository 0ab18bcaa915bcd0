# SPDX-License-Identifier: MIT
"""ATP/1 in Python, written from docs/protocol.md alone.

Standard library only.  Frames (encode, decode strictly), the handshake of both
sides, and a blocking session with the counting of section 5.  It is meant for
tests: everything can also be said wrongly, by sending raw bytes.

    c = Client.dial("127.0.0.1", 8443, cert, key)
    answer = c.post(device_id="d", user_id="u")      # Answer; .status 101 or a refusal
    c.want(CONFIG)
    sid = c.open(TCP, "127.0.0.1", 7)
    c.want(OPENED, sid); c.send(data(sid, b"hello"))

    s = Server(cert, key, ca)                        # hostile Sentries
    peer = s.accept(); request = peer.read_request()
    peer.accept_session(); peer.send(config({"interface4": "172.28.13.1"}))
"""

import base64
import ipaddress
import json
import os
import select
import socket
import ssl
import struct
import time

CONFIG, OPEN, OPENED, REFUSED, DATA, WINDOW, FIN, RESET = range(0x01, 0x09)
DGRAM, DGRAM_ERROR, RETURN = 0x09, 0x0A, 0x0B
ACK, PROBE, PROBE_REPLY, GOAWAY = 0x10, 0x11, 0x12, 0x13

NAMES = {CONFIG: "CONFIG", OPEN: "OPEN", OPENED: "OPENED", REFUSED: "REFUSED", DATA: "DATA",
         WINDOW: "WINDOW", FIN: "FIN", RESET: "RESET", DGRAM: "DGRAM",
         DGRAM_ERROR: "DGRAM_ERROR", RETURN: "RETURN", ACK: "ACK", PROBE: "PROBE",
         PROBE_REPLY: "PROBE_REPLY", GOAWAY: "GOAWAY"}
COUNTED = {CONFIG, OPEN, OPENED, REFUSED, DATA, WINDOW, FIN, RESET, RETURN}
SESSION_ONLY = {CONFIG, ACK, PROBE, PROBE_REPLY, GOAWAY}
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
BYE, DRAINING, REVOKED, PROTOCOL_ERROR, REPLACED, INTERNAL = range(6)

HEADER = 8
PAYLOAD_MAX = 65536
DATA_BEST = 16376
WINDOW_SUM = 1 << 31


def is_counted(kind):
    """Section 5; types to come are skipped, and counted."""
    return kind in COUNTED or kind >= 0x80


class ProtocolError(Exception):
    """The peer said something that the specification does not allow."""


class Closed(Exception):
    """The connection ended; `reason` is "eof", "cut" (a server sees it: no close_notify),
    "reset", or an alert's text."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


# ---- encoding ----------------------------------------------------------------------


def frame(kind, sid, payload=b"", length=None):
    """A frame; `length` lies about the payload's size."""
    n = len(payload) if length is None else length
    return struct.pack(">B3sI", kind, n.to_bytes(3, "big"), sid) + payload


def _addr(address):
    """(family, packed) of text; (0, b"") for None."""
    if address is None:
        return 0, b""
    a = ipaddress.ip_address(address)
    return a.version, a.packed


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def open_frame(sid, proto, address=None, port=0, window=65536, name=None, app=None,
               source_port=None, family=None, extra=b""):
    fam, packed = _addr(address)
    if proto != TCP and address is None:
        fam = family or 4
        packed = bytes(4 if fam == 4 else 16)
        port = window = 0
    body = struct.pack(">BBH", proto, fam, port) + packed + struct.pack(">I", window)
    if name is not None:
        body += tlv(1, name.encode() if isinstance(name, str) else name)
    if app is not None:
        body += tlv(2, app.encode())
    if source_port is not None:
        body += tlv(3, struct.pack(">H", source_port))
    return frame(OPEN, sid, body + extra)


def opened(sid, window=65536, address=None, port=0):
    fam, packed = _addr(address)
    return frame(OPENED, sid, struct.pack(">IBH", window, fam, port) + packed)


def refused(sid, reason):
    return frame(REFUSED, sid, bytes([reason]))


def data(sid, payload):
    return frame(DATA, sid, payload)


def window(sid, credit):
    return frame(WINDOW, sid, struct.pack(">I", credit))


def give_back(sid, credit):
    return frame(RETURN, sid, struct.pack(">I", credit))


def fin(sid):
    return frame(FIN, sid)


def reset(sid, reason=1):
    return frame(RESET, sid, bytes([reason]))


def dgram(sid, address, port, payload, segment=0):
    fam, packed = _addr(address)
    return frame(DGRAM, sid, struct.pack(">BBHHH", fam, 0, port, segment, 0) + packed + payload)


def dgram_error(sid, address, port, kind, code, mtu=0):
    fam, packed = _addr(address)
    return frame(DGRAM_ERROR, sid, struct.pack(">BBHHH", fam, 0, port, 0, 0) + packed +
                 struct.pack(">BBHI", kind, code, 0, mtu))


def ack(count):
    return frame(ACK, 0, struct.pack(">Q", count))


def probe(opaque=0):
    return frame(PROBE, 0, struct.pack(">Q", opaque))


def probe_reply(opaque=0):
    return frame(PROBE_REPLY, 0, struct.pack(">Q", opaque))


def goaway(reason, last=0, text=b""):
    return frame(GOAWAY, 0, struct.pack(">HI", reason, last) + text)


def config(members):
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    return frame(CONFIG, 0, body)


# ---- decoding ----------------------------------------------------------------------


class Frame:
    """A decoded frame: type, sid, payload, and its fields as attributes."""

    def __init__(self, kind, sid, payload):
        self.type, self.sid, self.payload = kind, sid, payload
        self.size = HEADER + len(payload)
        self.fields = {}

    @property
    def name(self):
        return NAMES.get(self.type, "0x%02x" % self.type)

    @property
    def counted(self):
        return is_counted(self.type)

    def __getattr__(self, key):
        try:
            return self.__dict__["fields"][key]
        except KeyError:
            raise AttributeError(key) from None

    def __repr__(self):
        return "<%s %d %s>" % (self.name, self.sid, self.fields or len(self.payload))


def _need(ok, what):
    if not ok:
        raise ProtocolError(what)


def _number(p, at, n):
    _need(len(p) >= at + n, "payload is cut")
    return int.from_bytes(p[at:at + n], "big")


def _address(p, at, family):
    n = {0: 0, 4: 4, 6: 16}.get(family)
    _need(n is not None, "family %r" % family)
    _need(len(p) >= at + n, "address is cut")
    return (str(ipaddress.ip_address(p[at:at + n])) if n else None), at + n


def _tlvs(p):
    _need(len(p) <= 1024, "TLVs over 1 KiB")
    at, seen = 0, {}
    while at < len(p):
        _need(len(p) >= at + 3, "TLV is cut")
        kind, n = p[at], int.from_bytes(p[at + 1:at + 3], "big")
        _need(len(p) >= at + 3 + n, "TLV is cut")
        _need(kind not in seen, "TLV %d is repeated" % kind)
        seen[kind] = p[at + 3:at + 3 + n]
        at += 3 + n
    _need(len(seen.get(2, b"")) <= 255, "app identifier over 255")
    _need(3 not in seen or len(seen[3]) == 2, "source port of a wrong length")
    return seen


def _decode_open(p):
    f = {"proto": _number(p, 0, 1), "family": _number(p, 1, 1), "port": _number(p, 2, 2)}
    f["address"], at = _address(p, 4, f["family"])
    f["window"] = _number(p, at, 4)
    _need(f["window"] < WINDOW_SUM, "initial window")
    t = _tlvs(p[at + 4:])
    f["host"], f["app"] = t.get(1), t.get(2)
    f["source_port"] = int.from_bytes(t[3], "big") if 3 in t else None
    if f["proto"] in (UDP, ICMP, ICMP6):
        _need(f["family"] in (4, 6), "association without family")
        _need(f["proto"] != ICMP or f["family"] == 4, "ICMP with family 6")
        _need(f["proto"] != ICMP6 or f["family"] == 6, "ICMPv6 with family 4")
        _need(not f["port"] and not f["window"] and not any(ipaddress.ip_address(
            f["address"]).packed), "association with address, port or window")
    return f


def _decode_dgram(p, error):
    _need(_number(p, 0, 1) in (4, 6), "family of a datagram")
    f = {"family": p[0], "port": _number(p, 2, 2), "segment": _number(p, 4, 2)}
    _need(p[1] == 0 and _number(p, 6, 2) == 0, "reserved bytes")
    f["address"], at = _address(p, 8, f["family"])
    rest = p[at:]
    if error:
        _need(len(rest) == 8 and not f["segment"], "DGRAM_ERROR")
        _need(rest[2:4] == b"\0\0", "reserved bytes")
        f["icmp"] = (rest[0], rest[1])
        f["mtu"] = int.from_bytes(rest[4:8], "big")
        return f
    f["data"] = rest
    if f["segment"]:
        _need(rest, "segment size without data")
        _need(len(rest) <= 64 * f["segment"], "over 64 segments")
    return f


def _exact(p, n):
    _need(len(p) == n, "payload of %d bytes, not %d" % (len(p), n))


def parse(f):
    """Fill f.fields; raise ProtocolError for what the specification forbids."""
    p, k = f.payload, f.type
    if k >= 0x80:
        return f
    _need(k in NAMES, "unknown type 0x%02x" % k)
    _need((f.sid == 0) == (k in SESSION_ONLY), "%s on stream %d" % (f.name, f.sid))
    _need(f.sid < 1 << 31, "stream ID")
    if k == CONFIG:
        _need(len(p) <= 16384, "CONFIG over 16 KiB")
        f.fields = {"config": json.loads(p, object_pairs_hook=_no_duplicates)}
        _need(isinstance(f.fields["config"], dict), "CONFIG is not an object")
    elif k == OPEN:
        f.fields = _decode_open(p)
    elif k == OPENED:
        f.fields = {"window": _number(p, 0, 4), "family": _number(p, 4, 1),
                    "port": _number(p, 5, 2)}
        f.fields["address"], at = _address(p, 7, p[4])
        _exact(p, at)
        _need(f.fields["window"] < WINDOW_SUM, "initial window")
    elif k in (REFUSED, RESET):
        _exact(p, 1)
        f.fields = {"reason": p[0]}
    elif k == DATA:
        _need(p, "empty DATA")
        f.fields = {"data": p}
    elif k in (WINDOW, RETURN):
        _exact(p, 4)
        f.fields = {"credit": _number(p, 0, 4)}
        _need(0 < f.fields["credit"] < WINDOW_SUM, "credit")
    elif k == FIN:
        _exact(p, 0)
    elif k in (DGRAM, DGRAM_ERROR):
        f.fields = _decode_dgram(p, k == DGRAM_ERROR)
    elif k == ACK:
        _exact(p, 8)
        f.fields = {"count": _number(p, 0, 8)}
    elif k in (PROBE, PROBE_REPLY):
        _exact(p, 8)
        f.fields = {"opaque": _number(p, 0, 8)}
    elif k == GOAWAY:
        _need(6 <= len(p) <= 262, "GOAWAY of %d bytes" % len(p))
        f.fields = {"reason": _number(p, 0, 2), "last": _number(p, 2, 4),
                    "text": p[6:].decode("utf-8", "replace")}
    return f


class Decoder:
    """Bytes in, frames out."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, chunk):
        self.buffer += chunk

    def next(self):
        """The next whole frame, parsed; None: more bytes are needed."""
        b = self.buffer
        if len(b) < HEADER:
            return None
        n = int.from_bytes(b[1:4], "big")
        _need(n <= PAYLOAD_MAX, "payload of %d bytes" % n)
        if len(b) < HEADER + n:
            return None
        f = Frame(b[0], int.from_bytes(b[4:8], "big"), bytes(b[HEADER:HEADER + n]))
        del b[:HEADER + n]
        return parse(f)


def _no_duplicates(pairs):
    d = dict(pairs)
    _need(len(d) == len(pairs), "duplicate members")
    return d


# ---- a connection ------------------------------------------------------------------


class Peer:
    """One TLS connection, either side.  Reads block up to `timeout` seconds."""

    def __init__(self, sock, timeout=10):
        self.sock, self.timeout = sock, timeout
        self.raw = socket.socket(fileno=os.dup(sock.fileno()))
        self.rest = b""                 # bytes behind the head
        self.decoder = Decoder()
        self.received = self.sent = 0   # counted bytes (section 5)
        self.acked = 0                  # what the peer acknowledged
        self.auto_ack = True
        self.seen = []                  # every frame
        self.queue = []                 # frames read, not wanted yet
        self.next_id = 1

    # bytes

    def read_some(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("nothing came in time")
        self.sock.settimeout(left)
        try:
            # ssl makes a plain end of file of a RST: look underneath first
            if not self.sock.pending() and select.select([self.raw], [], [], left)[0]:
                self.raw.recv(1, socket.MSG_PEEK)
            chunk = self.sock.recv(65536)
        except (socket.timeout, ssl.SSLWantReadError):
            raise TimeoutError("nothing came in time") from None
        except ConnectionResetError:
            raise Closed("reset") from None
        except ssl.SSLEOFError:
            raise Closed("cut") from None
        except ssl.SSLError as e:
            raise Closed(e.reason or str(e)) from None
        except OSError as e:
            raise Closed(str(e)) from None
        if not chunk:
            raise Closed("eof")
        return chunk

    def send_bytes(self, raw):
        self.sock.settimeout(self.timeout)
        try:
            self.sock.sendall(raw)
        except (ConnectionResetError, BrokenPipeError):
            raise Closed("reset") from None
        except ssl.SSLError as e:
            raise Closed(e.reason or str(e)) from None

    def read_head(self, timeout=None):
        """Bytes up to and with the blank line."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.read_some(deadline)
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        return head + b"\r\n\r\n"

    def read_exactly(self, n, timeout=None):
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while len(self.rest) < n:
            self.rest += self.read_some(deadline)
        out, self.rest = self.rest[:n], self.rest[n:]
        return out

    # frames

    def send(self, *frames):
        """Send frames as one write, and count them."""
        for f in frames:
            if is_counted(f[0]):
                self.sent += len(f)
        self.send_bytes(b"".join(frames))

    def read_frame(self, timeout=None):
        """The next frame.  Raises Closed, TimeoutError, ProtocolError."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        if self.rest:
            self.decoder.feed(self.rest)
            self.rest = b""
        while True:
            f = self.decoder.next()
            if f:
                break
            self.decoder.feed(self.read_some(deadline))
        self.seen.append(f)
        if f.counted:
            self.received += f.size
            if self.auto_ack and f.type in (CONFIG, DATA):
                self.send(ack(self.received))
        if f.type == ACK:
            _need(self.acked <= f.count <= self.sent, "ACK %d of %d" % (f.count, self.sent))
            self.acked = f.count
        return f

    def want(self, kind, sid=None, timeout=None):
        """The next frame of a kind (and stream); others wait their turn."""
        for i, f in enumerate(self.queue):
            if f.type == kind and sid in (None, f.sid):
                return self.queue.pop(i)
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            f = self.read_frame(deadline - time.monotonic())
            if f.type == kind and sid in (None, f.sid):
                return f
            self.queue.append(f)

    def read_data(self, sid, n, credit=True, timeout=None):
        """n bytes of a stream's DATA; gives the credit back."""
        out = bytearray()
        while len(out) < n:
            f = self.want(DATA, sid, timeout)
            out += f.data
            if credit:
                self.send(window(sid, len(f.data)))
        return bytes(out)

    def drain(self, seconds):
        """All frames that come within so many seconds, or until the end."""
        out, end = self.queue, time.monotonic() + seconds
        self.queue = []
        try:
            while True:
                out.append(self.read_frame(end - time.monotonic()))
        except (TimeoutError, Closed):
            return out

    def wait_end(self, timeout=None):
        """Read on until the connection ends.  Return: how."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            while True:
                self.queue.append(self.read_frame(deadline - time.monotonic()))
        except Closed as e:
            return e.reason

    def close(self):
        for s in (self.sock, self.raw):
            try:
                s.close()
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def raw_reset(self):
        """End by RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw.close()
        os.close(self.sock.detach())


def _headers(lines):
    out = {}
    for line in lines:
        key, sep, value = line.partition(b":")
        _need(sep and key and key.strip() == key, "header line %r" % line)
        key = key.decode("latin-1").lower()
        _need(key not in out or not key.startswith("atp-"), "repeated %s" % key)
        out[key] = value.strip().decode("latin-1")
    return out


class Answer:
    """Of a POST: status, headers; of a refusal: error, message; of 101: session."""

    def __init__(self, head):
        lines = head[:-4].split(b"\r\n")
        parts = lines[0].split(b" ", 2)
        _need(len(parts) >= 2 and parts[0] == b"HTTP/1.1", "status line %r" % lines[0])
        self.status = int(parts[1])
        self.headers = _headers(lines[1:])
        self.error = self.message = None
        self.session = self.headers.get("atp-session")

    def body(self, raw):
        j = json.loads(raw, object_pairs_hook=_no_duplicates)
        self.error, self.message = j["error"], j["message"]

    @property
    def retry_after(self):
        return int(self.headers["retry-after"]) if "retry-after" in self.headers else None


class Client(Peer):
    """The device's side."""

    @classmethod
    def dial(cls, host, port, cert=None, key=None, tls=None, alpn=("http/1.1",),
             session=None, name=None, timeout=10, maximum=None, source=None):
        ctx = tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname = False
        ctx.verify_mode = ssl.CERT_NONE
        if maximum:
            ctx.maximum_version = maximum
        if cert:
            ctx.load_cert_chain(cert, key)
        if alpn:
            ctx.set_alpn_protocols(list(alpn))
        raw = socket.create_connection((host, port), timeout, source)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return cls(ctx.wrap_socket(raw, server_hostname=name, session=session), timeout)
        except ssl.SSLError as e:
            raw.close()
            raise Closed(e.reason or str(e)) from None
        except ConnectionResetError:
            raw.close()
            raise Closed("reset") from None

    @staticmethod
    def request(device_id="device", user_id="user", service="<IP_ANY>", host="sentry",
                platform="linux", client="test/1", idle_ms=60000, extra=None, body=None,
                head=None, method="POST", path="/atp/1/session", version="HTTP/1.1",
                omit=(), headers=()):
        """The bytes of a POST; every part of it can be made wrong."""
        members = {"device_id": device_id, "user_id": user_id, "service_id": service,
                   "platform": platform, "client": client}
        members.update(extra or {})
        for key in omit:
            members.pop(key, None)
        if body is None:
            body = json.dumps(members).encode()
        if head is not None:
            return head + body
        h = [("Host", host), ("User-Agent", client), ("Connection", "Upgrade"),
             ("Upgrade", "atp/1"), ("Content-Type", "application/json"),
             ("Content-Length", str(len(body))), ("X-App-TcpIdleTimeoutMs", str(idle_ms))]
        h = [(k, v) for k, v in h if k not in omit] + list(headers)
        lines = ["%s %s %s" % (method, path, version)] + ["%s: %s" % kv for kv in h]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def answer(self, timeout=None):
        a = Answer(self.read_head(timeout))
        if a.status != 101:
            n = int(a.headers.get("content-length", 0))
            raw = self.read_exactly(n, timeout)
            if n:
                a.body(raw)
        return a

    def post(self, timeout=None, **kw):
        self.send_bytes(self.request(**kw))
        return self.answer(timeout)

    def open(self, proto, address=None, port=0, **kw):
        """Send OPEN with the next ID.  Return: the ID."""
        sid = self.next_id
        self.next_id += 1
        self.send(open_frame(sid, proto, address, port, **kw))
        return sid


class ServerPeer(Peer):
    """Sentry's side of one connection."""

    def read_request(self, timeout=None):
        """Return: (request line, headers, JSON body)."""
        head = self.read_head(timeout)
        lines = head[:-4].split(b"\r\n")
        headers = _headers(lines[1:])
        body = self.read_exactly(int(headers["content-length"]), timeout)
        return (lines[0].decode("latin-1"), headers,
                json.loads(body, object_pairs_hook=_no_duplicates))

    @staticmethod
    def accepted(session=None, resumed=0, received=0, extra=()):
        """The bytes of a 101."""
        sid = session or base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: atp/1",
                 "ATP-Session: " + sid, "ATP-Resumed: %d" % resumed,
                 "ATP-Received: %d" % received] + list(extra)
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"

    def accept_session(self, **kw):
        self.send_bytes(self.accepted(**kw))

    def refuse(self, status, error, message="", retry_after=None, reason="Refused"):
        body = json.dumps({"error": error, "message": message}).encode()
        lines = ["HTTP/1.1 %d %s" % (status, reason), "Connection: close",
                 "Content-Type: application/json", "Content-Length: %d" % len(body)]
        if retry_after is not None:
            lines.append("Retry-After: %s" % retry_after)
        self.send_bytes("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)


class Server:
    """A listener that asks for a client certificate of `ca`."""

    def __init__(self, cert, key, ca, host="127.0.0.1", port=0, alpn=("http/1.1",), timeout=10,
                 maximum=None):
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # a connection that ends without close_notify shall be seen as cut
        self.ctx.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        self.ctx.load_cert_chain(cert, key)
        self.ctx.load_verify_locations(ca)
        self.ctx.verify_mode = ssl.CERT_REQUIRED
        if maximum:
            self.ctx.maximum_version = maximum
        if alpn:
            self.ctx.set_alpn_protocols(list(alpn))
        self.timeout = timeout
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.create_server((host, port), family=family, backlog=64)
        self.port = self.sock.getsockname()[1]

    def accept_raw(self):
        self.sock.settimeout(self.timeout)
        return self.sock.accept()[0]

    def accept(self):
        """Return: ServerPeer after the TLS handshake; Closed when that failed."""
        raw = self.accept_raw()
        raw.settimeout(self.timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return ServerPeer(self.ctx.wrap_socket(raw, server_side=True,
                                                   suppress_ragged_eofs=False), self.timeout)
        except ssl.SSLError as e:
            raw.close()
            raise Closed(e.reason or str(e)) from None
        except OSError as e:
            raw.close()
            raise Closed(str(e)) from None

    def accept_device(self, offer=None):
        """Through POST, 101 and CONFIG.  Return: (peer, request body)."""
        peer = self.accept()
        _, _, body = peer.read_request()
        peer.accept_session()
        peer.send(config({"interface4": "172.28.13.1"} if offer is None else offer))
        return peer, body

    def close(self):
        self.sock.close()
