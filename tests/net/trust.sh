#!/bin/bash
# trust - pins, certificates, TLS versions, and every row of the refusal table:
# exit code, one sentence, retry class.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
company
PKI=$WORK/pki
"$TOP/scripts/pki" sentry "$PKI" other --dns sentry.demo.internal --ip 198.51.100.2 >>"$WORK/pki.log" 2>&1
"$TOP/scripts/pki" sentry "$PKI" old --dns sentry.demo.internal --ip 198.51.100.2 --expired >>"$WORK/pki.log" 2>&1
"$TOP/scripts/pki" device "$PKI" stranger --user eve --unlisted >>"$WORK/pki.log" 2>&1
"$TOP/scripts/pki" device "$PKI" stale --user jane --expired >>"$WORK/pki.log" 2>&1
"$TOP/scripts/pki" init "$WORK/pki2" >>"$WORK/pki.log" 2>&1
"$TOP/scripts/pki" device "$WORK/pki2" alien --user jane >>"$WORK/pki.log" 2>&1
chmod a+r "$PKI"/other.key "$PKI"/old.key
der_pin() { openssl x509 -in "$1" -outform DER | sha256sum | sed 's/ .*//; s/^/sha256:/'; }
key_pin() { echo "sha256//$(openssl x509 -in "$1" -pubkey -noout | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64)"; }
RIGHT=$(der_pin "$PKI/sentry.crt")
WRONG=$(der_pin "$PKI/other.crt")
daemon_up

# appbytes - bytes of application data that Sentry has read in total
served() { grep -c '"session.open"' "$WORK/audit.jsonl" "$WORK/sentry.log" | awk -F: '{s += $2} END {print s}'; }
attempt() { # WHAT EXIT PATTERN PROFILE-ARGUMENTS...
	local what=$1 want=$2 pattern=$3 code
	shift 3
	profile t "$@"
	atp connect t --timeout "${TIMEOUT:-6}" >"$WORK/out" 2>"$WORK/err"
	code=$?
	if [ $code = "$want" ] && grep -qiE "$pattern" "$WORK/err" "$WORK/out"; then
		pass "$what: exit $code"
	else
		fail "$what: exit $code instead of $want, or not '$pattern':"
		grep -v '^\[#\]' "$WORK/err" | tail -4 | sed 's/^/     | /'
	fi
	note "$(grep -v '\[#\]\|as it was before\|\.\.\.$\|warning' "$WORK/err" | tail -1)"
	atp disconnect t >/dev/null 2>&1
}
pin() { echo "pinning:PinnedCertificate = $1"; }

# appbytes.py - a Sentry that only counts: bytes of application data in all
# connections until now, a line whenever it grows.  It asks for a certificate, as
# Sentry does, and never answers.
cat >"$WORK/appbytes.py" <<'PY'
import socket, ssl, sys, threading
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ctx.load_cert_chain(sys.argv[1] + "/sentry.crt", sys.argv[1] + "/sentry.key")
ctx.verify_mode = ssl.CERT_REQUIRED
ctx.load_verify_locations(sys.argv[1] + "/ca.crt")
total, dialled, lock = 0, 0, threading.Lock()
def one(raw):
    global total
    try:
        raw.settimeout(5)
        s = ctx.wrap_socket(raw, server_side=True)
        while d := s.recv(65536):
            with lock:
                total += len(d)
                print("bytes", total, flush=True)
    except OSError:
        pass
l = socket.create_server(("198.51.100.3", 443))
print("ready", flush=True)
while True:
    c, _ = l.accept()
    dialled += 1
    print("dialled", dialled, flush=True)
    threading.Thread(target=one, args=(c,), daemon=True).start()
PY
spawn_in dc "$WORK/appbytes.log" python3 "$WORK/appbytes.py" "$PKI"
wait_for 5 grep -q ready "$WORK/appbytes.log"
last_of() { sed -n "s/^$1 //p" "$WORK/appbytes.log" | tail -1; }
counted() { # WHAT EXIT zero|some PROFILE-ARGUMENTS...
	local what=$1 want=$2 zero=$3 n0 d0
	shift 3
	n0=$(last_of bytes) d0=$(last_of dialled)
	TIMEOUT=3 attempt "$what" "$want" '.' 'sentry:Host = 198.51.100.3' "$@"
	n0=$(($(last_of bytes) - ${n0:-0})) d0=$(($(last_of dialled) - ${d0:-0}))
	if { { [ "$zero" = zero ] && [ $n0 = 0 ]; } || { [ "$zero" = some ] && [ $n0 -gt 100 ]; }; } &&
		[ $d0 -gt 0 ]; then
		pass "$what: $n0 bytes of application data in $d0 connections"
	else
		fail "$what: $n0 bytes of application data in $d0 connections, expected: $zero"
	fi
}
counted "wrong pin, counted at the far side" 11 zero "$(pin "$WRONG")"
counted "wrong key pin, counted at the far side" 11 zero "$(pin "$(key_pin "$PKI/other.crt")")"
counted "pinning disabled and a wrong name, counted at the far side" 11 zero \
	'pinning:PinnedCertificate = -' 'pinning:DisablePinning = true' "pinning:CaFile = $PKI/ca.crt"
counted "control: right pin, counted at the far side" 3 some "$(pin "$RIGHT")"

attempt "right pin" 0 '' "$(pin "$RIGHT")"
n0=$(served)
attempt "wrong pin" 11 'pin' "$(pin "$WRONG")"
equal "wrong pin: Sentry served nobody" "$n0" "$(served)"
attempt "second of two" 0 '' "$(pin "\"$WRONG;$RIGHT\"")"
attempt "key pin" 0 '' "$(pin "$(key_pin "$PKI/sentry.crt")")"
attempt "wrong key pin" 11 'pin' "$(pin "$(key_pin "$PKI/other.crt")")"
attempt "pin as a PEM file" 0 '' "$(pin "$PKI/sentry.crt")"
attempt "wrong PEM file" 11 'pin' "$(pin "$PKI/other.crt")"
attempt "pinning disabled, chain and name good" 0 '' 'pinning:PinnedCertificate = -' \
	'pinning:DisablePinning = true' "pinning:CaFile = $PKI/ca.crt"
attempt "pinning disabled, unknown CA" 11 'chain|authority|trust|issuer' 'pinning:PinnedCertificate = -' \
	'pinning:DisablePinning = true' "pinning:CaFile = $WORK/pki2/ca.crt"
dev sh -c "echo '198.51.100.2 wrong.demo.internal sentry.demo.internal' >>/etc/hosts"
attempt "pinning disabled, wrong name" 11 'name' 'pinning:PinnedCertificate = -' \
	'pinning:DisablePinning = true' "pinning:CaFile = $PKI/ca.crt" 'sentry:Host = wrong.demo.internal'
attempt "pinned: the name does not matter" 0 '' 'sentry:Host = wrong.demo.internal' "$(pin "$RIGHT")"

# the client's certificate
attempt "a device that is not listed" 13 'not known|unknown' "identity:Certificate = $PKI/stranger.crt" \
	"identity:PrivateKey = $PKI/stranger.key" 'sentry:DeviceId = stranger' 'sentry:UserId = eve'
attempt "a listed device with another certificate" 12 'certificate' "identity:Certificate = $PKI/stranger.crt" \
	"identity:PrivateKey = $PKI/stranger.key"
attempt "somebody else's IDs" 12 'ident|certificate' 'sentry:UserId = joe'
attempt "a certificate of another CA" 12 'certificate' "identity:Certificate = $WORK/pki2/alien.crt" \
	"identity:PrivateKey = $WORK/pki2/alien.key"
attempt "an expired client certificate" 12 'certificate|expired' "identity:Certificate = $PKI/stale.crt" \
	"identity:PrivateKey = $PKI/stale.key"
attempt "key and certificate do not fit" 12 'key' "identity:PrivateKey = $PKI/stranger.key"

# every row of the refusal table: exit code, the cause's sentence, retry class.
# Refused is dialled once and stays; network is dialled again.
refusals() { grep -hc '"refused"' "$WORK/audit.jsonl" "$WORK/sentry.log" | awk '{n += $1} END {print n}'; }
row() { # STATUS CODE EXIT CLASS SENTENCE
	local n class
	sentry_ctl fault off >/dev/null
	sentry_ctl fault refuse "$1" "$2" >/dev/null
	profile t
	n=$(refusals)
	atp connect t --timeout 2 --keep-trying >"$WORK/out" 2>"$WORK/err"
	equal "refused $1 $2: exit" "$3" $?
	if grep -qE -- "$5" "$WORK/err"; then pass "refused $1 $2: says so"; else
		fail "refused $1 $2: not '$5' but: $(grep -v '^\[#\]' "$WORK/err" | tail -1)"
	fi
	n=$(($(refusals) - n))
	case "$(state) $n" in
	"refused 1") class=refused ;;
	"refused 2") class="network, then refused" ;;
	refused*) class="refused, but dialled $n times" ;;
	*" 0" | *" 1") class="neither: dialled $n times" ;;
	*) class=network ;;
	esac
	equal "refused $1 $2: class" "$4" "$class"
	sentry_ctl fault off >/dev/null
	atp disconnect t >/dev/null 2>&1
}
row 400 bad_request 14 refused 'Sentry'
row 403 certificate_unknown 12 refused 'certificate'
row 403 identity_mismatch 12 refused 'DeviceId|UserId|certificate'
row 403 device_unknown 13 refused 'device'
row 403 device_blocked 13 refused 'device.*blocked'
row 403 device_not_enrolled 13 refused 'enrolled'
row 403 device_not_compliant 13 refused 'compliant'
row 403 user_blocked 13 refused 'user.*blocked'
row 403 service_denied 17 refused 'service'
row 403 service_unknown 17 refused 'service'
row 404 service_denied 17 refused 'service'
row 404 service_unknown 17 refused 'service'
row 426 upgrade_required 14 refused 'atp/1'
row 418 teapot 14 "network, then refused" '418'
row 429 busy 4 network 'busy|again'
row 503 busy 4 network 'busy|again'
row 503 draining 4 network 'drain|again'
attempt "a service that Sentry does not have" 17 'service' 'sentry:ServiceName = HR'

# Retry-After is obeyed: no second attempt before it
sentry_ctl fault refuse 503 busy 1 retry-after 4 >/dev/null
profile t
t0=$(date +%s%N)
atp connect t --timeout 15 >/dev/null 2>"$WORK/err"
code=$?
took=$((($(date +%s%N) - t0) / 1000000))
if [ $code = 0 ] && [ $took -ge 3800 ]; then pass "Retry-After 4: up after $took ms"; else fail "Retry-After 4: exit $code after $took ms"; fi
sentry_ctl fault off >/dev/null
atp disconnect t >/dev/null 2>&1

# refused is refused: with --keep-trying no second dial within seconds
sentry_ctl fault refuse 403 device_blocked >/dev/null
profile t
atp connect t --timeout 4 --keep-trying >/dev/null 2>"$WORK/err"
equal "keep-trying while refused: exit" 13 $?
equal "keep-trying while refused: state" refused "$(state)"
case $(dev python3 "$TOP/tests/net/app.py" connect 10.1.0.10 80 5) in E*\ 0.*) pass "refused: an app is answered at once" ;; *) fail "refused: an app waits" ;; esac
sentry_ctl fault off >/dev/null
check "an explicit connect dials at once" atp connect t --timeout 10
# blocked in the middle: GOAWAY revoked, exit 13 in status
sentry_ctl block laptop >/dev/null
check "blocked meanwhile: state refused" wait_for 5 state_is refused
equal "blocked meanwhile: cause's exit" 13 "$(atp status --json | sed -n 's/.*"exit": \([0-9]*\).*/\1/p' | head -1)"
sentry_ctl unblock laptop >/dev/null
atp disconnect t >/dev/null 2>&1

# refused, not trusted or broken: a new file of the identity or the pins is tried by
# itself, and an explicit connect takes it at once; the lock stays meanwhile
openssl genrsa 2048 2>/dev/null >"$WORK/t.key"
cp "$PKI/other.crt" "$WORK/t.pin"
chmod 600 "$WORK/t.key"
profile t "$(pin "$WORK/t.pin")"
atp connect t --timeout 4 --keep-trying >/dev/null 2>"$WORK/err"
equal "keep-trying with a wrong pin file: exit" 11 $?
cp "$PKI/sentry.crt" "$WORK/t.pin"
check "a pin file that is replaced is tried by itself" wait_for 8 state_is up
atp disconnect t >/dev/null 2>&1
profile t "identity:PrivateKey = $WORK/t.key"
atp connect t --timeout 4 --keep-trying >/dev/null 2>"$WORK/err"
equal "keep-trying with a key that does not fit: exit" 12 $?
equal "keep-trying with a key that does not fit: state" failed "$(state)"
sed -i 's/^UserId.*/&\nDevicePlatform = linux/' "$WORK/profiles.d/t.ini"
check "another profile is taken by itself, where no session could be lost" \
	wait_for 5 grep -q 'profile.changed: t' "$WORK/daemon.log"
atp connect t --timeout 4 >/dev/null 2>"$WORK/err"
equal "an explicit connect says what is still wrong: exit" 12 $?
cp "$PKI/laptop.key" "$WORK/t.key"
atp connect t --timeout 4 >/dev/null 2>"$WORK/err"
equal "an explicit connect takes a new key at once: exit" 0 $? || tail -2 "$WORK/err"
atp disconnect t >/dev/null 2>&1

# never an answer to the POST: 10 s, network class
sentry_ctl fault no-post-answer >/dev/null
TIMEOUT=13 attempt "never an answer to the POST" 3 '.'
sentry_ctl fault off >/dev/null

# other Sentries: expired certificate, TLS 1.2 only, TLS 1.1 only
other_sentry() { # INI LINES BY sed
	kill_pid "$SENTRY_PID"
	sentry_config ''
	sed -i "$@" "$WORK/sentry.ini"
	spawn_in dc "$WORK/sentry2.log" setpriv --reuid 64431 --regid 64431 --clear-groups \
		"$(shared "$OUT/sentry")" serve "$(shared "$WORK/sentry.ini")"
	SENTRY_PID=$PID
	wait_for 5 grep -q '"ready"' "$WORK/sentry2.log" || cat "$WORK/sentry2.log"
}
other_sentry -e "s#pki/sentry\\.#pki/old.#"
attempt "an expired certificate, pinned all the same" 11 'expired|dates|valid' "$(pin "$(der_pin "$PKI/old.crt")")"
other_sentry -e '$a TlsMax = 1.2'
attempt "a Sentry with TLS 1.2 only" 0 '' "$(pin "$RIGHT")"
kill_pid "$SENTRY_PID"
spawn_in dc "$WORK/tls11.log" openssl s_server -accept 198.51.100.2:443 -cert "$PKI/sentry.crt" -key "$PKI/sentry.key" \
	-tls1_1 -cipher 'ALL:@SECLEVEL=0' -quiet
sleep 0.5
attempt "a peer with TLS 1.1 only" 11 'TLS' "$(pin "$RIGHT")"
kill_pid "$PID"
spawn_in dc "$WORK/nothttp.log" bash -c "exec openssl s_server -accept 198.51.100.2:443 -cert '$PKI/sentry.crt' -key '$PKI/sentry.key' -quiet < <(yes nonsense)"
sleep 0.5
TIMEOUT=8 attempt "something that is not Sentry" 14 '.' "$(pin "$RIGHT")"
kill_pid "$PID"

# alternates and racing
sentry_up
attempt "the second Host when the first refuses TCP" 0 '' 'sentry:Host = "198.51.100.3:4433;198.51.100.2"'
dev sh -c "echo '2001:db8:2::99 both.demo.internal' >>/etc/hosts; echo '198.51.100.2 both.demo.internal' >>/etc/hosts"
t0=$(date +%s%N)
attempt "a name whose IPv6 address is dead" 0 '' 'sentry:Host = both.demo.internal'
took=$((($(date +%s%N) - t0) / 1000000))
if [ $took -lt 4000 ]; then pass "racing: $took ms"; else fail "racing: $took ms"; fi
finish
