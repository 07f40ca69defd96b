// Package differential asks a broker the questions in testdata and compares its answers with those
// Apache Kafka gave.
//
// A file in testdata holds the scripts for one API: requests as kmsg fields, and under each request,
// on the lines that begin with "<", what Apache Kafka 4.3.1 answered. The scripts are the recording:
// to read one is to read what Kafka does. A script runs once for each of its versions, on topics and
// groups of its own, and answers that are the same in several versions stand there once.
//
//	versions 3 9 13
//
//	case a topic nobody has created
//	> Produce put batch(a)
//	<3,9: Topics: {Topic: $t, Partitions: {ErrorCode: UNKNOWN_TOPIC_OR_PARTITION, ...}}
//	<13: ...
//
// Answers are compared after what must differ has been named instead of shown: fresh names, ids,
// times of day, ports (normalise.go has the list). Fields at their default are left out, lists whose
// order means nothing are sorted (unordered, in render.go).
//
// Where kserver is meant to answer otherwise, testdata/differences.md says how, and why. The check
// fails for a difference that is not listed, and for a listed one that no longer shows.
//
// Running:
//
//	KSERVER_ENDPOINT=host:port go test ./differential            compare a running broker
//	KSERVER_BINARY=path        go test ./differential            compare kserver, started by the test
//	INTEROP_SERVER=apache      go test ./differential            compare Apache Kafka: finds unstable scripts
//	... go test ./differential -record                           write the answers into the scripts
//
// The broker needs the settings in Settings. -run 'Differential/01_fetch/some_words' chooses scripts.
//
// # The language of scripts
//
// A request is the name of an API and its fields, as kmsg names them; a struct is {Name: value, ...},
// a list [value, ...], and a list of one needs no brackets. Fields that are not given have kmsg's
// defaults. A line that begins with ">" and at least two spaces continues the one above.
//
// "define put = Acks: -1, Topics: {..., Records: %}" at the head of a file lets a request say
// "Produce put batch(a)"; a text with %1 and %2 takes the words that follow.
//
//	$t            a name: the first use makes a fresh one; also what "let" has captured
//	$t.id         the id of topic $t; where a request takes names in old versions and ids in new
//	              ones, Topic: $t fills in both
//	$n+1          a captured number and one more
//	now, now-5000 the time in milliseconds
//	batch(a, b, pid: $p, epoch: 0, seq: 5, ...)   a record batch, see batchOf
//	repeat(x, 250), zeros(10), hex(00ff)          text and bytes
//
// Other steps:
//
//	> topic $t partitions=2 name=value...   create a topic and wait until it can be used
//	> wait $t | gone $t                     wait until it can be used, or is not there
//	> state $g Stable                       wait until the group is in the state
//	> produce $t n                          append n batches of one record each, at partition 0
//	> member $m of $g                       a stable member on a connection of its own, @m
//	> let $x = Path.0.Field                 capture a value of the answer before
//	> @a API ...                            on connection a instead of the script's first
//	> client $c                             the client id of connections that are made later
//	> catchup                               wait for a broker that lags behind its own answers
//	> send API ... | receive | idle         write only; read; report whether an answer is there
//	> API v7 ...                            a version of its own, instead of the script's
//	> send API joined=1 ...                 in one write with the next request
//	> API hide=Field ...                    without a field of the answer
//	> API cut=3 ... | API pad=2 ...         with bytes cut from, or zeros added to, the end of the frame
//	> frame 0063 0000 ...                   a frame from hexadecimal digits, its length put in front
//	> bytes 7fffffff ...                    bytes as they are
package differential
