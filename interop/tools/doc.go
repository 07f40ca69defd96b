// Package tools runs Apache Kafka's command line tools, which are Java classes, against a broker.
//
// The jars come from Maven Central through interop/java/pom.xml and stay in Maven's own cache; the
// class path is computed once per pom and kept in the user's cache directory. Every tool runs with a
// small heap and the quick compiler, because the tests start many short ones.
package tools
