// Kserver is a Kafka broker: started without any argument it serves a durable single node on 127.0.0.1:9092 with
// its data in ./kserver-data.
//
// Main makes the effective configuration out of flags, environment and file (package configs), looks at the
// place it is to run in (open files, file system of the data), composes the broker (package cluster), says in a
// few lines what it started, and stops it at SIGTERM or SIGINT.
//
// The commands for clients of any cluster, such as topic and consume, are in package cli below; they have exit codes
// of their own.
//
// # Exit codes
//
//	0    stopped as asked, the data directory is clean
//	1    the broker could not start or had to stop
//	2    the command line or the configuration is wrong
//	130  a second SIGINT, or 143 a second SIGTERM, cut the stop short
package main
