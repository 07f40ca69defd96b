// Package quota measures what clients ask of this broker and says how long one
// that asks too much has to pause: Kafka's client quotas (KIP-13, KIP-55, KIP-124,
// KIP-219, KIP-599), and its limits of connections (KIP-402, KIP-612).
//
// A quota bounds a rate: bytes produced, bytes fetched, time spent on requests, or
// partitions created and deleted, of each user, of each client id, or of each pair.
// Which quota is a client's is a matter of precedence (limits.go). What is used
// comes out of a bucket that refills at the bound (bucket.go), and the pause is as
// long as it takes until nothing is owed.
//
//	controller image --Update--> limits (immutable, replaced)
//	                               |
//	front -- Client --> handlers --Take--> bucket of (kind, user, client id)
//	                               |
//	                               +--> pause: told in the answer, and the front
//	                                    delays the connection's next request
//
//	netio accept --Arrive, Enter--> Connections --> rest, wait, close or come in
//
// The package knows no connection, request or clock: the caller brings the time
// with each call. A Manager and a Connections may be used from any goroutine. While
// no quota is set a Manager's whole cost is the atomic load of Client.
//
// What is kept is bounded: a full bucket is forgotten, and when there are MaxSensors
// of them further clients, like those with very long names, share one for each kind
// and bound, so that making up client ids gives nobody more memory, or a rate
// without bound.
//
// # Departures from Kafka
//
//   - Kafka measures rates over eleven samples of a second. A client that may use
//     ten seconds' worth at once does so whenever its last burst leaves the samples,
//     and gets nothing in between: its rate over half a minute is anything from 0.7
//     to 1.1 of the quota. A bucket allows the same first burst, tells the same
//     pause for it, and gives the client its bound from then on.
//   - A pause for too many bytes or changes is bounded (MaxPause).
//   - Topics created because they were asked for are not charged to anybody.
//   - Host names are not resolved, neither in max.connections.per.ip.overrides nor
//     as an ip entity.
//   - Sockets that are kept before they are closed are bounded in number (netio).
package quota
