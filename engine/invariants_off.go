//go:build !invariants

package engine

// invariants turns on checks that are too dear for a broker in use.
const invariants = false
