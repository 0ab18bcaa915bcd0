#!/bin/bash
# profiles - the offline half of the command line, and the parser child as the
# daemon starts it.  Needs no namespace: nothing of the machine is touched.
# shellcheck source=tests/net/lib.sh
. "$(dirname "$0")/lib.sh"

trap 'rm -rf "$WORK"' EXIT
A=$OUT/apptunnel
D=$WORK/profiles.d
mkdir -p "$D"
pki() { "$TOP/scripts/pki" "$@" >/dev/null || die "pki $*"; }
pki init "$D"
pki sentry "$D" sentry
pki sentry "$D" next
pki sentry "$D" self --self-signed
pki sentry "$D" gone --expired
pki sentry "$D" soon --days 3
pki device "$D" device --user alice
pki device "$D" other --user bob
sed 's/\.pem/.crt/g; s/sentry-next/next/' "$TOP/profiles/samples/split-udp.ini" |
	sed 's/device\.key/device.key/' >"$D/corp.ini"
export APPTUNNEL_PROFILE_DIR=$D

# run EXIT COMMAND... - stdout in $WORK/out, stderr in $WORK/err
run() {
	local want=$1
	shift
	"$@" >"$WORK/out" 2>"$WORK/err"
	local got=$?
	equal "${1##*/} ${*:2}: exit" "$want" $got || sed 's/^/     | /' "$WORK/out" "$WORK/err"
}
says() { # WHAT PATTERN [FILE]
	if grep -qE -- "$2" "$WORK/${3:-out}"; then pass "$1"; else
		fail "$1: no '$2' in"
		sed 's/^/     | /' "$WORK/${3:-out}" | head
	fi
}
json() { # WHAT PYTHON-EXPRESSION over j
	if python3 -c 'import json,sys
j = json.load(open(sys.argv[1]))
sys.exit(not eval(sys.argv[2]))' "$WORK/out" "$2"; then pass "$1"; else
		fail "$1: not so: $2"
		head -c 2000 "$WORK/out" | sed 's/^/     | /'
	fi
}

# ---- check ----------------------------------------------------------------------
run 0 "$A" profile check corp
equal "a good profile draws nothing" "" "$(cat "$WORK/out")"
run 0 "$A" profile check "$D/corp.ini" --json
json "check --json" 'j["version"] == 1 and j["findings"] == [] and j["errors"] == 0'
run 10 "$A" profile check nosuch
run 2 "$A" profile check

# a stored profile is judged as connect would judge it
cp "$D/corp.ini" "$D/own.ini"
chmod 664 "$D/own.ini"
run 6 "$A" profile check own
says "a profile that others can write" 'own.ini:0:0: error: .*written.*chmod go-w'
chmod 644 "$D/own.ini"
chown 64430 "$D/own.ini"
run 6 "$A" profile check own
says "a profile of somebody else" 'own.ini:0:0: error: .*chown root'
rm "$D/own.ini"
ln -s corp.ini "$D/own.ini"
run 6 "$A" profile check own
says "a profile that is a link" 'own.ini:0:0: error: .*symbolic link'
rm "$D/own.ini"
mkdir "$WORK/elsewhere"
sed "s#= \([a-z]*\.\(crt\|key\)\)#= $D/\1#" "$D/corp.ini" >"$WORK/elsewhere/own.ini"
chmod 664 "$WORK/elsewhere/own.ini"
"$A" profile check "$WORK/elsewhere/own.ini" >"$WORK/out" 2>/dev/null
if grep -q 'chmod go-w' "$WORK/out"; then fail "a file elsewhere is not judged by its mode"; else pass "a file elsewhere is not judged by its mode"; fi

# edit NAME SED... - corp with a change, and what check says of it
edit() {
	local name=$1
	shift
	sed "$@" "$D/corp.ini" >"$D/$name.ini"
}
edit cut 's/"10.0.0.0\/8;172.16.0.0\/16"/10.0.0.0\/8;172.16.0.0\/16/'
run 6 "$A" profile check cut
says "the unquoted list, with the quoted form" \
	'/cut.ini:21:22: error: IPRoutes: .* write IPRoutes = "10.0.0.0/8;172.16.0.0/16"'
run 6 "$A" profile check cut --json
json "and as JSON" 'j["errors"] == 1 and j["findings"][0]["code"] == "E112" and j["findings"][0]["line"] == 21'
run 6 "$A" plan cut
says "plan refuses it, too" 'cut.ini:21:22: error' err
run 6 "$A" explain tcp 10.1.1.1:80 --profile cut
run 6 "$A" profile show cut
rm "$D/cut.ini"

# file NAME EXIT PATTERN SED... - the files that a profile names
file() {
	local name=$1 want=$2 pattern=$3
	shift 3
	edit "$name" "$@"
	run "$want" "$A" profile check "$name"
	says "$name" "$pattern"
	rm -f "$D/$name.ini"
}
file missing 6 'error: Certificate: .*nothing.crt is not there' 's/device.crt/nothing.crt/'
file mismatch 6 'error: PrivateKey: .*other.key is not the key' 's/device.key/other.key/'
file not-pem 6 'error: Certificate: .* holds no certificate' 's/= device.crt/= device.key/'
file not-a-key 6 'error: PrivateKey: .* holds no private key' 's/= device.key/= device.crt/'
file self-signed 0 'warning: PinnedCertificate: .*self.crt is self-signed' 's/next.crt/self.crt/'
trusting() { printf 's/^PinnedCertificate.*/DisablePinning = true\\nCaFile = %s/' "$1"; }
file self-signed-trusted 0 "warning: CaFile: .*self.crt is Sentry's own certificate, self-signed" "$(trusting self.crt)"
edit a-ca "$(trusting ca.crt)"
run 0 "$A" profile check a-ca
equal "a CA may sign itself" 1 "$(wc -l <"$WORK/out")"
rm "$D/a-ca.ini"
file expired 0 'warning: PinnedCertificate: .*gone.crt has expired' 's/next.crt/gone.crt/'
file soon 0 'warning: PinnedCertificate: .*soon.crt expires within 30 days' 's/next.crt/soon.crt/'
ln -s next.crt "$D/link.crt"
file symlink 6 'error: PinnedCertificate: .*link.crt is a symbolic link' 's/next.crt/link.crt/'
mkfifo "$D/fifo.crt"
file fifo 6 'error: PinnedCertificate: .*fifo.crt is not a regular file' 's/next.crt/fifo.crt/'
cp "$D/next.crt" "$D/open.crt"
chmod 666 "$D/open.crt"
file writable 6 'error: PinnedCertificate: .*open.crt can be written' 's/next.crt/open.crt/'
cp "$D/device.key" "$D/loose.key"
chmod 640 "$D/loose.key"
file loose-key 6 'error: PrivateKey: .*loose.key is open to group' 's/device.key/loose.key/'
cp "$D/corp.ini" "$D/a name.ini"
run 0 "$A" profile check "$D/a name.ini"
says "a name that no command can know" 'warning: -: in the profile folder'
rm "$D/a name.ini"
if [ "$(id -u)" = 0 ]; then
	chmod 711 "$WORK" "$D"
	cp "$A" "$WORK/apptunnel"
	chmod 755 "$WORK/apptunnel"
	# seen at /mnt as well: the folders above may be root's alone
	# shellcheck disable=SC2016
	run 0 unshare -m --propagation private sh -c 'mount --bind "$0" /mnt && exec setpriv --reuid 65534 --regid 65534 \
		--clear-groups /mnt/apptunnel profile check /mnt/profiles.d/corp.ini' "$WORK"
	says "what the caller may not read is not checked" 'warning: PrivateKey: .*device.key was not checked'
else
	skip "a caller who may not read the key: needs root"
fi

# ---- show, list -------------------------------------------------------------------
run 0 "$A" profile show corp
says "show: from the file" 'IPRoutes +10.0.0.0/8 +.*corp.ini:21'
says "show: a default" 'MTU +1400 +default'
says "show: from Sentry" 'DnsResolverIPs +- +Sentry'
says "show: not in effect yet" 'TcpIdleTmoMs .*not in effect yet'
run 0 "$A" profile show corp --json
json "show --json" '[k["value"] for k in j["keys"] if k["key"] == "SplitUDPPortList"] == [["53", "161-162", "200-1024"]]'
json "show --json: origins" '{k["origin"]["kind"] for k in j["keys"]} == {"file", "default", "sentry", "none"}'
echo "[nonsense" >"$D/bad.ini"
run 0 "$A" profile list
says "list: a good one" '^corp +valid +Office$'
says "list: a bad one" '^bad +invalid, errors: [0-9]+'
run 0 "$A" profile list --json
json "list --json" '[(p["name"], p["valid"]) for p in j["profiles"]] == [("bad", False), ("corp", True)]'
# as `check NAME` and connect see them: what stands there but may not be used is no profile
mkfifo "$D/pipe.ini"
cp "$D/corp.ini" "$D/open.ini"
chmod 666 "$D/open.ini"
: >"$D/corp.p7m"
run 0 timeout 5 "$A" profile list
says "list: a FIFO" '^pipe +invalid, errors: 1'
says "list: one that others may write" '^open +invalid, errors: 1'
equal "list: a name stands there once" 1 "$(grep -c '^corp ' "$WORK/out")"
run 6 timeout 5 "$A" profile check pipe
says "check: a FIFO" 'pipe.ini:0:0: error: .*not a regular file'
rm "$D/pipe.ini" "$D/open.ini" "$D/corp.p7m"
"$A" profile check /dev/stdin < <(cat "$D/corp.ini") >"$WORK/out" 2>&1
says "check: a pipe that somebody names" 'stdin:14:15: error: Certificate: /dev/device.crt'
run 2 "$A" plan
says "which of two?" 'which profile\? bad corp' err
rm "$D/bad.ini"

# ---- plan, explain ----------------------------------------------------------------
run 0 "$A" plan
equal "every line of the plan is a [#] line" 0 "$(grep -cv '^\[#\] ' "$WORK/out")"
says "plan: ExcRoutes" 'throw 10\.10\.10\.10/32'
run 0 "$A" plan corp --json
json "plan --json" 'len(j["changes"]) > 10'
explain() { # VERDICT ARGS...
	local want=$1
	shift
	run 0 "$A" explain "$@" --profile "$D/corp.ini"
	says "explain $*: $want" "^$want: "
	run 0 "$A" explain "$@" --profile "$D/corp.ini" --json
	json "explain $* --json" "j['verdict'] == '$want' and j['reason']"
}
explain tunnel tcp 10.1.2.3:443
explain direct tcp 10.10.10.10:443
explain direct tcp 192.0.2.1:443
explain tunnel udp 10.1.2.3:53
explain direct udp 10.1.2.3:163
explain tunnel icmp 10.1.2.3
explain direct tcp '[2001:db8::1]:443'
explain tunnel udp 198.18.53.53:53
says "and the words" 'service address'
for bad in "tcp 10.1.2.3" "icmp 10.1.2.3:5" "sctp 10.1.2.3:5" "tcp name.example:80" "udp 10.1.2.3:0" "udp"; do
	# shellcheck disable=SC2086 # words
	run 2 "$A" explain $bad --profile "$D/corp.ini"
done
for verb in plan explain profile; do
	run 0 "$A" $verb --help
	says "$verb --help has an example" '^Example: apptunnel'
done

# ---- the parser child ------------------------------------------------------------------
P=$OUT/apptunnel-parser
parse() { # EXIT STEM FOLDER FILE
	: >"$WORK/record"
	"$P" "$2" "$3" 3<"$4" 4>"$WORK/record" 5>"$WORK/out" 2>"$WORK/err"
	local got=$?
	equal "parser $2 < ${4##*/}: exit" "$1" $got
}
parse 0 corp "$D" "$D/corp.ini"
equal "a good profile: nothing said" "" "$(cat "$WORK/out")"
size=$(stat -c %s "$WORK/record")
[ "$size" -gt 100000 ] && pass "and a record" || fail "and a record: $size bytes"
sed 's/^TunIP = .*/TunIP = 10.9.9.9/' "$D/corp.ini" >"$D/warn.ini"
parse 0 warn "$D" "$D/warn.ini"
says "a warning" '^err warn.ini:24:9: warning: TunIP: '
equal "and a record" "$size" "$(stat -c %s "$WORK/record")"
sed 's/^DeviceId/DeviceID2/; s/^TunIP = .*/TunIP = x/' "$D/corp.ini" >"$D/warn.ini"
parse 6 warn "$D" "$D/warn.ini"
equal "every finding is said" 3 "$(grep -c '^err warn.ini:[0-9]*:[0-9]*: error: ' "$WORK/out")"
equal "and no record" 0 "$(stat -c %s "$WORK/record")"
parse 6 'a.b' "$D" "$D/corp.ini"
parse 1 corp relative "$D/corp.ini"
head -c 3000000 /dev/zero | tr '\0' '#' >"$D/big.ini"
parse 6 big "$D" "$D/big.ini"
says "3 MB" 'err big.ini:0:0: error: -: the file is larger'
# nothing that the profile names is opened
P=$TOP/build/apptunnel-parser	# the plain one: a sanitizer opens files of its own
if command -v strace >/dev/null && [ -x "$P" ]; then
	strace -f -e trace=open,openat,socket,execve -o "$WORK/trace" "$P" corp "$D" 3<"$D/corp.ini" 4>/dev/null 5>/dev/null
	equal "the parser opens its libraries and its own memory file" 0 \
		"$(grep -vcE '/lib/|ld\.so|/proc/self/fd/|execve\(|exited' "$WORK/trace")"
else
	skip "the parser's system calls: no strace"
fi
# its filter is on before the first byte comes
mkfifo "$WORK/late"
"$P" corp "$D" 3<>"$WORK/late" 4>/dev/null 5>/dev/null &
parser=$!
wait_for 5 sh -c "grep -q '^0 ' /proc/$parser/syscall"
equal "the parser waits for its text behind a filter" "Seccomp: 2 NoNewPrivs: 1" \
	"$(awk '/^(Seccomp|NoNewPrivs):/ {print $1, $2}' /proc/$parser/status | sort -r | xargs)"
kill "$parser"
wait "$parser" 2>/dev/null
finish
