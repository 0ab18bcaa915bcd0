#!/bin/bash
# crash - the daemon killed (-9), or refused by the kernel, at a sample of the
# steps of connect and of disconnect; afterwards `apptunneld --cleanup` gives
# back the machine as it was, compared as text.  LONG=1: at every step.
#
# A step is a system call of the daemon that changes something: the machine,
# the journal, or what others are told.  They are counted by strace in a first
# run, and hit by strace's fault injection in the next ones.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

command -v strace >/dev/null || { skip "strace is not installed"; exit 0; }
SAMPLE=${SAMPLE:-12}	# steps of connect, and as many of disconnect
ERRORS=${ERRORS:-12}	# steps that fail with EPERM
CALLS=clone,sendmsg,sendto,write,pwrite64,fsync,fdatasync,rename,renameat,unlink,unlinkat,symlink,ftruncate,ioctl,bind,fchmod,fchown

net_up
company
profile corp
# what the snapshot of lib.sh does not look at: the state folder, files beside resolv.conf
snap() {
	snapshot
	ls -A -I profiles -I usage "$WORK/state"	# copies of profiles and the history of usage stay
	dev sh -c 'ls -A /etc | grep apptunnel'
}
same() { # Return: as before?  Shows what is not
	snap >"$WORK/after"
	diff "$WORK/before" "$WORK/after" >"$WORK/diff" && return
	sed 's/^/     | /' "$WORK/diff" | head -20
	return 1
}
connect() { atp connect corp --timeout 20 >"$WORK/out" 2>"$WORK/err"; }
disconnect() { atp disconnect corp >"$WORK/out" 2>"$WORK/err"; }
cleanup() { dev "$OUT/apptunneld" --cleanup --state-dir "$WORK/state" --run-dir "$WORK/run" >"$WORK/cleanup.log" 2>&1; }
no_engine() { # in the device: other scenarios may have theirs
	local p
	for p in $(pgrep -x apptunnel-engin); do
		[ "$(readlink "/proc/$p/ns/net")" = "$(readlink "/proc/${NS[dev]}/ns/net")" ] && return 1
	done
	return 0
}
daemon_gone() { ! kill -0 "$DAEMON_PID" 2>/dev/null; }

# traced OUTPUT ARGUMENTS... -- COMMAND: run it while strace looks at the daemon
traced() {
	local log=$1 args=() code
	shift
	while [ "$1" != -- ]; do args+=("$1"); shift; done
	shift
	spawn_in dev "$WORK/strace.err" strace -qq -yy -o "$log" -p "$DAEMON_PID" "${args[@]}"
	TRACER=$PID
	wait_for 5 sh -c "grep -q 'TracerPid:.*[1-9]' /proc/$DAEMON_PID/status" || die "strace: $(cat "$WORK/strace.err")"
	"$@"
	code=$?
	kill_pid "$TRACER"
	return $code
}
# steps TRACE [PATTERN]: "CALL N" for each line (that matches), N counted for each call
steps() {
	awk -v want="${2:-.}" '{
		call = $0; sub(/\(.*/, "", call); sub(/^.* /, "", call); n[call]++
		if ($0 ~ want) print call, n[call] }' "$1"
}
# sample FILE COUNT: evenly spaced lines, first and last among them
sample() {
	[ -n "${LONG:-}" ] && { cat "$1"; return; }
	awk -v k="$2" '{ l[NR] = $0 } END {
		if (NR <= k) { for (i = 1; i <= NR; i++) print l[i]; exit }
		for (i = 0; i < k; i++) print l[1 + int(i * (NR - 1) / (k - 1))] }' "$1"
}

daemon_up
snap >"$WORK/before"
traced "$WORK/connect.trace" -e trace=$CALLS -- connect || die "connect: $(tail -3 "$WORK/err")"
traced "$WORK/disconnect.trace" -e trace=$CALLS -- disconnect || die "disconnect: $(tail -3 "$WORK/err")"
if same; then pass "connect and disconnect under strace: as before"; else fail "not even undisturbed"; fi
steps "$WORK/connect.trace" >"$WORK/connect.steps"
steps "$WORK/disconnect.trace" >"$WORK/disconnect.steps"
note "$(wc -l <"$WORK/connect.steps") steps to connect, $(wc -l <"$WORK/disconnect.steps") to disconnect"
if [ "$(wc -l <"$WORK/connect.steps")" -gt 60 ] && [ "$(wc -l <"$WORK/disconnect.steps")" -gt 30 ]; then
	pass "steps are counted"
else
	fail "too few steps: is the right process looked at?"
fi

# ---- the walk can fail: a journal that misses one entry --------------------------
connect || fail "connect: $(tail -1 "$WORK/err")"
kill_pid "$DAEMON_PID" KILL
sed -i '/^+ [0-9]* 3 /d' "$WORK/state/corp.journal"	# 3: the rule of each family
cleanup
if same >/dev/null; then fail "control: a missing undo is not seen"; else pass "control: a missing undo is seen"; fi
dev ip rule del pref 4430
dev ip -6 rule del pref 4430
same || fail "control: more than the rules stayed"

# ---- killed at a step -------------------------------------------------------------
# walk WHAT: kill at each sampled step of WHAT (connect or disconnect)
walk() {
	local what=$1 call n killed=0 wrong=0 total=0
	while read -r call n <&7; do
		total=$((total + 1))
		daemon_up
		if [ "$what" = disconnect ] && ! connect; then
			fail "connect before the next kill: $(tail -1 "$WORK/err")"
			return
		fi
		traced "$WORK/kill.trace" -e trace="$call" -e inject="$call:signal=KILL:when=$n" -- "$what"
		if wait_for 1 daemon_gone; then killed=$((killed + 1)); fi
		kill_pid "$DAEMON_PID" KILL
		# its engine and parser end with it; the cleanup of a crash comes after that
		wait_for 5 no_engine
		cleanup || { wrong=$((wrong + 1)); note "$what, $call $n: cleanup: $(tail -1 "$WORK/cleanup.log")"; }
		same || { wrong=$((wrong + 1)); note "^ after a kill at $what, $call $n"; }
	done 7< <(sample "$WORK/$what.steps" "$SAMPLE")
	equal "killed at $total steps of $what: not as before" 0 $wrong
	# the last steps may differ from run to run by a message to somebody
	if [ $killed -ge $((total - total / 4)) ]; then pass "$what: $killed of $total kills hit"; else fail "$what: only $killed of $total kills hit"; fi
}
walk connect
walk disconnect

# the next start does what cleanup does
daemon_up
read -r call n < <(sample "$WORK/connect.steps" 3 | sed -n 2p)
traced "$WORK/kill.trace" -e trace="$call" -e inject="$call:signal=KILL:when=$n" -- connect
kill_pid "$DAEMON_PID" KILL
daemon_up
if same; then pass "killed in the middle, started again: as before"; else fail "started again after a kill in the middle"; fi

# ---- refused at a step ------------------------------------------------------------
# only what changes or reads the machine, or writes the journal; not what is said to
# a client or an engine
steps "$WORK/connect.trace" '(sendmsg|sendto)\([0-9]+<NETLINK|proc/sys/net|fdatasync|TUNSETIFF|^clone' >"$WORK/error.steps"
wrong=0 refused=0 fine=0 total=0
while read -r call n <&7; do
	total=$((total + 1))
	traced "$WORK/error.trace" -e trace="$call" -e inject="$call:error=EPERM:when=$n" -- connect
	code=$?
	case $code in
	15) refused=$((refused + 1)) ;;
	0)	# a look that was repeated, or one whose answer does not matter
		fine=$((fine + 1))
		disconnect || { wrong=$((wrong + 1)); note "EPERM at $call $n: disconnect failed"; }
		;;
	1)	# no parser: nothing was begun
		[ "$call $n" = "clone 1" ] || { wrong=$((wrong + 1)); note "EPERM at $call $n: exit 1"; }
		;;
	*) wrong=$((wrong + 1)); note "EPERM at $call $n: exit $code: $(grep -v '^\[#\]' "$WORK/err" | tail -1)" ;;
	esac
	same || { wrong=$((wrong + 1)); note "^ after EPERM at $call $n, exit $code"; }
done 7< <(sample "$WORK/error.steps" "$ERRORS")
equal "EPERM at $total steps of connect ($refused refused, $fine without effect): wrong" 0 $wrong
if [ $refused -ge $((total / 2)) ]; then pass "most of them end in exit 15"; else fail "only $refused of $total end in exit 15"; fi

kill_pid "$DAEMON_PID" TERM
if same; then pass "at the end: as before"; else fail "at the end something stayed"; fi
finish
