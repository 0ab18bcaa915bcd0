#!/bin/bash
# plan-apply - real plans against the kernel, without Sentry: applied, read back,
# undone, killed at each step, and what packets do meanwhile.  The program is
# tests/unit/platform/drive_apply.c; the topology is that of lib.sh.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

case $OUT in */asan) SAN=SAN=1 ;; *) SAN= ;; esac
# shellcheck disable=SC2086
env -u OUT make -s -C "$TOP" $SAN OUT="${OUT#"$TOP"/}" "${OUT#"$TOP"/}/unit/platform/drive_apply" >/dev/null || die "drive_apply cannot be built"
net_up
mkdir -p "$WORK/state"
OFFER=(addr=172.28.13.2 addr=fd53::2 search=corp.internal)
SPLIT=(route=10.0.0.0/8 route=fd00:10::/32 exc=10.10.10.10/32 exc=192.168.0.0/16)
FULL=(route=0.0.0.0/0 route=::/0)
# no more than the daemon keeps
CAPS=(setpriv --bounding-set "-all,+net_admin,+kill,+setuid,+setgid,+chown")
drive() { dev "${CAPS[@]}" "$OUT/unit/platform/drive_apply" "$WORK/state" "${RESOLV:-/etc/resolv.conf}" "${OFFER[@]}" "$@"; }
# same WHAT - nothing stayed, nothing is missing, the state folder is empty
same() {
	snapshot >"$WORK/after"
	ls -A "$WORK/state" >>"$WORK/after"
	if diff "$WORK/before" "$WORK/after" >"$WORK/diff"; then
		pass "$1"
	else
		fail "$1: something stayed or is missing"
		sed 's/^/     | /' "$WORK/diff" | head -20
		return 1
	fi
}
# hold SETTINGS -- COMMANDS: a driver that applied them and waits; $HELD
hold() {
	local i
	rm -f "$WORK/go" "$WORK/held.log"
	mkfifo "$WORK/go"
	# shellcheck disable=SC2094
	nsenter -t "${NS[dev]}" -n -m -- setpriv --pdeathsig KILL "${CAPS[@]}" \
		"$OUT/unit/platform/drive_apply" "$WORK/state" "${RESOLV:-/etc/resolv.conf}" \
		"${OFFER[@]}" "$@" <"$WORK/go" >>"$WORK/held.log" 2>&1 &
	HELD=$!
	PIDS+=("$HELD")
	exec 9>"$WORK/go"
	for i in $(seq 100); do
		grep -q '^holding' "$WORK/held.log" && return
		kill -0 "$HELD" 2>/dev/null || break
		sleep 0.05
	done
	fail "drive_apply $*"
	sed 's/^/     | /' "$WORK/held.log" | tail -5
}
go_on() { echo >&9; }
let_go() { exec 9>&-; wait "$HELD"; }

cat >"$WORK/sock.py" <<'PY'
# connect ADDRESS PORT [mark] [dev=IF]: prints "ok" or the error's name, and
# "slow" when the answer took over half a second
import errno, socket, sys, time
addr, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
s = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET)
s.settimeout(2)
for h in how:
    if h == "mark":
        s.setsockopt(socket.SOL_SOCKET, 36, 0x01000000)
    elif h.startswith("dev="):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, h[4:].encode())
t = time.monotonic()
try:
    s.connect((addr, port))
    s.sendall(b"hello")
    print("ok" if s.recv(5) == b"hello" else "no echo", end="")
except OSError as e:
    print(errno.errorcode.get(e.errno, "timeout"), end="")
print(" slow" if time.monotonic() - t > 0.5 else "")
PY
cat >"$WORK/echo.py" <<'PY'
import socket, sys, threading
def serve(c):
    try:
        while (b := c.recv(4096)):
            c.sendall(b)
    except OSError:
        pass
l = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
PY
cat >"$WORK/talk.py" <<'PY'
# keep a connection; each line of input is echoed through it: "ok" or an error
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)
s.settimeout(3)
print("open", flush=True)
for line in sys.stdin:
    try:
        s.sendall(line.encode())
        print("ok" if s.recv(4096).decode() == line else "garbled", flush=True)
    except OSError as e:
        print("dead", e, flush=True)
PY
spawn_in dc "$WORK/echo-dc.log" python3 "$WORK/echo.py" 7
spawn_in dev "$WORK/echo-dev.log" python3 "$WORK/echo.py" 2022
con() { dev python3 "$WORK/sock.py" "$@"; }
from_outside() { dc python3 "$WORK/sock.py" "$@"; }
con_is() { equal "$1" "$2" "$(con "${@:3}")"; }
wait_for 5 sh -c "nsenter -t ${NS[dev]} -n -m -- python3 $WORK/sock.py 198.51.100.2 7 | grep -q ok" || die "the echo server does not answer"
wait_for 5 from_outside 192.0.2.2 2022

snapshot >"$WORK/before"

# ---- applied and undone ----------------------------------------------------------
round() { # WHAT SETTINGS... - lock, tunnel, undo
	local what=$1
	shift
	if drive "$@" -- lock tunnel undo >"$WORK/out" 2>&1; then same "$what"; else
		fail "$what: $(tail -1 "$WORK/out")"
	fi
}
drive route=10.0.0.0/8 -- lock die >/dev/null 2>&1
snapshot >"$WORK/after"
cmp -s "$WORK/before" "$WORK/after" && fail "control: a lock that stays is not seen" || pass "control: a lock that stays is seen"
drive -- cleanup >/dev/null
same "cleanup after kill -9"
round "split tunnel" "${SPLIT[@]}"
round "full tunnel" "${FULL[@]}"
round "full tunnel of one family, the other refused" route=0.0.0.0/0
round "full tunnel of one family, the other direct" route=::/0 ipv6=direct
round "no lock" route=0.0.0.0/0 lock=off
round "no answers to outside" "${FULL[@]}" inbound=off
round "without virtio headers" "${FULL[@]}" vnet=off
grep -q 'vnet_hdr 0' "$WORK/out" || fail "virtio headers are not off"
many=()
for i in $(seq 0 2047); do many+=("route=10.$((i / 256)).$((i % 256)).0/24" "exc=172.16.$((i / 256)).$((i % 256))/32"); done
SECONDS=0
round "4,096 prefixes" "${many[@]}"
[ $SECONDS -le 10 ] || fail "4,096 prefixes took $SECONDS s"

# ---- resolv.conf in every shape --------------------------------------------------
dev sh -c 'rm /etc/resolv.conf; echo "nameserver 203.0.113.54" >/etc/stub; ln -s stub /etc/resolv.conf'
snapshot >"$WORK/before"
round "resolv.conf is a link" "${SPLIT[@]}"
equal "the network's resolvers through a link" "snapshot: nameserver 203.0.113.54" \
	"$(drive "${SPLIT[@]}" -- lock tunnel snapshot undo | grep ^snapshot)"
dev rm /etc/resolv.conf /etc/stub
snapshot >"$WORK/before" 2>/dev/null
if drive "${SPLIT[@]}" -- lock tunnel undo >/dev/null 2>&1 && dev test ! -e /etc/resolv.conf; then
	pass "resolv.conf did not exist"
else
	fail "resolv.conf did not exist"
fi
dev sh -c 'echo "nameserver 203.0.113.55" >/etc/stub; chmod 640 /etc/stub; : >/etc/resolv.conf; mount --bind /etc/stub /etc/resolv.conf'
snapshot >"$WORK/before"
round "resolv.conf is a bind mount" "${SPLIT[@]}"
drive "${SPLIT[@]}" -- lock tunnel die >/dev/null 2>&1
equal "the bind mount is written in place" 1 "$(dev grep -c '^nameserver 198.18.53.53' /etc/stub)"
drive -- cleanup >/dev/null
same "the bind mount after kill -9"
dev sh -c 'umount /etc/resolv.conf; rm -f /etc/stub /etc/resolv.conf; printf "nameserver 203.0.113.53\n" >/etc/resolv.conf'
hold "${SPLIT[@]}" -- lock tunnel hold undo
dev sh -c 'echo "nameserver 192.0.2.99" >/etc/resolv.conf'
let_go
equal "somebody else's resolv.conf stays" "nameserver 192.0.2.99" "$(dev cat /etc/resolv.conf)"
dev sh -c 'printf "nameserver 203.0.113.53\n" >/etc/resolv.conf'
snapshot >"$WORK/before"

# ---- conflicts: exit EEXIST, nothing changed --------------------------------------
conflict() { # WHAT, COMMAND TO MAKE IT, TO TAKE IT BACK
	dev sh -c "$2"
	snapshot >"$WORK/before"
	drive "${FULL[@]}" -- lock >"$WORK/out" 2>&1
	equal "conflict: $1" 17 $?
	same "conflict: $1: nothing changed"
	note "$(tail -1 "$WORK/out")"
	dev sh -c "$3"
}
conflict "a rule of our priority" "ip rule add pref 4430 lookup 77" "ip rule del pref 4430"
conflict "an IPv6 rule with our table" "ip -6 rule add pref 99 lookup 44300" "ip -6 rule del pref 99"
conflict "a rule where exceptions stand" "ip rule add pref 4429 lookup 77" "ip rule del pref 4429"
conflict "a route in our table" "ip route add blackhole 1.2.3.4/32 table 44300" "ip route del blackhole 1.2.3.4/32 table 44300"
conflict "an interface of our name" "ip tuntap add mode tun atp0" "ip tuntap del mode tun atp0"
conflict "an nft table of our name" "nft add table inet apptunnel" "nft delete table inet apptunnel"
conflict "an nft table of our name for ARP" "nft add table arp apptunnel" "nft delete table arp apptunnel"
snapshot >"$WORK/before"
hold "${FULL[@]}" -- lock hold undo
drive "${FULL[@]}" -- lock >"$WORK/out" 2>&1
equal "conflict: a second daemon" 17 $?
equal "cleanup leaves a live profile alone" "cleaned 0" "$(drive -- cleanup | tail -1)"
let_go
same "the live profile ends as it should"

# ---- two profiles at once ------------------------------------------------------------
hold stem=one "${SPLIT[@]}" -- lock tunnel hold undo
drive stem=two engine=1 addr=172.28.13.3 addr=fd53::3 route=203.0.113.0/24 -- lock tunnel die >/dev/null 2>&1
equal "the second one's resolver is told" 1 "$(dev grep -c 198.18.53.54 /etc/resolv.conf)"
let_go
equal "the first one's end keeps what both need" "1 1 1 1" "$(dev sh -c '
	cat /proc/sys/net/ipv4/conf/all/src_valid_mark /proc/sys/net/ipv4/tcp_fwmark_accept
	ip rule | grep -c "sport 68"; ip -6 rule | grep -c "sport 546"' | xargs)"
drive stem=two -- cleanup >/dev/null
same "two profiles, first in, first out"

# ---- what packets do: rp_filter, states, both families ---------------------------------
packets() { # STATE
	dev ip neigh flush all
	dev ip -6 neigh flush all
	rtr ip neigh flush all
	con_is "$1: a marked IPv4 socket" "ok" 198.51.100.2 7 mark
	con_is "$1: a marked IPv6 socket" "ok" 2001:db8:2::2 7 mark
	equal "$1: a new connection from outside" "ok" "$(from_outside 192.0.2.2 2022)"
	equal "$1: the same over IPv6" "ok" "$(from_outside 2001:db8:1::2 2022)"
	check "$1: ping from outside" dc ping -c1 -W2 192.0.2.2
	# the device has not asked by now, so that the router learns nothing in passing
	rtr ip neigh flush all
	rtr ip -6 neigh flush all
	check "$1: the router's question who has our address is answered" rtr ping -c1 -W2 192.0.2.2
	check "$1: the same over IPv6" rtr ping -c1 -W2 2001:db8:1::2
	echo hello >&8
	read -rt 5 answer <&7
	equal "$1: the connection that was open" ok "$answer"
}
for rp in 0 1 2; do
	dev sysctl -qw net.ipv4.conf.all.rp_filter=$rp net.ipv4.conf.uplink.rp_filter=$rp
	snapshot >"$WORK/before"
	for tracked in "" 1; do
		[ -n "$tracked" ] && [ $rp != 1 ] && continue
		# conntrack sees the old connection only if somebody asked it to
		[ -n "$tracked" ] && dev nft 'table inet tracker { chain c { type filter hook input priority 0; ct state invalid counter; }; }'
		rm -f "$WORK/talk.in" "$WORK/talk.out"
		mkfifo "$WORK/talk.in" "$WORK/talk.out"
		at dc python3 "$WORK/talk.py" 192.0.2.2 2022 <"$WORK/talk.in" >"$WORK/talk.out" 2>&1 &
		TALK=$!
		PIDS+=("$TALK")
		exec 8>"$WORK/talk.in" 7<"$WORK/talk.out"
		read -rt 5 answer <&7
		equal "rp_filter $rp${tracked:+, tracked}: a connection from outside opens" open "$answer"
		hold "${FULL[@]}" -- lock hold tunnel hold undo
		packets "rp_filter $rp${tracked:+, tracked}, shadow only"
		if [ -z "$tracked" ]; then
			for dest in "203.0.113.10 7" "2001:db8:ffff::10 7" "192.0.2.1 7"; do
				# shellcheck disable=SC2086
				case $(con $dest) in
				EHOSTUNREACH | ENETUNREACH) pass "rp_filter $rp, shadow only: $dest is refused at once" ;;
				*) fail "rp_filter $rp, shadow only: $dest: $(con $dest)" ;;
				esac
			done
			check "rp_filter $rp, shadow only: excepted by nobody" test "$(con 198.51.100.2 7)" != ok
			con_is "rp_filter $rp: a socket bound to the uplink is refused" ECONNREFUSED 203.0.113.10 7 dev=uplink
			con_is "rp_filter $rp: the same over IPv6" ECONNREFUSED 2001:db8:ffff::10 7 dev=uplink
		fi
		: >"$WORK/held.log"
		go_on
		wait_for 5 grep -q '^holding' "$WORK/held.log" || fail "the tunnel does not come up: $(tail -1 "$WORK/held.log")"
		packets "rp_filter $rp${tracked:+, tracked}, TUN up"
		exec 8>&- 7<&-
		let_go
		[ -n "$tracked" ] && dev nft delete table inet tracker
		same "rp_filter $rp${tracked:+, tracked}: as before"
	done
done
dev sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.uplink.rp_filter=0
snapshot >"$WORK/before"

# ---- a split tunnel refuses what it covers, and nothing else ------------------------------
hold "${SPLIT[@]}" -- lock hold undo
con_is "split: an ExcRoute goes direct" ok 10.10.10.10 7
con_is "split: elsewhere goes direct" ok 203.0.113.10 7
case $(con 10.1.0.10 7) in
EHOSTUNREACH | ENETUNREACH) pass "split: a covered address is refused at once" ;;
*) fail "split: a covered address: $(con 10.1.0.10 7)" ;;
esac
con_is "split: bound to the uplink, covered" ECONNREFUSED 10.1.0.10 7 dev=uplink
con_is "split: bound to the uplink, excepted" ok 10.10.10.10 7 dev=uplink
# TunnelVision: DHCP's more specific route does not win
dev ip route add 10.1.0.10/32 via 192.0.2.1
check "split: a more specific route of the network does not win" test "$(con 10.1.0.10 7)" != ok
dev ip route del 10.1.0.10/32 via 192.0.2.1
let_go
same "split: as before"

# ---- the tunnel's own address is nobody else's business ------------------------------------
rtr ip route add 172.28.13.2/32 dev todev
hold "${SPLIT[@]}" -- lock tunnel hold undo
rtr ping -c1 -W1 172.28.13.2 >/dev/null 2>&1 && fail "the tunnel's address answers the network" || pass "the tunnel's address does not answer the network"
# the queue of the failed entry is over when it says so
case $(rtr ip neigh show 172.28.13.2) in *lladdr*) fail "ARP for the tunnel's address is answered" ;; *) pass "ARP for the tunnel's address is not answered" ;; esac
rtr ip neigh flush all
dev nft 'flush set inet apptunnel tunnel4; flush set arp apptunnel tunnel4'
check "control: without the guard it does" rtr ping -c1 -W2 172.28.13.2
let_go
rtr ip route del 172.28.13.2/32 dev todev
same "guard: as before"

# ---- reconnection, engine restart, other people's hands --------------------------------------
hold "${FULL[@]}" -- lock tunnel hold readdress=172.28.13.77 hold restart hold tunnel hold undo
routes=$(dev ip route show table 44300 | wc -l)
step() { : >"$WORK/held.log"; go_on; wait_for 5 grep -q '^holding' "$WORK/held.log" || fail "$1: $(tail -1 "$WORK/held.log")"; }
step "another address"
equal "another address: it stands alone" 172.28.13.77/32 "$(dev ip -4 -o addr show dev atp0 | awk '{print $4}')"
equal "another address: the routes stay" "$routes" "$(dev ip route show table 44300 | wc -l)"
step "engine restart"
check "engine restart: the TUN is gone" sh -c "! nsenter -t ${NS[dev]} -n ip link show atp0"
check "engine restart: the lock stays" test "$(con 203.0.113.10 7)" != ok
equal "engine restart: the resolver stays" 1 "$(dev grep -c 198.18.53.53 /etc/resolv.conf)"
dev ip rule flush
dev ip rule add pref 32766 lookup main
dev ip rule add pref 32767 lookup default
dev nft delete table inet apptunnel
dev sh -c 'echo "nameserver 192.0.2.98" >/etc/resolv.conf'
step "tunnel after somebody flushed rules and filter"
equal "flushed rules are set again" 1 "$(dev ip rule | grep -c 4430:)"
check "a deleted filter is set again" dev nft list chain inet apptunnel lock
equal "a resolv.conf that was written over is ours again" 1 "$(dev grep -c 198.18.53.53 /etc/resolv.conf)"
let_go
equal "and what was written over it comes back" "nameserver 192.0.2.98" "$(dev cat /etc/resolv.conf)"
dev sh -c 'printf "nameserver 203.0.113.53\n" >/etc/resolv.conf'
same "reconnection: as before"

hold "${FULL[@]}" -- hold lock sweep hold sweep undo
rm -f "$WORK/talk.in"
mkfifo "$WORK/talk.in"
at dc python3 "$WORK/talk.py" 192.0.2.2 2022 <"$WORK/talk.in" >"$WORK/talk.log" 2>&1 &
TALK=$!
exec 8>"$WORK/talk.in"
wait_for 5 grep -q open "$WORK/talk.log"
step "lock with one connection"
equal "an open connection is held" "held 1" "$(grep '^held' "$WORK/held.log")"
equal "its rule stands" 1 "$(dev ip -N rule | grep -c 'from 192.0.2.2 to 198.51.100.2 ipproto [^ ]*6 sport 2022')"
exec 8>&-
wait "$TALK"
: >"$WORK/held.log"
let_go
equal "after its end it is forgotten" "held 0" "$(grep '^held' "$WORK/held.log")"
same "sweep: as before"

# ---- IPv6 switched off -------------------------------------------------------------------------
dev sysctl -qw net.ipv6.conf.default.disable_ipv6=1
snapshot >"$WORK/before"
hold "${FULL[@]}" -- lock tunnel hold undo
check "IPv6 off for new interfaces: the rest comes up" dev ip -4 addr show dev atp0
check "IPv6 off for new interfaces: refused, not leaked" test "$(con 2001:db8:ffff::10 7)" != ok
let_go
same "IPv6 off: as before"
dev sysctl -qw net.ipv6.conf.default.disable_ipv6=0
snapshot >"$WORK/before"

# ---- crash and error at every step ----------------------------------------------------------------
inject() { # WHAT, SYSCALL, FAULT, STEP
	local n=1 code bad=0 rounds=0
	while [ $n -lt 400 ]; do
		dev strace -qq -o "$WORK/strace" -e trace="$2" -e inject="$2:$3:when=$n" \
			"$OUT/unit/platform/drive_apply" "$WORK/state" /etc/resolv.conf \
			"${OFFER[@]}" "${SPLIT[@]}" -- lock tunnel undo >"$WORK/out" 2>&1
		code=$?
		grep -q INJECTED "$WORK/strace" || grep -q 'killed by SIGKILL' "$WORK/strace" || break
		drive -- cleanup >/dev/null 2>"$WORK/err"
		snapshot >"$WORK/after"
		ls -A "$WORK/state" >>"$WORK/after"
		if ! diff "$WORK/before" "$WORK/after" >"$WORK/diff"; then
			bad=$((bad + 1))
			note "$1, $2 number $n (exit $code): $(tail -1 "$WORK/out")"
			sed 's/^/     | /' "$WORK/diff" | head -8
			drive -- cleanup >/dev/null 2>&1
		fi
		rounds=$((rounds + 1))
		n=$((n + $4))
	done
	if [ $bad = 0 ] && [ $rounds -gt 0 ]; then pass "$1 at $rounds places ($2)"; else fail "$1: $bad of $rounds places ($2)"; fi
}
if command -v strace >/dev/null; then
	stride=${LONG:+1}
	stride=${stride:-3}
	inject "killed" sendmsg signal=KILL $((stride * 2))
	inject "killed" fdatasync signal=KILL "$stride"
	inject "killed" write signal=KILL $((stride * 2))
	inject "killed" fsync signal=KILL 1
	inject "killed" rename signal=KILL 1
	inject "refused" sendmsg error=EPERM $((stride * 2))
	inject "disk full" fdatasync error=ENOSPC $((stride * 2))
	inject "disk full" write error=ENOSPC $((stride * 2))
else
	skip "crash at every step: no strace"
fi
finish
