//go:build plantedbugs

package engine

import "sync/atomic"

// plantedNow is the bug that is planted at the moment.
var plantedNow atomic.Int32

func planted(b plantedBug) bool { return plantedBug(plantedNow.Load()) == b }
