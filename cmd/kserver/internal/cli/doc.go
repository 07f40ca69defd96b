// Package cli holds kserver's commands for clients: topic, produce, consume, group, config, quota and cluster. They
// speak Kafka's protocol to any broker, ours or another, and need no server room of this module.
//
// Commands returns them for a parent command to add. Each file that is named after a command holds it: flags, what
// is asked of the cluster, and what is printed. Below them lie connection.go (which cluster, how to reach it),
// failure.go (errors as one sentence and an exit code), output.go (tables and JSON), position.go (how users name
// places in a partition) and package record (records as text).
//
// # Output
//
// Standard output holds what was asked for and nothing else: tables for people, or JSON with --output json, whose
// field names stay as they are. Lists are JSON arrays, even if empty; records are one JSON object a line. What is
// said about the work goes to standard error.
//
// # Exit codes
//
//	0    done
//	1    the cluster refused or failed, or the input is wrong
//	2    the command line is wrong
//	3    no broker could be reached, or none answered in time
//	4    the topic, group, partition or resource that was named does not exist
//	5    the broker does not support what was asked for
//	130  interrupted before the work was done
//
// A command on several things does all it can and ends with the code of the first failure. Interrupting consume is
// its normal end, which is code 0.
package cli
