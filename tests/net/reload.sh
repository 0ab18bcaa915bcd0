#!/bin/bash
# reload - another profile while traffic flows: only the difference is applied,
# what is wrong changes nothing and is said, and a profile on trial comes back.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
D=$WORK/profiles.d
SIZE=15000000
head -c $SIZE /dev/urandom >"$WORK/www/big"
chmod a+r "$WORK/www/big"
WANT=$(sha256sum <"$WORK/www/big")
NEW=$WORK/new
mkdir -p "$NEW"

# next SECTION:LINE... - the profile that comes next, in $NEW/corp.ini
next() {
	(WORK=$NEW.p && mkdir -p "$WORK" && ln -sfn "$ROOT_WORK/pki" "$WORK/pki" && profile corp "$@")
	sed "s#$NEW.p/pki#$WORK/pki#" "$NEW.p/profiles.d/corp.ini" >"$NEW/corp.ini"
	chmod 644 "$NEW/corp.ini"
}
# deliver [FILE] - as an MDM does: beside it, then renamed
deliver() { cp "${1:-$NEW/corp.ini}" "$D/.in" && mv "$D/.in" "$D/corp.ini"; }
changes() { grep -c 'profile.changed: corp' "$WORK/daemon.log"; }
changed() { [ "$(changes)" -gt "$1" ]; }
said() { atp status corp 2>&1 | grep -qE -- "$1"; }
unsaid() { ! atp status corp 2>&1 | grep -q '  warning .*profile corp'; }
leads() { dev ip route get "$1" 2>/dev/null | grep -q 'dev atp0'; }
reaches() { dev curl -s -m 3 "http://$1/" | grep -q intranet; }
verdict() { atp explain tcp "$1:80" | cut -d: -f1; }
engine() { pgrep -P "$DAEMON_PID" -f apptunnel-engine; }

profile corp "tunnel:IPRoutes = \"10.0.0.0/8;fd00:10::/32\""
daemon_up
check "connect" atp connect corp --timeout 20
ENGINE=$(engine)
[ -s "$WORK/state/profiles/corp/active.ini" ] && cmp -s "$WORK/state/profiles/corp/active.ini" "$D/corp.ini" &&
	pass "what is in use is in the store" || fail "what is in use is in the store"
equal "the store is root's alone" "700 600" "$(stat -c %a "$WORK/state/profiles/corp") $(stat -c %a "$WORK/state/profiles/corp/active.ini")"

# ---- a change of IPRoutes under a download ------------------------------------------
spawn_in dev "$WORK/curl.log" curl -s --limit-rate 1500k -o "$WORK/got" http://10.1.0.10/big
CURL=$PID
# over a route that goes: it cannot live on
# (what its kernel holds when the RST comes is read first, some MB: hence the rate)
truncate -s 90M "$WORK/www/six"
spawn_in dev "$WORK/six.log" curl -s --max-time 20 --limit-rate 3M -o "$WORK/six" "http://[fd00:10::10]/six"
SIX=$PID
wait_for 5 test -s "$WORK/got"
wait_for 5 test -s "$WORK/six"
leads 203.0.113.10 && fail "the new route is not there yet" || pass "the new route is not there yet"
n=$(changes)
next "tunnel:IPRoutes = \"10.1.0.0/16;203.0.113.0/24;10.10.0.0/16\"" "support:LogLevel = debug"
deliver
wait_for 10 changed "$n" && pass "the renamed file is taken" || fail "the renamed file is taken"
left=$((SIZE - $(stat -c %s "$WORK/got")))
note "$left bytes of the download remained"
[ $left -gt 100000 ] && kill -0 $CURL && pass "the download was running" || fail "the download was running: $left left"
check "the new route leads into the tunnel" leads 203.0.113.10
check "and works" reaches 203.0.113.10
equal "the engine decides so" tunnel "$(verdict 203.0.113.10)"
leads 10.2.0.1 && fail "the removed route is gone" || pass "the removed route is gone"
equal "for the engine, too" direct "$(verdict 10.2.0.1)"
dev ip -6 route get fd00:10::10 2>/dev/null | grep -q atp0 && fail "IPv6's is gone" || pass "IPv6's is gone"
dev nft list set inet apptunnel covered4 | grep -q 203.0.113.0/24 &&
	pass "the rule set is the new one" || fail "the rule set is the new one"
wait $SIX
equal "a flow whose verdict changed ends with RST" 56 $?
wait $CURL
equal "the download survives" "0 $WANT" "$? $(sha256sum <"$WORK/got")"
equal "it is the same engine" "$ENGINE" "$(engine)"
cmp -s "$WORK/state/profiles/corp/active.ini" "$D/corp.ini" && [ -s "$WORK/state/profiles/corp/previous.ini" ] &&
	pass "the store has both" || fail "the store has both"

# ---- DNS, UDP ports and timers, in the session that stands --------------------------------
dns_up 10.1.0.54
SPARE_DNS=$PID
spawn_in dev "$WORK/live.log" curl -s --limit-rate 1500k -o "$WORK/live" http://10.1.0.10/big
LIVE=$PID
asked() { grep -c 'query\[A\] web.corp.internal' "$WORK/dns-10.1.0.54.log"; }
datagrams() { rtr nft list counter inet watch dns | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
rtr nft add table inet watch
rtr nft add counter inet watch dns
rtr nft add chain inet watch f '{ type filter hook prerouting priority -10; }'
rtr nft add rule inet watch f ip daddr 10.1.0.0/16 udp dport 53 counter name dns
look() { dev dig +short +time=1 +tries=1 "$1" web.corp.internal; }
equal "before: the first resolver, in the tunnel" "10.1.0.10 0" "$(look @10.1.0.53) $(datagrams)"
spare=$(asked)	# it was asked once, whether it lives
dev getent hosts web.corp >/dev/null && fail "no search domain yet" || pass "no search domain yet"
n=$(changes)
next "tunnel:IPRoutes = \"10.1.0.0/16;203.0.113.0/24;10.10.0.0/16\"" "support:LogLevel = session" \
	"dns:DnsResolverIPs = 10.1.0.54" "dns:DnsSearchDomains = internal" "tunnel:SplitUDPPortList = \"99;200-300\"" \
	"atp:AtpProbeIdleSec = 2" "atp:AtpProbeIntervalSec = 1" "atp:AtpProbeCount = 3"
deliver
wait_for 10 changed "$n" && pass "resolvers, ports and timers are taken" || fail "resolvers, ports and timers are taken"
equal "the forwarder asks the other resolver" "10.1.0.10 1" \
	"$(dev dig +short +time=2 +tries=2 web.corp.internal) $(($(asked) - spare))"
equal "the search domain is there" 0 "$(dev getent hosts web.corp >/dev/null; echo $?)"
look @10.1.0.53 >/dev/null
[ "$(datagrams)" -gt 0 ] && pass "a port that is not listed goes direct" || fail "a port that is not listed goes direct: $(datagrams)"
equal "as explain says" "direct tunnel" "$(atp explain udp 10.1.0.53:53 | cut -d: -f1) $(atp explain udp 10.1.0.53:250 | cut -d: -f1)"
wait $LIVE
equal "the download lived through it" "0 $WANT" "$? $(sha256sum <"$WORK/live")"
before=$(atp log --level session 2>/dev/null | grep -c 'probe\.sent')
rtr nft add rule inet watch f ip daddr 198.51.100.2 drop
dev ping -c1 -W1 10.1.0.10 >/dev/null
wait_for 12 state_is reconnecting && pass "a black hole is found" || fail "a black hole is found"
equal "with the new number of probes" 3 "$(($(atp log --level session 2>/dev/null | grep -c 'probe\.sent') - before))"
rtr nft delete table inet watch
wait_for 20 state_is up && pass "and the session comes back" || fail "and the session comes back"
kill_pid $SPARE_DNS
equal "all of it in the same engine" "$ENGINE" "$(engine)"
next "tunnel:IPRoutes = \"10.1.0.0/16;203.0.113.0/24;10.10.0.0/16\"" "support:LogLevel = debug"
n=$(changes)
deliver
wait_for 10 changed "$n" && [ "$(look @10.1.0.53)" = 10.1.0.10 ] && pass "and back" || fail "and back"

# ---- what is wrong changes nothing, and is said ----------------------------------------
cp "$NEW/corp.ini" "$WORK/good.ini"
FIFO=$WORK/fifo
mkfifo "$FIFO"
# a stream that lives through all of it
spawn_in dev "$WORK/slow.log" curl -s --limit-rate 400k -o "$WORK/slow" http://10.1.0.10/big
SLOW=$PID
wait_for 5 test -s "$WORK/slow"
n=$(changes)
# wrong NAME PATTERN - after the file was put there
wrong() {
	wait_for 5 said "$2" && pass "$1: said in status" || {
		fail "$1: said in status: no '$2' in"
		atp status corp 2>&1 | sed 's/^/     | /'
	}
	equal "$1: nothing changed" "$n" "$(changes)"
	deliver "$WORK/good.ini"
	wait_for 5 unsaid || fail "$1: the good file clears it"
}
sed 's/^IPRoutes = .*/IPRoutes = 10.1.0.0\/33/' "$WORK/good.ini" >"$NEW/x.ini"
line=$(grep -n IPRoutes "$NEW/x.ini" | cut -d: -f1)
deliver "$NEW/x.ini"
wait_for 5 said "corp.ini:$line:" && atp status corp --json | python3 -c "
import json, sys
j = json.load(sys.stdin)
sys.exit(not (j['state'] == 'up' and any('corp.ini:$line:' in f for f in j['findings'])))" &&
	pass "an invalid file: in status --json" || fail "an invalid file: in status --json"
wrong "an invalid file" "corp.ini:$line:21: error: IPRoutes"
sed 's/^IPRoutes = .*/IPRoutes = 10.1.0.0\/16;10.2.0.0\/16/' "$WORK/good.ini" >"$NEW/x.ini"
deliver "$NEW/x.ini"
wrong "an unquoted list" "corp.ini:$line:23: error: IPRoutes: "
sed "s/^IPRoutes = .*/&\n&/" "$WORK/good.ini" >"$NEW/x.ini"
deliver "$NEW/x.ini"
wrong "duplicate keys" "corp.ini:$((line + 1)):.* error: "
{ cat "$WORK/good.ini"; head -c 104857600 /dev/zero | tr '\0' '#'; } >"$NEW/x.ini"
deliver "$NEW/x.ini"
wrong "100 MB" "corp.ini is larger than 1 MiB"
rm "$NEW/x.ini"
cp "$WORK/good.ini" "$NEW/x.ini"
chown 64430 "$NEW/x.ini"
cp -p "$NEW/x.ini" "$D/.in" && mv "$D/.in" "$D/corp.ini"
wrong "a wrong owner" "corp.ini does not belong to root"
chown 0 "$NEW/x.ini"
chmod 666 "$NEW/x.ini"
cp -p "$NEW/x.ini" "$D/.in" && mv "$D/.in" "$D/corp.ini"
wrong "a wrong mode" "corp.ini can be written by others"
chmod 644 "$NEW/x.ini"
ln -s "$WORK/good.ini" "$D/.in" && mv "$D/.in" "$D/corp.ini"
wrong "a symbolic link" "corp.ini is a symbolic link"
# half of it stands there for a while, as long as somebody writes
head -5 "$WORK/good.ini" >"$FIFO" & HALF=$!
dev sh -c "cat '$FIFO' - >'$D/corp.ini' <&3" 3< <(sleep 1.2; tail -n +6 "$NEW/x.ini") &
wait $HALF
sleep 0.2
dev sh -c ": >>'$D/corp.ini'"	# another one that closes it does not make it whole
sleep 0.6
equal "half a file is not read" "0 $n" "$(atp status corp | grep -c 'corp.ini') $(changes)"
wait $!
sleep 0.4
unsaid && pass "and the whole one is good" || fail "and the whole one is good"
kill -0 $SLOW && pass "the session lived through all of it" || fail "the session lived through all of it"
equal "in the same engine" "$ENGINE $n" "$(engine) $(changes)"
# CRLF and BOM are no errors
{ printf '\357\273\277'; sed 's/$/\r/; s/203.0.113.0\/24/203.0.113.0\/25/' "$WORK/good.ini"; } >"$NEW/x.ini"
deliver "$NEW/x.ini"
wait_for 5 changed "$n" && unsaid && pass "CRLF and a byte-order mark are taken" || fail "CRLF and a byte-order mark are taken"
rm "$D/corp.ini"
sleep 0.4
kill -0 $SLOW && state_is up && pass "that the file goes leaves the session alone" || fail "that the file goes leaves the session alone"

# ---- what needs a new session, or a new engine -------------------------------------------
n=$(changes)
pin=$(grep -m1 '^sha256:' "$WORK/pki/pins")
sed "s#^PinnedCertificate = .*#PinnedCertificate = \"$pin;sha256:$(printf '0%.0s' {1..64})\"#" "$WORK/good.ini" >"$NEW/x.ini"
deliver "$NEW/x.ini"
wait_for 20 changed "$n" && state_is up && pass "another pin: a new session beside the old one" ||
	fail "another pin: a new session beside the old one"
equal "in the same engine" "$ENGINE" "$(engine)"
check "and it works" reaches 10.1.0.10
n=$(changes)
sed "s#^PinnedCertificate = .*#PinnedCertificate = \"sha256:$(printf '0%.0s' {1..64})\"#" "$WORK/good.ini" >"$NEW/y.ini"
deliver "$NEW/y.ini"
wait_for 40 said 'new file is not used, the old one stays in effect' && pass "a wrong pin: the old session stays, and it is said" ||
	fail "a wrong pin: the old session stays, and it is said"
equal "nothing changed" "$n up" "$(changes) $(state)"
check "and it works" reaches 10.1.0.10
sed 's/^IPRoutes = .*/&\nMTU = 1380/' "$NEW/x.ini" >"$NEW/y.ini"
deliver "$NEW/y.ini"
wait_for 10 changed "$n" && wait_for 15 state_is up && pass "another MTU: taken by a new engine" || fail "another MTU: taken by a new engine"
[ "$(engine)" != "$ENGINE" ] && dev ip link show atp0 | grep -q 'mtu 1380' && reaches 10.1.0.10 && pass "which works" || fail "which works"

# ---- two profiles at once ---------------------------------------------------------------
deliver
profile other "tunnel:IPRoutes = \"10.66.0.0/16\"" "tunnel:ExcRoutes = -" "dns:Backend = none"
check "a second profile with other routes" atp connect other --timeout 20
n=$(changes)
next "tunnel:IPRoutes = \"10.1.0.0/16;10.66.6.0/24\""
deliver
wait_for 5 said 'corp and other .*10.66.6.0/24' && pass "a change into its routes is refused with both names" ||
	fail "a change into its routes is refused with both names"
check "disconnect the second" atp disconnect other
kill_pid $SLOW

# ---- on trial -------------------------------------------------------------------------------
deliver "$WORK/good.ini"
wait_for 5 unsaid || fail "the good file again"
wait_for 15 state_is up || fail "the new engine's session"
cp "$WORK/good.ini" "$NEW/base.ini"
A=$WORK/apply
mkdir -p "$A"
with() { sed "s#^IPRoutes = .*#IPRoutes = \"$1\"#" "$NEW/base.ini" >"$A/corp.ini"; }
with "10.1.0.0/16;10.77.0.0/16"
out=$(atp profile apply "$A/corp.ini" --confirm-within 3s 2>&1)
equal "apply on trial" "0 applied corp on trial: \`apptunnel profile confirm corp\` within 3 s keeps it" "$? $out"
check "it is in effect" leads 10.77.0.1
wait_for 8 leads 203.0.113.10 && pass "without a confirmation the one before comes back" ||
	fail "without a confirmation the one before comes back"
leads 10.77.0.1 && fail "and the new one is gone" || pass "and the new one is gone"
wait_for 3 said 'the profile before is back: no confirmation' && pass "and it is said" || fail "and it is said"
deliver "$A/corp.ini"
wait_for 5 said 'rolled back; it is not tried again' && pass "it is not tried again from the inbox" ||
	fail "it is not tried again from the inbox"
leads 10.77.0.1 && fail "really not" || pass "really not"
deliver "$NEW/base.ini"
with "10.1.0.0/16;10.78.0.0/16"
check "apply, ready by tunnel, dns, tcp" atp profile apply "$A/corp.ini" --confirm-within 20s --ready tunnel,dns,tcp:web.corp.internal:80
check "confirm" atp profile confirm corp
cmp -s "$A/corp.ini" "$D/corp.ini" && pass "what is confirmed is in the inbox" || fail "what is confirmed is in the inbox"
check "rollback" atp profile rollback corp
check "leads back" leads 203.0.113.10
with "10.1.0.0/16;10.76.0.0/16"
check "a resolver that refuses the question is there, too" atp profile apply "$A/corp.ini" --ready dns,tcp:10.1.0.10:80
check "rollback of it" atp profile rollback corp
with "10.1.0.10/32;10.1.0.53/32;10.79.0.0/16"
atp profile apply "$A/corp.ini" --confirm-within 3s --ready tcp:10.79.0.1:80 >"$WORK/out" 2>&1
equal "broken readiness: the exit code" 3 $?
wait_for 3 leads 203.0.113.10 && pass "broken readiness leads back" || fail "broken readiness leads back"

# ---- killed within the window ------------------------------------------------------------------
# window NETWORK HOW - on trial with another network, the daemon killed, HOW, and started again
window() {
	with "10.1.0.0/16;$1/16"
	dev sh -c "'$OUT/apptunnel' --run-dir '$WORK/run' profile apply '$A/corp.ini' --confirm-within 30s --ready tcp:${1%0}1:80" >/dev/null 2>&1 &
	wait_for 5 leads "${1%0}1" || fail "$2: on trial"
	kill_pid "$DAEMON_PID" KILL
	[ "$2" = "killed" ] || "$2"
	daemon_up
	said 'the profile before is back: the daemon ended' && pass "$2 within the window: said" || fail "$2 within the window: said"
	deliver "$A/corp.ini"
	check "connect" atp connect corp --timeout 20
	leads 203.0.113.10 && pass "$2 within the window: the one before is back" || fail "$2 within the window: the one before is back"
	leads "${1%0}1" && fail "and not the new one" || pass "and not the new one"
}
# what a kernel that starts anew no longer has, and its other name
rebooted() {
	local f
	for f in -4 -6; do
		dev ip $f rule flush protocol 143
		dev ip $f route flush table 44300
	done
	dev nft delete table inet apptunnel
	dev nft delete table arp apptunnel
	cat /proc/sys/kernel/random/uuid >"$WORK/boot_id"
	dev mount --bind "$WORK/boot_id" /proc/sys/kernel/random/boot_id
}
window 10.80.0.0 killed
window 10.81.0.0 rebooted
check "disconnect" atp disconnect corp
finish
