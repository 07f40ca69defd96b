package configs

// Why a key is accepted without effect, or refused. The text continues "KEY=VALUE has no effect: ..." and
// "KEY=VALUE is not served: ...".
const (
	noteOneNode     = "this version runs as a single node, so there is no other broker or controller to talk to"
	noteLoops       = "work runs to completion on the event loops, there is no such queue, pool or buffer to size"
	notePurgatory   = "a request that no longer waits leaves the purgatory at once, there is nothing to sweep"
	noteCommit      = "records are written at once and made durable by group commit, nothing waits to be gathered"
	noteClassicOnly = "this version serves classic groups"
	noteShare       = "this version does not serve share groups"
	noteStreams     = "this version does not serve streams groups"
	noteTxn         = "this version does not serve transactions"
	notePreallocate = "segment files grow as they are written"
	noteCheckpoint  = "this checkpoint is written together with the recovery points, every log.flush.offset.checkpoint.interval.ms"
	noteOffsetCodec = "records of __consumer_offsets are written uncompressed, and read in any codec"
	noteQuota       = "a quota allows ten seconds' worth at once, one on changes of the metadata eleven, as with Kafka's defaults"
	noteMetrics     = "metrics are not published through Kafka's Java reporters but at metrics.listeners"
	noteMetadataLog = "the metadata log is small, is replayed whole at start and is never cut"
	noteMetadataDir = "the metadata log lives in the first directory of log.dirs; delete the key or name that directory first in log.dirs"
	noteStable      = "only stable versions of Kafka's APIs and features exist here; delete the key"
	noteTLS         = "this version serves PLAINTEXT listeners only and refuses to open any other, so no TLS setting is used"
	noteSASL        = "this version serves PLAINTEXT listeners only and refuses to open any other, so no SASL setting is used"
	noteJava        = "it configures Java code, and kserver is not a Java program"
	notePrincipal   = "every client of a PLAINTEXT listener is User:ANONYMOUS"
	notePlugin      = "it names a Java class, and kserver cannot load one; delete the key"
	noteACL         = "this version does not check permissions, so starting without the authorizer you ask for would open the data to everyone; delete the key if that is what you want"
	noteRemote      = "this version has no tiered storage"
	noteRemoteOn    = "this version has no tiered storage; delete the key"
	noteRemoved     = "Kafka 4 no longer knows this key"
)
