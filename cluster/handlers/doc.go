// Package handlers answers Kafka requests: one file per API, named by its key
// (00_produce.go, 01_fetch.go, ...), and one table that lists them.
//
// A handler decodes its request, makes one call to a room below (replica,
// group, controller, configs) and encodes the answer. It opens no file, takes
// no other room's lock and knows no socket: the connection front hands it a
// Request whose Responder takes bytes and file ranges.
//
// # Concurrency
//
// An OnLoop handler runs to completion on the event loop of its connection
// and must not block. If its answer comes later, it calls Request.Async and
// keeps the Request; the answer may then be given from any goroutine. An
// OnWorker handler runs on a bounded pool and may block.
//
// Requests of one connection are handled one at a time, as Kafka does, except
// where the table says Pipelined: there the next request starts as soon as the
// handler returned (Produce: its appends are then ordered in the log), while
// answers still leave in request order.
package handlers
