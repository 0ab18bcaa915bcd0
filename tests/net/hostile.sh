#!/bin/bash
# hostile - a Sentry that lies (tests/hostile/sentry_liar.py): each lie ends in
# the right state and exit code, or in nothing at all; the engine stays the
# same process, its memory bounded, and no unchecked text reaches the system.
#
# HOSTILE_ONLY: a regular expression, the cases to run
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

LIAR=$TOP/tests/hostile/sentry_liar.py
ONLY=${HOSTILE_ONLY:-.}
GROWTH=65536			# KiB of RSS over what it was
case $OUT in *asan*) GROWTH=524288 ;; esac	# freed memory stays in quarantine
SLOW=(slow-no-tls slow-no-answer slow-1-byte-a-second slow-no-config slow-no-probe-reply)

net_up
pki_up
mkfifo "$WORK/in" "$WORK/out"
always=()
for n in 1 2 3 4 5; do always+=(--always "443$n=${SLOW[n - 1]}"); done
spawn_in dc "$WORK/liar.log" python3 "$LIAR" serve "$WORK/pki" 198.51.100.2 \
	--in "$WORK/in" --out "$WORK/out" "${always[@]}"
exec 3<>"$WORK/in" 4<>"$WORK/out"
wait_for 5 grep -q ready "$WORK/liar.log" || { cat "$WORK/liar.log"; die "the liar does not start"; }
liar() { # COMMAND...: its answer is in ANSWER
	echo "$*" >&3
	read -r -t 40 ANSWER <&4 || ANSWER="bad no answer from the liar"
}
mapfile -t CASES < <(python3 "$LIAR" list)

profile h 'atp:AtpProbeIdleSec = 30'
for n in 1 2 3 4 5; do
	profile "slow$n" "sentry:Host = 198.51.100.2:443$n" "tunnel:IPRoutes = 172.20.$n.0/24" \
		'tunnel:ExcRoutes = -' 'dns:Backend = none'
done
daemon_up
before=$(snapshot)

up() { atp connect h --timeout 15 >"$WORK/up.out" 2>&1; }
rss() { sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$1/status" 2>/dev/null; }
engine_of_h() { sed -n 's/.*engine\.start: h: pid \([0-9]*\).*/\1/p' "$WORK/daemon.log" | tail -1; }
# look - STATE, CODE, DETAIL, EXIT of the profile as status tells them
look() {
	local json
	json=$(atp status h --json 2>/dev/null)
	STATE='' CODE='' DETAIL='' EXIT=''
	[[ $json =~ \"state\":\ \"([a-z-]*)\" ]] && STATE=${BASH_REMATCH[1]}
	[[ $json =~ \"code\":\ \"([a-z_]*)\" ]] && CODE=${BASH_REMATCH[1]}
	[[ $json =~ \"detail\":\ \"([^$'\n']*)\", ]] && DETAIL=${BASH_REMATCH[1]}
	[[ $json =~ \"exit\":\ ([0-9]*) ]] && EXIT=${BASH_REMATCH[1]}
	return 0
}
# await SECONDS STATE - "!up": any but that
await() {
	local end=$((SECONDS + $1))
	while look; do
		case $2 in
		!*) [ -z "$STATE" ] || [ "$STATE" = "${2#!}" ] || [ "$STATE" = probing ] || return 0 ;;
		*) [ "$STATE" != "$2" ] || return 0 ;;
		esac
		[ $SECONDS -lt $end ] || return 1
		sleep 0.03
	done
}
settled() { look && [[ $STATE = up || $STATE = refused ]]; }
dropped() { liar drop && [ "$ANSWER" = dropped ]; }
caused() { look && [ -n "$CODE" ]; }
bad() { fail "$CASE: $*"; GOOD=; }

# ---- what each lie is judged by ------------------------------------------------

# whatever Sentry offered, these lines are all that resolv.conf may hold
clean_resolv() {
	local text
	text=$(dev cat /etc/resolv.conf)
	! LC_ALL=C grep -qvE '^(#.*|nameserver [0-9a-f.:]+|search( [A-Za-z0-9_.-]+)+|options [a-z0-9: -]+|)$' <<<"$text" &&
		! grep -qE '6\.6\.6\.6|127\.0|0\.0\.0\.0' <<<"$text"
}
clean_terminal() { ! LC_ALL=C grep -q $'[\001-\010\013-\037\177-\377]' "$WORK/up.out"; }
said() { tail -2 "$WORK/up.out" | sed 's/^/     | /'; }

interface() { # its address and MTU
	echo "$(dev ip -o -4 addr show atp0 | awk '{print $4}') $(dev ip -o link show atp0 | sed -n 's/.* mtu \([0-9]*\).*/\1/p')"
}

same_engine() {
	local now
	now=$(engine_of_h)
	if [ "$now" != "$ENGINE" ] || ! kill -0 "$ENGINE" 2>/dev/null; then
		bad "the engine is gone"
		tail -5 "$WORK/daemon.log" | sed 's/^/     | /'
		wait_for 10 up
		ENGINE=$(engine_of_h)
		BASE=$(rss "$ENGINE")
	fi
	now=$(rss "$ENGINE")
	[ "${now:-0}" -gt "${PEAK:-0}" ] && PEAK=$now
	[ "${now:-0}" -lt $((BASE + GROWTH)) ] || bad "RSS grew from $BASE to $now KiB"
}

refused() { # EXIT CODE WHY
	await 5 refused
	[ "$STATE" = refused ] || bad "state $STATE ($CODE: $DETAIL)"
	[ "$CODE" = "$2" ] || bad "cause $CODE instead of $2"
	[ "$EXIT" = "$1" ] || bad "exit $EXIT instead of $1"
	[[ $DETAIL =~ $3 ]] || bad "detail '$DETAIL' is not '$3'"
}

trial() { # STAGE EXPECT CODE WHY - in the life of one engine
	local stage=$1 expect=$2 code=$3 why=$4 n0 answer status
	case $stage/$expect in
	live/* | */up | */redials)
		look
		[ "$STATE" = up ] || up || { bad "cannot come up before"; said; return; }
		;;
	esac
	wait_for 15 settled	# not dialling: that would meet the lie before it is looked for
	liar sessions
	n0=$ANSWER
	liar arm "$CASE"
	if [ "$stage" != live ] && [ "$STATE" = up ]; then
		wait_for 3 dropped || bad "the session cannot be dropped"
		await 8 !up
	fi
	case $expect in
	refused | revoked)
		if [ "$stage" != live ] && [ "$ANSWER" != dropped ]; then
			up	# it is refused already: an explicit connect dials
			status=$?
			[ $status = 14 ] || { bad "connect: exit $status"; said; }
			clean_terminal || bad "unprintable characters on the terminal"
		fi
		liar result 20
		if [ "$code" = revoked ]; then refused 13 "$code" "$why"; else refused 14 "$code" "$why"; fi
		;;
	redials)
		liar result 20
		await 3 !up
		wait_for 2 caused	# it may be asked just between two attempts
		[[ "|$code|" = *"|$CODE|"* ]] || bad "$STATE, cause '$CODE' instead of $code ($DETAIL)"
		[[ $DETAIL =~ $why ]] || bad "detail '$DETAIL' is not '$why'"
		;;
	lives)
		liar result 30
		answer=$ANSWER
		liar sessions
		[ "$ANSWER" = "$n0" ] || bad "it is another session now"
		ANSWER=$answer
		look
		[ "$STATE" = up ] || bad "state $STATE: $DETAIL"
		;;
	up)
		up || { bad "does not come up"; said; }
		liar result 5
		;;
	esac
	case $ANSWER in ok*) ;; *) bad "${ANSWER#bad }" ;; esac
	SAID=${ANSWER#ok}
	liar release
	[ "$CASE" != config-flood ] || wait_for 4 dev grep -q 'search n99.internal' /etc/resolv.conf ||
		bad "the last of them is not in effect"
	[ "$CASE" != config-other-address ] || [ "$(interface)" = "172.28.13.1/32 1400" ] ||
		bad "the interface is $(interface) now"
	clean_resolv || bad "resolv.conf: $(dev cat /etc/resolv.conf | tr '\n' '|')"
	same_engine
}

first() { # STAGE EXPECT CODE WHY - the first connection: what is refused leaves nothing behind
	local expect=$2 why=$4 status want=14
	[ "$expect" = up ] && want=0
	liar arm "$CASE"
	up
	status=$?
	[ $status = $want ] || { bad "connect: exit $status"; said; }
	liar result 20
	case $ANSWER in ok*) ;; *) bad "${ANSWER#bad }" ;; esac
	liar release
	if [ "$expect" = up ]; then
		[[ $(dev ip link show atp0) =~ $why ]] || bad "not $why: $(dev ip link show atp0)"
		atp disconnect h >/dev/null 2>&1
	else
		grep -qE -- "$why" "$WORK/up.out" || { bad "not '$why'"; said; }
	fi
	[ "$(snapshot)" = "$before" ] || bad "something is left behind"
}

each() { # STAGES FRESH FUNCTION - the cases of that kind
	local line st expect code fresh why
	for line in "${CASES[@]}"; do
		read -r CASE st expect code _ fresh why <<<"$line"
		[[ $CASE =~ $ONLY ]] && [[ $CASE != slow-* ]] && [ "$fresh" = "$2" ] &&
			[[ " $1 " = *" $st "* ]] || continue
		[ "$code" = - ] && code=
		GOOD=1 SAID=
		"$3" "$st" "$expect" "$code" "$why"
		kill -0 "$DAEMON_PID" 2>/dev/null || die "$CASE: the daemon is gone"
		[ -n "$GOOD" ] && pass "$CASE: $expect${code:+ $code}${SAID:+ ($SAID )}"
	done
}

# ---- one engine, one session after the other --------------------------------------

check "connect" up || { said; tail -5 "$WORK/daemon.log" "$WORK/liar.log"; finish; }
ENGINE=$(engine_of_h)
BASE=$(rss "$ENGINE")
# those that take the full time-outs, in profiles of their own beside all the others
BESIDE=()
for n in 1 2 3 4 5; do
	[ "$ONLY" = . ] || break
	{
		atp connect "slow$n" --timeout 13 >"$WORK/slow$n" 2>&1
		echo "exit $?" >>"$WORK/slow$n"
	} &
	BESIDE+=($!)
done
spawn_in dev "$WORK/app.log" python3 "$TOP/tests/hostile/hostile_app.py" 10.1.0.99 "$WORK/app.seen"
t0=$SECONDS
each live 0 trial
each "tcp http config" 0 trial
note "$((SECONDS - t0)) s; RSS $BASE KiB before, at most ${PEAK:-?} KiB"

up
if [ "$ONLY" = . ]; then
	check "control: the app hears what it may hear" grep -q HEARD "$WORK/app.seen"
	check "control: the app sees an ICMP error" grep -q 'ERRQ 10.1.0.99 3 13' "$WORK/app.seen"
	equal "datagrams and errors of strangers" "" "$(grep -E 'STRANGER|ERRQ 10.66' "$WORK/app.seen" | head -3)"
	equal "the interface keeps its address" 172.28.13.1/32 "$(dev ip -o -4 addr show atp0 | awk '{print $4}')"
	for n in 1 2 3 4 5; do
		wait "${BESIDE[n - 1]}"
		case $(tail -1 "$WORK/slow$n") in
		exit\ [34]) check "${SLOW[n - 1]}: given up in time" grep -qE 'within 10 s|did not answer in time' "$WORK/slow$n" ;;
		*) fail "${SLOW[n - 1]}: $(tail -2 "$WORK/slow$n" | tr '\n' ' ')" ;;
		esac
	done
fi
check "disconnect" atp disconnect h
equal "everything is as it was before" "" "$(diff <(echo "$before") <(snapshot))"
each "tcp http config" 1 first
finish
