// Package protocol turns bytes into Kafka requests and responses into bytes. It
// knows frames without their length, request and response headers, versions,
// error codes and names; it knows no sockets, logs or topics that exist.
//
//	frame ──ParseRequestHeader──> header, body
//	body  ──Check──> Checked: elements, memory
//	body  ──Checked.Decode / DecodeAliased──> kmsg request
//	response: AppendResponseHeader + kmsg AppendTo, or FetchEncoder
//
// Messages are those of kmsg. What this package adds to decoding is the check
// before it: each key and version has a layout (schema_table.go), and a body is
// walked along its layout before kmsg sees it. kmsg by itself checks every length
// against the bytes left, and array counts at one byte per element; it does not
// bound the number of tagged fields, so that five bytes could keep a processor
// busy for a minute, and says nothing about bytes left over. After the check, a
// decoded request costs memory in proportion to its frame, and how much is known
// (Checked.Memory) before it is decoded.
//
// Fetch responses are not built by kmsg: [FetchEncoder] writes everything but the
// records, so that these can be sent from the file they lie in.
//
// Record batches are the subject of package recordbatch.
//
// # Concurrency
//
// Functions are safe for concurrent use; RequestHeader.Parse and FetchEncoder
// belong to one goroutine at a time.
//
// # Differences from Kafka
//
//   - A request with more than 2^18 array elements or more than 1000 tagged fields
//     nobody defined is malformed.
//   - Bytes after the body are malformed; Kafka does not look.
//   - InitProducerId is decoded up to version 5: 6 is unstable in Kafka 4.4.
package protocol
