package engine

// Counts are how many logs and segments there are.
type Counts struct {
	Logs int
	// Loaded logs have been used since the start; only their segments are known.
	Loaded, Segments int
	OpenFiles        int
}

// Counts counts what the manager holds now. It takes each log's lock for a moment, and waits for no disk.
func (m *LogManager) Counts() Counts {
	logs := m.Logs()
	c := Counts{Logs: len(logs), OpenFiles: m.OpenFiles()}
	for _, l := range logs {
		if l.loaded.Load() {
			c.Loaded++
			c.Segments += len(l.segmentList())
		}
	}
	return c
}
