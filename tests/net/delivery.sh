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

check "disconnect" atp disconnect corp
finish
