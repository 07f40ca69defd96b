package comparison

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kserver/cmd/kbench/internal/limits"
	"kserver/cmd/kbench/internal/report"
	"kserver/cmd/kbench/scenario"
)

// Results is what a directory of results holds: one outcome per scenario.
type Results struct {
	Outcomes []*Outcome `json:"outcomes"`
}

// Outcome is what a comparison gave, raw.
type Outcome struct {
	Scenario string         `json:"scenario"`
	Text     string         `json:"text"` // of the scenario's file
	Started  time.Time      `json:"started"`
	Version  string         `json:"version"` // of kbench
	Machine  report.Machine `json:"machine"`
	Disk     string         `json:"disk,omitempty"` // file system of the systems' data
	Limits   *limits.Limits `json:"limits,omitempty"`
	Rounds   int            `json:"rounds"` // those that count
	Duration time.Duration  `json:"duration_ns"`
	WarmUp   time.Duration  `json:"warm_up_ns"`
	Systems  []Side         `json:"systems"`
	Runs     []Measured     `json:"runs"`
	Checks   []Check        `json:"checks,omitempty"`
}

// Side is what is kept of a System: nothing of where it ran.
type Side struct {
	Name       string   `json:"name"`
	Durability string   `json:"durability,omitempty"`
	Version    string   `json:"version,omitempty"`
	Settings   []string `json:"settings,omitempty"`
}

// Measured is one run of one round.
type Measured struct {
	System string          `json:"system"`
	Round  int             `json:"round"` // from 1
	Run    string          `json:"run"`
	Result json.RawMessage `json:"result"`
}

// Check is the verdict about a system's records.
type Check struct {
	System  string `json:"system"`
	Run     string `json:"run"` // of the scenario, or setup
	OK      bool   `json:"ok"`
	Records int64  `json:"records"` // acknowledged and read back
	Fault   string `json:"fault,omitempty"`
}

// ParsedScenario returns the scenario as it was when the outcome came about.
func (o *Outcome) ParsedScenario() (*scenario.Scenario, error) {
	return scenario.Parse(o.Scenario, o.Text)
}

// ReadResults reads a file that Write wrote; a file that does not exist holds nothing.
func ReadResults(file string) (*Results, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return new(Results), nil
	}
	if err != nil {
		return nil, err
	}
	r := new(Results)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// Put adds an outcome, in the order of the scenarios' names; one of the same scenario is replaced.
func (r *Results) Put(o *Outcome) {
	i, found := slices.BinarySearchFunc(r.Outcomes, o.Scenario, func(x *Outcome, name string) int { return strings.Compare(x.Scenario, name) })
	if found {
		r.Outcomes[i] = o
		return
	}
	r.Outcomes = slices.Insert(r.Outcomes, i, o)
}

// Write writes the file as a whole or not at all, an outcome a line.
func (r *Results) Write(file string) error {
	var b bytes.Buffer
	b.WriteString("{\"outcomes\":[\n")
	for i, o := range r.Outcomes {
		line, err := json.Marshal(o)
		if err != nil {
			return fmt.Errorf("encode scenario %s: %w", o.Scenario, err)
		}
		if i > 0 {
			b.WriteString(",\n")
		}
		b.Write(line)
	}
	b.WriteString("\n]}\n")
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, b.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

// The files of a directory of results.
const (
	ResultsFile = "results.json"
	pageFile    = "report.html"
	tableFile   = "table.md"
	summaryFile = "summary.md"
)

// WriteReports writes the page, the table and the summary into dir.
func (r *Results) WriteReports(dir string) error {
	var page, table, summary bytes.Buffer
	if err := errors.Join(r.WritePage(&page), r.WriteMarkdown(&table), r.WriteSummary(&summary)); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, summaryFile), summary.Bytes(), 0o644),
		os.WriteFile(filepath.Join(dir, pageFile), page.Bytes(), 0o644),
		os.WriteFile(filepath.Join(dir, tableFile), table.Bytes(), 0o644))
}

// dropped are the fields of a result that say nothing about the system: where kbench was, and what the scenario and
// the outcome say already.
var dropped = []string{"args", "settings", "machine", "labels", "limits", "of_limits", "version", "integrity", "command"}

// slim leaves out of a result what is said elsewhere.
func slim(result json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(result, &fields); err != nil {
		return nil, err
	}
	for _, name := range dropped {
		delete(fields, name)
	}
	return json.Marshal(fields)
}
