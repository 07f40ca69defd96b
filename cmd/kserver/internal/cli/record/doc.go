// Package record turns records into text and text into records, for the commands that consume and produce.
//
// It knows neither brokers nor flags. Reader takes records out of a stream of lines, plain or JSON; Formatter
// prints a record by a format with percent signs in the manner of kcat; AppendJSON prints it as one line of JSON,
// which a JSON Reader takes back without loss.
//
// None of the types may be used by several goroutines at once.
package record
