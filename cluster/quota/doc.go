// Package quota measures what clients ask of this broker and says how long one
// that asks too much has to pause: Kafka's client quotas (KIP-13, KIP-55,
// KIP-124, KIP-219).
//
// A quota bounds a rate: bytes produced, bytes fetched, or time spent on
// requests, of each user, of each client id, or of each pair. Which quota is a
// client's is a matter of precedence (limits.go). The rate is measured over
// eleven samples of a second (rate.go), and the pause is as long as it takes, with
// nothing asked meanwhile, for the rate to come down to the bound.
//
//	controller image --Update--> limits (immutable, replaced)
//	                               |
//	front -- Client --> handlers --Take--> sensor of (kind, user, client id)
//	                               |
//	                               +--> pause: told in the answer, and the front
//	                                    delays the connection's next request
//
// The package knows no connection, request or clock: the caller brings the time
// with each call. A Manager may be used from any goroutine. While no quota is set
// its whole cost is the atomic load of Client.
//
// What is kept is bounded: a sensor unused for as long as its window is forgotten,
// and when there are MaxSensors of them further clients, like those with very long
// names, share one for each kind and bound, so that making up client ids gives nobody more memory, or a rate
// without bound.
package quota
