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
	recovered := c.gauge("log_recovered_logs", "Logs recovered at the start because the stop before was not clean.", "dir")
	recovery := c.gauge("log_recovery_seconds", "Time that took.", "dir")

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
			s.put(recovery, d.RecoveryTime.Seconds(), d.Path)
		}
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
