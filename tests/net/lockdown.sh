#!/bin/bash
# lockdown - the engine holds no privilege, and traced through reconnection,
# name resolution and 100 direct UDP flows it opens nothing and runs nothing.

# groups that the daemon has, and its children must not
[ -n "${GROUPED:-}" ] || GROUPED=1 exec setpriv --groups 0,4,24 bash "$0" "$@"
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
rtr nft -f - <<'NFT'
table inet seen {
	set ports { type inet_service; flags dynamic; }
	counter names { }
	chain c {
		type filter hook forward priority 0;
		iifname todev udp dport 7 add @ports { udp sport }
		iifname todev ip daddr 198.51.100.2 udp dport 53 counter name names
	}
}
NFT
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
# what was to be traced did happen
equal "direct flows that the router saw" 100 "$(rtr nft -j list set inet seen ports | python3 -c 'import json, sys; print(len([x for x in json.load(sys.stdin)["nftables"] if "set" in x][0]["set"]["elem"]))')"
names=$(rtr nft list counter inet seen names | sed -n 's/.*packets \([0-9]*\).*/\1/p')
if [ "${names:-0}" -gt 0 ]; then pass "Sentry's name was looked up again ($names questions)"; else fail "Sentry's name was not looked up"; fi
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
atp connect corp --timeout 20 >/dev/null 2>&1 || fail "connect"
engine=$(dev pgrep -P "$DAEMON_PID" -x apptunnel-engin)

# an engine that hears nothing any more ends with the daemon all the same
kill -STOP "$engine"
kill_pid "$DAEMON_PID" KILL
check "a stopped engine ends with the daemon" wait_for 3 sh -c "! kill -0 $engine"
kill -KILL "$engine" 2>/dev/null
dev "$OUT/apptunneld" --cleanup --state-dir "$WORK/state" --run-dir "$WORK/run" >/dev/null 2>&1

# the parser: what one could do that fell into wrong hands
dev mount -t tmpfs -o mode=755 libexec /mnt
dev tee /mnt/apptunnel-parser >/dev/null <<'PY'
#!/usr/bin/python3
import os, socket
status = dict(l.split(":", 1) for l in open("/proc/self/status").read().splitlines())
fds = sorted(int(f) for f in os.listdir("/proc/self/fd"))
def reach():
    try:
        socket.create_connection(("198.51.100.2", 443), 2)
        return "Sentry"
    except OSError:
        return "nobody"
words = dict(reaches=reach(), uid=os.getuid(), nnp=status["NoNewPrivs"].strip(),
             groups=status["Groups"].strip(), fds=" ".join(str(f) for f in fds[:-1]))
for k, v in words.items():
    os.write(5, f"err parser {k}: {v}\n".encode())
os._exit(6)
PY
dev chmod 755 /mnt/apptunnel-parser
daemon_up --libexec-dir /mnt
atp connect corp --timeout 5 >"$WORK/out" 2>"$WORK/err"
equal "a parser that says the profile is bad: exit" 6 $?
said() { sed -n "s/^parser $1: //p" "$WORK/err"; }
equal "the parser reaches" nobody "$(said reaches)"
if [ "$(said uid)" -gt 0 ]; then pass "the parser is not root"; else fail "the parser is uid $(said uid)"; fi
equal "the parser's NoNewPrivs" 1 "$(said nnp)"
equal "the parser's groups" "" "$(said groups)"
equal "the parser's descriptors" "0 1 2 3 4 5" "$(said fds)"
equal "control: the device itself reaches Sentry" ok \
	"$(dev python3 -c 'import socket; socket.create_connection(("198.51.100.2", 443), 2); print("ok")')"

# who may ask is judged by the daemon, not by the mode of the socket's file alone
equal "the control socket's mode" 660 "$(dev stat -c %a "$WORK/run/control.sock")"
dev chmod 666 "$WORK/run/control.sock"
dev setpriv --reuid 64433 --regid 64433 --clear-groups "$(shared "$OUT")/apptunnel" \
	--run-dir "$(shared "$WORK")/run" --profile-dir "$(shared "$WORK")/profiles.d" connect corp >"$WORK/out" 2>"$WORK/err"
equal "a stranger at an open control socket: exit" 7 $?
check "and is told why" grep -q "only root and members" "$WORK/err"
finish
