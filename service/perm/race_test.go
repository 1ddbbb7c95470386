//go:build race

package perm_test

// raceFactor is what the race detector may slow us down.
const raceFactor = 10
