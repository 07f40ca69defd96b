package limits

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	l, err := Measure(t.Context(), dir, 5*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if l.SyncAppends <= 0 || l.SyncOverwrites <= 0 || l.SyncedBytes <= 0 || l.SendfileBytes <= 0 || l.CopyBytes <= 0 || l.RoundTrip <= 0 {
		t.Errorf("limits %+v", l)
	}
	if len(l.SendfileAnswers) != len(answerKinds) {
		t.Errorf("%d kinds of answers, want %d", len(l.SendfileAnswers), len(answerKinds))
	}
	for _, a := range l.SendfileAnswers {
		if a.BytesPerSecond <= 0 || a.CPUPerGB <= 0 || math.IsInf(a.CPUPerGB, 0) {
			t.Errorf("answers %+v", a)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestMeasureErrors(t *testing.T) {
	if _, err := Measure(t.Context(), filepath.Join(t.TempDir(), "missing"), time.Millisecond); err == nil {
		t.Error("a missing directory was accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ctx, t.TempDir(), time.Millisecond); err == nil {
		t.Error("a cancelled measurement succeeded")
	}
}
