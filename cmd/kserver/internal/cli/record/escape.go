package record

import (
	"fmt"
	"strconv"
)

// Unescape replaces \n, \t, \r, \0, \\ and \xHH in text by the bytes they stand for.
func Unescape(text string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			out = append(out, text[i])
			continue
		}
		b, n, err := escape(text[i:])
		if err != nil {
			return nil, err
		}
		out = append(out, b)
		i += n - 1
	}
	return out, nil
}

// escape reads the escape sequence text begins with and returns its byte and its length.
func escape(text string) (b byte, n int, err error) {
	if len(text) < 2 {
		return 0, 0, fmt.Errorf("%q ends with a single backslash; write \\\\ for one", text)
	}
	switch text[1] {
	case 'n':
		return '\n', 2, nil
	case 't':
		return '\t', 2, nil
	case 'r':
		return '\r', 2, nil
	case '0':
		return 0, 2, nil
	case '\\':
		return '\\', 2, nil
	case 'x':
		if len(text) >= 4 {
			if v, err := strconv.ParseUint(text[2:4], 16, 8); err == nil {
				return byte(v), 4, nil
			}
		}
		return 0, 0, fmt.Errorf("%q: two hexadecimal digits have to follow \\x", text)
	}
	return 0, 0, fmt.Errorf("unknown escape %q; there are \\n \\t \\r \\0 \\\\ and \\xHH", text[:2])
}
