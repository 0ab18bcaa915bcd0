# SPDX-License-Identifier: MIT
"""The endpoint `sentry` against an independent client: admission, refusals, streams,
associations, faults, control, protocol errors.  Unprivileged, on loopback.

One line a check (PASS or FAIL), DONE at the end; the endpoint's own log is shown when
something failed.
"""

import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "hostile"))
from atp import *  # noqa: E402,F403

SENTRY = os.path.join(TOP, os.environ.get("OUT", "build"), "sentry")
results = {"PASS": 0, "FAIL": 0}


def report(ok, what, detail=""):
    word = "PASS" if ok else "FAIL"
    results[word] += 1
    print("%s sentry-smoke: %s%s" % (word, what, "" if ok else ": " + str(detail)), flush=True)
    return ok


def equal(what, expected, got):
    return report(expected == got, what, "expected %r, got %r" % (expected, got))


# ---- backends --------------------------------------------------------------------------


def serve_tcp(handler, family=socket.AF_INET, host="127.0.0.1"):
    s = socket.create_server((host, 0), family=family, backlog=256)

    def loop():
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            threading.Thread(target=handler, args=(c,), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    return s.getsockname()[1]


def echo(c):
    try:
        while True:
            d = c.recv(65536)
            if not d:
                break
            c.sendall(d)
        c.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    c.close()


def serve_udp(family=socket.AF_INET, host="127.0.0.1"):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind((host, 0))

    def loop():
        while True:
            try:
                d, a = s.recvfrom(65536)
                s.sendto(d, a)
            except OSError:
                return

    threading.Thread(target=loop, daemon=True).start()
    return s.getsockname()[1]


def serve_dns(names):
    """A records of `names`, NXDOMAIN for all else."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 0))

    def loop():
        while True:
            q, a = s.recvfrom(2048)
            if b"slow" in q:
                continue
            labels, at = [], 12
            while q[at]:
                labels.append(q[at + 1:at + 1 + q[at]].decode())
                at += 1 + q[at]
            question, kind = q[12:at + 5], q[at + 1:at + 3]
            address = names.get(".".join(labels).lower())
            answer = b""
            if address and kind == b"\0\1":
                answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address)
            s.sendto(q[:2] + (b"\x81\x80" if address else b"\x81\x83") + b"\0\1" +
                     (b"\0\1" if answer else b"\0\0") + bytes(4) + question + answer, a)

    threading.Thread(target=loop, daemon=True).start()
    return s.getsockname()[1]


def ping_range(text):
    """Return: False where the machine is not ours to change."""
    if "SMOKE_NETNS" not in os.environ:
        return False
    try:
        with open("/proc/sys/net/ipv4/ping_group_range", "w") as f:
            f.write(text)
        return True
    except OSError:
        return False


# ---- the endpoint ------------------------------------------------------------------------


class Endpoint:
    def __init__(self, work, extra="", name="sentry"):
        self.work = work
        self.ini = os.path.join(work, name + ".ini")
        self.log = os.path.join(work, name + ".jsonl")
        self.control = os.path.join(work, name + ".sock")
        self.devices = os.path.join(work, "pki", "devices.jsonl")
        with open(self.ini, "w") as f:
            f.write("""[sentry]
Listen = "127.0.0.1:0;[::1]:0"
Certificate = %s/pki/sentry.crt
PrivateKey = %s/pki/sentry.key
DeviceCa = %s/pki/ca.crt
Devices = %s
Services = "<IP_ANY>;<TCP_ANY>;TCP_Echo;TCP_Named"
Dns = 10.1.0.53
Search = corp.internal
Audit = %s
Control = %s
""" % (work, work, work, self.devices, self.log, self.control) + extra)
        self.err = open(os.path.join(work, name + ".err"), "w+")
        self.proc = subprocess.Popen([SENTRY, "serve", self.ini], stdout=subprocess.PIPE,
                                     stderr=self.err, text=True)
        line = self.proc.stdout.readline()
        if not line:
            self.err.seek(0)
            sys.exit("FAIL sentry-smoke: no ready line\n" + self.err.read())
        self.ready = json.loads(line)
        self.port = int(self.ready["listen"][0].rsplit(":", 1)[1])
        self.port6 = int(self.ready["listen"][1].rsplit(":", 1)[1])

    def ctl(self, *words):
        r = subprocess.run([SENTRY, "ctl", self.control, *words], capture_output=True, text=True)
        try:
            return json.loads(r.stdout)
        except ValueError:
            return {"ok": False, "error": r.stdout + r.stderr}

    def counters(self):
        return self.ctl("counters")["counters"]

    def events(self, name=None):
        with open(self.log) as f:
            lines = [json.loads(x) for x in f]
        return [x for x in lines if name is None or x.get("event") == name]

    def cert(self, name):
        return [os.path.join(self.work, "pki", name + x) for x in (".crt", ".key")]

    def dial(self, name="laptop", **kw):
        return Client.dial("127.0.0.1", self.port, *self.cert(name), **kw)

    def session(self, name="laptop", user="jane", **kw):
        c = self.dial(name)
        a = c.post(device_id=name, user_id=user, **kw)
        if a.status != 101:
            raise AssertionError("refused: %s %s" % (a.status, a.error))
        c.config = c.want(CONFIG).config
        return c

    def stop(self, what, said=None):
        t = time.monotonic()
        self.proc.send_signal(signal.SIGTERM)
        try:
            code = self.proc.wait(10)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            code = "hangs"
        self.err.seek(0)
        err = self.err.read()
        equal("%s: SIGTERM, exit code (no leak)" % what, 0, code)
        rest = [x for x in err.splitlines() if not said or said not in x]
        report(not rest, "%s: nothing else on stderr" % what, rest[-30:])
        report(not said or said in err, "%s: stderr says '%s'" % (what, said), err[-3000:])
        return time.monotonic() - t


def pki(*args):
    subprocess.run([os.path.join(TOP, "scripts", "pki"), *args], check=True)


def eventually(f, seconds=5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if f():
            return True
        time.sleep(0.05)
    return False


# ---- checks ----------------------------------------------------------------------------------


def check_tls(e):
    def fails(what, contains, **kw):
        try:
            c = e.dial(**kw)
            c.send_bytes(Client.request())
            c.read_head()
            report(False, what, "was served")
        except Closed as x:
            report(any(w in x.reason.lower() for w in contains), what, x.reason)

    fails("TLS: a certificate of another CA", ["unknown_ca", "unknown ca"], name="alien")
    fails("TLS: an expired certificate", ["expired"], name="stale")
    fails("TLS: another ALPN", ["no_application_protocol", "no application protocol"],
          alpn=("h2",))
    try:
        c = Client.dial("127.0.0.1", e.port)
        c.send_bytes(Client.request())
        c.read_head()
        report(False, "TLS: no certificate", "was served")
    except Closed as x:
        report("required" in x.reason.lower() or "handshake_failure" in x.reason.lower(),
               "TLS: no certificate", x.reason)
    with e.dial(alpn=None) as c:
        equal("TLS: no ALPN is accepted", 101, c.post(device_id="laptop", user_id="jane").status)
    with e.dial(maximum=ssl.TLSVersion.TLSv1_2) as c:
        equal("TLS 1.2", ("TLSv1.2", 101), (c.sock.version(), c.post(
            device_id="laptop", user_id="jane").status))
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with e.dial(tls=ctx, maximum=ssl.TLSVersion.TLSv1_2) as c:
        ticket = c.sock.session
    with e.dial(tls=ctx, maximum=ssl.TLSVersion.TLSv1_2, session=ticket) as c:
        equal("TLS: a ticket resumes, the certificate is still known", (True, 101), (
            c.sock.session_reused, c.post(device_id="laptop", user_id="jane").status))


def check_refusals(e):
    def refused(what, status, code, name="laptop", **kw):
        with e.dial(name) as c:
            kw = {"device_id": name, "user_id": "jane", **kw}
            a = c.post(**kw)
            equal(what, (status, code), (a.status, a.error))
            if a.status != 101:
                report(a.headers.get("connection") == "close", what + ": Connection: close",
                       a.headers)
                equal(what + ": the end", "eof", c.wait_end(3))

    refused("device_unknown", 403, "device_unknown", "stranger")
    refused("certificate_unknown", 403, "certificate_unknown", "stranger", device_id="laptop")
    refused("identity_mismatch, device", 403, "identity_mismatch", device_id="other")
    refused("identity_mismatch, user", 403, "identity_mismatch", user_id="joe")
    refused("device_blocked", 403, "device_blocked", "blocked")
    refused("user_blocked", 403, "user_blocked", "userblocked")
    refused("device_not_enrolled", 403, "device_not_enrolled", "unenrolled")
    refused("device_not_compliant", 403, "device_not_compliant", "noncompliant")
    refused("service_unknown", 404, "service_unknown", service="HR")
    refused("bad_request: a member is missing", 400, "bad_request", omit=("user_id",))
    refused("bad_request: method", 400, "bad_request", method="GET")
    refused("bad_request: path", 400, "bad_request", path="/")
    refused("bad_request: not JSON", 400, "bad_request", body=b"{")
    refused("bad_request: duplicate members", 400, "bad_request",
            body=b'{"device_id":"laptop","device_id":"laptop","user_id":"jane",'
                 b'"service_id":"<IP_ANY>"}')
    refused("bad_request: Transfer-Encoding", 400, "bad_request",
            headers=[("Transfer-Encoding", "chunked")])
    refused("upgrade_required", 426, "upgrade_required", omit=("Upgrade",))
    refused("bad_request: bare LF", 400, "bad_request",
            head=b"POST /atp/1/session HTTP/1.1\nHost: x\r\n\r\n")
    with e.dial() as c:
        c.send_bytes(Client.request(device_id="laptop", user_id="jane") + probe(1))
        equal("bytes after the body: 400", 400, c.answer().status)
    e.ctl("fault", "refuse", "503", "busy", "1", "retry-after", "7")
    with e.dial() as c:
        a = c.post(device_id="laptop", user_id="jane")
        equal("fault refuse: status, code, Retry-After", (503, "busy", 7),
              (a.status, a.error, a.retry_after))
    equal("fault refuse fired once", 1, e.counters()["faults"].get("refuse"))
    cs = [e.session() for _ in range(8)]
    with e.dial() as c:
        a = c.post(device_id="laptop", user_id="jane")
        equal("a ninth session: busy with Retry-After", (429, "busy", True),
              (a.status, a.error, bool(a.retry_after)))
    for c in cs:
        c.close()
    report(eventually(lambda: not e.ctl("sessions")["sessions"]), "closed sessions are gone",
           e.ctl("sessions"))
    c = e.session(extra={"resume": {"session": "oKGio6SlpqeoqaqrrK2urw", "attempt": 1,
                                    "received": 0, "proof": "A" * 43}})
    report(True, "a request to resume gets a new session")
    equal("CONFIG", {"interface4": "172.28.13.1", "resume_window_s": 0, "dns": ["10.1.0.53"],
                     "search": ["corp.internal"], "mtu": 1400},
          {k: (c.config[k].split("/")[0] if k == "interface4" else c.config[k])
           for k in ("interface4", "resume_window_s", "dns", "search", "mtu")})
    c.close()


def check_tcp(e, port):
    c = e.session()
    sid = c.open(TCP, "127.0.0.1", port, app="org.test.app")
    o = c.want(OPENED, sid)
    equal("OPENED with the far connection's local end", ("127.0.0.1", True),
          (o.address, o.port > 0))
    c.send(data(sid, b"hello"))
    equal("echo", b"hello", c.read_data(sid, 5))
    c.send(fin(sid))
    c.want(FIN, sid)
    report(True, "half-close both ways")
    # a bulk of 8 MiB under credit
    sid = c.open(TCP, "127.0.0.1", port, window=65536)
    credit = c.want(OPENED, sid).window
    blob = os.urandom(1 << 20) * 8
    sent, got = 0, hashlib.sha256()
    n = 0
    while n < len(blob):
        while sent < len(blob) and credit > 0:
            piece = blob[sent:sent + min(16376, credit)]
            c.send(data(sid, piece))
            sent += len(piece)
            credit -= len(piece)
        f = c.read_frame()
        if f.type == WINDOW and f.sid == sid:
            credit += f.credit
        elif f.type == DATA:
            got.update(f.data)
            n += len(f.data)
            c.send(window(sid, len(f.data)))
    equal("8 MiB there and back", hashlib.sha256(blob).hexdigest(), got.hexdigest())
    c.send(reset(sid))
    # many at once
    sids = [c.open(TCP, "127.0.0.1", port) for _ in range(200)]
    for s in sids:
        c.want(OPENED, s)
        c.send(data(s, b"x%d" % s))
    ok = all(c.read_data(s, len(b"x%d" % s)) == b"x%d" % s for s in sids)
    report(ok, "200 streams at once")
    equal("sessions shows them", 200, e.ctl("sessions")["sessions"][0]["streams"])
    c.send(*[reset(s) for s in sids])
    report(eventually(lambda: e.ctl("sessions")["sessions"][0]["streams"] == 0),
           "RESET ends them")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        sid = c.open(TCP, "127.0.0.1", closed.getsockname()[1])
        equal("REFUSED connection refused", 1, c.want(REFUSED, sid).reason)
    for address in ("169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1",
                    "::ffff:127.0.0.1", "ff02::1"):
        sid = c.open(TCP, address, 80)
        equal("denied: " + address, 5, c.want(REFUSED, sid).reason)
    sid = c.open(99, "127.0.0.1", 80)
    equal("an unknown protocol", 8, c.want(REFUSED, sid).reason)
    sid = c.open(TCP, None, 80, name="bad name!")
    equal("a bad name", 7, c.want(REFUSED, sid).reason)
    sid = c.open(TCP, None, port, name="localhost")
    c.want(OPENED, sid)
    report(True, "by name alone")
    c.send(reset(sid))
    sid = c.open(TCP, None, port, name="echo.corp.internal")
    c.want(OPENED, sid)
    report(True, "by name alone, from DNS")
    c.send(reset(sid))
    sid = c.open(TCP, None, port, name="nothing.corp.internal")
    equal("a name that does not exist", 7, c.want(REFUSED, sid).reason)
    sid = c.open(TCP, None, 80, name="metadata.corp.internal")
    equal("a name that leads to a denied address", 5, c.want(REFUSED, sid).reason)
    # given up while the name is looked up, and with it the session
    c.open(TCP, None, 80, name="slow.corp.internal")
    report(any(a["action"] == "ALLOW" and a["applicationId"] == "org.test.app" and
               a["serviceType"] == "IP_TUNNEL" and a["userID"] == "jane"
               for a in e.events() if "action" in a), "audit line of an allowed stream")
    report(any(a["action"] == "BLOCK" and a["serverHost"] == "169.254.169.254"
               for a in e.events() if "action" in a), "audit line of a blocked one")
    c.close()


def check_ends(e):
    def slow(conn):
        conn.recv(1)
        conn.sendall(b"last words")
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        conn.close()

    c = e.session()
    sid = c.open(TCP, "127.0.0.1", serve_tcp(slow))
    c.want(OPENED, sid)
    c.send(data(sid, b"x"))
    equal("a far RST is a RESET", 1, c.want(RESET, sid).reason)
    how = []

    def watch(conn):
        try:
            d = conn.recv(65536)
            how.append("eof" if not d else "data")
        except ConnectionResetError:
            how.append("reset")
        conn.close()

    port = serve_tcp(watch)
    sid = c.open(TCP, "127.0.0.1", port)
    c.want(OPENED, sid)
    c.send(reset(sid))
    eventually(lambda: how)
    equal("RESET is a RST to the far end", ["reset"], how)
    how.clear()
    sid = c.open(TCP, "127.0.0.1", port)
    c.want(OPENED, sid)
    c.raw_reset()
    eventually(lambda: how)
    equal("a lost connection is a RST to the far end", ["reset"], how)

    # back-pressure: a far end that does not read
    def stall(conn):
        time.sleep(1.5)
        n = 0
        while True:
            d = conn.recv(1 << 20)
            if not d:
                break
            n += len(d)
        conn.sendall(b"%d" % n)
        conn.close()

    c = e.session()
    sid = c.open(TCP, "127.0.0.1", serve_tcp(stall))
    credit, sent, total = c.want(OPENED, sid).window, 0, 24 << 20
    stalled = False
    while sent < total:
        if credit == 0:
            f = c.read_frame()
            if f.type == WINDOW:
                credit += f.credit
            continue
        n = min(credit, 16376, total - sent)
        c.send(data(sid, bytes(n)))
        sent += n
        credit -= n
        stalled |= credit == 0
    c.send(fin(sid))
    equal("24 MiB to a reader that stalls", str(total).encode(),
          c.read_data(sid, len(str(total))))
    report(stalled, "credit held the sender back")
    # the session's own end: bye
    c.send(goaway(BYE))
    equal("bye: the end", "eof", c.wait_end(3))


def check_dgrams(e, port, port6):
    c = e.session()
    sid = c.open(UDP)
    c.send(dgram(sid, "127.0.0.1", port, b"ping"))
    o = c.want(OPENED, sid)
    equal("association: OPENED unbound", (0, 0), (o.window, o.family))
    d = c.want(DGRAM, sid)
    equal("UDP echo", ("127.0.0.1", port, b"ping"), (d.address, d.port, d.data))
    big = os.urandom(8000)
    c.send(dgram(sid, "127.0.0.1", port, big))
    equal("8,000 bytes", big, c.want(DGRAM, sid).data)
    batch = b"".join(bytes([i]) * 1000 for i in range(20)) + b"end"
    c.send(dgram(sid, "127.0.0.1", port, batch, segment=1000))
    got = []
    while sum(map(len, got)) < len(batch):
        d = c.want(DGRAM, sid)
        n = d.segment or len(d.data)
        got += [d.data[i:i + n] for i in range(0, len(d.data), n)]
    equal("a batch of 21 datagrams", [1000] * 20 + [3], sorted(map(len, got), reverse=True))
    s6 = c.open(UDP, family=6)
    c.want(OPENED, s6)
    c.send(dgram(s6, "::1", port6, b"six"))
    equal("UDP over IPv6", ("::1", b"six"), (lambda d: (d.address, d.data))(c.want(DGRAM, s6)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as shut:
        shut.bind(("127.0.0.1", 0))
        dead = shut.getsockname()[1]
    c.send(dgram(sid, "127.0.0.1", dead, b"x"))
    f = c.want(DGRAM_ERROR, sid)
    equal("ICMP port unreachable comes back", ("127.0.0.1", dead, (3, 3)),
          (f.address, f.port, f.icmp))
    c.send(dgram(sid, "169.254.169.254", 80, b"x"))
    equal("a denied destination", (3, 13), c.want(DGRAM_ERROR, sid).icmp)
    # somebody we never sent to
    me = [x for x in e.events() if x.get("protocol") == "udp"]
    report(len(me) >= 2, "audit lines of datagrams")
    before = e.counters()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.bind(("127.0.0.1", 0))
            back.settimeout(3)
            c.send(dgram(sid, "127.0.0.1", back.getsockname()[1], b"who"))
            _, addr = back.recvfrom(100)
            stranger.sendto(b"spoof", addr)
            back.sendto(b"true", addr)
    equal("only from where it sent to", b"true", c.want(DGRAM, sid).data)
    equal("the other one was counted", 1,
          e.counters()["dgrams_filtered"] - before["dgrams_filtered"])
    if e.ready["ping4"]:
        s = c.open(ICMP)
        c.want(OPENED, s)
        c.send(dgram(s, "127.0.0.1", 4711, b"\0\7payload"))
        d = c.want(DGRAM, s)
        equal("ICMP echo", ("127.0.0.1", 4711, b"\0\7payload"), (d.address, d.port, d.data))
    if e.ready["ping6"]:
        s = c.open(ICMP6, family=6)
        c.want(OPENED, s)
        c.send(dgram(s, "::1", 12, b"\0\1six"))
        d = c.want(DGRAM, s)
        equal("ICMPv6 echo", ("::1", 12, b"\0\1six"), (d.address, d.port, d.data))
    c.send(reset(sid))
    c.close()
    # idle association
    c = e.session()
    sid = c.open(UDP)
    c.send(dgram(sid, "127.0.0.1", port, b"x"))
    c.want(DGRAM, sid)
    t = time.monotonic()
    equal("an idle association ends", 3, c.want(RESET, sid, 6).reason)
    report(0.5 < time.monotonic() - t < 5, "... after IdleUdp")
    c.close()


def check_services(e, port):
    c = e.session(service="<TCP_ANY>")
    equal("<TCP_ANY>: UDP is denied", 5, c.want(REFUSED, c.open(UDP)).reason)
    c.want(OPENED, c.open(TCP, "127.0.0.1", port))
    report(True, "<TCP_ANY>: TCP")
    c.close()
    c = e.session(service="TCP_Echo")
    c.want(OPENED, c.open(TCP, "127.0.0.1", port))
    equal("TCP_Echo: nothing but its servers", 5,
          c.want(REFUSED, c.open(TCP, "127.0.0.1", port ^ 1)).reason)
    c.close()
    c = e.session(service="TCP_Named")
    c.want(OPENED, c.open(TCP, None, port, name="echo.corp.internal"))
    c.want(OPENED, c.open(TCP, "127.0.0.1", port, name="echo.corp.internal"))
    report(True, "TCP_Named: its server by name, with the address that it leads to")
    equal("TCP_Named: another address under that name", 5,
          c.want(REFUSED, c.open(TCP, "127.0.0.2", port, name="echo.corp.internal")).reason)
    c.close()


def check_faults(e, port):
    c = e.session()
    c.send(probe(77))
    equal("PROBE is answered", 77, c.want(PROBE_REPLY).opaque)
    e.ctl("fault", "no-probe-reply")
    sid = c.open(TCP, "127.0.0.1", port)
    c.send(probe(1), probe(2))
    c.want(OPENED, sid)
    c.send(data(sid, b"between") + probe(3))
    c.read_data(sid, 7)
    report(not [f for f in c.drain(0.3) if f.type == PROBE_REPLY], "fault no-probe-reply")
    equal("PROBEs are logged", [True, False, False, False],
          [x["answered"] for x in e.events("probe")][-4:])
    e.ctl("fault", "off", "no-probe-reply")
    c.send(probe(5))
    equal("... off", 5, c.want(PROBE_REPLY).opaque)
    e.ctl("fault", "refuse-open", "host-unreachable", "times", "1")
    equal("fault refuse-open", 2, c.want(REFUSED, c.open(TCP, "127.0.0.1", port)).reason)
    e.ctl("fault", "delay-open", "400", "times", "2")
    t = time.monotonic()
    a, b = c.open(TCP, "127.0.0.1", port), c.open(UDP)
    c.send(dgram(b, "127.0.0.1", e.udp, b"held"))
    c.want(OPENED, a)
    report(0.3 < time.monotonic() - t < 3, "fault delay-open", time.monotonic() - t)
    equal("a DGRAM is held meanwhile", b"held", c.want(DGRAM, b).data)
    c.send(reset(b))
    for how in ("freeze", "deaf", "mute"):
        c.drain(0.3)
        e.ctl("fault", how)
        c.send(probe(9))
        report(not c.drain(0.3), "fault %s: silence" % how)
        e.ctl("fault", "off")
        equal("... thawed, nothing is lost", 9, c.want(PROBE_REPLY).opaque)
    e.ctl("fault", "rst")
    equal("fault rst", "reset", c.wait_end(3))
    c = e.session()
    e.ctl("fault", "fin")
    equal("fault fin", "eof", c.wait_end(3))
    c = e.session()
    e.ctl("fault", "goaway", "internal")
    equal("fault goaway", INTERNAL, c.want(GOAWAY).reason)
    equal("... and the end", "eof", c.wait_end(3))
    c = e.session()
    e.ctl("fault", "rst", "device", "somebody")
    c.send(probe(1))
    equal("a fault of another device", 1, c.want(PROBE_REPLY).opaque)
    c.close()
    e.ctl("fault", "no-config", "times", "1")
    c = e.dial()
    equal("fault no-config: 101", 101, c.post(device_id="laptop", user_id="jane").status)
    report(not c.drain(0.4), "... and no more")
    c.close()
    e.ctl("fault", "no-post-answer", "times", "1")
    c = e.dial()
    c.send_bytes(Client.request(device_id="laptop", user_id="jane"))
    try:
        c.read_head(0.5)
        report(False, "fault no-post-answer")
    except TimeoutError:
        report(True, "fault no-post-answer")
    c.close()
    e.ctl("fault", "rst", "after", "200", "times", "1")
    t = time.monotonic()
    c = e.session()
    equal("fault rst after 200 ms", "reset", c.wait_end(3))
    report(time.monotonic() - t > 0.15, "... not before")
    equal("an unknown fault is refused", False, e.ctl("fault", "nonsense")["ok"])
    e.ctl("fault", "off")


def check_revoked(e):
    c = e.session()
    e.ctl("block", "laptop")
    equal("blocked meanwhile: GOAWAY revoked", REVOKED, c.want(GOAWAY).reason)
    equal("... and the end", "eof", c.wait_end(3))
    with e.dial() as d:
        equal("... and refused", "device_blocked",
              d.post(device_id="laptop", user_id="jane").error)
    e.ctl("unblock", "laptop")
    c = e.session()
    with open(e.devices) as f:
        lines = f.read()
    with open(e.devices, "w") as f:
        f.write("nonsense\n")
    report(eventually(lambda: e.events("devices.invalid")), "an invalid list is said")
    said = e.ctl("status")["devices"]
    report("not JSON" in (said["error"] or ""), "... by status, too", said)
    equal("... and by reload", False, e.ctl("reload")["ok"])
    c.send(probe(3))
    equal("... and changes nothing", 3, c.want(PROBE_REPLY).opaque)
    changed = "".join(x.replace('"Blocked": false', '"Blocked": true') + "\n"
                      if '"laptop"' in x else x + "\n" for x in lines.splitlines())
    with open(e.devices + ".new", "w") as f:
        f.write(changed)
    os.rename(e.devices + ".new", e.devices)
    equal("blocked in the file: GOAWAY revoked", REVOKED, c.want(GOAWAY, timeout=5).reason)
    with open(e.devices, "w") as f:
        f.write(lines)
    e.proc.send_signal(signal.SIGHUP)
    report(eventually(lambda: e.dial().post(device_id="laptop", user_id="jane").status == 101),
           "SIGHUP reads it again")


def check_crl(work):
    """A certificate that is revoked after its ticket was given out."""
    where = os.path.join(work, "pki")
    pki("crl", where)
    e = Endpoint(work, "Crl = %s/ca.crl\n" % where, name="crl")
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with e.dial(tls=ctx, maximum=ssl.TLSVersion.TLSv1_2) as c:
        equal("CRL: not revoked", 101, c.post(device_id="laptop", user_id="jane").status)
        ticket = c.sock.session
    pki("crl", where, "laptop")
    equal("CRL: reload takes it", (True, 1), (lambda a: (a["ok"], a["crl"]["revoked"]))(
        e.ctl("reload")))
    with e.dial(tls=ctx, maximum=ssl.TLSVersion.TLSv1_2, session=ticket) as c:
        a = c.post(device_id="laptop", user_id="jane")
        equal("CRL: revoked, on a resumed TLS session", (True, 403, "certificate_unknown"),
              (c.sock.session_reused, a.status, a.error))
    with e.dial() as c:
        equal("CRL: revoked, on a new one", "certificate_unknown",
              c.post(device_id="laptop", user_id="jane").error)
    e.stop("crl")


def check_errors(e, port):
    def error(what, *frames, opened=False):
        c = e.session()
        sid = 0
        if opened:
            sid = c.open(TCP, "127.0.0.1", port)
            c.want(OPENED, sid)
        c.send(*[f(sid) if callable(f) else f for f in frames])
        try:
            g = c.want(GOAWAY, timeout=3)
            ok = g.reason == PROTOCOL_ERROR and c.wait_end(3) == "eof"
            report(ok, "protocol error: " + what, g)
        except (TimeoutError, Closed) as x:
            report(False, "protocol error: " + what, repr(x))
        c.close()

    error("an unknown type", frame(0x7F, 0))
    error("a payload over the limit", frame(DATA, 1, b"x", length=65537))
    error("CONFIG from a client", config({}))
    error("OPEN leaves an ID out", open_frame(2, TCP, "127.0.0.1", port))
    error("OPEN twice", open_frame(1, TCP, "127.0.0.1", port),
          open_frame(1, TCP, "127.0.0.1", port))
    error("DATA on a stream never opened", data(9, b"x"))
    error("DATA beyond the window", lambda s: data(s, bytes(65536)), opened=True)
    error("empty DATA", lambda s: data(s, b""), opened=True)
    error("DATA after FIN", lambda s: fin(s), lambda s: data(s, b"x"), opened=True)
    error("WINDOW 0", lambda s: window(s, 0), opened=True)
    error("WINDOW over 2^31", lambda s: window(s, (1 << 31) - 1), opened=True)
    error("RETURN of more than there is", lambda s: give_back(s, (1 << 31) - 1), opened=True)
    error("DGRAM on a TCP stream", lambda s: dgram(s, "127.0.0.1", 1, b"x"), opened=True)
    error("DGRAM on stream 0", dgram(0, "127.0.0.1", 1, b"x"))
    error("ACK of more than was sent", ack(1 << 40))
    error("ACK not at a frame's end", ack(3))
    error("WINDOW on stream 0", window(0, 1))
    error("PROBE of a wrong length", frame(PROBE, 0, b"x"))
    error("an association with a port", frame(OPEN, 1, struct.pack(">BBH4sI", UDP, 4, 1, bytes(4),
                                                                    0)))
    c = e.session()
    c.send(frame(0x80, 5, b"later"), probe(8))
    equal("types from 0x80 are skipped", 8, c.want(PROBE_REPLY).opaque)
    c.send(*[probe(i) for i in range(50)])
    n = len([f for f in c.drain(0.5) if f.type == PROBE_REPLY])
    report(n <= 10, "PROBEs beyond 10 a second stay unanswered", n)
    # a frame in pieces
    raw = probe(4242)
    time.sleep(1)
    for i in range(len(raw)):
        c.send_bytes(raw[i:i + 1])
    equal("a frame byte by byte", 4242, c.want(PROBE_REPLY).opaque)
    c.close()


# the public names of the fields of an audit line
AUDIT = {"publishTime": str, "entryID": str, "useCaseID": str, "entryType": str, "userID": str,
         "deviceID": str, "deviceType": str, "serviceType": str, "serviceName": str,
         "clientHost": str, "clientPort": int, "requestUrl": str, "httpMethod": str,
         "applicationId": str, "contextHeaders": dict, "serverHost": str, "serverPort": int,
         "action": str}


def check_audit(e):
    lines = [x for x in e.events() if "publishTime" in x]
    report(len(lines) > 10, "audit: a line for each flow", len(lines))
    wrong = [(k, x.get(k)) for x in lines for k, t in AUDIT.items() if type(x.get(k)) is not t]
    equal("audit: each field in each line, of its type", [], wrong[:3])
    x = [x for x in lines if x["serverHost"] == "169.254.169.254"][0]
    equal("audit: what was blocked, for whom", ("BLOCK", "laptop", "jane", "IP_TUNNEL", "<IP_ANY>"),
          (x["action"], x["deviceID"], x["userID"], x["serviceType"], x["serviceName"]))
    equal("audit: entries are numbered", len(lines), len({x["entryID"] for x in lines}))
    report(all(len(x["publishTime"]) >= 20 and x["publishTime"].endswith("Z") for x in lines),
           "audit: times are RFC 3339 UTC", lines[0]["publishTime"])


def check_config(work):
    def bad(what, needle, text):
        path = os.path.join(work, "bad.ini")
        with open(path, "w") as f:
            f.write(text)
        r = subprocess.run([SENTRY, "serve", path], capture_output=True, text=True, timeout=10)
        report(r.returncode == 6 and needle in r.stderr, "INI: " + what,
               "%d: %s" % (r.returncode, r.stderr))

    base = "[sentry]\nCertificate = a\nPrivateKey = b\nDeviceCa = c\nDevices = d\n"
    bad("an unknown key, with its line", "bad.ini:6: unknown key 'kerberos'", base + "Kerberos = x\n")
    bad("an unknown section", "bad.ini:6: unknown section [rules]", base + "[rules]\n")
    bad("an unquoted list", "bad.ini:6: a list with ';' must be quoted",
        base + "Services = <IP_ANY>;<TCP_ANY>\n")
    bad("a duplicate", "bad.ini:6: devices stands in line 5", base + "Devices = e\n")
    bad("a service name", "bad.ini:6:", base + 'Services = "TCP a"\n')
    bad("a service to come", "not supported yet", base + "Services = <CIFS_ANY>\n")
    bad("a fault", "bad.ini:7: refuse takes STATUS", base + "[fault]\nrefuse = 1\n")
    bad("a missing key", "needs Certificate", "[sentry]\n")
    bad("a pool with host bits", "host bits", base + "Pool4 = 10.0.0.1/8\n")


def main():
    work = tempfile.mkdtemp(prefix="sentry-smoke.")
    os.chmod(work, 0o755)
    p = os.path.join(work, "pki")
    pki("init", p)
    pki("sentry", p, "sentry", "--dns", "sentry.demo.internal", "--ip", "127.0.0.1")
    pki("device", p, "laptop", "--user", "jane")
    pki("device", p, "stale", "--user", "jane", "--expired")
    pki("device", p, "stranger", "--user", "jane", "--unlisted")
    pki("device", p, "alien", "--user", "jane", "--other-ca")
    for name, old, new in (("blocked", '"Blocked": false', '"Blocked": true'),
                           ("userblocked", '"UserBlocked": false', '"UserBlocked": true'),
                           ("unenrolled", '"enrolled"', '"unenrolled"'),
                           ("noncompliant", '"compliant"', '"non-compliant"')):
        pki("device", p, name, "--user", "jane")
        path = os.path.join(p, "devices.jsonl")
        with open(path) as f:
            lines = f.read().splitlines()
        lines[-1] = lines[-1].replace(old, new)
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")
    tcp, udp, udp6 = serve_tcp(echo), serve_udp(), serve_udp(socket.AF_INET6, "::1")
    dns = serve_dns({"echo.corp.internal": "127.0.0.1",
                     "metadata.corp.internal": "169.254.169.254"})
    pings = ping_range("0 0")
    e = Endpoint(work, "AllowLoopback = true\nIdleUdp = 2\nIdleDns = 1\n"
                       'Server.TCP_Named = "echo.corp.internal:%d"\n'
                       'Server.TCP_Echo = "127.0.0.1:%d"\n'
                       "Resolvers = 127.0.0.1:%d\n" % (tcp, tcp, dns))
    if pings:
        equal("ping sockets are found", (True, True), (e.ready["ping4"], e.ready["ping6"]))
    e.udp = udp
    try:
        check_config(work)
        check_tls(e)
        check_refusals(e)
        check_tcp(e, tcp)
        check_ends(e)
        check_dgrams(e, udp, udp6)
        check_services(e, tcp)
        check_faults(e, tcp)
        check_revoked(e)
        check_errors(e, tcp)
        c = e.session()
        k = e.counters()
        c.open(TCP, "127.0.0.1", tcp)
        threading.Timer(0.2, lambda: e.proc.send_signal(signal.SIGTERM)).start()
        equal("SIGTERM: GOAWAY bye", BYE, c.want(GOAWAY).reason)
        equal("... and the end", "eof", c.wait_end(3))
        e.stop("sentry", "the device list stays as it was")
        report(k["app_in"] > 0 and k["far_out"] > 0, "counters count", k)
        report(bool(e.events("stop")), "the last line holds the counters")
        # loopback is refused unless allowed
        ping_range("1 0")
        e = Endpoint(work, name="strict")
        c = e.session()
        if pings:
            s = c.open(ICMP)
            equal("ICMP echo without ping_group_range: not supported", 8,
                  c.want(REFUSED, s).reason)
            report(any("ping_group_range" in x["text"] for x in e.events("warning")),
                   "it says what it needs")
        equal("own loopback is refused", 5, c.want(REFUSED, c.open(
            TCP, "127.0.0.1", tcp)).reason)
        equal("... by name too", 5, c.want(REFUSED, c.open(
            TCP, None, tcp, name="localhost")).reason)
        for where in ("127.9.9.9", "0.0.0.0", "169.254.169.254", "::1", "::", "fe80::1",
                      "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "224.0.0.1"):
            equal("TCP to %s is refused" % where, 5, c.want(REFUSED, c.open(
                TCP, where, tcp, family=6 if ":" in where else 4)).reason)
        s4, s6 = c.open(UDP), c.open(UDP, family=6)
        for sid, where, icmp in ((s4, "127.0.0.1", (3, 13)), (s4, "169.254.169.254", (3, 13)),
                                 (s6, "::1", (1, 1)), (s6, "fe80::1", (1, 1))):
            c.send(dgram(sid, where, udp, b"x"))
            equal("UDP to %s is refused" % where, (where, icmp),
                  (lambda d: (d.address, d.icmp))(c.want(DGRAM_ERROR, sid)))
        c.close()
        check_audit(e)
        e.stop("strict")
        check_crl(work)
    finally:
        if e.proc.poll() is None:
            e.proc.kill()
        if results["FAIL"]:
            with open(e.log) as f:
                for line in f.readlines()[-10:]:
                    print("     | " + line, end="")
            e.err.seek(0)
            print("     | " + e.err.read()[-3000:])
        shutil.rmtree(work, ignore_errors=True)
    print("DONE %d passed, %d failed" % (results["PASS"], results["FAIL"]))
    return 1 if results["FAIL"] else 0


sys.exit(main())
