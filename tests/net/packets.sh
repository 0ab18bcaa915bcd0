#!/bin/bash
# packets - malformed packets written into the TUN (tests/hostile/packets.py):
# each is counted, answered where the design or an RFC says so, and reaches
# nobody; the engine stays the same process, its memory bounded, and what is
# in order goes on.
#
# PACKETS_ONLY: a regular expression, the rows of groups to run
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

TOOL=$TOP/tests/hostile/packets.py
ONLY=${PACKETS_ONLY:-.}
SIZE=48				# MiB; more than the slow reader takes until the end
GROWTH=65536			# KiB of RSS over what it was
case $OUT in *asan*) GROWTH=393216 ;; esac	# freed memory stays in quarantine

net_up
company
spawn_in dc "$WORK/peer.log" python3 "$TOP/tests/net/peer.py" 0.0.0.0 ::
wait_for 5 grep -qx ready "$WORK/peer.log" || die "peer.py does not start: $(tail -1 "$WORK/peer.log")"
# UDP to ports from 1,000 on goes beside the tunnel
profile p 'tunnel:SplitUDPPortList = "1-999"'
daemon_up
check "connect" atp connect p --timeout 20 || { tail -30 "$WORK/daemon.log" "$WORK/sentry.log"; finish; }
ENGINE=$(sed -n 's/.*engine\.start: p: pid \([0-9]*\).*/\1/p' "$WORK/daemon.log" | tail -1)
rss() { sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$ENGINE/status" 2>/dev/null; }

# every address of these is the company's; who is written to there, or beside the tunnel, is kept
dc ip route add local 10.77.0.0/16 dev lo
dc ip route add local 10.78.0.0/16 dev lo
dc ip -6 route add local fd00:10:77::/48 dev lo
dc ip -6 route add local fd00:10:78::/48 dev lo
witness() { # NS HOOK
	at "$1" nft -f - <<-NFT
	table inet witness {
		set four { type ipv4_addr; flags dynamic; size 65535; }
		set six { type ipv6_addr; flags dynamic; size 65535; }
		chain w {
			type filter hook $2 priority 0;
			ip daddr 10.77.0.0/16 add @four { ip daddr }
			ip6 daddr fd00:10:77::/48 add @six { ip6 daddr }
		}
	}
	NFT
}
seen() { # NS: the addresses, one a line
	at "$1" nft -j list sets table inet witness | python3 -c '
import json, sys
for o in json.load(sys.stdin)["nftables"]:
	for e in o.get("set", {}).get("elem", ()):
		print(e["elem"]["val"] if isinstance(e, dict) else e)'
}
witness dc output
witness rtr forward

head -c "${SIZE}M" /dev/urandom >"$WORK/www/big"
chmod a+r "$WORK/www/big"
spawn_in dev "$WORK/hold.out" python3 "$TOOL" hold 10.1.0.10 /big "$WORK/go"
HOLD=$PID
wait_for 5 grep -q begun "$WORK/hold.out" || die "no download: $(tail -1 "$WORK/hold.out")"
BASE=$(rss)
PEAK=$BASE

alive() { # GROUP,...: real programs still go through
	local now good=1
	now=$(rss)
	[ "${now:-0}" -le "$PEAK" ] || PEAK=$now
	[ "$(grep -c 'engine\.start: p:' "$WORK/daemon.log")" = 1 ] || good=
	dev ping -c1 -W3 10.1.0.10 >/dev/null || good=
	dev ping -c1 -W3 fd00:10::10 >/dev/null || good=
	[ "$(dev curl -sS --max-time 10 http://web.corp.internal/)" = 'Hello from the intranet' ] || good=
	dev python3 "$TOP/tests/net/app.py" udp 10.1.0.10 7 3000 || good=
	kill -0 "$HOLD" 2>/dev/null || good=
	if [ -n "$good" ]; then pass "after $1: ping, DNS, HTTP, UDP and the download go on"; else
		fail "after $1: not all goes on"
		tail -n 3 "$WORK/hold.out" | sed 's/^/     | /'
		tail -n 3 "$WORK/daemon.log" | sed 's/^/     | /'
	fi
}
run() { # GROUP,...
	local verdict what n=0
	while read -r verdict what; do
		n=$((n + 1))
		if [ "$verdict" = ok ]; then pass "$what"; else fail "$what"; fi
	done < <(dev python3 "$TOOL" run "$1" "$ENGINE" "$OUT/apptunnel" "$WORK/run" 2>"$WORK/run.err")
	if [ $n = 0 ] || [ -s "$WORK/run.err" ]; then
		fail "$1: not all was tried"
		tail -n 5 "$WORK/run.err" | sed 's/^/     | /'
	fi
	if ! kill -0 "$ENGINE" 2>/dev/null; then
		fail "$1: the engine is gone"
		tail -n 5 "$WORK/daemon.log" | sed 's/^/     | /'
		finish
	fi
	alive "$1"
}

TRIED=,
for groups in ip4,ip6 frag4,frag6 tcp4,tcp6 udp4,udp6 icmp4,icmp6 routed,batch flow4,flow6 syn4,syn6; do
	[[ $groups =~ $ONLY ]] || continue
	run "$groups"
	TRIED+="$groups,"
done

# ---- what arrived, and where ---------------------------------------------------

judge() { # LOST: in order, and not there; LEAKED and STRAY: there, and should not be
	local group fate addr name at_dc at_rtr
	LOST='' LEAKED='' STRAY='' CONTROLS=0 LIES=0
	seen dc >"$WORK/seen.dc"
	seen rtr >"$WORK/seen.rtr"
	while read -r group fate addr name; do
		[[ $TRIED = *,$group,* ]] || continue
		at_dc='' at_rtr=''
		grep -qxF "$addr" "$WORK/seen.dc" && at_dc=1
		grep -qxF "$addr" "$WORK/seen.rtr" && at_rtr=1
		case $fate in
		arrives) [ -n "$at_dc" ] || LOST+="$group: $name; " ;;
		beside) [ -n "$at_rtr" ] || LOST+="$group: $name; " ;;
		dies) [ -z "$at_dc" ] || LEAKED+="$group: $name; " ;;
		esac
		[ "$fate" = beside ] || [ -z "$at_rtr" ] || STRAY+="$group: $name; "
		if [ "$fate" = dies ]; then LIES=$((LIES + 1)); else CONTROLS=$((CONTROLS + 1)); fi
	done < <(python3 "$TOOL" list)
}
sleep 0.5
judge
[ -z "$LOST" ] || { sleep 3; judge; }	# a busy machine takes its time
equal "control: each of $CONTROLS packets that are in order arrived" "" "$LOST"
equal "none of $LIES others reached the company" "" "$LEAKED"
equal "and nothing went beside the tunnel" "" "$STRAY"

# ---- what nobody thought of ----------------------------------------------------

[[ random =~ $ONLY ]] && run random
touch "$WORK/go"
wait_for 20 grep -q sha256 "$WORK/hold.out"
equal "the download that was open all the time, SHA-256" \
	"sha256 $(sha256sum <"$WORK/www/big" | cut -d' ' -f1)" "$(tail -1 "$WORK/hold.out")"
if [ "$PEAK" -lt $((BASE + GROWTH)) ]; then pass "memory: $BASE KiB before, at most $PEAK KiB"; else
	fail "memory: $BASE KiB before, $PEAK KiB now"
fi
check "disconnect" atp disconnect p
finish
