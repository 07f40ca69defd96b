#!/usr/bin/env bash
# Sets kserver and Apache Kafka side by side on this machine.
#
#   bench/compare.sh [scenario...]      default: produce-1k produce-100b produce-client consume-1k e2e
#
# Three brokers run on fresh directories of one disk: kserver (durable, its default), kafka (its defaults: acknowledged
# from the page cache) and kafka-sync (flush.messages=1, the same promise as kserver's). Every round runs every scenario
# on each of them, in turn and alternating who goes first, and only one is under load at a time. All stay up between
# their turns, so that the JVM stays warm; the first round only warms up and is not counted.
#
# Environment:
#   ROUNDS    counted rounds (5)            DURATION  measured time of a run (10s)   WARM_UP  before it (3s)
#   KSERVER   executable (built if unset)   KBENCH    executable (built if unset)
#   WORK      directory for the brokers (bench/results/tmp)   OUT  directory for the results (bench/results/<time>)
#   SYSTEMS   "kserver kafka kafka-sync"    HEAP      of the JVM (1g)                 BACKEND  of kserver (auto)
#   RETENTION bytes per partition (1073741824), so that the disk does not fill
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rounds=${ROUNDS:-5} duration=${DURATION:-10s} warm_up=${WARM_UP:-3s} backend=${BACKEND:-auto}
work=${WORK:-$root/bench/results/tmp} out=${OUT:-$root/bench/results/$(date -u +%Y%m%dT%H%M%SZ)}
read -r -a systems <<<"${SYSTEMS:-kserver kafka kafka-sync}"
retention=${RETENTION:-1073741824}
scenarios=("$@")
[ $# -gt 0 ] || scenarios=(produce-1k produce-100b produce-client consume-1k e2e)
mkdir -p "$work" "$out"
for s in "${scenarios[@]}"; do
	[ -r "$root/bench/scenarios/$s.args" ] || { echo "compare.sh: no scenario $s" >&2; exit 2; }
done

build() { # name, package
	(cd "$root" && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$work/$1" "$2")
	echo "$work/$1"
}
kbench=${KBENCH:-$(build kbench ./cmd/kbench)}
kserver=${KSERVER:-}
if [ -z "$kserver" ] && [[ " ${systems[*]} " == *" kserver "* ]]; then
	kserver=$(build kserver ./cmd/kserver)
fi

declare -A port=([kserver]=29092 [kafka]=29192 [kafka-sync]=29292) pid=()
dirs=$(mktemp -d "$work/brokers-XXXXXX")
stop_all() {
	for s in "${!pid[@]}"; do
		kill "${pid[$s]}" 2>/dev/null || true
		wait "${pid[$s]}" 2>/dev/null || true
	done
	rm -rf "$dirs"
}
trap stop_all EXIT
trap 'exit 130' INT TERM

start() { # system
	case $1 in
	kserver)
		mkdir -p "$dirs/kserver/data"
		"$kserver" --listeners "PLAINTEXT://127.0.0.1:${port[$1]}" --log.dirs "$dirs/kserver/data" --io.backend "$backend" \
			--log.retention.bytes "$retention" >"$out/$1.log" 2>&1 &
		;;
	kafka) "$root/bench/peers/kafka.sh" run "$dirs/$1" "${port[$1]}" "log.retention.bytes=$retention" >"$out/$1.log" 2>&1 & ;;
	kafka-sync) "$root/bench/peers/kafka.sh" run "$dirs/$1" "${port[$1]}" "log.retention.bytes=$retention" log.flush.interval.messages=1 >"$out/$1.log" 2>&1 & ;;
	*) echo "compare.sh: no system $1" >&2; exit 2 ;;
	esac
	pid[$1]=$!
	for _ in $(seq 600); do
		(exec 3<>"/dev/tcp/127.0.0.1/${port[$1]}") 2>/dev/null && return
		kill -0 "${pid[$1]}" 2>/dev/null || break
		sleep 0.1
	done
	echo "compare.sh: $1 did not start, see $out/$1.log" >&2
	exit 1
}

run() { # round, scenario, system
	local args json="$out/$2.$3.$1.json"
	read -r -a args < <(grep -v '^#' "$root/bench/scenarios/$2.args" | paste -sd' ')
	[ "$1" != 0 ] || json=$work/warm-up.json
	echo "round $1  $2  $3" >&2
	"$kbench" "${args[@]}" -b "127.0.0.1:${port[$3]}" --duration "$duration" --warm-up "$warm_up" --broker-pid "${pid[$3]}" \
		--label "scenario=$2,system=$3" --json "$json" >"$out/last.txt"
	[ "$1" = 0 ] || cat "$out/last.txt" >>"$out/runs.txt"
}

"$kbench" limits --limits-dir "$work" --json "$out/limits.json" | tee "$out/limits.txt"
for s in "${systems[@]}"; do start "$s"; done
for ((round = 0; round <= rounds; round++)); do
	for scenario in "${scenarios[@]}"; do
		for ((i = 0; i < ${#systems[@]}; i++)); do
			run "$round" "$scenario" "${systems[(i + round) % ${#systems[@]}]}"
		done
	done
done
rm -f "$out/last.txt"

files=()
for ((round = 1; round <= rounds; round++)); do
	for scenario in "${scenarios[@]}"; do
		for s in "${systems[@]}"; do files+=("$out/$scenario.$s.$round.json"); done
	done
done
for base in "${systems[@]}"; do
	[ "$base" != kserver ] || continue
	"$kbench" compare --baseline "$base" --json "$out/against-$base.json" "${files[@]}" >"$out/against-$base.txt"
	cat "$out/against-$base.txt"
done
echo "results: $out"
