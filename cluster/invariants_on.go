//go:build invariants

package cluster

const invariants = true
