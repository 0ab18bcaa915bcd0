#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""generate.py - writes the vector files of this folder.

Frames are packed here by hand, field by field, as docs/protocol.md lays them
out; decode.py and tests/unit/atp/test_vectors.c read them back.  The files are
checked in: run this only to add vectors, and look at the difference.
"""
import hashlib
import hmac
import base64
import ipaddress
import json
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
CODE = {"CONFIG": 1, "OPEN": 2, "OPENED": 3, "REFUSED": 4, "DATA": 5, "WINDOW": 6, "FIN": 7,
        "RESET": 8, "DGRAM": 9, "DGRAM_ERROR": 10, "RETURN": 11, "ACK": 16, "PROBE": 17,
        "PROBE_REPLY": 18, "GOAWAY": 19}
COUNTED = {"CONFIG", "OPEN", "OPENED", "REFUSED", "DATA", "WINDOW", "FIN", "RESET", "RETURN"}
V4, V6 = "192.0.2.1", "2001:db8::1"


def raw(kind, stream, payload):
    code = CODE.get(kind, kind)
    return struct.pack(">II", code << 24 | len(payload), stream) + payload


def packed(address):
    return ipaddress.ip_address(address).packed if address else b""


def family(address):
    return ipaddress.ip_address(address).version if address else 0


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


valid, invalid = [], []


def good(label, to, kind, stream, payload, **fields):
    frame = raw(kind, stream, payload)
    decoded = {"type": kind if isinstance(kind, str) else "SKIPPED", "stream": stream,
               "length": len(payload), "counted": kind in COUNTED or not isinstance(kind, str)}
    decoded.update(fields)
    valid.append({"name": label, "to": to, "hex": frame.hex(), "decoded": decoded})
    return frame


def bad(label, to, kind, stream, payload, why):
    invalid.append({"name": label, "to": to, "hex": raw(kind, stream, payload).hex(), "why": why})


def open_frame(label, proto, address, port, window, tlvs=b"", stream=1, fam=None, **fields):
    fam = family(address) if fam is None else fam
    payload = struct.pack(">BBH", proto, fam, port) + packed(address)
    payload += struct.pack(">I", window) + tlvs
    out = {"protocol": proto, "family": fam, "port": port, "address": address, "window": window,
           "name": "", "name_usable": True, "app": "", "source_port": 0}
    out.update(fields)
    return good(label, "server", "OPEN", stream, payload, **out)


def dgram_head(address, port, segment):
    return struct.pack(">BBHHH", family(address), 0, port, segment, 0) + packed(address)


def frames():
    good("config", "client", "CONFIG", 0, b'{"mtu":1400}', json='{"mtu":1400}')
    open_frame("open, IPv4", 6, V4, 443, 16384)
    open_frame("open, IPv6 with name, app and source port", 6, V6, 443, 16384,
               tlv(1, b"www.example") + tlv(2, b"/usr/bin/curl") + tlv(3, b"\x9c\x40"), stream=7,
               name="www.example", app="/usr/bin/curl", source_port=40000)
    open_frame("open by name only", 6, "", 80, 1024, tlv(1, b"intranet"), name="intranet")
    open_frame("open, longest name and app", 6, "", 80, 0, tlv(1, b"a" * 253) + tlv(2, b"b" * 255),
               name="a" * 253, app="b" * 255)
    open_frame("open, a name that is to be refused", 6, "", 80, 0, tlv(1, b"a b"),
               name_usable=False)
    open_frame("open, an empty name", 6, V4, 80, 0, tlv(1, b""), name_usable=False)
    open_frame("open, neither name nor address: refused", 6, "", 80, 0, name_usable=False)
    open_frame("open, unknown TLV is skipped", 6, V4, 80, 5, tlv(200, b"xyz"))
    open_frame("open, unknown protocol", 132, V4, 80, 0)
    open_frame("open, UDP over IPv4", 17, "0.0.0.0", 0, 0)
    open_frame("open, UDP over IPv6", 17, "::", 0, 0)
    open_frame("open, echo", 1, "0.0.0.0", 0, 0)
    open_frame("open, echo over IPv6", 58, "::", 0, 0, stream=2**31 - 1)
    good("opened, IPv4", "client", "OPENED", 1,
         struct.pack(">IBH", 16384, 4, 50000) + packed(V4), window=16384, family=4, port=50000,
         address=V4)
    good("opened, IPv6", "client", "OPENED", 1,
         struct.pack(">IBH", 0, 6, 1) + packed(V6), window=0, family=6, port=1, address=V6)
    good("opened, through a proxy", "client", "OPENED", 1, struct.pack(">IBH", 2**31 - 1, 0, 0),
         window=2**31 - 1, family=0, port=0, address="")
    for r in range(1, 9):
        good(f"refused {r}", "client", "REFUSED", 1, bytes([r]), reason=r)
    good("refused, unknown reason is taken as 2", "client", "REFUSED", 1, b"\x09", reason=2)
    good("data", "server", "DATA", 3, b"hello", data=b"hello".hex())
    good("data to the client", "client", "DATA", 3, b"\x00", data="00")
    good("data, 1,000 bytes", "client", "DATA", 3, bytes(1000), data="00" * 1000)
    good("window", "client", "WINDOW", 1, struct.pack(">I", 8192), credit=8192)
    good("window, largest", "server", "WINDOW", 1, struct.pack(">I", 2**31 - 1), credit=2**31 - 1)
    good("fin", "server", "FIN", 1, b"")
    for r in range(1, 8):
        good(f"reset {r}", "server", "RESET", 1, bytes([r]), reason=r)
    good("reset, unknown reason is taken as 1", "client", "RESET", 1, b"\xff", reason=1)
    good("return", "server", "RETURN", 1, struct.pack(">I", 15360), credit=15360)
    good("dgram, IPv4", "server", "DGRAM", 2, dgram_head(V4, 53, 0) + b"query", family=4, port=53,
         segment=0, address=V4, data=b"query".hex())
    good("dgram, IPv6, empty", "client", "DGRAM", 2, dgram_head(V6, 443, 0), family=6, port=443,
         segment=0, address=V6, data="")
    good("dgram, a batch of 3", "client", "DGRAM", 2, dgram_head(V4, 443, 2) + b"aabbc", family=4,
         port=443, segment=2, address=V4, data=b"aabbc".hex())
    good("dgram, a batch of 64", "client", "DGRAM", 2, dgram_head(V4, 443, 1) + b"x" * 64,
         family=4, port=443, segment=1, address=V4, data=(b"x" * 64).hex())
    good("dgram error", "client", "DGRAM_ERROR", 2,
         dgram_head(V4, 53, 0) + struct.pack(">BBHI", 3, 3, 0, 0), family=4, port=53, address=V4,
         icmp_type=3, icmp_code=3, mtu=576)
    good("dgram error, MTU", "client", "DGRAM_ERROR", 2,
         dgram_head(V6, 53, 0) + struct.pack(">BBHI", 2, 0, 0, 1300), family=6, port=53,
         address=V6, icmp_type=2, icmp_code=0, mtu=1300)
    good("ack", "server", "ACK", 0, struct.pack(">Q", 2**40 + 5), offset=2**40 + 5)
    good("probe", "server", "PROBE", 0, bytes(range(8)), opaque=bytes(range(8)).hex())
    good("probe reply", "client", "PROBE_REPLY", 0, bytes(range(8)), opaque=bytes(range(8)).hex())
    for r in range(0, 6):
        good(f"goaway {r}", "client", "GOAWAY", 0, struct.pack(">HI", r, 9) + b"text", reason=r,
             last=9, text="text")
    good("goaway, unknown reason is taken as 5", "client", "GOAWAY", 0,
         struct.pack(">HI", 77, 0), reason=5, last=0, text="")
    good("goaway bye of the client", "server", "GOAWAY", 0, struct.pack(">HI", 0, 0), reason=0,
         last=0, text="")
    good("goaway, longest text", "server", "GOAWAY", 0, struct.pack(">HI", 3, 0) + b"t" * 256,
         reason=3, last=0, text="t" * 256)
    good("skipped and counted", "server", 0x80, 0, b"abc", code=0x80)
    good("skipped on any ID", "client", 0xff, 2**32 - 1, b"", code=0xff)


def bad_frames():
    for code in (0x00, 0x0c, 0x0f, 0x14, 0x7f):
        bad(f"unknown type {code:#04x}", "server", code, 1, b"", "unknown type below 0x80")
    invalid.append({"name": "payload over 65,536", "to": "server", "hex": "05010001" + "00000001",
                    "why": "judged from the header"})
    invalid.append({"name": "skipped type over 65,536", "to": "server",
                    "hex": "80010001" + "00000001", "why": "judged from the header"})
    for kind, n in (("CONFIG", 2), ("ACK", 8), ("PROBE", 8), ("PROBE_REPLY", 8), ("GOAWAY", 6)):
        bad(f"{kind} on a stream", "client", kind, 1, bytes(n), "session frame on a stream")
    bad("OPEN on stream 0", "server", "OPEN", 0, struct.pack(">BBHII", 6, 4, 1, 1, 1), "stream 0")
    bad("DATA on stream 0", "server", "DATA", 0, b"x", "stream 0")
    bad("WINDOW on stream 0", "server", "WINDOW", 0, struct.pack(">I", 1), "reserved")
    bad("DGRAM on stream 0", "server", "DGRAM", 0, dgram_head(V4, 1, 0), "stream 0")
    bad("stream 2^31", "server", "DATA", 2**31, b"x", "stream IDs end at 2^31 - 1")
    bad("CONFIG to the server", "server", "CONFIG", 0, b"{}", "direction")
    bad("OPENED to the server", "server", "OPENED", 1, struct.pack(">IBH", 1, 0, 0), "direction")
    bad("REFUSED to the server", "server", "REFUSED", 1, b"\x01", "direction")
    bad("DGRAM_ERROR to the server", "server", "DGRAM_ERROR", 1,
        dgram_head(V4, 53, 0) + bytes(8), "direction")
    bad("OPEN to the client", "client", "OPEN", 1, struct.pack(">BBHII", 6, 4, 1, 1, 1),
        "direction")
    invalid.append({"name": "CONFIG over 16 KiB", "to": "client", "hex": "01004001" + "00000000",
                    "why": "judged from the header"})
    bad("DATA, empty", "server", "DATA", 1, b"", "flood clause")
    for kind in ("WINDOW", "RETURN"):
        bad(f"{kind} 0", "server", kind, 1, bytes(4), "flood clause")
        bad(f"{kind} 2^31", "server", kind, 1, struct.pack(">I", 2**31), "below 2^31")
        bad(f"{kind}, 3 bytes", "server", kind, 1, bytes(3), "length")
    bad("FIN with a payload", "server", "FIN", 1, b"x", "length")
    bad("RESET, empty", "server", "RESET", 1, b"", "length")
    bad("RESET, 2 bytes", "server", "RESET", 1, b"\x01\x01", "length")
    bad("ACK, 7 bytes", "server", "ACK", 0, bytes(7), "length")
    bad("GOAWAY, text over 256", "server", "GOAWAY", 0, bytes(6 + 257), "length")
    bad("GOAWAY revoked from the client", "server", "GOAWAY", 0, struct.pack(">HI", 2, 0),
        "the client sends bye and protocol_error only")
    tcp = struct.pack(">BBH", 6, 4, 80) + packed(V4)
    bad("OPEN without a window", "server", "OPEN", 1, tcp, "length")
    bad("OPEN, window 2^31", "server", "OPEN", 1, tcp + struct.pack(">I", 2**31), "below 2^31")
    bad("OPEN, family 5", "server", "OPEN", 1, struct.pack(">BBH", 6, 5, 80) + bytes(8), "family")
    bad("OPEN, cut TLV", "server", "OPEN", 1, tcp + bytes(4) + b"\x01\x00\x05ab", "TLV")
    bad("OPEN, repeated TLV", "server", "OPEN", 1, tcp + bytes(4) + tlv(9, b"") * 2, "TLV")
    bad("OPEN, over 1 KiB of TLVs", "server", "OPEN", 1, tcp + bytes(4) + tlv(99, bytes(1022)),
        "TLV")
    bad("OPEN, source port of 1 byte", "server", "OPEN", 1, tcp + bytes(4) + tlv(3, b"\x01"),
        "TLV")
    udp = struct.pack(">BBH", 17, 4, 0) + bytes(4)
    bad("association with a window", "server", "OPEN", 1, udp + struct.pack(">I", 1), "window")
    bad("association with a port", "server", "OPEN", 1,
        struct.pack(">BBH", 17, 4, 53) + bytes(8), "port")
    bad("association with an address", "server", "OPEN", 1,
        struct.pack(">BBH", 17, 4, 0) + packed(V4) + bytes(4), "address")
    bad("association without a family", "server", "OPEN", 1,
        struct.pack(">BBH", 17, 0, 0) + bytes(4), "family")
    bad("echo with family 6", "server", "OPEN", 1, struct.pack(">BBH", 1, 6, 0) + bytes(20),
        "family")
    bad("echo of IPv6 with family 4", "server", "OPEN", 1,
        struct.pack(">BBH", 58, 4, 0) + bytes(8), "family")
    bad("OPENED, short", "client", "OPENED", 1, struct.pack(">IBH", 1, 4, 1), "length")
    bad("OPENED, long", "client", "OPENED", 1, struct.pack(">IBH", 1, 0, 1) + b"x", "length")
    bad("OPENED, family 1", "client", "OPENED", 1, struct.pack(">IBH", 1, 1, 1), "family")
    bad("OPENED, window 2^31", "client", "OPENED", 1, struct.pack(">IBH", 2**31, 0, 1), "window")
    bad("DGRAM, family 0", "server", "DGRAM", 1, bytes(8) + packed(V4), "family")
    bad("DGRAM, cut address", "server", "DGRAM", 1, dgram_head(V6, 1, 0)[:20], "length")
    bad("DGRAM, reserved byte 1", "server", "DGRAM", 1,
        struct.pack(">BBHHH", 4, 1, 1, 0, 0) + packed(V4), "reserved")
    bad("DGRAM, reserved byte 7", "server", "DGRAM", 1,
        struct.pack(">BBHHH", 4, 0, 1, 0, 1) + packed(V4), "reserved")
    bad("DGRAM, segment size without data", "server", "DGRAM", 1, dgram_head(V4, 1, 5), "segment")
    bad("DGRAM, 65 segments", "server", "DGRAM", 1, dgram_head(V4, 1, 1) + bytes(65), "segment")
    bad("DGRAM_ERROR, segment size", "client", "DGRAM_ERROR", 1,
        dgram_head(V4, 1, 5) + bytes(8), "segment")
    bad("DGRAM_ERROR, reserved", "client", "DGRAM_ERROR", 1,
        dgram_head(V4, 1, 0) + struct.pack(">BBHI", 3, 3, 1, 0), "reserved")
    bad("DGRAM_ERROR, short", "client", "DGRAM_ERROR", 1, dgram_head(V4, 1, 0) + bytes(7),
        "length")
    bad("DGRAM_ERROR, long", "client", "DGRAM_ERROR", 1, dgram_head(V4, 1, 0) + bytes(9),
        "length")


def counts():
    """A piece of a session to the server: what counts, and where ACK may point."""
    parts = [
        raw("OPEN", 1, struct.pack(">BBH", 6, 4, 80) + packed(V4) + struct.pack(">I", 16384)),
        raw("PROBE", 0, bytes(8)),
        raw("DATA", 1, b"GET / HTTP/1.1\r\n\r\n"),
        raw(0x90, 5, b"later"),
        raw("ACK", 0, struct.pack(">Q", 20)),
        raw("OPEN", 2, struct.pack(">BBH", 17, 4, 0) + bytes(8)),
        raw("DGRAM", 2, dgram_head(V4, 53, 0) + b"q"),
        raw("FIN", 1, b""),
        raw("WINDOW", 1, struct.pack(">I", 9)),
    ]
    total, offsets = 0, []
    for p in parts:
        if p[0] in (1, 2, 3, 4, 5, 6, 7, 8, 11) or p[0] >= 0x80:
            total += len(p)
        offsets.append(total)
    return {"to": "server", "hex": b"".join(parts).hex(), "frames": len(parts),
            "counted_after_each": offsets}


BODY = '{"device_id":"d1","user_id":"u1","service_id":"<IP_ANY>","platform":"linux","client":"x/1"}'


def post(body=BODY, line="POST /atp/1/session HTTP/1.1", host="Host: sentry.example",
         up="Connection: Upgrade\r\nUpgrade: atp/1", length=None, more=""):
    lines = [line] + [x for x in (host, up) if x]
    if length != "":
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines) + "\r\n" + more + "\r\n" + body


def handshake():
    ids = {"device_id": "d1", "user_id": "u1", "service_id": "<IP_ANY>"}
    ask = [
        ("plain", post(), dict(ids, resume=False)),
        ("tcp idle time", post(more="X-App-TcpIdleTimeoutMs: 60000\r\n"),
         dict(ids, resume=False, tcp_idle_ms=60000)),
        ("resume", post(BODY[:-1] + ',"resume":{"session":"oKGio6SlpqeoqaqrrK2urw","attempt":3,'
                        '"received":12345,"proof":"RHFwpQZ80jHPq-XeL8OPyMZjwDPs--tlCGrC94TZ_2U"}}'),
         dict(ids, resume=True, attempt=3, received=12345)),
        ("resume with a short proof is a new session",
         post(BODY[:-1] + ',"resume":{"session":"oKGio6SlpqeoqaqrrK2urw","attempt":3,'
              '"received":1,"proof":"AAAA"}}'), dict(ids, resume=False)),
        ("unknown member", post(BODY[:-1] + ',"future":{}}'), dict(ids, resume=False)),
        ("no upgrade", post(up=""), 426),
        ("another upgrade", post(up="Connection: Upgrade\r\nUpgrade: websocket"), 426),
        ("GET", post(line="GET /atp/1/session HTTP/1.1"), 400),
        ("another path", post(line="POST /atp/2/session HTTP/1.1"), 400),
        ("HTTP/1.0", post(line="POST /atp/1/session HTTP/1.0"), 400),
        ("no length", post(length=""), 400),
        ("two lengths", post(more=f"Content-Length: {len(BODY)}\r\n"), 400),
        ("chunked", post(more="Transfer-Encoding: chunked\r\n"), 400),
        ("bytes behind the body", post() + "x", 400),
        ("bare LF", post(more="A: b\n"), 400),
        ("folded line", post(more="A: b\r\n c\r\n"), 400),
        ("tab in a value", post(more="A: b\tc\r\n"), 400),
        ("65 lines", post(more="A: b\r\n" * 62), 400),
        ("duplicate member", post(BODY[:-1] + ',"user_id":"u2"}'), 400),
        ("missing member", post('{"device_id":"d1","user_id":"u1"}'), 400),
        ("member of another type", post(BODY.replace('"u1"', "1")), 400),
        ("malformed resume", post(BODY[:-1] + ',"resume":7}'), 400),
    ]
    head = ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: atp/1\r\n"
            "ATP-Session: oKGio6SlpqeoqaqrrK2urw\r\n")
    no = '{"error":"device_blocked","message":"blocked"}'
    get = [
        ("accepted", head + "ATP-Resumed: 0\r\nATP-Received: 0\r\n\r\n",
         {"kind": "accepted", "session": bytes(range(0xa0, 0xb0)).hex(), "resumed": False,
          "received": 0}),
        ("resumed", head + "ATP-Resumed: 1\r\nATP-Received: 77\r\n\r\n",
         {"kind": "accepted", "session": bytes(range(0xa0, 0xb0)).hex(), "resumed": True,
          "received": 77}),
        ("refused", f"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: {len(no)}"
         f"\r\n\r\n{no}", {"kind": "refused", "status": 403, "code": "device_blocked",
                           "message": "blocked", "retry_after": 0}),
        ("busy", "HTTP/1.1 503 Busy\r\nRetry-After: 900\r\nContent-Length: 16\r\n\r\n"
         '{"error":"busy"}', {"kind": "refused", "status": 503, "code": "busy", "message": "",
                              "retry_after": 300}),
        ("cut head", head, {"kind": "more"}),
        ("new session with a count", head + "ATP-Resumed: 0\r\nATP-Received: 5\r\n\r\n",
         {"kind": "bad"}),
        ("repeated ATP header", head + "ATP-Resumed: 0\r\nATP-Resumed: 0\r\nATP-Received: 0\r\n"
         "\r\n", {"kind": "bad"}),
        ("interim answer", "HTTP/1.1 100 Continue\r\n\r\n", {"kind": "bad"}),
        ("not HTTP", "SSH-2.0-x\r\n\r\n", {"kind": "bad"}),
    ]
    return {"requests": [{"name": n, "text": t, "result": r} for n, t, r in ask],
            "answers": [{"name": n, "text": t, "result": r} for n, t, r in get]}


def config():
    d = {"interface4": "", "interface6": "", "dns": [], "search": [], "mtu": 1400,
         "resume_window_s": 120, "resume_host": "", "max_streams": 65536}
    rows = [
        ("empty", "{}", d),
        ("all", '{"interface4":"172.28.13.2/29","interface6":"fd00::2","dns":["10.0.0.53"],'
         '"search":["corp.example"],"mtu":1300,"resume_window_s":0,"resume_host":"s2.example:443",'
         '"max_streams":7,"routes":["0.0.0.0/0"]}',
         {"interface4": "172.28.13.2", "interface6": "fd00::2", "dns": ["10.0.0.53"],
          "search": ["corp.example"], "mtu": 1300, "resume_window_s": 0,
          "resume_host": "s2.example:443", "max_streams": 7}),
        ("small mtu counts as 1280", '{"mtu":576}', dict(d, mtu=1280)),
        ("bad entries are left out", '{"dns":["x",1,"fd00::53"],"search":["a b","ok"],'
         '"resume_host":"a:b:c"}', dict(d, dns=["fd00::53"], search=["ok"])),
    ]
    wrong = ["[]", '{"mtu":"1400"}', '{"mtu":65536}', '{"mtu":1,"mtu":1}', '{"dns":"10.0.0.1"}',
             '{"dns":[1,2,3,4,5,6,7,8,9]}', '{"interface4":"127.0.0.1"}', '{"interface4":"fd00::1"}',
             '{"interface4":"224.0.0.1"}', '{"interface6":"::1"}', '{"interface6":"ff02::1/64"}',
             '{"resume_window_s":3601}', '{"max_streams":0}', '{"max_streams":1048577}']
    return [{"name": n, "json": j, "result": r} for n, j, r in rows] + \
           [{"name": "error: " + j, "json": j, "result": None} for j in wrong]


def resume():
    secret, session, binding = bytes(range(32)), bytes(range(0xa0, 0xb0)), b"\xff" * 32
    mac = hmac.new(secret, session + struct.pack(">QI", 12345, 3) + binding, hashlib.sha256)
    proof = base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()
    return [{"secret": secret.hex(), "session": session.hex(), "received": 12345, "attempt": 3,
             "binding": binding.hex(), "proof": proof}]


def write(name, value):
    with open(os.path.join(HERE, name), "w", encoding="ascii") as out:
        json.dump(value, out, indent=1)
        out.write("\n")


frames()
bad_frames()
write("frames.json", valid)
write("frames-invalid.json", invalid)
write("counts.json", counts())
write("handshake.json", handshake())
write("config.json", config())
write("resume.json", resume())
