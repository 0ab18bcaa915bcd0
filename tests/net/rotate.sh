#!/bin/bash
# rotate - a changed profile that needs a new session: another identity, other
# pins.  It stands beside the old one until it is good; what is not, is left.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
D=$WORK/profiles.d
head -c 20000000 /dev/urandom >"$WORK/www/big"
chmod a+r "$WORK/www/big"
"$TOP/scripts/pki" device "$WORK/pki" tablet --user jane >"$WORK/pki2.log" 2>&1 || die "scripts/pki device"
chmod 755 "$WORK/pki"

deliver() { # PROFILE LINES... - as an MDM does: beside it, then renamed
	(WORK=$WORK/new; mkdir -p "$WORK"; ln -sfn "$D/../pki" "$WORK/pki"; profile corp "$@")
	sed "s#$WORK/new/pki#$WORK/pki#" "$WORK/new/profiles.d/corp.ini" >"$D/.in"
	chmod 644 "$D/.in"
	mv "$D/.in" "$D/corp.ini"
}
engine_pid() { pgrep -P "$DAEMON_PID" -x apptunnel-engin | head -1; }
taken() { [ "$(atp log corp 2>/dev/null | grep -c 'profile.changed')" -gt "$1" ]; }
kept() { atp log corp 2>/dev/null | grep -q "profile.kept: .*$1"; }
device() { # of the newest session at Sentry
	grep '"session.open"' "$WORK/audit.jsonl" | tail -1 | sed 's/.*"device": *"\([^"]*\)".*/\1/'
}
open_sessions() { echo $(($(grep -c '"session.open"' "$WORK/audit.jsonl") - $(grep -c '"session.close"' "$WORK/audit.jsonl"))); }
download() { # $CURL
	rm -f "$WORK/got"
	spawn_in dev "$WORK/curl.log" curl -s --limit-rate 300k -o "$WORK/got" http://10.1.0.10/big
	CURL=$PID
	wait_for 5 test -s "$WORK/got"
}

profile corp
daemon_up
check "connect" atp connect corp --timeout 20
ENGINE=$(engine_pid)
equal "the device at Sentry" laptop "$(device)"

# ---- what is not good leaves session, profile and download alone -------------------------
download
deliver "pinning:PinnedCertificate = \"sha256:$(printf '0%.0s' $(seq 64))\""
wait_for 10 kept 'pin' && pass "a wrong pin is not used, and it is said" || fail "a wrong pin: $(atp log corp | tail -2)"
deliver "identity:Certificate = $WORK/pki/tablet.crt"
sleep 2
deliver "sentry:DeviceId = phone"
wait_for 10 kept 'new session cannot be' && pass "another device's name is refused" || fail "another device's name: $(atp log corp | tail -2)"
kill -0 "$CURL" && pass "the download lives" || fail "the download is over"
equal "one session at Sentry, the first" "1 laptop" "$(open_sessions) $(device)"
equal "in the same engine" "$ENGINE" "$(engine_pid)"
check "and the tunnel works" dev curl -s -o /dev/null --max-time 5 http://10.1.0.10/

# ---- another identity -----------------------------------------------------------------------
deliver "sentry:DeviceId = tablet" "identity:Certificate = $WORK/pki/tablet.crt" "identity:PrivateKey = $WORK/pki/tablet.key"
wait_for 10 taken 0 && pass "another identity is taken" || fail "another identity: $(atp log corp | tail -3)"
wait_for 5 test "$(device)" = tablet
equal "the device at Sentry is the other one" tablet "$(device)"
check "the tunnel works" dev curl -s -o /dev/null --max-time 5 http://10.1.0.10/
equal "in the same engine" "$ENGINE" "$(engine_pid)"
wait "$CURL"
[ $? != 0 ] && pass "flows of the old session ended" || fail "the download went on?"
sleep 1
equal "the old session has ended at Sentry" 1 "$(open_sessions)"
equal "it never was reconnecting" 0 "$(grep -c 'up -> reconnecting' <(atp log corp))"

# ---- new files at the same paths, as a renewal brings them -----------------------------------
"$TOP/scripts/pki" device "$WORK/pki" tablet --user jane >"$WORK/pki2.log" 2>&1 || cat "$WORK/pki2.log"
kill -HUP "$SENTRY_PID"
sleep 0.5
opened=$(grep -c '"session.open"' "$WORK/audit.jsonl")
n=$(atp log corp 2>/dev/null | grep -c 'profile.changed')
deliver "sentry:DeviceId = tablet" "identity:Certificate = $WORK/pki/tablet.crt" "identity:PrivateKey = $WORK/pki/tablet.key" \
	"support:LogLevel = debug session"
wait_for 10 taken "$n" && pass "a renewed identity is taken" || fail "a renewed identity: $(atp log corp | tail -2)"
equal "by a new session" "$((opened + 1)) tablet" "$(grep -c '"session.open"' "$WORK/audit.jsonl") $(device)"
equal "in the same engine" "$ENGINE" "$(engine_pid)"

# ---- and nothing but the files: somebody renewed them, the profile is what it was -------------
said() { atp status corp 2>/dev/null | grep -q "$1"; }
unsaid() { ! said "$1"; }
n=$(atp log corp 2>/dev/null | grep -c 'profile.changed')
opened=$(grep -c '"session.open"' "$WORK/audit.jsonl")
cp "$WORK/pki/laptop.crt" "$WORK/pki/.new" && chmod 644 "$WORK/pki/.new"
cp -p "$WORK/pki/tablet.crt" "$WORK/tablet.crt"
mv "$WORK/pki/.new" "$WORK/pki/tablet.crt"
wait_for 20 said 'changed files that it names are not used' && pass "a certificate without its key is not used, and it is said" ||
	fail "a certificate without its key: $(atp status corp | tail -3)"
equal "the session stands" "up $opened" "$(state) $(grep -c '"session.open"' "$WORK/audit.jsonl")"
mv "$WORK/tablet.crt" "$WORK/pki/tablet.crt"
wait_for 20 unsaid 'changed files' && pass "the old one again: nothing to say" || fail "the old one again: $(atp status corp | tail -3)"
"$TOP/scripts/pki" device "$WORK/pki" tablet --user jane >"$WORK/pki2.log" 2>&1 || cat "$WORK/pki2.log"
kill -HUP "$SENTRY_PID"
wait_for 25 taken "$n" && pass "new files alone are taken" || fail "new files alone: $(atp log corp | tail -3)"
equal "by one new session" "$((opened + 1)) tablet" "$(grep -c '"session.open"' "$WORK/audit.jsonl") $(device)"
equal "in the same engine" "$ENGINE" "$(engine_pid)"
check "the tunnel works" dev curl -s -o /dev/null --max-time 5 http://10.1.0.10/
cmp -s "$WORK/state/profiles/corp/active.ini" "$D/corp.ini" && pass "the store is as it was" || fail "the store changed"

atp disconnect corp >/dev/null 2>&1
kill_pid "$DAEMON_PID" TERM
finish
