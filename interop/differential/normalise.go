package differential

import (
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What two brokers, or two runs, cannot have in common is named instead of shown:
//
//	$t                 a value of one of the case's variables
//	<uuid N>           any other UUID, alone or in a text, in order of appearance in the case
//	<id N>             any other topic id
//	<pid N>            a producer id
//	<session N>        a fetch session's id
//	<epoch>            the epoch of finalized features
//	<now>              a time, or a number in a text, within a day of now in milliseconds
//	<past>             now less the longest time there is
//	<host>, <port>     the broker's address; <client> the address of this end; <cluster> the cluster's id
//	ThrottleMillis     is left out
//
// A topic's id in an answer is shown as its name where the answer has only the id, and left out
// beside the right name.

// environment is what the answers of a run are measured against.
type environment struct {
	host, cluster string
	port          int
	topicNames    map[[16]byte]string
}

// Tokens hold the value they stand for until number numbers them.
const tokenStart, tokenEnd = "\x01", "\x02"

var (
	token     = regexp.MustCompile("\x01([a-z]+)=([^\x02]*)\x02")
	uuidText  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	clockText = regexp.MustCompile(`\b1[0-9]{12}\b`)
	beforeAll = regexp.MustCompile(`-92233[0-9]{14}`)
	localAddr = regexp.MustCompile(`/?127\.0\.0\.1(:[0-9]+)?`)
)

// counted makes a token for the n-th different value of a kind.
func (e *environment) counted(kind, value string) string {
	return tokenStart + kind + "=" + value + tokenEnd
}

// id renders the id of a topic that has no name to be shown by.
func (e *environment) id(id [16]byte) string {
	if id == [16]byte{} {
		return "zero"
	}
	return e.counted("id", base64.RawURLEncoding.EncodeToString(id[:]))
}

func isNow(v int64) bool {
	d := v - time.Now().UnixMilli()
	return -86400_000 < d && d < 86400_000
}

// normal names what is particular to a run in a text.
func (r *renderer) normal(s string) string {
	for id, name := range r.env.topicNames {
		s = strings.ReplaceAll(s, base64.RawURLEncoding.EncodeToString(id[:]), r.env.counted("id", name))
	}
	s = r.names.hide(s)
	if r.env.cluster != "" {
		s = strings.ReplaceAll(s, r.env.cluster, "<cluster>")
	}
	s = uuidText.ReplaceAllStringFunc(s, func(u string) string { return r.env.counted("uuid", u) })
	s = beforeAll.ReplaceAllString(s, "<past>")
	s = clockText.ReplaceAllStringFunc(s, func(n string) string {
		if v, err := strconv.ParseInt(n, 10, 64); err == nil && isNow(v) {
			return "<now>"
		}
		return n
	})
	for name, v := range r.names.number {
		if text := strconv.FormatInt(v, 10); len(text) >= 3 {
			s = regexp.MustCompile(`\b`+text+`\b`).ReplaceAllLiteralString(s, name)
		}
	}
	return localAddr.ReplaceAllStringFunc(s, func(a string) string {
		switch {
		case strings.HasPrefix(a, "/"):
			return "/<client>"
		case a == r.env.host || a == r.env.host+":"+strconv.Itoa(r.env.port):
			return strings.Replace(strings.Replace(a, strconv.Itoa(r.env.port), "<port>", 1), r.env.host, "<host>", 1)
		}
		return a
	})
}

// blank takes the values out of tokens, so that texts can be sorted.
func blank(s string) string { return token.ReplaceAllString(s, "<$1>") }

// numbering gives tokens their numbers, by first appearance within a run of a case.
type numbering map[string][]string

func (n numbering) numberAll(lines []string) {
	for i := range lines {
		lines[i] = n.number(lines[i])
	}
}

func (n numbering) number(s string) string {
	return token.ReplaceAllStringFunc(s, func(t string) string {
		m := token.FindStringSubmatch(t)
		kind, value := m[1], m[2]
		for i, seen := range n[kind] {
			if seen == value {
				return "<" + kind + " " + strconv.Itoa(i+1) + ">"
			}
		}
		n[kind] = append(n[kind], value)
		return "<" + kind + " " + strconv.Itoa(len(n[kind])) + ">"
	})
}
