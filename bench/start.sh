#!/usr/bin/env bash
# What a start of kserver costs, against the targets: exec to the first acknowledged, synced record on a new topic
# under 30 ms, idle memory under 25 MiB, a stripped static executable under 30 MiB, restarts under a second.
# Fails when a median or size exceeds its target.
#
#   bench/start.sh [flags of firstack]     for example: bench/start.sh -n 20 --backend epoll --json start.json
#
# Environment: KSERVER, an executable to measure (built if unset); WORK, where it is built and brokers keep their data
# (bench/results/tmp, so on the same disk as the checkout: a tmpfs would make the syncs free).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${WORK:-$root/bench/results/tmp}
mkdir -p "$work"
cd "$root"
if [ -z "${KSERVER:-}" ]; then
	KSERVER=$work/kserver
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$KSERVER" ./cmd/kserver
fi
go build -o "$work/firstack" ./bench/firstack
exec "$work/firstack" --binary "$KSERVER" --dir "$work" \
	--max-first-ack 30ms --max-idle-mib 25 --max-binary-mib 30 --max-restart 1s "$@"
