#!/bin/bash
# signed - profiles that only their signer may write: the command line and the
# parser child as the daemon starts it (memory limit, descriptors), the Version
# that never goes back, on trial, too.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
D=$WORK/profiles.d
S=$WORK/signer
mkdir -p "$S"
signer() { # NAME [DAYS]
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 \
		-keyout "$S/$1.key" -out "$S/$1.pem" -days "${2:-30}" -subj "/CN=$1" \
		-addext basicConstraints=critical,CA:false -addext keyUsage=critical,digitalSignature \
		-addext "extendedKeyUsage=${3:-codeSigning}" 2>/dev/null || die "openssl req"
}
signer corp
signer other
signer server 30 serverAuth
sign() { # SIGNER INI P7M [MORE OPTIONS]
	openssl cms -sign -binary -nodetach -nosmimecap -outform DER -md sha256 -signer "$S/$1.pem" \
		-inkey "$S/$1.key" -in "$2" -out "$3" "${@:4}" || die "openssl cms"
	chmod 644 "$3"
}
# deliver SIGNER VERSION [ARGUMENTS OF profile] - $D/corp.p7m
deliver() {
	local by=$1 version=$2
	shift 2
	profile corp "profile:Version = $version" "$@"
	sed -i "1i [profile]\nVersion = $version" "$D/corp.ini"
	sign "$by" "$D/corp.ini" "$D/corp.p7m"
	rm -f "$D/corp.ini"
}
# try WHAT EXIT PATTERN - connect, and look
try() {
	local code
	atp connect corp "${@:4}" --timeout 20 >"$WORK/out" 2>"$WORK/err"
	code=$?
	if [ $code = "$2" ] && grep -qE -- "$3" "$WORK/err" "$WORK/out"; then pass "$1: exit $code"; else
		fail "$1: exit $code, not $2 with '$3'"
		grep -v '^\[#\]' "$WORK/err" | tail -5 | sed 's/^/     | /'
	fi
}
check_says() { # WHAT EXIT PATTERN ARGUMENTS...
	local code
	atp profile check "${@:4}" >"$WORK/out" 2>&1
	code=$?
	if [ $code = "$2" ] && grep -qE -- "$3" "$WORK/out"; then pass "$1"; else
		fail "$1: exit $code, not $2 with '$3'"
		tail -5 "$WORK/out" | sed 's/^/     | /'
	fi
}

# ---- the command line ---------------------------------------------------------
deliver corp 5
check_says "check: who may sign is not known" 6 'E?rror.*who may sign is not known|who may sign is not known' "$D/corp.p7m"
check_says "check: a signed profile" 0 'valid' "$D/corp.p7m" --signer "$S/corp.pem"
check_says "check: signed by somebody else" 6 'corp.p7m:0:0: error: -: .*somebody' "$D/corp.p7m" --signer "$S/other.pem"
deliver corp 5 'tunnel:SplitUDPPortList = "53;99999"'
at_line=$(openssl cms -verify -noverify -inform DER -in "$D/corp.p7m" 2>/dev/null | grep -n SplitUDP | cut -d: -f1)
check_says "check: the line is that of the content" 6 "corp.p7m:$at_line:[0-9]+: error: SplitUDPPortList" \
	"$D/corp.p7m" --signer "$S/corp.pem"
deliver corp 5
if atp profile show corp --signer "$S/corp.pem" 2>/dev/null | grep -q 'Version.*5'; then
	pass "show reads the signed profile"
else
	fail "show reads the signed profile"
fi

# ---- the daemon, without a signer's file ------------------------------------------
profile plain
daemon_up
try "a signed profile without signer.pem" 6 'corp.p7m:0:0: error: .*who may sign'
kill_pid "$DAEMON_PID"

# ---- with one ----------------------------------------------------------------------
cp "$S/corp.pem" "$WORK/signer.pem"
daemon_up --signer "$WORK/signer.pem"
atp connect plain >"$WORK/out" 2>"$WORK/err"
equal "an unsigned profile: exit" 6 $?
check "an unsigned profile is named" grep -q 'plain.ini:0:0: error: -: not signed' "$WORK/err"
mv "$D/corp.p7m" "$WORK/five.p7m"
cp "$WORK/five.p7m" "$D/corp.p7m"
try "signed by the right one" 0 'connected|up'
check "traffic flows" wait_for 5 dev curl -sf -m 3 http://10.1.0.10/
equal "its Version is remembered" 5 "$(cat "$WORK/state/versions/corp")"
atp disconnect corp >/dev/null 2>&1

deliver other 6
try "signed by somebody else" 6 'corp.p7m:0:0: error: .*somebody'
deliver server 6
cat "$S/corp.pem" "$S/server.pem" >"$WORK/signer.pem"
try "signed by a server's certificate" 6 'not one to sign with'
head -c 700 "$WORK/five.p7m" >"$D/corp.p7m"
try "cut short" 6 'cut short'
sed 's/sentry/sxntry/' "$WORK/five.p7m" >"$D/corp.p7m"
try "altered" 6 'altered'
{ cat "$WORK/five.p7m"; echo; } >"$D/corp.p7m"
try "a byte behind the end" 6 'behind its end'
openssl cms -cmsout -inform DER -in "$WORK/five.p7m" -outform PEM -out "$D/corp.p7m"
try "PEM" 6 'PEM form'
deliver corp 6 'tunnel:MTU = 99'
try "a finding of the content" 6 'corp.p7m:[1-9][0-9]*:[0-9]+: error: MTU'
equal "what was refused is not remembered" 5 "$(cat "$WORK/state/versions/corp")"
deliver corp 4
try "an older one" 6 'corp.p7m:2:11: error: Version: 4 is older than 5'
try "an older one, forced" 0 '' --force
equal "forced: that Version counts" 4 "$(cat "$WORK/state/versions/corp")"
atp disconnect corp >/dev/null 2>&1
cp "$WORK/five.p7m" "$D/corp.p7m"
try "a newer one again" 0 ''
atp disconnect corp >/dev/null 2>&1
# ---- on trial: a Version counts when it is kept -------------------------------------------
# the folder keeps Version 5; were 6 remembered, nothing could be connected
said() { atp status corp 2>&1 | grep -qE -- "$1"; }
leads() { dev ip route get 203.0.113.10 2>/dev/null | grep -q 'dev atp0'; }
mkdir "$WORK/apply"
deliver corp 6 'tunnel:IPRoutes = "10.0.0.0/8;203.0.113.0/24"'
mv "$D/corp.p7m" "$WORK/apply/"
cp "$WORK/five.p7m" "$D/corp.p7m"
try "connected again" 0 ''
check "on trial" atp profile apply "$WORK/apply/corp.p7m" --confirm-within 2s
leads && pass "it is in effect" || fail "it is in effect"
atp disconnect corp >/dev/null 2>&1
wait_for 5 said 'the profile before is back' || fail "disconnected, and the trial is over"
equal "disconnected meanwhile: the Version before counts" 5 "$(cat "$WORK/state/versions/corp")"
try "and its profile connects" 0 ''
check "on trial once more" atp profile apply "$WORK/apply/corp.p7m" --confirm-within 2s
kill_pid "$DAEMON_PID" KILL
sleep 2.1
daemon_up --signer "$WORK/signer.pem"
equal "killed meanwhile: the Version before counts" 5 "$(cat "$WORK/state/versions/corp")"
try "the profile before connects" 0 ''
leads && fail "and it is not the new one" || pass "and it is not the new one"
check "on trial a third time" atp profile apply "$WORK/apply/corp.p7m" --confirm-within 20s
check "confirm" atp profile confirm corp
equal "confirmed: the new Version counts" 6 "$(cat "$WORK/state/versions/corp")"
atp disconnect corp >/dev/null 2>&1

cp "$WORK/five.p7m" "$D/corp.p7m"
echo garbage >"$WORK/state/versions/corp"
try "a damaged record of versions" 1 'versions/corp is damaged'
rm "$WORK/state/versions/corp"
chmod g+w "$WORK/signer.pem"
try "a signer's file that others can write" 6 'can be written by others'
rm "$WORK/signer.pem"
try "no signer's file, though one was named" 6 'No such file'
finish
