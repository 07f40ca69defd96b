package comparison

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// System is one side of a comparison.
type System struct {
	Name string `json:"name"`
	// Durability says what an acknowledgement promises.
	Durability string `json:"durability,omitempty"`
	Version    string `json:"version,omitempty"`
	// Settings are those that differ from the defaults, for the reader.
	Settings []string `json:"settings,omitempty"`

	Address string `json:"address,omitempty"` // host:port of a Kafka endpoint
	PID     int    `json:"pid,omitempty"`     // of the broker, 0 for unknown: then its CPU and memory are not reported
	Dir     string `json:"dir,omitempty"`     // the broker's data, empty for unknown: then a scenario that evicts is refused
	// Args are added to every command of kbench on this system.
	Args []string `json:"args,omitempty"`
	// Prime is the duration of the runs of the round that does not count, for systems that need longer to warm up than
	// others; 0 leaves it to the options.
	Prime time.Duration `json:"prime_ns,omitempty"`
	// NoVerify says that the system cannot be checked, because what it took cannot be read back from it.
	NoVerify bool `json:"no_verify,omitempty"`
	// Programs are what to run, by a command's name, in place of kbench: a program and its arguments, to which the
	// scenario's and --json FILE are added. {warm-up} and {duration} are replaced.
	Programs map[string][]string `json:"programs,omitempty"`
}

// ErrSystem is returned for systems that cannot be compared.
var ErrSystem = errors.New("wrong system")

// ParseSystem reads NAME=ADDRESS[,PID[,DIR]].
func ParseSystem(text string) (System, error) {
	name, rest, _ := strings.Cut(text, "=")
	parts := strings.SplitN(rest, ",", 3)
	s := System{Name: name, Address: parts[0]}
	if len(parts) > 1 {
		var err error
		if s.PID, err = strconv.Atoi(parts[1]); err != nil {
			return s, fmt.Errorf("%w %q: the process id is no number", ErrSystem, text)
		}
	}
	if len(parts) > 2 {
		s.Dir = parts[2]
	}
	return s, s.validate()
}

// ReadSystems reads a JSON file with a list of systems.
func ReadSystems(file string) ([]System, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []System
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for i := range list {
		if err := list[i].validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return list, nil
}

func (s *System) validate() error {
	if s.Name == "" || strings.ContainsAny(s.Name, "/@ ") {
		return fmt.Errorf("%w: %q is no name", ErrSystem, s.Name)
	}
	if s.Address == "" && len(s.Programs) == 0 {
		return fmt.Errorf("%w %s: neither address nor program", ErrSystem, s.Name)
	}
	if s.Address != "" {
		if _, _, err := net.SplitHostPort(s.Address); err != nil {
			return fmt.Errorf("%w %s: %w", ErrSystem, s.Name, err)
		}
	}
	if s.Prime < 0 {
		return fmt.Errorf("%w %s: %v to warm up", ErrSystem, s.Name, s.Prime)
	}
	if s.PID < 0 {
		return fmt.Errorf("%w %s: process id %d", ErrSystem, s.Name, s.PID)
	}
	return nil
}

// checkNames refuses two systems of one name.
func checkNames(systems []System) error {
	for i, s := range systems {
		if slices.ContainsFunc(systems[:i], func(o System) bool { return o.Name == s.Name }) {
			return fmt.Errorf("%w: two are called %s", ErrSystem, s.Name)
		}
	}
	return nil
}
