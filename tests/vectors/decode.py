#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""decode.py - reads the wire vectors of this folder with nothing but Python.

A second reader of docs/protocol.md: it shares no code with the C one.  Each
vector is decoded and compared with what stands beside it.  Prints "N vectors";
exit code 1 and a line for each mismatch.
"""
import base64
import hashlib
import hmac
import ipaddress
import json
import os
import re
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
KIB16 = 16384

# type: (name, direction or None, "session" or "stream", counted, shortest, longest payload)
TYPES = {
    0x01: ("CONFIG", "client", "session", True, 0, KIB16),
    0x02: ("OPEN", "server", "stream", True, 8, 8 + 16 + 1024),
    0x03: ("OPENED", "client", "stream", True, 7, 7 + 16),
    0x04: ("REFUSED", "client", "stream", True, 1, 1),
    0x05: ("DATA", None, "stream", True, 1, 65536),
    0x06: ("WINDOW", None, "stream", True, 4, 4),
    0x07: ("FIN", None, "stream", True, 0, 0),
    0x08: ("RESET", None, "stream", True, 1, 1),
    0x0b: ("RETURN", None, "stream", True, 4, 4),
    0x09: ("DGRAM", None, "stream", False, 12, 65536),
    0x0a: ("DGRAM_ERROR", "client", "stream", False, 20, 32),
    0x10: ("ACK", None, "session", False, 8, 8),
    0x11: ("PROBE", None, "session", False, 8, 8),
    0x12: ("PROBE_REPLY", None, "session", False, 8, 8),
    0x13: ("GOAWAY", None, "session", False, 6, 6 + 256),
}


class Wrong(Exception):
    """Against the specification."""


def need(condition, why):
    if not condition:
        raise Wrong(why)


def take_address(family, data):
    size = {0: 0, 4: 4, 6: 16}.get(family)
    need(size is not None, "family")
    need(len(data) >= size, "address is cut")
    text = str(ipaddress.ip_address(data[:size])) if size else ""
    return text, data[size:]


def read_open(p):
    protocol, family, port = struct.unpack(">BBH", p[:4])
    address, rest = take_address(family, p[4:])
    need(len(rest) >= 4, "no window")
    window, tlvs = struct.unpack(">I", rest[:4])[0], rest[4:]
    need(window < 2**31, "window")
    out = {"protocol": protocol, "family": family, "port": port, "address": address,
           "window": window, "name": "", "name_usable": True, "app": "", "source_port": 0}
    if protocol in (1, 17, 58):
        need(family in (4, 6), "association without family")
        need({1: 4, 58: 6}.get(protocol, family) == family, "echo of the other family")
        need(port == 0 and window == 0 and ipaddress.ip_address(address).is_unspecified,
             "association with address, port or window")
    need(len(tlvs) <= 1024, "over 1 KiB of TLVs")
    seen = set()
    while tlvs:
        need(len(tlvs) >= 3, "cut TLV")
        kind, size = struct.unpack(">BH", tlvs[:3])
        value, tlvs = tlvs[3:3 + size], tlvs[3 + size:]
        need(len(value) == size, "cut TLV")
        need(kind not in seen, "repeated TLV")
        seen.add(kind)
        if kind == 1:
            if re.fullmatch(rb"[A-Za-z0-9._-]{1,253}", value):
                out["name"] = value.decode("ascii")
            else:
                out["name_usable"] = False
        elif kind == 2:
            need(size <= 255 and b"\0" not in value, "app identifier")
            out["app"] = value.decode("utf-8", "replace")
        elif kind == 3:
            need(size == 2, "source port")
            out["source_port"] = struct.unpack(">H", value)[0]
    if family == 0 and not out["name"]:
        out["name_usable"] = False
    return out


def read_dgram(p):
    family, zero1, port, segment, zero2 = struct.unpack(">BBHHH", p[:8])
    need(family in (4, 6), "family")
    need(zero1 == 0 and zero2 == 0, "reserved")
    address, rest = take_address(family, p[8:])
    return {"family": family, "port": port, "segment": segment, "address": address}, rest


def read_payload(name, p, to):
    if name == "CONFIG":
        return {"json": p.decode("utf-8")}
    if name == "OPEN":
        return read_open(p)
    if name == "OPENED":
        window, family, port = struct.unpack(">IBH", p[:7])
        address, rest = take_address(family, p[7:])
        need(not rest and window < 2**31, "length or window")
        return {"window": window, "family": family, "port": port, "address": address}
    if name == "REFUSED":
        return {"reason": p[0] if 1 <= p[0] <= 8 else 2}
    if name == "RESET":
        return {"reason": p[0] if 1 <= p[0] <= 7 else 1}
    if name == "DATA":
        return {"data": p.hex()}
    if name in ("WINDOW", "RETURN"):
        credit = struct.unpack(">I", p)[0]
        need(0 < credit < 2**31, "credit")
        return {"credit": credit}
    if name == "FIN":
        return {}
    if name == "DGRAM":
        out, data = read_dgram(p)
        if out["segment"]:
            need(0 < len(data) <= 64 * out["segment"], "segments")
        out["data"] = data.hex()
        return out
    if name == "DGRAM_ERROR":
        out, rest = read_dgram(p)
        need(out.pop("segment") == 0 and len(rest) == 8, "segment or length")
        out["icmp_type"], out["icmp_code"], zero, mtu = struct.unpack(">BBHI", rest)
        need(zero == 0, "reserved")
        out["mtu"] = max(mtu, 576 if out["family"] == 4 else 1280)
        return out
    if name == "ACK":
        return {"offset": struct.unpack(">Q", p)[0]}
    if name in ("PROBE", "PROBE_REPLY"):
        return {"opaque": p.hex()}
    if name == "GOAWAY":
        reason, last = struct.unpack(">HI", p[:6])
        reason = reason if reason <= 5 else 5
        need(to == "client" or reason in (0, 3), "not for the client to say")
        return {"reason": reason, "last": last, "text": p[6:].decode("utf-8", "replace")}
    raise Wrong("no such frame")


def read_frame(data, to):
    """Return (decoded, rest); None instead of decoded when it is incomplete."""
    if len(data) < 8:
        return None, data
    word, stream = struct.unpack(">II", data[:8])
    code, length = word >> 24, word & 0xffffff
    need(length <= 65536, "payload over 65,536 bytes")
    if code >= 0x80:
        name, direction, place, counted, low, high = "SKIPPED", None, None, True, 0, 65536
    else:
        need(code in TYPES, "unknown type")
        name, direction, place, counted, low, high = TYPES[code]
    need(direction in (None, to), "direction")
    need(place != "session" or stream == 0, "session frame on a stream")
    need(place != "stream" or 1 <= stream <= 2**31 - 1, "stream ID")
    need(low <= length <= high, "length")
    if len(data) < 8 + length:
        return None, data
    out = {"type": name, "stream": stream, "length": length, "counted": counted}
    if name == "SKIPPED":
        out["code"] = code
    else:
        out.update(read_payload(name, data[8:8 + length], to))
    return out, data[8 + length:]


# ---- HTTP and JSON ----------------------------------------------------------

def unique(pairs):
    out = {}
    for key, value in pairs:
        need(key not in out, "duplicate member")
        out[key] = value
    return out


def read_object(text):
    try:
        value = json.loads(text, object_pairs_hook=unique)
    except ValueError as err:
        raise Wrong("not JSON") from err
    need(isinstance(value, dict), "not an object")
    return value


def read_head(text):
    """Return (first line, [(name, value)], body), or None when the head is cut."""
    need("\0" not in text, "NUL")
    end = text.find("\r\n\r\n")
    head = text if end < 0 else text[:end]
    need(not re.search(r"(?<!\r)\n|\r(?!\n)", head), "bare CR or LF")
    need(len(head) + 4 <= KIB16, "head over 16 KiB")
    if end < 0:
        return None
    first, *lines = head.split("\r\n")
    need(len(lines) <= 64, "over 64 lines")
    out = []
    for line in lines:
        match = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\x20-\x7e]*)", line)
        need(match, "malformed line")
        out.append((match.group(1).lower(), match.group(2).strip(" ")))
    names = [name for name, _ in out]
    need("transfer-encoding" not in names, "Transfer-Encoding")
    need(names.count("content-length") <= 1, "second Content-Length")
    return first, out, text[end + 4:]


def values(lines, name):
    return [v for n, v in lines if n == name]


def upgrades(lines):
    def tokens(name):
        return [t.strip(" ").lower() for v in values(lines, name) for t in v.split(",")]
    return "upgrade" in tokens("connection") and "atp/1" in tokens("upgrade")


def number(text, most):
    need(re.fullmatch(r"[0-9]+", text) and int(text) <= most, "number")
    return int(text)


def b64(text, size):
    need(re.fullmatch(r"[A-Za-z0-9_-]*", text), "BASE64URL")
    need(len(text) == (size * 4 + 2) // 3, "BASE64URL length")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def read_resume(resume, out):
    need(isinstance(resume, dict), "resume")
    for key, kind in (("session", str), ("proof", str), ("attempt", int), ("received", int)):
        need(isinstance(resume.get(key), kind) and not isinstance(resume[key], bool), "resume")
    need(1 <= resume["attempt"] < 2**32 and 0 <= resume["received"] < 2**63, "resume")
    try:
        b64(resume["session"], 16)
        b64(resume["proof"], 32)
    except Wrong:
        return
    out.update(resume=True, attempt=resume["attempt"], received=resume["received"])


def read_request(text):
    """Return the decoded request, or the status of its refusal."""
    try:
        head = read_head(text)
        need(head, "cut")
        first, lines, body = head
        need(first == "POST /atp/1/session HTTP/1.1", "first line")
        need(len(values(lines, "host")) == 1, "Host")
        need(values(lines, "content-length"), "no Content-Length")
        size = number(values(lines, "content-length")[0], KIB16)
        need(len(body) == size, "body length")
        if not upgrades(lines):
            return 426
        members = read_object(body)
        out = {"resume": False}
        for key in ("device_id", "user_id", "service_id"):
            need(isinstance(members.get(key), str), key)
            out[key] = members[key]
        for value in values(lines, "x-app-tcpidletimeoutms"):
            out["tcp_idle_ms"] = number(value, 2**32 - 1)
        if "resume" in members:
            read_resume(members["resume"], out)
        return out
    except Wrong:
        return 400


def read_answer(text):
    try:
        head = read_head(text)
        if not head:
            return {"kind": "more"}
        first, lines, body = head
        match = re.fullmatch(r"HTTP/1\.[01] ([1-9][0-9][0-9])( .*)?", first)
        need(match, "status line")
        status = int(match.group(1))
        if status == 101:
            need(upgrades(lines), "no upgrade")
            found = {}
            for name in ("atp-session", "atp-resumed", "atp-received"):
                need(len(values(lines, name)) == 1, name)
                found[name] = values(lines, name)[0]
            need(found["atp-resumed"] in ("0", "1"), "ATP-Resumed")
            received = number(found["atp-received"], 2**63 - 1)
            resumed = found["atp-resumed"] == "1"
            need(resumed or received == 0, "a new session begins at 0")
            return {"kind": "accepted", "session": b64(found["atp-session"], 16).hex(),
                    "resumed": resumed, "received": received}
        need(status >= 200, "interim answer")
        size = number((values(lines, "content-length") or ["0"])[0], KIB16)
        if len(body) < size:
            return {"kind": "more"}
        out = {"kind": "refused", "status": status, "code": "", "message": "", "retry_after": 0}
        try:
            members = read_object(body[:size])
            out["code"] = members.get("error", "")
            out["message"] = members.get("message", "")[:200]
        except Wrong:
            pass
        for value in values(lines, "retry-after"):
            out["retry_after"] = min(max(number(value, 2**32), 1), 300)
        return out
    except Wrong:
        return {"kind": "bad"}


# ---- CONFIG -----------------------------------------------------------------

def interface(members, key, version):
    if key not in members:
        return ""
    need(isinstance(members[key], str), key)
    try:
        a = ipaddress.ip_interface(members[key]).ip
    except ValueError as err:
        raise Wrong(key) from err
    need(a.version == version, key)
    refused = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"] if version == 4 else \
        ["::/128", "::1/128", "ff00::/8"]
    need(not any(a in ipaddress.ip_network(n) for n in refused), key)
    return str(a)


def integer(members, key, low, high, default):
    value = members.get(key, default)
    need(isinstance(value, int) and not isinstance(value, bool), key)
    need(low <= value <= high, key)
    return value


NAME = r"(?=.{1,253}\.?$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*"


def is_address(text):
    try:
        ipaddress.ip_address(text)
        return True
    except ValueError:
        return False


def entries(members, key, most, fits):
    value = members.get(key, [])
    need(isinstance(value, list) and len(value) <= most, key)
    return [e for e in value if isinstance(e, str) and fits(e)]


def read_config(text):
    need(len(text) <= KIB16, "over 16 KiB")
    m = read_object(text)
    host = m.get("resume_host", "")
    need(isinstance(host, str), "resume_host")
    match = re.fullmatch(r"(\[(?P<six>[0-9a-fA-F:.]+)\]|" + NAME[len(r"(?=.{1,253}\.?$)"):] +
                         r")(:(?P<port>[0-9]{1,5}))?", host)
    fits = match and (not match.group("six") or is_address(match.group("six"))) and \
        0 < int(match.group("port") or 1) < 65536
    return {
        "interface4": interface(m, "interface4", 4),
        "interface6": interface(m, "interface6", 6),
        "dns": entries(m, "dns", 8, is_address),
        "search": entries(m, "search", 32, lambda e: re.fullmatch(NAME, e)),
        "mtu": max(1280, integer(m, "mtu", 0, 65535, 1400)),
        "resume_window_s": integer(m, "resume_window_s", 0, 3600, 120),
        "resume_host": host if fits else "",
        "max_streams": integer(m, "max_streams", 1, 2**20, 65536),
    }


# ---- the files ---------------------------------------------------------------

def load(name):
    with open(os.path.join(HERE, name), encoding="ascii") as f:
        return json.load(f)


def outcome(function, *args):
    try:
        return function(*args)
    except Wrong as err:
        return f"error: {err}"


def check():
    """Yield (file, name, got, expected)."""
    for v in load("frames.json"):
        data = bytes.fromhex(v["hex"])
        yield "frames", v["name"], outcome(read_frame, data, v["to"]), (v["decoded"], b"")
        for cut in range(min(len(data), 64)):
            got = outcome(read_frame, data[:cut], v["to"])
            if got != (None, data[:cut]):
                yield "frames", f"{v['name']} cut at {cut}", got, (None, data[:cut])
    for v in load("frames-invalid.json"):
        got = outcome(read_frame, bytes.fromhex(v["hex"]), v["to"])
        yield "frames-invalid", v["name"], str(got)[:6], "error:"
    v = load("counts.json")
    data, counted, after = bytes.fromhex(v["hex"]), 0, []
    while data:
        frame, rest = read_frame(data, v["to"])
        counted += len(data) - len(rest) if frame["counted"] else 0
        data = rest
        after.append(counted)
    yield "counts", "offsets", after, v["counted_after_each"]
    h = load("handshake.json")
    for v in h["requests"]:
        yield "requests", v["name"], read_request(v["text"]), v["result"]
    for v in h["answers"]:
        yield "answers", v["name"], read_answer(v["text"]), v["result"]
    for v in load("config.json"):
        got = outcome(read_config, v["json"])
        yield "config", v["name"], None if isinstance(got, str) else got, v["result"]
    for v in load("resume.json"):
        text = bytes.fromhex(v["session"]) + struct.pack(">QI", v["received"], v["attempt"]) + \
            bytes.fromhex(v["binding"])
        mac = hmac.new(bytes.fromhex(v["secret"]), text, hashlib.sha256).digest()
        yield "resume", "proof", b64(v["proof"], 32), mac


def main():
    n = wrong = 0
    for file, name, got, expected in check():
        n += 1
        if got != expected:
            wrong += 1
            print(f"{file}: {name}:\n    got      {str(got)[:200]}\n    expected "
                  f"{str(expected)[:200]}", file=sys.stderr)
    print(f"{n} vectors")
    return 1 if wrong or n == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
