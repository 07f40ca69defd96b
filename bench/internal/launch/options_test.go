package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestInPlace(t *testing.T) {
	var o Options
	cmd := &cobra.Command{}
	o.AddFlags(cmd, DefaultCommand)
	dir := t.TempDir()
	if err := cmd.ParseFlags([]string{"--dir", dir, "--binary", "/x", "--backend", "epoll"}); err != nil {
		t.Fatal(err)
	}
	left := func() []string {
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	err := o.InPlace("try", func(p *Place) error {
		if st, err := os.Stat(p.Dir); err != nil || !st.IsDir() || p.Port == 0 || p.Metrics != 0 || p.Binary != "/x" || p.Backend != "epoll" || p.Command != DefaultCommand {
			t.Errorf("%+v, %v", p, err)
		}
		_, err := fmt.Fprintln(p.Output, "hello")
		return err
	})
	if err != nil || len(left()) != 0 {
		t.Errorf("%v, left %q", err, left())
	}
	o.Command += " --metrics {metrics}"
	err = o.InPlace("try", func(p *Place) error {
		args, err := p.Args()
		if last := args[len(args)-1]; p.Metrics == 0 || p.Metrics == p.Port || last != strconv.Itoa(p.Metrics) {
			t.Errorf("metrics port %d, port %d, last word %q", p.Metrics, p.Port, last)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	broken := errors.New("broken")
	err = o.InPlace("try", func(p *Place) error {
		fmt.Fprintln(p.Output, "last words")
		return broken
	})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "last words") || len(left()) != 1 {
		t.Errorf("%v, left %q", err, left())
	}
}
