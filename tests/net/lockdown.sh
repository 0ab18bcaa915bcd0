#!/bin/bash
# lockdown - the engine holds no privilege, and traced through reconnection,
# name resolution and 100 direct UDP flows it opens nothing and runs nothing.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
dns_up 198.51.100.2
spawn_in dc "$WORK/peer.log" python3 "$TOP/tests/net/peer.py" 10.1.0.11
profile corp 'sentry:Host = sentry.demo.internal' 'tunnel:SplitUDPPortList = 53'
dev sh -c "echo 'nameserver 198.51.100.2' >/etc/resolv.conf"
kill_pid "$DNS_PID"
spawn_in dc "$WORK/dns2.log" "$OUT_SERVERS/run" dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv \
	--no-hosts --user=root --pid-file= --listen-address=198.51.100.2 --bind-interfaces \
	--host-record=sentry.demo.internal,198.51.100.2
daemon_up
check "connect by name" atp connect corp --timeout 20 || { tail -20 "$WORK/daemon.log"; finish; }
engine=$(dev pgrep -P "$DAEMON_PID" -x apptunnel-engin)
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$engine/status"; }
equal "CapEff" 0000000000000000 "$(status CapEff)"
equal "CapPrm" 0000000000000000 "$(status CapPrm)"
equal "NoNewPrivs" 1 "$(status NoNewPrivs)"
equal "Seccomp" 2 "$(status Seccomp)"
if [ "$(status Uid | cut -f1)" != 0 ]; then pass "not root"; else fail "the engine runs as root"; fi
equal "supplementary groups" "" "$(status Groups | tr -d ' ')"
daemoncaps=$(sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$DAEMON_PID/status")
if [ "$daemoncaps" != 000001ffffffffff ]; then pass "the daemon's capabilities are cut ($daemoncaps)"; else fail "the daemon keeps every capability"; fi

spawn "$WORK/strace.out" strace -f -tt -e trace=socket,socketpair,open,openat,openat2,creat,execve,execveat,accept4,pidfd_open \
	-o "$WORK/trace" -p "$engine"
tracer=$PID
wait_for 5 grep -q attached "$WORK/strace.out"
kill -0 "$tracer" || skip "strace cannot attach here: $(tail -1 "$WORK/strace.out")"
# 100 direct UDP flows, a reconnection with name resolution, DNS, TCP
dev python3 -c "
import socket
for i in range(100):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
    s.connect(('10.1.0.11', 7)); s.send(b'x')
    try: s.recv(10)
    except TimeoutError: pass
"
dev dig +short +time=2 web.corp.internal >/dev/null
dev curl -s --max-time 10 http://10.1.0.10/ >/dev/null
sentry_ctl fault rst >/dev/null; sleep 0.3; sentry_ctl fault off >/dev/null
wait_for 15 state_is up
equal "up after reconnection" up "$(state)"
dev curl -s --max-time 10 http://10.1.0.10/ >/dev/null
kill_pid "$tracer" INT
calls=$(grep -cE '(socket|open|openat|openat2|creat|execve|execveat|socketpair)\(' "$WORK/trace")
if [ "${OUT##*/}" = asan ]; then
	note "sanitized build: $calls calls seen by strace"
	calls=$(grep -cE '(socket|execve|execveat|socketpair)\(' "$WORK/trace")
fi
equal "socket, open or exec calls of the engine" 0 "$calls" || head -5 "$WORK/trace" | sed 's/^/     | /'
# control: strace sees such a call of a process that makes one
spawn "$WORK/control.out" strace -f -e trace=openat -o "$WORK/control" cat /dev/null
wait "$PID"
if grep -q 'openat(' "$WORK/control"; then pass "control: strace sees an open"; else fail "control: strace sees nothing"; fi
atp disconnect corp >/dev/null 2>&1
finish
