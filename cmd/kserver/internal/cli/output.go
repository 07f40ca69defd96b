package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// The values of --output.
const (
	outputTable = "table"
	outputText  = "text"
	outputJSON  = "json"
)

// checkOutput checks --output of a command that prints tables.
func (s *session) checkOutput() error {
	if o := s.conn.output; o != outputTable && o != outputJSON {
		return usagef("--output %s: give table or json", o)
	}
	return nil
}

// show prints v as JSON, or as human prints it.
func (s *session) show(v any, human func(w io.Writer) error) error {
	out := s.cmd.OutOrStdout()
	if s.conn.output == outputJSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	return human(out)
}

// note tells something on standard error.
func (s *session) note(format string, args ...any) {
	fmt.Fprintf(s.cmd.ErrOrStderr(), "kserver: "+format+"\n", args...)
}

// Table prints rows below headings, in columns of equal width.
func Table(w io.Writer, headings string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(tw, strings.Join(strings.Fields(headings), "\t")); err != nil {
		return err
	}
	for _, row := range rows {
		for i, cell := range row {
			if cell == "" {
				row[i] = "-"
			}
		}
		if _, err := fmt.Fprintln(tw, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// ids prints node or partition numbers as 1,2,3.
func ids(list []int32) string {
	text := make([]string, len(list))
	for i, id := range list {
		text[i] = fmt.Sprint(id)
	}
	return strings.Join(text, ",")
}

// count prints a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// orEmpty keeps JSON lists lists: [] instead of null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// number prints a number that may be unknown, which a table shows as a dash.
func number(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}
