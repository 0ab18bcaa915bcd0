#!/bin/bash
# logs - what each level says at run time, and `log --debug on|off`: a file for
# each engine, opened and rotated by the daemon, written by the engine.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
profile corp 'support:LogLevel = info'
head -c 90000000 /dev/zero >"$WORK/www/big"
daemon_up
L=$WORK/log/corp.log

engine_pid() { pgrep -P "$DAEMON_PID" -x apptunnel-engin | head -1; }
says() { # WHAT PATTERN FILE
	if grep -qE "$2" "$3"; then pass "$1"; else fail "$1: $(tail -2 "$3")"; fi
}
silent() {
	if grep -qE "$2" "$3"; then fail "$1: $(grep -E -m1 "$2" "$3")"; else pass "$1"; fi
}
fetch() { dev curl -s -o /dev/null --max-time 5 "http://web.corp.internal/?Secret=$RANDOM"; }
lines() { # LEVEL - what the log says of one fetch at that level
	atp log corp --level "$1" >/dev/null 2>&1
	atp log corp >"$WORK/before" 2>/dev/null
	fetch
	atp log corp 2>/dev/null | tail -n +"$(($(wc -l <"$WORK/before") + 1))" >"$WORK/lines"
}

# ---- the switch, before anything is connected -----------------------------------------
atp log --debug on >"$WORK/out" 2>&1
equal "log --debug on, nothing connected" "0" "$?"
says "it says where" "$WORK/log/PROFILE.log" "$WORK/out"
atp connect corp --timeout 20 >/dev/null 2>&1
fetch
says "the engine's first line is in it" ' info engine.start: profile corp' "$L"
says "level debug" ' debug session.tcp: ' "$L"
silent "no flows" 'Z session ' "$L"
equal "mode of the file" "600 700" "$(stat -c %a "$L" "$WORK/log" | xargs)"
lines packet
says "packets too when the level says so" ' packet packet: up ' "$L"
silent "never payload" 'Secret' "$L"

# a long one is rotated, and the engine goes on in the new one
dev truncate -s 9M "$L"
if wait_for 4 test -e "$L.1"; then pass "a long log is rotated"; else fail "it is not rotated"; fi
fetch
if wait_for 3 grep -q ' session flow.open' "$L"; then pass "the engine writes to the new one"; else fail "nothing in the new one"; fi
dev truncate -s 9M "$L"
sleep 2.5
equal "one old one is kept" "corp.log corp.log.1" "$(cd "$WORK/log" && echo corp.log*)"

# an engine that starts again
kill -KILL "$(engine_pid)"
wait_for 8 state_is up
if wait_for 5 grep -q ' info engine.start: profile corp' "$L"; then pass "the next engine writes there too"; else fail "the next engine writes nothing"; fi

atp log --debug off >/dev/null 2>&1
equal "log --debug off" "0" "$?"
size=$(stat -c %s "$L")
atp log corp --level debug >/dev/null 2>&1
fetch
equal "not a byte more" "$size" "$(stat -c %s "$L")"
kill -0 "$(engine_pid)" && pass "the engine lives" || fail "the engine died"

# a folder that others may write to is not used
chmod 777 "$WORK/log"
atp log --debug on >/dev/null 2>"$WORK/err"
equal "a folder that others may write to: exit" "1" "$?"
says "and it says why" 'must belong to root' "$WORK/err"
chmod 700 "$WORK/log"
atp log corp --debug on >/dev/null 2>"$WORK/err"
equal "with a name: usage" "2" "$?"
atp log --debug maybe >/dev/null 2>"$WORK/err"
equal "neither on nor off: usage" "2" "$?"
equal "as JSON" "true" "$(atp log --debug on --json | python3 -c 'import json,sys; print(str(json.load(sys.stdin)["debug_log"]).lower())')"
atp log --debug off >/dev/null

# ---- levels at run time ------------------------------------------------------------------
for level in error warning info debug; do
	lines $level
	silent "$level: no flow, no packet" 'Z (session|packet) ' "$WORK/lines"
done
lines session
says "session: a flow's opening with verdict and reason" 'flow.open: tcp .* port 80: tunnel, 10\.1\.0\.10 is in IPRoutes' "$WORK/lines"
says "session: its end with bytes" 'flow.end: tcp .* port 80: finished, [0-9]+ bytes up, [0-9]+ down' "$WORK/lines"
silent "session: no packet" 'Z packet ' "$WORK/lines"
lines packet
says "packet: a question" 'dns.query: .* asks web.corp.internal type 1' "$WORK/lines"
says "packet: its answer" 'dns.answer: .*: web.corp.internal code 0' "$WORK/lines"
says "packet: lengths" 'packet: down [0-9]+ bytes, tcp 10\.1\.0\.10 port 80 to ' "$WORK/lines"
silent "packet: never payload" 'Secret' "$WORK/lines"

# ---- usage per day ----------------------------------------------------------------------
day() { # FIELD - of the last day
	atp status corp --history --json | python3 -c '
import json, sys, time
h = json.load(sys.stdin)
assert h["version"] == 1 and h["profile"] == "corp", h
print(h["days"][-1][sys.argv[1]] if h["days"] else "none")' "$1"
}
fetch
atp disconnect corp >/dev/null 2>&1
equal "the engine that was killed and the one after it" "2" "$(day sessions)"
[ "$(day tcp)" -ge 5 ] && pass "connections" || fail "connections: $(day tcp)"
[ "$(day bytes_down)" -gt 500 ] && pass "bytes" || fail "bytes: $(day bytes_down)"
before=$(day tcp)
kill_pid "$DAEMON_PID" TERM
daemon_up
atp connect corp --timeout 20 >/dev/null 2>&1
fetch
atp disconnect >/dev/null 2>&1
equal "the next daemon goes on" "$((before + 1))" "$(day tcp)"
atp status --history >"$WORK/out"
says "as text" "^sum .*:.* KiB" "$WORK/out"
equal "nothing but numbers" "600" "$(stat -c %a "$WORK/state/usage/corp")"
silent "no names" 'corp|internal' "$WORK/state/usage/corp"
profile corp 'support:AnalyticsEnabled = false'
atp connect corp --timeout 20 >/dev/null 2>&1
fetch
atp status corp --history >"$WORK/out"
says "AnalyticsEnabled = false" 'no history is kept' "$WORK/out"
atp disconnect >/dev/null 2>&1
equal "and none is kept" "none" "$(day tcp)"
# ---- a reader who takes his time (less) gets all of it ------------------------------------
atp connect corp --timeout 20 >/dev/null 2>&1
atp log corp --level packet >/dev/null 2>&1
for i in 1 2 3 4 5 6; do dev curl -s -o /dev/null --max-time 20 http://10.1.0.10/big; done
atp log corp --level info >/dev/null 2>&1
n=$(atp log corp | wc -lc | tr -s ' ')
late=$(atp log corp | { sleep 7; wc -lc | tr -s ' '; })
[ "${n##* }" -gt 1000000 ] && pass "a full ring:$n" || fail "not a full ring:$n"
equal "a reader who begins after 7 s" "$n" "$late"
atp disconnect >/dev/null 2>&1
kill_pid "$DAEMON_PID" TERM
finish
