#!/bin/bash
# demo - the demonstration works, and interrupted (SIGINT) at its printed steps
# it leaves nothing: no process, no interface, no file.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || die "needs root"
export APPTUNNEL_DEMO_MARK=demo-test-$$	# every process of the demo inherits it but the engine
out=$WORK/demo.out
: >"$out"
left() { # what a demo could leave on the machine, as text
	local p dir
	for p in /proc/[0-9]*; do
		[ "${p#/proc/}" = $$ ] || [ "$(cut -d' ' -f4 "$p/stat" 2>/dev/null)" = $$ ] && continue
		grep -qz "^APPTUNNEL_DEMO_MARK=demo-test-$$" "$p/environ" 2>/dev/null &&
			tr '\0' ' ' <"$p/cmdline" | cut -c1-150 && echo
	done
	# an engine whose daemon is gone
	for p in $(pgrep -x apptunnel-engin); do
		[ "$(cat "/proc/$(cut -d' ' -f4 "/proc/$p/stat")/comm" 2>/dev/null)" = apptunneld ] || echo "engine $p"
	done
	ip rule | grep -E '443|44300'
	nft list tables 2>/dev/null | grep apptunnel
	for dir in $(grep -oE 'build/net\.[A-Za-z0-9]+' "$out" | sort -u); do ls -d "$TOP/$dir" 2>/dev/null; done
	stat -c '%Y %i' /etc/resolv.conf
}
left >"$WORK/before"
if "$TOP/scripts/demo" >"$out" 2>&1; then pass "the demonstration works"; else
	fail "the demonstration fails"
	tail -20 "$out" | sed 's/^/     | /'
fi
steps=$(grep -cE '^[0-9]+\. ' "$out")
took=$(sed -n 's/.*took \([0-9]*\) s.*/\1/p' "$out")
if [ -n "$took" ] && [ "$took" -lt 120 ]; then pass "in under two minutes"; else fail "took '$took' s"; fi
left >"$WORK/after"
if diff "$WORK/before" "$WORK/after" >"$WORK/diff"; then pass "and leaves nothing"; else
	fail "left something"
	sed 's/^/     | /' "$WORK/diff"
fi
# --keep: a shell inside, from which the intranet is there and the tunnel can be asked
"$TOP/scripts/demo" --keep >"$out" 2>&1 <<-'IN'
	curl -s http://web.corp.internal/ | tr a-z A-Z
	apptunnel status --json | grep -c '"state": "up"'
	exit
IN
if grep -q 'HELLO FROM THE INTRANET' "$out" && grep -qx 1 "$out" && grep -q 'left nothing' "$out"; then
	pass "--keep gives a shell in the connected namespace"
else
	fail "--keep"
	tail -20 "$out" | sed 's/^/     | /'
fi
# a control: a leftover is seen
bash -c 'sleep 5 & disown; echo' >/dev/null
left >"$WORK/after"
if diff -q "$WORK/before" "$WORK/after" >/dev/null; then fail "control: a leftover is not seen"; else pass "control: a leftover is seen"; fi
sleep 5
list=$(seq 1 "$steps")
[ -n "${LONG:-}" ] || list="1 2 6 9"
for n in $list; do
	setsid -w "$TOP/scripts/demo" >"$out" 2>&1 &
	wrapper=$!
	wait_for 60 grep -qE "^$n\. " "$out"
	sleep 0.2
	# as a terminal does: the whole foreground group is told
	group=$(ps -o pgid= --ppid $wrapper 2>/dev/null | head -1 | tr -d ' ')
	group=${group:-$wrapper}
	kill -INT -- "-$group" 2>/dev/null || kill -INT "$group"
	wait $wrapper
	sleep 0.7
	left >"$WORK/after"
	if diff "$WORK/before" "$WORK/after" >"$WORK/diff"; then pass "interrupted at step $n it leaves nothing"; else
		fail "interrupted at step $n it leaves:"
		sed 's/^/     | /' "$WORK/diff"
		sleep 2
	fi
done
finish
