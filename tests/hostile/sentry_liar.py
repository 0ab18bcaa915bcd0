#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sentry_liar.py - a Sentry that lies on command.

    sentry_liar.py list
        one line a case: NAME STAGE EXPECT CODE TIMES FRESH WHY (see liar_cases.py)
    sentry_liar.py serve PKI ADDRESS [--port N] [--in FIFO --out FIFO] [--always PORT=CASE]...
        honest until told otherwise, one command a line, one answer a line:
        arm CASE     tell that lie on the next connections that come so far
        result S     how it went, after at most S seconds: "ok TEXT", "bad TEXT"
        release      connections wait after a lie: go on
        drop         close what is up
        sessions     number of sessions that came up so far
    sentry_liar.py serve PKI ADDRESS --case CASE
        the same lie to everybody, for a person
"""

import os
import socket
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from atp import *  # noqa: E402,F403
import atp  # noqa: E402
import liar_cases  # noqa: E402
import liar_frames  # noqa: E402,F401
from liar_cases import CASES, OFFER, until_gone  # noqa: E402

ECHO_PORT, SILENT_PORT = 1000, 1001
TICK = 0.02


class Stream:
    def __init__(self, f):
        self.sid, self.proto, self.port = f.sid, f.proto, f.port
        self.window = f.window          # what we may still send
        self.open = False
        self.ident = 0


class Conn:
    """An honest session over a Peer, and what lies need of it."""

    def __init__(self, box, peer):
        self.box, self.peer = box, peer
        peer.auto_ack = False
        peer.send, self.send_ = self.send, peer.send
        self.streams = {}
        self.up = False
        self.n_replies = 0
        self.goaway = None
        self.ack_held = False
        self.acked_to = 0
        self.echoed = bytearray()
        self.heard = 0                  # datagrams of the app

    def send(self, *frames):
        """What ends a stream is no stream to lie about any more."""
        self.send_(*frames)
        for f in frames:
            if f[0] in (REFUSED, RESET, FIN):
                self.streams.pop(int.from_bytes(f[4:8], "big"), None)

    # frames in

    def handle(self, f):
        p = self.peer
        if f.type == OPEN:
            s = self.streams[f.sid] = Stream(f)
            if self.up and (s.proto != TCP or s.port != SILENT_PORT) and not self.box.no_answer:
                self.answer(s)
        elif f.type == DATA:
            p.send(window(f.sid, len(f.data)))
            self.echoed += f.data
        elif f.type == WINDOW and f.sid in self.streams:
            self.streams[f.sid].window += f.credit
        elif f.type == RETURN and f.sid in self.streams:
            pass
        elif f.type in (RESET, FIN):
            if f.type == FIN and f.sid in self.streams:
                p.send(fin(f.sid))
            self.streams.pop(f.sid, None)
        elif f.type == DGRAM:
            self.heard += 1
            s = self.streams.get(f.sid)
            if s and s.open:
                s.ident = f.port
                p.send(dgram(f.sid, f.address, f.port, f.data))
        elif f.type == PROBE:
            p.send(probe_reply(f.opaque))
            if not self.up:
                self.up = True
                self.box.came_up(self)
        elif f.type == PROBE_REPLY:
            self.n_replies += 1
        elif f.type == GOAWAY:
            self.goaway = f
        if f.counted and not self.ack_held:
            self.acked_to = p.received
            p.send(ack(p.received))

    def answer(self, s):
        s.open = True
        self.peer.send(opened(s.sid, 65536 if s.proto == TCP else 0))

    def pump(self, seconds, until=None):
        """Handle what comes.  With `until`: as long as that is false; True when it came true."""
        end = time.monotonic() + seconds
        while True:
            if until and until():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            try:
                self.handle(self.peer.read_frame(min(left, TICK)))
            except TimeoutError:
                pass

    def need(self, what, until, seconds=6):
        if not self.pump(seconds, until):
            raise AssertionError("no %s within %d s" % (what, seconds))

    # what lies are told about

    def find(self, ok):
        for s in list(self.streams.values()):
            if ok(s):
                return s
        return None

    def get(self, what, ok):
        self.need(what, lambda: self.find(ok))
        return self.find(ok)

    def stream(self):
        """A TCP stream to the echoing app."""
        return self.get("TCP stream", lambda s: s.proto == TCP and s.open)

    def pending(self):
        return self.get("unanswered stream", lambda s: s.proto == TCP and not s.open)

    def assoc(self, proto=UDP, answer=True):
        if answer:
            return self.get("association", lambda s: s.proto == proto and s.open and
                            (proto == UDP or s.ident))
        # one that we have not answered: end what is there, the app makes another
        self.box.no_answer = True
        try:
            for s in list(self.streams.values()):
                if s.proto == proto:
                    self.peer.send(reset(s.sid))
                    self.streams.pop(s.sid, None)
            return self.get("association", lambda s: s.proto == proto and not s.open)
        finally:
            self.box.no_answer = False

    def acked(self):
        self.need("counted frame", lambda: self.acked_to > 8)
        return self.acked_to

    def hold_ack(self):
        """Stop acknowledging until a frame waits for it.  Return: its end."""
        self.ack_held = True
        was = self.acked_to
        self.need("frame to acknowledge", lambda: self.peer.received > was)
        return self.peer.received

    # what came of it

    def refused(self, seconds=6):
        """The client must end it; by GOAWAY(protocol_error), unless that was lost in a reset."""
        how = self.ended(seconds)
        if self.goaway:
            assert self.goaway.reason == PROTOCOL_ERROR, self.goaway
            assert self.goaway.last == 0, self.goaway
            assert how in ("eof", "reset"), "GOAWAY, then %s" % how
            return self.goaway.text
        assert how == "reset", "ended by %s without GOAWAY" % how
        return "reset"

    def ended(self, seconds=6):
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                try:
                    f = self.peer.read_frame(0.5)
                except TimeoutError:
                    continue
                if f.type == GOAWAY:
                    self.goaway = f
        except Closed as e:
            return e.reason
        raise AssertionError("the client did not end the connection")

    def alive(self):
        """PROBE is answered, a TCP stream echoes, a datagram comes."""
        replies = self.n_replies
        self.peer.send(probe(77))
        self.need("answer to PROBE", lambda: self.n_replies > replies)
        s = self.stream()
        word = b"alive %d " % time.monotonic_ns()
        self.peer.send(data(s.sid, word))
        self.need("echo of the app", lambda: word in self.echoed)
        del self.echoed[:]

    def datagrams(self):
        heard = self.heard
        self.need("datagram of the app", lambda: self.heard > heard)

    def all_acked(self, seconds=6):
        self.need("ACK of %d bytes" % self.peer.sent, lambda: self.peer.acked == self.peer.sent,
                  seconds)

    def come_up(self):
        self.need("probe", lambda: self.up)


class Box:
    """What the threads share."""

    def __init__(self, always=None):
        self.lock = threading.Condition()
        self.always = always            # of this port
        self.armed, self.left = None, 0
        self.results = []
        self.held = False
        self.live = None
        self.sessions = 0
        self.no_answer = False
        self.dropping = False

    def came_up(self, conn):
        with self.lock:
            self.live = conn
            self.sessions += 1
            self.lock.notify_all()

    def due(self, stage):
        """The case to play at this stage of a connection, or None."""
        if self.always:
            return self.always if self.always.stage == stage else None
        with self.lock:
            if not self.armed or self.armed.stage != stage or not self.left:
                return None
            self.left -= 1
            return self.armed

    def play(self, the_case, *args):
        with self.lock:
            if the_case.expect not in ("lives", "up") and not self.left and not self.always:
                self.held = True        # no other connection, so that the driver can look
        try:
            text = "ok %s" % (the_case.fn(*args) or "")
        except (AssertionError, ProtocolError, TimeoutError) as e:
            text = "bad %s: %s" % (type(e).__name__, e)
        except (Closed, OSError) as e:
            # a lie that ends the connection itself has no more to say
            text = "ok the connection ended: %s" % e
            if the_case.expect in ("lives", "up"):
                text = "bad the connection ended: %s" % e
        except Exception:               # noqa: BLE001 - a mistake of ours must be seen
            text = "bad " + traceback.format_exc().replace("\n", " | ")
        with self.lock:
            self.results.append(text)
            self.lock.notify_all()

    def wait_released(self):
        with self.lock:
            self.lock.wait_for(lambda: not self.held, 60)


def connection(box, server, raw):
    raw.settimeout(15)
    box.wait_released()
    the_case = box.due("tcp")
    if the_case:
        box.play(the_case, raw)
        raw.close()
        return
    try:
        peer = atp.ServerPeer(server.ctx.wrap_socket(raw, server_side=True,
                                                        suppress_ragged_eofs=False), 15)
    except (OSError, ssl.SSLError):
        raw.close()
        return
    try:
        session(box, peer)
    except (Closed, OSError, ssl.SSLError, ProtocolError, TimeoutError) as e:
        print("connection: %r" % e, file=sys.stderr, flush=True)
    finally:
        peer.close()


def session(box, peer):
    peer.read_request()
    the_case = box.due("http")
    if the_case:
        box.play(the_case, peer)
        return
    peer.accept_session()
    c = Conn(box, peer)
    the_case = box.due("config")
    if the_case:
        box.play(the_case, c)
        if the_case.expect != "up":
            return
    else:
        peer.send(config(OFFER))
    try:
        serve(box, c)
    finally:
        with box.lock:
            if box.live is c:
                box.dropping = False
                box.live = None
                box.lock.notify_all()


def serve(box, c):
    while True:
        c.pump(TICK)
        if c.goaway or box.dropping and box.live is c:
            return
        if c.up and box.live is c:
            the_case = box.due("live")
            if the_case:
                box.play(the_case, c)
                if the_case.expect != "lives":
                    return


def accept(box, server):
    while True:
        try:
            raw, _ = server.sock.accept()
        except OSError:
            return
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=connection, args=(box, server, raw), daemon=True).start()


def command(box, words):
    with box.lock:
        if words[0] == "arm":
            box.armed = CASES[words[1]]
            box.left, box.results = box.armed.times, []
            return "armed"
        if words[0] == "result":
            done = box.lock.wait_for(lambda: box.armed and len(box.results) >= box.armed.times,
                                     float(words[1]))
            for r in box.results:
                if r.startswith("bad"):
                    return r
            return box.results[-1] if done else "bad it was played %d times" % len(box.results)
        if words[0] == "release":
            box.held, box.left = False, 0
            box.lock.notify_all()
            return "released"
        if words[0] == "drop":
            if not box.live:
                return "nothing to drop"
            box.dropping = True
            ok = box.lock.wait_for(lambda: not box.dropping, 3)
            box.dropping = False
            return "dropped" if ok else "bad it does not drop"
        if words[0] == "sessions":
            return str(box.sessions)
    return "what?"


def main():
    argv = sys.argv[1:]
    if argv[:1] == ["list"]:
        for c in CASES.values():
            print(c.name, c.stage, c.expect, c.code or "-", c.times, int(c.fresh), c.why)
        return
    if len(argv) < 3 or argv[0] != "serve":
        sys.exit(__doc__)
    pki, address, argv = argv[1], argv[2], argv[3:]
    opts, always = {}, []
    while argv:
        key, value, argv = argv[0], argv[1], argv[2:]
        if key == "--always":
            always.append(value.partition("="))
        else:
            opts[key] = value
    files = [os.path.join(pki, n) for n in ("sentry.crt", "sentry.key", "ca.crt")]
    for port, _, name in always:
        server = atp.Server(*files, host=address, port=int(port))
        server.sock.settimeout(None)
        threading.Thread(target=accept, args=(Box(CASES[name]), server), daemon=True).start()
    box = Box(CASES[opts["--case"]] if "--case" in opts else None)
    server = atp.Server(*files, host=address, port=int(opts.get("--port", 443)))
    server.sock.settimeout(None)
    threading.Thread(target=accept, args=(box, server), daemon=True).start()
    print("ready", file=sys.stderr, flush=True)
    if "--in" not in opts:
        threading.Event().wait()
    with open(opts["--in"]) as commands, open(opts["--out"], "w") as answers:
        for line in commands:
            print(command(box, line.split()), file=answers, flush=True)


main()
