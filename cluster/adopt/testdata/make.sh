#!/usr/bin/env bash
# Makes kafka-4.3.1.tar.gz: fills an Apache Kafka, which Maven fetches, with what an adoption has to bring over
# (interop/adopt_fill_test.go), stops it, and packs its data directory together with what it served.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../../interop"
go test -count=1 -run TestWriteAdoptionGolden -adopt.golden ../cluster/adopt/testdata/kafka-4.3.1.tar.gz .
