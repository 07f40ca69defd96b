package configs

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// ParseProperties reads the text of a Java properties file, as java.util.Properties does: comments begin with #
// or !, a key ends at the first =, : or blank that no backslash escapes, a backslash at the end of a line joins
// the next one, and \t \n \r \f \uXXXX mean what they mean in Java. One difference: the text is UTF-8, where Java
// takes it as Latin-1.
//
// file names the text in Setting.Where and in errors; each Setting says the line its key stands on. A key that
// comes twice is returned twice, in order; ParseBroker takes the last and says so. The only possible error is a
// malformed \u escape, and it names file and line.
func ParseProperties(file, text string) ([]Setting, error) {
	var settings []Setting
	for line := range logicalLines(text) {
		rawKey, rawValue := cutKey(line.text)
		key, err := unescape(rawKey)
		if err == nil {
			var value string
			if value, err = unescape(rawValue); err == nil {
				settings = append(settings, Setting{Key: key, Value: value, Layer: FromFile, Where: fmt.Sprintf("%s:%d", file, line.number)})
				continue
			}
		}
		return nil, fmt.Errorf("%s:%d: %w", file, line.number, err)
	}
	return settings, nil
}

// logicalLine is a line with its continuation lines joined, and the number of its first line, from 1.
type logicalLine struct {
	number int
	text   string
}

// logicalLines yields the lines that hold a key.
func logicalLines(text string) func(yield func(logicalLine) bool) {
	return func(yield func(logicalLine) bool) {
		lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
		for i := 0; i < len(lines); i++ {
			number, line := i+1, trimBlank(lines[i])
			if line == "" || line[0] == '#' || line[0] == '!' {
				continue
			}
			for endsInEscape(line) {
				line = line[:len(line)-1]
				if i++; i == len(lines) {
					break
				}
				line += trimBlank(lines[i])
			}
			if !yield(logicalLine{number, line}) {
				return
			}
		}
	}
}

func trimBlank(s string) string { return strings.TrimLeft(s, " \t\f") }

// endsInEscape reports whether the line ends in a backslash that is not itself escaped.
func endsInEscape(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// cutKey splits a logical line where its key ends; both parts still hold their escapes.
func cutKey(line string) (key, value string) {
	end := 0
	for end < len(line) && !strings.ContainsRune("=: \t\f", rune(line[end])) {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	value = trimBlank(line[end:])
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = trimBlank(value[1:])
	}
	return line[:end], value
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var out strings.Builder
	var units []uint16 // \u escapes not yet written: a character outside the BMP takes two
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) || s[i+1] != 'u' {
			writeUnits(&out, &units)
		}
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 't':
			out.WriteByte('\t')
		case 'n':
			out.WriteByte('\n')
		case 'r':
			out.WriteByte('\r')
		case 'f':
			out.WriteByte('\f')
		case 'u':
			digits := s[i+1 : min(i+5, len(s))]
			unit, err := strconv.ParseUint(digits, 16, 16)
			if err != nil || len(digits) < 4 {
				return "", fmt.Errorf(`malformed escape \u%s: four hexadecimal digits must follow \u; write \\u for a backslash and a u`, digits)
			}
			units = append(units, uint16(unit))
			i += 4
		default:
			out.WriteByte(s[i])
		}
	}
	writeUnits(&out, &units)
	return out.String(), nil
}

func writeUnits(out *strings.Builder, units *[]uint16) {
	for _, r := range utf16.Decode(*units) {
		out.WriteRune(r)
	}
	*units = (*units)[:0]
}
