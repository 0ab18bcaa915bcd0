#!/bin/bash
# local - the two neighbours that the daemon does not trust: a user of its group
# on the control socket, and an engine in somebody else's hands.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
profile corp
LIB=$WORK/libexec
mkdir -p "$LIB"
cp "$OUT/apptunnel-parser" "$LIB/"
# not the build's own: a script is run by its path, and the engine's user must reach it
install -m 755 "$TOP/tests/net/rogue_engine.py" "$LIB/apptunnel-engine"
dev mount -t tmpfs -o mode=755 libexec /mnt
dev cp "$LIB/apptunnel-parser" "$LIB/apptunnel-engine" /mnt/
mode() { echo "$1" | dev tee /mnt/mode >/dev/null; }

fds() { ls "/proc/$DAEMON_PID/fd" | wc -l; }
ROOM=4096			# KiB that the daemon may grow by
case $OUT in *asan*) ROOM=65536 ;; esac	# freed memory stays in quarantine
rss() { awk '/^VmRSS/ {print $2}' "/proc/$DAEMON_PID/status"; }
cpu() { awk '{print $14 + $15}' "/proc/$DAEMON_PID/stat"; }
alive() { kill -0 "$DAEMON_PID" 2>/dev/null; }

# ---- an engine in somebody else's hands ----------------------------------------------
# each must end in a connect that fails and a machine that is as before
rogue() { # MODE [EXIT [PATTERN OF THE DAEMON'S LOG]]
	local m=$1 want=${2:-} pattern=${3:-} code n0 n t0
	mode "$m"
	n0=$(wc -l <"$WORK/daemon.log")
	t0=$SECONDS
	atp connect corp --timeout "${TIMEOUT:-2}" >"$WORK/out" 2>"$WORK/err"
	code=$?
	atp disconnect corp >/dev/null 2>&1
	wait_for 5 sh -c "[ -z \"\$(pgrep -P $DAEMON_PID)\" ]"
	if ! alive; then
		fail "rogue $m: the daemon is gone: $(tail -3 "$WORK/daemon.log")"
		exit 1
	fi
	n=$(($(wc -l <"$WORK/daemon.log") - n0))
	snapshot >"$WORK/after"
	if [ "$code" != 0 ] && { [ -z "$want" ] || [ "$code" = "$want" ]; } && [ "$(fds)" = "$FDS" ] &&
		cmp -s "$WORK/before" "$WORK/after" && [ $n -lt 300 ] && [ $((SECONDS - t0)) -lt 15 ] &&
		{ [ -z "$pattern" ] || tail -n $n "$WORK/daemon.log" | grep -q "$pattern"; }; then
		pass "rogue $m: exit $code, $n lines of log"
	else
		fail "rogue $m: exit $code (not $want?), $(fds) descriptors ($FDS), $n lines, $((SECONDS - t0)) s"
		diff "$WORK/before" "$WORK/after" | head -5 | sed 's/^/     | /'
		tail -n 3 "$WORK/daemon.log" | cut -c1-200 | sed 's/^/     | /'
	fi
}
daemon_up --libexec-dir /mnt
snapshot >"$WORK/before"
FDS=$(fds)
for m in magic short long type daemons-own descriptors descriptors-uncounted state exit text text-endless \
	mtu count search sockets; do
	rogue $m '' 'engine.unsound'
done
rogue up '' 'engine.unsound.*nothing was applied'
rogue empty
rogue text-long 4
if grep -q "A\{500\}\$" "$WORK/err"; then pass "a long text ends where it ends"; else fail "a long text: $(grep AAAA "$WORK/err" | tail -c 100 | od -c | tail -3)"; fi
rogue mtu-large '' 'offer.refused'
rogue loopback '' 'offer.refused'
rogue own-address '' 'offer.refused'
rogue offer-flood	# heard one a turn, so that others are served; ended where that is too many a second
rogue state-flood '' 'engine.unsound.*too often'
rogue socket-flood
TIMEOUT=5 rogue socket-hunger
rogue die '' 'killed by signal 9'
rogue deaf
# one that behaves, to see that the daemon is not simply deaf
mode twice
atp connect corp --timeout 5 >"$WORK/out" 2>"$WORK/err"
equal "control: an engine that keeps to the rules, offering twice" "0 connected corp: atp0 172.28.13.78" "$? $(cat "$WORK/out")"
equal "its second address has replaced the first" "172.28.13.78/32" "$(dev ip -o -4 addr show atp0 | awk '{print $4}')"
atp disconnect corp >/dev/null 2>&1
snapshot >"$WORK/after"
if cmp -s "$WORK/before" "$WORK/after"; then pass "as before"; else fail "$(diff "$WORK/before" "$WORK/after" | head -5)"; fi
kill_pid "$DAEMON_PID"

# ---- a user of the group ------------------------------------------------------------
daemon_up --group 64433
atp connect corp --timeout 20 >/dev/null 2>&1 || fail "connect"
eng=$(pgrep -P "$DAEMON_PID" -x apptunnel-engin)
r0=$(rss) f0=$(fds) e0=$(ls "/proc/$eng/fd" | wc -l)
# what others feel meanwhile
head -c 200000000 /dev/zero >"$WORK/www/200M"
spawn_in dev "$WORK/ping" ping -i 0.05 -w 15 10.1.0.10
pinger=$PID
install -m 644 "$TOP/tests/net/local_user.py" "$WORK/"
dev setpriv --reuid 64433 --regid 64433 --clear-groups /usr/bin/python3 "$(shared "$WORK")/local_user.py" "$(shared "$WORK")/run/control.sock" >"$WORK/user" 2>&1 &
user=$!
sleep 1
t0=$(date +%s%N)
atp status >/dev/null 2>&1
equal "root is answered meanwhile" 0 $?
ms=$((($(date +%s%N) - t0) / 1000000))
if [ $ms -lt 2000 ]; then pass "within $ms ms"; else fail "after $ms ms"; fi
wait $user
while read -r line; do
	case $line in
	*": ok") pass "user: ${line%: ok}" ;;
	took*) note "$line" ;;
	*) fail "user: $line" ;;
	esac
done <"$WORK/user"
kill -INT "$pinger"
wait "$pinger" 2>/dev/null
# the one on its way when ping is interrupted is not lost
loss=$(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 - \2/p' "$WORK/ping")
loss=$((${loss:-100}))
max=$(sed -n 's,.*= [0-9.]*/[0-9.]*/\([0-9]*\).*,\1,p' "$WORK/ping")
if [ "$loss" -le 1 ] && [ "${max:-9999}" -lt 500 ]; then pass "the data path does not feel it (slowest ping $max ms)"; else fail "ping: $loss lost, slowest $max ms"; fi
state_is up && pass "still up" || fail "state $(state)"
equal "the same engine" "$eng" "$(pgrep -P "$DAEMON_PID" -x apptunnel-engin)"
wait_for 8 sh -c "[ \$(ls /proc/$DAEMON_PID/fd | wc -l) -le $f0 ] && [ \$(ls /proc/$eng/fd | wc -l) -le $((e0 + 32)) ]"
equal "descriptors of the daemon" "$f0" "$(fds)"
r1=$(rss)
if [ $((r1 - r0)) -lt $ROOM ]; then pass "memory of the daemon: $r0 to $r1 KiB"; else fail "memory of the daemon: $r0 to $r1 KiB"; fi
atp disconnect >/dev/null 2>&1
kill_pid "$DAEMON_PID"
finish
