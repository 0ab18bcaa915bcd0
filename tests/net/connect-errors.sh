#!/bin/bash
# connect-errors - what an app's connect() returns is what the backend said.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
# link-local is not for Sentry to reach: a denial that no fault makes
profile corp 'tunnel:IPRoutes = "10.0.0.0/8;fd00:10::/32;169.254.0.0/16;::/96"'
daemon_up
check "connect" atp connect corp --timeout 20 || { tail -30 "$WORK/daemon.log"; finish; }

app() { dev python3 "$TOP/tests/net/app.py" "$@"; }
errno_of() { app connect "$@" | cut -d' ' -f1; }
try() { # WHAT ADDR PORT EXPECTED
	equal "$1" "$4" "$(errno_of "$2" "$3")"
}

# the real thing: nobody answers (30 s at Sentry; collected at the end), nobody
# listens, no route in dc, an address that Sentry does not go to
dc nft -f - <<'NFT'
table inet deaf {
	chain c {
		type filter hook input priority 0;
		tcp dport 4999 drop
	}
}
NFT
for a in 10.1.0.10 fd00:10::10; do app connect $a 4999 60 >"$WORK/silence.$a" & done
try "refused by the backend, IPv4" 10.1.0.10 4444 ECONNREFUSED
try "refused by the backend, IPv6" fd00:10::10 4444 ECONNREFUSED
dc ip route add unreachable 10.66.0.0/16
dc ip -6 route add unreachable fd00:10:66::/48
try "host unreachable, IPv4" 10.66.0.1 80 EHOSTUNREACH
try "host unreachable, IPv6" fd00:10:66::1 80 EHOSTUNREACH
dc ip route add throw 10.67.0.0/16
dc ip -6 route add throw fd00:10:67::/48
dc ip route del default
dc ip -6 route del default
dc ip route add 192.0.2.0/24 via 198.51.100.1
dc ip -6 route add 2001:db8:1::/64 via 2001:db8:2::1
try "network unreachable, IPv4" 10.67.0.1 80 ENETUNREACH
try "network unreachable, IPv6" fd00:10:67::1 80 ENETUNREACH
try "denied by Sentry, IPv4" 169.254.169.254 80 EHOSTUNREACH
try "denied by Sentry, IPv6" ::169.254.169.254 80 EACCES

# each reason of the wire, set at Sentry
declare -A v4=([1]=ECONNREFUSED [2]=EHOSTUNREACH [3]=ENETUNREACH [4]=EHOSTUNREACH
	[5]=EHOSTUNREACH [6]=ECONNREFUSED [7]=ECONNREFUSED [8]=ECONNREFUSED)
declare -A v6=([1]=ECONNREFUSED [2]=EHOSTUNREACH [3]=ENETUNREACH [4]=EHOSTUNREACH
	[5]=EACCES [6]=ECONNREFUSED [7]=ECONNREFUSED [8]=ECONNREFUSED)
for reason in 1 2 3 4 5 6 7 8; do
	sentry_ctl fault off >/dev/null
	sentry_ctl fault refuse-open $reason >/dev/null
	try "REFUSED $reason, IPv4" 10.1.0.10 80 "${v4[$reason]}"
	try "REFUSED $reason, IPv6" fd00:10::10 80 "${v6[$reason]}"
done
sentry_ctl fault off >/dev/null
try "and without the fault, IPv4" 10.1.0.10 80 connected
try "and without the fault, IPv6" fd00:10::10 80 connected

# no "connected" before Sentry said so
sentry_ctl fault delay-open 3000 >/dev/null
for a in 10.1.0.10 fd00:10::10; do
	out=$(app connect $a 80)
	took=${out#* }
	if [ "${out% *}" = connected ] && [ "$(printf '%.0f' "$took")" -ge 3 ]; then
		pass "$a: connected only after Sentry said so ($took s)"
	else
		fail "$a: delayed OPEN: $out"
	fi
	out=$(app connect $a 4444)
	took=${out#* }
	if [ "${out% *}" = ECONNREFUSED ] && [ "$(printf '%.0f' "$took")" -ge 3 ]; then
		pass "$a: refused only after Sentry said so ($took s)"
	else
		fail "$a: delayed refusal: $out"
	fi
done
sentry_ctl fault off >/dev/null

# UDP to a port where nobody listens
equal "UDP port unreachable, IPv4" ECONNREFUSED "$(app udperr 10.1.0.10 4445)"
equal "UDP port unreachable, IPv6" ECONNREFUSED "$(app udperr fd00:10::10 4445)"

# nobody answered Sentry, either
for a in 10.1.0.10 fd00:10::10; do
	wait_for 40 test -s "$WORK/silence.$a"
	out=$(cat "$WORK/silence.$a")
	took=$(printf '%.0f' "${out#* }")
	if [ "${out% *}" = EHOSTUNREACH ] && [ "$took" -ge 29 ] && [ "$took" -le 36 ]; then
		pass "$a, timed out at Sentry: EHOSTUNREACH (${out#* } s)"
	else
		fail "$a, timed out at Sentry: '$out'"
	fi
done

# while Sentry cannot be reached SYNs are held for 10 s, then answered
rtr nft add table inet cut
rtr nft add chain inet cut f '{ type filter hook forward priority 0; }'
rtr nft add rule inet cut f ip daddr 198.51.100.2 reject with tcp reset
rtr nft add rule inet cut f ip saddr 198.51.100.2 drop
rtr conntrack -F >/dev/null 2>&1
dev sh -c "ss -K dst 198.51.100.2 dport = 443" >/dev/null 2>&1
wait_for 5 state_is reconnecting
equal "state after the cut" reconnecting "$(state)"
out=$(app connect 10.1.0.10 80 25)
took=$(printf '%.0f' "${out#* }")
if [ "${out% *}" = EHOSTUNREACH ] && [ "$took" -ge 9 ] && [ "$took" -le 14 ]; then
	pass "no session: held for 10 s, then EHOSTUNREACH (${out#* } s)"
else
	fail "no session: $out"
fi
rtr nft delete table inet cut
wait_for 70 state_is up
equal "state when Sentry is back" up "$(state)"
try "and flows are back" 10.1.0.10 80 connected

check "disconnect" atp disconnect corp
finish
