# shellcheck shell=bash
# lib.sh - the little internet that scenarios, demo and bench play in.
#
#      dev  (the device)            rtr (the network)           dc (the company)
#   192.0.2.2        uplink ───── 192.0.2.1 │ 198.51.100.1 ───── 198.51.100.2   Sentry :443
#   2001:db8:1::2                 ...:1::1  │ ...:2::1           2001:db8:2::2
#   atp0, apptunneld                                             10.1.0.10     web, echo, iperf3
#   private /etc                                                 10.1.0.53     DNS
#                                                                10.10.10.10   (excluded)
#                                                                fd00:10::10   web over IPv6
#                                                                203.0.113.10  "the internet"
#
# The router can reach every address of dc, so whatever leaves the device
# unprotected arrives and is counted.  Each namespace is held by one process
# that dies with this script; nothing gets a name on the machine, no file is
# touched outside $WORK.
#
# Use: WORK=... ; . lib.sh; net_up; ...   (net_down runs on exit)

set -u
umask 022
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
OUT=${OUT:-$TOP/build}
WORK=${WORK:-$(mktemp -d "$TOP/build/net.XXXXXX")}
ROOT_WORK=$WORK
NAME=${NAME:-$(basename "$0")}
PIDS=()
declare -A NS=()
PASSED=0 FAILED=0 SKIPPED=0

# ---- results: one line each, counted by scripts/check -----------------------

pass() { PASSED=$((PASSED + 1)); printf 'PASS %s: %s\n' "$NAME" "$*"; }
fail() { FAILED=$((FAILED + 1)); printf 'FAIL %s: %s\n' "$NAME" "$*"; }
skip() { SKIPPED=$((SKIPPED + 1)); printf 'SKIP %s: %s\n' "$NAME" "$*"; }
note() { printf '     %s\n' "$*"; }
die() { printf '%s: %s\n' "$NAME" "$*" >&2; exit 1; }

# check WHAT COMMAND... - pass when the command succeeds, else show its output
check() {
	local what=$1 out
	shift
	if out=$("$@" 2>&1); then pass "$what"; else
		fail "$what"
		printf '%s\n' "$out" | tail -15 | sed 's/^/     | /'
		return 1
	fi
}
# equal WHAT EXPECTED ACTUAL
equal() {
	if [ "$2" = "$3" ]; then pass "$1"; else
		fail "$1: expected '$2', got '$3'"
		return 1
	fi
}
# wait_for SECONDS COMMAND... - until it succeeds
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# The checkout may stand where only root may look: the namespaces see its build
# folder at /run/build as well, and unprivileged programs are given that path.
shared() { printf '%s' "${1/#$TOP\/build//run/build}"; }

# ---- processes and namespaces ------------------------------------------------

# spawn LOG COMMAND... - a background process that dies with this script; $PID
spawn() {
	local log=$1
	shift
	setpriv --pdeathsig KILL "$@" >"$log" 2>&1 </dev/null &
	PID=$!
	PIDS+=("$PID")
}
# a program that is started again gets a fresh log; the old one is kept for finish
keep_log() { [ ! -f "$1" ] || cat "$1" >>"$WORK/earlier.log"; }
# at NS COMMAND... - run in a namespace
at() {
	local ns=$1
	shift
	nsenter -t "${NS[$ns]}" -n -m -- "$@"
}
# spawn_in NS LOG COMMAND...
spawn_in() {
	local ns=$1 log=$2
	shift 2
	spawn "$log" nsenter -t "${NS[$ns]}" -n -m -- setpriv --pdeathsig KILL "$@"
}
dev() { at dev "$@"; }
dc() { at dc "$@"; }
rtr() { at rtr "$@"; }
kill_pid() { kill -"${2:-TERM}" "$1" 2>/dev/null; wait "$1" 2>/dev/null; }

net_holder() { # NAME
	setpriv --pdeathsig KILL unshare -n -m --propagation private sleep 3600 </dev/null >/dev/null 2>&1 &
	NS[$1]=$!
	PIDS+=($!)
	local i
	for i in $(seq 100); do
		[ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ] &&
			[ "$(cat /proc/$!/comm)" = sleep ] && return
		sleep 0.02
	done
	die "cannot make a network namespace: root may not, here (in a container without CAP_SYS_ADMIN?)"
}

net_up() {
	[ "$(id -u)" = 0 ] || die "needs root"
	mkdir -p "$WORK"
	# built with whatever umask: those who hold no privilege must reach them, too
	chmod 755 "$TOP/build" "$OUT" "$OUT"/{apptunnel,apptunneld,apptunnel-engine,apptunnel-parser,apptunnel-ready,sentry} "$WORK"
	trap net_down EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	net_holder dev
	net_holder rtr
	net_holder dc
	local ns
	for ns in dev rtr dc; do at $ns ip link set lo up; done
	ip link add "atd$$" type veth peer name "atr$$"
	ip link set "atd$$" netns "${NS[dev]}"
	ip link set "atr$$" netns "${NS[rtr]}"
	ip link add "atd$$" type veth peer name "atr$$"
	ip link set "atd$$" netns "${NS[dc]}"
	dev ip link set "atd$$" name uplink
	rtr ip link set "atr$$" name todev
	ip link set "atr$$" netns "${NS[rtr]}"
	dc ip link set "atd$$" name torouter
	rtr ip link set "atr$$" name todc
	# no duplicate address detection: the addresses are ours alone
	for ns in dev rtr dc; do
		at $ns sh -c 'for f in /proc/sys/net/ipv6/conf/*/accept_dad; do echo 0 >$f; done'
	done
	dev ip addr add 192.0.2.2/24 dev uplink
	dev ip addr add 2001:db8:1::2/64 dev uplink nodad
	rtr ip addr add 192.0.2.1/24 dev todev
	rtr ip addr add 2001:db8:1::1/64 dev todev nodad
	rtr ip addr add 198.51.100.1/24 dev todc
	rtr ip addr add 2001:db8:2::1/64 dev todc nodad
	dc ip addr add 198.51.100.2/24 dev torouter
	dc ip addr add 198.51.100.3/24 dev torouter
	dc ip addr add 2001:db8:2::2/64 dev torouter nodad
	local a
	for a in 10.1.0.10 10.1.0.11 10.1.0.53 10.1.0.54 10.10.10.10 203.0.113.10; do
		dc ip addr add $a/32 dev lo
	done
	dc ip addr add fd00:10::10/128 dev lo nodad
	dc ip addr add 2001:db8:ffff::10/128 dev lo nodad
	dev ip link set uplink up
	rtr ip link set todev up
	rtr ip link set todc up
	dc ip link set torouter up
	dev ip route add default via 192.0.2.1
	dev ip -6 route add default via 2001:db8:1::1
	dc ip route add default via 198.51.100.1
	dc ip -6 route add default via 2001:db8:2::1
	rtr sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	for a in 10.0.0.0/8 203.0.113.0/24; do rtr ip route add $a via 198.51.100.2; done
	for a in fd00:10::/32 2001:db8:ffff::/48; do rtr ip -6 route add $a via 2001:db8:2::2; done
	dc sysctl -qw net.ipv4.ip_unprivileged_port_start=0 net.ipv4.ping_group_range="0 2147483647"
	# the device's own /etc, so that resolv.conf is a plain file that is ours
	mkdir -p "$WORK/etc"
	dev mount -t tmpfs -o mode=755 etc "$WORK/etc"
	dev cp -a /etc/. "$WORK/etc/"
	dev sh -c "rm -f '$WORK/etc/resolv.conf'; printf 'nameserver 203.0.113.53\n' >'$WORK/etc/resolv.conf'"
	dev mount --bind "$WORK/etc" /etc
	# sshd wants a user and a folder of its own
	mkdir -p "$WORK/dc-etc"
	dc mount -t tmpfs -o mode=755 etc "$WORK/dc-etc"
	dc cp -a /etc/. "$WORK/dc-etc/"
	dc sh -c "grep -q ^sshd: '$WORK/dc-etc/passwd' || echo 'sshd:x:64432:65534::/run/sshd:/usr/sbin/nologin' >>'$WORK/dc-etc/passwd'"
	dc mount --bind "$WORK/dc-etc" /etc
	for ns in dev dc; do
		at $ns mount -t tmpfs -o mode=755 run /run
		at $ns mkdir /run/sshd /run/build
		at $ns mount --bind "$TOP/build" /run/build
	done
}

net_down() {
	local i
	trap - EXIT
	for ((i = ${#PIDS[@]} - 1; i >= 0; i--)); do kill -TERM "${PIDS[i]}" 2>/dev/null; done
	sleep 0.2
	for ((i = ${#PIDS[@]} - 1; i >= 0; i--)); do
		kill -KILL "${PIDS[i]}" 2>/dev/null
		wait "${PIDS[i]}" 2>/dev/null
	done
	PIDS=()
	[ -n "${KEEP_WORK:-}" ] || rm -rf "$WORK"
}

# ---- the company: PKI, Sentry, web, DNS ---------------------------------------

pki_up() { # makes $WORK/pki with device `laptop` of user `jane`
	"$TOP/scripts/pki" init "$WORK/pki" >"$WORK/pki.log" 2>&1 &&
		"$TOP/scripts/pki" sentry "$WORK/pki" sentry --dns sentry.demo.internal \
			--ip 198.51.100.2 >>"$WORK/pki.log" 2>&1 &&
		"$TOP/scripts/pki" device "$WORK/pki" laptop --user jane >>"$WORK/pki.log" 2>&1 ||
		{ cat "$WORK/pki.log" >&2; die "scripts/pki failed"; }
	chmod 755 "$WORK" "$WORK/pki"
}

# sentry_up [EXTRA INI LINES] - Sentry as an unprivileged user; $SENTRY_PID
sentry_up() {
	sentry_config "${1:-}"
	: >"$WORK/audit.jsonl"
	chmod 666 "$WORK/audit.jsonl"
	mkdir -p "$WORK/sentry.run"
	chmod 777 "$WORK/sentry.run"
	chmod 644 "$WORK/pki/sentry.key"
	rm -f "$WORK/sentry.run/ctl.sock"
	keep_log "$WORK/sentry.log"
	spawn_in dc "$WORK/sentry.log" setpriv --reuid 64431 --regid 64431 --clear-groups \
		"$(shared "$OUT/sentry")" serve "$(shared "$WORK/sentry.ini")"
	SENTRY_PID=$PID
	wait_for 20 grep -q '"ready"' "$WORK/sentry.log" || {
		cat "$WORK/sentry.log" >&2
		die "sentry does not start"
	}
}
sentry_config() {
	local WORK
	WORK=$(shared "$ROOT_WORK")
	cat >"$ROOT_WORK/sentry.ini" <<INI
[sentry]
Listen = "198.51.100.2:443;[2001:db8:2::2]:443"
Certificate = $WORK/pki/sentry.crt
PrivateKey = $WORK/pki/sentry.key
DeviceCa = $WORK/pki/ca.crt
Devices = $WORK/pki/devices.jsonl
Services = "<IP_ANY>;<TCP_ANY>"
Dns = "10.1.0.53"
Search = "corp.internal"
Audit = $WORK/audit.jsonl
Control = $WORK/sentry.run/ctl.sock
AllowDestinations = "10.0.0.0/8;203.0.113.0/24;fd00:10::/32;2001:db8:ffff::/48"
$1
INI
	chmod 644 "$ROOT_WORK/sentry.ini"
}
sentry_ctl() { dc "$OUT/sentry" ctl "$WORK/sentry.run/ctl.sock" "$@"; }

web_up() { # nginx with HTTP and HTTPS on the intranet, and on the "internet"
	mkdir -p "$WORK/www" "$WORK/nginx"
	echo 'Hello from the intranet' >"$WORK/www/index.html"
	chmod -R a+rX "$WORK/www"
	cat >"$WORK/nginx/nginx.conf" <<CONF
daemon off;
user root;
worker_processes 1;
pid $WORK/nginx/pid;
error_log $WORK/nginx/error.log;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path $WORK/nginx/body;
	proxy_temp_path $WORK/nginx/proxy;
	fastcgi_temp_path $WORK/nginx/fastcgi;
	uwsgi_temp_path $WORK/nginx/uwsgi;
	scgi_temp_path $WORK/nginx/scgi;
	client_max_body_size 4g;
	sendfile on;
	server {
		listen 80;
		listen [::]:80;
		listen 443 ssl;
		listen [::]:443 ssl;
		ssl_certificate $WORK/pki/sentry.crt;
		ssl_certificate_key $WORK/pki/sentry.key;
		root $WORK/www;
	}
}
CONF
	# Sentry's address keeps its own 443: nginx takes the intranet's addresses only
	sed -i -e 's/listen 80;/listen 10.1.0.10:80; listen 10.10.10.10:80; listen 203.0.113.10:80;/' \
		-e 's/listen \[::\]:80;/listen [fd00:10::10]:80; listen [2001:db8:ffff::10]:80;/' \
		-e 's/listen 443 ssl;/listen 10.1.0.10:443 ssl;/' \
		-e 's/listen \[::\]:443 ssl;/listen [fd00:10::10]:443 ssl;/' "$WORK/nginx/nginx.conf"
	spawn_in dc "$WORK/nginx/out.log" "$OUT_SERVERS/run" nginx -p "$WORK/nginx" \
		-e "$WORK/nginx/error.log" -c "$WORK/nginx/nginx.conf"
	wait_for 20 dc curl -sf http://10.1.0.10/ || {
		cat "$WORK/nginx/out.log" "$WORK/nginx/error.log" >&2
		die "nginx does not start"
	}
}
OUT_SERVERS=$TOP/build/servers

# dns_up [ADDRESS] - dnsmasq for the intranet's names
dns_up() {
	local addr=${1:-10.1.0.53}
	spawn_in dc "$WORK/dns-$addr.log" "$OUT_SERVERS/run" dnsmasq --keep-in-foreground \
		--conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file= \
		--listen-address="$addr" --bind-interfaces --port=53 --log-queries \
		--log-facility=- \
		--local=/invalid/ --host-record=web.corp.internal,10.1.0.10 \
		--host-record=web6.corp.internal,fd00:10::10 \
		--host-record=both.corp.internal,10.1.0.10,fd00:10::10 \
		--txt-record=big.corp.internal,"$(printf 'x%.0s' $(seq 250))","$(printf 'y%.0s' $(seq 250))","$(printf 'z%.0s' $(seq 250))","$(printf 'w%.0s' $(seq 250))","$(printf 'v%.0s' $(seq 250))","$(printf 'u%.0s' $(seq 250))"
	DNS_PID=$PID
	wait_for 20 dc dig +short +time=1 +tries=1 @"$addr" web.corp.internal || die "dnsmasq does not start"
}

# ---- the device ---------------------------------------------------------------

# profile NAME [EXTRA LINES BY SECTION...] - writes $WORK/profiles.d/NAME.ini;
# arguments "section:Key = value" replace or add keys
profile() {
	local name=$1 arg section line pin
	shift
	mkdir -p "$WORK/profiles.d"
	pin=$(grep -m1 '^sha256:' "$WORK/pki/pins")
	declare -A extra=()
	for arg in "$@"; do
		section=${arg%%:*}
		line=${arg#*:}
		extra[$section]+=$line$'\n'
	done
	{
		put sentry "Host = 198.51.100.2" "DeviceId = laptop" "UserId = jane"
		put identity "Certificate = $WORK/pki/laptop.crt" "PrivateKey = $WORK/pki/laptop.key"
		put pinning "PinnedCertificate = \"$pin\""
		put tunnel "IPRoutes = \"10.0.0.0/8;fd00:10::/32\"" "ExcRoutes = 10.10.10.10/32"
		put atp
		put dns
		put lock
		put support "LogLevel = session"
	} >"$WORK/profiles.d/$name.ini"
	chmod 644 "$WORK/profiles.d/$name.ini"
	chmod 755 "$WORK/profiles.d"
}
put() { # section, its standard lines; those that extra[] names are left out
	local s=$1 l key
	shift
	echo "[$s]"
	for l in "$@"; do
		key=${l%% =*}
		printf '%s' "${extra[$s]:-}" | grep -qi "^$key *=" || echo "$l"
	done
	# "Key = -" leaves a standard line out
	printf '%s' "${extra[$s]:-}" | grep -v '= -$'
	echo
}

daemon_up() { # [OPTIONS...]; $DAEMON_PID
	mkdir -p "$WORK/run" "$WORK/state"
	keep_log "$WORK/daemon.log"
	rm -f "$WORK/run/control.sock"	# of a daemon that was killed
	spawn_in dev "$WORK/daemon.log" "$(shared "$OUT/apptunneld")" --profile-dir "$WORK/profiles.d" \
		--run-dir "$WORK/run" --state-dir "$WORK/state" --log-dir "$WORK/log" "$@"
	DAEMON_PID=$PID
	wait_for 20 test -S "$WORK/run/control.sock" || {
		cat "$WORK/daemon.log" >&2
		die "apptunneld does not start"
	}
}
atp() { # the command line, in the device
	dev "$OUT/apptunnel" --profile-dir "$WORK/profiles.d" --run-dir "$WORK/run" \
		--state-dir "$WORK/state" "$@"
}
state() { atp status --json 2>/dev/null | sed -n 's/^ *"state": "\(.*\)",*/\1/p' | head -1; }
state_is() { [ "$(state)" = "$1" ]; }

# snapshot - everything that connect changes, as text
snapshot() {
	dev sh -c '
		ip rule; ip -6 rule
		ip route show table all | sed "s/ expires [0-9]*sec//"
		ip -6 route show table all | sed "s/ expires [0-9]*sec//" | grep -v "^multicast ff00"
		ip -o addr | sed "s/valid_lft.*//"
		nft list ruleset
		sysctl -a 2>/dev/null | grep -E "^net\.ipv[46]\.(conf\.(all|default|uplink)\.|tcp_fwmark|fwmark)" |
			grep -vE "stable_secret|mc_forwarding"
		stat -c "%F %a %u:%g %h" /etc/resolv.conf; cat /etc/resolv.conf; ls -la /etc/resolv.conf* |
			sed "s/^\(.\{10\}\).* \([^ ]*resolv.*\)/\1 \2/"
	'
}

# company - everything but the daemon
company() {
	pki_up
	sentry_up "${1:-}"
	web_up
	dns_up
}

finish() {
	local found i
	for ((i = ${#PIDS[@]} - 1; i >= 0; i--)); do kill -TERM "${PIDS[i]}" 2>/dev/null; done
	# daemon, engine and sentry end and say what they leaked
	for ((i = 0; i < 50; i++)); do
		sleep 0.1
		[ $i -ge 4 ] && ! kill -0 "${PIDS[@]}" 2>/dev/null && break
	done
	# a leak check that could not run is no proof, either
	found=$(grep -hE -A12 'ERROR: (Address|Leak)Sanitizer|LeakSanitizer has encountered|runtime error:|Assertion .* failed' \
		"$WORK"/*.log 2>/dev/null | head -40)
	if [ -n "$found" ]; then
		fail "a sanitizer or an assertion spoke:"
		printf '%s\n' "$found" | sed 's/^/     | /'
	fi
	net_down
	printf 'DONE %s: %d passed, %d failed, %d skipped\n' "$NAME" "$PASSED" "$FAILED" "$SKIPPED"
	[ "$FAILED" = 0 ]
	exit
}
