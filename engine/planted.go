package engine

// plantedBug is a bug that the code can be made to have with the build tag plantedbugs, to show that the tests of
// faults can fail. The default build has none of them: planted is the constant false there.
type plantedBug int32

const (
	noBug                  plantedBug = iota
	bugAckBeforeSync                  // durable is reported before the sync
	bugNoDirSync                      // a round does not sync the names of new segments
	bugSyncRetried                    // a failed sync is tried again, and its success believed
	bugIndexTrusted                   // a position from an index is used without a look at the batch there
	bugSnapshotTrusted                // the checksum of a producer snapshot is not compared
	bugRenameBeforeSync               // a checkpoint file gets its name before its contents are durable
	bugTailCutBelowDurable            // a bad batch below the recovery point is taken for a torn tail
	bugFileReused                     // after a truncation the log goes on in a file that ranges still refer to
	bugCheckpointAhead                // the recovery point covers what is not synced
	bugRecoveryNotSynced              // recovery serves what is in the page cache only
	bugPointNotLowered                // a truncation leaves the recovery point behind the new end
	bugStartNotDurable                // DeleteRecords returns before the new log start is durable
	bugOldPointsKept                  // a new topic is believed what the checkpoints say of the one before
	bugOffsetsReused                  // a log that lost its durable end goes on below it
	bugLogBegunAnew                   // a partition of an offline directory is made anew in another
	bugEpochsTrusted                  // the leader epoch file is not compared with the log
	bugSwapNotSynced                  // a compacted segment takes the place of others before it is durable
	bugChecksumIgnored                // the checksum of a checkpoint is not compared
	bugJournalFreedEarly              // the journal is freed though its segments are not durable
	bugJournalNotLeft                 // what was cut off, replaced or deleted stays in the journal
	bugJournalUnnamed                 // the names of the journal's files are not synced
	bugJournalUnchecked               // the checksums of the journal are not compared
	bugReplayNotSynced                // the journal goes before what it held is durable
	bugCount
)
