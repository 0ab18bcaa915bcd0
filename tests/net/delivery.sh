#!/bin/bash
# delivery - profiles that come at odd moments: the folder is replaced, files come
# all the time, one comes during a trial; and what ends a trial or a change.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
D=$WORK/profiles.d
A=$WORK/apply
mkdir "$A"
profile corp "tunnel:IPRoutes = 10.1.0.0/16"
cp "$D/corp.ini" "$WORK/base.ini"

# with ROUTES [FILE] - the profile with other routes, in $A/corp.ini
with() { sed "s#^IPRoutes = .*#IPRoutes = \"$1\"#" "$WORK/base.ini" >"${2:-$A/corp.ini}"; }
# deliver ROUTES - as an MDM does: beside it, then renamed
deliver() { with "$1" "$D/.in" && mv "$D/.in" "$D/corp.ini"; }
said() { atp status corp 2>&1 | grep -qE -- "$1"; }
unsaid() { ! said "$1"; }
gone() { ! leads "$1"; }
leads() { dev ip route get "$1" 2>/dev/null | grep -q 'dev atp0'; }

daemon_up
check "connect" atp connect corp --timeout 20

# ---- another folder ------------------------------------------------------------------
mv "$D" "$WORK/away"
wait_for 3 said 'profile folder .* cannot be watched' && pass "a folder that is gone is said" || fail "a folder that is gone is said"
mkdir "$D"
deliver "10.1.0.0/16;10.69.0.0/16"
wait_for 4 leads 10.69.0.1 && unsaid 'cannot be watched' && pass "another one in its place is watched" ||
	fail "another one in its place is watched"
# what inotify does not tell of: the name leads elsewhere
dev mount -t tmpfs -o mode=755 other "$D"
with "10.1.0.0/16;10.70.0.0/16"
dev cp "$A/corp.ini" "$D/"
wait_for 4 leads 10.70.0.1 && pass "so is one that was mounted over it" || fail "so is one that was mounted over it"
dev umount "$D"

# ---- faster than it settles ------------------------------------------------------------
with "10.1.0.0/16;10.71.0.0/16"
spawn "$WORK/fast.log" bash -c "while cp '$A/corp.ini' '$D/.in'; do mv '$D/.in' '$D/corp.ini'; sleep 0.05; done"
FAST=$PID
wait_for 4 leads 10.71.0.1 && kill -0 $FAST && pass "files that come all the time are taken, too" ||
	fail "files that come all the time are taken, too"
kill_pid $FAST

# ---- a file during a trial ---------------------------------------------------------------
deliver 10.1.0.0/16
wait_for 4 leads 10.71.0.1 && wait_for 4 gone 10.71.0.1
with "10.1.0.0/16;10.72.0.0/16"
check "on trial" atp profile apply "$A/corp.ini" --confirm-within 20s
deliver "10.1.0.0/16;10.73.0.0/16"
wait_for 2 said 'waits for the end of the trial' && pass "a file that comes during a trial waits, and that is said" ||
	fail "a file that comes during a trial waits, and that is said"
leads 10.72.0.1 && gone 10.73.0.1 && pass "it is not taken meanwhile" || fail "it is not taken meanwhile"
out=$(atp profile confirm corp 2>&1)
[[ $out == *"another file of corp came into $D meanwhile"*"confirmed corp" ]] && pass "confirm says that it stays" ||
	fail "confirm says that it stays: $out"
wait_for 3 leads 10.73.0.1 && gone 10.72.0.1 && pass "then it is taken" || fail "then it is taken"
grep -q 10.73.0.0 "$D/corp.ini" && wait_for 3 grep -q 10.72.0.0 "$WORK/state/profiles/corp/previous.ini" &&
	pass "what was confirmed is the one before" || fail "what was confirmed is the one before"

# ---- a trial of what is in use -----------------------------------------------------------
out=$(atp profile apply "$D/corp.ini" --confirm-within 1s 2>&1)
equal "a trial of what is in use" "0 corp is in use already: there is nothing to try, and no trial begins" "$? $out"
equal "with readiness: that is looked at" 0 "$(atp profile apply "$D/corp.ini" --ready tunnel,dns >/dev/null 2>&1; echo $?)"
atp profile apply "$D/corp.ini" --confirm-within 1s --ready tcp:10.73.0.1:80 >"$WORK/out" 2>&1
equal "which it is not: exit code and words" "3 apptunnel: corp: what was to be reached through the tunnel did not answer in time; it was in use before, and stays" \
	"$? $(cat "$WORK/out")"
equal "for good" "0 applied corp" "$(out=$(atp profile apply "$D/corp.ini" 2>&1); echo "$? $out")"
grep -q 10.72.0.0 "$WORK/state/profiles/corp/previous.ini" && [ ! -s "$WORK/state/profiles/corp/rejected" ] &&
	pass "it is not rejected, and the one before is the same" || fail "it is not rejected, and the one before is the same"

# ---- what ends an apply ---------------------------------------------------------------------
# waiting OUT ARGUMENT... - an apply that waits; $PID
waiting() {
	local out=$1
	shift
	spawn_in dev "$WORK/$out" "$OUT/apptunnel" --run-dir "$WORK/run" profile apply "$A/corp.ini" "$@"
}
over() { ! kill -0 "$1" 2>/dev/null; }
# ended WHAT PID CODE OUT WORDS
ended() {
	wait_for 6 over "$2" || kill -KILL "$2"
	wait "$2"
	equal "$1: the exit code" "$3" $?
	grep -qE -- "$5" "$WORK/$4" && pass "$1: the words" || fail "$1: the words: $(cat "$WORK/$4")"
}
with "10.1.0.0/16;10.74.0.0/16"
waiting one --ready tcp:10.74.0.1:80 --confirm-within 86400s
ONE=$PID
wait_for 4 leads 10.74.0.1
atp profile confirm corp >"$WORK/out" 2>&1
equal "confirm before it is ready" "16 apptunnel: it was not seen to be ready yet; \`apptunnel profile rollback\` ends the trial" "$? $(cat "$WORK/out")"
equal "rollback of an apply that waits" "0 rolled back corp" "$(out=$(atp profile rollback corp 2>&1); echo "$? $out")"
ended "the apply" $ONE 3 one 'rollback was asked for; the profile before is back'
gone 10.74.0.1 && leads 10.73.0.1 && pass "and it is back" || fail "and it is back"
with "10.1.0.0/16;10.75.0.0/16"
waiting two --ready tcp:10.75.0.1:80 --confirm-within 86400s
TWO=$PID
wait_for 4 leads 10.75.0.1
kill -INT $TWO
ended "an interrupted apply" $TWO 130 two 'it was interrupted; the profile before is back'
gone 10.75.0.1 && leads 10.73.0.1 && pass "it leads back" || fail "it leads back"

# ---- a new session that does not come -----------------------------------------------------------
sed 's/^Host = .*/Host = 198.51.100.77/' "$D/corp.ini" >"$A/corp.ini"
SECONDS=0
atp profile apply "$A/corp.ini" --confirm-within 2s >"$WORK/out" 2>&1
equal "a dead Host within the window" 3 $?
[ $SECONDS -le 4 ] && grep -q 'not up within 2 s; the profile in use stays' "$WORK/out" && pass "and not later" ||
	fail "and not later: $SECONDS s, $(cat "$WORK/out")"
waiting three --confirm-within 60s
THREE=$PID
wait_for 3 grep -q 'profile.change: corp: a new profile, which needs a new session' "$WORK/daemon.log"
sleep 0.3
equal "rollback while it is dialled" "0 not taken into use, the profile before stays: corp" "$(out=$(atp profile rollback corp 2>&1); echo "$? $out")"
ended "that apply" $THREE 3 three 'rollback was asked for; the profile in use stays'
waiting four
FOUR=$PID
sleep 0.5
kill -TERM $FOUR
ended "interrupted while it is dialled" $FOUR 143 four 'it was interrupted; the profile in use stays'
state_is up && leads 10.73.0.1 && pass "the session lived through all of it" || fail "the session lived through all of it"

# ---- what confirm answers ------------------------------------------------------------------------
equal "confirm, and nothing is on trial" "16 apptunnel: no profile is on trial" "$(out=$(atp profile confirm 2>&1); echo "$? $out")"
equal "confirm NAME" "16 apptunnel: this profile is not on trial" "$(out=$(atp profile confirm corp 2>&1); echo "$? $out")"
equal "confirm of an unknown one" "10 apptunnel: there is no such profile" "$(out=$(atp profile confirm nosuch 2>&1); echo "$? $out")"

# ---- a restart within a trial, and disconnect --------------------------------------------------
with "10.1.0.0/16;10.76.0.0/16"
check "on trial" atp profile apply "$A/corp.ini" --confirm-within 60s
said 'on trial until' && pass "status says so" || fail "status says so"
kill_pid "$DAEMON_PID" KILL
deliver "10.1.0.0/16;10.77.0.0/16"
daemon_up
said 'on trial until .*: without .apptunnel profile confirm.' && pass "after a restart, too" || fail "after a restart, too"
check "connect" atp connect corp --timeout 20
check "confirm" atp profile confirm corp
wait_for 3 leads 10.77.0.1 && pass "what came while no daemon ran is taken then" || fail "what came while no daemon ran is taken then"
with "10.1.0.0/16;10.78.0.0/16"
waiting five --ready tcp:10.78.0.1:80 --confirm-within 86400s
FIVE=$PID
wait_for 4 leads 10.78.0.1
SECONDS=0
check "disconnect" atp disconnect corp
ended "the apply that waited" $FIVE 3 five 'it was disconnected before it was seen to work; the profile before is back'
[ $SECONDS -le 3 ] && pass "at once" || fail "at once: $SECONDS s"
said 'the profile before is back: it was disconnected' && pass "status says so" || fail "status says so"
finish
