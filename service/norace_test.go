//go:build !race

package service_test

// slowdown is what rounds and sizes that only make a finding more likely are divided by.
const slowdown = 1
