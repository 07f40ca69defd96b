// Package adopt takes over the log directories of an Apache Kafka node and gives them back, without copying or
// changing a byte of a partition: kserver reads and writes Kafka's formats, and only the metadata of the cluster
// lies elsewhere. It works on directories nobody uses.
//
// # What changes on disk
//
// Kafka keeps its metadata, a KRaft log with snapshots, in __cluster_metadata-0. kserver keeps its own in a log of
// that name, with the same records but without snapshots, elections and other brokers. So an adopted directory has
// both:
//
//	                        Kafka's               adopted
//	__cluster_metadata-0/   Kafka's metadata      kserver's metadata, and quorum-state, which stops Kafka
//	kafka-metadata/         -                     Kafka's metadata, as it was
//	everything else         Kafka's               as it was
//
// To adopt is to read Kafka's metadata into an image, to check every partition against it, to write a log that leads
// to the same image, and to exchange two names. To give back is to append to Kafka's metadata, in a new segment, the
// records that lead from the image it has to the one kserver has, and to exchange the names again. What kserver does
// not hold, Kafka's voters, features, ACLs and credentials, so stays where it was.
//
//	adopt:      Kafka's log -> image -> records -> kserver's log
//	give back:  Kafka's log -> image --+
//	            kserver's log -> image +-> difference -> segment of Kafka's log
//
// # Crashes
//
// Everything is made durable beside what is there before names are exchanged, and the exchange is two renames. Between
// them the directory has kafka-metadata alone: neither broker starts on it, and both directions, begun again, first put
// the old name back. So whatever happens, one of the two states is reached by running either command again.
//
// # Leader epochs
//
// Each handover raises the leader epoch of every partition, as a restart of Kafka does, so that no epoch is ever
// written by both.
//
// # What it does not know
//
// No connections and no groups. The offsets of groups are records of __consumer_offsets, in the format both have.
package adopt
