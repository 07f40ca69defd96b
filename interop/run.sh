#!/usr/bin/env bash
# Runs the interop suite on kserver, once per I/O back-end, or on Apache Kafka.
#
#   interop/run.sh                          both back-ends
#   interop/run.sh --backends epoll         one of them
#   interop/run.sh --server apache          Apache Kafka 4.3, the oracle
#   interop/run.sh --run 'Fetch|Group'      a selection of tests, as go test -run takes it
#
# It installs what it needs (install.sh), builds kserver unless KSERVER_BINARY names one, starts the brokers on free
# ports with fresh directories through the tests themselves, prints a table, and exits with 0 only when every test
# passed. What is left over from a broken run is ended by process id.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
backends=io_uring,epoll
server=kserver
select=.
# For one back-end: the tests' own limit, and the shell's behind it.
limit_seconds=600

while [ $# -gt 0 ]; do
	case $1 in
	--backends) backends=$2; shift 2 ;;
	--server) server=$2; shift 2 ;;
	--run) select=$2; shift 2 ;;
	*) sed -n '2,7p' "$0"; exit 2 ;;
	esac
done

work=$(mktemp -d "${TMPDIR:-/tmp}/kserver-interop-XXXXXX")
cleanup() {
	# Brokers of a run that was cut short; each wrote its process id into its own directory.
	for f in "$work"/*/*/pid; do
		[ -e "$f" ] || continue
		pid=$(cat "$f")
		if [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$(dirname "$f")" ]; then kill -9 "$pid" || true; fi
	done
}
trap cleanup EXIT
trap 'exit 130' INT TERM

echo "installing what is not there yet" >&2
if ! "$here/install.sh" >"$work/install.log" 2>&1; then
	tail -n 30 "$work/install.log" >&2
	exit 2
fi

echo "building" >&2
(cd "$here" && go test -c -o "$work/interop.test" .)
case $server in
kserver)
	if [ -z "${KSERVER_BINARY:-}" ]; then
		(cd "$here/.." && CGO_ENABLED=0 go build -o "$work/kserver" ./cmd/kserver)
		KSERVER_BINARY=$work/kserver
	fi
	export KSERVER_BINARY
	;;
apache) backends=apache; export INTEROP_SERVER=apache ;;
*) echo "no such server: $server" >&2; exit 2 ;;
esac
unset KSERVER_ENDPOINT BROKERS
export INTEROP_REQUIRE_ALL=1

table=() failed=0 passed=0 skipped=0 broken=0
for backend in ${backends//,/ }; do
	log=$work/$backend.log
	export INTEROP_WORK=$work/$backend KSERVER_IO_BACKEND=$backend
	[ "$server" = kserver ] || unset KSERVER_IO_BACKEND
	echo "running on $backend, output in $log" >&2
	begin=$SECONDS status=0
	(cd "$here" && timeout -k 10 $((limit_seconds + 30)) "$work/interop.test" -test.v -test.parallel 4 \
		-test.timeout "${limit_seconds}s" -test.run "$select") >"$log" 2>&1 || status=$?
	p=$(grep -c '^ *--- PASS' "$log" || true) f=$(grep -c '^ *--- FAIL' "$log" || true) s=$(grep -c '^ *--- SKIP' "$log" || true)
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	if [ $status -ne 0 ]; then
		broken=1
		grep -E -B 12 '^ *--- FAIL|^panic|^interop:' "$log" | grep -E '^ *--- FAIL|^panic|^interop:|_test\.go:[0-9]+:' | head -n 80 >&2 || true
	fi
	table+=("$(printf '%-10s %7d %7d %7d %8ds %7d' "$backend" "$p" "$f" "$s" $((SECONDS - begin)) $status)")
done

printf '\n%-10s %7s %7s %7s %9s %7s\n' on passed failed skipped time exit
printf '%s\n' "${table[@]}"
echo "interop: $passed passed, $failed failed, $skipped skipped"
if [ $broken -eq 0 ]; then
	rm -rf "$work"
	exit 0
fi
echo "logs and brokers' directories are kept in $work" >&2
exit 1
