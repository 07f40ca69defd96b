package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var write = flag.Bool("write", false, "bring the README's table up to date with the results it names")

// summaryBlock is the README's table: between a line that names the directory of the results and one that ends it.
var summaryBlock = regexp.MustCompile(`(?s)(<!-- summary of (bench/results/[0-9A-Za-z._-]+) -->\n)(.*?)(<!-- end of summary -->\n)`)

// The README's table is the summary of the results that it names.
func TestReadmeShowsTheResults(t *testing.T) {
	const readme = "../../README.md"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	m := summaryBlock.FindSubmatch(text)
	if m == nil {
		t.Fatal("the README has no table of results")
	}
	summary, err := os.ReadFile(filepath.Join("../..", string(m[2]), "summary.md"))
	if err != nil {
		t.Fatal(err)
	}
	if *write {
		updated := summaryBlock.ReplaceAll(text, fmt.Appendf(nil, "${1}%s${4}", summary))
		if err := os.WriteFile(readme, updated, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(summary), string(m[3])); diff != "" {
		t.Errorf("go test ./bench/suite -write brings it up to date:\n%s", diff)
	}
}
