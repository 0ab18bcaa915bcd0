#!/bin/bash
# mdm - the administrator's script, the devices and Sentry, end to end: two
# devices enrolled, pushed and connected; bad deliveries that touch nothing;
# block and unblock; a renewed certificate and Sentry's own rotated.
#
#      dev   (laptop, by ssh)  ──┐
#      dev2  (tablet, by folder,├── rtr ── dc, as lib.sh draws it
#             with its own key) ─┘
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

net_up
D=$WORK/profiles.d
mkdir -p "$WORK/pki" "$WORK/bin" "$WORK/run" "$WORK/state" "$D" "$WORK"/cut "$WORK"/t/{run,state,profiles.d}
chmod 755 "$WORK/pki" "$D" "$WORK/t/profiles.d"

# ---- a second device ------------------------------------------------------------
net_holder dev2
at dev2 ip link set lo up
ip link add "atd$$" type veth peer name "atr$$"
ip link set "atd$$" netns "${NS[dev2]}"
ip link set "atr$$" netns "${NS[rtr]}"
at dev2 ip link set "atd$$" name uplink
rtr ip link set "atr$$" name todev2
at dev2 ip addr add 192.0.3.2/24 dev uplink
rtr ip addr add 192.0.3.1/24 dev todev2
at dev2 ip link set uplink up
rtr ip link set todev2 up
at dev2 ip route add default via 192.0.3.1
mkdir -p "$WORK/etc2"
at dev2 mount -t tmpfs -o mode=755 etc "$WORK/etc2"
at dev2 cp -a /etc/. "$WORK/etc2/"
at dev2 sh -c "rm -f '$WORK/etc2/resolv.conf'; echo 'nameserver 203.0.113.53' >'$WORK/etc2/resolv.conf'"
at dev2 mount --bind "$WORK/etc2" /etc
at dev2 mount -t tmpfs -o mode=755 run /run
at dev2 mkdir /run/build
at dev2 mount --bind "$TOP/build" /run/build
# where the script's words for ssh put things
dev sh -c "mkdir -p /etc/apptunnel/profiles.d && mount --bind '$D' /etc/apptunnel/profiles.d"

# ---- what stands for ssh ------------------------------------------------------------
cat >"$WORK/bin/ssh" <<SH
#!/bin/bash
printf '%s\n' "\${@:1:\$#-1}" >>"$WORK/ssh.args"
printf '%s\n' "\${@: -1}" >>"$WORK/ssh.words"
[ "\${@: -3:1}" = -- ] || exit 99
[ "\${@: -2:1}" = root@laptop ] || { echo "ssh: connect to host \${@: -2:1} port 22: No route to host" >&2; exit 255; }
exec nsenter -t ${NS[dev]} -n -m -- env PATH="$WORK/bin:$PATH" sh -c "\${@: -1}"
SH
cat >"$WORK/bin/apptunnel" <<SH
#!/bin/sh
exec "$OUT/apptunnel" --profile-dir "$D" --run-dir "$WORK/run" --state-dir "$WORK/state" "\$@"
SH
chmod 755 "$WORK"/bin/*
mdm() { PATH="$WORK/bin:$PATH" APPTUNNEL="$OUT/apptunnel" "$TOP/scripts/mdm-push" -g "$WORK/group" "$@" >"$WORK/out" 2>"$WORK/err"; }
# script WHAT EXIT PATTERN ARGUMENTS... - of either output
script() {
	local code
	mdm "${@:4}"
	code=$?
	if [ $code = "$2" ] && grep -qE -- "$3" "$WORK/out" "$WORK/err"; then pass "$1"; else
		fail "$1: exit $code, not $2 with '$3'"
		cat "$WORK/err" "$WORK/out" | tail -8 | sed 's/^/     | /'
	fi
}
atp2() {
	at dev2 "$OUT/apptunnel" --profile-dir "$WORK/t/profiles.d" --run-dir "$WORK/t/run" --state-dir "$WORK/t/state" "$@"
}
up2() { atp2 status --json 2>/dev/null | grep -q '"state": "up"'; }
said() { atp status corp 2>/dev/null | grep -qE -- "$1"; }
unsaid() { ! atp status corp 2>/dev/null | grep -q 'corp.p7m'; }

# ---- init, enroll, push ---------------------------------------------------------------
script "init" 0 '^sha256:' init --name demo --sentry sentry.demo.internal --sentry 198.51.100.2 --list "$WORK/pki/devices.p7m"
script "init again does nothing" 0 '^sha256:' init
equal "and says nothing of making" "" "$(grep made "$WORK/err")"
G=$WORK/group
cp "$G/root.crt" "$WORK/pki/ca.crt"
cp "$G/sentry.crt" "$G/sentry.key" "$G/signer.crt" "$WORK/pki/"
chmod 644 "$WORK"/pki/*
cp "$G/signer.crt" "$WORK/signer.pem"
cp "$G/signer.crt" "$WORK/t/signer.pem"
cat >"$WORK/corp.ini" <<'INI'
# what all devices have
[profile]
Name = "Demo for @USER@; on @DEVICE@"
[sentry]
Host = 198.51.100.2
[tunnel]
IPRoutes = "10.0.0.0/8;fd00:10::/32"
ExcRoutes = 10.10.10.10/32
INI
umask 077
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$WORK/t/profiles.d/corp.key" \
	-out "$WORK/tablet.csr" -subj "/CN=laptop/UID=jane" 2>/dev/null
umask 022
script "enroll a device that is reached by ssh" 0 '1 done' enroll laptop --user jane --host root@laptop
script "enroll one that has its own key" 0 '1 done' enroll tablet --user 'bob@demo.internal' --csr "$WORK/tablet.csr"
script "enroll one that cannot be reached" 0 '1 done' enroll lost --user eve --host root@nowhere
script "a name that is none" 1 'a device.s name' enroll '../x' --user 'jane'
script "a user that is none" 1 'a user.s name' enroll other --user $'a"\nb'
script "push: one that fails does not stop the others" 1 'lost	ssh root@nowhere: exit 255: .*No route' push "$WORK/corp.ini" --all
check "the summary counts" grep "2 done, 0 had it already, 1 failed" "$WORK/err"
equal "-- stands before the host" 0 "$(grep -c '^-oProxy' "$WORK/ssh.args")"
equal "of the request only the key is used" "subject=CN = tablet, UID = bob@demo.internal" \
	"$(openssl x509 -in "$G/out/tablet/corp.crt" -noout -subject)"
[ ! -e "$G/out/tablet/corp.key.enc" ] && pass "a device's own key does not travel" || fail "a device's own key does not travel"
[ "$(stat -c %a "$D/corp.key")" = 600 ] && pass "the key that was sent can be read by nobody else" || fail "the key that was sent can be read by nobody else"
script "push again: only what is left" 1 '0 done, 2 had it already, 1 failed' push "$WORK/corp.ini" --all
script "retire it" 0 '1 done' retire lost
script "push again: nothing is left" 0 '0 done, 2 had it already, 0 failed' push "$WORK/corp.ini" --all
cp "$G"/out/tablet/corp.{crt,p7m} "$WORK/t/profiles.d/"
chmod 644 "$WORK/t/profiles.d/corp.p7m"

# ---- a certificate that nobody vouches for is warned of ---------------------------------
printf 'tablet jane\n' >"$WORK/list"
script "init --self-signed warns" 0 "warning: Sentry's certificate is self-signed" -g "$WORK/self" init --self-signed --sentry a.example
script "enroll for it" 0 '1 done' -g "$WORK/self" enroll --from "$WORK/list"
script "push warns, too" 0 "warning: Sentry's certificate is self-signed" -g "$WORK/self" push "$WORK/corp.ini" --all

# ---- both connect -----------------------------------------------------------------------
sentry_config() {
	local WORK
	WORK=$(shared "$ROOT_WORK")
	cat >"$ROOT_WORK/sentry.ini" <<INI
[sentry]
Listen = "198.51.100.2:443"
Certificate = $WORK/pki/sentry.crt
PrivateKey = $WORK/pki/sentry.key
DeviceCa = $WORK/pki/ca.crt
Devices = $WORK/pki/devices.p7m
DeviceSigner = $WORK/pki/signer.crt
DeviceState = $WORK/sentry.run/devices.seen
Services = "<IP_ANY>;<TCP_ANY>"
Dns = "10.1.0.53"
Audit = $WORK/audit.jsonl
Control = $WORK/sentry.run/ctl.sock
AllowDestinations = "10.0.0.0/8;fd00:10::/32"
INI
	chmod 644 "$ROOT_WORK/sentry.ini"
}
sentry_up
web_up
dns_up
head -c 40000000 /dev/zero >"$WORK/www/big"
daemon_up --signer "$WORK/signer.pem"
spawn_in dev2 "$WORK/daemon2.log" "$(shared "$OUT/apptunneld")" --profile-dir "$WORK/t/profiles.d" \
	--run-dir "$WORK/t/run" --state-dir "$WORK/t/state" --signer "$WORK/t/signer.pem"
wait_for 5 test -S "$WORK/t/run/control.sock" || die "the second apptunneld does not start"
check "the laptop connects" atp connect corp --timeout 20
check "the tablet connects" atp2 connect corp --timeout 20
check "the laptop's traffic" wait_for 5 dev curl -sf -m 3 http://10.1.0.10/
check "the tablet's traffic" wait_for 5 at dev2 curl -sf -m 3 http://10.1.0.10/
equal "the profile has its device's words" "Demo for jane; on laptop" \
	"$(atp profile show corp --signer "$WORK/signer.pem" --json | python3 -c '
import json, sys
print([k["value"] for k in json.load(sys.stdin)["keys"] if k["key"] == "Name"][0])')"

# ---- what is wrong touches nothing ----------------------------------------------------------
RATE=200k
[ -n "${LONG:-}" ] && RATE=40k
spawn_in dev "$WORK/slow.log" curl -s --limit-rate "$RATE" -o "$WORK/slow" http://10.1.0.10/big
SLOW=$PID
wait_for 5 test -s "$WORK/slow"
cp "$D/corp.p7m" "$WORK/good.p7m"
equal "Version 1 was taken" 1 "$(cat "$WORK/state/versions/corp")"
put_p7m() { install -m 644 "$1" "$D/.in" && mv "$D/.in" "$D/corp.p7m"; }
wrong() { # WHAT PATTERN, with $WORK/x.p7m
	put_p7m "$WORK/x.p7m"
	if wait_for 5 said "$2" && kill -0 $SLOW && [ "$(state)" = up ]; then pass "$1: said, and the session lives"; else
		fail "$1: no '$2', or no session"
		atp status corp 2>&1 | sed 's/^/     | /'
	fi
	put_p7m "$WORK/good.p7m"
	wait_for 5 unsaid || fail "$1: the good one clears it"
}
S=$WORK/strangers
mkdir -p "$S"
cat >"$S/conf" <<CONF
[ca]
default_ca = it
[it]
database = $S/index
new_certs_dir = $S
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
[req]
distinguished_name = dn
[dn]
[signer]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
CONF
: >"$S/index"
stranger() { # NAME FROM TO
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$S/$1.key" -out "$S/$1.csr" \
		-subj "/CN=$1" -config "$S/conf" 2>/dev/null &&
		openssl ca -batch -selfsign -config "$S/conf" -extensions signer -keyfile "$S/$1.key" -in "$S/$1.csr" \
			-out "$S/$1.crt" -notext -startdate "$(date -u -d "$2" +%Y%m%d%H%M%SZ)" \
			-enddate "$(date -u -d "$3" +%Y%m%d%H%M%SZ)" 2>"$S/log" || { cat "$S/log"; die "openssl ca"; }
}
stranger foreign '-1 day' '1 day'
stranger expired '-9 days' '-1 day'
cat "$G/signer.crt" "$S/expired.crt" >"$WORK/signer.pem"
openssl cms -verify -noverify -inform DER -in "$WORK/good.p7m" -out "$WORK/text" 2>/dev/null
sign_as() { # CERTIFICATE KEY TEXT
	openssl cms -sign -binary -nodetach -nosmimecap -outform DER -md sha256 -signer "$1" -inkey "$2" -in "$3" -out "$WORK/x.p7m"
}
size=$(stat -c %s "$WORK/good.p7m")
for at in 0 1 100 $((size / 2)) $((size - 1)); do
	head -c "$at" "$WORK/good.p7m" >"$WORK/x.p7m"
	wrong "cut at $at of $size" 'corp.p7m:0:0: error: -: the (signed )?file is (cut short|not signed)'
done
# ... at every byte (LONG=1; else at some), one straight after the other
looks() { grep -c 'profile.kept: corp: not valid' "$WORK/daemon.log"; }
step=$((size / 40))
[ -n "${LONG:-}" ] && step=1
n=0 unseen=0
for ((at = 2; at < size; at += step)); do
	head -c "$at" "$WORK/good.p7m" >"$WORK/x.p7m"
	n0=$(looks)
	put_p7m "$WORK/x.p7m"
	for ((i = 0; i < 500 && $(looks) == n0; i++)); do sleep 0.01; done
	n=$((n + 1))
	[ "$(looks)" -gt "$n0" ] && said 'corp.p7m:0:0: error' || unseen=$((unseen + 1))
done
equal "cut at $n places: not refused" 0 $unseen
if kill -0 $SLOW && [ "$(state)" = up ]; then pass "and the session lives"; else fail "the session is gone: $(state)"; fi
put_p7m "$WORK/good.p7m"
wait_for 5 unsaid || fail "the good one clears it"
sed 's/10\.0\.0\.0/11.0.0.0/' "$WORK/good.p7m" >"$WORK/x.p7m"
wrong "altered" 'corp.p7m:0:0: error: .*altered'
cp "$WORK/text" "$WORK/x.p7m"
wrong "unsigned" 'corp.p7m:0:0: error: .*not signed'
sign_as "$S/foreign.crt" "$S/foreign.key" "$WORK/text"
wrong "signed by somebody else" 'corp.p7m:0:0: error: .*somebody'
sign_as "$S/expired.crt" "$S/expired.key" "$WORK/text"
wrong "signed with an expired certificate" 'corp.p7m:0:0: error: .*expired'
sed 's/^Version = 1/Version = 0/' "$WORK/text" >"$WORK/text0"
line=$(grep -n ^Version "$WORK/text0" | cut -d: -f1)
sign_as "$G/signer.crt" "$G/signer.key" "$WORK/text0"
wrong "older" "corp.p7m:$line:11: error: Version: 0 is older than 1"
sed 's/^IPRoutes = .*/IPRoutes = "10.0.0.0\/33"/' "$WORK/text" >"$WORK/text0"
line=$(grep -n ^IPRoutes "$WORK/text0" | cut -d: -f1)
sign_as "$G/signer.crt" "$G/signer.key" "$WORK/text0"
wrong "signed, but wrong" "corp.p7m:$line:22: error: IPRoutes"
equal "the Version that was taken is the same" 1 "$(cat "$WORK/state/versions/corp")"

# ---- a change, while it is connected ---------------------------------------------------------
kill_pid $SLOW
SIZE=40000000
spawn_in dev "$WORK/slow.log" curl -s --limit-rate 4M -o "$WORK/slow" http://10.1.0.10/big
SLOW=$PID
wait_for 5 test -s "$WORK/slow"
tunnelled() { dev ip route get "$1" 2>/dev/null | grep -q 'dev atp0'; }
reaches() { dev curl -s -m 3 "http://$1/" | grep -q intranet; }
tunnelled 10.77.0.1 && ! tunnelled 203.0.113.10 && pass "the routes of before" || fail "the routes of before"
sed -i 's#^IPRoutes = .*#IPRoutes = "10.0.0.0/10;203.0.113.0/24"#; s#^ExcRoutes = .*#ExcRoutes = "10.10.10.10/32;10.9.0.0/16"#' "$WORK/corp.ini"
script "push other IPRoutes by ssh" 0 'corp, Version 2' push "$WORK/corp.ini" laptop --ready tunnel,dns,tcp:10.1.0.10:80
wait_for 5 grep -qx 2 "$WORK/state/versions/corp" && pass "they are taken" || fail "they are taken"
left=$((SIZE - $(stat -c %s "$WORK/slow")))
if kill -0 $SLOW && [ $left -gt 0 ]; then pass "with $left bytes of a download to come"; else fail "the download had ended: $left"; fi
tunnelled 203.0.113.10 && reaches 203.0.113.10 && pass "the new route works" || fail "the new route works"
tunnelled 10.77.0.1 && fail "the old one is gone" || pass "the old one is gone"
dev ip route show table 44300 | grep -q 'throw 10.9.0.0/16' && pass "the exclusion is in effect" || fail "the exclusion is in effect"
wait $SLOW
code=$?
equal "the download is whole" "0 $SIZE $(sha256sum <"$WORK/www/big")" "$code $(stat -c %s "$WORK/slow") $(sha256sum <"$WORK/slow")"
# what cuts the device off from what it must reach goes back by itself, and the summary says so
cp "$WORK/corp.ini" "$WORK/cut/corp.ini"
sed -i 's#^IPRoutes = .*#IPRoutes = "10.1.0.53/32;10.128.0.0/10"#' "$WORK/cut/corp.ini"
script "push what is not ready" 1 'laptop	ssh root@laptop: exit 3:' push "$WORK/cut/corp.ini" laptop --ready tcp:10.128.0.1:80
tunnelled 203.0.113.10 && state_is up && pass "the profile of before is back" || fail "the profile of before is back"
script "words that are none" 2 'ready takes' push "$WORK/corp.ini" laptop --ready 'tcp:$(x):1'
script "push the good one again" 0 'corp, Version 4' push "$WORK/corp.ini" laptop
wait_for 5 grep -qx 4 "$WORK/state/versions/corp" && pass "it is taken" || fail "it is taken: $(cat "$WORK/state/versions/corp")"

# ---- block, unblock --------------------------------------------------------------------------
script "block the laptop" 0 '1 done' block laptop
wait_for 5 state_is refused && pass "its live session ends" || fail "its live session ends: $(state)"
said 'blocked|revoked' && pass "with the reason" || { fail "with the reason"; atp status corp | sed 's/^/     | /'; }
atp connect corp --timeout 5 >/dev/null 2>"$WORK/err"
equal "it cannot come back: exit" 13 $?
up2 && pass "the tablet stays" || fail "the tablet stays"
script "unblock it" 0 '1 done' unblock laptop
sleep 1.2	# Sentry looks at the list once a second
check "unblocked, it comes back" atp connect corp --timeout 20
at_sentry() { sentry_ctl sessions | grep -q tablet; }
off_sentry() { sentry_ctl sessions >"$WORK/sessions" && ! grep -q tablet "$WORK/sessions"; }
at_sentry && pass "the tablet has a session" || fail "the tablet has no session: $(sentry_ctl sessions)"
script "block a user" 0 'device list' block --user bob@demo.internal
wait_for 5 off_sentry && pass "its live session ends" || fail "its live session goes on: $(sentry_ctl sessions)"
atp2 connect corp --timeout 5 >/dev/null 2>"$WORK/err"
equal "block --user: its device cannot come back: exit" 13 $?
script "unblock the user" 0 'device list' unblock --user bob@demo.internal
sleep 1.2
check "and it can" atp2 connect corp --timeout 20
script "it fails an inspection" 0 '1 done' compliance tablet non-compliant
wait_for 5 sh -c "! '$OUT/apptunnel' --run-dir '$WORK/t/run' status corp --json | grep -q '\"state\": \"up\"'"
up2 && fail "its live session goes on" || pass "its live session ends"
atp2 connect corp --timeout 5 >/dev/null 2>"$WORK/err"
equal "not compliant, it cannot come back: exit" 13 $?
grep -q 'compliant' "$WORK/err" && pass "and is told why" || fail "and is told why: $(tail -1 "$WORK/err")"
script "it passes one" 0 '1 done' compliance tablet compliant
sleep 1.2
check "compliant, it can" atp2 connect corp --timeout 20

# ---- certificates that are replaced --------------------------------------------------------------
script "renew" 0 '1 done' renew laptop
equal "both certificates are listed" 2 "$(openssl cms -verify -noverify -inform DER -in "$WORK/pki/devices.p7m" 2>/dev/null | grep -c '"laptop"')"
# requests all the time: the new session is there before the old one is left
cat >"$WORK/bin/requests" <<'SH'
#!/bin/sh
while [ ! -e "$1.stop" ]; do
	if curl -sf -m 5 http://10.1.0.10/ >/dev/null; then echo good; else echo "bad $?"; fi
done >"$1"
SH
chmod 755 "$WORK/bin/requests"
spawn_in dev "$WORK/requests.log" "$WORK/bin/requests" "$WORK/requests"
REQUESTS=$PID
wait_for 5 grep -q good "$WORK/requests"
script "push brings the new one" 0 'push: 1 done' push "$WORK/corp.ini" laptop
n=$(grep -c good "$WORK/requests")
wait_for 5 sh -c "[ \$(grep -c good '$WORK/requests') -gt $((n + 5)) ]" && pass "requests go on with it" || fail "requests go on with it"
: >"$WORK/requests.stop"
wait $REQUESTS
bad=$(grep -c bad "$WORK/requests")
[ "$bad" -le 1 ] && pass "of $(wc -l <"$WORK/requests") requests $bad ended with the old session" ||
	fail "$bad of $(wc -l <"$WORK/requests") requests failed"
cmp -s "$D/corp.crt" "$G"/devices/laptop/c-*.crt && pass "it is there" || fail "it is there"
script "rotate start" 0 '^sha256:' rotate start --sentry sentry.demo.internal --sentry 198.51.100.2
script "rotate switch has to wait" 3 '^tablet	corp$' rotate switch
script "push both pins" 0 '2 done' push "$WORK/corp.ini" --all
cp "$G"/out/tablet/corp.p7m "$WORK/t/in" && chmod 644 "$WORK/t/in" && mv "$WORK/t/in" "$WORK/t/profiles.d/corp.p7m"
wait_for 5 grep -qx 5 "$WORK/t/state/versions/corp" && pass "the tablet takes them" || fail "the tablet takes them"
wait_for 10 state_is up
# Sentry's own, under a download that it does not disturb
spawn_in dev "$WORK/roll.log" curl -s --limit-rate 4M -o "$WORK/roll" http://10.1.0.10/big
ROLL=$PID
wait_for 5 test -s "$WORK/roll"
script "rotate switch" 0 'sentry.crt is the new one' rotate switch
cp "$G/sentry.crt" "$G/sentry.key" "$WORK/pki/"
chmod 644 "$WORK"/pki/*
served() { dc sh -c 'openssl s_client -connect 198.51.100.2:443 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint'; }
old=$(served)
sentry_ctl certificate 1 >/dev/null
equal "Sentry serves the new one from now on" "$(openssl x509 -noout -fingerprint -in "$G/sentry.crt")" "$(served)"
[ "$old" != "$(served)" ] && pass "and served another one before" || fail "it was the new one before, too"
left=$((40000000 - $(stat -c %s "$WORK/roll")))
if kill -0 $ROLL && [ $left -gt 0 ]; then pass "with $left bytes of a download to come"; else fail "the download had ended: $left"; fi
wait $ROLL
equal "the download is whole" "$(sha256sum <"$WORK/www/big")" "$(sha256sum <"$WORK/roll")"
sentry_ctl fault rst >/dev/null
wait_for 5 sh -c "! '$OUT/apptunnel' --run-dir '$WORK/run' status corp --json | grep -q '\"state\": \"up\"'"
sentry_ctl fault off >/dev/null
wait_for 20 state_is up && pass "the laptop trusts Sentry's new certificate" || fail "the laptop trusts Sentry's new certificate: $(state)"
wait_for 20 up2 && pass "so does the tablet" || fail "so does the tablet"
script "rotate finish" 0 'next push' rotate finish
script "and the old pin goes" 0 'Version 6' push "$WORK/corp.ini" --all
equal "one pin is left" 1 "$(openssl cms -verify -noverify -inform DER -in "$G/out/tablet/corp.p7m" 2>/dev/null | grep -o sha256: | wc -l)"
script "status" 0 '^laptop +jane +enrolled +364 days +corp:6' status
script "status --json" 0 '"group"' status --json
equal "as JSON" "demo 6 laptop jane enrolled 6 True" "$(python3 -c '
import json, sys
j = json.load(open(sys.argv[1]))
d = [d for d in j["devices"] if d["device"] == "laptop"][0]
print(j["group"], j["profiles"]["corp"], d["device"], d["user"], *d["state"], d["profiles"]["corp"],
      j["certificates"]["root"]["self_signed"])' "$WORK/out" 2>&1)"
check "disconnect" atp disconnect corp
check "disconnect the tablet" atp2 disconnect corp
finish
