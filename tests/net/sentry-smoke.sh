#!/bin/bash
# sentry-smoke - the endpoint alone, on loopback, without root: an independent
# client in Python speaks to it.
set -u
cd "$(dirname "$0")/../.." || exit 1
OUT=${OUT:-build} exec python3 tests/net/sentry_smoke.py
