#!/bin/bash
# sentry-admin - what an administrator does to a running Sentry: signed device lists,
# revoked certificates, a second certificate, two members of a group with one.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
pki_up
web_up
PKI=$WORK/pki
ADMIN=$WORK/admin		# what Sentry reads anew
mkdir -p "$ADMIN"
chmod 755 "$ADMIN"
{
	"$TOP/scripts/pki" device "$PKI" phone --user jane --other-ca
	"$TOP/scripts/pki" sentry "$PKI" second --ip 198.51.100.2
	"$TOP/scripts/pki" sentry "$PKI" old --expired
	"$TOP/scripts/pki" crl "$PKI"
	"$TOP/scripts/pki" crl "$PKI" --other-ca
} >>"$WORK/pki.log" 2>&1 || { cat "$WORK/pki.log"; die "scripts/pki failed"; }
chmod a+r "$PKI"/{sentry,second,old}.key
cp "$PKI/ca.crl" "$PKI/other-ca.crl" "$ADMIN/"
for who in signer stranger; do
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$who" \
		-keyout "$WORK/$who.key" -out "$WORK/$who.crt" -addext 'keyUsage = critical,digitalSignature' \
		-addext 'extendedKeyUsage = codeSigning' -addext 'basicConstraints = critical,CA:false' 2>/dev/null
done
cp "$WORK/signer.crt" "$ADMIN/signer.pem"
chmod a+r "$ADMIN"/*

# ---- the device list -----------------------------------------------------------

# list VERSION [GROUP] - header and the devices as pki wrote them, changed by $EDIT
list() {
	printf '{"DeviceList": 1, "Version": %s, "Group": "%s"}\n' "$1" "${2:-acme}"
	sed "${EDIT:-}" "$PKI/devices.jsonl"
}
sign() { # [WHO]: stdin to stdout
	openssl cms -sign -binary -nodetach -md sha256 -outform DER -signer "$WORK/${1:-signer}.crt" \
		-inkey "$WORK/${1:-signer}.key"
}
deliver() { # FILE NAME: by rename
	cp "$1" "$ADMIN/.new" && chmod 644 "$ADMIN/.new" && mv "$ADMIN/.new" "$ADMIN/$2"
}
publish() { # VERSION [GROUP]
	list "$@" | sign >"$WORK/list" && deliver "$WORK/list" devices.p7m
}

# member NAME ADDRESS [INI LINES] - a Sentry; ${MEMBER[NAME]}
declare -A MEMBER=()
member() {
	local name=$1 address=$2 w
	w=$(shared "$ROOT_WORK")
	mkdir -p "$WORK/run.$name"
	chmod 777 "$WORK/run.$name"
	rm -f "$WORK/run.$name/ctl.sock"
	cat >"$WORK/$name.ini" <<INI
[sentry]
Listen = $address
Certificate = ${CERT:-$w/pki/sentry}.crt
PrivateKey = ${CERT:-$w/pki/sentry}.key
DeviceCa = "$w/pki/ca.crt;$w/pki/other-ca.crt"
Crl = "$w/admin/ca.crl;$w/admin/other-ca.crl"
Devices = $w/admin/devices.p7m
DeviceSigner = $w/admin/signer.pem
DeviceState = $w/run.$name/seen
Services = <IP_ANY>
Audit = $w/run.$name/audit.jsonl
Control = $w/run.$name/ctl.sock
AllowDestinations = 10.0.0.0/8
${3:-}
INI
	keep_log "$WORK/$name.log"
	spawn_in dc "$WORK/$name.log" setpriv --reuid 64431 --regid 64431 --clear-groups \
		"$(shared "$OUT/sentry")" serve "$(shared "$WORK/$name.ini")"
	MEMBER[$name]=$PID
	wait_for 8 eval "grep -q '\"ready\"' '$WORK/$name.log' || ! kill -0 $PID"
	grep -q '"ready"' "$WORK/$name.log"
}
ctl() { # NAME VERB...
	local name=$1
	shift
	dc "$OUT/sentry" ctl "$WORK/run.$name/ctl.sock" "$@"
}
# of FILE EXPRESSIONS - of an answer, as d; ask NAME VERB EXPRESSIONS
of() { python3 -c "import json,sys; d=json.load(open(sys.argv[1])); print($2)" "$1"; }
ask() { ctl "$1" $2 >"$WORK/asked"; of "$WORK/asked" "$3"; }
in_use() { ask "$1" status "[c['number'] for c in d['certificates'] if c['inUse']][0]"; }
session() { ask "${2:-a}" sessions "','.join(str(s['session']) for s in d['sessions'] if s['device']=='$1')"; }
seen() { [ "$(ask a status "d['devices']['version']")" = "$1" ]; }
log_has() { grep -qE "$2" "$WORK/$1.log"; }
# what the device's connect says
dial() { # PROFILE [OPTIONS]
	atp connect "$@" --timeout 8 >"$WORK/out" 2>"$WORK/err"
}

publish 10
SECOND="Certificate2 = $(shared "$PKI/second.crt")
PrivateKey2 = $(shared "$PKI/second.key")"
starts() { # WHAT, member's arguments (not by check: that is a subshell)
	local what=$1
	shift
	if member "$@"; then pass "$what"; else
		fail "$what"
		cat "$WORK/$1.log"
		finish
	fi
}
starts "a member of a group" a 198.51.100.2 "$SECOND"
starts "another one, with the same certificate" b 198.51.100.3
# the first certificate of this one expires meanwhile: see below
"$TOP/scripts/pki" sentry "$PKI" short --until '+12 seconds' >>"$WORK/pki.log" 2>&1
chmod a+r "$PKI/short.key"
CERT=$(shared "$PKI/short") starts "one whose certificate is about to expire" c 198.51.100.3:8443 "$SECOND"
equal "... it serves still" 1 "$(in_use c)"
BOTH='sentry:Host = "198.51.100.2;198.51.100.3"'
profile corp "$BOTH"
PHONE=("identity:Certificate = $PKI/phone.crt" "identity:PrivateKey = $PKI/phone.key" 'sentry:DeviceId = phone')
daemon_up
dial corp
equal "a device of the signed list connects" 0 $? || { tail -3 "$WORK/err"; tail -20 "$WORK/daemon.log"; }
first=$(session laptop)

# each leaves the list and the session as they were, and says why
unchanged() { # WHAT PATTERN
	ctl a reload >"$WORK/answer"
	equal "$1: nothing changes" "False 10 $first up" \
		"$(of "$WORK/answer" "d['ok'], d['devices']['version']") $(session laptop) $(state)"
	check "$1: ctl says why" grep -qE "\"error\": .*($2)" "$WORK/answer" || cat "$WORK/answer"
	check "$1: so does stderr" log_has a "stays as it was: .*($2)"
}
EDIT=
list 11 >"$WORK/list" && deliver "$WORK/list" devices.p7m
check "a list that changes is looked at by itself" wait_for 4 log_has a 'stays as it was'
sleep 1.2
equal "... and said once, as an event" 1 "$(grep -c devices.invalid "$WORK/run.a/audit.jsonl")"
unchanged "an unsigned list" 'not signed'
list 11 | sign stranger >"$WORK/list" && deliver "$WORK/list" devices.p7m
unchanged "a list signed by somebody else" 'somebody who may not'
EDIT='s/"Blocked": false/"Blocked": true /'
list 11 | sign | sed 's/"Blocked": true /"Blocked": false/' >"$WORK/list" && deliver "$WORK/list" devices.p7m
unchanged "an altered list" 'altered'
publish 9
unchanged "an older list" 'older than the one before'
publish 10
unchanged "the same version with other content" 'other content'
publish 11 other
unchanged "a list of another group" 'group other'
EDIT='s/"EnrollmentStatus": "enrolled"/"EnrollmentStatus": "perhaps"/'
publish 11
unchanged "a list with a wrong line" 'devices.p7m:2: .*EnrollmentStatus'

# blocked and unblocked in the list
EDIT='/"laptop"/s/"Blocked": false/"Blocked": true/'
publish 12
check "blocked in a newer list: the session ends, refused" wait_for 6 state_is refused
check "... by GOAWAY revoked, with the reason" grep -q '"session.goaway".*revoked.*blocked' "$WORK/run.a/audit.jsonl"
equal "... exit in status" 13 "$(atp status --json | sed -n 's/.*"exit": \([0-9]*\).*/\1/p' | head -1)"
dial corp
equal "... and it cannot come back: exit" 13 $?
EDIT=
publish 13
check "unblocked: the newer list is taken" wait_for 4 seen 13
dial corp
equal "... and it can" 0 $? || tail -3 "$WORK/err"

# a group with one certificate: the next Host, the same pin, apps go on
check "the session is at the first Host" eval '[ -n "$(session laptop a)" ] && [ -z "$(session laptop b)" ]'
kill_pid "${MEMBER[a]}" KILL
check "the first member dies: the device goes to the next" wait_for 12 eval '[ -n "$(session laptop b)" ] && state_is up'
equal "... and an app gets through" 'Hello from the intranet' "$(dev curl -s -m 8 http://10.1.0.10/)"

# an older list after a restart
publish 12
if member a 198.51.100.2; then fail "an older list is refused after a restart"; else
	check "an older list is refused after a restart, and says what to do" log_has a 'remove it to take this one'
fi
publish 13
starts "the same list is taken" a 198.51.100.2 "$SECOND"

# revoked certificates, of the second CA
profile phone "${PHONE[@]}"
atp disconnect corp >/dev/null 2>&1
dial phone
equal "a device of the second CA connects" 0 $? || tail -3 "$WORK/err"
"$TOP/scripts/pki" crl "$PKI" --other-ca phone >>"$WORK/pki.log" 2>&1
deliver "$PKI/other-ca.crl" other-ca.crl
check "revoked: the session ends, refused" wait_for 6 state_is refused
check "... by GOAWAY revoked" grep -q '"session.goaway".*the certificate was revoked' "$WORK/run.a/audit.jsonl"
dial phone
equal "... and refused: exit" 12 $?
check "... it says why" grep -q 'revoked' "$WORK/err"
check "... with the code of the table" grep -q '"refused".*certificate_unknown.*revoked' "$WORK/run.a/audit.jsonl"
cp "$ADMIN/other-ca.crl" "$WORK/good.crl"
head -c 200 "$WORK/good.crl" >"$WORK/bad.crl"
deliver "$WORK/bad.crl" other-ca.crl
check "a broken list of revoked certificates is said" wait_for 4 log_has a 'revoked certificates stay'
equal "... by reload, too" False "$(ask a reload "d['ok']")"
dial phone
equal "... and changes nothing: exit" 12 $?
deliver "$WORK/good.crl" other-ca.crl
"$TOP/scripts/pki" crl "$PKI" --other-ca >>"$WORK/pki.log" 2>&1
deliver "$PKI/other-ca.crl" other-ca.crl
ctl a reload >/dev/null
dial phone
equal "no longer on the list: it comes back" 0 $? || tail -3 "$WORK/err"
atp disconnect phone >/dev/null 2>&1

# the second certificate, on request
profile corp
dial corp
equal "the first certificate serves" "0 1" "$? $(in_use a)"
first=$(session laptop)
ctl a certificate 2 >/dev/null
equal "ctl certificate 2: the session lives" "2 $first up" "$(in_use a) $(session laptop) $(state)"
atp disconnect corp >/dev/null 2>&1
dial corp
equal "... a device with the old pin only does not trust it: exit" 11 $?
profile corp "pinning:PinnedCertificate = \"$(grep -m1 ^sha256: "$PKI/sentry.pins");$(grep -m1 ^sha256: "$PKI/second.pins")\""
dial corp
equal "... one with both pins does" 0 $? || tail -3 "$WORK/err"
atp disconnect corp >/dev/null 2>&1
ctl a certificate auto >/dev/null
equal "ctl certificate auto: back to the first" 1 "$(in_use a)"
kill_pid "${MEMBER[a]}"

# ... and when the first has expired: at the start, and while it runs
CERT=$(shared "$PKI/old") member a 198.51.100.2 "$SECOND"
equal "the first has expired: the second serves from the start" 2 "$(in_use a)"
kill_pid "${MEMBER[a]}"
served() { # the certificate that a handshake brings is $1's
	dev openssl s_client -connect 198.51.100.3:8443 -cert "$PKI/laptop.crt" -key "$PKI/laptop.key" \
		</dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256 >"$WORK/served"
	openssl x509 -noout -fingerprint -sha256 -in "$PKI/$1.crt" | cmp -s - "$WORK/served"
}
check "the first expires: a handshake brings the second" wait_for 20 served second
check "... and it is said" grep -q '"certificate".*"number":2.*the first has expired' "$WORK/run.c/audit.jsonl"

# cipher suites and TLS versions
for row in "TLS_CHACHA20_POLY1305_SHA256:TlsMin = 1.3" "ECDHE-ECDSA-AES256-GCM-SHA384:TlsMax = 1.2"; do
	suite=${row%%:*}
	member a 198.51.100.2 "Ciphers = $suite"$'\n'"${row#*:}"
	dial corp
	equal "Ciphers = $suite" "0 $suite" "$? $(ask a sessions "d['sessions'][0]['cipher']")"
	atp disconnect corp >/dev/null 2>&1
	kill_pid "${MEMBER[a]}"
done
sed -i 's/^Ciphers = .*/Ciphers = RC4-SHA/' "$WORK/a.ini"
"$OUT/sentry" serve "$WORK/a.ini" >"$WORK/out" 2>"$WORK/err"
equal "a suite that is not accepted: exit" 6 $?
check "... it names those that are" grep -q 'a.ini:[0-9]*: .*RC4-SHA.*TLS_AES_128_GCM_SHA256.*ECDHE-RSA-CHACHA20-POLY1305' "$WORK/err"
finish
