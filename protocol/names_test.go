package protocol

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"kserver/protocol/recordbatch"
)

func TestErrorCodes(t *testing.T) {
	for i, info := range errorInfos {
		c := ErrorCode(i - 1)
		if c.String() != info.name || c != None && (c.Message() == "" || strings.TrimSpace(c.Message()) != c.Message()) {
			t.Errorf("code %d: %q, %q", c, c, c.Message())
		}
		known := kerr.TypedErrorForCode(int16(c))
		if c == None {
			continue
		}
		if known == nil || known.Code != int16(c) {
			t.Errorf("%s (%d) is unknown to kerr", c, c)
			continue
		}
		if known.Message != c.String() && c != NotLeaderOrFollower { // kerr keeps its old name
			t.Errorf("code %d is %s, kerr calls it %s", c, c, known.Message)
		}
	}
	for _, tt := range []struct {
		code      ErrorCode
		name      string
		number    int16
		retriable bool
	}{
		{UnknownServerError, "UNKNOWN_SERVER_ERROR", -1, false},
		{None, "NONE", 0, false},
		{NotLeaderOrFollower, "NOT_LEADER_OR_FOLLOWER", 6, true},
		{MessageTooLarge, "MESSAGE_TOO_LARGE", 10, false},
		{InvalidRecord, "INVALID_RECORD", 87, false},
		{UnknownTopicID, "UNKNOWN_TOPIC_ID", 100, true},
		{RebootstrapRequired, "REBOOTSTRAP_REQUIRED", 129, false},
		{ControllerIDNotRegistered, "CONTROLLER_ID_NOT_REGISTERED", 136, false},
	} {
		if tt.code.String() != tt.name || int16(tt.code) != tt.number || tt.code.Retriable() != tt.retriable {
			t.Errorf("%d %s retriable %t, want %+v", tt.code, tt.code, tt.code.Retriable(), tt)
		}
	}
	if c := ErrorCode(137); c.String() != "ERROR_137" || c.Message() != "" || c.Retriable() || ErrorCode(-2).String() != "ERROR_-2" {
		t.Errorf("unknown code: %s", c)
	}
}

func TestCodeOf(t *testing.T) {
	own := Errorf(InvalidConfig, "bad value %d", 7)
	_, batchError := recordbatch.ValidateProduce(nil, &recordbatch.ValidateOptions{ProduceVersion: 9})
	for _, tt := range []struct {
		err     error
		code    ErrorCode
		message string
	}{
		{nil, None, ""},
		{own, InvalidConfig, "bad value 7"},
		{fmt.Errorf("topic t: %w", own), InvalidConfig, "bad value 7"},
		{&Error{Code: NotController}, NotController, NotController.Message()},
		{batchError, InvalidRecord, "Produce requests with version 9 must have at least one record batch per partition"},
		{fmt.Errorf("secret path: %w", io.EOF), UnknownServerError, UnknownServerError.Message()},
	} {
		if got := CodeOf(tt.err); got != tt.code {
			t.Errorf("CodeOf(%v) = %s", tt.err, got)
		}
		message := MessageOf(tt.err)
		if (message == nil) != (tt.err == nil) || message != nil && *message != tt.message {
			t.Errorf("MessageOf(%v) = %v, want %q", tt.err, message, tt.message)
		}
	}
	if !errors.As(fmt.Errorf("x: %w", own), new(*Error)) || own.Error() != "INVALID_CONFIG: bad value 7" {
		t.Errorf("error text %q", own)
	}
}

func TestKindsAreErrorCodes(t *testing.T) {
	for kind, code := range map[recordbatch.Kind]ErrorCode{
		recordbatch.KindCorruptMessage: CorruptMessage, recordbatch.KindMessageTooLarge: MessageTooLarge,
		recordbatch.KindRecordListTooLarge: RecordListTooLarge, recordbatch.KindInvalidTimestamp: InvalidTimestamp,
		recordbatch.KindUnsupportedCompressionType: UnsupportedCompressionType, recordbatch.KindInvalidRecord: InvalidRecord,
	} {
		if ErrorCode(kind) != code {
			t.Errorf("kind %d is not %s", kind, code)
		}
	}
}

func TestValidateTopicName(t *testing.T) {
	long := strings.Repeat("a", MaxTopicNameLength)
	for name, message := range map[string]string{
		"orders":       "",
		"A.b_c-9":      "",
		"__internal":   "",
		"...":          "",
		long:           "",
		"":             "Topic name is invalid: the empty string is not allowed",
		".":            "Topic name is invalid: '.' is not allowed",
		"..":           "Topic name is invalid: '..' is not allowed",
		long + "a":     "Topic name is invalid: the length of '" + long + "a' is longer than the max allowed length 249",
		"a b":          "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
		"grüße":        "Topic name is invalid: 'grüße' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
		"a/../b":       "Topic name is invalid: 'a/../b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
		"nul\x00":      "Topic name is invalid: 'nul\x00' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
		"new\nline":    "Topic name is invalid: 'new\nline' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
		"back\\slash":  "Topic name is invalid: 'back\\slash' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
		"colon:inside": "Topic name is invalid: 'colon:inside' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
	} {
		err := ValidateTopicName(name)
		if message == "" {
			if err != nil {
				t.Errorf("%q: %v", name, err)
			}
			continue
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != InvalidTopicException || e.Message != message {
			t.Errorf("%q: %v, want %q", name, err, message)
		}
	}
}

func TestTopicCollisions(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"a.b", "a_b", true}, {"a.b", "a.b", true}, {"a.b.c", "a_b.c", true}, {"a.b", "a-b", false}, {"a.b", "a.bc", false}, {"", "", true},
	} {
		if got := TopicNamesCollide(tt.a, tt.b); got != tt.want || (CollisionKey(tt.a) == CollisionKey(tt.b)) != tt.want {
			t.Errorf("%q and %q: %t", tt.a, tt.b, got)
		}
	}
	if !IsInternalTopic("__consumer_offsets") || !IsInternalTopic(TransactionStateTopic) || IsInternalTopic("__mine") || IsInternalTopic(ClusterMetadataTopic) {
		t.Error("IsInternalTopic")
	}
}

// javaHashes were printed by String.hashCode() of a JVM.
var javaHashes = map[string]int32{
	"": 0, "a": 97, "group": 98629247, "console-consumer-1": 35782224, "polygenelubricants": -2147483648,
	"grüße": 98768023, "😀 smile": -1559691765, "日本語": 25921943,
	"a-very-long-group-id-that-overflows-the-hash-several-times-over": -1450518261,
}

func TestJavaHash(t *testing.T) {
	for s, want := range javaHashes {
		if got := JavaHash(s); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
	for _, tt := range []struct {
		id   string
		n    int32
		want int32
	}{
		{"polygenelubricants", 50, 0}, // hash is the smallest integer
		{"", 50, 0},
		{"a", 50, 47},
		{"console-consumer-1", 50, javaAbs(javaHashes["console-consumer-1"]) % 50},
	} {
		if got := CoordinatorPartition(tt.id, tt.n); got != tt.want {
			t.Errorf("CoordinatorPartition(%q, %d) = %d, want %d", tt.id, tt.n, got, tt.want)
		}
	}
}

func javaAbs(h int32) int32 {
	if h < 0 {
		return -h
	}
	return h
}
