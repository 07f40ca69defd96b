package protocol

import (
	"errors"
	"fmt"
	"strconv"

	"kserver/protocol/recordbatch"
)

// ErrorCode is an error as it travels in responses. The zero value is None.
type ErrorCode int16

// errorInfo is what is known about one code.
type errorInfo struct {
	name      string
	retriable bool
	message   string
}

func (c ErrorCode) info() (errorInfo, bool) {
	if i := int(c) + 1; i >= 0 && i < len(errorInfos) {
		return errorInfos[i], true
	}
	return errorInfo{}, false
}

// String returns Kafka's name of the code, such as NOT_LEADER_OR_FOLLOWER, or
// the number of a code that has none.
func (c ErrorCode) String() string {
	if info, ok := c.info(); ok {
		return info.name
	}
	return "ERROR_" + strconv.Itoa(int(c))
}

// Message returns the text a client shows for the code when the response
// carries none. It is empty for None.
func (c ErrorCode) Message() string {
	info, _ := c.info()
	return info.message
}

// Retriable reports whether the Java client sends the request again after this
// error.
func (c ErrorCode) Retriable() bool {
	info, _ := c.info()
	return info.retriable
}

// Error is an error with a code for the wire and a message for the client. An
// empty Message stands for the default of the code.
type Error struct {
	Code    ErrorCode
	Message string
}

// Error implements error.
func (e *Error) Error() string { return e.Code.String() + ": " + e.Text() }

// Text returns Message, or the default of the code.
func (e *Error) Text() string {
	if e.Message != "" {
		return e.Message
	}
	return e.Code.Message()
}

// Errorf makes an Error with a message of its own.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code an error is answered with: None for nil, the code of an
// *Error, the kind of a *recordbatch.InvalidError, both also if wrapped, and
// UnknownServerError for everything else.
func CodeOf(err error) ErrorCode {
	if err == nil {
		return None
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if e, ok := errors.AsType[*recordbatch.InvalidError](err); ok {
		return ErrorCode(e.Kind)
	}
	return UnknownServerError
}

// MessageOf returns the message for the client that belongs to CodeOf(err): nil
// for nil, and nothing but the default text for an error that is neither an
// *Error nor a *recordbatch.InvalidError, so that internals do not leak.
func MessageOf(err error) *string {
	if err == nil {
		return nil
	}
	text := UnknownServerError.Message()
	if e, ok := errors.AsType[*Error](err); ok {
		text = e.Text()
	} else if e, ok := errors.AsType[*recordbatch.InvalidError](err); ok {
		text = e.Message
	}
	return &text
}
