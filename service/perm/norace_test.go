//go:build !race

package perm_test

const raceFactor = 1
