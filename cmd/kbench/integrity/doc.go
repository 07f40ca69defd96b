// Package integrity proves that records written to a Kafka topic come back: none lost, none twice, none out of
// order, none changed.
//
// Every record value carries who wrote it and where it stands in its stream (Stamp). A stream is everything one
// producer of one run writes to one partition; its sequence numbers start at 0 and rise by one. The producing side
// notes in a Ledger which sequence numbers were attempted and which were acknowledged. The reading side shows every
// record to a Checker, which then compares what it saw with the ledger:
//
//	producer --Stamp--> record value --> topic --> Checker.Observe
//	    |                                                |
//	    +--> Ledger.Attempt/Ack --> Manifest --> Checker.Report
//
// A record that was attempted and not acknowledged may be present or absent; an acknowledged one must be present
// exactly once, after its predecessors.
//
// The package knows no socket and no protocol. Memory is bounded: both sides keep intervals, not single numbers, and
// a RangeSet that would need more than MaxRanges intervals says so instead of growing.
//
// Concurrency: a Ledger may be used by many goroutines; a Checker belongs to one.
package integrity
