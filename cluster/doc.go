// Package cluster composes the rooms into a broker: log manager, controller,
// replica manager, group coordinator and the event loops, and the connection
// front that turns frames into requests for the handlers.
//
//	netio frame -> front: header, table row, hold -> handlers.NN -> replica | group | controller
//	            <- netio response slot <- bytes and file ranges  <-
//
// The front is the only place where netio and the handlers meet: it knows the
// request header and the table, and no request body.
//
// # Start and stop
//
// New opens the log directories and replays the metadata log; Start loads the
// coordinators and begins to accept. Drain stops accepting and answers what is
// in flight; Close then leaves a clean directory. The order of both is that of
// the fields of Broker: what is below starts first and stops last.
package cluster
