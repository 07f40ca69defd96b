package metrics

// network shows the event loops (netio.Stats).
func (c *catalogue) network(src *Sources) {
	connections := c.gauge("network_connections", "Open connections.")
	accepted := c.counter("network_connections_accepted_total", "Connections accepted.")
	refused := c.counter("network_connections_refused_total", "Connections closed at once, by reason: ip (max.connections.per.ip), rate (connection creation rates).", "reason")
	crowded := c.counter("network_connections_crowded_out_total", "Idle connections closed to make room for those of another listener (max.connections).")
	full := c.counter("network_accepts_full_total", "Times that a listener stopped accepting because all places were taken.")
	rests := c.counter("network_accepts_rested_total", "Connections accepted after their listener had waited because of a connection creation rate.")
	acceptErrors := c.counter("network_accept_errors_total", "Failed accepts, such as for want of file descriptors.")
	closed := c.counter("network_connections_closed_total", "Connections that ended otherwise than by their client or by a stop, by reason: idle (connections.max.idle.ms), unread_answers, memory_short and slow_frame (input or output that stood still), frame_length, short_frame, malformed_request, unserved_api and so on.", "reason")

	frames := c.counter("network_requests_received_total", "Whole requests received.")
	in := c.counter("network_received_bytes_total", "Bytes received.")
	out := c.counter("network_sent_bytes_total", "Bytes sent, by path: memory (from this process, copied file bytes included), sendfile (from the page cache, never in this process).", "path")
	copied := c.counter("network_copied_file_bytes_total", "File bytes that were read into this process to be sent, by reason: small (cheaper to copy), unsendable (sendfile could not, or sendfile.enable is false).", "reason")
	blocked := c.counter("network_socket_full_total", "Sends that found no room in the socket's buffer.")
	cold := c.counter("network_cold_waits_total", "Answers that waited until their records had been read from the disk.")
	stalls := c.counter("network_send_stalls_total", "Sends of records taken for in memory that took longer than a millisecond, in which their event loop served nobody: the kernel had evicted them meanwhile (or another process had the processor).")
	stalled := c.counter("network_send_stalled_seconds_total", "Time of these sends.")

	pauses := c.counter("network_read_pauses_total", "Times that reading from a connection paused, for any reason.")
	budgetPauses := c.counter("network_budget_pauses_total", "Times that reading from a connection paused because the memory for requests was spent (queued.max.request.bytes).")
	input := c.gauge("network_request_memory_bytes", "Memory charged to requests, as they arrive and until they are answered, and to their answers.")
	budget := c.gauge("network_request_memory_limit_bytes", "Most memory for such requests (queued.max.request.bytes).")
	arena := c.gauge("network_buffer_bytes", "Memory of the event loops' input and output buffers in use.")
	exhausted := c.counter("network_buffers_exhausted_total", "Receives that found no buffer (io_uring).")

	turns := c.counter("network_loop_turns_total", "Turns of all event loops.")
	busy := c.counter("network_loop_busy_seconds_total", "Time in which an event loop did not wait for the kernel; its rate is the share of a processor.", "loop")
	longest := c.gauge("network_loop_longest_turn_seconds", "Longest time of the last one to two minutes in which an event loop did not look for new requests.", "loop")
	wakeups := c.counter("network_loop_wakeups_total", "Times that an event loop was woken by another thread.")
	enters := c.counter("network_enters_total", "Calls of io_uring_enter or epoll_wait.")
	submitted := c.counter("network_submissions_total", "Submission queue entries (io_uring).")
	completed := c.counter("network_completions_total", "Completion queue entries, or events of epoll.")
	overflow := c.counter("network_completion_overflows_total", "Completions that did not fit the completion queue (io_uring).")

	c.section(func(s *sink) {
		n := src.Network()
		s.count(connections, n.Connections)
		s.count(accepted, n.Accepted)
		s.count(refused, n.RejectedPerIP, "ip")
		s.count(refused, n.RejectedRate, "rate")
		s.count(crowded, n.CrowdedOut)
		s.count(full, n.AcceptsFull)
		s.count(rests, n.AcceptRests)
		s.count(acceptErrors, n.AcceptErrors)
		for reason, n := range src.Closed() {
			s.count(closed, n, reason)
		}

		s.count(frames, n.Frames)
		s.count(in, n.BytesReceived)
		s.count(out, n.BytesMemory, "memory")
		s.count(out, n.BytesSendfile, "sendfile")
		s.count(copied, n.BytesCopied, "small")
		s.count(copied, n.BytesUnsendable, "unsendable")
		s.count(blocked, n.SocketFull)
		s.count(cold, n.ColdWaits)
		s.count(stalls, n.SendStalls)
		s.put(stalled, n.SendStalled.Seconds())

		s.count(pauses, n.ReadPauses)
		s.count(budgetPauses, n.BudgetPauses)
		s.count(input, n.InputBytes)
		s.count(budget, src.InputBudget)
		s.count(arena, n.ArenaBytes)
		s.count(exhausted, n.BufferExhausted)

		s.count(turns, n.Turns)
		for i, d := range src.Busy() {
			s.put(busy, d.Seconds(), itoa(int32(i)))
		}
		for i, d := range src.LongestTurns() {
			s.put(longest, d.Seconds(), itoa(int32(i)))
		}
		s.count(wakeups, n.Wakeups)
		s.count(enters, n.Enters)
		s.count(submitted, n.Submitted)
		s.count(completed, n.Completed)
		s.count(overflow, n.CQOverflow)
	})
}
