#!/bin/bash
# sentry-smoke - the endpoint alone, on loopback, as an unprivileged program: an
# independent client in Python speaks to it.  In a namespace of its own where one
# can be had, so that ping_group_range can be set both ways.
set -u
cd "$(dirname "$0")/../.." || exit 1
export OUT=${OUT:-build}
if [ "$(id -u)" = 0 ]; then alone=(unshare -n); else alone=(unshare -Urn); fi
if "${alone[@]}" true 2>/dev/null; then
	# shellcheck disable=SC2016
	SMOKE_NETNS=1 exec "${alone[@]}" bash -c 'ip link set lo up; exec python3 "$0"' \
		tests/net/sentry_smoke.py
fi
exec python3 tests/net/sentry_smoke.py
