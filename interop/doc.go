// Package interop holds the tests that drive a broker with clients written by others: franz-go,
// librdkafka (through confluent-kafka-go), sarama, kafka-go, Python and JavaScript clients, kcat,
// system loggers, Apache Kafka's own clients and command line tools, and raw requests built with
// kmsg where a client would hide what the broker said. A client that is not installed is skipped
// with a word on what installs it; with INTEROP_REQUIRE_ALL set, as run.sh has it, it fails.
//
// The package is a module of its own, so that a build of kserver never needs these clients. It knows
// no room of the server: everything goes through a socket, and the same tests run on any broker.
// Apache Kafka 4.3 is the oracle: a test that fails there is wrong, and an assertion whose value was
// read off Kafka says so in its comment.
//
// Where the broker comes from:
//
//	KSERVER_ENDPOINT=host:port   a running broker (BROKERS is read too); tests that restart a broker are skipped
//	KSERVER_BINARY=path          kserver itself, started by the tests; KSERVER_IO_BACKEND chooses its back-end
//	INTEROP_SERVER=apache        Apache Kafka from Maven Central, started by the tests
//	(nothing)                    kserver, built from this repository
//
// The sub-packages are: broker (starting, stopping and killing a broker process), wire (one raw
// connection, strict decoding, hand-made record batches), tools (finding and running programs).
package interop
