package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// logTailBytes of the broker's log are shown after a failure.
const logTailBytes = 4 << 10

// Options are what the programs that start a broker have in common on their command lines.
type Options struct {
	Spec
	BaseDir string
	Keep    bool
}

// AddFlags adds --binary, --cmd, --backend, --port, --dir and --keep to cmd. command is the default template.
func (o *Options) AddFlags(cmd *cobra.Command, command string) {
	f := cmd.Flags()
	f.StringVar(&o.Binary, "binary", "./kserver", "the broker's executable")
	f.StringVar(&o.Command, "cmd", command, "command line; {binary}, {dir}, {port}, {metrics} (a free port) and {backend} are replaced")
	f.StringVar(&o.Backend, "backend", "auto", "replaces {backend}")
	f.IntVar(&o.Port, "port", 0, "port of the broker, 0 for a free one")
	f.StringVar(&o.BaseDir, "dir", "", "directory for the broker's directory (default: the system's for temporary files)")
	f.BoolVar(&o.Keep, "keep", false, "keep the broker's directory; after a failure it is kept anyway")
}

// Place is where one broker lives.
type Place struct {
	Spec        // complete: directory, ports and output are set
	Log  string // name of the file both output streams go to
}

// InPlace makes a directory for a broker, named after the program, with its data directory and its log, finds it a
// port, and one for its metrics if the command line has room for it, and calls f. Afterwards the directory is removed, unless it is to be kept or f failed; then the error says
// where it is and what the broker said last.
func (o *Options) InPlace(program string, f func(*Place) error) (err error) {
	base, err := os.MkdirTemp(o.BaseDir, program+"-*")
	if err != nil {
		return err
	}
	p := &Place{Spec: o.Spec, Log: filepath.Join(base, "broker.log")}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\nkept: %s\nthe broker's last words:\n%s", err, base, Tail(p.Log, logTailBytes))
			return
		}
		if !o.Keep {
			err = os.RemoveAll(base)
		}
	}()
	logFile, err := os.Create(p.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logFile.Close()) }()
	p.Dir, p.Output = filepath.Join(base, "data"), logFile
	if err := os.Mkdir(p.Dir, 0o755); err != nil {
		return err
	}
	if p.Port == 0 {
		if p.Port, err = FreePort(); err != nil {
			return err
		}
	}
	for strings.Contains(p.Command, metricsPlaceholder) && (p.Metrics == 0 || p.Metrics == p.Port) {
		if p.Metrics, err = FreePort(); err != nil {
			return err
		}
	}
	return f(p)
}
