package record

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Input says how a Reader finds records in its bytes.
type Input struct {
	// Name names the stream in errors, such as "standard input".
	Name string
	// JSON takes each line as a JSON object, see ParseJSON; KeySeparator and Null then have no effect.
	JSON bool
	// Whole takes the whole stream as one record's value.
	Whole bool
	// Delimiter ends each record but the last, which may lack it. Default "\n".
	Delimiter []byte
	// KeySeparator parts key and value where it stands first. None: no keys.
	KeySeparator []byte
	// Null, if there is one, is the text of a key or value that stands for null.
	Null *string
	// MaxBytes bounds the bytes of one record's text. It must be positive.
	MaxBytes int
}

// Reader takes records out of a stream.
type Reader struct {
	in      Input
	src     io.Reader
	lines   *bufio.Scanner
	records int
	done    bool
}

// NewReader reads records from src. It holds no more of it than one record and a buffer.
func NewReader(src io.Reader, in Input) *Reader {
	if len(in.Delimiter) == 0 {
		in.Delimiter = []byte("\n")
	}
	r := &Reader{in: in, src: src}
	if !in.Whole {
		r.lines = bufio.NewScanner(src)
		limit := in.MaxBytes + len(in.Delimiter) + 1 // the scanner wants to see one more byte than it returns
		r.lines.Buffer(make([]byte, 0, min(64<<10, limit)), limit)
		r.lines.Split(splitAt(in.Delimiter))
	}
	return r
}

// splitAt is a bufio.SplitFunc for records that end with delimiter.
func splitAt(delimiter []byte) bufio.SplitFunc {
	return func(data []byte, atEOF bool) (int, []byte, error) {
		if i := bytes.Index(data, delimiter); i >= 0 {
			return i + len(delimiter), data[:i], nil
		}
		if atEOF && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	}
}

// Next returns the next record, which is the caller's, and io.EOF after the last. Other errors name the stream and
// the number of the record, counted from 1.
func (r *Reader) Next() (*kgo.Record, error) {
	if r.in.Whole {
		return r.whole()
	}
	for {
		if !r.lines.Scan() {
			err := r.lines.Err()
			switch {
			case err == nil:
				return nil, io.EOF
			case errors.Is(err, bufio.ErrTooLong):
				return nil, r.tooLong()
			}
			return nil, fmt.Errorf("reading %s: %w", r.in.Name, err)
		}
		line := r.lines.Bytes()
		if len(line) > r.in.MaxBytes { // the last one, which needs no delimiter
			return nil, r.tooLong()
		}
		if r.in.JSON && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		r.records++
		rec, err := r.parse(line)
		if err != nil {
			return nil, fmt.Errorf("%s: record %d: %w", r.in.Name, r.records, err)
		}
		return rec, nil
	}
}

func (r *Reader) tooLong() error {
	return fmt.Errorf("%s: record %d is longer than %d bytes", r.in.Name, r.records+1, r.in.MaxBytes)
}

func (r *Reader) whole() (*kgo.Record, error) {
	if r.done {
		return nil, io.EOF
	}
	r.done = true
	value, err := io.ReadAll(io.LimitReader(r.src, int64(r.in.MaxBytes)+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.in.Name, err)
	}
	if len(value) > r.in.MaxBytes {
		return nil, fmt.Errorf("%s is longer than %d bytes", r.in.Name, r.in.MaxBytes)
	}
	return &kgo.Record{Value: r.orNull(value)}, nil
}

func (r *Reader) parse(line []byte) (*kgo.Record, error) {
	if r.in.JSON {
		return ParseJSON(line)
	}
	var rec kgo.Record
	value := line
	if len(r.in.KeySeparator) > 0 {
		key, rest, found := bytes.Cut(line, r.in.KeySeparator)
		if !found {
			return nil, fmt.Errorf("no key: %q does not hold the key separator %q", clip(line), r.in.KeySeparator)
		}
		rec.Key, value = r.orNull(key), rest
	}
	rec.Value = r.orNull(value)
	return &rec, nil
}

// orNull copies b, unless it is the text for null.
func (r *Reader) orNull(b []byte) []byte {
	if r.in.Null != nil && string(b) == *r.in.Null {
		return nil
	}
	return append([]byte{}, b...)
}

// clip shortens what an error quotes.
func clip(b []byte) []byte {
	const most = 40
	if len(b) > most {
		return append(b[:most:most], "..."...)
	}
	return b
}
