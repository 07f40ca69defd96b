// Package rules holds no code, only tests that keep the house in order: which room may import which, where
// unsafe and the client library may be used, and that every package says what it is for. The tests look at the
// whole module with go list, so that a new package falls under the rules without being registered.
package rules
