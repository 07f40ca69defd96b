package metrics

// storage shows the logs, their directories and the page cache.
func (c *catalogue) storage(src *Sources) {
	logs := c.gauge("log_partitions", "Logs in the log directories, internal ones included.")
	loaded := c.gauge("log_loaded_partitions", "Logs that have been used since the start; the others have not been read yet.")
	segments := c.gauge("log_segments", "Segments of the loaded logs.")
	files := c.gauge("log_open_files", "Open segment and index files.")

	online := c.gauge("log_dir_online", "1, or 0 when the directory failed and is used no more. Kafka: OfflineLogDirectoryCount counts the latter.", "dir")
	appended := c.counter("log_appended_bytes_total", "Bytes written to logs, internal ones included.", "dir")
	rounds := c.timing("log_commit_duration_seconds", "Time of a commit round, in which everything appended since the last one is synced together. Kafka: LogFlushRateAndTimeMs.", "dir")
	committed := c.counter("log_committed_logs_total", "Logs committed, one for each round they were in; divided by the rounds, how many share one.", "dir")
	synced := c.counter("log_synced_files_total", "Files and directories synced in commit rounds.", "dir")
	recovered := c.gauge("log_recovered_logs", "Logs recovered since the start because the stop before was not clean.", "dir")
	unrecovered := c.gauge("log_unrecovered_logs", "Logs still to be recovered, by their first use or in the background. Kafka: remainingLogsToRecover.", "dir")
	recovery := c.gauge("log_recovery_seconds", "Time until the background had gone through all of them.", "dir")

	cleanings := c.counter("log_cleanings_total", "Compactions of logs, by result: cleaned, aborted (the log changed meanwhile), failed.", "result")
	cleaning := c.gauge("log_cleanings_in_progress", "Logs being compacted.")
	uncleanable := c.gauge("log_uncleanable_logs", "Logs that are not compacted because they hold a damaged batch. Kafka: uncleanable-partitions-count.")
	cleanedBytes := c.counter("log_cleaned_bytes_total", "Bytes of compactions, by direction: read, written.", "direction")
	cleanedRecords := c.counter("log_cleaned_records_total", "Records of compactions, by what became of them: kept, dropped.", "result")
	scrubs := c.counter("log_scrub_passes_total", "Times that all records on disk were read and checked.")
	scrubbed := c.counter("log_scrubbed_bytes_total", "Bytes read for that.")
	damaged := c.counter("log_scrub_damaged_total", "Damaged batches found by that.")

	ranges := c.counter("log_cold_ranges_total", "Ranges of records to be sent, by what was found: resident (in memory), warmed (read from the disk first), stalled (sent without knowing), failed (the read failed).", "result")
	warmed := c.counter("log_warmed_bytes_total", "Bytes read from the disk before they were sent.")
	c.section(func(s *sink) {
		n := src.Logs.Counts()
		s.count(logs, int64(n.Logs))
		s.count(loaded, int64(n.Loaded))
		s.count(segments, int64(n.Segments))
		s.count(files, int64(n.OpenFiles))
		for _, d := range src.Logs.Dirs() {
			up := int64(1)
			if d.Err != nil {
				up = 0
			}
			s.count(online, up, d.Path)
			s.count(appended, d.AppendedBytes, d.Path)
			s.timing(rounds, &d.Commits.Took, d.Path)
			s.count(committed, int64(d.Commits.Logs), d.Path)
			s.count(synced, int64(d.Commits.Files), d.Path)
			s.count(recovered, int64(d.RecoveredLogs), d.Path)
			s.count(unrecovered, int64(d.UnrecoveredLogs), d.Path)
			s.put(recovery, d.RecoveryTime.Seconds(), d.Path)
		}
		k := src.Logs.CleanerStats()
		s.count(cleanings, int64(k.Cleanings), "cleaned")
		s.count(cleanings, int64(k.Aborted), "aborted")
		s.count(cleanings, int64(k.Failed), "failed")
		s.count(cleaning, int64(k.InProgress))
		s.count(uncleanable, int64(k.Uncleanable))
		s.count(cleanedBytes, int64(k.BytesRead), "read")
		s.count(cleanedBytes, int64(k.BytesWritten), "written")
		s.count(cleanedRecords, int64(k.RecordsKept), "kept")
		s.count(cleanedRecords, int64(k.RecordsRead-min(k.RecordsKept, k.RecordsRead)), "dropped")
		b := src.Logs.ScrubStats()
		s.count(scrubs, int64(b.Passes))
		s.count(scrubbed, int64(b.Bytes))
		s.count(damaged, int64(b.Damaged))
		if src.Warmer == nil {
			return
		}
		w := src.Warmer.Stats()
		s.count(ranges, int64(w.Resident), "resident")
		s.count(ranges, int64(w.Warmed), "warmed")
		s.count(ranges, int64(w.Stalled), "stalled")
		s.count(ranges, int64(w.Errors), "failed")
		s.count(warmed, int64(w.WarmedBytes))
	})
}
