#!/usr/bin/env bash
# Installs the clients of others that the suite drives, each at a fixed version or as Debian has it, all below this
# directory, and only what is not there yet:
#
#   .venv/      Python clients (requirements.txt), from PyPI
#   node/       JavaScript clients and a Node new enough for them (package.json), from npm
#   .debian/    kcat, rsyslog and syslog-ng with their Kafka modules, unpacked from Debian's packages. They are not
#               installed: Debian allows one system logger, and the tests start these with files of their own.
#
# The Go clients come with the modules of the suite, Kafka's own with Maven when a test first needs them. Run as root
# this installs what the suite itself needs (C compiler, Java, Maven, Python, npm); otherwise it names that.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# retry COMMAND... repeats what depends on the network.
retry() {
	local attempt
	for attempt in 1 2 3 4; do
		if "$@"; then return 0; fi
		[ "$attempt" = 4 ] || { echo "failed, trying again in $((attempt * 5)) s: $*" >&2; sleep $((attempt * 5)); }
	done
	echo "interop/install.sh: failed four times: $*" >&2
	return 1
}

# Package lists are fetched once, and only when something is to be installed.
updated=
apt_update() {
	if [ -z "$updated" ] && [ "$(id -u)" = 0 ]; then retry apt-get update -q; fi
	updated=1
}

system_packages() {
	local missing=()
	command -v cc >/dev/null || missing+=(gcc libc6-dev)
	command -v javac >/dev/null || missing+=(default-jdk-headless)
	command -v mvn >/dev/null || missing+=(maven)
	command -v npm >/dev/null || missing+=(npm)
	python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "interop/install.sh: install first: ${missing[*]}" >&2
		return 1
	fi
	apt_update
	retry env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# A copy of what was asked for, beside the result, tells a later run that all of it is there.
python_clients() {
	! cmp -s python/requirements.txt .venv/installed || return 0
	python3 -m venv --clear .venv
	retry .venv/bin/pip install -q --disable-pip-version-check -r python/requirements.txt
	cp python/requirements.txt .venv/installed
}

node_clients() {
	! cmp -s node/package.json node/node_modules/installed || return 0
	(cd node && retry npm install --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error)
	cp node/package.json node/node_modules/installed
}

# unpack PACKAGE... fetches Debian packages with the libraries that are missing here and unpacks them into .debian.
unpack() {
	local archives=.debian/archives-$1 deb
	mkdir -p "$archives/partial"
	retry apt-get install -q -y --download-only --reinstall --no-install-recommends \
		-o Debug::NoLocking=1 -o Dir::Cache::archives="$PWD/$archives" "$@"
	for deb in "$archives"/*.deb; do dpkg -x "$deb" .debian; done
	rm -r "$archives"
}

debian_clients() {
	local want='kcat rsyslog syslog-ng'
	[ "$(cat .debian/installed 2>/dev/null)" != "$want" ] || return 0
	command -v apt-get >/dev/null || { echo "interop/install.sh: no apt-get, so no $want" >&2; return 1; }
	rm -rf .debian
	apt_update
	unpack kcat
	unpack rsyslog rsyslog-kafka
	unpack syslog-ng-core syslog-ng-mod-rdkafka
	echo "$want" >.debian/installed
}

go_modules() {
	retry go mod download
	(cd .. && retry go mod download)
}

system_packages
go_modules
python_clients
node_clients
debian_clients
