// Package tools finds and runs the programs of others: Apache Kafka's command line tools, which are
// Java classes, and what install.sh installs (programs.go).
//
// The jars come from Maven Central through interop/java/pom.xml and stay in Maven's own cache; the
// class path is computed once per pom and kept in the user's cache directory. Every tool runs with a
// small heap and the quick compiler, because the tests start many short ones.
package tools
