package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// The environment variables of the commands. A broker must not take them for settings.
const (
	EnvBootstrap = "KSERVER_BOOTSTRAP"
	EnvPassword  = "KSERVER_PASSWORD"
)

// IsVariable reports whether an environment variable is one of the commands'.
func IsVariable(name string) bool { return name == EnvBootstrap || name == EnvPassword }

const (
	clientID         = "kserver"
	softwareVersion  = "cli" // Kafka wants one; brokers count clients by it
	defaultBootstrap = "127.0.0.1:9092"
	defaultPort      = "9092"
	defaultTimeout   = 15 * time.Second
	leastTimeout     = 100 * time.Millisecond
	// dialTimeout and requestTimeout bound one attempt; --timeout bounds all of them together.
	dialTimeout    = 5 * time.Second
	requestTimeout = 10 * time.Second
	// metadataMinAge is how long to wait before asking again where partitions are.
	metadataMinAge = 250 * time.Millisecond
)

// connection says which cluster to talk to and how; its fields are flags.
type connection struct {
	bootstrap []string
	timeout   time.Duration
	output    string // of --output, by commands that have it

	tls                     bool
	tlsCA, tlsCert, tlsKey  string
	tlsSkipVerify           bool
	saslMechanism, saslUser string
	password                string // of the environment
}

// newConnection adds the flags of the connection to a command and all below it.
func newConnection(cmd *cobra.Command, environ []string) *connection {
	c := &connection{}
	bootstrap := defaultBootstrap
	for _, variable := range environ {
		switch name, value, _ := strings.Cut(variable, "="); {
		case name == EnvBootstrap && value != "":
			bootstrap = value
		case name == EnvPassword:
			c.password = value
		}
	}
	f := cmd.PersistentFlags()
	f.SortFlags = false
	f.StringSliceVarP(&c.bootstrap, "bootstrap-server", "b", strings.Split(bootstrap, ","), "`host:port,...` of brokers to begin with; the environment's "+EnvBootstrap)
	f.DurationVar(&c.timeout, "timeout", defaultTimeout, "give up when the cluster has not answered for this `time`")
	f.BoolVar(&c.tls, "tls", false, "connect with TLS")
	f.StringVar(&c.tlsCA, "tls-ca", "", "trust the certificates of this PEM `file` instead of the system's; means --tls")
	f.StringVar(&c.tlsCert, "tls-cert", "", "PEM `file` with the client's certificate; means --tls")
	f.StringVar(&c.tlsKey, "tls-key", "", "PEM `file` with the key of that certificate")
	f.BoolVar(&c.tlsSkipVerify, "tls-skip-verify", false, "do not check who the broker is; means --tls")
	f.StringVar(&c.saslMechanism, "sasl", "", "authenticate by `mechanism`: plain, scram-sha-256 or scram-sha-512; the password is the environment's "+EnvPassword)
	f.StringVar(&c.saslUser, "user", "", "the user `name` for --sasl")
	return c
}

// where names the brokers in messages.
func (c *connection) where() string { return strings.Join(c.bootstrap, ", ") }

// closedHint guesses why a broker closes a fresh connection.
func (c *connection) closedHint() string {
	switch {
	case c.usesTLS():
		return "is it a TLS listener of a Kafka broker?"
	case c.saslMechanism != "":
		return "does it take " + c.saslMechanism + ", and is it a TLS listener (--tls)?"
	}
	return "does it want TLS (--tls) or a user (--sasl), or is it no Kafka broker?"
}

func (c *connection) usesTLS() bool {
	return c.tls || c.tlsCA != "" || c.tlsCert != "" || c.tlsSkipVerify
}

// options are the client's options for these flags.
func (c *connection) options() ([]kgo.Opt, error) {
	var seeds []string
	for _, address := range c.bootstrap {
		seed, err := seedAddress(address)
		if err != nil {
			return nil, err
		}
		seeds = append(seeds, seed)
	}
	if c.timeout < leastTimeout {
		return nil, usagef("--timeout %s: give a time of at least %s, such as 15s", c.timeout, leastTimeout)
	}
	c.bootstrap = seeds
	opts := []kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.ClientID(clientID), kgo.SoftwareNameAndVersion(clientID, softwareVersion), kgo.DisableClientMetrics(),
		kgo.RetryTimeout(c.timeout), kgo.RequestTimeoutOverhead(max(min(c.timeout, requestTimeout), leastTimeout)), kgo.MetadataMinAge(metadataMinAge),
	}
	dialer := &net.Dialer{Timeout: min(c.timeout, dialTimeout)}
	opts = append(opts, kgo.Dialer(dialer.DialContext))
	if c.usesTLS() {
		config, err := c.tlsConfig()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.Dialer((&tls.Dialer{NetDialer: dialer, Config: config}).DialContext))
	}
	mechanism, err := c.mechanism()
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

// seedAddress completes a broker's address by the default port.
func seedAddress(address string) (string, error) {
	address = strings.TrimSpace(address)
	if rest, ok := strings.CutPrefix(address, "PLAINTEXT://"); ok {
		address = rest // as a listener is written in the configuration
	}
	host, port, err := net.SplitHostPort(address)
	if bare := strings.Trim(address, "[]"); err != nil && (!strings.Contains(bare, ":") || net.ParseIP(bare) != nil) {
		host, port, err = bare, defaultPort, nil
	}
	number, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || number == 0 || strings.ContainsAny(host, "/ ") {
		return "", usagef("--bootstrap-server %s: give it as host:port", address)
	}
	return net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port), nil
}

func (c *connection) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: c.tlsSkipVerify, MinVersion: tls.VersionTLS12}
	if c.tlsCA != "" {
		pem, err := os.ReadFile(c.tlsCA)
		if err != nil {
			return nil, usagef("--tls-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("--tls-ca %s: no certificate in PEM form in it", c.tlsCA)
		}
	}
	if c.tlsCert != "" || c.tlsKey != "" {
		pair, err := tls.LoadX509KeyPair(c.tlsCert, cmp.Or(c.tlsKey, c.tlsCert))
		if err != nil {
			return nil, usagef("--tls-cert: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (c *connection) mechanism() (sasl.Mechanism, error) {
	if c.saslMechanism == "" {
		if c.saslUser != "" {
			return nil, usagef("--user needs --sasl")
		}
		return nil, nil
	}
	if c.saslUser == "" {
		return nil, usagef("--sasl needs --user, and the password in the environment's %s", EnvPassword)
	}
	switch strings.ToLower(c.saslMechanism) {
	case "plain":
		return plain.Auth{User: c.saslUser, Pass: c.password}.AsMechanism(), nil
	case "scram-sha-256":
		return scram.Auth{User: c.saslUser, Pass: c.password}.AsSha256Mechanism(), nil
	case "scram-sha-512":
		return scram.Auth{User: c.saslUser, Pass: c.password}.AsSha512Mechanism(), nil
	}
	return nil, usagef("--sasl %s: give plain, scram-sha-256 or scram-sha-512", c.saslMechanism)
}

// session is one run of a command: its cluster, its output, and the context that a signal ends.
type session struct {
	conn *connection
	cmd  *cobra.Command
	// signals ends at SIGINT or SIGTERM.
	signals context.Context
	watch   *watcher

	cl     *kgo.Client
	adm    *kadm.Client
	served map[int16]int16 // API keys the broker serves with their highest versions; nil until asked
}

// run makes the RunE of a command that opens its clients itself.
func (c *connection) run(do func(s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		signals, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		s := &session{conn: c, cmd: cmd, signals: signals, watch: newWatcher(cmd.ErrOrStderr())}
		defer s.close()
		return s.explain(do(s, args))
	}
}

// admin makes the RunE of a command that asks and prints; ctx ends with --timeout. check looks at the command line
// before any broker is asked; it may be nil.
func (c *connection) admin(check func(args []string) error, do func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return c.run(func(s *session, args []string) error {
		if err := s.checkOutput(); err != nil {
			return err
		}
		if check != nil {
			if err := check(args); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(s.signals, c.timeout)
		defer cancel()
		if err := s.open(ctx); err != nil {
			return err
		}
		return do(ctx, s, args)
	})
}

// open makes the client and makes sure that a broker answers. A client opened before is closed.
func (s *session) open(ctx context.Context, extra ...kgo.Opt) error {
	opts, err := s.conn.options()
	if err != nil {
		return err
	}
	s.close()
	cl, err := kgo.NewClient(append(append(opts, kgo.WithHooks(s.watch)), extra...)...)
	if err != nil {
		return err
	}
	s.cl, s.adm = cl, kadm.NewClient(cl)
	s.adm.SetTimeoutMillis(int32(min(s.conn.timeout.Milliseconds(), 1<<30)))
	ping, cancel := context.WithTimeout(ctx, s.conn.timeout)
	defer cancel()
	if err := cl.Ping(ping); err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			reason := strings.TrimPrefix(networkReason(err), s.conn.where()+": ") // name a single address once
			return failf(ExitUnreachable, "no broker at %s: %s; -b host:port names another", s.conn.where(), reason)
		}
		return err
	}
	return nil
}

func (s *session) close() {
	if s.cl != nil {
		s.cl.Close()
		s.cl = nil
	}
}

// need fails when the broker does not serve an API; doing says what for.
func (s *session) need(ctx context.Context, doing string, keys ...kmsg.Key) error {
	if s.served == nil {
		resp, err := s.versions(ctx)
		if err != nil {
			return err
		}
		s.served = make(map[int16]int16, len(resp.ApiKeys))
		for _, k := range resp.ApiKeys {
			s.served[k.ApiKey] = k.MaxVersion
		}
	}
	for _, key := range keys {
		if _, ok := s.served[int16(key)]; !ok {
			return failf(ExitUnsupported, "%s is not supported by this broker: it does not serve %s", doing, key.Name())
		}
	}
	return nil
}
