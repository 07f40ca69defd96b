// Package hostile makes what no client would send: requests of every key and version with values that are valid,
// extreme or random, the same damaged, counts that lie, record batches that are wrong in one way, and compressed
// batches that grow. Programs and tests that attack a broker share it.
//
// Every input is drawn from the source it is given, so equal seeds make equal inputs, but for the time in record
// batches.
//
// The inputs use a few names of topics of their own (Topic) and, as long as they are whole, leave alone what anybody
// may change on a broker without access control and what would only spoil a measurement: the broker's own settings,
// and the topics it keeps for itself.
//
// Files: requests.go valid and extreme requests; dialogue.go requests that follow from answers; damage.go the ways to
// damage them; batches.go record batches.
package hostile
