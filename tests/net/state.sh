#!/bin/bash
# state - after disconnect, a failed or interrupted connect, and kill -9 of
# every process, the machine is as it was, compared as text.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
profile corp
profile nobody 'sentry:Host = 198.51.100.99'
profile full 'tunnel:IPRoutes = "0.0.0.0/0;::/0"' 'tunnel:ExcRoutes = -'
daemon_up
snapshot >"$WORK/before"
same() { # WHAT
	snapshot >"$WORK/after"
	if diff "$WORK/before" "$WORK/after" >"$WORK/diff"; then pass "$1: as before"; else
		fail "$1: something stayed or is missing"
		sed 's/^/     | /' "$WORK/diff" | head -20
	fi
}
engine_pid() { pgrep -P "$DAEMON_PID" -x apptunnel-engin | head -1; }
witness_up() { # counts what leaves the device towards the covered prefixes
	dev nft add table inet witness
	dev nft add counter inet witness leak
	dev nft add chain inet witness c '{ type filter hook postrouting priority 300; }'
	dev nft add rule inet witness c oifname uplink ip daddr 10.0.0.0/8 ip daddr != 10.10.10.10 counter name leak
	dev nft add rule inet witness c oifname uplink ip6 daddr fd00:10::/32 counter name leak
}
leaked() { dev nft list counter inet witness leak | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
witness_down() { dev nft delete table inet witness; }

connect_corp() {
	atp connect corp --timeout 20 >/dev/null 2>"$WORK/connect.err" && return
	fail "connect: exit $?"
	tail -n 5 "$WORK/connect.err" "$WORK/daemon.log" | sed 's/^/     | /'
}

# a control: the comparison sees a rule that stays
dev ip rule add pref 9999 lookup 999
snapshot >"$WORK/after"
if diff -q "$WORK/before" "$WORK/after" >/dev/null; then fail "control: a leftover rule is not seen"; else pass "control: a leftover rule is seen"; fi
dev ip rule del pref 9999

check "connect and disconnect" sh -c "true"
atp connect corp --timeout 20 >/dev/null 2>"$WORK/connect.err" || { cat "$WORK/connect.err"; fail "connect"; }
equal "state" up "$(state)"
# what plan says is what connect printed
atp plan corp 2>/dev/null | grep '^\[#\]' | sed 's/<from Sentry>.*//' | sort >"$WORK/plan"
grep '\[#\]' "$WORK/connect.err" | sed 's/.*\[#\]/[#]/' | sort >"$WORK/said"
if [ -s "$WORK/plan" ] && [ "$(wc -l <"$WORK/plan")" = "$(wc -l <"$WORK/said")" ]; then
	pass "connect prints as many lines as plan ($(wc -l <"$WORK/plan"))"
else
	fail "plan and connect print different lines"
	diff "$WORK/plan" "$WORK/said" | head -10 | sed 's/^/     | /'
fi
check "a second connect says that it is up" atp connect corp
atp disconnect corp >/dev/null 2>&1 || fail "disconnect"
same "disconnect"
atp connect full --timeout 20 >/dev/null 2>&1 || fail "connect full"
atp disconnect full >/dev/null 2>&1
same "disconnect of a full tunnel"

atp connect nobody --timeout 3 >/dev/null 2>"$WORK/err"
code=$?
if [ $code = 3 ] || [ $code = 4 ]; then pass "Sentry not there: exit $code"; else fail "Sentry not there: exit $code: $(tail -1 "$WORK/err")"; fi
same "a failed connect"

nsenter -t "${NS[dev]}" -n -m -- "$OUT/apptunnel" --profile-dir "$WORK/profiles.d" \
	--run-dir "$WORK/run" connect nobody --timeout 20 >/dev/null 2>&1 &
pid=$!
sleep 1.5
kill -INT $pid
wait $pid
wait_for 5 sh -c "nsenter -t ${NS[dev]} -n -m -- ip rule | grep -qv 44300"
sleep 0.5
same "an interrupted connect"

# the engine killed under traffic: the lock stays, nothing leaks, it comes back
connect_corp
witness_up
dev curl -s --max-time 30 --limit-rate 2M -o /dev/null http://10.1.0.10/ &
(while :; do dev ping -c1 -W1 10.1.0.10; dev curl -s --max-time 1 'http://[fd00:10::10]/'; done) >/dev/null 2>&1 &
flood=$!
PIDS+=("$flood")
sleep 1
old=$(engine_pid)
kill -KILL "$old"
sleep 0.3
if [ "$(engine_pid)" != "$old" ]; then pass "the killed engine is gone"; else fail "engine not killed"; fi
wait_for 20 state_is up
equal "the engine was started again" up "$(state)"
kill $flood 2>/dev/null
wait $flood 2>/dev/null
equal "packets outside the tunnel while the engine was dead" 0 "$(leaked)"
equal "flows are back" "Hello from the intranet" "$(dev curl -s --max-time 10 http://10.1.0.10/)"
# control: without shadow and rule the witness counts
dev ip rule del pref 4430; dev nft flush chain inet apptunnel lock; dev ping -c1 -W1 10.1.0.10 >/dev/null 2>&1
if [ "$(leaked)" -gt 0 ]; then pass "control: a planted leak is counted"; else fail "control: a planted leak is not counted"; fi
witness_down
atp disconnect corp >/dev/null 2>&1
same "disconnect after the engine was killed"

# the daemon killed: the engine ends, shadows keep refusing, cleanup restores
connect_corp
eng=$(engine_pid)
kill_pid "$DAEMON_PID" KILL
wait_for 5 sh -c "! kill -0 $eng" && pass "the engine ends with the daemon" || fail "the engine outlives the daemon"
out=$(dev curl -sS --max-time 5 http://10.1.0.10/ 2>&1)
case $out in *"No route"* | *unreachable* | *"Couldn't connect"* | *"Failed to connect"*) pass "shadows refuse at once" ;; *) fail "after the daemon: $out" ;; esac
check "apptunneld --cleanup" dev "$OUT/apptunneld" --cleanup --state-dir "$WORK/state" --run-dir "$WORK/run"
same "cleanup after the daemon was killed"
check "cleanup again does nothing" dev "$OUT/apptunneld" --cleanup --state-dir "$WORK/state" --run-dir "$WORK/run"
same "a second cleanup"

# both killed; the next start restores
daemon_up
connect_corp
eng=$(engine_pid)
kill -STOP "$DAEMON_PID"
kill -KILL "$eng" "$DAEMON_PID"
wait "$DAEMON_PID" 2>/dev/null
daemon_up
same "the next start after both were killed"

# the daemon asked to end undoes by itself
connect_corp
kill_pid "$DAEMON_PID" TERM
same "SIGTERM of the daemon"

# somebody else's numbers: exit 16, nothing changed
daemon_up
conflict() { # WHAT, do, undo
	dev sh -c "$2"
	snapshot >"$WORK/mine"
	atp connect corp --timeout 10 >/dev/null 2>"$WORK/err"
	equal "$1: exit" 16 "$?" || cat "$WORK/err"
	snapshot >"$WORK/after"
	if diff -q "$WORK/mine" "$WORK/after" >/dev/null; then pass "$1: nothing changed"; else fail "$1: something changed"; fi
	dev sh -c "$3"
}
conflict "foreign rule" "ip rule add pref 4430 from 1.2.3.4 lookup main" "ip rule del pref 4430"
conflict "foreign table" "ip route add 192.0.2.77 dev uplink table 44300" "ip route flush table 44300"
conflict "foreign interface" "ip tuntap add mode tun atp0" "ip link del atp0"
conflict "foreign nft table" "nft add table inet apptunnel" "nft delete table inet apptunnel"
same "after the conflicts"
kill_pid "$DAEMON_PID" TERM
finish
