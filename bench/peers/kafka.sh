#!/usr/bin/env bash
# Runs Apache Kafka as one KRaft node, as the peer in comparisons. Everything comes from Maven Central.
#
#   kafka.sh setup                        fetch the jars
#   kafka.sh version                      what it is and what it runs on
#   kafka.sh format DIR PORT [key=value...] prepare a new DIR
#   kafka.sh run DIR PORT [key=value...]  format DIR when it is new, then become the broker (foreground)
#   kafka.sh start DIR PORT [key=value...] the same in the background; returns when it answers
#   kafka.sh stop DIR                     SIGTERM and wait
#   kafka.sh pid DIR                      its process id
#
# Environment: HEAP (1g), the broker's fixed heap; JAVA (java); PEER_JARS, where the class path is kept
# (default: the user's cache directory). The controller listens on PORT + 1.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
heap=${HEAP:-1g}
java=${JAVA:-java}
jars=${PEER_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/kbench-peer-kafka}

usage() {
	sed -n '4,10s/^# *//p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

setup() {
	[ -s "$jars/classpath" ] && return
	mkdir -p "$jars"
	mvn -q -B -f "$here/pom.xml" dependency:build-classpath -Dmdep.outputFile="$jars/classpath.tmp" </dev/null >&2
	mv "$jars/classpath.tmp" "$jars/classpath"
}

# Kafka's own start script gives the broker these flags; the heap is ours.
java_flags() {
	printf '%s\n' "-Xms$heap" "-Xmx$heap" -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
		-XX:+ExplicitGCInvokesConcurrent "-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$(cat "$jars/classpath")"
}

# What one node needs instead of the defaults, which ask for three replicas. Everything else is Kafka's default.
configure() {
	local dir=$1 port=$2
	shift 2
	mkdir -p "$dir"
	{
		cat <<-CONF
			process.roles=broker,controller
			node.id=1
			controller.quorum.voters=1@127.0.0.1:$((port + 1))
			listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
			advertised.listeners=PLAINTEXT://127.0.0.1:$port
			controller.listener.names=CONTROLLER
			listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
			log.dirs=$dir/data
			offsets.topic.replication.factor=1
			transaction.state.log.replication.factor=1
			transaction.state.log.min.isr=1
			share.coordinator.state.topic.replication.factor=1
			share.coordinator.state.topic.min.isr=1
			group.initial.rebalance.delay.ms=0
		CONF
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >"$dir/server.properties"
	if [ ! -e "$dir/data/meta.properties" ]; then
		local id
		id=$("$java" -Xmx128m -XX:TieredStopAtLevel=1 -cp "$(cat "$jars/classpath")" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -n 1)
		"$java" -Xmx128m -XX:TieredStopAtLevel=1 -cp "$(cat "$jars/classpath")" kafka.tools.StorageTool format -t "$id" \
			-c "$dir/server.properties" >"$dir/format.log" 2>&1 || { cat "$dir/format.log" >&2; exit 1; }
	fi
}

version() {
	printf 'Apache Kafka %s, %s\n' "$(sed -n 's#.*<kafka.version>\(.*\)</kafka.version>.*#\1#p' "$here/pom.xml")" \
		"$("$java" -version 2>&1 | sed -n 's/^openjdk version "\([^"]*\)".*/OpenJDK \1/p')"
}

format() {
	setup
	configure "$@"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

run() {
	local flags
	setup
	configure "$@"
	mapfile -t flags < <(java_flags)
	exec "$java" "${flags[@]}" kafka.Kafka "$1/server.properties"
}

start() {
	local dir=$1 port=$2
	if answers "$port"; then
		echo "kafka.sh: something listens on 127.0.0.1:$port already" >&2
		exit 1
	fi
	setup
	mkdir -p "$dir"
	setsid "$0" run "$@" >"$dir/server.log" 2>&1 </dev/null &
	echo $! >"$dir/pid"
	for _ in $(seq 600); do
		answers "$port" && return
		kill -0 "$(cat "$dir/pid")" 2>/dev/null || break
		sleep 0.1
	done
	echo "kafka.sh: the broker did not start:" >&2
	tail -n 20 "$dir/server.log" >&2
	exit 1
}

stop() {
	local pid
	pid=$(cat "$1/pid")
	kill "$pid" 2>/dev/null || return 0
	for _ in $(seq 300); do
		kill -0 "$pid" 2>/dev/null || return 0
		sleep 0.1
	done
	kill -9 "$pid"
}

case ${1:-} in
setup) setup ;;
version) version ;;
format | run | start) [ $# -ge 3 ] || usage; "$@" ;;
stop) [ $# -eq 2 ] || usage; stop "$2" ;;
pid) [ $# -eq 2 ] || usage; cat "$2/pid" ;;
*) usage ;;
esac
