#!/usr/bin/env bash
# Runs RabbitMQ as one node, as the peer in comparisons. It is Debian's package rabbitmq-server.
#
#   rabbitmq.sh setup           install the package when it is not there, as root; no service is started
#   rabbitmq.sh version         what it is and what it runs on
#   rabbitmq.sh run DIR PORT    become the broker on an own DIR (foreground)
#
# AMQP 0.9.1 is served on PORT, the stream protocol on PORT + 1; Erlang's distribution uses PORT + 2, and its port
# mapper, which ends with the broker's process group, PORT + 3. All listen on the loopback address only.
set -euo pipefail
server=/usr/lib/rabbitmq/bin/rabbitmq-server

usage() {
	sed -n '4,6s/^# *//p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

setup() {
	[ ! -x "$server" ] || return 0
	[ "$(id -u)" = 0 ] || { echo "rabbitmq.sh: install the package rabbitmq-server, or run this as root" >&2; exit 1; }
	# With this run level the package's scripts start nothing.
	RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends rabbitmq-server >&2
}

version() {
	printf 'RabbitMQ %s, Erlang/OTP %s\n' "$(dpkg-query -W -f '${Version}' rabbitmq-server)" \
		"$(erl -noshell -eval 'io:put_chars(erlang:system_info(otp_release)), halt().')"
}

run() {
	local dir=$1 port=$2
	mkdir -p "$dir"
	cat >"$dir/rabbitmq.conf" <<-CONF
		listeners.tcp.1 = 127.0.0.1:$port
		stream.listeners.tcp.1 = 127.0.0.1:$((port + 1))
		stream.advertised_host = 127.0.0.1
		stream.advertised_port = $((port + 1))
	CONF
	echo '[rabbitmq_stream].' >"$dir/enabled_plugins"
	export HOME=$dir RABBITMQ_NODENAME=kbench@localhost RABBITMQ_DIST_PORT=$((port + 2)) \
		RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins \
		RABBITMQ_MNESIA_BASE=$dir/mnesia RABBITMQ_LOG_BASE=$dir/log RABBITMQ_LOGS=- RABBITMQ_CONF_ENV_FILE=/dev/null \
		ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$((port + 3)) \
		RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
	epmd &
	exec "$server"
}

case ${1:-} in
setup | version) [ $# -eq 1 ] || usage; "$1" ;;
run) [ $# -eq 3 ] || usage; run "$2" "$3" ;;
*) usage ;;
esac
