package differential

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kserver/interop/wire"
)

// lineWidth is where an answer is broken into several lines.
const lineWidth = 110

// unordered are the lists whose order means nothing, by the type of their elements: Kafka fills them
// from hash tables, or shuffles them.
var unordered = []string{
	"ProduceResponseTopic", "ProduceResponseTopicPartition", "ListOffsetsResponseTopic", "ListOffsetsResponseTopicPartition", "OffsetCommitResponseTopic", "OffsetCommitResponseTopicPartition",
	"OffsetForLeaderEpochResponseTopic",
	"MetadataResponseTopic", "CreateTopicsResponseTopic", "CreateTopicsResponseTopicConfig",
	"DeleteTopicsResponseTopic", "CreatePartitionsResponseTopic", "DescribeConfigsResponseResourceConfig",
	"OffsetFetchResponseTopic", "OffsetFetchResponseGroupTopic",
	"OffsetFetchResponseTopicPartition", "OffsetFetchResponseGroupTopicPartition",
	"ListGroupsResponseGroup", "DescribeGroupsResponseGroup", "DescribeGroupsResponseGroupMember", "JoinGroupResponseMember",
	"ApiVersionsResponseSupportedFeature", "DeleteRecordsResponseTopic", "DeleteRecordsResponseTopicPartition",
	"DeleteGroupsResponseGroup", "DescribeClientQuotasResponseEntry", "DescribeClientQuotasResponseEntryEntity", "DescribeClientQuotasResponseEntryValue", "AlterClientQuotasResponseEntry", "AlterClientQuotasResponseEntryEntity", "DescribeUserSCRAMCredentialsResponseResult",
	"IncrementalAlterConfigsResponseResource", "AlterConfigsResponseResource", "ApiVersionsResponseFinalizedFeature",
}

// listing are the lists that show everything there is on a broker, by the type of their elements:
// only what a case has made stays in them, and what is in error.
var listing = []string{
	"MetadataResponseTopic", "ListGroupsResponseGroup", "DescribeTopicPartitionsResponseTopic",
	"ListConfigResourcesResponseConfigResource", "ElectLeadersResponseTopic",
}

// node is a part of an answer on its way to text.
type node struct {
	text  string // of a leaf
	names []string
	kids  []node // fields when there are names, else elements
	open  byte   // '{', '[' or 0 for a leaf
}

// flat is the node on one line.
func (n *node) flat() string {
	if n.open == 0 {
		return n.text
	}
	parts := make([]string, len(n.kids))
	for i := range n.kids {
		parts[i] = n.kids[i].flat()
		if n.names != nil {
			parts[i] = n.names[i] + ": " + parts[i]
		}
	}
	return string(n.open) + strings.Join(parts, ", ") + string(n.open+2)
}

// lines is the node on as many lines as it needs.
func (n *node) lines(indent, prefix string) []string {
	if one := indent + prefix + n.flat(); n.open == 0 || len(one) <= lineWidth {
		return []string{one}
	}
	if n.open == '[' && len(n.kids) == 1 && n.kids[0].open != 0 {
		return bracket(n.kids[0].lines(indent, prefix+"["), "]")
	}
	return bracket(append([]string{indent + prefix + string(n.open)}, n.inner(indent+"  ")...), "\n"+indent+string(n.open+2))
}

// bracket closes what lines began.
func bracket(lines []string, end string) []string {
	if rest, ok := strings.CutPrefix(end, "\n"); ok {
		return append(lines, rest)
	}
	lines[len(lines)-1] += end
	return lines
}

// inner is what stands between a node's braces: fields share a line while there is room for all that
// are short, elements have one each.
func (n *node) inner(indent string) (out []string) {
	open := false // the last line takes more
	for i := range n.kids {
		name := ""
		if n.names != nil {
			name = n.names[i] + ": "
		}
		kid := n.kids[i].lines(indent, name)
		short := n.names != nil && len(kid) == 1
		if text := strings.TrimSpace(kid[0]); short && open && len(out[len(out)-1])+len(text)+2 <= lineWidth {
			out[len(out)-1] += ", " + text
			continue
		}
		out = append(out, kid...)
		open = short
	}
	return out
}

// renderer turns answers into text that is the same for the same answer.
type renderer struct {
	names *names
	env   environment
	// omit are fields to leave out, as Type.Field; omitted are those of them an answer had.
	omit    []string
	omitted []string
}

// response renders a whole answer.
func (r *renderer) response(resp kmsg.Response) []string {
	n := r.structure(reflect.ValueOf(resp).Elem())
	if len(n.kids) == 0 {
		return []string{"{}"}
	}
	if one := n.flat(); len(one) <= lineWidth {
		return []string{one[1 : len(one)-1]}
	}
	return n.inner("")
}

// structure renders the fields that are not at their default.
func (r *renderer) structure(v reflect.Value) node {
	n := node{open: '{', names: []string{}}
	fresh := reflect.New(v.Type())
	if d, ok := fresh.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "Version" || name == "ThrottleMillis" || name == "UnknownTags" {
			continue
		}
		f, def := v.Field(i), fresh.Elem().Field(i)
		if reflect.DeepEqual(f.Interface(), def.Interface()) {
			continue
		}
		if field := v.Type().Name() + "." + name; slices.Contains(r.omit, field) {
			r.omitted = append(r.omitted, field)
			continue
		}
		if name == "TopicID" && r.knownTopic(v, f) {
			if topic := v.FieldByName("Topic"); topic.IsZero() {
				n.names = append(n.names, "Topic")
				n.kids = append(n.kids, node{text: r.names.hide(r.env.topicNames[f.Interface().([16]byte)])})
			}
			continue
		}
		n.names = append(n.names, name)
		n.kids = append(n.kids, r.field(name, f))
	}
	return n
}

// knownTopic reports whether the id of a topic says no more than its name.
func (r *renderer) knownTopic(parent, id reflect.Value) bool {
	name, ok := r.env.topicNames[id.Interface().([16]byte)]
	if !ok {
		return false
	}
	switch topic := parent.FieldByName("Topic"); {
	case !topic.IsValid():
		return false
	case topic.Kind() == reflect.String:
		return topic.String() == "" || topic.String() == name
	default:
		return topic.IsNil() || topic.Elem().String() == name
	}
}

// field renders one value; its name says what it means.
func (r *renderer) field(name string, v reflect.Value) node {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return node{text: "null"}
		}
		return r.field(name, v.Elem())
	case reflect.Struct:
		return r.structure(v)
	case reflect.Slice:
		if v.IsNil() {
			return node{text: "null"}
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return r.bytes(name, v.Bytes())
		}
		return r.list(name, v)
	case reflect.Array:
		id := v.Interface().([16]byte)
		return node{text: r.env.id(id)}
	case reflect.String:
		return node{text: r.text(v.String())}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return node{text: r.number(name, v.Int())}
	default:
		return node{text: fmt.Sprint(v.Interface())}
	}
}

// list renders a list: sorted when its order means nothing.
func (r *renderer) list(name string, v reflect.Value) node {
	n := node{open: '['}
	element := v.Type().Elem().Name()
	for i := range v.Len() {
		kid := r.field(name, v.Index(i))
		if slices.Contains(listing, element) && !strings.Contains(kid.flat(), "$") && !strings.Contains(kid.flat(), "ErrorCode") {
			continue
		}
		n.kids = append(n.kids, kid)
	}
	if slices.Contains(unordered, element) {
		slices.SortStableFunc(n.kids, func(a, b node) int { return strings.Compare(blank(a.flat()), blank(b.flat())) })
	}
	return n
}

// bytes renders records as their batches and other bytes as text when they are.
func (r *renderer) bytes(name string, p []byte) node {
	if name == "RecordBatches" {
		return r.batches(p)
	}
	for _, c := range string(p) {
		if !unicode.IsPrint(c) || c == unicode.ReplacementChar {
			return node{text: "hex(" + r.names.hideIn(hex.EncodeToString(p), func(v string) string { return hex.EncodeToString([]byte(v)) }) + ")"}
		}
	}
	return node{text: r.text(string(p))}
}

// batches shows the headers of whole batches. A partial one at the end is left out: where a broker
// cuts is its own affair.
func (r *renderer) batches(p []byte) node {
	n := node{open: '['}
	headers, _ := wire.SplitBatches(p)
	for _, h := range headers {
		b := node{open: '{', names: []string{}}
		show := func(name string, v, def int64) {
			if v != def {
				b.names = append(b.names, name)
				b.kids = append(b.kids, node{text: r.number(name, v)})
			}
		}
		show("Base", h.BaseOffset, -1)
		show("Count", int64(h.Count), -1)
		show("LastDelta", int64(h.LastOffsetDelta), int64(h.Count)-1)
		show("Size", int64(h.Size), -1)
		show("LeaderEpoch", int64(h.PartitionLeaderEpoch), 0)
		show("Attributes", int64(h.Attributes), 0)
		show("BaseTime", h.BaseTimestamp, batchTime)
		show("MaxTime", h.MaxTimestamp, h.BaseTimestamp)
		show("ProducerID", h.ProducerID, -1)
		show("ProducerEpoch", int64(h.ProducerEpoch), -1)
		show("Sequence", int64(h.BaseSequence), -1)
		if !h.CRCValid {
			show("BadCRC", 1, 0)
		}
		n.kids = append(n.kids, b)
	}
	return n
}

// number renders an integer by what its field's name says it is.
func (r *renderer) number(name string, v int64) string {
	switch {
	case name == "ErrorCode":
		if e := kerr.TypedErrorForCode(int16(v)); e != nil && v != 0 {
			return e.Message
		}
	case name == "ProducerID" && v >= 0:
		return r.env.counted("pid", strconv.FormatInt(v, 10))
	case name == "FinalizedFeaturesEpoch" && v >= 0:
		return "<epoch>"
	case name == "SessionID" && v != 0:
		return r.env.counted("session", strconv.FormatInt(v, 10))
	case name == "Port" && v == int64(r.env.port):
		return "<port>"
	case name == "ApiKey":
		return kmsg.NameForKey(int16(v))
	case isNow(v):
		return "<now>"
	}
	return strconv.FormatInt(v, 10)
}

// text renders a text, in quotes when it is not one plain word.
func (r *renderer) text(s string) string {
	s = r.normal(s)
	plain := s != "" && s != "null" && !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) || strings.ContainsRune(` ,:[]{}()"`, c) })
	if plain || strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
