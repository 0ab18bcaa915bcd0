#!/bin/bash
# full-tunnel - a machine whose default route goes into the tunnel, reached by
# ssh from outside; rp_filter 0, 1, 2; TunnelVision; DHCP; IPv6; SO_BINDTODEVICE.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
spawn_in dc "$WORK/peer.log" python3 "$TOP/tests/net/peer.py" 10.1.0.10 203.0.113.10 2001:db8:ffff::10
profile corp 'tunnel:IPRoutes = "0.0.0.0/0;::/0"' 'tunnel:ExcRoutes = 10.10.10.10/32'
profile only4 'tunnel:IPRoutes = 0.0.0.0/0' 'tunnel:ExcRoutes = -'
profile direct6 'tunnel:IPRoutes = 0.0.0.0/0' 'tunnel:ExcRoutes = -' 'lock:IPv6 = direct'
daemon_up

# a server on the device that is reached from outside (rtr)
spawn_in dev "$WORK/inbound.log" python3 "$TOP/tests/net/peer.py" 192.0.2.2 2001:db8:1::2
wait_for 5 grep -q ready "$WORK/inbound.log" || { cat "$WORK/inbound.log"; die "peer.py"; }
cat >"$WORK/hold.py" <<'PY'
# hold ADDR FILE: one open connection to port 7; each line of FILE's growth is a round trip
import socket, sys, time
s = socket.create_connection((sys.argv[1], 7), 5)
s.settimeout(5)
print("open", flush=True)
for line in sys.stdin:
    try:
        s.sendall(line.encode())
        print("ok" if s.recv(100) else "eof", flush=True)
    except OSError as e:
        print("error", e, flush=True)
PY
hold() { # NAME ADDR: a coprocess-like pair of pipes
	mkfifo "$WORK/$1.in"
	nsenter -t "${NS[rtr]}" -n -m -- setpriv --pdeathsig KILL python3 "$WORK/hold.py" "$2" <"$WORK/$1.in" >"$WORK/$1.out" 2>&1 &
	PIDS+=($!)
	eval "exec {fd_$1}>\"$WORK/$1.in\""
	wait_for 6 grep -q open "$WORK/$1.out"
}
alive() { # NAME
	local n fd
	n=$(grep -c . "$WORK/$1.out")
	eval "fd=\$fd_$1"
	echo ping >&"$fd"
	wait_for 6 sh -c "[ \$(grep -c . '$WORK/$1.out') -gt $n ]"
	tail -1 "$WORK/$1.out" | grep -q '^ok'
}
flush_neigh() { dev ip neigh flush all; rtr ip neigh flush all; dev ip -6 neigh flush all; rtr ip -6 neigh flush all; }

for rp in 0 1 2; do
	for c in all default uplink; do dev sysctl -qw "net.ipv4.conf.$c.rp_filter=$rp"; done
	for ct in unknown known; do
		[ $ct = known ] && dev nft 'add table inet track; add chain inet track c { type filter hook prerouting priority 0; }; add rule inet track c ct state invalid counter'
		hold "before4$rp$ct" 192.0.2.2
		hold "before6$rp$ct" 2001:db8:1::2
		atp connect corp --timeout 20 >/dev/null 2>"$WORK/err"
		equal "rp_filter $rp, conntrack $ct: connect" 0 $? || tail -3 "$WORK/err"
		flush_neigh
		check "rp_filter $rp, conntrack $ct: a session opened before lives, IPv4" alive "before4$rp$ct"
		check "rp_filter $rp, conntrack $ct: a session opened before lives, IPv6" alive "before6$rp$ct"
		hold "after4$rp$ct" 192.0.2.2
		hold "after6$rp$ct" 2001:db8:1::2
		check "rp_filter $rp, conntrack $ct: a new session from outside, IPv4" alive "after4$rp$ct"
		check "rp_filter $rp, conntrack $ct: a new session from outside, IPv6" alive "after6$rp$ct"
		check "rp_filter $rp, conntrack $ct: ping from outside" rtr ping -c1 -W2 192.0.2.2
		equal "rp_filter $rp, conntrack $ct: the internet through the tunnel" "Hello from the intranet" \
			"$(dev curl -s --max-time 10 http://203.0.113.10/)"
		[ $ct = known ] && dev nft delete table inet track
		atp disconnect corp >/dev/null 2>&1
	done
done
for c in all default uplink; do dev sysctl -qw "net.ipv4.conf.$c.rp_filter=0"; done

# the very session that types connect: a shell reached from outside runs it
cat >"$WORK/shell.py" <<'PY'
import socket, subprocess, sys
l = socket.create_server(("192.0.2.2", 2323))
print("ready", flush=True)
c, _ = l.accept()
for line in c.makefile("r"):
    p = subprocess.run(line, shell=True, capture_output=True, text=True)
    c.sendall(f"exit {p.returncode}\n".encode())
PY
spawn_in dev "$WORK/shell.log" python3 "$WORK/shell.py"
wait_for 5 grep -q ready "$WORK/shell.log"
cat >"$WORK/type.py" <<'PY'
import socket, sys
s = socket.create_connection(("192.0.2.2", 2323), 5)
s.settimeout(30)
f = s.makefile("r")
for line in sys.argv[1:]:
    s.sendall((line + "\n").encode())
    print(f.readline().strip(), flush=True)
PY
A="$OUT/apptunnel --profile-dir $WORK/profiles.d --run-dir $WORK/run --state-dir $WORK/state"
out=$(rtr timeout 60 python3 "$WORK/type.py" "$A connect corp --timeout 20" "ip neigh flush all" "true" | tr '\n' ' ')
equal "the session that types connect lives on" "exit 0 exit 0 exit 0 " "$out"

# TunnelVision: more specific routes of a DHCP server do not win
dev nft add table inet witness
dev nft add counter inet witness leak
dev nft add chain inet witness c '{ type filter hook postrouting priority 300; }'
dev nft add rule inet witness c oifname uplink ip daddr 203.0.113.0/24 counter name leak
dev ip route add 203.0.113.0/25 via 192.0.2.1
dev ip route add 203.0.113.10/32 via 192.0.2.1
equal "with TunnelVision's routes it still goes through the tunnel" "Hello from the intranet" "$(dev curl -s --max-time 10 http://203.0.113.10/)"
leaked() { dev nft list counter inet witness leak | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
equal "and nothing left outside it" 0 "$(leaked)"

# a process bound to the uplink is rejected
out=$(dev curl -sS --max-time 5 --interface uplink http://203.0.113.10/ 2>&1)
case $out in *Hello*) fail "SO_BINDTODEVICE got out" ;; *) pass "SO_BINDTODEVICE is rejected" ;; esac
out=$(dev ping -c1 -W2 -I uplink 203.0.113.10 2>&1)
case $out in *" 0% packet loss"*) fail "ping -I uplink got out" ;; *) pass "ping bound to the uplink is rejected" ;; esac
equal "and nothing of it left" 0 "$(leaked)"
# control
dev nft insert rule inet apptunnel lock accept
dev ping -c1 -W1 -I uplink 203.0.113.10 >/dev/null 2>&1
if [ "$(leaked)" -gt 0 ]; then pass "control: with the lock open the witness counts"; else fail "control: the witness does not count"; fi
dev ip route del 203.0.113.0/25 via 192.0.2.1
dev ip route del 203.0.113.10/32 via 192.0.2.1

# ExcRoutes go direct
equal "ExcRoutes go direct" "Hello from the intranet" "$(dev curl -s --max-time 10 http://10.10.10.10/)"

# DHCP renewals go direct: unicast from port 68 to port 67
cat >"$WORK/dhcp.py" <<'PY'
import socket, sys
f = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(f, socket.SOCK_DGRAM)
s.bind(("", int(sys.argv[2])))
s.settimeout(3)
s.sendto(b"renew", (sys.argv[1], int(sys.argv[3])))
print(s.recv(100).decode())
PY
cat >"$WORK/dhcpd.py" <<'PY'
import select, socket
socks = []
for f, a, p in ((socket.AF_INET, "192.0.2.1", 67), (socket.AF_INET6, "2001:db8:1::1", 547)):
    s = socket.socket(f, socket.SOCK_DGRAM)
    s.bind((a, p))
    socks.append(s)
print("ready", flush=True)
while True:
    for s in select.select(socks, [], [])[0]:
        d, who = s.recvfrom(1000)
        s.sendto(b"ack " + d, who)
PY
spawn_in rtr "$WORK/dhcpd.log" python3 "$WORK/dhcpd.py"
wait_for 5 grep -q ready "$WORK/dhcpd.log"
equal "a DHCP renewal goes direct" "ack renew" "$(dev python3 "$WORK/dhcp.py" 192.0.2.1 68 67)"
equal "a DHCPv6 renewal goes direct" "ack renew" "$(dev python3 "$WORK/dhcp.py" 2001:db8:1::1 546 547)"
dev nft delete table inet witness
atp disconnect corp >/dev/null 2>&1

# [lock] IPv6: block and direct
app() { dev python3 "$TOP/tests/net/app.py" "$@"; }
equal "before: IPv6 works" connected "$(app connect 2001:db8:ffff::10 7 | cut -d' ' -f1)"
atp connect only4 --timeout 20 >/dev/null 2>&1 || fail "connect only4"
out=$(app connect 2001:db8:ffff::10 7)
case $out in EHOSTUNREACH* | ENETUNREACH* | EACCES*) pass "IPv6 = block: refused at once (${out})" ;; *) fail "IPv6 = block: $out" ;; esac
atp disconnect only4 >/dev/null 2>&1
atp connect direct6 --timeout 20 >/dev/null 2>&1 || fail "connect direct6"
equal "IPv6 = direct: left alone" connected "$(app connect 2001:db8:ffff::10 7 | cut -d' ' -f1)"
atp disconnect direct6 >/dev/null 2>&1
finish
