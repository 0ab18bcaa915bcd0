#!/bin/bash
# traffic-plain - the same without virtio headers: no super-segments, software
# checksums, as on a kernel that refuses them.
export TRAFFIC_DAEMON=--no-vnet-hdr TRAFFIC_SIZE=${TRAFFIC_SIZE:-256}
export NAME=traffic-plain
exec bash "$(dirname "$0")/traffic.sh"
