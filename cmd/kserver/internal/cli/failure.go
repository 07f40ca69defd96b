package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The exit codes of the commands; see the package comment.
const (
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnreachable = 3
	ExitNotFound    = 4
	ExitUnsupported = 5
	ExitInterrupted = 130
)

// Failure is an error of a command: one sentence for the user and the exit code that goes with it.
type Failure struct {
	Code    int
	message string
	cause   error
}

func (f *Failure) Error() string { return f.message }
func (f *Failure) Unwrap() error { return f.cause }

// failf makes a Failure. An error among the arguments given with %w is its cause.
func failf(code int, format string, args ...any) *Failure {
	err := fmt.Errorf(format, args...)
	return &Failure{Code: code, message: err.Error(), cause: errors.Unwrap(err)}
}

func usagef(format string, args ...any) *Failure { return failf(ExitUsage, format, args...) }

// brokerError is what a broker answered instead of doing what was asked: its error code, and its own words if it
// sent any. It returns nil for code 0. subject names what the answer is about, such as "topic orders".
func brokerError(subject string, code int16, message *string) error {
	return answerError(subject, kerr.ErrorForCode(code), deref(message))
}

// answerError is brokerError for an error of the client library.
func answerError(subject string, err error, message string) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*kerr.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", subject, err)
	}
	if message == "" || message == e.Message {
		message = e.Description
	}
	return &Failure{Code: exitCode(e), cause: e, message: fmt.Sprintf("%s: %s (%s)", subject, strings.TrimSuffix(message, "."), e.Message)}
}

// exitCode is the exit code for an error code of Kafka.
func exitCode(e *kerr.Error) int {
	switch e {
	case kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.GroupIDNotFound, kerr.ResourceNotFound:
		return ExitNotFound
	case kerr.UnsupportedVersion, kerr.UnsupportedForMessageFormat:
		return ExitUnsupported
	case kerr.RequestTimedOut:
		return ExitUnreachable
	}
	return ExitFailed
}

// explain turns whatever ended a command into a Failure, or nil.
func (s *session) explain(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Failure](err); ok {
		return err
	}
	if errors.Is(s.signals.Err(), context.Canceled) {
		return failf(ExitInterrupted, "interrupted")
	}
	if auth, ok := errors.AsType[*kadm.AuthError](err); ok {
		err = auth.Err
	}
	if shards, ok := errors.AsType[*kadm.ShardErrors](err); ok && len(shards.Errs) > 0 {
		return s.explain(shards.Errs[0].Err)
	}
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		return &Failure{Code: exitCode(e), cause: err, message: fmt.Sprintf("the broker answered %s: %s", e.Message, strings.TrimSuffix(e.Description, "."))}
	}
	if _, eof := errors.AsType[*kgo.ErrFirstReadEOF](err); eof {
		return failf(ExitUnreachable, "%s closed the connection at once: %s", s.conn.where(), s.conn.closedHint())
	}
	if errors.Is(err, context.DeadlineExceeded) {
		if last := s.watch.trouble(); last != "" {
			return failf(ExitUnreachable, "no answer within %s; the last trouble was: %s", s.conn.timeout, last)
		}
		return failf(ExitUnreachable, "%s did not answer within %s (--timeout)", s.conn.where(), s.conn.timeout)
	}
	if _, ok := errors.AsType[*net.OpError](err); ok || errors.Is(err, io.EOF) {
		return failf(ExitUnreachable, "lost the connection: %s", networkReason(err))
	}
	return err
}

// networkReason strips a network error down to address and cause.
func networkReason(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return dns.Name + ": no such host"
		}
		return dns.Name + ": " + dns.Err
	}
	op, ok := errors.AsType[*net.OpError](err)
	switch {
	case !ok && errors.Is(err, io.EOF):
		return "the broker closed it"
	case !ok:
		return err.Error()
	}
	reason := op.Err.Error()
	if op.Timeout() {
		reason = "no answer"
	}
	if inner := errors.Unwrap(op.Err); inner != nil {
		reason = inner.Error()
	}
	if op.Addr == nil {
		return reason
	}
	return op.Addr.String() + ": " + reason
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// tally collects the failures of a command that does several things.
type tally struct{ errs []error }

// add keeps err, if there is one, and reports whether there was none.
func (t *tally) add(err error) bool {
	if err != nil {
		t.errs = append(t.errs, err)
	}
	return err == nil
}

// err has the exit code of the first failure and a line for each.
func (t *tally) err() error {
	if len(t.errs) < 2 {
		return errors.Join(t.errs...)
	}
	all := &Failure{Code: ExitFailed, cause: t.errs[0]}
	if first, ok := errors.AsType[*Failure](t.errs[0]); ok {
		all.Code = first.Code
	}
	lines := make([]string, len(t.errs))
	for i, err := range t.errs {
		lines[i] = err.Error()
	}
	all.message = strings.Join(lines, "\nkserver: ")
	return all
}
