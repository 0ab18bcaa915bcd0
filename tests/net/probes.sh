#!/bin/bash
# probes - AtpProbeIdleSec, AtpProbeIntervalSec, AtpProbeCount: black holes with
# outbound traffic, without, and one-way; three settings; silence when idle.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
spawn_in dc "$WORK/peer.log" python3 "$TOP/tests/net/peer.py" 10.1.0.10
wait_for 5 grep -q ready "$WORK/peer.log"
profile a 'atp:AtpProbeIdleSec = 3' 'atp:AtpProbeIntervalSec = 1' 'atp:AtpProbeCount = 3'
profile b 'atp:AtpProbeIdleSec = 2' 'atp:AtpProbeIntervalSec = 2' 'atp:AtpProbeCount = 2'
profile c 'atp:AtpProbeIdleSec = 5' 'atp:AtpProbeIntervalSec = 1' 'atp:AtpProbeCount = 1'
daemon_up

# one datagram every 300 ms that nobody answers: outbound traffic, nothing else; $TALKER
cat >"$WORK/talk.py" <<'PY'
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    try:
        s.sendto(b"x", ("10.1.0.10", 99))
    except OSError:
        pass
    time.sleep(0.3)
PY
talk() {
	spawn_in dev "$WORK/talk.log" python3 "$WORK/talk.py" "$1"
	TALKER=$PID
}
hole() { rtr nft add table inet hole; rtr nft add chain inet hole f '{ type filter hook forward priority -10; }'
	rtr nft add rule inet hole f "$@" drop; }
heal() { rtr nft delete table inet hole; }
session_log() { atp log --level session 2>/dev/null; }
sent() { session_log | grep -c 'probe\.sent'; }
ends() { session_log | grep 'session\.end: probes'; }

trial() { # PROFILE IDLE INTERVAL COUNT WHAT RULE...
	local p=$1 idle=$2 interval=$3 count=$4 what=$5 t0 took before
	shift 5
	atp connect "$p" --timeout 20 >/dev/null 2>&1 || { fail "$what: connect"; return; }
	dev ping -c1 -W2 10.1.0.10 >/dev/null
	before=$(sent)
	hole "$@"
	t0=$(date +%s%N)
	talk $((idle + interval * count + 6))
	wait_for $((idle + interval * count + 8)) sh -c "nsenter -t ${NS[dev]} -n -m -- $OUT/apptunnel --run-dir $WORK/run status --json | grep -q '\"state\": \"reconnecting\"'"
	took=$((($(date +%s%N) - t0) / 1000000))
	local want=$(((idle + interval * count) * 1000))
	if [ $took -ge $((want - 1300)) ] && [ $took -le $((want + 1500)) ]; then
		pass "$what: dead after $took ms (due: $want)"
	else
		fail "$what: dead after $took ms (due: $want)"
		session_log | tail -n 25 | sed 's/^/     | /'
	fi
	equal "$what: probes sent" "$count" "$(($(sent) - before))"
	kill_pid "$TALKER"
	heal
	check "$what: connected again" wait_for 20 state_is up
	equal "$what: flows are back" "Hello from the intranet" "$(dev curl -s --max-time 10 http://10.1.0.10/)"
	atp disconnect "$p" >/dev/null 2>&1
}
trial a 3 1 3 "black hole both ways, 3/1/3" ip daddr 198.51.100.2
heal 2>/dev/null
trial a 3 1 3 "one-way black hole, 3/1/3" ip saddr 198.51.100.2

# without outbound traffic there are no probes and the connection stays
atp connect a --timeout 20 >/dev/null 2>&1
sleep 1
before=$(sent)
hole ip daddr 198.51.100.2
sleep 10
equal "silent black hole: no probes" 0 "$(($(sent) - before))"
equal "silent black hole: still up" up "$(state)"
heal
atp disconnect a >/dev/null 2>&1

# "no answer to probes": Sentry lives but does not answer; decoded at Sentry
decoded() { cat "$WORK/sentry.log" "$WORK/audit.jsonl" | grep '"probe"' | grep -c "\"session\":$1,"; }
endpoint_trial() { # PROFILE IDLE INTERVAL COUNT
	atp connect "$1" --timeout 20 >/dev/null 2>&1 || { fail "connect $1"; return; }
	dev ping -c1 -W2 10.1.0.10 >/dev/null
	sentry_ctl fault mute >/dev/null
	local session n0 n1
	session=$(cat "$WORK/sentry.log" "$WORK/audit.jsonl" | sed -n 's/.*"probe".*"session":\([0-9]*\),.*/\1/p' | sort -n | tail -1)
	n0=$(decoded "$session")
	talk $(($2 + $3 * $4 + 3))
	wait_for $(($2 + $3 * $4 + 8)) sh -c "nsenter -t ${NS[dev]} -n -m -- $OUT/apptunnel --run-dir $WORK/run status --json | grep -q reconnecting"
	sentry_ctl fault off >/dev/null
	sleep 0.3
	n1=$(decoded "$session")
	equal "probes decoded at Sentry, $2/$3/$4" "$4" $((n1 - n0))
	kill_pid "$TALKER"
	check "connected again, $2/$3/$4" wait_for 20 state_is up
	atp disconnect "$1" >/dev/null 2>&1
}
endpoint_trial a 3 1 3
endpoint_trial b 2 2 2
endpoint_trial c 5 1 1

# an idle device says nothing: no TLS record for three times AtpProbeIdleSec
atp connect b --timeout 20 >/dev/null 2>&1
sleep 2
rtr nft add table inet count
rtr nft add counter inet count records
rtr nft add chain inet count f '{ type filter hook forward priority 0; }'
rtr nft add rule inet count f tcp dport 443 ip daddr 198.51.100.2 'meta length > 52' counter name records
rtr nft add rule inet count f tcp sport 443 ip saddr 198.51.100.2 'meta length > 52' counter name records
records() { rtr nft list counter inet count records | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
sleep 7
equal "TLS records from and to an idle device in 7 s (idle 2 s)" 0 "$(records)"
dev ping -c1 -W2 10.1.0.10 >/dev/null
if [ "$(records)" -gt 0 ]; then pass "control: a ping is counted"; else fail "control: a ping is not counted"; fi
rtr nft delete table inet count

# Sentry ends the connection: RST and FIN; a new one within a second or two
for how in rst fin; do
	dev ping -c1 -W2 10.1.0.10 >/dev/null
	sentry_ctl fault $how >/dev/null
	sleep 0.3
	sentry_ctl fault off >/dev/null
	check "after $how it is up again" wait_for 5 state_is up
	equal "after $how flows are back" "Hello from the intranet" "$(dev curl -s --max-time 10 http://10.1.0.10/)"
done
# open flows end with RST when the connection is lost (resuming comes later)
out=$(dev timeout 20 python3 -c "
import socket
s = socket.create_connection(('10.1.0.10', 7), 5)
s.sendall(b'a'); s.recv(1); print('open', flush=True)
s.settimeout(15)
try:
    print('eof' if not s.recv(1) else 'data')
except ConnectionResetError:
    print('reset')
" & sleep 1; sentry_ctl fault rst >/dev/null; sleep 0.3; sentry_ctl fault off >/dev/null; wait)
case $out in *reset*) pass "a lost connection ends the flows with RST" ;; *) fail "a lost connection: $out" ;; esac
check "up again" wait_for 10 state_is up
atp disconnect b >/dev/null 2>&1
finish
