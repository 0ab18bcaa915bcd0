#!/bin/bash
# traffic - real programs through the tunnel: curl, dig, ping, iperf3, ssh.
#
# TRAFFIC_DAEMON: more options for the daemon (traffic-plain.sh: --no-vnet-hdr)
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

SIZE=${TRAFFIC_SIZE:-1024}	# MiB of the big files
net_up
company
spawn_in dc "$WORK/peer.log" python3 "$TOP/tests/net/peer.py" 10.1.0.10 10.1.0.11 fd00:10::10
wait_for 5 grep -q ready "$WORK/peer.log" || die "peer.py does not start"
spawn_in dc "$WORK/iperf.log" iperf3 -s
profile corp
# shellcheck disable=SC2086 # a list of options
daemon_up ${TRAFFIC_DAEMON:-}

check "unreachable before connect" sh -c "! nsenter -t ${NS[dev]} -n -m -- ping -c1 -W1 10.99.0.1"
check "connect" atp connect corp --timeout 20 || { tail -30 "$WORK/daemon.log" "$WORK/sentry.log"; finish; }
equal "state" up "$(state)"

get() { dev curl -sS --max-time 20 "$@"; }
HELLO='Hello from the intranet'
equal "curl HTTP, IPv4 address" "$HELLO" "$(get http://10.1.0.10/)"
equal "curl HTTP, by name" "$HELLO" "$(get http://web.corp.internal/)"
equal "curl HTTP, by search domain" "$HELLO" "$(get http://web/)"
equal "curl HTTP, IPv6" "$HELLO" "$(get 'http://[fd00:10::10]/')"
equal "curl HTTPS, IPv4" "$HELLO" "$(get -k https://web.corp.internal/)"
equal "curl HTTPS, IPv6" "$HELLO" "$(get -k https://web6.corp.internal/)"
equal "an excluded address goes direct" "$HELLO" "$(get http://10.10.10.10/)"
equal "dig over UDP" 10.1.0.10 "$(dev dig +short +time=3 web.corp.internal)"
equal "dig over TCP" 10.1.0.10 "$(dev dig +short +tcp +time=3 web.corp.internal)"
check "a large answer over TCP" sh -c "nsenter -t ${NS[dev]} -n -m -- dig +tcp +short TXT big.corp.internal | grep -q xxxxxxxx"
check "ping" dev ping -c3 -i0.2 -W3 10.1.0.10
check "ping -6" dev ping -c3 -i0.2 -W3 fd00:10::10
check "ping with 5,000 bytes" dev ping -c2 -i0.2 -W3 -s5000 10.1.0.10

app() { dev python3 "$TOP/tests/net/app.py" "$@"; }
check "half-close by the app, IPv4" app halfclose 10.1.0.10 3000000
check "half-close by the app, IPv6" app halfclose fd00:10::10 3000000
check "half-close by the far end" app serverfirst 10.1.0.10
check "reset by the far end" app reset 10.1.0.10
for size in 1 100 1372 1400 8000 20000; do
	check "UDP $size bytes and back, IPv4" app udp 10.1.0.10 7 $size 3
	check "UDP $size bytes and back, IPv6" app udp fd00:10::10 7 $size 3
done
check "endpoint-independent mapping" app mapping 10.1.0.10 10.1.0.11

truncate -s "${SIZE}M" "$WORK/www/big"
# not zeros: content must be where it belongs
python3 - "$WORK/www/big" "$SIZE" <<'PY'
import os, sys
with open(sys.argv[1], "wb") as f:
    block = bytearray(os.urandom(1 << 20))
    for i in range(int(sys.argv[2])):
        block[:8] = i.to_bytes(8, "big")
        f.write(block)
PY
want=$(sha256sum <"$WORK/www/big" | cut -d' ' -f1)
equal "$SIZE MiB down, SHA-256" "$want" "$(dev curl -sS --max-time 120 http://10.1.0.10/big | sha256sum | cut -d' ' -f1)"
up=$(dev sh -c "{ cat '$WORK/www/big'; } | nc -N -w 100 10.1.0.10 9001")
equal "$SIZE MiB up, SHA-256" "$((SIZE << 20)) $want" "$up"
head -c 300000 "$WORK/www/big" >"$WORK/www/small"
equal "200 parallel downloads" "$(sha256sum <"$WORK/www/small" | cut -d' ' -f1)" "$(app parallel http://10.1.0.10/small 200)"

iperf() { dev iperf3 -c 10.1.0.10 -J "$@" >"$WORK/iperf.json" 2>&1 && python3 -c "
import json, sys
e = json.load(open('$WORK/iperf.json'))['end']
s = e.get('sum') or e['sum_received']
r = e.get('sum_received', s)
print(f\"{r['bits_per_second'] / 1e6:.0f} Mbit/s, {s.get('lost_percent', 0):.2f} % lost\")
sys.exit(0 if r['bits_per_second'] > 1e6 and s.get('lost_percent', 0) < 1 else 1)"; }
check "iperf3 TCP up" iperf -t 3
check "iperf3 TCP down" iperf -t 3 -R
check "iperf3 TCP 4 flows" iperf -t 3 -P 4
# a shared machine loses datagrams while it runs somebody else: the best of three counts
thrice() { "$@" || { sleep 2; "$@"; } || { sleep 5; "$@"; }; }
check "iperf3 UDP 50 Mbit/s under 1 % loss" thrice iperf -u -b 50M -l 1300 -t 4
check "iperf3 UDP down, 50 Mbit/s" thrice iperf -u -b 50M -l 1300 -t 4 -R

check "a stalled reader for 20 s leaves the others 80 %" app stall 10.1.0.10 20

# ssh: an interactive session stays open over everything above
ssh-keygen -q -t ed25519 -N '' -f "$WORK/hostkey"
ssh-keygen -q -t ed25519 -N '' -f "$WORK/userkey"
cp "$WORK/userkey.pub" "$WORK/authorized"
cat >"$WORK/sshd.conf" <<CONF
Port 2222
ListenAddress 10.1.0.10
HostKey $WORK/hostkey
AuthorizedKeysFile $WORK/authorized
StrictModes no
UsePAM no
PidFile none
CONF
spawn_in dc "$WORK/sshd.log" "$OUT_SERVERS/run" sshd -D -e -f "$WORK/sshd.conf"
sleep 0.5
ssh_() { dev ssh -i "$WORK/userkey" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
	-o BatchMode=yes -o ConnectTimeout=10 -p 2222 root@10.1.0.10 "$@"; }
equal "ssh, a session left open for 8 s" "ab" "$(ssh_ 'printf a; sleep 8; printf b' 2>"$WORK/ssh.err")" ||
	{ tail -n 3 "$WORK/ssh.err"; tail -n 3 "$WORK/sshd.log"; }

check "status --json is JSON" sh -c "nsenter -t ${NS[dev]} -n -m -- $OUT/apptunnel --run-dir $WORK/run status --json | python3 -m json.tool"
check "disconnect" atp disconnect corp
finish
