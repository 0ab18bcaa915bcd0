#!/bin/bash
# cli - the command line as people and scripts meet it: exit codes, messages
# that say what happened, why and what to do, stdout apart from stderr, JSON
# that parses, help with examples; and what an administrator can get wrong.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
profile corp

# try WHAT EXIT PATTERN COMMAND... - its exit code, and PATTERN on stderr
# (no PATTERN: nothing may stand there but [#] lines and progress)
try() {
	local what=$1 want=$2 pattern=$3 code
	shift 3
	"$@" >"$WORK/out" 2>"$WORK/err"
	code=$?
	if [ $code = "$want" ] && { [ -z "$pattern" ] || grep -qE -- "$pattern" "$WORK/err"; }; then
		pass "$what: exit $code"
	else
		fail "$what: exit $code instead of $want, or not '$pattern' on stderr"
		grep -v '^\[#\]' "$WORK/err" | tail -4 | sed 's/^/     | /'
	fi
}
quiet() { # WHAT - the last command wrote nothing to stdout
	if [ -s "$WORK/out" ]; then fail "$1: errors on stdout: $(head -1 "$WORK/out")"; else pass "$1: nothing on stdout"; fi
}
# json WHAT FILTER COMMAND... - stdout parses and FILTER holds
json() {
	local what=$1 filter=$2
	shift 2
	"$@" >"$WORK/out" 2>"$WORK/err"
	if python3 - "$WORK/out" "$filter" 2>"$WORK/json.err" <<'PY'; then pass "$what: JSON"; else
import json, sys
def no_twice(pairs):
    d = dict(pairs)
    assert len(d) == len(pairs), "a key twice"
    return d
text = open(sys.argv[1]).read()
assert text.strip(), "nothing on stdout"
try:
    docs = [json.loads(text, object_pairs_hook=no_twice)]
except json.JSONDecodeError:    # one object a line
    docs = [json.loads(l, object_pairs_hook=no_twice) for l in text.splitlines()]
for j in docs:
    assert eval(sys.argv[2]), sys.argv[2]
PY
		fail "$what: $(tail -1 "$WORK/json.err"): $(head -c 200 "$WORK/out") $(head -1 "$WORK/err")"
	fi
}
somebody() { dev setpriv --reuid 64433 --regid 64433 --clear-groups "$(shared "$OUT")/apptunnel" --run-dir "$(shared "$WORK")/run" --profile-dir "$(shared "$WORK")/profiles.d" "$@"; }

# ---- without a daemon -----------------------------------------------------------
try "no verb" 2 '^Usage:' atp
quiet "no verb"
try "no such verb" 2 'no such verb: frobnicate' atp frobnicate
try "an option that there is not" 2 'frobnicate' atp connect --frobnicate
try "too many arguments" 2 'too many' atp connect corp extra
try "not a name" 2 "not a profile's name" atp connect ../corp
try "--timeout 0" 2 'seconds' atp connect --timeout 0
try "--timeout without a value" 2 'timeout' atp connect --timeout
try "no such level" 2 'no such level' atp log --level loud
try "--run-dir without a value" 2 'needs a value' atp status --run-dir
for v in status connect disconnect log; do
	try "$v without a daemon" 8 'not running .*start it' atp $v
	quiet "$v without a daemon"
done
try "explain without a daemon" 8 'not running' atp explain tcp 10.0.0.1:80
for v in connect disconnect status plan explain profile log cleanup version; do
	try "$v --help" 0 '' atp $v --help
	if grep -q '^Usage: apptunnel '$v "$WORK/out" && grep -q '^Example: .*apptunnel '$v "$WORK/out" && [ ! -s "$WORK/err" ]; then
		pass "$v --help has usage and example on stdout"
	else
		fail "$v --help: $(cat "$WORK/out" "$WORK/err")"
	fi
done
try "--help" 0 '' atp --help
if grep -q 'Exit codes' "$WORK/out" && grep -q 'Examples:' "$WORK/out"; then pass "--help lists exit codes and examples"; else fail "--help"; fi
try "version --license" 0 '' atp version --license
if grep -q MIT "$WORK/out" && grep -q 'NO WARRANTY' "$WORK/out"; then pass "version --license says the licence"; else fail "version --license"; fi
json "version" 'j["version"] and j["license"]' atp version --json
json "plan" 'j' atp plan corp --json
json "profile check" 'j is not None' atp profile check corp --json
json "profile show" 'j' atp profile show corp --json
json "profile list" '[p["name"] for p in j["profiles"]] == ["corp"]' atp profile list --json
json "explain --profile" 'j["verdict"] == "tunnel" and j["reason"]' atp explain tcp 10.1.2.3:80 --profile corp --json
try "plan of nothing" 10 'nosuch' atp plan nosuch
mkdir "$WORK/none"
try "plan of an empty folder" 10 'no profile' atp --profile-dir "$WORK/none" plan
try "explain without a port" 2 'PORT' atp explain tcp 10.0.0.1
try "explain a name" 2 'must be an address' atp explain tcp web.corp.internal:80
try "cleanup with nothing to do" 0 'cleanup.done: 0' atp cleanup
try "cleanup as somebody" 7 'root' somebody cleanup
chmod 700 "$WORK/profiles.d"
try "a profile that the caller may not read" 7 'Permission denied' somebody plan corp
chmod 755 "$WORK/profiles.d"

# ---- with a daemon ----------------------------------------------------------------
daemon_up
try "a second daemon" 16 'another one runs' dev "$OUT/apptunneld" --run-dir "$WORK/run" --state-dir "$WORK/state"
try "a daemon that is not root" 7 'root' dev setpriv --reuid 64433 --clear-groups "$(shared "$OUT")/apptunneld"
for what in run state; do
	mkdir -p "$WORK/open" && chmod 777 "$WORK/open"
	try "a $what folder open to others" 1 'written by others' dev "$OUT/apptunneld" --run-dir "$WORK/x" --state-dir "$WORK/x" --$what-dir "$WORK/open"
done
try "no such profile" 10 'no profile nosuch .*profile list' atp connect nosuch
quiet "no such profile"
try "permission" 7 'only root and members' somebody status
try "permission to connect" 7 'only root and members' somebody connect corp
try "status of nothing" 0 '' atp status
json "status of nothing" 'j["state"] == "down"' atp status --json
try "disconnect of nothing" 0 'nothing is connected' atp disconnect
try "explain of nothing" 4 'nothing is connected.*--profile' atp explain tcp 10.0.0.1:80
try "log of nothing" 4 'nothing is connected' atp log
try "cleanup beside a daemon" 16 'disconnect' atp cleanup

# one profile: no name is needed
try "connect without a name" 0 '' atp connect --timeout 20
if grep -q '^connected corp' "$WORK/out" && [ "$(wc -l <"$WORK/out")" = 1 ] && grep -q '^\[#\]' "$WORK/err"; then
	pass "the result on stdout, the changes on stderr"
else
	fail "stdout of connect: $(cat "$WORK/out")"
fi
json "status" 'j["version"] == 1 and j["profile"] == "corp" and j["state"] == "up" and j["since"] and "cause" in j and j["sentry"]["pinned"] is True and j["interface"]["addresses"] and j["interface"]["mtu"] == 1400 and j["dns"] and j["routes"] and "counters" in j and isinstance(j["findings"], list)' atp status --json
json "explain" 'j["verdict"] == "direct"' atp explain tcp 10.10.10.10:80 --json
for q in "tcp 10.1.2.3:443" "udp [fd00:10::1]:53" "icmp 10.1.2.3" "icmp fd00:10::1"; do
	# shellcheck disable=SC2086 # two words
	atp explain $q --profile corp --json >"$WORK/offline"
	# shellcheck disable=SC2086
	json "explain $q, online as offline" "{k: v for k, v in j.items() if k != 'state'} == json.load(open('$WORK/offline'))" atp explain $q --json
done
json "log" 'j["time"] and j["level"] and j["code"]' atp log --json
try "connect again" 0 '' atp connect corp
profile lab 'tunnel:IPRoutes = "203.0.113.0/24"' 'tunnel:ExcRoutes = -'
profile inside 'tunnel:IPRoutes = "10.9.0.0/16"' 'tunnel:ExcRoutes = -'
profile hole 'tunnel:IPRoutes = "10.10.10.10/32"' 'tunnel:ExcRoutes = -'
snapshot >"$WORK/one"
try "a second profile with the same routes" 16 'inside and corp .*10.9.0.0/16.*disconnect corp' atp connect inside
snapshot >"$WORK/now"
if diff "$WORK/one" "$WORK/now" >"$WORK/diff"; then pass "refused: nothing changed"; else fail "refused: $(head -5 "$WORK/diff")"; fi
try "a second profile inside the other's ExcRoutes" 0 '' atp connect hole --timeout 20
try "a third profile beside them" 0 '' atp connect lab --timeout 20
equal "three at once: the first" "Hello from the intranet" "$(dev curl -s --max-time 5 http://10.1.0.10/)"
equal "three at once: the second" "Hello from the intranet" "$(dev curl -s --max-time 5 http://10.10.10.10/)"
equal "three at once: the third" "Hello from the intranet" "$(dev curl -s --max-time 5 http://203.0.113.10/)"
try "status of which" 2 'which profile' atp status
try "disconnect of which" 2 'which profile' atp disconnect
try "disconnect the first" 0 '' atp disconnect corp
equal "the third lives on" "Hello from the intranet" "$(dev curl -s --max-time 5 http://203.0.113.10/)"
atp disconnect lab >/dev/null 2>&1
atp disconnect hole >/dev/null 2>&1
try "connect without a name, several profiles" 2 'which profile' atp connect
grep -q '^ *corp$' "$WORK/err" && grep -q '^ *lab$' "$WORK/err" && pass "they are listed" || fail "they are not listed"
rm "$WORK/profiles.d/"{lab,inside,hole}.ini

# log --follow, --level
atp connect corp --timeout 20 >/dev/null 2>&1
spawn_in dev "$WORK/follow" "$OUT/apptunnel" --run-dir "$WORK/run" log --follow
dev curl -s -o /dev/null --max-time 5 http://10.1.0.10/
follower=$PID
try "log --level" 0 '' atp log --level debug
if wait_for 3 grep -q 'log.level: set to debug' "$WORK/follow"; then pass "log --follow shows it"; else fail "log --follow: $(tail -2 "$WORK/follow")"; fi
kill_pid "$follower"
try "disconnect" 0 '' atp disconnect
equal "disconnect says it on stdout" "disconnected corp" "$(cat "$WORK/out")"

# ---- one thing gone wrong -----------------------------------------------------------
P=$WORK/profiles.d
broken() { # NAME - like corp, to be broken
	rm -f "$P"/x.ini
	profile x "$@"
}
connect_x() { atp connect x --timeout "${TIMEOUT:-4}"; }
broken; sed -i 's/^Host/Hots/; s/^IPRoutes.*/IPRoutes = 10.0.0.0\/8;172.16.0.0\/12/' "$P/x.ini"
try "an invalid profile" 6 'x.ini:2:1: error: .*did you mean Host' connect_x
grep -q 'x.ini:[0-9]*:[0-9]*: error: IPRoutes: an unquoted' "$WORK/err" && pass "every finding at once" || fail "not every finding"
quiet "an invalid profile"
try "plan of an invalid profile" 6 'x.ini:2:1: error' atp plan x
try "profile check of an invalid one" 6 'invalid \(errors: [0-9]' atp profile check x
json "profile check of an invalid one" 'j' atp profile check x --json
broken; chmod 666 "$P/x.ini"
try "a profile that others can write" 6 'written by others \(chmod' connect_x
broken; chown 64433 "$P/x.ini"
try "somebody's profile" 6 'belong to root \(chown' connect_x
broken; mv "$P/x.ini" "$P/y"; ln -s y "$P/x.ini"
try "a symbolic link" 6 'symbolic link' connect_x
rm "$P/x.ini" "$P/y"; mkfifo "$P/x.ini"
try "a FIFO" 6 'not a regular file' connect_x
rm "$P/x.ini"; head -c 100000000 /dev/zero >"$P/x.ini"
try "100 MB" 6 'larger than 1 MiB' connect_x
broken "identity:PrivateKey = $WORK/pki/missing.key"
try "a missing key" 12 'PrivateKey .*missing.key: No such file' connect_x
install -m 644 "$WORK/pki/laptop.key" "$WORK/pki/open.key"
broken "identity:PrivateKey = $WORK/pki/open.key"
try "a key that others can read" 12 'open.key can be read by others \(chmod 600' connect_x
install -m 600 /dev/null "$WORK/pki/empty.key"
broken "identity:PrivateKey = $WORK/pki/empty.key"
try "a key that is none" 12 'PrivateKey holds no private key' connect_x
broken "pinning:PinnedCertificate = $WORK/pki/missing.crt"
try "a missing pin" 6 'PinnedCertificate .*missing.crt: No such' connect_x
broken "pinning:PinnedCertificate = sha256:$(printf 'ab%.0s' $(seq 32))"
try "a wrong pin" 11 'not a pinned one.*presented sha256:' connect_x
broken 'sentry:Host = 198.51.100.2:4'
try "no Sentry there" 4 'Connection refused' connect_x
n=$(grep -c 'Connection refused' "$WORK/err")
if [ "$n" -le 2 ]; then pass "said once, and at the end"; else fail "said $n times"; fi
grep -q 'as it was before' "$WORK/err" && pass "and that everything is as before" || fail "not said that everything is undone"
rm "$P/x.ini"

# ---- the state folder (F16) -----------------------------------------------------------
kill_pid "$DAEMON_PID"
dev mount -t tmpfs -o size=8k,mode=700 small "$WORK/state"
daemon_up
snapshot >"$WORK/before"
same() {
	snapshot >"$WORK/after"
	if diff "$WORK/before" "$WORK/after" >"$WORK/diff"; then pass "$1: nothing changed"; else fail "$1: $(head -5 "$WORK/diff")"; fi
}
dev sh -c "head -c 8192 /dev/zero >'$WORK/state/fill'" 2>/dev/null
try "a full state folder" 15 'journal .*cannot be written: No space left.*nothing is changed' atp connect corp
same "a full state folder"
dev sh -c "head -c 4096 /dev/zero >'$WORK/state/fill'"
try "full in the middle" 15 'No space left' atp connect corp --timeout 10
same "full in the middle"
dev rm "$WORK/state/fill"
dev mount -o remount,ro "$WORK/state"
try "a read-only state folder" 15 'cannot be written: Read-only' atp connect corp
same "a read-only state folder"
dev mount -o remount,rw "$WORK/state"
echo 'apptunnel journal 0' | dev tee "$WORK/state/corp.journal" >/dev/null
dev chmod 600 "$WORK/state/corp.journal"
try "a journal of another version" 15 'corp.journal cannot be read .*delete it' atp connect corp
try "disconnect with such a journal" 5 'delete it' atp disconnect
dev rm "$WORK/state/corp.journal"
try "and without it" 0 '' atp connect corp --timeout 20
atp disconnect >/dev/null 2>&1
kill_pid "$DAEMON_PID"
echo 'apptunnel journal 0' | dev tee "$WORK/state/corp.journal" >/dev/null
try "cleanup with such a journal" 5 'delete it' atp cleanup
dev chmod 666 "$WORK/state/corp.journal"
try "cleanup with somebody's journal" 5 'not permitted' atp cleanup
dev rm "$WORK/state/corp.journal"

# ---- descriptors (F17), signals (F50) ---------------------------------------------------
daemon_up
try "before they run out" 0 '' atp connect corp --timeout 20
base=$(ls "/proc/$DAEMON_PID/fd" | wc -l)
cpu() { awk '{print $14 + $15}' "/proc/$DAEMON_PID/stat"; }
spin() { # WHAT - 2 s with a client at the door
	local c
	c=$(cpu)
	timeout 2 nsenter -t "${NS[dev]}" -n -m -- "$OUT/apptunnel" --run-dir "$WORK/run" status >/dev/null 2>&1
	c=$(($(cpu) - c))
	if [ $c -lt 40 ]; then pass "$1: the daemon does not spin ($c ticks in 2 s)"; else fail "$1: $c ticks in 2 s"; fi
}
prlimit --pid "$DAEMON_PID" --nofile="$base:1024"	# not one more
spin "out of descriptors"
prlimit --pid "$DAEMON_PID" --nofile=1024:1024
if command -v strace >/dev/null; then
	spawn_in dev "$WORK/strace.err" strace -qq -o "$WORK/accept.trace" -e trace=accept4 -e inject=accept4:error=EMFILE -p "$DAEMON_PID"
	tracer=$PID
	sleep 0.3
	spin "accept refused"
	kill_pid "$tracer"
	n=$(wc -l <"$WORK/accept.trace")
	if [ "$n" -ge 1 ] && [ "$n" -le 5 ]; then pass "accept refused: tried $n times in 2 s"; else fail "accept refused: tried $n times in 2 s"; fi
fi
equal "flows live on" "Hello from the intranet" "$(dev curl -s --max-time 5 http://10.1.0.10/)"
try "when there are some again" 0 '' atp status
equal "descriptors of the daemon" "$base" "$(ls "/proc/$DAEMON_PID/fd" | wc -l)"
for _ in $(seq 30); do kill -HUP "$DAEMON_PID"; kill -USR1 "$DAEMON_PID"; kill -USR2 "$DAEMON_PID"; done
try "after a storm of signals" 0 '' atp status
state_is up && pass "and it is up" || fail "state $(state)"
# a daemon that hangs: the command line gives up by itself, and nothing is lost
kill -STOP "$DAEMON_PID"
t0=$SECONDS
try "a daemon that hangs" 1 'does not answer' timeout 25 nsenter -t "${NS[dev]}" -n -m -- "$OUT/apptunnel" --run-dir "$WORK/run" status
[ $((SECONDS - t0)) -le 18 ] && pass "within $((SECONDS - t0)) s" || fail "after $((SECONDS - t0)) s"
kill -CONT "$DAEMON_PID"
try "and one that goes on" 0 '' atp status
for _ in 1 2 3 4 5; do kill -TERM "$DAEMON_PID"; kill -INT "$DAEMON_PID"; done
wait "$DAEMON_PID"
equal "a storm of TERM and INT: the daemon's exit" 0 $?
same "after it"
finish
