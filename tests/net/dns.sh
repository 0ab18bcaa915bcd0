#!/bin/bash
# dns - the forwarder: UDP and TCP, several resolvers with failover, the file
# back-end by rename and in place, restored by disconnect and after a crash.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
dns_up 10.1.0.54
second=$DNS_PID
profile corp 'dns:DnsResolverIPs = "10.1.0.54;10.1.0.53"' 'dns:DnsSearchDomains = "corp.internal;lab.internal"'
profile dead 'dns:DnsResolverIPs = "10.1.0.99;10.1.0.53"'
profile none 'dns:Backend = none'
daemon_up
before=$(dev sh -c 'stat -c "%F %a %u:%g" /etc/resolv.conf; cat /etc/resolv.conf')
atp connect corp --timeout 20 >/dev/null 2>&1 || { fail "connect"; tail -20 "$WORK/daemon.log"; finish; }
check "resolv.conf names the service address" dev grep -q '^nameserver 198.18.53.53' /etc/resolv.conf
check "and the search domains" dev grep -q '^search corp.internal lab.internal' /etc/resolv.conf
dig_() { dev dig +short +time=3 +tries=1 "$@"; }
equal "UDP" 10.1.0.10 "$(dig_ web.corp.internal)"
equal "TCP" 10.1.0.10 "$(dig_ +tcp web.corp.internal)"
equal "AAAA" fd00:10::10 "$(dig_ AAAA web6.corp.internal)"
equal "over IPv6" 10.1.0.10 "$(dig_ @fd61:7070:7475::53 web.corp.internal)"
equal "a name that does not exist" NXDOMAIN "$(dev dig +time=3 nothing.invalid | sed -n 's/.*status: \([A-Z]*\),.*/\1/p')" ||
	note "$(dev dig +time=3 nothing.invalid | head -5)"
check "100 queries at once" dev sh -c 'for i in $(seq 100); do dig +short +time=5 web.corp.internal & done | sort | uniq -c | grep -q "100 10.1.0.10"'
kill_pid "$second"
t0=$(date +%s%N)
equal "the first resolver dies: the second answers" 10.1.0.10 "$(dev dig +short +time=5 +tries=1 web.corp.internal)"
equal "and over TCP" 10.1.0.10 "$(dev dig +short +tcp +time=8 +tries=1 web.corp.internal)"
note "failover took $((($(date +%s%N) - t0) / 1000000)) ms"
equal "and it is remembered" 10.1.0.10 "$(dev dig +short +time=1 +tries=1 web.corp.internal)"
if dev timeout 3 python3 "$TOP/tests/net/app.py" udperr 198.18.53.53 54 | grep -q ECONNREFUSED; then pass "another port of the service address is refused"; else fail "another port of the service address"; fi
atp disconnect corp >/dev/null 2>&1
equal "disconnect restores resolv.conf" "$before" "$(dev sh -c 'stat -c "%F %a %u:%g" /etc/resolv.conf; cat /etc/resolv.conf')"

atp connect dead --timeout 20 >/dev/null 2>&1 || fail "connect dead"
equal "a resolver that never answered" 10.1.0.10 "$(dev dig +short +time=8 +tries=1 web.corp.internal)"
atp disconnect dead >/dev/null 2>&1

atp connect none --timeout 20 >/dev/null 2>&1 || fail "connect none"
equal "Backend = none leaves resolv.conf alone" "$before" "$(dev sh -c 'stat -c "%F %a %u:%g" /etc/resolv.conf; cat /etc/resolv.conf')"
atp disconnect none >/dev/null 2>&1

# a symlink stays a symlink
dev sh -c 'mv /etc/resolv.conf /etc/real.conf; ln -s real.conf /etc/resolv.conf'
atp connect corp --timeout 20 >/dev/null 2>&1 || fail "connect with a symlink"
equal "with a symlink" 10.1.0.10 "$(dev dig +short +time=5 web.corp.internal)"
atp disconnect corp >/dev/null 2>&1
equal "the symlink is back" real.conf "$(dev readlink /etc/resolv.conf)"
dev sh -c 'rm /etc/resolv.conf; mv /etc/real.conf /etc/resolv.conf'

# bind-mounted as in a container: written in place
echo 'nameserver 203.0.113.77' >"$WORK/bound.conf"
dev mount --bind "$WORK/bound.conf" /etc/resolv.conf
kill_pid "$DAEMON_PID" TERM
daemon_up
atp connect corp --timeout 20 >/dev/null 2>&1 || fail "connect with a bind mount"
check "bind-mounted: written in place" grep -q 198.18.53.53 "$WORK/bound.conf"
eng=$(dev pgrep -P "$DAEMON_PID" -x apptunnel-engin)
kill -STOP "$DAEMON_PID"; kill -KILL "$eng" "$DAEMON_PID"; wait "$DAEMON_PID" 2>/dev/null
dev "$OUT/apptunneld" --cleanup --state-dir "$WORK/state" --run-dir "$WORK/run" >/dev/null 2>&1
equal "bind-mounted: restored after a crash" 'nameserver 203.0.113.77' "$(cat "$WORK/bound.conf")"

# somebody else wrote it meanwhile: left alone
daemon_up
atp connect corp --timeout 20 >/dev/null 2>&1 || fail "connect"
echo 'nameserver 203.0.113.78' >"$WORK/bound.conf"
atp disconnect corp >/dev/null 2>&1
equal "changed by somebody else: left alone" 'nameserver 203.0.113.78' "$(cat "$WORK/bound.conf")"
finish
