//go:build race

package protocol

// raceEnabled says that the race detector is on, under which code allocates more.
const raceEnabled = true
