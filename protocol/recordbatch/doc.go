// Package recordbatch works on Kafka's RecordBatch v2, the one format in which
// records travel in Produce and Fetch and lie in a log segment.
//
// A [Batch] is a view over the bytes of exactly one batch: reading a header
// field is a load at a fixed offset, and writing the two fields a leader
// assigns, base offset and partition leader epoch, is a store that leaves the
// CRC valid, because both lie outside the checksummed part:
//
//	 0            8           12           16      17    21                61
//	+------------+-----------+------------+-------+-----+-----------------+---------+
//	| baseOffset | length    | leaderEpoch| magic | crc | attributes ...  | records |
//	+------------+-----------+------------+-------+-----+-----------------+---------+
//	                                                    |<------- CRC-32C covers --->|
//
// The ways through the package:
//
//   - [Next] splits a byte slice into batches, [PeekSize] tells the size of a
//     batch from its first 12 bytes. Both check what they read against the
//     bytes that are there.
//   - [Batch.Records] iterates over the records, decompressing as it goes.
//   - [ValidateProduce] is the broker's check of a batch a client sent; it
//     answers with the batch to append or an [InvalidError] that names Kafka's
//     error code, message and the offending records.
//   - [Builder] makes batches: coordinator records, control markers, batches
//     encoded anew because the topic asks for another codec, test data.
//   - [Retainer] drops records from a batch, for compaction, and [Batch.Empty]
//     all of them.
//
// The package knows no topics, logs, requests or connections, and imports
// nothing of the server.
//
// # Bounds
//
// Nothing is allocated because a length field asks for it. Decompression is a
// stream through a fixed buffer; its output is limited by the caller, the zstd
// window and the size of a snappy block are limited by constants, and a single
// record is buffered only as far as its bytes have really arrived.
//
// # Concurrency
//
// A Batch may be read by any number of goroutines while nobody calls a setter.
// A Builder and an iteration belong to one goroutine. The pools of compressors
// and decompressors behind them are safe for concurrent use.
//
// # Differences from Kafka
//
//   - Record offset deltas of an uncompressed batch must be 0..n-1; Kafka
//     stores such a batch as it came and its readers see the wrong offsets.
//   - A batch that claims LogAppendTime is refused on every topic; Kafka takes it
//     on a CreateTime topic if its max timestamp is within the bounds.
//   - A codec number that does not exist is answered with
//     UNSUPPORTED_COMPRESSION_TYPE; Kafka answers UNKNOWN_SERVER_ERROR.
//   - Decompressed size is limited (MESSAGE_TOO_LARGE), in Kafka it is not.
package recordbatch
