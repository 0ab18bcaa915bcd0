"""local_user SOCKET - a member of the daemon's group who means no good.

Prints one line for each thing tried; the daemon must outlive them all.
"""
import array
import fcntl
import os
import socket
import struct
import sys
import time

PATH = sys.argv[1]
MAGIC = 0x41544332
CONNECT, DISCONNECT, STATUS, EXPLAIN, LOG, APPLY, CONFIRM, ROLLBACK = range(1, 9)
SIZE = 332      # struct control_request: one more byte, and the daemon waits for it


def request(verb, flags=0, magic=MAGIC, level=0, timeout=0, name=b""):
    b = struct.pack("=IBBBBII", magic, verb, level, 0, 0, flags, timeout)
    return (b + bytes(35 - len(b)) + name).ljust(SIZE, b"\0")


def client():
    c = socket.socket(socket.AF_UNIX)
    c.connect(PATH)         # waits while the queue is full
    c.settimeout(10)
    return c


def ask(data, beside=()):
    with client() as c:
        try:
            c.sendmsg([data], beside)
        except OSError:
            pass
        got = b""
        try:
            while b := c.recv(65536):
                got += b
        except OSError:
            pass
        return got


def said(what, ok=True):
    print("%s: %s" % (what, "ok" if ok else "NOT OK"), flush=True)


t = time.monotonic()
NO = b"does not understand"
said("a question is answered", b"exit 0" in ask(request(STATUS)))
said("another magic", NO in ask(request(STATUS, magic=1)))
said("no such verb", NO in ask(request(99)))
said("flags of another verb", NO in ask(request(CONNECT, flags=4)))
said("a path as name", NO in ask(request(CONNECT, name=b"../../etc/passwd")))
said("a name without end", NO in ask(request(CONNECT, name=b"A" * 33)))
said("text", NO in ask(b"GET / HTTP/1.1\r\n\r\n" * 20))
# what is root's alone
own = os.memfd_create("profile", os.MFD_ALLOW_SEALING)
os.write(own, b"[sentry]\nHost = evil.example\n")
fcntl.fcntl(own, fcntl.F_ADD_SEALS, 0xf)
beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [own]))]
said("a profile of one's own", b"takes root\nexit 7\n" in ask(request(APPLY, name=b"corp"), beside))
said("a profile without name", NO in ask(request(APPLY), beside))
said("a confirmation", b"takes root\nexit 7\n" in ask(request(CONFIRM, name=b"corp")))
said("a rollback", b"takes root\nexit 7\n" in ask(request(ROLLBACK, name=b"corp")))
said("an older Version", b"exit 7\n" in ask(request(CONNECT, flags=0x100, name=b"corp")))
# half a request, then nothing: turned away after 5 s; only 8 of one user
idle = []
for _ in range(20):
    c = client()
    try:
        c.sendall(b"\0" * 10)
    except OSError:
        pass
    idle.append(c)
turned = 0
for c in idle:
    c.settimeout(0.2)
    try:
        turned += b"too many" in c.recv(4096)
    except OSError:
        pass
said("20 half requests: %d turned away" % turned, turned >= 12)
time.sleep(6)
rest = 0
for c in idle:
    try:
        while b := c.recv(4096):
            rest += b"no request came" in b
    except OSError:
        pass
    c.close()
said("and %d after the deadline" % rest, rest >= 8 - (20 - turned - 8 > 0))
# descriptors beside a request
null = os.open("/dev/null", os.O_RDONLY)
said("200 descriptors", b"exit 0" in ask(request(STATUS), [
    (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 200))]))
for n in range(1, 12):
    ask(request(STATUS), [
        (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * n))])
said("a few descriptors")
# an endless line
c = client()
n = 0
try:
    c.sendall(request(STATUS))
    for _ in range(100000):
        n += c.send(b"A" * 65536)
except OSError:
    pass
said("an endless line: %d bytes taken" % n, n < 10 << 20)
c.close()
# thousands of questions, no answer read
for k in range(3000):
    c = client()
    try:
        c.sendall(request(STATUS, flags=1))
    except OSError:
        pass
    c.close()
said("3,000 questions and away")
# many log followers that never read
follow = []
for k in range(100):
    c = client()
    try:
        c.sendall(request(LOG, flags=2))
    except OSError:
        pass
    follow.append(c)
said("100 followers that do not read")
for c in follow:
    c.close()
# connects and disconnects of what is not there
for k in range(300):
    ask(request(CONNECT, name=b"nosuch%d" % k))
said("300 connects of what is not there")
print("took %.1f s" % (time.monotonic() - t))
