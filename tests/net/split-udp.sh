#!/bin/bash
# split-udp - SplitUDPPortList "53;161-162;200-1024": inside, at each edge,
# outside, IPv4 and IPv6.  Oracles: a postrouting counter in the device's own
# namespace, and the ports that the router saw.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

PORTS=(52 53 54 160 161 162 163 199 200 500 1024 1025 5000)
inside() { [ "$1" = 53 ] || { [ "$1" -ge 161 ] && [ "$1" -le 162 ]; } || { [ "$1" -ge 200 ] && [ "$1" -le 1024 ]; }; }

net_up
company
spawn_in dc "$WORK/peer.log" python3 "$TOP/tests/net/peer.py" 10.1.0.11 fd00:10::10 --udp "${PORTS[@]}"
wait_for 5 grep -q ready "$WORK/peer.log" || { cat "$WORK/peer.log"; die "peer.py does not start"; }
profile corp 'tunnel:SplitUDPPortList = "53;161-162;200-1024"'
daemon_up
check "connect" atp connect corp --timeout 20 || { tail -30 "$WORK/daemon.log"; finish; }

# witnesses
for ns in dev rtr; do
	at $ns nft add table inet witness
	at $ns nft add set inet witness ports4 '{ type inet_service; flags dynamic; }'
	at $ns nft add set inet witness ports6 '{ type inet_service; flags dynamic; }'
	hook=forward; [ $ns = dev ] && hook=postrouting
	at $ns nft add chain inet witness c "{ type filter hook $hook priority 300; }"
	out='iifname todev'; [ $ns = dev ] && out='oifname uplink'
	at $ns nft add rule inet witness c "$out" meta nfproto ipv4 ip daddr 10.0.0.0/8 add @ports4 '{ udp dport }' counter
	at $ns nft add rule inet witness c "$out" meta nfproto ipv6 ip6 daddr fd00:10::/32 add @ports6 '{ udp dport }' counter
done
saw() { at "$1" nft list set inet witness "ports$2" | tr -d '\n\t ' | grep -qE "[{,=]$3[,}]"; }

app() { dev python3 "$TOP/tests/net/app.py" "$@"; }
for v in 4 6; do
	addr=10.1.0.11; [ $v = 6 ] && addr=fd00:10::10
	for port in "${PORTS[@]}"; do
		check "port $port answers, IPv$v" app udp $addr "$port" 100 ||
			continue
		if inside "$port"; then
			if saw dev $v "$port" || saw rtr $v "$port"; then
				fail "port $port left the device outside the tunnel, IPv$v"
			else
				pass "port $port went through the tunnel, IPv$v"
			fi
			want=tunnel
		else
			if saw dev $v "$port" && saw rtr $v "$port"; then
				pass "port $port went direct, IPv$v"
			else
				fail "port $port was not seen outside, IPv$v"
			fi
			want=direct
		fi
		equal "explain udp $port, IPv$v" $want "$(atp explain udp "$([ $v = 6 ] && echo "[$addr]" || echo $addr):$port" | cut -d: -f1)"
		equal "explain offline udp $port, IPv$v" $want "$(atp explain udp "$([ $v = 6 ] && echo "[$addr]" || echo $addr):$port" --profile "$WORK/profiles.d/corp.ini" | cut -d: -f1)"
	done
done

# the far end sees the device's own address on a direct port, Sentry's on a listed one
check "direct UDP: ICMP errors reach the app" [ "$(app udperr 10.1.0.11 5001)" = ECONNREFUSED ]
check "endpoint-independent mapping" app mapping 10.1.0.11 10.1.0.11

# TCP on an unlisted port is not split
equal "TCP is never split" tunnel "$(atp explain tcp 10.1.0.10:5000 | cut -d: -f1)"

# positive control: a planted leak shows in both witnesses
dev nft insert rule inet apptunnel lock meta nfproto ipv4 accept 2>/dev/null
dev ip route add 10.1.0.11/32 via 192.0.2.1 table 44300 2>/dev/null ||
	dev ip route replace 10.1.0.11/32 via 192.0.2.1 table 44300
app udp 10.1.0.11 500 10 >/dev/null 2>&1
if saw dev 4 500 && saw rtr 4 500; then pass "a planted leak shows"; else fail "a planted leak does not show"; fi
dev ip route del 10.1.0.11/32 via 192.0.2.1 table 44300

check "disconnect" atp disconnect corp
finish
